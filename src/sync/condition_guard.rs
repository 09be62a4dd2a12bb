//! Guards that a condition gives up while its caller waits.

use super::lock::{LockGuard, Parts};
use super::outcome::LockError;
use crate::error::{Error, Result};
use crate::participant::{Fate, Host, sealed};
use crate::time::Deadline;

/// A guard with which [`Condition::wait`](crate::Condition::wait) can be called: that of a [`Lock`](crate::Lock), wherever
/// it lies. Implemented by this crate's guards only.
pub trait ConditionGuard: sealed::Sealed + Sized {
    #[doc(hidden)]
    type Suspended;

    /// Whether the calling process may release it.
    #[doc(hidden)]
    fn check(&self) -> Result<()>;

    /// Releases all that the guard's thread holds of the lock.
    #[doc(hidden)]
    fn suspend(self) -> Self::Suspended;

    /// Takes all of it again, as long as it takes.
    #[doc(hidden)]
    fn resume(suspended: Self::Suspended) -> Result<Self, LockError<Self>>;

    /// Whether somebody holds the lock who is dead, so that nobody will notify.
    #[doc(hidden)]
    fn holder_is_gone(suspended: &Self::Suspended) -> bool;
}

/// A lock that a waiter will take again.
#[doc(hidden)]
pub struct SuspendedLock<'a>(Parts<'a>);

impl sealed::Sealed for LockGuard<'_> {}

impl<'a> ConditionGuard for LockGuard<'a> {
    type Suspended = SuspendedLock<'a>;

    fn check(&self) -> Result<()> {
        if self.is_mine() {
            Ok(())
        } else {
            Err(Error::Inherited { object: self.parts().attached.object(), what: "guard" })
        }
    }

    fn suspend(self) -> SuspendedLock<'a> {
        let parts = self.parts();
        drop(self);
        SuspendedLock(parts)
    }

    fn resume(suspended: SuspendedLock<'a>) -> Result<Self, LockError<Self>> {
        suspended.0.acquire(Deadline::Never)
    }

    fn holder_is_gone(suspended: &SuspendedLock<'a>) -> bool {
        let Parts { word, attached } = suspended.0;
        let holder = word.snapshot().holder;
        holder != 0 && attached.member.host().fate(holder) == Fate::Gone
    }
}
