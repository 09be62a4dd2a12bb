//! Guards that a condition gives up while its caller waits.

use super::lock::{LockGuard, Parts};
use super::lock_word::Entry;
use super::outcome::{LockError, OwnerDied};
use super::rlock::{RLock, RLockGuard};
use crate::error::{Error, Result};
use crate::participant::{Fate, Host, sealed};
use crate::time::Deadline;

/// A guard with which [`Condition::wait`](crate::Condition::wait) can be called: that of a [`Lock`](crate::Lock), wherever
/// it lies, or of an [`RLock`](crate::RLock), of which the thread's levels are all left and entered again. Implemented by this crate's guards only.
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
        is_holder_gone(suspended.0)
    }
}

/// A re-entrant lock that a waiter will take again, as deep as it was.
#[doc(hidden)]
pub struct SuspendedRLock<'a> {
    lock: &'a RLock,
    depth: u32,
}

impl sealed::Sealed for RLockGuard<'_> {}

impl<'a> ConditionGuard for RLockGuard<'a> {
    type Suspended = SuspendedRLock<'a>;

    fn check(&self) -> Result<()> {
        let attached = &self.lock.attached;
        if attached.member.me() == self.owner.id() {
            Ok(())
        } else {
            Err(Error::Inherited { object: attached.object(), what: "guard" })
        }
    }

    fn suspend(self) -> SuspendedRLock<'a> {
        let lock = self.lock;
        let depth = lock.word.suspend(lock.attached.member.host(), self.owner);
        // Its level is left with all the others.
        std::mem::forget(self);
        SuspendedRLock { lock, depth }
    }

    fn resume(suspended: SuspendedRLock<'a>) -> Result<Self, LockError<Self>> {
        let SuspendedRLock { lock, depth } = suspended;
        let (owner, entry) = parts_of(lock).own(Deadline::Never, "lock it")?;
        lock.word.resume(owner, depth);
        match entry {
            Entry::Clean => Ok(lock.guard(owner)),
            Entry::Inconsistent(cause) => Err(LockError::OwnerDied(OwnerDied::new(lock.guard(owner), cause))),
        }
    }

    fn holder_is_gone(suspended: &SuspendedRLock<'a>) -> bool {
        is_holder_gone(parts_of(suspended.lock))
    }
}

fn parts_of(lock: &RLock) -> Parts<'_> {
    Parts { word: &lock.word.lock, attached: &lock.attached }
}

/// Whether somebody holds the lock who is dead.
pub(super) fn is_holder_gone(parts: Parts<'_>) -> bool {
    let holder = parts.word.snapshot().holder;
    holder != 0 && parts.attached.member.host().fate(holder) == Fate::Gone
}
