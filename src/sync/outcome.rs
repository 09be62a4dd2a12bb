//! What an acquirer is told: the lock, the lock and that something went wrong with its last owner, or why not.

use std::fmt;

use crate::cause::Cause;
use crate::error::Error;

/// The guard of a lock whose last owner did not leave in good order.
///
/// Whoever gets it holds the lock. Look at what it protects, repair it, and call `make_consistent` on the guard; until
/// somebody does, every acquirer gets this outcome, in this run of the program and in later ones.
#[must_use = "dropping it releases the lock and leaves the state inconsistent"]
pub struct OwnerDied<G> {
    guard: G,
    cause: Cause,
}

impl<G> OwnerDied<G> {
    pub(crate) fn new(guard: G, cause: Cause) -> Self {
        OwnerDied { guard, cause }
    }

    /// What happened to the owner.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The guard, still inconsistent until its `make_consistent` is called.
    pub fn into_guard(self) -> G {
        self.guard
    }

    /// The guard, still inconsistent until its `make_consistent` is called.
    pub fn guard(&mut self) -> &mut G {
        &mut self.guard
    }
}

impl<G> fmt::Debug for OwnerDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerDied").field("cause", &self.cause).finish_non_exhaustive()
    }
}

/// Why a lock call did not simply return a guard.
///
/// It borrows what was locked, so it is no [`std::error::Error`] itself; `?` turns it into [`Error`](crate::Error), or into a boxed
/// one, which drops the guard that may be in it.
#[non_exhaustive]
pub enum LockError<G> {
    /// The lock is held by the caller now, but its last owner died or panicked while it held it.
    OwnerDied(OwnerDied<G>),
    /// Somebody alive holds it (`try_` forms only).
    WouldBlock,
    /// The timeout passed (`_timeout` forms only).
    TimedOut,
    /// The calling thread holds it already: waiting would never end.
    Deadlock,
    /// The lock cannot be used at all.
    Failed(Error),
}

impl<G> LockError<G> {
    /// The guard, whatever happened to the last owner. For locks under which nothing can be half-done:
    ///
    /// ```
    /// use procshare::{Lock, LockError};
    ///
    /// let lock = Lock::anonymous()?;
    /// let guard = lock.lock().or_else(LockError::into_guard)?;
    /// guard.make_consistent(); // without effect on a lock that is consistent
    /// # Ok::<(), procshare::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error itself if there is no guard in it.
    pub fn into_guard(self) -> Result<G, LockError<G>> {
        match self {
            LockError::OwnerDied(outcome) => Ok(outcome.into_guard()),
            other => Err(other),
        }
    }
}

impl<G> From<Error> for LockError<G> {
    fn from(error: Error) -> Self {
        match error {
            Error::WouldBlock => LockError::WouldBlock,
            Error::TimedOut => LockError::TimedOut,
            Error::Deadlock => LockError::Deadlock,
            other => LockError::Failed(other),
        }
    }
}

/// Passing a lock's error on with `?` drops the guard that may be in it.
impl<G> From<LockError<G>> for Error {
    fn from(error: LockError<G>) -> Self {
        match error {
            LockError::OwnerDied(outcome) => Error::OwnerDied { cause: outcome.cause },
            LockError::WouldBlock => Error::WouldBlock,
            LockError::TimedOut => Error::TimedOut,
            LockError::Deadlock => Error::Deadlock,
            LockError::Failed(error) => error,
        }
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::OwnerDied(outcome) => outcome.fmt(f),
            LockError::WouldBlock => f.write_str("WouldBlock"),
            LockError::TimedOut => f.write_str("TimedOut"),
            LockError::Deadlock => f.write_str("Deadlock"),
            LockError::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::OwnerDied(outcome) => match outcome.cause {
                Cause::Died => f.write_str("the last owner died while it held the lock: check what it protects, then make_consistent"),
                Cause::Lost => f.write_str("the last owner was cut off while it held the lock: check what it protects, then make_consistent"),
                Cause::Panicked => {
                    f.write_str("the last owner panicked while it held the lock: check what it protects, then make_consistent")
                }
            },
            LockError::WouldBlock => f.write_str("somebody alive holds the lock: try again, or use a form that waits"),
            LockError::TimedOut => f.write_str("the timeout passed while somebody alive held the lock: wait longer, or find out with `procshare show` who it is"),
            LockError::Deadlock => f.write_str("the calling thread holds the lock already: drop the guard first, or use an RLock"),
            LockError::Failed(error) => error.fmt(f),
        }
    }
}

/// Passing a lock's error on with `?` drops the guard that may be in it.
impl<G> From<LockError<G>> for Box<dyn std::error::Error> {
    fn from(error: LockError<G>) -> Self {
        Box::new(Error::from(error))
    }
}

/// Passing a lock's error on with `?` drops the guard that may be in it.
impl<G> From<LockError<G>> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: LockError<G>) -> Self {
        Box::new(Error::from(error))
    }
}
