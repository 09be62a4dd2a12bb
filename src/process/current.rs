//! Who am I, who started me, whom did I start.

use std::sync::OnceLock;
use std::time::Duration;

use super::error::TaskError;
use super::keeper;
use crate::sys::children::Sentinel;
use crate::time::Deadline;

/// The calling process; from [`current_process`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CurrentProcess {
    name: &'static str,
    task: Option<&'static str>,
}

impl CurrentProcess {
    /// The name that its starter gave it; `main` if it was not started by this crate.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The task it was started for.
    pub fn task(&self) -> Option<&'static str> {
        self.task
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

/// The process that started the calling one; from [`parent_process`].
#[derive(Clone, Copy, Debug)]
pub struct ParentProcess {
    of: &'static Me,
}

impl ParentProcess {
    /// The name of the starter.
    #[allow(clippy::misnamed_getters, reason = "`name` is the other one's")]
    pub fn name(&self) -> &'static str {
        &self.of.starter
    }

    /// Its process id, which may belong to somebody else once it is not [alive](Self::is_alive).
    pub fn pid(&self) -> u32 {
        self.of.parent
    }

    /// Whether it lives. It may be dead only for detached processes: others end with it.
    pub fn is_alive(&self) -> bool {
        self.of.sentinel.as_ref().is_some_and(|sentinel| !sentinel.has_ended())
    }

    /// Waits for its end at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TaskError::TimedOut`] if it still lives then; [`TaskError::System`].
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), TaskError> {
        let Some(sentinel) = &self.of.sentinel else { return Ok(()) };
        let ended =
            sentinel.wait(Deadline::after(timeout)).map_err(TaskError::system("wait for the parent"))?;
        if ended { Ok(()) } else { Err(TaskError::TimedOut) }
    }

    /// Its sentinel, for `poll`; `None` if it was dead when this process began.
    pub fn sentinel(&self) -> Option<&'static Sentinel> {
        self.of.sentinel.as_ref()
    }
}

/// A child of the calling process that has not ended yet; from [`active_children`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActiveChild {
    /// Its name.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

#[derive(Debug)]
struct Me {
    name: String,
    task: &'static str,
    parent: u32,
    starter: String,
    sentinel: Option<Sentinel>,
}

static ME: OnceLock<Me> = OnceLock::new();

/// Notes what this process was started for.
pub(super) fn enter(name: String, task: &'static str, parent: u32, starter: String) {
    let sentinel = Sentinel::of(parent).ok();
    let _ = ME.set(Me { name, task, parent, starter, sentinel });
}

/// The calling process.
///
/// ```
/// assert_eq!(procshare::process::current_process().name(), "main");
/// ```
pub fn current_process() -> CurrentProcess {
    match ME.get() {
        Some(me) => CurrentProcess { name: &me.name, task: Some(me.task) },
        None => CurrentProcess { name: "main", task: None },
    }
}

/// The process that started the calling one; `None` if it was not started by this crate.
pub fn parent_process() -> Option<ParentProcess> {
    ME.get().map(|me| ParentProcess { of: me })
}

/// The processes that the calling one has started and that have not ended, in the order of their starts.
pub fn active_children() -> Vec<ActiveChild> {
    keeper::children()
        .into_iter()
        .map(|child| ActiveChild { name: child.name().to_owned(), pid: child.pid() })
        .collect()
}

/// How many processors the calling process may use at once: what is allowed to it, not what the machine has. At least 1.
pub fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
