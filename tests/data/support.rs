//! Private spaces, forked children, signals between processes, and a watchdog.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use procshare::Space;

/// Long enough for any test on a busy machine; a test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A space of its own, removed at the end.
pub(crate) struct TestSpace {
    pub(crate) space: Space,
    directory: PathBuf,
}

impl TestSpace {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = if cfg!(target_os = "linux") { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let directory = root.join(format!("procshare-test-data-{}-{number}", std::process::id()));
        let space = Space::at(&directory).open_or_create().unwrap();
        TestSpace { space, directory }
    }

    /// The name that leads to `name` from any process.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().to_owned()
    }

    /// Overwrites bytes of the body of `name`, as a hostile program would.
    pub(crate) fn scribble(&self, name: &str, at: u64, bytes: &[u8]) {
        procshare::simulation::overwrite(&self.directory.join(name), 256 + at as usize, bytes).unwrap();
    }

    /// How many bytes the object `name` takes, header included.
    pub(crate) fn size(&self, name: &str) -> u64 {
        let inspector =
            procshare::inspect::Inspector::open(&self.directory, procshare::Trust::Owner).unwrap();
        inspector.entry(name).unwrap().file_size
    }
}

impl Drop for TestSpace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Ends the whole test run if it is not dropped in time.
pub(crate) struct Watchdog {
    alive: Option<mpsc::Sender<()>>,
}

pub(crate) fn watchdog() -> Watchdog {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let (alive, ended) = mpsc::channel();
    std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    Watchdog { alive: Some(alive) }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.alive.take();
    }
}

/// A forked child.
pub(crate) struct Child {
    pid: libc::pid_t,
}

/// Forks a child that runs `work` and ends.
pub(crate) fn fork(work: impl FnOnce()) -> Child {
    // SAFETY: the child runs `work` and ends without returning into the test harness.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: a watchdog for the child; no handler is installed, so the signal ends it.
        unsafe { libc::alarm(PATIENCE.as_secs() as u32) };
        let failed = catch_unwind(AssertUnwindSafe(work)).is_err();
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(i32::from(failed)) };
    }
    Child { pid }
}

/// Forks a child that goes on where it is: `None` there. It must end itself.
pub(crate) fn continue_in_child() -> Option<Child> {
    // SAFETY: the caller ends the child without returning into the test harness.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: a watchdog for the child; no handler is installed, so the signal ends it.
        unsafe { libc::alarm(PATIENCE.as_secs() as u32) };
    }
    (pid != 0).then_some(Child { pid })
}

impl Child {
    /// Waits for the end; the child's assertions must have held.
    pub(crate) fn join(self) {
        assert_eq!(self.wait(), 0, "the child failed (its panic message is lost: run with --nocapture)");
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(self) {
        // SAFETY: the child is ours and not yet waited for.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        assert_eq!(self.wait(), libc::SIGKILL);
    }

    /// Waits for the end; the raw status.
    fn wait(&self) -> i32 {
        let mut status = 0;
        loop {
            // SAFETY: `status` is a valid destination.
            let got = unsafe { libc::waitpid(self.pid, &mut status, 0) };
            if got == self.pid {
                return status;
            }
            let error = std::io::Error::last_os_error();
            assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "waitpid: {error}");
        }
    }
}

/// A one-way signal between processes: a pipe.
#[derive(Clone, Copy)]
pub(crate) struct Signal {
    ends: [libc::c_int; 2],
}

impl Signal {
    pub(crate) fn new() -> Self {
        let mut ends = [0; 2];
        // SAFETY: `ends` is a valid destination for two descriptors.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        Signal { ends }
    }

    pub(crate) fn send(&self) {
        // SAFETY: one byte of a live array; the descriptor stays open for the whole run.
        assert_eq!(unsafe { libc::write(self.ends[1], [1u8].as_ptr().cast(), 1) }, 1);
    }

    pub(crate) fn wait(&self) {
        let mut byte = [0u8];
        // SAFETY: one byte into a live array.
        assert_eq!(unsafe { libc::read(self.ends[0], byte.as_mut_ptr().cast(), 1) }, 1);
    }
}

/// Sleeps for ever: only a kill ends the child that calls it.
pub(crate) fn sleep_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}
