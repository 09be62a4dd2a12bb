//! What a listener or a client shall be.

use std::io;
use std::time::Duration;

use super::listener::Listener;
use super::messages::Connection;
use super::{ConnectionError, PROTOCOL};
use crate::net::frame::Frames;
use crate::net::handshake::{self, Terms};
use crate::net::{Address, Key, NO_TLS};
use crate::time::Deadline;

/// How long the first words may take, unless said otherwise.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest message, unless said otherwise.
const LONGEST: usize = 16 << 20;

/// Options of a [`Listener`] or [`Connection`].
///
/// Without a key, both ends must belong to one user (or the superuser), and connect by a path.
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `listen` or `connect` is called"]
pub struct ConnectionOptions {
    pub(super) key: Option<Key>,
    pub(super) longest: usize,
    pub(super) handshake: Duration,
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

    /// The most bytes of a message that is taken; 16 MiB unless said. The other end is told, and sends no longer ones.
    pub fn longest(mut self, bytes: usize) -> Self {
        self.longest = bytes.min(u32::MAX as usize);
        self
    }

    /// How long connecting and the first words may take; 10 s unless said.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake = timeout;
        self
    }

    pub(super) fn terms(&self) -> Terms<'_> {
        Terms { protocol: PROTOCOL, key: self.key.as_ref(), number: 0, longest: self.longest as u64 }
    }

    fn check(&self, address: &Address) -> Result<(), ConnectionError> {
        if address.is_tls() {
            return Err(ConnectionError::Refused { address: address.clone(), reason: NO_TLS.into() });
        }
        if address.is_open() && self.key.is_none() {
            return Err(ConnectionError::KeyNeeded { address: address.clone() });
        }
        Ok(())
    }

    /// Listens at `address`.
    ///
    /// A path is made for its user alone, and taken over if nobody lives who listens there.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::KeyNeeded`] for TCP without a key; [`ConnectionError::AddressInUse`]; [`ConnectionError::Io`].
    pub fn listen(self, address: impl Into<Address>) -> Result<Listener, ConnectionError> {
        let address = address.into();
        self.check(&address)?;
        match address.listen() {
            Ok((socket, address)) => Ok(Listener::new(socket, address, self)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(ConnectionError::AddressInUse { address })
            }
            Err(source) => Err(ConnectionError::Io { address, source }),
        }
    }

    /// Connects to a listener.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Refused`], by either end; [`ConnectionError::KeyNeeded`]; [`ConnectionError::TimedOut`];
    /// [`ConnectionError::Closed`] if the listener ends; [`ConnectionError::Io`], also if nobody listens there.
    pub fn connect(self, address: impl Into<Address>) -> Result<Connection, ConnectionError> {
        let address = address.into();
        self.check(&address)?;
        let deadline = Deadline::after(self.handshake);
        let stream = address.connect(deadline).map_err(|error| ConnectionError::of(&address, error))?;
        let mut frames = Frames::default();
        let other = handshake::enter(&stream, &mut frames, &self.terms(), deadline)
            .map_err(|failure| ConnectionError::not_let_in(&address, failure))?;
        Ok(Connection::new(stream, frames, address, self.longest, other))
    }
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
