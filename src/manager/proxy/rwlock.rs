//! RwLock.

use std::fmt;
use std::time::Duration;

use super::holding::{Holding, told};
use super::object::Object;
use super::timeout::Wait;
use crate::manager::error::ManagerResult;
use crate::sync::LockError;
use crate::sys::thread_token;

/// Many readers or one writer, among the clients of a manager and their threads; first come, first served.
///
/// A thread that reads may read again, also while a writer waits. One that asks to write while it reads, or for anything while it
/// writes, gets [`LockError::Deadlock`].
///
/// # When somebody dies
///
/// Dead readers are struck out at once. A writer that dies while it holds the guard makes all later readers and writers get theirs
/// inside [`LockError::OwnerDied`], until a writer calls [`RwLockWriteGuard::make_consistent`]; so does one that panics, or whose
/// connection is cut.
///
/// ```
/// use procshare::manager::{Manager, RwLock};
///
/// let manager = Manager::start()?;
/// let lock = RwLock::create(&manager, "config")?;
/// {
///     let _one = lock.read()?;
///     let _two = lock.read()?;
/// }
/// let writer = lock.write()?;
/// let reader = writer.downgrade()?; // nobody writes in between
/// assert_eq!(lock.readers()?, 1);
/// # drop(reader);
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct RwLock {
    pub(super) object: Object,
}

/// A lock that is read; dropping it ends that.
#[must_use = "dropping it releases the lock"]
pub struct RwLockReadGuard {
    holding: Holding,
}

/// A lock that is written; dropping it ends that, and a panic meanwhile marks what it protects as inconsistent.
#[must_use = "dropping it releases the lock"]
pub struct RwLockWriteGuard {
    holding: Holding,
}

type Reading = Result<RwLockReadGuard, LockError<RwLockReadGuard>>;
type Writing = Result<RwLockWriteGuard, LockError<RwLockWriteGuard>>;

impl RwLock {
    pub(super) fn from_target(object: Object) -> Self {
        RwLock { object }
    }

    /// Becomes a reader, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, if the last writer did not leave in good order; [`LockError::Deadlock`] if the
    /// calling thread writes.
    pub fn read(&self) -> Result<RwLockReadGuard, LockError<RwLockReadGuard>> {
        self.reader(Wait::Never)
    }

    /// Becomes a reader if that needs no waiting.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`LockError::WouldBlock`].
    pub fn try_read(&self) -> Result<RwLockReadGuard, LockError<RwLockReadGuard>> {
        self.reader(Wait::Now)
    }

    /// Becomes a reader, waiting for so long.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`LockError::TimedOut`].
    pub fn read_timeout(&self, timeout: Duration) -> Result<RwLockReadGuard, LockError<RwLockReadGuard>> {
        self.reader(Wait::For(timeout))
    }

    /// Becomes the writer, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, if the last writer did not leave in good order; [`LockError::Deadlock`] if the
    /// calling thread reads or writes.
    pub fn write(&self) -> Result<RwLockWriteGuard, LockError<RwLockWriteGuard>> {
        self.writer(Wait::Never)
    }

    /// Becomes the writer if that needs no waiting.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`LockError::WouldBlock`].
    pub fn try_write(&self) -> Result<RwLockWriteGuard, LockError<RwLockWriteGuard>> {
        self.writer(Wait::Now)
    }

    /// Becomes the writer, waiting for so long.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`LockError::TimedOut`].
    pub fn write_timeout(&self, timeout: Duration) -> Result<RwLockWriteGuard, LockError<RwLockWriteGuard>> {
        self.writer(Wait::For(timeout))
    }

    /// How many guards read; outdated as soon as it is told.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn readers(&self) -> ManagerResult<u64> {
        Ok(self.status()?.0)
    }

    /// Whether somebody writes; outdated as soon as it is told.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn is_written(&self) -> ManagerResult<bool> {
        Ok(self.status()?.1)
    }

    fn status(&self) -> ManagerResult<(u64, bool, u64, Option<String>)> {
        self.object.target().call("status").run()
    }

    fn hold(&self, how: &'static str, wait: Wait) -> crate::Result<(Holding, Option<String>)> {
        let draft = self.object.target().call(how).arg(&thread_token()).arg(&wait.milliseconds());
        let (fence, mishap) = draft.run()?;
        Ok((Holding::alone(self.object.clone(), fence), mishap))
    }

    fn reader(&self, wait: Wait) -> Reading {
        let (holding, mishap) = self.hold("read", wait)?;
        told(RwLockReadGuard { holding }, mishap.as_deref())
    }

    fn writer(&self, wait: Wait) -> Writing {
        let (holding, mishap) = self.hold("write", wait)?;
        told(RwLockWriteGuard { holding }, mishap.as_deref())
    }
}

proxy!(RwLock, "rwlock", ());

macro_rules! guards {
    ($guard:ident) => {
        impl $guard {
            /// The number of this holding: greater than those of all holdings before, of any lock of this server run.
            pub fn fence(&self) -> u64 {
                self.holding.fence()
            }

            /// Whether the connection is gone, and with it the holding. Asks the server.
            pub fn is_lost(&self) -> bool {
                self.holding.is_lost()
            }

            /// Releases the lock, and says whether it was held all the time.
            ///
            /// # Errors
            ///
            /// [`NotHeld`](crate::manager::ManagerError::NotHeld) if the holding has ended,
            /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
            pub fn unlock(mut self) -> ManagerResult<()> {
                self.holding.release()
            }
        }

        impl Drop for $guard {
            fn drop(&mut self) {
                self.holding.drop_lock();
            }
        }

        impl fmt::Debug for $guard {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($guard)).field("fence", &self.fence()).finish_non_exhaustive()
            }
        }
    };
}

guards!(RwLockReadGuard);
guards!(RwLockWriteGuard);

impl RwLockWriteGuard {
    /// Says that what the lock protects is in order again.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::ManagerError::NotHeld) if the holding has ended,
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn make_consistent(&self) -> ManagerResult<()> {
        self.holding.make_consistent()
    }

    /// Becomes a reader, without letting another writer in between. Other readers may enter from here on.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::ManagerError::NotHeld) if the holding has ended,
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn downgrade(mut self) -> ManagerResult<RwLockReadGuard> {
        let object = self.holding.object().clone();
        object.target().call("downgrade").arg(&self.fence()).done()?;
        let fence = self.fence();
        // From here on the read guard is responsible.
        self.holding.end();
        Ok(RwLockReadGuard { holding: Holding::alone(object, fence) })
    }
}
