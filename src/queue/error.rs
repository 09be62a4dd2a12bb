//! Why a queue did not put or give an item; each type names the methods that return it.

use std::fmt;

use super::ring::{NotPut, NotTaken};
use crate::error::Error;
use crate::time::Deadline;

/// Why [`put`](crate::Queue::put) and its kin did not put; the item comes back.
#[non_exhaustive]
pub enum PutError<T> {
    /// No slot is free, or for 10 ms somebody kept others from looking (`try_` forms only).
    Full(T),
    /// The timeout passed and no slot was free (`_timeout` forms only).
    TimedOut(T),
    /// The queue is closed: nothing can be put any more.
    Closed(T),
    /// The queue cannot be used at all.
    Failed(T, Error),
}

/// Why [`get`](crate::Queue::get) and its kin gave nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum GetError {
    /// No item is there, or for 10 ms somebody kept others from looking (`try_` forms only).
    Empty,
    /// The timeout passed and no item was there (`_timeout` forms only).
    TimedOut,
    /// The queue is closed and all its items have been delivered.
    Closed,
    /// The queue cannot be used at all, or holds bytes that are no item.
    Failed(Error),
}

impl<T> PutError<T> {
    /// The item that was not put.
    pub fn into_item(self) -> T {
        match self {
            PutError::Full(item)
            | PutError::TimedOut(item)
            | PutError::Closed(item)
            | PutError::Failed(item, _) => item,
        }
    }

    /// As a `_timeout` form says it: a timeout of nothing is one, too.
    pub(super) fn timed(self) -> Self {
        match self {
            PutError::Full(item) => PutError::TimedOut(item),
            other => other,
        }
    }
}

/// The items that `get` gives until there is nothing more to get; bytes that are none are passed over.
pub(super) fn items<T>(mut get: impl FnMut() -> Result<T, GetError>) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || {
        loop {
            match get() {
                Ok(item) => return Some(item),
                Err(GetError::Failed(Error::InvalidBits { .. })) => {}
                Err(_) => return None,
            }
        }
    })
}

impl GetError {
    /// As a `_timeout` form says it: a timeout of nothing is one, too.
    pub(super) fn timed(self) -> Self {
        match self {
            GetError::Empty => GetError::TimedOut,
            other => other,
        }
    }
}

/// Why a ring did not put, said to its caller.
pub(super) fn not_put<I>(why: NotPut, deadline: Deadline, item: I) -> PutError<I> {
    match why {
        NotPut::Full if deadline == Deadline::Now => PutError::Full(item),
        NotPut::Full => PutError::TimedOut(item),
        NotPut::Closed => PutError::Closed(item),
        NotPut::Failed(error) => PutError::Failed(item, error),
    }
}

/// Why a ring gave nothing, said to its caller.
pub(super) fn not_taken(why: NotTaken, deadline: Deadline) -> GetError {
    match why {
        NotTaken::Empty if deadline == Deadline::Now => GetError::Empty,
        NotTaken::Empty => GetError::TimedOut,
        NotTaken::Closed => GetError::Closed,
        NotTaken::Failed(error) => GetError::Failed(error),
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Full(_) => f.write_str("Full(..)"),
            PutError::TimedOut(_) => f.write_str("TimedOut(..)"),
            PutError::Closed(_) => f.write_str("Closed(..)"),
            PutError::Failed(_, error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Full(_) => f.write_str("the queue is full"),
            PutError::TimedOut(_) => f.write_str("the timeout passed and the queue was full"),
            PutError::Closed(_) => f.write_str("the queue is closed"),
            PutError::Failed(_, error) => error.fmt(f),
        }
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Empty => f.write_str("the queue is empty"),
            GetError::TimedOut => f.write_str("the timeout passed and the queue was empty"),
            GetError::Closed => f.write_str("the queue is closed and drained"),
            GetError::Failed(error) => error.fmt(f),
        }
    }
}

impl<T> std::error::Error for PutError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PutError::Failed(_, error) => Some(error),
            _ => None,
        }
    }
}

impl std::error::Error for GetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            GetError::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// Passing it on with `?` drops the item that was not put.
impl<T> From<PutError<T>> for Error {
    fn from(error: PutError<T>) -> Self {
        match error {
            PutError::Full(_) => Error::WouldBlock,
            PutError::TimedOut(_) => Error::TimedOut,
            PutError::Closed(_) => Error::Closed,
            PutError::Failed(_, error) => error,
        }
    }
}

impl From<GetError> for Error {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Empty => Error::WouldBlock,
            GetError::TimedOut => Error::TimedOut,
            GetError::Closed => Error::Closed,
            GetError::Failed(error) => error,
        }
    }
}
