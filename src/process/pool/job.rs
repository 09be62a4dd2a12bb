//! A task that was submitted, and its outcome.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::batch::{Batch, Outcome};
use super::engine::Engine;
use crate::process::error::TaskError;

/// A task that was submitted to a [`Pool`](super::Pool) or an [`Executor`](crate::process::Executor).
///
/// Dropping it does nothing to the task. It is a future: `job.await` waits in a task of any executor, by what
/// [`get`](Self::get) says.
///
/// ```
/// use procshare::process::Pool;
/// # #[procshare::task] fn double(n: u64) -> u64 { 2 * n }
///
/// # if procshare::backend() == "heap" { return Ok(()) } // which shares nothing with other processes
/// let pool = Pool::builder().workers(1).build()?;
/// let job = pool.apply_async::<double>((21,))?;
/// assert_eq!(job.get()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the outcome is lost without it; drop it explicitly if that is meant"]
pub struct Job<R> {
    task: &'static str,
    batch: Arc<Batch>,
    engine: Weak<Engine>,
    output: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Job<R> {
    /// Waits for the task, and returns what it returned. May be called again.
    ///
    /// # Errors
    ///
    /// [`TaskError`]: the task panicked, its worker died, it was cancelled, or the pool ended.
    pub fn get(&self) -> Result<R, TaskError> {
        match self.batch.only(None) {
            Some(outcome) => self.decode(outcome),
            None => Err(TaskError::TimedOut),
        }
    }

    /// Returns what the task returned, if it is done.
    ///
    /// # Errors
    ///
    /// [`TaskError::Running`], and as [`get`](Self::get).
    pub fn try_get(&self) -> Result<R, TaskError> {
        if self.is_done() { self.get() } else { Err(TaskError::Running) }
    }

    /// As [`get`](Self::get), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TaskError::TimedOut`], and as [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<R, TaskError> {
        let outcome = match Instant::now().checked_add(timeout) {
            Some(deadline) => self.batch.only(Some(deadline)),
            None => self.batch.only(None),
        };
        self.decode(outcome.ok_or(TaskError::TimedOut)?)
    }

    fn decode(&self, outcome: Outcome) -> Result<R, TaskError> {
        decode(self.task, outcome)
    }
}

impl<R> Job<R> {
    pub(super) fn new(task: &'static str, batch: Arc<Batch>, engine: &Arc<Engine>) -> Self {
        Job { task, batch, engine: Arc::downgrade(engine), output: PhantomData }
    }

    /// Whether it has an outcome.
    pub fn is_done(&self) -> bool {
        self.batch.has_any()
    }

    /// Waits until it has an outcome, at most `timeout`; tells whether it has.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.batch.only(Instant::now().checked_add(timeout)).is_some()
    }

    /// Takes the task back if no worker has it yet; tells whether it was taken back. Its outcome is [`TaskError::Cancelled`] then.
    pub fn cancel(&self) -> bool {
        self.engine.upgrade().is_some_and(|engine| engine.cancel(&self.batch) > 0)
    }

    /// Whether it is done; else `waker` is woken when it is.
    pub(in crate::process) fn poll_done(&self, waker: &Waker) -> bool {
        self.batch.poll(waker).is_some()
    }
}

impl<R: DeserializeOwned> Future for Job<R> {
    type Output = Result<R, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.batch.poll(context.waker()) {
            Some(outcome) => Poll::Ready(self.decode(outcome)),
            None => Poll::Pending,
        }
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("task", &self.task).field("is_done", &self.is_done()).finish()
    }
}

/// The output that the bytes of an outcome are.
pub(super) fn decode<R: DeserializeOwned>(task: &'static str, outcome: Outcome) -> Result<R, TaskError> {
    let codec =
        |error: postcard::Error| TaskError::Codec { task, what: "the output", reason: error.to_string() };
    postcard::from_bytes(&outcome?).map_err(codec)
}
