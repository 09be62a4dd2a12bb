//! Waiting for those who come.

use std::io;
use std::time::Duration;

use super::messages::Connection;
use super::{ConnectionError, ConnectionOptions};
use crate::net::Address;
use crate::net::frame::Frames;
use crate::net::handshake;
use crate::sys::sockets::{self, Stream};
use crate::time::Deadline;

/// Where other programs connect to.
///
/// It can be polled: its descriptor is readable when [`try_incoming`](Self::try_incoming) is worth while.
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
    socket: sockets::Listener,
    address: Address,
    options: ConnectionOptions,
}

impl Listener {
    pub(super) fn new(socket: sockets::Listener, address: Address, options: ConnectionOptions) -> Self {
        Listener { socket, address, options }
    }

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
        self.incoming()?.handshake()
    }

    /// As [`accept`](Self::accept), if somebody has come. Whoever has is given the handshake timeout all the same.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WouldBlock`] if there is nobody, and as [`accept`](Self::accept).
    pub fn try_accept(&self) -> Result<Connection, ConnectionError> {
        self.try_incoming()?.handshake()
    }

    /// As [`accept`](Self::accept), waiting at most `timeout` for somebody to come.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`] also if nobody came, and as [`accept`](Self::accept).
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Connection, ConnectionError> {
        self.incoming_timeout(timeout)?.handshake()
    }

    /// Waits for somebody who comes, and leaves the first words to the caller: another thread, for example.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Io`].
    pub fn incoming(&self) -> Result<Incoming, ConnectionError> {
        self.incoming_until(Deadline::Never)
    }

    /// As [`incoming`](Self::incoming), if somebody has come.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WouldBlock`] if there is nobody; [`ConnectionError::Io`].
    pub fn try_incoming(&self) -> Result<Incoming, ConnectionError> {
        self.incoming_until(Deadline::Now)
    }

    /// As [`incoming`](Self::incoming), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::TimedOut`] if nobody came; [`ConnectionError::Io`].
    pub fn incoming_timeout(&self, timeout: Duration) -> Result<Incoming, ConnectionError> {
        self.incoming_until(Deadline::after(timeout)).map_err(|error| match error {
            ConnectionError::WouldBlock => ConnectionError::TimedOut,
            other => other,
        })
    }

    fn incoming_until(&self, deadline: Deadline) -> Result<Incoming, ConnectionError> {
        let fail = |source| ConnectionError::of(&self.address, source);
        loop {
            match self.socket.accept() {
                Ok(stream) => {
                    let (address, options) = (self.address.clone(), self.options.clone());
                    return Ok(Incoming { stream, address, options });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It came and went.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(fail(error)),
            }
            if deadline.is_over() {
                let late = deadline != Deadline::Now;
                return Err(if late { ConnectionError::TimedOut } else { ConnectionError::WouldBlock });
            }
            self.socket.wait(deadline).map_err(fail)?;
        }
    }
}

sockets::has_descriptor!(Listener, socket);

/// Somebody who came to a [`Listener`] and has not said a word yet.
#[derive(Debug)]
pub struct Incoming {
    stream: Stream,
    address: Address,
    options: ConnectionOptions,
}

impl Incoming {
    /// Finds out whether it is who it should be. Who is not is told why.
    ///
    /// # Errors
    ///
    /// As [`Listener::accept`].
    pub fn handshake(self) -> Result<Connection, ConnectionError> {
        let Incoming { stream, address, options } = self;
        let mut frames = Frames::default();
        let deadline = Deadline::after(options.handshake);
        let other = handshake::let_in(&stream, &mut frames, &options.terms(), deadline)
            .map_err(|failure| ConnectionError::not_let_in(&address, failure))?;
        Ok(Connection::new(stream, frames, address, options.longest, other))
    }
}
