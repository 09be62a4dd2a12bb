//! Why a pipe did not send or receive.

use std::fmt;

use crate::error::Error;

/// Why [`send`](crate::PipeEnd::send_bytes), [`recv`](crate::PipeEnd::recv_bytes) and their kin did nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum PipeError {
    /// No message is there, or no room (`try_` forms only).
    WouldBlock,
    /// The timeout passed and no message was there, or no room (`_timeout` forms only).
    TimedOut,
    /// This end or the other one is closed, or the process that had the other one is gone; all its messages were received.
    Closed,
    /// The next message is longer than the place for it. It stays the next one.
    TooLong {
        /// Bytes of the message.
        len: usize,
    },
    /// The pipe cannot be used at all, or the message is none.
    Failed(Error),
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PipeError::WouldBlock => f.write_str("no message, or no room for one"),
            PipeError::TimedOut => {
                f.write_str("the timeout passed without a message, or without room for one")
            }
            PipeError::Closed => f.write_str("the other end of the pipe is closed, or its process is gone"),
            PipeError::TooLong { len } => write!(f, "the next message has {len} bytes: give it more room"),
            PipeError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PipeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PipeError::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PipeError> for Error {
    fn from(error: PipeError) -> Self {
        match error {
            PipeError::WouldBlock => Error::WouldBlock,
            PipeError::TimedOut => Error::TimedOut,
            PipeError::Closed => Error::Closed,
            PipeError::TooLong { len } => Error::TooLong {
                object: "pipe".into(),
                at: "the place for its next message".into(),
                room: 0,
                found: len,
            },
            PipeError::Failed(error) => error,
        }
    }
}
