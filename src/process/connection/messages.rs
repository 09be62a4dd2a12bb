//! A connection: values and bytes, in both directions.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ConnectionError;
use crate::net::Address;
use crate::net::frame::{BadLength, Frames};
use crate::net::handshake::Other;
use crate::sys::sockets::{self, Shut, Stream};
use crate::time::Deadline;

/// Bytes received at a time, at least: no memory is taken for bytes that have not come.
const PIECE: usize = 64 << 10;

/// A connection that carries messages: bytes, or anything that serde knows.
///
/// A message is a frame as `docs/protocol.md` tells; values are encoded by postcard. Data only: nothing that arrives
/// is ever executed. Every call comes in three forms: it waits, it does not (`try_`), or it waits so long (`_timeout`).
///
/// # In an event loop
///
/// The descriptor (`as_fd`) is readable when something of a message, or the end, is there: receive by `try_` calls until
/// [`ConnectionError::WouldBlock`]. A message that [`poll`](Self::poll) found is here already, and no longer there. After a `try_send` poll
/// it for writing as long as [`is_flushed`](Self::is_flushed) says no, and [`try_flush`](Self::try_flush).
///
/// ```
/// # #[cfg(unix)] {
/// use std::os::fd::AsRawFd;
/// use procshare::process::{Client, ConnectionError, Listener};
///
/// let path = std::env::temp_dir().join(format!("doc-connection-{}", std::process::id()));
/// let listener = Listener::bind(path.as_path())?;
/// let client = std::thread::spawn(move || Client::connect(path));
/// let mut one = listener.accept()?;
/// let mut other = client.join().unwrap()?;
///
/// assert!(matches!(other.try_recv_bytes(), Err(ConnectionError::WouldBlock)));
/// one.send_bytes(b"ping")?;
/// let mut poll = libc::pollfd { fd: other.as_raw_fd(), events: libc::POLLIN, revents: 0 };
/// // SAFETY: one entry, for the length of the call.
/// assert_eq!(unsafe { libc::poll(&mut poll, 1, -1) }, 1);
/// assert_eq!(other.try_recv_bytes()?, b"ping");
/// # }
/// # Ok::<(), procshare::process::ConnectionError>(())
/// ```
///
/// # When the other end dies
///
/// [`ConnectionError::Closed`], after all that arrived whole. A message that was cut off is never delivered. On TCP a machine that
/// vanished is noticed within some ten seconds. A child that the other end forked keeps the connection open as long as it lives.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    address: Address,
    /// The longest message that is taken.
    longest: usize,
    /// The longest one that the other end takes.
    theirs: u64,
    /// What has come of the next message.
    frames: Frames,
    /// The message that is being sent, and how much of it has been.
    unsent: Vec<u8>,
    sent: usize,
    /// Nothing will come any more.
    has_ended: bool,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        mut frames: Frames,
        address: Address,
        longest: usize,
        other: Other,
    ) -> Self {
        frames.allow_empty();
        let (unsent, sent, has_ended) = (Vec::new(), 0, false);
        Connection { stream, address, longest, theirs: other.longest, frames, unsent, sent, has_ended }
    }

    /// Who is at the other end, as far as the system knows: a user, or an address.
    pub fn peer(&self) -> String {
        self.stream.peer()
    }

    /// Sends a value.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Codec`], and as [`send_bytes`](Self::send_bytes).
    pub fn send<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ConnectionError> {
        self.send_bytes(&encode(value)?)
    }

    /// As [`send`](Self::send), without waiting: see [`try_send_bytes`](Self::try_send_bytes).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`ConnectionError::WouldBlock`].
    pub fn try_send<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ConnectionError> {
        self.try_send_bytes(&encode(value)?)
    }

    /// As [`send`](Self::send), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) and [`send_bytes_timeout`](Self::send_bytes_timeout).
    pub fn send_timeout<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        timeout: Duration,
    ) -> Result<(), ConnectionError> {
        self.send_bytes_timeout(&encode(value)?, timeout)
    }

    /// Sends bytes, also none; waits while the other end does not receive.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TooLong`] for more than either end takes, [`ConnectionError::Closed`], [`ConnectionError::Io`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.send_until(bytes, Deadline::Never)
    }

    /// As [`send_bytes`](Self::send_bytes), without waiting.
    ///
    /// A message of which the system took a part counts as sent: the rest goes with the next call, or by
    /// [`try_flush`](Self::try_flush).
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WouldBlock`] if there is no room, or the rest of the message before waits; then nothing of this one was
    /// sent. And as [`send_bytes`](Self::send_bytes).
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        match self.send_until(bytes, Deadline::Now) {
            Err(ConnectionError::UnderWay) => Ok(()),
            other => other,
        }
    }

    /// As [`send_bytes`](Self::send_bytes), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`] if nothing of it was sent, [`ConnectionError::UnderWay`] if a part was, and as
    /// [`send_bytes`](Self::send_bytes).
    pub fn send_bytes_timeout(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), ConnectionError> {
        self.send_until(bytes, Deadline::after(timeout)).map_err(late)
    }

    /// Whether nothing of a message waits in this process.
    pub fn is_flushed(&self) -> bool {
        self.sent == self.unsent.len()
    }

    /// Sends the rest of a message of which only a part could be sent.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`], [`ConnectionError::Io`].
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        self.flush_until(Deadline::Never)
    }

    /// As [`flush`](Self::flush), without waiting.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WouldBlock`] if some of it still waits, and as [`flush`](Self::flush).
    pub fn try_flush(&mut self) -> Result<(), ConnectionError> {
        self.flush_until(Deadline::Now)
    }

    /// As [`flush`](Self::flush), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`] if some of it still waits, and as [`flush`](Self::flush).
    pub fn flush_timeout(&mut self, timeout: Duration) -> Result<(), ConnectionError> {
        self.flush_until(Deadline::after(timeout)).map_err(late)
    }

    fn send_until(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), ConnectionError> {
        let (len, limit) = (bytes.len() as u64, self.theirs.min(u32::MAX.into()));
        if len > limit {
            return Err(ConnectionError::TooLong { len, limit });
        }
        // What is late here is the message before: nothing of this one is under way.
        self.flush_until(deadline)?;
        self.unsent.extend_from_slice(&(len as u32).to_be_bytes());
        self.unsent.extend_from_slice(bytes);
        match self.flush_until(deadline) {
            Err(ConnectionError::WouldBlock | ConnectionError::TimedOut) if self.sent > 0 => {
                Err(ConnectionError::UnderWay)
            }
            Err(error) => {
                self.forget_unsent();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    fn flush_until(&mut self, deadline: Deadline) -> Result<(), ConnectionError> {
        while self.sent < self.unsent.len() {
            let sent = self.stream.send(&self.unsent[self.sent..], deadline);
            self.sent += sent.map_err(|error| ConnectionError::of(&self.address, error))?;
        }
        self.forget_unsent();
        Ok(())
    }

    fn forget_unsent(&mut self) {
        self.unsent.clear();
        self.sent = 0;
        // One long message does not keep its memory.
        self.unsent.shrink_to(PIECE);
    }

    /// Waits for a value.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Codec`] for bytes that are no `T` (they are taken out), and as [`recv_bytes`](Self::recv_bytes).
    pub fn recv<T: DeserializeOwned>(&mut self) -> Result<T, ConnectionError> {
        self.recv_until(Deadline::Never, decode)?
    }

    /// As [`recv`](Self::recv), if a whole message has come.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WouldBlock`], and as [`recv`](Self::recv).
    pub fn try_recv<T: DeserializeOwned>(&mut self) -> Result<T, ConnectionError> {
        self.recv_until(Deadline::Now, decode)?
    }

    /// As [`recv`](Self::recv), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`], and as [`recv`](Self::recv). What has come of the message is kept for the next call.
    pub fn recv_timeout<T: DeserializeOwned>(&mut self, timeout: Duration) -> Result<T, ConnectionError> {
        self.recv_until(Deadline::after(timeout), decode).map_err(late)?
    }

    /// Waits for a message.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`]; [`ConnectionError::TooLong`], which ends the connection: the other end was told the limit, and
    /// does not keep to it; [`ConnectionError::Io`].
    pub fn recv_bytes(&mut self) -> Result<Vec<u8>, ConnectionError> {
        self.recv_until(Deadline::Never, <[u8]>::to_vec)
    }

    /// As [`recv_bytes`](Self::recv_bytes), if a whole message has come.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WouldBlock`], and as [`recv_bytes`](Self::recv_bytes). What has come of the message is kept.
    pub fn try_recv_bytes(&mut self) -> Result<Vec<u8>, ConnectionError> {
        self.recv_until(Deadline::Now, <[u8]>::to_vec)
    }

    /// As [`recv_bytes`](Self::recv_bytes), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`], and as [`recv_bytes`](Self::recv_bytes). What has come of the message is kept for the next call.
    pub fn recv_bytes_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, ConnectionError> {
        self.recv_until(Deadline::after(timeout), <[u8]>::to_vec).map_err(late)
    }

    /// Waits for a message, puts it into the front of `to`, and tells its length.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::BufferTooShort`] with the message, if there is not room enough; the connection goes on. And as
    /// [`recv_bytes`](Self::recv_bytes).
    pub fn recv_bytes_into(&mut self, to: &mut [u8]) -> Result<usize, ConnectionError> {
        self.recv_until(Deadline::Never, |message| match to.get_mut(..message.len()) {
            Some(place) => {
                place.copy_from_slice(message);
                Ok(message.len())
            }
            None => {
                let (message, room) = (message.to_vec(), to.len());
                Err(ConnectionError::BufferTooShort { message, room })
            }
        })?
    }

    /// Waits until there is something to receive, at most `timeout`; whether there is. The end counts.
    ///
    /// # Errors
    ///
    /// None but those of the system: what is wrong with the connection, receiving tells.
    pub fn poll(&mut self, timeout: Duration) -> Result<bool, ConnectionError> {
        match self.arrive(Deadline::after(timeout)) {
            Err(ConnectionError::WouldBlock | ConnectionError::TimedOut) => Ok(false),
            Err(error @ ConnectionError::Io { .. }) => Err(error),
            Ok(()) | Err(_) => Ok(true),
        }
    }

    fn recv_until<R>(
        &mut self,
        deadline: Deadline,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, ConnectionError> {
        self.arrive(deadline)?;
        let message = self.frames.next(self.longest).map_err(|bad| too_long(bad, self.longest))?;
        let taken = take(message.unwrap_or_default());
        self.frames.shrink(PIECE);
        Ok(taken)
    }

    /// Lets a whole message come. Nothing behind it is read: of that the descriptor tells.
    fn arrive(&mut self, deadline: Deadline) -> Result<(), ConnectionError> {
        loop {
            let missing = match self.frames.missing(self.longest) {
                Ok(0) => return Ok(()),
                Ok(missing) => missing,
                Err(bad) => {
                    self.stream.shut(Shut::Both);
                    return Err(too_long(bad, self.longest));
                }
            };
            if self.has_ended {
                return Err(ConnectionError::Closed);
            }
            // As much again as has come: no memory for what is only announced.
            let piece = missing.min(PIECE.max(self.frames.len()));
            match self.frames.fill(piece, |room| self.stream.recv(room, deadline)) {
                Ok(0) => self.has_ended = true,
                Ok(_) => {}
                Err(error) => return Err(ConnectionError::of(&self.address, error)),
            }
        }
    }
}

sockets::has_descriptor!(Connection, stream);

/// Who said how long it waits was late; who did not want to wait would have had to.
fn late(error: ConnectionError) -> ConnectionError {
    match error {
        ConnectionError::WouldBlock => ConnectionError::TimedOut,
        other => other,
    }
}

fn too_long(bad: BadLength, limit: usize) -> ConnectionError {
    ConnectionError::TooLong { len: bad.announced.into(), limit: limit as u64 }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, ConnectionError> {
    postcard::to_allocvec(value)
        .map_err(|error| ConnectionError::Codec { action: "encoded", reason: error.to_string() })
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ConnectionError> {
    postcard::from_bytes(bytes)
        .map_err(|error| ConnectionError::Codec { action: "decoded", reason: error.to_string() })
}
