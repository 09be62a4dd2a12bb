//! What macOS, FreeBSD and Linux have in common.

#[path = "../shared/facts.rs"]
mod facts;
#[path = "../shared/fork.rs"]
mod fork;
#[path = "../shared/trust.rs"]
mod trust;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

use crate::sys::{DirFault, Futex, Trust};

pub(super) use facts::file_facts;
pub(crate) use fork::watch_forks;

/// Where the spaces of this user live. Not `TMPDIR`: processes with different environments must meet.
pub(crate) fn default_root() -> PathBuf {
    PathBuf::from(format!("/tmp/procshare-portable-{}", user_id()))
}

/// Makes the directory if `create` says so, and checks that only the caller could have put files there.
pub(super) fn prepare_directory(path: &Path, create: bool) -> Result<(), DirFault> {
    trust::prepare(path, Trust::Owner, create)
}

/// The caller's user id.
pub(crate) fn user_id() -> u32 {
    // SAFETY: (S1) geteuid has no precondition and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether an error number of a lock call means that the file system has no working locks.
pub(crate) fn means_no_locks(errno: i32) -> bool {
    matches!(errno, libc::ENOLCK | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: (S1) `now` is a valid destination; these systems have the clock, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Makes new files readable and writable by the caller's user only.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// A path out of its encoded bytes.
pub(super) fn path_of(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// Backs the first `len` bytes of named memory, so that a full memory is an error now and no signal later.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(super) fn allocate(os_id: &str, len: u64) -> io::Result<()> {
    let name = std::ffi::CString::new(os_id)?;
    let len = libc::off_t::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    // SAFETY: (S1) `name` is a C string that lives for the call.
    let fd = unsafe { libc::shm_open(name.as_ptr(), libc::O_RDWR, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: (S1) the descriptor was just opened and has no other owner.
    let file = unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) };
    loop {
        use std::os::fd::AsRawFd;
        // SAFETY: (S1) the descriptor is open for the duration of the call; the call returns the error number itself.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
            // Memory objects of older FreeBSDs cannot be allocated ahead.
            0 | libc::ENODEV | libc::EOPNOTSUPP => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// This system cannot back named memory ahead.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub(super) fn allocate(_: &str, _: u64) -> io::Result<()> {
    Ok(())
}

/// There is no doorbell: `raw_sync`'s event on these systems is a process-shared condition variable, and a sleeper that is killed
/// in it makes the next one who rings wait for ever.
pub(super) struct Bell;

impl Bell {
    /// Does nothing.
    ///
    /// # Safety
    ///
    /// As on systems with doorbells: a word of 32 bits lies `at` bytes behind `first`, mapped as long as the bell.
    pub(super) unsafe fn hang(_first: *mut u8, _at: usize) -> Self {
        Bell
    }
}

/// Sleeps for so long; the caller looks at the word again.
pub(super) fn nap(_: &impl Futex, _: u32, time: Duration) {
    std::thread::sleep(time);
}

/// Sleepers look by themselves.
pub(super) fn ring(_: usize) {}

/// How many forks lie between the process that first asked and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// A number that changes when a process is forked.
#[inline]
pub(super) fn generation() -> u32 {
    // Relaxed: the forked child's only thread wrote it, before it made any other.
    GENERATION.load(Ordering::Relaxed)
}

/// A locked file that a forked child must not keep open, or its parent's death would go unnoticed.
pub(super) struct Kept(&'static Entry);

/// A descriptor on the fork handler's list; entries stay on it and are used again.
struct Entry {
    fd: AtomicI32,
    next: *const Entry,
}

// SAFETY: (S1) `next` is written before the entry is shared, and entries are never freed.
unsafe impl Sync for Entry {}

/// An entry without a descriptor.
const FREE: i32 = -1;

static KEPT: AtomicPtr<Entry> = AtomicPtr::new(std::ptr::null_mut());

/// The entries of the list.
fn entries() -> impl Iterator<Item = &'static Entry> {
    // Acquire: pairs with the exchange in `Kept::new`.
    let mut next: *const Entry = KEPT.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: (S1) entries are leaked boxes, complete before they are listed.
        let entry = unsafe { next.as_ref() }?;
        next = entry.next;
        Some(entry)
    })
}

impl Kept {
    /// Keeps `file` open in this process only; the caller holds the process lock, so that no fork comes in between.
    pub(super) fn new(file: File) -> Self {
        let fd = file.into_raw_fd();
        // Relaxed: the process lock orders those who come here.
        let free = entries()
            .find(|entry| entry.fd.compare_exchange(FREE, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok());
        if let Some(entry) = free {
            return Kept(entry);
        }
        let next = KEPT.load(Ordering::Relaxed);
        let entry: &'static Entry = Box::leak(Box::new(Entry { fd: fd.into(), next }));
        // Release: whoever finds the entry finds it complete. Nobody else adds one meanwhile: the process lock is held.
        KEPT.store(std::ptr::from_ref(entry).cast_mut(), Ordering::Release);
        Kept(entry)
    }

    /// Forgets a file that a forked child closed.
    pub(super) fn disown(self) {
        std::mem::forget(self);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let fd = self.0.fd.swap(FREE, Ordering::Relaxed);
        if fd != FREE {
            // SAFETY: (S1) the entry's descriptor is this value's own: `new` took it out of a file.
            let file = unsafe { File::from_raw_fd(fd) };
            // Said and not left to closing, which would wait for whoever else has a copy.
            let _ = file.unlock();
        }
    }
}

/// Runs in a forked child, which has one thread: closes what its parent keeps open, and is somebody else from now on.
fn in_forked_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    for entry in entries() {
        let fd = entry.fd.swap(FREE, Ordering::Relaxed);
        if fd != FREE {
            // SAFETY: (S1) the child's copy of the descriptor belongs to nobody else; close is async-signal-safe.
            unsafe { libc::close(fd) };
        }
    }
}
