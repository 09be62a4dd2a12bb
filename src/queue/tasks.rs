//! Queues used by tasks: what waits, without a thread that waits.

use super::batches::{PeekedBatch, ReservedBatch};
use super::broadcast::Broadcast;
use super::error::{GetError, PutError};
use super::guards::{Peeked, Reservation};
use super::joinable::{JoinableQueue, Task};
use super::plain::Queue;
use super::ring::{NotTaken, Waiting};
use super::wait::Retry;
use crate::atomic::pause;
use crate::error::{Error, Result};
use crate::participant::Attached;
use crate::shm::Plain;
use crate::sync::{Announced, Attempt, Look, Source, Ticket, Wait};
use crate::time::Deadline;

/// Tries until it works or cannot work any more, without a thread that waits; dropping it leaves no trace.
///
/// Each try looks for the dead.
pub(super) async fn turn<'a, R, E: Retry>(
    waiting: Waiting<'a>,
    attached: &'a Attached,
    attempt: impl FnMut() -> Result<R, E>,
) -> Result<Result<R, E>> {
    let sleeper = Sleeper { waiting, attached, ticket: None };
    Wait::new(Turn { attempt, sleeper }, attached).await
}

/// A sleeper announced at one side of a queue; dropping it passes on a wake-up that was spent on it.
struct Sleeper<'a> {
    waiting: Waiting<'a>,
    attached: &'a Attached,
    ticket: Option<Ticket>,
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.waiting.events.pass_on(self.attached.member.host(), ticket);
        }
    }
}

/// What some task tries.
struct Turn<'a, F> {
    attempt: F,
    sleeper: Sleeper<'a>,
}

/// Nothing points into it.
impl<F> Unpin for Turn<'_, F> {}

impl<'a, R, E: Retry, F: FnMut() -> Result<R, E>> Source<'a> for Turn<'a, F> {
    type Output = Result<R, E>;

    fn attempt(&mut self, _: Look) -> Result<Attempt<Self::Output>> {
        let looks = if self.sleeper.ticket.is_some() { self.sleeper.waiting.last_looks() } else { 1 };
        for _ in 0..looks {
            match (self.attempt)() {
                Err(why) if why.worth_waiting() => pause(),
                outcome => {
                    if outcome.is_ok() {
                        self.sleeper.ticket = None;
                    }
                    return Ok(Attempt::Taken(outcome));
                }
            }
        }
        Ok(Attempt::NotYet)
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let ticket = self.sleeper.waiting.prepare();
        self.sleeper.ticket = Some(ticket);
        Ok(Announced::Sleep(self.sleeper.waiting.events.expect(ticket)))
    }
}

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
        self.taking(|| self.try_get()).await
    }

    /// Lends the next item for reading in place, waiting without a thread while the queue is empty. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get_async`](Self::get_async).
    pub async fn peek_async(&self) -> Result<Peeked<'_, T>, GetError> {
        self.taking(|| self.try_peek()).await
    }

    /// Puts `item`, waiting without a thread while the queue is full. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was put.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), or the thread that wakes tasks cannot be started.
    pub async fn put_async(&self, item: T) -> Result<(), PutError<T>> {
        let ring = self.ring();
        turn(ring.waiting(false), ring.attached(), || self.try_put(item))
            .await
            .unwrap_or_else(|error| Err(PutError::Failed(item, error)))
    }

    /// Holds the next free slot for writing in place, waiting without a thread while the queue is full. For any executor.
    ///
    /// Dropping the future leaves nothing in the queue.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve), or the thread that wakes tasks cannot be started.
    pub async fn reserve_async(&self) -> Result<Reservation<'_, T>, PutError<()>> {
        let ring = self.ring();
        turn(ring.waiting(false), ring.attached(), || self.try_reserve())
            .await
            .unwrap_or_else(|error| Err(PutError::Failed((), error)))
    }

    /// Waits without a thread for an item and takes up to `most` that are there, in order. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many), or the thread that wakes tasks cannot be started.
    pub async fn get_many_async(&self, most: usize) -> Result<Vec<T>, GetError> {
        self.taking(|| self.try_get_many(most)).await
    }

    /// Lends up to `most` items for reading in place, at least one, waiting without a thread while the queue is empty. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`peek_many`](Self::peek_many), or the thread that wakes tasks cannot be started.
    pub async fn peek_many_async(&self, most: usize) -> Result<PeekedBatch<'_, T>, GetError> {
        self.taking(|| self.try_peek_many(most)).await
    }

    /// Holds up to `most` free slots for writing in place, at least one, waiting without a thread while the queue is full. For any
    /// executor.
    ///
    /// Dropping the future leaves nothing in the queue.
    ///
    /// # Errors
    ///
    /// As [`reserve_many`](Self::reserve_many), or the thread that wakes tasks cannot be started.
    pub async fn reserve_many_async(&self, most: usize) -> Result<ReservedBatch<'_, T>, PutError<()>> {
        let ring = self.ring();
        turn(ring.waiting(false), ring.attached(), || self.try_reserve_many(most))
            .await
            .unwrap_or_else(|error| Err(PutError::Failed((), error)))
    }

    async fn taking<R>(&self, attempt: impl FnMut() -> Result<R, GetError>) -> Result<R, GetError> {
        let ring = self.ring();
        turn(ring.waiting(true), ring.attached(), attempt).await.map_err(GetError::Failed)?
    }
}

impl<T: Plain> JoinableQueue<T> {
    /// Takes the next task, waiting without a thread while there is none. For any executor.
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
    /// let jobs = procshare::JoinableQueue::<u32>::anonymous(4)?;
    /// let theirs = jobs.clone();
    /// let worker = tokio::spawn(async move { theirs.get_async().await.map(|task| task.done()) });
    /// jobs.put_async(1).await?;
    /// jobs.join_async().await?; // it is done
    /// worker.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_async(&self) -> Result<Task<'_, T>, GetError> {
        let ring = self.ring();
        turn(ring.waiting(true), ring.attached(), || self.try_get()).await.map_err(GetError::Failed)?
    }

    /// Puts `item`, waiting without a thread while the queue is full. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was put.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), or the thread that wakes tasks cannot be started.
    pub async fn put_async(&self, item: T) -> Result<(), PutError<T>> {
        let ring = self.ring();
        turn(ring.waiting(false), ring.attached(), || self.try_put(item))
            .await
            .unwrap_or_else(|error| Err(PutError::Failed(item, error)))
    }

    /// Waits without a thread until all that was put is done. For any executor; dropping the future leaves no trace.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join), or the thread that wakes tasks cannot be started.
    pub async fn join_async(&self) -> Result<()> {
        let ring = self.ring();
        let attached = ring.attached();
        attached.member.join(|| attached.object(), "wait until all is done")?;
        match turn(ring.waiting_for_done(), attached, || ring.all_done(Deadline::Now)).await? {
            Ok(()) => Ok(()),
            Err(NotTaken::Failed(error)) => Err(error),
            Err(NotTaken::Empty | NotTaken::Closed) => Err(Error::WouldBlock),
        }
    }
}

impl<T: Plain> Broadcast<T> {
    /// Publishes `item`; if the broadcast was made so, waits for subscribers without a thread. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was published.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// use procshare::{Broadcast, BroadcastInit};
    ///
    /// let prices = Broadcast::<u64>::anonymous(BroadcastInit::new(1).wait_for_subscribers(1))?;
    /// let mut ticker = prices.subscribe()?;
    /// let publisher = tokio::spawn(async move {
    ///     prices.publish_async(1).await?;
    ///     prices.publish_async(2).await // waits until the first one was received
    /// });
    /// assert_eq!((ticker.recv_async().await?, ticker.recv_async().await?), (1, 2));
    /// publisher.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_async(&self, item: T) -> Result<(), PutError<T>> {
        turn(self.ring().waiting(false), self.ring().attached(), || self.try_publish(item))
            .await
            .unwrap_or_else(|error| Err(PutError::Failed(item, error)))
    }
}
