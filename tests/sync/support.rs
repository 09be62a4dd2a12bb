//! Private spaces, helpers that wait for each other without sleeping, and the tests' deadline.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use procshare::Space;
use procshare_harness::Child;

/// Long enough for any test on a busy machine; a test that takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test under its deadline.
pub(crate) fn guarded(test: impl FnOnce()) {
    procshare_harness::watchdog(LIMIT, test);
}

/// A space of its own, removed at the end.
pub(crate) struct TestSpace {
    pub(crate) space: Space,
    pub(crate) directory: PathBuf,
}

impl TestSpace {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        let root = if cfg!(target_os = "linux") { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let directory = root.join(format!("procshare-test-sync-{}-{number}", std::process::id()));
        let space = Space::at(&directory).open_or_create().unwrap();
        TestSpace { space, directory }
    }
}

impl Drop for TestSpace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Waits until something holds; the test's deadline bounds it.
pub(crate) fn await_that(mut holds: impl FnMut() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}

/// Waits until a child sleeps in the kernel, for tests of sleepers.
pub(crate) fn await_asleep(child: &Child) {
    let stat = format!("/proc/{}/stat", child.pid());
    await_that(|| {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'))
    });
}

/// Waits until all of them have ended well.
pub(crate) fn finish(children: impl IntoIterator<Item = Child>) {
    for child in children {
        child.wait(LIMIT).unwrap();
    }
}

/// Kills all of them.
pub(crate) fn kill(children: impl IntoIterator<Item = Child>) {
    for child in children {
        let _ = child.kill();
    }
}
