//! Why there is no connection, or no message.

use std::io;

use crate::net::handshake::Failure;
use crate::net::{Address, BadAddress};

/// Why there is no connection, or no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// A text that is no address.
    #[error(transparent)]
    BadAddress(#[from] BadAddress),
    /// The other end is not who it should be, or does not take us for who we should be.
    #[error("no connection with {address}: {reason}")]
    Refused {
        /// Where.
        address: Address,
        /// Why.
        reason: String,
    },
    /// TCP without a key.
    #[error("{address} can be reached by anybody: set a key, or use a path")]
    KeyNeeded {
        /// Where to.
        address: Address,
    },
    /// Somebody who lives listens there.
    #[error("somebody listens at {address} already: connect to it, or choose another address")]
    AddressInUse {
        /// Where.
        address: Address,
    },
    /// The other end is gone, or sent what ended the connection.
    #[error("the connection is closed: the other end is gone, or broke the rules")]
    Closed,
    /// A message that is too long; one that is too long to send has not been sent.
    #[error("a message of {len} bytes is longer than {limit}: raise the limit on both ends, or send less")]
    TooLong {
        /// Bytes of the message.
        len: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// A message that is longer than the place for it.
    #[error("a message of {} bytes does not fit into {room}: here it is, or use recv_bytes", message.len())]
    BufferTooShort {
        /// The whole message.
        message: Vec<u8>,
        /// How many bytes there was room for.
        room: usize,
    },
    /// It would have to wait (`try_` forms only). Nothing of a message was sent.
    #[error("it would have to wait")]
    WouldBlock,
    /// The timeout passed (`_timeout` forms, and handshakes). Nothing of a message was sent.
    #[error("the timeout passed: the other end is slow, or not there")]
    TimedOut,
    /// The timeout passed when a part of the message had been sent: the rest goes with the next call, or by
    /// [`flush`](super::Connection::flush). Do not send it again.
    #[error("the timeout passed when a part of the message had been sent: flush, and do not send it again")]
    UnderWay,
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

impl ConnectionError {
    pub(super) fn of(address: &Address, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::TimedOut => ConnectionError::TimedOut,
            io::ErrorKind::WouldBlock => ConnectionError::WouldBlock,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => ConnectionError::Closed,
            _ => ConnectionError::Io { address: address.clone(), source },
        }
    }

    pub(super) fn not_let_in(address: &Address, failure: Failure) -> Self {
        match failure {
            Failure::Doubt(reason) => ConnectionError::Refused { address: address.clone(), reason },
            Failure::Io(source) => ConnectionError::of(address, source),
        }
    }
}
