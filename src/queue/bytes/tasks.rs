//! A queue of bytes used by tasks: `get` and `put` without a thread that waits.

use super::{BytesQueue, PeekedBytes};
use crate::error::Result;
use crate::queue::error::{GetError, PutError};
use crate::queue::tasks::Sleeper;
use crate::sync::{Announced, Attempt, Look, Source, Wait};

impl BytesQueue {
    /// Takes the next item, waiting without a thread while there is none. For any executor.
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
    /// let lines = procshare::BytesQueue::anonymous(64)?;
    /// let theirs = lines.clone();
    /// let consumer = tokio::spawn(async move { theirs.get_async().await });
    /// lines.put_async(b"hello").await?;
    /// assert_eq!(consumer.await.unwrap()?, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_async(&self) -> Result<Vec<u8>, GetError> {
        self.take_async(BytesQueue::try_get).await
    }

    /// Lends the next item for reading in place, waiting without a thread while there is none. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get_async`](Self::get_async).
    pub async fn peek_async(&self) -> Result<PeekedBytes<'_>, GetError> {
        self.take_async(BytesQueue::try_peek).await
    }

    async fn take_async<'a, R: 'a>(
        &'a self,
        take: fn(&'a BytesQueue) -> Result<R, GetError>,
    ) -> Result<R, GetError> {
        let ring = self.ring();
        let get = Get { queue: self, take, sleeper: Sleeper::new(ring.waiting(true), ring.attached()) };
        Wait::new(get, ring.attached()).await.map_err(GetError::Failed)?
    }

    /// Puts a copy of `item`, waiting without a thread while there is no room. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was put.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), or the thread that wakes tasks cannot be started.
    pub async fn put_async(&self, item: &[u8]) -> Result<(), PutError<()>> {
        let ring = self.ring();
        let put = Put { queue: self, item, sleeper: Sleeper::new(ring.waiting(false), ring.attached()) };
        Wait::new(put, ring.attached()).await.unwrap_or_else(|error| Err(PutError::Failed((), error)))
    }
}

/// An item that some task waits for.
struct Get<'a, R> {
    queue: &'a BytesQueue,
    take: fn(&'a BytesQueue) -> Result<R, GetError>,
    sleeper: Sleeper<'a>,
}

impl<'a, R> Source<'a> for Get<'a, R> {
    type Output = Result<R, GetError>;

    /// Each try looks for the dead.
    fn attempt(&mut self, _: Look) -> Result<Attempt<Self::Output>> {
        let outcome = (self.take)(self.queue);
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
struct Put<'a> {
    queue: &'a BytesQueue,
    item: &'a [u8],
    sleeper: Sleeper<'a>,
}

impl<'a> Source<'a> for Put<'a> {
    type Output = Result<(), PutError<()>>;

    fn attempt(&mut self, _: Look) -> Result<Attempt<Self::Output>> {
        let outcome = self.queue.try_put(self.item);
        if matches!(outcome, Err(PutError::Full(()))) {
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
