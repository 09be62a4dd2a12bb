//! Condition.

use std::time::Duration;

use super::lock::{Lock, LockGuard, RLock};
use super::object::Object;
use super::timeout::Wait;
use crate::manager::Manager;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::sync::LockError;
use crate::sys::thread_token;

/// Waiting for something to change, over a lock; first come, first woken.
///
/// A death eats no notification: who is dead does not wait. A notifier's `notify` is done or not done.
pub struct Condition {
    pub(super) object: Object,
}

impl Condition {
    pub(super) fn from_target(object: Object) -> Self {
        Condition { object }
    }

    /// Makes a new condition without a name over a lock, which others may use as well.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected), and limits of the server.
    pub fn over(manager: &Manager, lock: &Lock) -> ManagerResult<Self> {
        Condition::over_object(manager, &lock.object)
    }

    /// Makes a new condition without a name over an [`RLock`].
    ///
    /// # Errors
    ///
    /// As [`over`](Self::over).
    pub fn over_rlock(manager: &Manager, lock: &RLock) -> ManagerResult<Self> {
        Condition::over_object(manager, &lock.object)
    }

    fn over_object(manager: &Manager, lock: &Object) -> ManagerResult<Self> {
        let draft = manager.call("create").arg("condition").arg(&()).arg(lock);
        manager.object(draft).map(Condition::from_target)
    }

    /// The lock of the condition; of one that was made without, an [`RLock`] of its own.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn lock(&self) -> ManagerResult<RLock> {
        self.object.target().call("lock").run()
    }

    /// Gives the lock away, waits to be notified, and takes the lock again as often as it was held.
    ///
    /// The guard is a new one, with a new fence.
    ///
    /// # Errors
    ///
    /// As [`RLock::lock`]; [`ManagerError::NotHeld`] inside [`LockError::Failed`] if the guard is of another lock or thread.
    pub fn wait(&self, guard: LockGuard) -> Result<LockGuard, LockError<LockGuard>> {
        self.wait_for(guard, Wait::Never).map(|(guard, _)| guard)
    }

    /// The same for so long; whether it was notified. Taking the lock again may take longer.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(
        &self,
        guard: LockGuard,
        timeout: Duration,
    ) -> Result<(LockGuard, bool), LockError<LockGuard>> {
        self.wait_for(guard, Wait::For(timeout))
    }

    /// Waits as long as `unchanged` says so; it is asked with the lock held.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while(
        &self,
        mut guard: LockGuard,
        mut unchanged: impl FnMut() -> bool,
    ) -> Result<LockGuard, LockError<LockGuard>> {
        while unchanged() {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    fn wait_for(&self, guard: LockGuard, wait: Wait) -> Result<(LockGuard, bool), LockError<LockGuard>> {
        let draft = self.object.target().call("wait").arg(&thread_token()).arg(&wait.milliseconds());
        match draft.run::<(bool, u64, Option<String>)>() {
            Ok((notified, fence, mishap)) => {
                let lock = guard.defuse();
                LockGuard::new(lock, fence, mishap).map(|guard| (guard, notified))
            }
            // Not held here: the guard is dropped, and releases whatever it is of.
            Err(error @ ManagerError::NotHeld { .. }) => {
                tracing::debug!(lock = ?guard.of(), "a condition was used without its lock");
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Wakes the one that has waited longest; whether there was one. Only with the lock held.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::ManagerError::NotHeld).
    pub fn notify_one(&self) -> ManagerResult<bool> {
        Ok(self.notify(1)? == 1)
    }

    /// Wakes at most so many; how many it woke. Only with the lock held.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::ManagerError::NotHeld).
    pub fn notify(&self, most: u64) -> ManagerResult<u64> {
        self.object.target().call("notify").arg(&thread_token()).arg(&most).run()
    }

    /// Wakes all; how many they were. Only with the lock held.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::ManagerError::NotHeld).
    pub fn notify_all(&self) -> ManagerResult<u64> {
        self.object.target().call("notify").arg(&thread_token()).arg(&()).run()
    }
}

proxy!(Condition, "condition", ());
