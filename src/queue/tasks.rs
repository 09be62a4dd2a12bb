//! A queue used by tasks: `get` and `put` without a thread that waits.

use super::error::{GetError, PutError};
use super::plain::Queue;
use super::ring::Waiting;
use crate::error::Result;
use crate::participant::Attached;
use crate::shm::Plain;
use crate::sync::{Announced, Attempt, Look, Source, Ticket, Wait};

impl<T: Plain> Queue<T> {
    /// Takes the next item, waiting without a thread while the queue is empty. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// let jobs = procshare::Queue::<u64>::anonymous(1)?;
    /// let theirs = jobs.clone();
    /// let consumer = tokio::spawn(async move { (theirs.get_async().await, theirs.get_async().await) });
    /// jobs.put_async(1).await?;
    /// jobs.put_async(2).await?;
    /// assert!(matches!(consumer.await.unwrap(), (Ok(1), Ok(2))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_async(&self) -> Result<T, GetError> {
        Wait::new(Get::new(self), self.ring().attached()).await.map_err(GetError::Failed)?
    }

    /// Puts `item`, waiting without a thread while the queue is full. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was put.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), or the thread that wakes tasks cannot be started.
    pub async fn put_async(&self, item: T) -> Result<(), PutError<T>> {
        match Wait::new(Put::new(self, item), self.ring().attached()).await {
            Ok(outcome) => outcome,
            Err(error) => Err(PutError::Failed(item, error)),
        }
    }
}

/// A sleeper announced at one side of a queue; dropping it passes on a wake-up that was spent on it.
pub(super) struct Sleeper<'a> {
    waiting: Waiting<'a>,
    attached: &'a Attached,
    ticket: Option<Ticket>,
}

impl<'a> Sleeper<'a> {
    pub(super) fn new(waiting: Waiting<'a>, attached: &'a Attached) -> Self {
        Sleeper { waiting, attached, ticket: None }
    }

    /// A wake-up that was spent on it is used.
    pub(super) fn is_served(&mut self) {
        self.ticket = None;
    }

    pub(super) fn announce(&mut self) -> Announced<'a> {
        let ticket = self.waiting.events.prepare();
        self.waiting.publisher.look_announced();
        self.ticket = Some(ticket);
        Announced::Sleep(self.waiting.events.expect(ticket))
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.waiting.events.pass_on(self.attached.member.host(), ticket);
        }
    }
}

/// An item that some task waits for.
struct Get<'a, T: Plain> {
    queue: &'a Queue<T>,
    sleeper: Sleeper<'a>,
}

impl<'a, T: Plain> Get<'a, T> {
    fn new(queue: &'a Queue<T>) -> Self {
        let ring = queue.ring();
        Get { queue, sleeper: Sleeper::new(ring.waiting(true), ring.attached()) }
    }
}

impl<'a, T: Plain> Source<'a> for Get<'a, T> {
    type Output = Result<T, GetError>;

    /// Each try looks for the dead.
    fn attempt(&mut self, _: Look) -> Result<Attempt<Self::Output>> {
        let outcome = self.queue.try_get();
        if matches!(outcome, Err(GetError::Empty)) {
            return Ok(Attempt::NotYet);
        }
        if outcome.is_ok() {
            self.sleeper.is_served();
        }
        Ok(Attempt::Taken(outcome))
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        Ok(self.sleeper.announce())
    }
}

/// An item that some task wants to put.
struct Put<'a, T: Plain> {
    queue: &'a Queue<T>,
    item: T,
    sleeper: Sleeper<'a>,
}

impl<'a, T: Plain> Put<'a, T> {
    fn new(queue: &'a Queue<T>, item: T) -> Self {
        let ring = queue.ring();
        Put { queue, item, sleeper: Sleeper::new(ring.waiting(false), ring.attached()) }
    }
}

/// The item is plain data, which nothing points to.
impl<T: Plain> Unpin for Put<'_, T> {}

impl<'a, T: Plain> Source<'a> for Put<'a, T> {
    type Output = Result<(), PutError<T>>;

    fn attempt(&mut self, _: Look) -> Result<Attempt<Self::Output>> {
        let outcome = self.queue.try_put(self.item);
        if matches!(outcome, Err(PutError::Full(_))) {
            return Ok(Attempt::NotYet);
        }
        if outcome.is_ok() {
            self.sleeper.is_served();
        }
        Ok(Attempt::Taken(outcome))
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        Ok(self.sleeper.announce())
    }
}
