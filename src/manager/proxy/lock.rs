//! Lock and RLock.

use std::fmt;
use std::time::Duration;

use super::object::Object;
use super::timeout::Wait;
use crate::cause::Cause;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::sync::{LockError, OwnerDied};
use crate::sys::thread_token;

/// Mutual exclusion between the clients of a manager, and their threads.
///
/// Not re-entrant: taking it twice in one thread is an error, not a hang. First come, first served. When a holder's process ends,
/// the next one gets the guard inside [`LockError::OwnerDied`], until one makes it consistent. When a holder's TCP connection is
/// cut, the holder may live: its guard [is lost](LockGuard::is_lost), and the greater [fence](LockGuard::fence) of its
/// successor lets third parties refuse it.
pub struct Lock {
    pub(super) object: Object,
}

/// A [`Lock`] that a thread can take again while it holds it; it is free when all guards are gone.
pub struct RLock {
    pub(super) object: Object,
}

macro_rules! locks {
    ($name:ident, $kind:literal) => {
        impl $name {
            pub(super) fn from_target(object: Object) -> Self {
                $name { object }
            }

            /// Takes the lock, waiting as long as it takes.
            ///
            /// # Errors
            ///
            /// [`LockError::OwnerDied`] with the guard, if the last holder did not leave in good order;
            /// [`LockError::Deadlock`] if the calling thread holds it already and may not take it again.
            pub fn lock(&self) -> Result<LockGuard, LockError<LockGuard>> {
                acquire(&self.object, Wait::Never)
            }

            /// Takes the lock if that needs no waiting.
            ///
            /// # Errors
            ///
            /// As [`lock`](Self::lock), and [`LockError::WouldBlock`].
            pub fn try_lock(&self) -> Result<LockGuard, LockError<LockGuard>> {
                acquire(&self.object, Wait::Now)
            }

            /// Takes the lock, waiting for so long.
            ///
            /// # Errors
            ///
            /// As [`lock`](Self::lock), and [`LockError::TimedOut`].
            pub fn lock_timeout(&self, timeout: Duration) -> Result<LockGuard, LockError<LockGuard>> {
                acquire(&self.object, Wait::For(timeout))
            }

            /// Ends a holding that was handed over by [`LockGuard::forget`]: anyone may, exactly once.
            ///
            /// # Errors
            ///
            /// [`ManagerError::NotHeld`] if there is none.
            pub fn release(&self) -> ManagerResult<()> {
                self.object.target().call("release").arg(&()).arg(&false).done()
            }

            /// Whether somebody holds it, or it is handed over; outdated as soon as it is told.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn is_locked(&self) -> ManagerResult<bool> {
                let (held, handed, _, _): (bool, bool, u64, Option<String>) =
                    self.object.target().call("status").run()?;
                Ok(held || handed)
            }
        }

        proxy!($name, $kind, ());
    };
}

locks!(Lock, "lock");
locks!(RLock, "rlock");

fn acquire(object: &Object, wait: Wait) -> Result<LockGuard, LockError<LockGuard>> {
    let draft = object.target().call("acquire").arg(&thread_token()).arg(&wait.milliseconds());
    let (fence, mishap): (u64, Option<String>) = draft.run().map_err(crate::Error::from)?;
    LockGuard::new(object.clone(), fence, mishap)
}

/// A lock that is held; dropping it releases it, and a panic meanwhile marks what it protects as inconsistent.
#[must_use = "dropping it releases the lock"]
pub struct LockGuard {
    object: Object,
    fence: u64,
}

impl LockGuard {
    pub(super) fn new(object: Object, fence: u64, mishap: Option<String>) -> Result<Self, LockError<Self>> {
        let guard = LockGuard { object, fence };
        match mishap.as_deref() {
            None => Ok(guard),
            Some("panicked") => Err(LockError::OwnerDied(OwnerDied::new(guard, Cause::Panicked))),
            Some("lost") => Err(LockError::OwnerDied(OwnerDied::new(guard, Cause::Lost))),
            Some(_) => Err(LockError::OwnerDied(OwnerDied::new(guard, Cause::Died))),
        }
    }

    /// The number of this holding: greater than those of all holdings before, of any lock of this server run.
    ///
    /// Give it to whatever the lock protects; what refuses smaller numbers than it has seen cannot be touched by a late holder.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// Whether the connection is gone, and with it the holding. Asks the server.
    pub fn is_lost(&self) -> bool {
        let link = &self.object.reference().link;
        link.is_lost()
            || crate::manager::client::call::Target::Manager(link.clone()).call("ping").done().is_err()
    }

    /// Says that what the lock protects is in order again.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotHeld`] if the holding has ended, [`ManagerError::Disconnected`].
    pub fn make_consistent(&self) -> ManagerResult<()> {
        self.object.target().call("make_consistent").arg(&self.fence).done()
    }

    /// Releases the lock, and says whether it was held all the time.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotHeld`] if the holding has ended, [`ManagerError::Disconnected`].
    pub fn unlock(self) -> ManagerResult<()> {
        let done = self.object.target().call("release").arg(&self.fence).arg(&false).done();
        self.defuse();
        done
    }

    /// Hands the holding over: nobody's death ends it, exactly one `release()` of anyone does.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotHeld`] if the holding has ended, [`ManagerError::Disconnected`].
    pub fn forget(self) -> ManagerResult<()> {
        let done = self.object.target().call("forget").arg(&self.fence).done();
        self.defuse();
        done
    }

    pub(super) fn of(&self) -> &Object {
        &self.object
    }

    /// Ends the guard without a release: the server knows of its end already.
    pub(super) fn defuse(mut self) -> Object {
        self.fence = 0;
        self.object.clone()
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.fence != 0 {
            let panicked = std::thread::panicking();
            self.object.target().call("release").arg(&self.fence).arg(&panicked).tell();
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("fence", &self.fence).finish_non_exhaustive()
    }
}

impl<G> From<ManagerError> for LockError<G> {
    fn from(error: ManagerError) -> Self {
        crate::Error::from(error).into()
    }
}
