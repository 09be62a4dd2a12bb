//! What can go wrong between a proxy and its object.

use std::io;

use crate::net::tls::TlsError;
use crate::net::{BadAddress, KeyError};

/// Why a manager, or an object behind a proxy, could not be used.
///
/// `?` turns it into [`procshare::Error`](crate::Error).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// No address.
    #[error(transparent)]
    BadAddress(#[from] BadAddress),
    /// No way for calls to travel.
    #[error("'{found}' is no transport: use auto, ring or socket")]
    BadTransport {
        /// What was given.
        found: String,
    },
    /// Another server, which lives, has the address.
    #[error("a server listens at {address} already: connect to it, or choose another address")]
    AddressInUse {
        /// The address.
        address: String,
    },
    /// A TCP server without a key.
    #[error("a server at {address} would let in everybody who can reach it: give it a key")]
    KeyNeeded {
        /// The address.
        address: String,
    },
    /// The process of a server could not be started.
    #[error("the manager's server could not be started: {reason}")]
    NotStarted {
        /// Why.
        reason: String,
    },
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// TLS that cannot be spoken, or a server that is not believed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The other side did not let us in, or we did not believe it.
    #[error("not let in at {address}: {reason}")]
    Refused {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The connection is gone: the server ended, threw us out, or cannot be reached.
    #[error(
        "the connection to {address} is gone ({reason}){}; connect anew",
        if *.maybe_done { ": the call may have been done, or not" } else { ": the call was not sent" }
    )]
    Disconnected {
        /// The address.
        address: String,
        /// What was noticed.
        reason: String,
        /// Whether the server may have done the call.
        maybe_done: bool,
    },
    /// A connection that was made before this process was forked.
    #[error("this connection to {address} belongs to the parent process: connect anew after a fork")]
    Forked {
        /// The address.
        address: String,
    },
    /// No object of that name, or no such type.
    #[error("not found: {message}")]
    NotFound {
        /// What was looked for.
        message: String,
    },
    /// The name is taken.
    #[error("{message}: open it, use open_or_create, or unlink it first")]
    AlreadyExists {
        /// Which name.
        message: String,
    },
    /// An object of another kind.
    #[error("wrong kind of object: {message}")]
    WrongKind {
        /// What was expected and found.
        message: String,
    },
    /// The object was removed, or the ticket has been used.
    #[error("gone: {message}")]
    Gone {
        /// What.
        message: String,
    },
    /// A key that no dict takes.
    #[error("bad key: {message}")]
    BadKey {
        /// Why.
        message: String,
    },
    /// An index, a range or a count that the object does not have.
    #[error("out of range: {message}")]
    OutOfRange {
        /// What was asked for, and what there is.
        message: String,
    },
    /// A sum that fits no number, or a sum of something else.
    #[error("{message}")]
    Arithmetic {
        /// Of what.
        message: String,
    },
    /// A release of what is not held: the holding has ended, and somebody else may hold it.
    #[error("not held: {message}")]
    NotHeld {
        /// Which holding.
        message: String,
    },
    /// The calling thread waits for itself.
    #[error("the calling thread holds it already: drop the guard first, or use an RLock")]
    Deadlock,
    /// A barrier that does not work until it is reset.
    #[error("the barrier is broken ({reason}): reset it")]
    Broken {
        /// What happened: died, left, timed-out, aborted, failed (the action) or reset.
        reason: String,
    },
    /// The queue is closed, and drained.
    #[error("the queue is closed")]
    Closed,
    /// It would have to wait (`try_` forms only).
    #[error("it would have to wait")]
    WouldBlock,
    /// The timeout passed (`_timeout` forms only).
    #[error("the timeout passed")]
    TimedOut,
    /// A transaction's objects were changed by others, each time it was tried.
    #[error("the transaction met changes by others each time it was tried: {message}")]
    Conflict {
        /// The last one.
        message: String,
    },
    /// A transaction over objects of another manager than its own.
    #[error("this object is of another manager, at {address}: a transaction is of one server")]
    Foreign {
        /// Where the other one is, or was.
        address: String,
    },
    /// A limit of the server.
    #[error("{message}")]
    Limit {
        /// Which one.
        message: String,
    },
    /// A value that cannot be written as MessagePack.
    #[error("this {what} cannot be sent: {reason}")]
    Encode {
        /// Which type.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A value that is no such type.
    #[error("what came is no {what}: {reason}; somebody else stored another type")]
    Decode {
        /// Which type.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Any other answer of the server, or of a registered type.
    #[error("{kind}: {message}")]
    Remote {
        /// The kind of failure, as it stands in docs/protocol.md.
        kind: String,
        /// The server's words.
        message: String,
    },
    /// Any other failure of the operating system.
    #[error("could not {action} {address}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The result of what a manager does.
pub type ManagerResult<T> = Result<T, ManagerError>;

impl ManagerError {
    /// The error that a server's answer is.
    pub(crate) fn from_fault(kind: &str, message: &str) -> Self {
        let message = message.to_owned();
        match kind {
            "not-found" => ManagerError::NotFound { message },
            "exists" => ManagerError::AlreadyExists { message },
            "wrong-kind" => ManagerError::WrongKind { message },
            "gone" => ManagerError::Gone { message },
            "bad-key" => ManagerError::BadKey { message },
            "out-of-range" => ManagerError::OutOfRange { message },
            "arithmetic" => ManagerError::Arithmetic { message },
            "not-held" => ManagerError::NotHeld { message },
            "deadlock" => ManagerError::Deadlock,
            "broken" => ManagerError::Broken { reason: message },
            "closed" => ManagerError::Closed,
            "would-block" => ManagerError::WouldBlock,
            "timed-out" => ManagerError::TimedOut,
            "conflict" => ManagerError::Conflict { message },
            "limit" => ManagerError::Limit { message },
            _ => ManagerError::Remote { kind: kind.into(), message },
        }
    }
}

impl From<ManagerError> for crate::Error {
    fn from(error: ManagerError) -> Self {
        match error {
            ManagerError::WouldBlock => crate::Error::WouldBlock,
            ManagerError::TimedOut => crate::Error::TimedOut,
            ManagerError::Deadlock => crate::Error::Deadlock,
            ManagerError::Closed => crate::Error::Closed,
            other => crate::Error::Manager(Box::new(other)),
        }
    }
}

impl From<BadAddress> for crate::Error {
    fn from(error: BadAddress) -> Self {
        ManagerError::from(error).into()
    }
}

impl From<TlsError> for crate::Error {
    fn from(error: TlsError) -> Self {
        ManagerError::from(error).into()
    }
}
