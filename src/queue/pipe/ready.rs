//! An end of a pipe among the things to wait for.

use super::PipeEnd;
#[cfg(feature = "async")]
use super::PipeError;
use crate::error::{Error, Result};
use crate::participant::{Attached, sealed};
use crate::queue::pollable::{self, Key, Level};
use crate::queue::ready::ReadySource;
use crate::queue::ring::Waiting;
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
        let other = &self.pipe.head.ends[self.side.other() as usize];
        let alone = if thorough { other.is_gone(self.attached().member.host()) } else { other.is_closed() };
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
    /// Receives the next message, waiting without a thread. For any executor; dropping the future receives nothing.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Self::recv_bytes), or the thread that wakes tasks cannot be started.
    pub async fn recv_bytes_async(&self) -> Result<Vec<u8>, PipeError> {
        loop {
            match self.try_recv_bytes() {
                Err(PipeError::WouldBlock) => {}
                other => return other,
            }
            let source = MessageSource::new(self);
            crate::sync::Wait::new(source, &self.pipe.attached).await.map_err(PipeError::Failed)?;
        }
    }
}
