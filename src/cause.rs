//! What can happen to an owner, and to a barrier.

use std::fmt;

/// Why what a lock protects may be inconsistent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The owner's process ended while it held the lock.
    Died,
    /// The owner's thread panicked while it held the lock.
    Panicked,
    /// The owner's connection to its manager was cut while it held the lock; it may live, but its guard is worth nothing.
    Lost,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Died => "died",
            Cause::Panicked => "panicked",
            Cause::Lost => "was cut off",
        })
    }
}

/// Why a barrier is broken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Breakage {
    /// A member died.
    Died,
    /// A member gave up its seat.
    Left,
    /// A waiter's timeout passed.
    TimedOut,
    /// Somebody called `abort`.
    Aborted,
    /// The action failed or panicked.
    ActionFailed,
    /// Somebody called `reset` while others waited.
    Reset,
}

impl fmt::Display for Breakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Breakage::Died => "a member died",
            Breakage::Left => "a member left",
            Breakage::TimedOut => "a member's timeout passed",
            Breakage::Aborted => "it was aborted",
            Breakage::ActionFailed => "its action failed",
            Breakage::Reset => "it was reset meanwhile",
        })
    }
}
