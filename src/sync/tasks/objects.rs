//! Semaphores and events, waited for by tasks.

use super::Wait;
use crate::error::Result;
use crate::participant::Object;
use crate::sync::event::{Event, Reset};
use crate::sync::semaphore::{Semaphore, SemaphorePermit};
use crate::sync::semaphore_bounded::BoundedSemaphore;
use crate::sync::wait_any::{AutoEvent, ManualEvent, PermitSource};

impl Semaphore {
    /// Takes a permit, waiting without a thread. For any executor; dropping the future takes nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// let seats = procshare::Semaphore::anonymous(1)?;
    /// let seat = seats.acquire_async().await?;
    /// let wait = std::time::Duration::from_millis(1);
    /// assert!(tokio::time::timeout(wait, seats.acquire_async()).await.is_err());
    /// drop(seat);
    /// assert_eq!(seats.available(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire_async(&self) -> Result<SemaphorePermit<'_>> {
        Wait::new(PermitSource::new(self.pool()), self.attached()).await
    }
}

impl BoundedSemaphore {
    /// Takes a permit, waiting without a thread; see [`Semaphore::acquire_async`].
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire_async`].
    pub async fn acquire_async(&self) -> Result<SemaphorePermit<'_>> {
        Wait::new(PermitSource::new(self.pool()), self.attached()).await
    }
}

impl Event {
    /// Waits until it is set, without a thread. For any executor.
    ///
    /// Dropping the future takes nothing: with [`Reset::Auto`], a signal that was meant for it goes to the next waiter.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// let go = procshare::Event::anonymous()?;
    /// let theirs = go.clone();
    /// let waiter = tokio::spawn(async move { theirs.wait_async().await });
    /// go.set()?;
    /// waiter.await.unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait_async(&self) -> Result<()> {
        match self.reset() {
            Reset::Manual => Wait::new(ManualEvent::new(self), self.attached()).await,
            Reset::Auto => Wait::new(AutoEvent::new(self), self.attached()).await,
        }
    }
}
