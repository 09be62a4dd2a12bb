//! A deadline for tests that wait.

use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;

/// Runs `body` and returns its value; aborts the whole process if it takes longer than `limit`.
///
/// A test that waits for another process must never hang: put its body in here. When the deadline passes, the name of
/// the test thread and the limit go to standard error and the process aborts (children forked by this crate die with
/// it). Panics of `body` pass through. Inside a forked child the deadline of [`child`](crate::child) takes this role.
///
/// ```
/// use procshare_harness::watchdog;
/// let sum = watchdog(std::time::Duration::from_secs(60), || 1 + 1);
/// assert_eq!(sum, 2);
/// ```
///
/// # Panics
///
/// If no thread can be started.
pub fn watchdog<R>(limit: Duration, body: impl FnOnce() -> R) -> R {
    let name = std::thread::current().name().unwrap_or("unnamed thread").to_owned();
    // The sender lives until the body returns or unwinds; its end tells the guard that all is well.
    let (alive, ended) = mpsc::channel::<()>();
    let guard = std::thread::Builder::new()
        .name(format!("watchdog of {name}"))
        .spawn(move || {
            if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = writeln!(std::io::stderr(), "watchdog: `{name}` ran longer than {limit:?}: aborting");
                std::process::abort();
            }
        })
        .expect("cannot start the watchdog thread");
    let stop = StopOnDrop { alive: Some(alive), guard: Some(guard) };
    let value = body();
    drop(stop);
    value
}

/// Ends the guard thread also when the body unwinds.
struct StopOnDrop {
    alive: Option<mpsc::Sender<()>>,
    guard: Option<std::thread::JoinHandle<()>>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(guard) = self.guard.take() {
            let _ = guard.join();
        }
    }
}
