//! Looking from outside: what is seen is right, nothing is written, and nothing hostile does harm.
// Real processes: the heap backend has none.
#![cfg(any(not(feature = "heap"), feature = "portable"))]

mod doctor;
mod hostile;
mod seen;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use procshare::Space;

/// One test at a time: a child that another test forks would have this one's objects mapped, too.
static ALONE: Mutex<()> = Mutex::new(());

/// A private directory on the memory file system, removed at the end.
struct Place(PathBuf, #[allow(dead_code, reason = "held until the end")] MutexGuard<'static, ()>);

impl Place {
    fn new(test: &str) -> Self {
        let path = PathBuf::from(format!("/dev/shm/procshare-inspect-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Place(path, ALONE.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn space(&self) -> Space {
        Space::at(&self.0).open_or_create().unwrap()
    }

    /// Every file's name and bytes.
    fn contents(&self) -> Vec<(std::ffi::OsString, Vec<u8>)> {
        let files = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = files
            .filter(|path| path.is_file())
            .map(|path| (path.file_name().unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect();
        all.sort();
        all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A forked child that does something, says so, and then waits to be killed.
struct Child(i32);

impl Child {
    fn start(work: impl FnOnce()) -> Self {
        let mut pipe = [0; 2];
        // SAFETY: the kernel writes two descriptors; the child uses only them and what `work` uses.
        let pid = unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            libc::fork()
        };
        if pid == 0 {
            // A panic must end this child, not run the parent's tests again.
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
            let byte = [u8::from(worked)];
            // SAFETY: the descriptor is open and the byte lives.
            unsafe { libc::write(pipe[1], byte.as_ptr().cast(), 1) };
            loop {
                // SAFETY: no precondition.
                unsafe { libc::pause() };
            }
        }
        let mut byte = [0u8];
        // SAFETY: the descriptors are open; the byte is a valid destination.
        unsafe {
            libc::close(pipe[1]);
            assert_eq!(libc::read(pipe[0], byte.as_mut_ptr().cast(), 1), 1);
            libc::close(pipe[0]);
        }
        let child = Child(pid);
        assert_eq!(byte, [1], "the child's work panicked");
        child
    }

    fn pid(&self) -> u32 {
        self.0 as u32
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: the child is ours and has not been waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}
