//! Why a process was not started, and why a task has no result.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::sync::LockError;
use crate::sys::children::Ended;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Exit {
    /// By itself, with this code: 0 if its task returned, 101 if it panicked.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It ended, but the program ignores the end of its children (or another part of it took the status), and the system does
    /// not tell afterwards.
    Unknown,
}

impl From<Ended> for Exit {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Code(code) => Exit::Code(code),
            Ended::Signal(signal) => Exit::Signal(signal),
            Ended::Unknown => Exit::Unknown,
        }
    }
}

impl Exit {
    /// Whether it ended by itself with the code 0.
    pub fn success(self) -> bool {
        self == Exit::Code(0)
    }

    /// The code, if it ended by itself.
    pub fn code(self) -> Option<i32> {
        if let Exit::Code(code) = self { Some(code) } else { None }
    }

    /// The signal, if one ended it.
    pub fn signal(self) -> Option<i32> {
        if let Exit::Signal(signal) = self { Some(signal) } else { None }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Exit::Unknown => f.write_str("ended, and its status was taken by another part of the program"),
        }
    }
}

/// Why [`start`](super::Process::start) did not start a process. None is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system did not run the program.
    #[error("could not start task '{task}': {source}")]
    NotStarted {
        /// The task.
        task: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The arguments have no bytes, or the process could not read them.
    #[error("the arguments of task '{task}' cannot be carried over: {reason}; pass data only")]
    Arguments {
        /// The task.
        task: &'static str,
        /// What the codec says.
        reason: String,
    },
    /// The program that was started is another one, or another build.
    #[error("task '{task}' was refused: {reason}; start it from the same build of the same program")]
    Refused {
        /// The task.
        task: &'static str,
        /// What the started program says.
        reason: String,
    },
    /// The program ended before it took the task over.
    #[error(
        "the process for task '{task}' {exit} before it took the task over: does the program use this crate?"
    )]
    EndedEarly {
        /// The task.
        task: &'static str,
        /// How it ended.
        exit: Exit,
    },
    /// The program did not take the task over in time, and was killed.
    #[error(
        "the process for task '{task}' did not take the task over within {waited:?}, and was killed: raise the start timeout, or see what keeps it"
    )]
    TimedOut {
        /// The task.
        task: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
}

/// Why a task has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The task panicked.
    #[error("task '{task}' panicked: {message}")]
    Panicked {
        /// The task.
        task: &'static str,
        /// The panic's message, and where it was.
        message: String,
    },
    /// The process ended while it ran the task.
    #[error("the process {pid} {exit} while it ran task '{task}'")]
    Died {
        /// The task.
        task: &'static str,
        /// The process.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// Arguments or output have no bytes, or bytes are none of theirs.
    #[error("{what} of task '{task}' cannot be carried over: {reason}")]
    Codec {
        /// The task.
        task: &'static str,
        /// Which of them.
        what: &'static str,
        /// What the codec says.
        reason: String,
    },
    /// It still runs (`try_` forms only).
    #[error("the task still runs: wait for it")]
    Running,
    /// The timeout passed, and it still runs (`_timeout` forms only).
    #[error("the timeout passed and the task still runs: wait longer, or end it")]
    TimedOut,
    /// The process is not a child of the calling one, which was forked from the one that started it.
    #[error("process {pid} was started by the process this one was forked from: only that can wait for it")]
    NotAChild {
        /// The process.
        pid: u32,
    },
    /// The task was taken back, or its pool was ended, before it was done.
    #[error("the task was cancelled before it was done")]
    Cancelled,
    /// The pool is closed: nothing can be submitted any more.
    #[error("the pool is closed: submit before `close`, or make another pool")]
    Closed,
    /// The pool ended, because its workers cannot be initialised.
    #[error("the workers of the pool cannot be initialised: {reason}")]
    InitialiserFailed {
        /// What the initialiser says.
        reason: String,
    },
    /// The pool ended, because one of its workers did, and that was what it should do.
    #[error("the pool was ended, because its worker {pid} {exit}")]
    Broken {
        /// The worker.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// The system failed.
    #[error("could not {action}: {reason}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        reason: String,
    },
}

/// Any error as data: what it says, and what its causes say.
///
/// For tasks that return a `Result`: most errors are no data, and `?` makes them into this one.
///
/// ```
/// use procshare::process::Failure;
///
/// #[procshare::task]
/// fn lines(path: String) -> Result<u64, Failure> {
///     Ok(std::fs::read_to_string(path)?.lines().count() as u64)
/// }
///
/// let said = lines("/no/such/file".to_owned()).unwrap_err().to_string();
/// assert!(said.contains("No such file"));
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    said: Vec<String>,
}

impl Failure {
    /// A failure that says `text`.
    pub fn new(text: impl fmt::Display) -> Self {
        Failure { said: vec![text.to_string()] }
    }

    /// What the error said, and then each of its causes.
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        self.said.iter().map(String::as_str)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let first: &dyn std::error::Error = &error;
        Failure {
            said: std::iter::successors(Some(first), |error| error.source())
                .map(ToString::to_string)
                .collect(),
        }
    }
}

/// The guard of a lock whose owner died is dropped, as with `?` into the crate's own error.
impl<G> From<LockError<G>> for Failure {
    fn from(error: LockError<G>) -> Self {
        Error::from(error).into()
    }
}

impl From<Failure> for Box<dyn std::error::Error> {
    fn from(failure: Failure) -> Self {
        failure.to_string().into()
    }
}

impl From<Failure> for Box<dyn std::error::Error + Send + Sync> {
    fn from(failure: Failure) -> Self {
        failure.to_string().into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said.join(": "))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

impl StartError {
    pub(super) fn not_started(task: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| StartError::NotStarted { task, source }
    }
}

impl TaskError {
    pub(super) fn system(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| TaskError::System { action, reason: source.to_string() }
    }
}

impl From<StartError> for TaskError {
    fn from(error: StartError) -> Self {
        TaskError::System { action: "start a process", reason: error.to_string() }
    }
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::TimedOut => Error::TimedOut,
            TaskError::Running => Error::WouldBlock,
            other => Error::Io {
                object: "process".into(),
                action: "run a task in",
                path: std::path::PathBuf::new(),
                source: io::Error::other(other.to_string()),
            },
        }
    }
}
