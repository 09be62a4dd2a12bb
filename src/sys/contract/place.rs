//! What the suite's tests share: a directory of their own, a watchdog, patience.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{Promise, promised};
use crate::sys::{self, Access, Draft, NewFile, Region, Trust};

/// Longer than anything takes on a busy machine: what takes longer hangs.
const HANGS: Duration = Duration::from_secs(120);

/// A directory, removed at the end.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new() -> Self {
        let path = Self::unmade();
        sys::prepare_directory(&path, Trust::Owner, true).unwrap();
        Place(path)
    }

    /// The path of a directory that does not exist.
    pub(super) fn unmade() -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        root.join(format!("procshare-contract-{}-{number}", std::process::id()))
    }

    /// A file of 4096 bytes, all backed, under `name`; `id` is attached.
    pub(super) fn publish(&self, name: &str, id: u32) -> std::io::Result<Region> {
        let (draft, region) = Draft::create(self, &file_of(4096, id))?;
        draft.publish(name).map(|()| region)
    }

    pub(super) fn open(&self, name: &str, id: u32) -> std::io::Result<Region> {
        sys::open(self, OsStr::new(name), Access::ReadWrite, Some(id))
    }

    pub(super) fn attached(&self, name: &str) -> Vec<u32> {
        sys::attached(self, OsStr::new(name)).unwrap()
    }

    pub(super) fn remove_unused(&self, name: &str) -> std::io::Result<bool> {
        sys::remove_if_unattached(self, OsStr::new(name), |_| true)
    }

    /// The names in it that an object could have.
    pub(super) fn names(&self) -> Vec<String> {
        let names = sys::list(self).unwrap();
        let names = names.into_iter().map(|name| name.into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }
}

impl std::ops::Deref for Place {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file of so many bytes, all backed.
pub(super) fn file_of(len: u64, id: u32) -> NewFile {
    NewFile { len, backed: len, trust: Trust::Owner, mode: None, id }
}

/// The byte at `at`, through an atomic load.
pub(super) fn byte(region: &Region, at: usize) -> u8 {
    cell(region, at).load(Ordering::Acquire)
}

/// A byte of a region as everybody may use it.
pub(super) fn cell(region: &Region, at: usize) -> &std::sync::atomic::AtomicU8 {
    assert!(at < region.len());
    // SAFETY: (S5) within the region, which lives as long as the reference; tests use these bytes only like this.
    unsafe { &*region.as_ptr().add(at).cast() }
}

/// Ends the test run if it is not dropped in time.
pub(super) struct Watchdog(Option<mpsc::Sender<()>>);

pub(super) fn watchdog() -> Watchdog {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let (alive, ended) = mpsc::channel();
    std::thread::spawn(move || {
        if ended.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    Watchdog(Some(alive))
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.take();
    }
}

/// Asks once where death is known at once, else until the answer is yes or everything hangs.
pub(super) fn dead_in_time(what: &str, is_so: impl Fn() -> bool) {
    if promised(Promise::ImmediateDeath) {
        assert!(is_so(), "{what}: not so at once");
        return;
    }
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < HANGS, "{what}: never");
        std::thread::yield_now();
    }
}
