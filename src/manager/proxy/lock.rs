//! Lock and RLock.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::holding::{Holding, told};
use super::object::Object;
use super::timeout::Wait;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::sync::LockError;
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
    told(LockGuard { holding: Holding::new(object.clone(), shared(object, fence)) }, mishap.as_deref())
}

/// A holding of this thread: its number, the object, and the connection's address as long as the holding lives.
type Held = (Weak<AtomicU64>, u64, usize);

thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

/// The number of a holding, shared with this thread's other guards of it: when a condition has given the lock away and taken it again,
/// all of them have the new one.
fn shared(object: &Object, fence: u64) -> Arc<AtomicU64> {
    let place = (object.number(), Arc::as_ptr(&object.reference().link) as usize);
    let new = Arc::new(AtomicU64::new(fence));
    let known = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        held.retain(|(number, ..)| number.strong_count() > 0);
        let same = held.iter().filter(|held| (held.1, held.2) == place);
        // Relaxed: a number and nothing behind it.
        let is_it = |number: &Arc<AtomicU64>| number.load(Ordering::Relaxed) == fence;
        if let Some(found) = same.filter_map(|(number, ..)| number.upgrade()).find(is_it) {
            return found;
        }
        held.push((Arc::downgrade(&new), place.0, place.1));
        new.clone()
    });
    // A thread that is ending has no list any more.
    known.unwrap_or(new)
}

/// A lock that is held; dropping it releases it, and a panic meanwhile marks what it protects as inconsistent.
#[must_use = "dropping it releases the lock"]
pub struct LockGuard {
    holding: Holding,
}

impl LockGuard {
    /// The number of this holding: greater than those of all holdings before, of any lock of this server run.
    ///
    /// Give it to whatever the lock protects; what refuses smaller numbers than it has seen cannot be touched by a late holder.
    pub fn fence(&self) -> u64 {
        self.holding.fence()
    }

    /// Whether the connection is gone, and with it the holding. Asks the server.
    pub fn is_lost(&self) -> bool {
        self.holding.is_lost()
    }

    /// Says that what the lock protects is in order again.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotHeld`] if the holding has ended, [`ManagerError::Disconnected`].
    pub fn make_consistent(&self) -> ManagerResult<()> {
        self.holding.make_consistent()
    }

    /// Releases the lock, and says whether it was held all the time.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotHeld`] if the holding has ended, [`ManagerError::Disconnected`].
    pub fn unlock(mut self) -> ManagerResult<()> {
        self.holding.release()
    }

    /// Hands the holding over: nobody's death ends it, exactly one `release()` of anyone does.
    ///
    /// Of an [`RLock`] that the thread holds more than once, all of it: the other guards are worth nothing from then on.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotHeld`] if the holding has ended, [`ManagerError::Disconnected`].
    pub fn forget(mut self) -> ManagerResult<()> {
        let fence = self.holding.end();
        self.holding.object().target().call("forget").arg(&fence).done()
    }

    /// A condition has given the lock away and taken it again: the guard, and all others of the thread's holding, go on.
    pub(super) fn renewed(self, fence: u64, mishap: Option<&str>) -> Result<Self, LockError<Self>> {
        self.holding.renew(fence);
        told(self, mishap)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.holding.drop_lock();
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("fence", &self.fence()).finish_non_exhaustive()
    }
}

impl<G> From<ManagerError> for LockError<G> {
    fn from(error: ManagerError) -> Self {
        crate::Error::from(error).into()
    }
}
