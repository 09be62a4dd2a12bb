//! What a barrier's waiters are told.

use std::convert::Infallible;
use std::fmt;

use crate::cause::Breakage;
use crate::error::Error;

/// A round in which everybody arrived.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BarrierWaitResult {
    pub(super) index: usize,
    pub(super) leader: bool,
}

impl BarrierWaitResult {
    /// The number of the caller's seat: 0 to parties - 1, each once a round, and the same in every round while the seat is kept.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether the caller is the one that released the others; true for exactly one of them.
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

/// Why a wait at a [`Barrier`](crate::Barrier) did not end with everybody there; `E` is the action's error.
#[non_exhaustive]
pub enum BarrierError<E = Infallible> {
    /// The barrier is broken, or was while the caller waited: call `reset` once all that is needed is alive.
    Broken(Breakage),
    /// The caller's timeout passed, which broke the barrier for all.
    TimedOut,
    /// The action, which the caller ran for all, failed with this, which broke the barrier.
    Action(E),
    /// The barrier cannot be used at all, or has no seat left.
    Failed(Error),
}

impl<E> From<Error> for BarrierError<E> {
    fn from(error: Error) -> Self {
        BarrierError::Failed(error)
    }
}

impl From<BarrierError> for Error {
    fn from(error: BarrierError) -> Self {
        match error {
            BarrierError::Broken(cause) => Error::BarrierBroken { cause },
            BarrierError::TimedOut => Error::TimedOut,
            BarrierError::Action(never) => match never {},
            BarrierError::Failed(error) => error,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for BarrierError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BarrierError::Broken(why) => f.debug_tuple("Broken").field(why).finish(),
            BarrierError::TimedOut => f.write_str("TimedOut"),
            BarrierError::Action(error) => f.debug_tuple("Action").field(error).finish(),
            BarrierError::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for BarrierError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BarrierError::Broken(why) => write!(f, "the barrier is broken ({why}): reset it"),
            BarrierError::TimedOut => f.write_str("the timeout passed and broke the barrier: reset it"),
            BarrierError::Action(error) => write!(f, "the barrier's action failed: {error}"),
            BarrierError::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for BarrierError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BarrierError::Action(error) => Some(error),
            BarrierError::Failed(error) => Some(error),
            _ => None,
        }
    }
}
