//! What the tests of processes have in common.

use std::time::Duration;

use procshare::{AtomicValue, Handle, Space};
use procshare_harness::Reexec;

/// No test waits longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Runs `body` under the watchdog.
pub(crate) fn limited<R>(body: impl FnOnce() -> R) -> R {
    procshare_harness::watchdog(LIMIT, body)
}

/// A space of the test's own, removed in the end.
pub(crate) struct Place {
    pub(crate) space: Space,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let directory =
            std::path::Path::new("/dev/shm").join(format!("procshare-test-{name}-{}", std::process::id()));
        Place { space: Space::at(directory).open_or_create().unwrap() }
    }

    /// The files of objects that are left; the space's own begin with a dot.
    pub(crate) fn objects(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.space.directory()).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.space.directory());
    }
}

/// The state of a process in `/proc`, if there is one: `R`, `S`, `Z` ...
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim().chars().next()
}

/// Waits until `pid` is no process any more, not even a dead one.
pub(crate) fn until_gone(pid: u32) {
    while state_of(pid).is_some() {
        std::thread::yield_now();
    }
}

/// Runs the test `entry` in a process of its own, whose descriptors are nobody else's, and which ends with `leave_a_trace`.
pub(crate) fn in_a_fresh_process(entry: &str) {
    let trace = AtomicValue::anonymous(0u32).unwrap();
    let argument = serde_json::to_string(&trace).unwrap();
    limited(|| Reexec::new(entry).argument(argument).spawn().unwrap().wait(LIMIT).unwrap());
    assert_eq!(trace.load(), 1, "{entry} did not run");
}

/// Says that a test ran: its argument is from [`in_a_fresh_process`].
pub(crate) fn leave_a_trace(argument: &str) {
    let trace: Handle<AtomicValue<u32>> = serde_json::from_str(argument).unwrap();
    trace.attach().unwrap().store(1).unwrap();
}

/// Lets the calling process have no descriptors beyond the number `most`.
pub(crate) fn limit_descriptors(most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a live structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// Writes a script. Another process does: the descriptor it writes to is in no fork of this one, which would keep the script from being
/// run.
pub(crate) fn write_script(path: &std::path::Path, text: &str) {
    let write = "printf '%s' \"$1\" > \"$0\" && chmod +x \"$0\"";
    let mut shell = std::process::Command::new("sh");
    assert!(shell.args(["-c", write]).arg(path).arg(text).status().unwrap().success());
}
