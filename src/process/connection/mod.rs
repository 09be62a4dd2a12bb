//! Connections between unrelated programs: messages over Unix sockets and TCP.
//!
//! | file | holds |
//! |---|---|
//! | `auth` | who both ends are |
//! | `stream` | bytes with deadlines, over either kind of socket |
//! | this | addresses, listeners, connections, frames |

mod auth;
mod stream;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use auth::Key;

use auth::{ANSWER, Doubt, Exchange, HELLO, VERDICT};
use stream::Stream;

use crate::sys::sockets::{LocalListener, someone_comes};
use crate::time::Deadline;

/// How long the first words may take, unless said otherwise.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest message, unless said otherwise.
const LONGEST: usize = 16 * 1024 * 1024;
/// Bytes read at a time: no memory is taken for bytes that have not come.
const PIECE: usize = 64 * 1024;

/// Where a [`Listener`] listens.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket at this path.
    Local(PathBuf),
    /// A TCP port; 0 lets the system choose.
    Tcp(SocketAddr),
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Address::Local(path.to_owned())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Address::Local(path)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Local(path) => path.display().fmt(f),
            Address::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// Why there is no connection, or no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The other end is not who it should be.
    #[error("the other end was refused: {reason}")]
    Refused {
        /// Why.
        reason: &'static str,
    },
    /// TCP without a key.
    #[error("{address} can be reached by anybody: set a key, or use a path")]
    KeyNeeded {
        /// Where to.
        address: Address,
    },
    /// The other end is gone, or this one was broken off.
    #[error("the connection is closed")]
    Closed,
    /// A message that is too long.
    #[error("a message of {len} bytes is longer than {limit}: raise the limit on both ends, or send less")]
    TooLong {
        /// Bytes of the message.
        len: u64,
        /// The most that is allowed.
        limit: usize,
    },
    /// The timeout passed.
    #[error("the timeout passed: the other end is slow, or not there")]
    TimedOut,
    /// A value that has no bytes, or bytes that are none.
    #[error("the message cannot be {action}: {reason}")]
    Codec {
        /// What was tried.
        action: &'static str,
        /// What the codec says.
        reason: String,
    },
    /// The system failed.
    #[error("{address}: {source}")]
    Io {
        /// Where.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
}

impl From<Doubt> for ConnectionError {
    fn from(doubt: Doubt) -> Self {
        ConnectionError::Refused {
            reason: match doubt {
                Doubt::Stranger => "it speaks another protocol",
                Doubt::OneKey => "one end has a key and the other has none",
                Doubt::OtherKey => "its key is another one",
            },
        }
    }
}

/// Options of a [`Listener`] or [`Connection`].
///
/// Without a key, both ends must belong to one user, and connect by a path.
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `listen` or `connect` is called"]
pub struct ConnectionOptions {
    key: Option<Key>,
    longest: usize,
    handshake: Duration,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        ConnectionOptions { key: None, longest: LONGEST, handshake: HANDSHAKE }
    }
}

impl ConnectionOptions {
    /// Lets only those in who have the same key; each end convinces the other without showing it.
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// The most bytes of a message; 16 MiB unless said.
    pub fn longest(mut self, bytes: usize) -> Self {
        self.longest = bytes.min(u32::MAX as usize);
        self
    }

    /// How long connecting and the first words may take; 10 s unless said.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake = timeout;
        self
    }

    /// Listens at `address`.
    ///
    /// A path is made for its user alone, and taken over if nobody listens there any more.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::KeyNeeded`] for TCP without a key; [`ConnectionError::Io`], also if somebody listens there.
    pub fn listen(self, address: impl Into<Address>) -> Result<Listener, ConnectionError> {
        let address = address.into();
        let fail = |source| ConnectionError::Io { address: address.clone(), source };
        match &address {
            Address::Local(path) => {
                let socket = ListenerSocket::Local(LocalListener::bind(path).map_err(fail)?);
                Ok(Listener { socket, address, options: self })
            }
            Address::Tcp(_) if self.key.is_none() => Err(ConnectionError::KeyNeeded { address }),
            Address::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).map_err(fail)?;
                listener.set_nonblocking(true).map_err(fail)?;
                let address = Address::Tcp(listener.local_addr().map_err(fail)?);
                Ok(Listener { socket: ListenerSocket::Tcp(listener), address, options: self })
            }
        }
    }

    /// Connects to a listener.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Refused`], [`ConnectionError::KeyNeeded`], [`ConnectionError::TimedOut`], [`ConnectionError::Closed`] if the
    /// listener refuses, [`ConnectionError::Io`].
    pub fn connect(self, address: impl Into<Address>) -> Result<Connection, ConnectionError> {
        let address = address.into();
        if let (Address::Tcp(_), None) = (&address, &self.key) {
            return Err(ConnectionError::KeyNeeded { address });
        }
        let deadline = Deadline::after(self.handshake);
        let mut stream = Stream::connect(&address, deadline).map_err(|error| explain(&address, error))?;
        check_user(&stream, &self, &address)?;
        let fail = |error| explain(&address, error);
        let exchange = Exchange::new(self.key.as_ref());
        let (mut hello, mut verdict) = ([0; HELLO], [0; VERDICT]);
        stream.read_exact(&mut hello, deadline).map_err(fail)?;
        stream.write_all(&exchange.answer(&hello)?, deadline).map_err(fail)?;
        stream.read_exact(&mut verdict, deadline).map_err(fail)?;
        exchange.accept(&hello, &verdict)?;
        Ok(Connection::new(stream, address, self.longest))
    }
}

/// Who is no key's owner must be the same user.
fn check_user(
    stream: &Stream,
    options: &ConnectionOptions,
    address: &Address,
) -> Result<(), ConnectionError> {
    let known = options.key.is_some() || stream.is_own_users().map_err(|error| explain(address, error))?;
    if known { Ok(()) } else { Err(ConnectionError::Refused { reason: "it belongs to another user" }) }
}

fn explain(address: &Address, source: io::Error) -> ConnectionError {
    match source.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ConnectionError::TimedOut,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            ConnectionError::Closed
        }
        _ => ConnectionError::Io { address: address.clone(), source },
    }
}

#[derive(Debug)]
enum ListenerSocket {
    Local(LocalListener),
    Tcp(TcpListener),
}

/// Where other programs connect to.
///
/// ```
/// use procshare::process::{Client, Listener};
///
/// let path = std::env::temp_dir().join(format!("doc-listener-{}", std::process::id()));
/// let listener = Listener::bind(path.as_path())?;
/// let client = std::thread::spawn(move || Client::connect(path)?.send(&("hello", 5u32)));
/// let mut connection = listener.accept()?;
/// assert_eq!(connection.recv::<(String, u32)>()?, ("hello".to_owned(), 5));
/// client.join().unwrap()?;
/// # Ok::<(), procshare::process::ConnectionError>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    socket: ListenerSocket,
    address: Address,
    options: ConnectionOptions,
}

/// Connects to listeners.
#[derive(Clone, Copy, Debug)]
pub struct Client;

impl Client {
    /// Options: key, longest message.
    pub fn options() -> ConnectionOptions {
        ConnectionOptions::default()
    }

    /// Connects to the listener of the same user at `address`.
    ///
    /// # Errors
    ///
    /// See [`ConnectionOptions::connect`].
    pub fn connect(address: impl Into<Address>) -> Result<Connection, ConnectionError> {
        Self::options().connect(address)
    }
}

impl Listener {
    /// Options: key, longest message.
    pub fn options() -> ConnectionOptions {
        ConnectionOptions::default()
    }

    /// Listens for clients of the same user at `address`.
    ///
    /// # Errors
    ///
    /// See [`ConnectionOptions::listen`].
    pub fn bind(address: impl Into<Address>) -> Result<Self, ConnectionError> {
        Self::options().listen(address)
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for somebody who comes and is who it should be. An error means one visitor: accept again.
    ///
    /// A visitor who says nothing takes the [handshake timeout](ConnectionOptions::handshake_timeout); to hear several at a time
    /// use [`incoming`](Self::incoming).
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Refused`], [`ConnectionError::TimedOut`] or [`ConnectionError::Closed`] for a visitor; [`ConnectionError::Io`].
    pub fn accept(&self) -> Result<Connection, ConnectionError> {
        self.incoming_until(Deadline::Never)?.handshake()
    }

    /// As [`accept`](Self::accept), waiting at most `timeout` for somebody to come.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`] also if nobody came, and as [`accept`](Self::accept).
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Connection, ConnectionError> {
        self.incoming_until(Deadline::after(timeout))?.handshake()
    }

    /// Waits for somebody who comes, and leaves the first words to the caller: another thread, for example.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Io`].
    pub fn incoming(&self) -> Result<Incoming, ConnectionError> {
        self.incoming_until(Deadline::Never)
    }

    fn incoming_until(&self, deadline: Deadline) -> Result<Incoming, ConnectionError> {
        let fail = |source| explain(&self.address, source);
        loop {
            let accepted = match &self.socket {
                ListenerSocket::Local(listener) => listener.accept().map(Stream::Local),
                ListenerSocket::Tcp(listener) => {
                    listener.accept().and_then(|(stream, _)| Stream::tcp(stream))
                }
            };
            match accepted {
                Ok(stream) => {
                    return Ok(Incoming {
                        stream,
                        address: self.address.clone(),
                        options: self.options.clone(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It came and went.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(fail(error)),
            }
            if deadline.is_over() {
                return Err(ConnectionError::TimedOut);
            }
            match &self.socket {
                ListenerSocket::Local(listener) => listener.comes(deadline).map_err(fail)?,
                ListenerSocket::Tcp(listener) => someone_comes(listener, deadline).map_err(fail)?,
            }
        }
    }
}

/// Somebody who came to a [`Listener`] and has not said a word yet.
#[derive(Debug)]
pub struct Incoming {
    stream: Stream,
    address: Address,
    options: ConnectionOptions,
}

impl Incoming {
    /// Finds out whether it is who it should be.
    ///
    /// # Errors
    ///
    /// As [`Listener::accept`].
    pub fn handshake(self) -> Result<Connection, ConnectionError> {
        let Incoming { mut stream, address, options } = self;
        check_user(&stream, &options, &address)?;
        let deadline = Deadline::after(options.handshake);
        let exchange = Exchange::new(options.key.as_ref());
        let mut answer = [0; ANSWER];
        let fail = |error| explain(&address, error);
        stream.write_all(&exchange.hello(), deadline).map_err(fail)?;
        stream.read_exact(&mut answer, deadline).map_err(fail)?;
        match exchange.verdict(&answer) {
            Ok(verdict) => stream.write_all(&verdict, deadline).map_err(fail)?,
            Err(doubt) => {
                // It learns no more than that.
                let _ = stream.write_all(&[0; VERDICT], deadline);
                return Err(doubt.into());
            }
        }
        Ok(Connection::new(stream, address, options.longest))
    }
}

/// A connection that carries messages: bytes, or anything that serde knows.
///
/// A message is its length in four bytes (little-endian) and its bytes; values are encoded by postcard. Data only: nothing that arrives
/// is ever executed.
///
/// # When the other end dies
///
/// [`ConnectionError::Closed`], after all that arrived whole. A message that was cut off is never delivered.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    address: Address,
    longest: usize,
    /// What has come of the next message, length included.
    begun: Vec<u8>,
    is_broken: bool,
}

impl Connection {
    fn new(stream: Stream, address: Address, longest: usize) -> Self {
        Connection { stream, address, longest, begun: Vec::new(), is_broken: false }
    }

    /// Sends a value.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Codec`], and as [`send_bytes`](Self::send_bytes).
    pub fn send<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ConnectionError> {
        let codec =
            |error: postcard::Error| ConnectionError::Codec { action: "encoded", reason: error.to_string() };
        self.send_bytes(&postcard::to_allocvec(value).map_err(codec)?)
    }

    /// Waits for a value.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Codec`] for bytes that are no `T` (they are taken out), and as [`recv_bytes`](Self::recv_bytes).
    pub fn recv<T: DeserializeOwned>(&mut self) -> Result<T, ConnectionError> {
        let bytes = self.recv_bytes()?;
        decode(&bytes)
    }

    /// As [`recv`](Self::recv), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`], and as [`recv`](Self::recv). What has come of the message is kept for the next call.
    pub fn recv_timeout<T: DeserializeOwned>(&mut self, timeout: Duration) -> Result<T, ConnectionError> {
        let bytes = self.recv_bytes_timeout(timeout)?;
        decode(&bytes)
    }

    /// Sends a message; waits while the other end does not read.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TooLong`], and nothing is sent; [`ConnectionError::Closed`]; [`ConnectionError::Io`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.send_until(bytes, Deadline::Never)
    }

    /// As [`send_bytes`](Self::send_bytes), waiting at most `timeout`. The connection is closed if it passes.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`], and as [`send_bytes`](Self::send_bytes).
    pub fn send_bytes_timeout(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), ConnectionError> {
        self.send_until(bytes, Deadline::after(timeout))
    }

    fn send_until(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), ConnectionError> {
        if self.is_broken {
            return Err(ConnectionError::Closed);
        }
        if bytes.len() > self.longest {
            return Err(ConnectionError::TooLong { len: bytes.len() as u64, limit: self.longest });
        }
        let mut frame = Vec::with_capacity(4 + bytes.len());
        frame.extend((bytes.len() as u32).to_le_bytes());
        frame.extend(bytes);
        self.stream.write_all(&frame, deadline).map_err(|error| {
            // Half a message may be under way: what comes behind it would be taken for the rest.
            self.is_broken = true;
            explain(&self.address, error)
        })
    }

    /// Waits for a message.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`]; [`ConnectionError::TooLong`], which closes the connection; [`ConnectionError::Io`].
    pub fn recv_bytes(&mut self) -> Result<Vec<u8>, ConnectionError> {
        self.recv_until(Deadline::Never)
    }

    /// As [`recv_bytes`](Self::recv_bytes), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`], and as [`recv_bytes`](Self::recv_bytes). What has come of the message is kept for the next call.
    pub fn recv_bytes_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, ConnectionError> {
        self.recv_until(Deadline::after(timeout))
    }

    fn recv_until(&mut self, deadline: Deadline) -> Result<Vec<u8>, ConnectionError> {
        if self.is_broken {
            return Err(ConnectionError::Closed);
        }
        loop {
            let wanted = match self.begun.first_chunk::<4>() {
                None => 4,
                Some(len) => {
                    let len = u32::from_le_bytes(*len) as usize;
                    if len > self.longest {
                        self.is_broken = true;
                        return Err(ConnectionError::TooLong { len: len as u64, limit: self.longest });
                    }
                    4 + len
                }
            };
            let missing = wanted - self.begun.len();
            if missing == 0 {
                let message = self.begun.split_off(4);
                self.begun.clear();
                return Ok(message);
            }
            self.read_some(missing, deadline)?;
        }
    }

    /// Reads at most so many bytes.
    fn read_some(&mut self, missing: usize, deadline: Deadline) -> Result<(), ConnectionError> {
        let before = self.begun.len();
        self.begun.resize(before + missing.min(PIECE), 0);
        let read = self.stream.read(&mut self.begun[before..], deadline);
        self.begun.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => {
                self.is_broken = true;
                Err(ConnectionError::Closed)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(explain(&self.address, error)),
        }
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ConnectionError> {
    let codec =
        |error: postcard::Error| ConnectionError::Codec { action: "decoded", reason: error.to_string() };
    postcard::from_bytes(bytes).map_err(codec)
}
