//! What one has of a process that one has started.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::builder::ProcessBuilder;
use super::error::{Exit, StartError, TaskError};
use super::keeper::Child;
use super::order::Reply;
use super::task::{Arguments, Task};
use crate::error::Error;
use crate::park::{AnyFutex, Expected};
use crate::participant::sealed;
use crate::sync::{Announced, Attempt, Begun, Look, Source, Waitable};
use crate::sys::children::{Paper, Request, Sentinel};
use crate::time::Deadline;

/// A process that runs a [`Task`] whose output is `R`.
///
/// All methods may be called at any time, from any thread, and as often as one likes. No zombie is left, whether or not somebody
/// waits. Dropping it does nothing to the process, which goes on until it, or this process, ends.
///
/// [`wait_any`](crate::wait_any) waits for its end among other things; so does `poll` on its [`sentinel`](Self::sentinel).
///
/// # When somebody dies
///
/// The process is killed by the kernel when this process ends in whatever way, unless it is [detached](ProcessBuilder::detached).
/// It lives on when only the thread that started it ends. If it is killed, whatever it held comes back as after every death, and
/// [`join`](Self::join) says [`TaskError::Died`].
///
/// ```
/// use procshare::process::{Process, TaskError};
///
/// #[procshare::task]
/// fn divide(a: u32, b: u32) -> u32 {
///     a / b
/// }
///
/// let (good, bad) = (Process::start::<divide>((6, 3))?, Process::start::<divide>((6, 0))?);
/// assert_eq!(good.join()?, 2);
/// assert!(matches!(bad.join(), Err(TaskError::Panicked { message, .. }) if message.contains("divide by zero")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Process<R> {
    task: &'static str,
    child: Arc<Child>,
    paper: Arc<Paper>,
    output: PhantomData<fn() -> R>,
}

impl Process<()> {
    /// Options: name, environment, standard streams, detached.
    pub fn builder() -> ProcessBuilder {
        ProcessBuilder::new()
    }

    /// Starts the task `T`: `Process::start::<count>((&counter, 10))`.
    ///
    /// # Errors
    ///
    /// See [`ProcessBuilder::start`].
    pub fn start<T: Task>(args: impl Arguments<T::Args>) -> Result<Process<T::Output>, StartError> {
        ProcessBuilder::new().start::<T>(args)
    }
}

impl<R: DeserializeOwned> Process<R> {
    /// Waits for the end, and returns what the task returned.
    ///
    /// # Errors
    ///
    /// [`TaskError::Panicked`], [`TaskError::Died`], [`TaskError::Codec`] for an output that cannot travel,
    /// [`TaskError::NotAChild`] in a forked child.
    pub fn join(&self) -> Result<R, TaskError> {
        self.join_until(Deadline::Never)
    }

    /// Returns what the task returned, if the process has ended.
    ///
    /// # Errors
    ///
    /// [`TaskError::Running`], and as [`join`](Self::join).
    pub fn try_join(&self) -> Result<R, TaskError> {
        self.join_until(Deadline::Now).map_err(|error| match error {
            TaskError::TimedOut => TaskError::Running,
            other => other,
        })
    }

    /// As [`join`](Self::join), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TaskError::TimedOut`], and as [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<R, TaskError> {
        self.join_until(Deadline::after(timeout))
    }

    fn join_until(&self, deadline: Deadline) -> Result<R, TaskError> {
        self.check_mine()?;
        let exit = self.child.wait(deadline).ok_or(TaskError::TimedOut)?;
        outcome(self.task, &self.paper, self.child.pid(), exit)
    }
}

/// What came of a task whose process has ended.
pub(super) fn outcome<R: DeserializeOwned>(
    task: &'static str,
    paper: &Paper,
    pid: u32,
    exit: Exit,
) -> Result<R, TaskError> {
    let codec = |reason| TaskError::Codec { task, what: "the output", reason };
    match Reply::read(paper).map_err(TaskError::system("read the result"))? {
        Some(Reply::Returned(bytes)) => {
            postcard::from_bytes(&bytes).map_err(|error| codec(error.to_string()))
        }
        Some(Reply::Unfit(reason)) => Err(codec(reason)),
        Some(Reply::Panicked(message)) => Err(TaskError::Panicked { task, message }),
        None => Err(TaskError::Died { task, pid, exit }),
    }
}

impl<R> Process<R> {
    pub(super) fn new(task: &'static str, child: Arc<Child>, paper: Arc<Paper>) -> Self {
        Process { task, child, paper, output: PhantomData }
    }

    /// Its process id. It may mean another process once this one has ended.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.child.name()
    }

    /// The name of its task.
    pub fn task(&self) -> &'static str {
        self.task
    }

    /// Whether it runs (also if it is stopped).
    pub fn is_alive(&self) -> bool {
        self.child.is_alive()
    }

    /// How it ended; `None` while it runs, and in a forked child.
    pub fn exit_status(&self) -> Option<Exit> {
        if !self.child.is_mine() {
            return None;
        }
        self.child.wait(Deadline::Now)
    }

    /// Asks it to end, with SIGTERM. Nothing happens if it has ended.
    ///
    /// # Errors
    ///
    /// [`TaskError::System`].
    pub fn terminate(&self) -> Result<(), TaskError> {
        self.child.ask(Request::Terminate).map_err(TaskError::system("end the process"))
    }

    /// Ends it, with SIGKILL. Nothing happens if it has ended.
    ///
    /// # Errors
    ///
    /// [`TaskError::System`].
    pub fn kill(&self) -> Result<(), TaskError> {
        self.child.ask(Request::Kill).map_err(TaskError::system("kill the process"))
    }

    /// A descriptor that becomes readable when the process ends.
    pub fn sentinel(&self) -> &Sentinel {
        self.child.sentinel()
    }

    fn check_mine(&self) -> Result<(), TaskError> {
        if self.child.is_mine() { Ok(()) } else { Err(TaskError::NotAChild { pid: self.child.pid() }) }
    }
}

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name())
            .field("pid", &self.pid())
            .field("task", &self.task)
            .field("exit", &self.child.exit())
            .finish_non_exhaustive()
    }
}

impl<R> sealed::Sealed for Process<R> {}

impl<R> Waitable for Process<R> {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(EndSource { child: &self.child })
    }
}

/// A process whose end somebody waits for.
struct EndSource<'a> {
    child: &'a Child,
}

impl<'a> Source<'a> for EndSource<'a> {
    type Output = ();

    fn attempt(&mut self, look: Look) -> Result<Attempt<()>, Error> {
        // The keeper says so; whether it has yet to notice is asked once in a slice.
        let ended = self.child.exit().is_some() || (look != Look::Quick && !self.child.is_alive());
        Ok(if ended { Attempt::Taken(()) } else { Attempt::NotYet })
    }

    fn announce(&mut self) -> Result<Announced<'a>, Error> {
        // All sleepers are woken: no wake-up is spent on one instead of another.
        Ok(Announced::Sleep(Expected { word: AnyFutex::Whole(self.child.word()), bits: 0 }))
    }
}
