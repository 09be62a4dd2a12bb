//! One end of a pipe: sending and receiving.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::words::{Claim, EndWord};
use super::{Pipe, PipeError, Side};
use crate::error::{Error, Result};
use crate::participant::Handle;
use crate::queue::frames::FrameRing;
use crate::queue::ring::{NotPut, NotTaken, Waiting};
use crate::queue::wait::{Retry, until_looking};
use crate::time::Deadline;

/// One of the two ends of a [`Pipe`]; what it sends the other end receives, message by message and in order.
///
/// An end belongs to one process, whose threads share it: the first that uses it after [`Pipe::pair`], or the one that
/// [took](Pipe::left) it. Dropping it closes it (one that nobody used stays open as long as the maker of the pipe lives). To give it to another
/// process, fork before it is used, or serialise it: it is read there as a [`PipeEndHandle`].
///
/// # When somebody dies
///
/// The messages of the dead are received; then comes [`PipeError::Closed`], within some milliseconds for whoever waits. What counts is
/// the process that owns the end: children that it forked hold nothing open, and get
/// [`Error::Inherited`] if they use it.
///
/// ```
/// use procshare::Pipe;
///
/// let (mine, theirs) = Pipe::pair(4096)?;
/// mine.send_bytes(b"hello")?;
/// let mut short = [0; 4];
/// assert!(matches!(theirs.recv_into(&mut short), Err(procshare::PipeError::TooLong { len: 5 })));
/// let mut long = [0; 8];
/// assert_eq!(theirs.recv_into(&mut long)?, 5, "nothing was lost");
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct PipeEnd {
    pub(super) pipe: Pipe,
    side: Side,
}

/// An end of a pipe as data: [`attach`](Self::attach) makes it the receiver's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipeEndHandle {
    pipe: Handle<Pipe>,
    side: Side,
}

impl PipeEndHandle {
    /// Attaches to the pipe and takes the end.
    ///
    /// # Errors
    ///
    /// As [`Handle::attach`] and [`Pipe::left`].
    pub fn attach(&self) -> Result<PipeEnd> {
        self.pipe.attach()?.take(self.side)
    }
}

impl PipeEnd {
    pub(super) fn new(pipe: Pipe, side: Side) -> Self {
        PipeEnd { pipe, side }
    }

    /// Sends a message, waiting while there is no room.
    ///
    /// # Errors
    ///
    /// [`PipeError::Closed`]; [`PipeError::Failed`], also with [`Error::TooLong`] for a message longer than the capacity (nothing is sent,
    /// and the pipe works on) and with [`Error::Inherited`].
    pub fn send_bytes(&self, message: &[u8]) -> Result<(), PipeError> {
        self.send_until(message, Deadline::Never)
    }

    /// Sends a message if there is room.
    ///
    /// # Errors
    ///
    /// [`PipeError::WouldBlock`], and as [`send_bytes`](Self::send_bytes).
    pub fn try_send_bytes(&self, message: &[u8]) -> Result<(), PipeError> {
        self.send_until(message, Deadline::Now)
    }

    /// Sends a message, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PipeError::TimedOut`], and as [`send_bytes`](Self::send_bytes).
    pub fn send_bytes_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), PipeError> {
        timed(self.send_until(message, Deadline::after(timeout)))
    }

    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    ///
    /// [`PipeError::Closed`]; [`PipeError::Failed`], also with [`Error::Inherited`].
    pub fn recv_bytes(&self) -> Result<Vec<u8>, PipeError> {
        self.recv_until(Deadline::Never)
    }

    /// Receives the next message if it is there. An empty message is one, too.
    ///
    /// # Errors
    ///
    /// [`PipeError::WouldBlock`], and as [`recv_bytes`](Self::recv_bytes).
    pub fn try_recv_bytes(&self) -> Result<Vec<u8>, PipeError> {
        self.recv_until(Deadline::Now)
    }

    /// Receives the next message, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PipeError::TimedOut`], and as [`recv_bytes`](Self::recv_bytes).
    pub fn recv_bytes_timeout(&self, timeout: Duration) -> Result<Vec<u8>, PipeError> {
        timed(self.recv_until(Deadline::after(timeout)))
    }

    /// Receives the next message into the beginning of `to`, waiting for it; tells how long it is.
    ///
    /// # Errors
    ///
    /// [`PipeError::TooLong`] if `to` is too short: the message stays the next one. Else as [`recv_bytes`](Self::recv_bytes).
    pub fn recv_into(&self, to: &mut [u8]) -> Result<usize, PipeError> {
        self.recv_into_until(to, Deadline::Never)
    }

    /// Receives the next message into the beginning of `to` if it is there; tells how long it is.
    ///
    /// # Errors
    ///
    /// [`PipeError::WouldBlock`], and as [`recv_into`](Self::recv_into).
    pub fn try_recv_into(&self, to: &mut [u8]) -> Result<usize, PipeError> {
        self.recv_into_until(to, Deadline::Now)
    }

    /// Receives the next message into the beginning of `to`, waiting at most `timeout`; tells how long it is.
    ///
    /// # Errors
    ///
    /// [`PipeError::TimedOut`], and as [`recv_into`](Self::recv_into).
    pub fn recv_into_timeout(&self, to: &mut [u8], timeout: Duration) -> Result<usize, PipeError> {
        timed(self.recv_into_until(to, Deadline::after(timeout)))
    }

    fn recv_into_until(&self, to: &mut [u8], deadline: Deadline) -> Result<usize, PipeError> {
        let ring = self.incoming();
        let held = self.take(deadline, || ring.peek(deadline))?;
        let fits = held.len <= to.len();
        if fits {
            let (bytes, at) = ring.place(&held);
            bytes.read(at, &mut to[..held.len]);
        }
        ring.finish(held, fits);
        if fits { Ok(held.len) } else { Err(PipeError::TooLong { len: held.len }) }
    }

    /// Closes the end: the other one receives what was sent, and then [`PipeError::Closed`]. Dropping it does the same.
    pub fn close(self) {
        drop(self);
    }

    /// Whether nobody will ever receive what is sent from here: the other end was closed, or its process is gone.
    pub fn is_closed(&self) -> bool {
        self.pipe.is_gone(self.side.other())
    }

    /// The pipe it is an end of.
    pub fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    /// The end's address as data, for another process, if nobody has used the end yet. This one is without use once the receiver has
    /// attached.
    pub fn handle(&self) -> PipeEndHandle {
        PipeEndHandle { pipe: self.pipe.handle(), side: self.side }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    fn word(&self) -> &EndWord {
        &self.pipe.head.ends[self.side as usize]
    }

    fn other(&self) -> &EndWord {
        &self.pipe.head.ends[self.side.other() as usize]
    }

    pub(super) fn outgoing(&self) -> &FrameRing {
        &self.pipe.rings[self.side as usize]
    }

    pub(super) fn incoming(&self) -> &FrameRing {
        &self.pipe.rings[self.side.other() as usize]
    }

    /// Makes sure that the end is the calling process's.
    #[inline]
    pub(super) fn own(&self) -> Result<(), PipeError> {
        if self.word().is_of(self.pipe.attached.member.me()) { Ok(()) } else { self.own_slow() }
    }

    #[cold]
    fn own_slow(&self) -> Result<(), PipeError> {
        let attached = &self.pipe.attached;
        let me = attached.member.join(|| attached.object(), "use an end of it").map_err(PipeError::Failed)?;
        match self.word().claim(me) {
            Claim::Mine => Ok(()),
            Claim::Closed => Err(PipeError::Closed),
            Claim::Taken(_) => {
                Err(PipeError::Failed(Error::Inherited { object: attached.object(), what: "end" }))
            }
        }
    }

    /// Whether the other end is gone; with `thorough`, asks the oracle.
    pub(super) fn is_alone(&self, thorough: bool) -> bool {
        if thorough { self.is_closed() } else { self.other().is_closed() }
    }

    fn send_until(&self, message: &[u8], deadline: Deadline) -> Result<(), PipeError> {
        self.own()?;
        let ring = self.outgoing();
        ring.check_len(message.len()).map_err(PipeError::Failed)?;
        let attempt =
            || if self.is_alone(false) { Err(NotPut::Closed) } else { ring.put(&[message], deadline) };
        match self.until(ring.waiting(false), deadline, attempt) {
            Ok(_) => Ok(()),
            Err(NotPut::Closed) => Err(PipeError::Closed),
            Err(NotPut::Failed(error)) => Err(PipeError::Failed(error)),
            Err(NotPut::Full) if self.is_alone(true) => Err(PipeError::Closed),
            Err(NotPut::Full) => Err(PipeError::WouldBlock),
        }
    }

    fn recv_until(&self, deadline: Deadline) -> Result<Vec<u8>, PipeError> {
        let ring = self.incoming();
        let mut to = Vec::new();
        self.take(deadline, || ring.get(&mut to, deadline))?;
        Ok(to)
    }

    fn take<R>(
        &self,
        deadline: Deadline,
        mut attempt: impl FnMut() -> Result<R, NotTaken>,
    ) -> Result<R, PipeError> {
        self.own()?;
        // What was sent before the other end was closed is there by now.
        let mut attempt = || match attempt() {
            Err(NotTaken::Empty) if self.is_alone(false) => match attempt() {
                Err(NotTaken::Empty) => Err(NotTaken::Closed),
                other => other,
            },
            other => other,
        };
        let outcome = match self.until(self.incoming().waiting(true), deadline, &mut attempt) {
            // What the dead sent is found now, or that there is nothing.
            Err(NotTaken::Empty) if self.is_alone(true) => attempt(),
            other => other,
        };
        outcome.map_err(|why| match why {
            NotTaken::Closed => PipeError::Closed,
            NotTaken::Failed(error) => PipeError::Failed(error),
            NotTaken::Empty => PipeError::WouldBlock,
        })
    }

    /// Tries until it works, cannot work any more, or the deadline passes; looks whether the process at the other end lives.
    fn until<R, E: Retry>(
        &self,
        waiting: Waiting<'_>,
        deadline: Deadline,
        attempt: impl FnMut() -> Result<R, E>,
    ) -> Result<R, E> {
        let member = &self.pipe.attached.member;
        until_looking(member.host(), member.me(), waiting, deadline, attempt, || {
            self.is_alone(true);
        })
    }
}

pub(super) fn timed<R>(outcome: Result<R, PipeError>) -> Result<R, PipeError> {
    match outcome {
        Err(PipeError::WouldBlock) => Err(PipeError::TimedOut),
        other => other,
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        // An end that nobody used, or that is another process's, stays as it is.
        if self.word().close(self.pipe.attached.member.me()) {
            self.pipe.tell(self.side.other());
        }
    }
}

impl fmt::Debug for PipeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeEnd")
            .field("object", &self.pipe.attached.object())
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl Serialize for PipeEnd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle().serialize(serializer)
    }
}
