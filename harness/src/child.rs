//! Forked children with a verdict and a deadline.

use crate::{Page, proc, symbol::Trail};
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a closure that ran in a child may return: nothing, or a `Result` whose error explains itself.
pub trait Verdict {
    /// The complaint, if there is one.
    fn complaint(self) -> Option<String>;
}

impl Verdict for () {
    fn complaint(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> Verdict for Result<(), E> {
    fn complaint(self) -> Option<String> {
        self.err().map(|e| e.to_string())
    }
}

/// How a child ended.
#[derive(Debug, Clone)]
#[must_use]
pub enum Exit {
    /// The closure returned and had no complaint.
    Clean,
    /// The closure returned this error.
    Failed(String),
    /// The closure panicked with this message.
    Panicked(String),
    /// A signal ended the process.
    Signalled(i32),
    /// The process ended by itself with this code (somebody called `exit`).
    Code(i32),
    /// The deadline passed; the process was killed. Where it was, best effort.
    Hung(Hang),
}

/// Where a process was when its deadline passed.
#[derive(Debug, Clone)]
pub struct Hang {
    /// How long it was waited for.
    pub waited: Duration,
    /// System call or "running", as the kernel shows it.
    pub state: String,
    pub(crate) trail: Trail,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Clean => f.write_str("ended cleanly"),
            Exit::Failed(why) => write!(f, "failed: {why}"),
            Exit::Panicked(why) => write!(f, "panicked: {why}"),
            Exit::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Hung(h) => write!(f, "hung for {:?} ({}){}", h.waited, h.state, h.trail),
        }
    }
}

impl Exit {
    /// Whether the closure returned without complaint.
    pub fn is_clean(&self) -> bool {
        matches!(self, Exit::Clean)
    }

    /// Whether the deadline passed.
    pub fn is_hang(&self) -> bool {
        matches!(self, Exit::Hung(_))
    }

    /// Accepts a clean end only.
    ///
    /// # Panics
    ///
    /// If the child ended in any other way; the message says how.
    #[track_caller]
    pub fn unwrap(self) {
        assert!(self.is_clean(), "child {self}");
    }
}

/// A running forked child; killed and reaped on drop.
///
/// It also dies with the thread that forked it, so an aborted test leaves no process behind.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    words: Option<Message>,
    reaped: bool,
}

/// Runs `body` in a forked child, waits at most `limit`, and says how it ended.
///
/// ```
/// use procshare_harness::{child, Exit};
/// let limit = std::time::Duration::from_secs(10);
/// assert!(child(limit, || ()).is_clean());
/// assert!(matches!(child(limit, || Err("no".to_string())), Exit::Failed(why) if why == "no"));
/// ```
///
/// # Panics
///
/// If the system refuses to fork.
pub fn child<V: Verdict>(limit: Duration, body: impl FnOnce() -> V) -> Exit {
    Child::fork(body).wait(limit)
}

const CLEAN: i32 = 0;
const FAILED: i32 = 1;
const PANICKED: i32 = 101;

impl Child {
    /// Forks a child that runs `body` and ends: panics are caught and reported, destructors of the parent's values do
    /// not run, standard output is not flushed.
    ///
    /// Only the calling thread exists in the child. Memory allocation works there (the C library sees to it); locks
    /// that other threads held at that moment stay locked, so a child should not print through `println!`.
    ///
    /// # Panics
    ///
    /// If the system refuses to fork.
    pub fn fork<V: Verdict>(body: impl FnOnce() -> V) -> Child {
        let words = Message::new();
        match fork_raw() {
            0 => {
                words.own();
                let code = match catch_unwind(AssertUnwindSafe(|| body().complaint())) {
                    Ok(None) => CLEAN,
                    Ok(Some(why)) => {
                        words.write(&why);
                        FAILED
                    }
                    Err(_) => PANICKED,
                };
                exit_now(code)
            }
            pid => Child { pid, words: Some(words), reaped: false },
        }
    }

    /// Takes charge of a child process that was started in another way.
    pub(crate) fn adopt(pid: libc::pid_t) -> Child {
        Child { pid, words: None, reaped: false }
    }

    /// The process id.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Sends a signal; nothing happens once the child was reaped.
    pub fn signal(&self, signal: i32) {
        if !self.reaped {
            proc::kill(self.pid, signal);
        }
    }

    /// Kills the child with SIGKILL and reaps it; returns once the kernel has taken it down.
    ///
    /// Tells how it really ended: it may have finished first.
    pub fn kill(mut self) -> Exit {
        proc::kill(self.pid, libc::SIGKILL);
        self.reap()
    }

    /// Waits without a limit for a child that was sent a deadly signal.
    pub(crate) fn reap(&mut self) -> Exit {
        let status = proc::wait_for(self.pid, 0);
        self.reaped = true;
        self.verdict(status.unwrap_or(0))
    }

    /// Waits at most `limit`; then looks where the child is, kills and reaps it.
    pub fn wait(mut self, limit: Duration) -> Exit {
        let start = Instant::now();
        match proc::wait_exit(self.pid, limit) {
            Some(status) => {
                self.reaped = true;
                self.verdict(status)
            }
            None => {
                let (state, trail) = proc::whereabouts(self.pid);
                Exit::Hung(Hang { waited: start.elapsed(), state, trail })
            }
        }
    }

    /// Whether it has ended by now, and how; reaps it if so.
    pub fn try_wait(&mut self) -> Option<Exit> {
        if self.reaped {
            return None;
        }
        let status = proc::wait_for(self.pid, libc::WNOHANG)?;
        self.reaped = true;
        Some(self.verdict(status))
    }

    fn verdict(&self, status: i32) -> Exit {
        let words = || self.words.as_ref().map_or("see its standard error".to_owned(), Message::read);
        if libc::WIFSIGNALED(status) {
            return Exit::Signalled(libc::WTERMSIG(status));
        }
        match libc::WEXITSTATUS(status) {
            CLEAN => Exit::Clean,
            FAILED => Exit::Failed(words()),
            PANICKED => Exit::Panicked(words()),
            other => Exit::Code(other),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            proc::kill(self.pid, libc::SIGKILL);
            proc::wait_for(self.pid, 0);
        }
    }
}

/// Forks; the child dies with its parent thread, dumps no core and reports panics through its message page.
pub(crate) fn fork_raw() -> libc::pid_t {
    install_panic_hook();
    let parent = std::process::id() as libc::pid_t;
    // SAFETY: the child continues on a copy of this thread; what it may do there is stated at `Child::fork`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "cannot fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        proc::die_with_parent(parent);
    }
    pid
}

/// Ends this process at once: no destructors, no exit handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(code) }
}

/// Text that a child leaves for its parent.
#[derive(Debug)]
pub(crate) struct Message(Page);

/// The message page of this process if it is a child; null in the test process itself.
static OWN: AtomicPtr<Page> = AtomicPtr::new(std::ptr::null_mut());

impl Message {
    pub(crate) fn new() -> Self {
        Message(Page::new(4096))
    }

    /// Makes this the page that panics of this process are written to. Called in the child, whose closure borrows it
    /// until `_exit`.
    pub(crate) fn own(&self) {
        OWN.store((&raw const self.0).cast_mut(), Relaxed);
    }

    pub(crate) fn write(&self, text: &str) {
        write_text(&self.0, text);
    }

    pub(crate) fn read(&self) -> String {
        let words = self.0.u64s();
        let len = (words[0].load(Relaxed) as usize).min(self.0.size() - 8);
        let bytes = words[1..].iter().flat_map(|w| w.load(Relaxed).to_le_bytes()).take(len);
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
    }
}

fn write_text(page: &Page, text: &str) {
    let words = page.u64s();
    let bytes = &text.as_bytes()[..text.len().min(page.size() - 8)];
    for (word, chunk) in words[1..].iter().zip(bytes.chunks(8)) {
        let mut full = [0; 8];
        full[..chunk.len()].copy_from_slice(chunk);
        // Relaxed: the parent reads only after it has reaped or stopped this process.
        word.store(u64::from_le_bytes(full), Relaxed);
    }
    words[0].store(bytes.len() as u64, Relaxed);
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// In a child, panics go to its message page; elsewhere the hook found before keeps its work.
///
/// Installed in the parent, once: a child must not wait for the hook's lock.
fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let own = OWN.load(Relaxed);
            if own.is_null() {
                return previous(info);
            }
            if INSIDE.replace(true) {
                return;
            }
            let text = info.to_string();
            // SAFETY: `own` was set by this process after its fork, from a page that lives until it exits.
            write_text(unsafe { &*own }, &text);
            INSIDE.set(false);
        }));
    });
}
