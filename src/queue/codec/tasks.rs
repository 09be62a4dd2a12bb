//! A queue with a codec used by tasks.

use super::{Codec, CodecQueue, PeekedItem};
use crate::queue::error::{GetError, PutError};

impl<T, C: Codec<T>> CodecQueue<T, C> {
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
    /// # #[cfg(feature = "postcard")] {
    /// let words = procshare::PostcardQueue::<String>::anonymous(64)?;
    /// words.put_async(&"hello".to_owned()).await?;
    /// assert_eq!(words.get_async().await?, "hello");
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_async(&self) -> Result<T, GetError> {
        let held = self.bytes.peek_async().await?;
        self.decoded_out(held)
    }

    /// Lends the next item, waiting without a thread while there is none: it is taken out when it is [released](PeekedItem::release).
    /// For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get_async`](Self::get_async).
    pub async fn peek_async(&self) -> Result<PeekedItem<'_, T>, GetError> {
        let held = self.bytes.peek_async().await?;
        self.decoded(held)
    }

    /// Waits without a thread for an item and takes up to `most` that are there, in order; bytes that are no item are
    /// errors in between. For any executor.
    ///
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`get_many`](Self::get_many), or the thread that wakes tasks cannot be started.
    pub async fn get_many_async(&self, most: usize) -> Result<Vec<crate::Result<T>>, GetError> {
        self.bytes.get_many_async(most).await.map(|items| self.all_decoded(&items))
    }

    /// Encodes `item` and puts it, waiting without a thread while there is no room. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was put.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), or the thread that wakes tasks cannot be started.
    pub async fn put_async(&self, item: &T) -> Result<(), PutError<()>> {
        let bytes = self.encoded(item)?;
        self.bytes.put_async(&bytes).await
    }
}
