//! Tasks that were submitted, and their outcome.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::batch::{Arrival, Batch};
use super::engine::Engine;
use crate::process::error::TaskError;

/// How the outcomes of a batch become one.
type Decode<R> = fn(&'static str, Vec<Arrival>) -> Result<R, TaskError>;

/// A task that was submitted to a [`Pool`](super::Pool) or an [`Executor`](crate::process::Executor), or many by
/// [`map_async`](super::Pool::map_async).
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
    decode: Decode<R>,
}

impl<R> Job<R> {
    pub(super) fn new(
        task: &'static str,
        batch: Arc<Batch>,
        engine: &Arc<Engine>,
        decode: Decode<R>,
    ) -> Self {
        Job { task, batch, engine: Arc::downgrade(engine), decode }
    }

    /// Waits for the task, and returns what it returned. May be called again.
    ///
    /// # Errors
    ///
    /// [`TaskError`]: the task panicked, its worker died, it was cancelled, or the pool ended. Of many tasks, the error of the first
    /// that has one, once all are done. [`TaskError::NotAChild`] in a forked child, where it never gets done.
    pub fn get(&self) -> Result<R, TaskError> {
        self.get_until(None)
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
        self.get_until(Instant::now().checked_add(timeout))
    }

    fn get_until(&self, deadline: Option<Instant>) -> Result<R, TaskError> {
        let outcomes = self.outcomes(deadline)?.ok_or(TaskError::TimedOut)?;
        (self.decode)(self.task, outcomes)
    }

    fn outcomes(&self, deadline: Option<Instant>) -> Result<Option<Vec<Arrival>>, TaskError> {
        let engine = self.engine.upgrade();
        if let Some(engine) = &engine
            && !self.is_done()
        {
            engine.check_mine()?;
        }
        Ok(self.batch.all(engine.as_ref(), deadline))
    }

    /// Whether it has an outcome.
    pub fn is_done(&self) -> bool {
        self.batch.is_complete()
    }

    /// Waits until it has an outcome; in a forked child not at all.
    pub fn wait(&self) {
        let _ = self.outcomes(None);
    }

    /// Waits until it has an outcome, at most `timeout`; tells whether it has.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        matches!(self.outcomes(Instant::now().checked_add(timeout)), Ok(Some(_)))
    }

    /// Takes the task back if no worker has begun it; tells whether it was taken back. Its outcome is [`TaskError::Cancelled`] then. Of
    /// many tasks, those that no worker has are taken back.
    pub fn cancel(&self) -> bool {
        self.engine.upgrade().is_some_and(|engine| engine.cancel(Some(&self.batch)) > 0)
    }

    /// Calls `callback` with the outcome: at once if there is one, else on the pool's thread of callbacks, by what
    /// [`apply_async_with`](super::Pool::apply_async_with) says.
    pub fn on_done(&self, callback: impl FnOnce(Result<R, TaskError>) + Send + 'static)
    where
        R: 'static,
    {
        let (task, decode) = (self.task, self.decode);
        let callback = move |outcomes| callback(decode(task, outcomes));
        let callback = match self.engine.upgrade() {
            Some(engine) => engine.callbacks.take(callback),
            None => Box::new(callback),
        };
        if let Some((callback, outcomes)) = self.batch.on_complete(callback) {
            callback(outcomes);
        }
    }

    /// Whether it is done; else `waker` is woken when it is.
    pub(in crate::process) fn poll_done(&self, waker: &Waker) -> bool {
        self.batch.poll(waker).is_some()
    }
}

impl<R> Future for Job<R> {
    type Output = Result<R, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.batch.poll(context.waker()) {
            Some(outcomes) => Poll::Ready((self.decode)(self.task, outcomes)),
            None => Poll::Pending,
        }
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("task", &self.task).field("is_done", &self.is_done()).finish()
    }
}

/// The output that these bytes are.
#[inline]
pub(super) fn decode<R: DeserializeOwned>(task: &'static str, bytes: &[u8]) -> Result<R, TaskError> {
    let codec =
        |error: postcard::Error| TaskError::Codec { task, what: "the output", reason: error.to_string() };
    postcard::from_bytes(bytes).map_err(codec)
}

/// What came of the only task of a batch.
pub(super) fn decode_one<R: DeserializeOwned>(
    task: &'static str,
    mut outcomes: Vec<Arrival>,
) -> Result<R, TaskError> {
    match outcomes.first_mut().and_then(Arrival::next) {
        Some(outcome) => decode(task, outcome?),
        None => Err(TaskError::Cancelled),
    }
}

/// What came of all tasks of a batch, in their order; the error of the first that has one.
pub(super) fn decode_all<R: DeserializeOwned>(
    task: &'static str,
    mut outcomes: Vec<Arrival>,
) -> Result<Vec<R>, TaskError> {
    outcomes.sort_unstable_by_key(Arrival::first);
    let mut outputs = Vec::with_capacity(outcomes.iter().map(|arrival| arrival.count() as usize).sum());
    for arrival in outcomes {
        arrival.decode_onto(&mut outputs, |bytes| decode(task, bytes)).map_err(|(_, error)| error)?;
    }
    Ok(outputs)
}
