//! Why a subscriber received nothing.

use std::fmt;

use crate::error::Error;

/// Why [`recv`](crate::Subscriber::recv) and its kin gave no item.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// No new item is there (`try_` forms only).
    Empty,
    /// The timeout passed and no new item was there (`_timeout` forms only).
    TimedOut,
    /// So many items were overwritten before this subscriber came to them. The next call goes on with the oldest that is there.
    Missed(u64),
    /// The broadcast is closed, and this subscriber has received all it could.
    Closed,
    /// The broadcast cannot be used at all, or holds bytes that are no item.
    Failed(Error),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Empty => f.write_str("nothing new was published"),
            RecvError::TimedOut => f.write_str("the timeout passed and nothing new was published"),
            RecvError::Missed(count) => write!(f, "{count} items were overwritten before they were received"),
            RecvError::Closed => f.write_str("the broadcast is closed and all was received"),
            RecvError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecvError::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RecvError> for Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Empty => Error::WouldBlock,
            RecvError::TimedOut => Error::TimedOut,
            RecvError::Missed(count) => Error::Missed { count },
            RecvError::Closed => Error::Closed,
            RecvError::Failed(error) => error,
        }
    }
}
