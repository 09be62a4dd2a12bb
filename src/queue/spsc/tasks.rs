//! The ends of a queue used by tasks: `put` and `get` without a thread that waits.

use super::consumer::Consumer;
use super::producer::Producer;
use super::ring::Role;
use crate::queue::error::{GetError, PutError};
use crate::queue::tasks::turn;
use crate::shm::Plain;

impl<T: Plain> Consumer<T> {
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
    /// let (mut producer, mut consumer) = procshare::SpscQueue::<u64>::anonymous(1)?.split()?;
    /// let got = tokio::spawn(async move { (consumer.get_async().await, consumer.get_async().await) });
    /// producer.put_async(1).await?;
    /// producer.put_async(2).await?;
    /// assert!(matches!(got.await.unwrap(), (Ok(1), Ok(2))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_async(&mut self) -> Result<T, GetError> {
        let ring = self.ring().clone();
        turn(ring.waiting(Role::Consumer), ring.attached(), || self.try_get())
            .await
            .map_err(GetError::Failed)?
    }

    /// Waits without a thread for an item and takes up to `most` that are there, in order. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many), or the thread that wakes tasks cannot be started.
    pub async fn get_many_async(&mut self, most: usize) -> Result<Vec<T>, GetError> {
        let ring = self.ring().clone();
        turn(ring.waiting(Role::Consumer), ring.attached(), || self.try_get_many(most))
            .await
            .map_err(GetError::Failed)?
    }
}

impl<T: Plain> Producer<T> {
    /// Puts `item`, waiting without a thread while the queue is full. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was put.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), or the thread that wakes tasks cannot be started.
    pub async fn put_async(&mut self, item: T) -> Result<(), PutError<T>> {
        let ring = self.ring().clone();
        turn(ring.waiting(Role::Producer), ring.attached(), || self.try_put(item))
            .await
            .unwrap_or_else(|error| Err(PutError::Failed(item, error)))
    }
}
