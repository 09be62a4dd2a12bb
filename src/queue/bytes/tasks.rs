//! A queue of bytes used by tasks: `get` and `put` without a thread that waits.

use super::{BytesQueue, BytesReservation, PeekedBytes};
use crate::queue::error::{GetError, PutError};
use crate::queue::tasks::turn;

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
        self.taking(|| self.try_get()).await
    }

    /// Lends the next item for reading in place, waiting without a thread while there is none. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get_async`](Self::get_async).
    pub async fn peek_async(&self) -> Result<PeekedBytes<'_>, GetError> {
        self.taking(|| self.try_peek()).await
    }

    /// Waits without a thread for an item and takes up to `most` that are there, in order. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many), or the thread that wakes tasks cannot be started.
    pub async fn get_many_async(&self, most: usize) -> Result<Vec<Vec<u8>>, GetError> {
        self.taking(|| self.try_get_many(most)).await
    }

    async fn taking<R>(&self, attempt: impl FnMut() -> Result<R, GetError>) -> Result<R, GetError> {
        let ring = self.ring();
        turn(ring.waiting(true), ring.attached(), attempt).await.map_err(GetError::Failed)?
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
        turn(ring.waiting(false), ring.attached(), || self.try_put(item))
            .await
            .unwrap_or_else(|error| Err(PutError::Failed((), error)))
    }

    /// Holds room for an item of `len` bytes for writing in place, waiting without a thread while there is none. For any executor.
    ///
    /// Dropping the future leaves nothing in the queue.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve), or the thread that wakes tasks cannot be started.
    pub async fn reserve_async(&self, len: usize) -> Result<BytesReservation<'_>, PutError<()>> {
        let ring = self.ring();
        turn(ring.waiting(false), ring.attached(), || self.try_reserve(len))
            .await
            .unwrap_or_else(|error| Err(PutError::Failed((), error)))
    }
}
