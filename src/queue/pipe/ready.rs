//! An end of a pipe among the things to wait for.

#[cfg(all(feature = "async", feature = "postcard"))]
use serde::{Serialize, de::DeserializeOwned};

use super::PipeEnd;
#[cfg(feature = "async")]
use super::PipeError;
use crate::error::{Error, Result};
use crate::participant::{Attached, sealed};
use crate::queue::pollable::{self, Key, Level};
use crate::queue::ready::ReadySource;
use crate::queue::ring::Waiting;
#[cfg(feature = "async")]
use crate::queue::tasks::turn;
use crate::sync::{Announced, Attempt, Begun, Look, Source, Waitable};
use crate::sys::ReadyFd;

impl sealed::Sealed for PipeEnd {}

/// Ready as soon as a message is there or the other end is gone.
impl Waitable for PipeEnd {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(MessageSource::new(self))
    }
}

/// The next message that somebody waits for.
struct MessageSource<'a> {
    end: &'a PipeEnd,
    ring: ReadySource<'a, crate::queue::frames::FrameRing>,
}

impl<'a> MessageSource<'a> {
    fn new(end: &'a PipeEnd) -> Self {
        MessageSource { end, ring: ReadySource::new(end.incoming()) }
    }
}

impl<'a> Source<'a> for MessageSource<'a> {
    type Output = ();

    fn attempt(&mut self, look: Look) -> Result<Attempt<()>> {
        if self.end.is_alone(look != Look::Quick) {
            return Ok(Attempt::Taken(()));
        }
        self.ring.attempt(look)
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        self.end.own().map_err(Error::from)?;
        self.ring.announce()
    }
}

/// The messages that come to an end, for a descriptor. It keeps the end open as little as it is one.
struct MessageLevel {
    pipe: super::Pipe,
    side: super::Side,
}

impl MessageLevel {
    fn incoming(&self) -> &crate::queue::frames::FrameRing {
        &self.pipe.rings[self.side.other() as usize]
    }
}

impl Level for MessageLevel {
    fn is_ready(&self, _: u64, thorough: bool) -> Result<bool> {
        let side = self.side.other();
        let alone =
            if thorough { self.pipe.is_gone(side) } else { self.pipe.head.ends[side as usize].is_closed() };
        Ok(alone || self.incoming().has_item(thorough)?)
    }

    fn waiting(&self) -> Waiting<'_> {
        self.incoming().waiting(true)
    }

    fn attached(&self) -> &Attached {
        &self.pipe.attached
    }
}

impl PipeEnd {
    /// A descriptor that is readable while there may be a message to [`try_recv_bytes`](Self::try_recv_bytes), or the other end is gone;
    /// see [`Queue::as_fd`](crate::Queue::as_fd).
    ///
    /// # Errors
    ///
    /// As [`Queue::as_fd`](crate::Queue::as_fd), [`Error::Inherited`] and [`Error::Closed`].
    pub fn as_fd(&self) -> Result<ReadyFd> {
        self.own().map_err(Error::from)?;
        let level = MessageLevel { pipe: self.pipe.clone(), side: self.side() };
        pollable::watch(Key::of(self.incoming().waiting(true).events), level, 0)
    }
}

#[cfg(feature = "async")]
impl PipeEnd {
    /// Sends a message, waiting without a thread while there is no room. For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// As [`send_bytes`](Self::send_bytes), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// let (mine, theirs) = procshare::Pipe::pair(16)?;
    /// let other = tokio::spawn(async move { theirs.recv_bytes_async().await });
    /// mine.send_bytes_async(b"hello").await?;
    /// assert_eq!(other.await.unwrap()?, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_bytes_async(&self, message: &[u8]) -> Result<(), PipeError> {
        let waiting = self.outgoing().waiting(false);
        turn(waiting, &self.pipe.attached, || self.try_send_bytes(message))
            .await
            .map_err(PipeError::Failed)?
    }

    /// Receives the next message, waiting without a thread. For any executor; dropping the future receives nothing.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Self::recv_bytes), or the thread that wakes tasks cannot be started.
    pub async fn recv_bytes_async(&self) -> Result<Vec<u8>, PipeError> {
        let waiting = self.incoming().waiting(true);
        turn(waiting, &self.pipe.attached, || self.try_recv_bytes()).await.map_err(PipeError::Failed)?
    }
}

#[cfg(all(feature = "async", feature = "postcard"))]
impl PipeEnd {
    /// Sends `message`, waiting without a thread while there is no room (feature `postcard`). For any executor.
    ///
    /// If the future is dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), or the thread that wakes tasks cannot be started.
    pub async fn send_async<T: Serialize + DeserializeOwned>(&self, message: &T) -> Result<(), PipeError> {
        let bytes = self.encoded(message)?;
        self.send_bytes_async(&bytes).await
    }

    /// Receives the next message, waiting without a thread (feature `postcard`). For any executor; dropping the future receives nothing.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), or the thread that wakes tasks cannot be started.
    pub async fn recv_async<T: Serialize + DeserializeOwned>(&self) -> Result<T, PipeError> {
        self.decoded(&self.recv_bytes_async().await?)
    }
}
