//! Condition.

use std::time::{Duration, Instant};

use super::lock::{Lock, LockGuard, RLock};
use super::object::Object;
use super::timeout::Wait;
use crate::manager::Manager;
use crate::manager::error::ManagerResult;
use crate::sync::{LockError, WaitTimeoutResult};
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
    /// The holding is a new one, with a new fence: this guard and all others that the thread has of it go on with that.
    ///
    /// # Errors
    ///
    /// As [`RLock::lock`]; [`ManagerError::NotHeld`](crate::manager::ManagerError::NotHeld) inside [`LockError::Failed`] if the guard
    /// is of another lock or thread. The guard is dropped then.
    pub fn wait(&self, guard: LockGuard) -> Result<LockGuard, LockError<LockGuard>> {
        self.wait_for(guard, Wait::Never).map(|(guard, _)| guard)
    }

    /// The same for so long; whether the time passed without a notification. Taking the lock again may take longer.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(
        &self,
        guard: LockGuard,
        timeout: Duration,
    ) -> Result<(LockGuard, WaitTimeoutResult), LockError<LockGuard>> {
        self.wait_for(guard, Wait::For(timeout))
    }

    /// Waits as long as `unchanged`, called with the lock held, says so; it is called once before any wait.
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

    /// Waits as long as `unchanged`, called with the lock held, says so, or at most `timeout`; it is called once before any wait and
    /// once after the timeout. Whether it still said so then.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while_timeout(
        &self,
        mut guard: LockGuard,
        timeout: Duration,
        mut unchanged: impl FnMut() -> bool,
    ) -> Result<(LockGuard, WaitTimeoutResult), LockError<LockGuard>> {
        let began = Instant::now();
        loop {
            if !unchanged() {
                return Ok((guard, WaitTimeoutResult::new(false)));
            }
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok((guard, WaitTimeoutResult::new(true)));
            }
            (guard, _) = self.wait_timeout(guard, left)?;
        }
    }

    fn wait_for(
        &self,
        guard: LockGuard,
        wait: Wait,
    ) -> Result<(LockGuard, WaitTimeoutResult), LockError<LockGuard>> {
        let draft = self.object.target().call("wait").arg(&thread_token()).arg(&wait.milliseconds());
        let draft = draft.arg(&guard.fence());
        let (notified, fence, mishap) = draft.run::<(bool, u64, Option<String>)>()?;
        let guard = guard.renewed(fence, mishap.as_deref())?;
        Ok((guard, WaitTimeoutResult::new(!notified)))
    }

    /// How many wait; outdated as soon as it is told.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn n_waiting(&self) -> ManagerResult<u64> {
        self.object.target().call("waiting").run()
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
