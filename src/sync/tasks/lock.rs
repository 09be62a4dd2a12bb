//! `AsyncLockGuard`: a lock held by a task.

use std::fmt;

use super::Wait;
use crate::error::{Error, Result};
use crate::sync::lock::{Lock, Parts};
use crate::sync::lock_array::LockRef;
use crate::sync::lock_word::{Entry, Owner, TASK_TOKEN};
use crate::sync::outcome::{LockError, OwnerDied};
use crate::sync::wait_any::LockSource;

/// Holds a [`Lock`] until it is dropped, in whatever thread the task runs; from [`Lock::lock_async`] and its like.
///
/// The owner is the process, not a thread. In a forked child the copy of a parent's guard is without effect.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct AsyncLockGuard<'a> {
    parts: Parts<'a>,
    owner: Owner,
    /// Whether the thread was unwinding already when it took the lock: then its panic is not this lock's.
    unwinding: bool,
}

impl<'a> Parts<'a> {
    pub(super) async fn lock_async(self) -> Result<AsyncLockGuard<'a>, LockError<AsyncLockGuard<'a>>> {
        let (owner, entry) = Wait::new(LockSource::new(self, TASK_TOKEN), self.attached).await?;
        let guard = AsyncLockGuard { parts: self, owner, unwinding: std::thread::panicking() };
        match entry {
            Entry::Clean => Ok(guard),
            Entry::Inconsistent(cause) => Err(LockError::OwnerDied(OwnerDied::new(guard, cause))),
        }
    }
}

impl Lock {
    /// Takes the lock, waiting without a thread. For any executor.
    ///
    /// Dropping the future takes nothing, and nobody else misses anything by it: use your executor's timeouts. Tasks may hold
    /// the lock across `await` and move between threads meanwhile. A task that asks for a lock it holds itself waits for ever.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside; [`LockError::Failed`] if a forked child cannot join the space, the handle is
    /// read-only, or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// use procshare::Lock;
    ///
    /// let lock = Lock::anonymous()?;
    /// let guard = lock.lock_async().await?;
    /// assert!(lock.try_lock().is_err(), "threads and tasks exclude each other");
    /// drop(guard);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_async(&self) -> Result<AsyncLockGuard<'_>, LockError<AsyncLockGuard<'_>>> {
        self.parts().lock_async().await
    }
}

impl<'a> LockRef<'a> {
    /// Takes the lock, waiting without a thread; see [`Lock::lock_async`].
    ///
    /// # Errors
    ///
    /// As [`Lock::lock_async`].
    pub async fn lock_async(self) -> Result<AsyncLockGuard<'a>, LockError<AsyncLockGuard<'a>>> {
        self.parts().lock_async().await
    }
}

impl<'a> AsyncLockGuard<'a> {
    /// What the guard holds, for who releases and takes it again; an error if it is the copy of a parent's guard.
    pub(super) fn parts_of_mine(&self) -> Result<Parts<'a>> {
        if self.is_mine() {
            Ok(self.parts)
        } else {
            Err(Error::Inherited { object: self.parts.attached.object(), what: "guard" })
        }
    }
}

impl AsyncLockGuard<'_> {
    fn is_mine(&self) -> bool {
        self.parts.attached.member.me() == self.owner.id()
    }

    /// Declares what the lock protects consistent again: later acquirers get plain guards.
    pub fn make_consistent(&self) {
        if self.is_mine() {
            self.parts.word.make_consistent();
        }
    }

    /// Hands the holding over: the lock stays held by nobody in particular, until somebody calls [`Lock::release`].
    pub fn forget(self) {
        if self.is_mine() {
            self.parts.word.hand_over(self.owner);
        }
        std::mem::forget(self);
    }
}

impl Drop for AsyncLockGuard<'_> {
    fn drop(&mut self) {
        // A forked child reads another id (or none) and leaves its parent's holding alone.
        if self.is_mine() {
            let host = self.parts.attached.member.host();
            if !self.unwinding && std::thread::panicking() {
                self.parts.word.release_panicked(host, self.owner);
            } else {
                self.parts.word.release(host, self.owner);
            }
        }
    }
}

impl fmt::Debug for AsyncLockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncLockGuard").finish_non_exhaustive()
    }
}
