//! Conditions and latches, waited for by tasks.

use super::{AsyncLockGuard, Wait};
use crate::error::{Error, Result};
use crate::park::{AnyFutex, Expected};
use crate::participant::{Host, Object};
use crate::sync::condition::Condition;
use crate::sync::condition_guard::is_holder_gone;
use crate::sync::latch::Latch;
use crate::sync::lock::Parts;
use crate::sync::outcome::LockError;
use crate::sync::wait_any::{Announced, Attempt, LatchSource, Look, Source};
use crate::sync::waiters::{Place, Waiters};

/// A task's place among a condition's waiters. Dropping it gives it up: a notification that it got goes to the next.
struct InLine<'a> {
    condition: &'a Condition,
    place: Place,
    /// The participant whose place it is: a forked child is another one.
    me: u32,
    left: bool,
}

impl<'a> InLine<'a> {
    fn join(condition: &'a Condition) -> Result<Self> {
        let (place, me) = condition.register()?;
        Ok(InLine { condition, place, me, left: false })
    }

    fn waiters(&self) -> Waiters<'a, impl Host + use<'a>> {
        self.condition.waiters(self.condition.attached().member.host(), self.me)
    }

    /// Whether the calling process is the one that waits.
    fn is_mine(&self) -> bool {
        self.condition.attached().member.me() == self.me
    }

    fn is_waiting(&self) -> bool {
        self.waiters().is_waiting(self.place)
    }

    /// Uses up the notification.
    fn leave(mut self) {
        self.left = true;
        self.waiters().leave(self.place);
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if !self.left && self.is_mine() {
            self.waiters().abandon(self.place);
        }
    }
}

/// A notification that a task waits for, or the death of who holds the lock.
struct Notification<'l, 'a, 'g> {
    line: &'l InLine<'a>,
    lock: Parts<'g>,
}

impl<'a> Source<'a> for Notification<'_, 'a, '_> {
    type Output = ();

    fn attempt(&mut self, look: Look) -> Result<Attempt<()>> {
        let line = self.line;
        if !line.is_mine() {
            return Err(Error::Inherited { object: line.condition.attached().object(), what: "wait" });
        }
        if look != Look::Quick {
            line.waiters().sweep(true);
        }
        // A dead holder cannot notify any more: whoever takes the lock over shall know.
        let is_over = !line.is_waiting() || (look != Look::Quick && is_holder_gone(self.lock));
        Ok(if is_over { Attempt::Taken(()) } else { Attempt::NotYet })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        Ok(match self.line.waiters().park(self.line.place) {
            Some((word, bits)) => Announced::Sleep(Expected { word: AnyFutex::Low(word), bits }),
            None => Announced::Again,
        })
    }
}

impl Condition {
    /// Takes the condition's own lock, waiting without a thread; see [`Lock::lock_async`](crate::Lock::lock_async).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn lock_async(&self) -> Result<AsyncLockGuard<'_>, LockError<AsyncLockGuard<'_>>> {
        self.own_lock().lock_async().await
    }

    /// Releases the guard's lock, waits for a notification without a thread, and takes the lock again. For any executor.
    ///
    /// Dropping the future leaves the line: a notification that was meant for it goes to the next waiter. The lock is not held
    /// then: it was released when the wait began. Tasks and threads stand in one line, in the order in which they came.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// use procshare::{AtomicValue, Condition};
    ///
    /// let (changed, ready) = (Condition::anonymous()?, AtomicValue::<bool>::anonymous(false)?);
    /// let (theirs, its) = (changed.clone(), ready.clone());
    /// let waiter = tokio::spawn(async move {
    ///     let guard = theirs.lock_async().await?;
    ///     let _guard = theirs.wait_while_async(guard, || !its.load()).await?;
    ///     Ok::<(), procshare::Error>(())
    /// });
    /// let guard = changed.lock_async().await?;
    /// ready.store(true)?;
    /// changed.notify_one()?;
    /// drop(guard);
    /// waiter.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait_async<'g>(
        &self,
        guard: AsyncLockGuard<'g>,
    ) -> Result<AsyncLockGuard<'g>, LockError<AsyncLockGuard<'g>>> {
        let lock = guard.parts_of_mine()?;
        // Registered before the lock is released: who notifies under the lock afterwards sees this waiter.
        let line = InLine::join(self)?;
        drop(guard);
        loop {
            Wait::new(Notification { line: &line, lock }, self.attached()).await?;
            let guard = lock.lock_async().await?;
            if !line.is_waiting() {
                // With the lock held, and no `await` in between: whoever drops the future later has had the notification.
                line.leave();
                return Ok(guard);
            }
            // Somebody else has taken over from the dead holder.
        }
    }

    /// Waits until `condition`, called with the lock held, says `false`; calls it once before any wait. See
    /// [`wait_async`](Self::wait_async).
    ///
    /// # Errors
    ///
    /// As [`wait_async`](Self::wait_async).
    pub async fn wait_while_async<'g>(
        &self,
        mut guard: AsyncLockGuard<'g>,
        mut condition: impl FnMut() -> bool,
    ) -> Result<AsyncLockGuard<'g>, LockError<AsyncLockGuard<'g>>> {
        while condition() {
            guard = self.wait_async(guard).await?;
        }
        Ok(guard)
    }
}

impl Latch {
    /// Waits until the count is 0, without a thread. For any executor; dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// let ready = procshare::Latch::anonymous(1)?;
    /// let theirs = ready.clone();
    /// let waiter = tokio::spawn(async move { theirs.wait_async().await });
    /// ready.count_down(1)?;
    /// waiter.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait_async(&self) -> Result<()> {
        Wait::new(LatchSource::new(self), self.attached()).await
    }
}
