//! Semaphores and Event.

use std::fmt;
use std::time::Duration;

use super::holding::Holding;
use super::object::Object;
use super::timeout::Wait;
use crate::manager::error::ManagerResult;

/// Permits between the clients of a manager; first come, first served.
///
/// A client that dies gives back the permits it owns, at once and exactly.
pub struct Semaphore {
    pub(super) object: Object,
}

/// A [`Semaphore`] that refuses to get more permits than it began with.
pub struct BoundedSemaphore {
    pub(super) object: Object,
}

macro_rules! semaphores {
    ($name:ident, $kind:literal) => {
        impl $name {
            pub(super) fn from_target(object: Object) -> Self {
                $name { object }
            }

            /// Takes a permit, waiting as long as it takes.
            ///
            /// # Errors
            ///
            /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
            pub fn acquire(&self) -> ManagerResult<Permit> {
                acquire(&self.object, 1, Wait::Never)
            }

            /// Takes a permit if there is one.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](crate::manager::ManagerError::WouldBlock).
            pub fn try_acquire(&self) -> ManagerResult<Permit> {
                acquire(&self.object, 1, Wait::Now)
            }

            /// Takes a permit, waiting for so long.
            ///
            /// # Errors
            ///
            /// [`TimedOut`](crate::manager::ManagerError::TimedOut).
            pub fn acquire_timeout(&self, timeout: Duration) -> ManagerResult<Permit> {
                acquire(&self.object, 1, Wait::For(timeout))
            }

            /// Takes many permits at once, waiting as long as it takes.
            ///
            /// # Errors
            ///
            /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange) for none, or more than there can be.
            pub fn acquire_many(&self, count: u64) -> ManagerResult<Permit> {
                acquire(&self.object, count, Wait::Never)
            }

            /// Takes many permits at once if there are so many.
            ///
            /// # Errors
            ///
            /// As [`acquire_many`](Self::acquire_many), and [`WouldBlock`](crate::manager::ManagerError::WouldBlock).
            pub fn try_acquire_many(&self, count: u64) -> ManagerResult<Permit> {
                acquire(&self.object, count, Wait::Now)
            }

            /// Takes many permits at once, waiting for so long.
            ///
            /// # Errors
            ///
            /// As [`acquire_many`](Self::acquire_many), and [`TimedOut`](crate::manager::ManagerError::TimedOut).
            pub fn acquire_many_timeout(&self, count: u64, timeout: Duration) -> ManagerResult<Permit> {
                acquire(&self.object, count, Wait::For(timeout))
            }

            /// Adds permits that nobody owns: those of a forgotten [`Permit`], or new ones.
            ///
            /// # Errors
            ///
            /// [`OutOfRange`](crate::manager::ManagerError::OutOfRange) if there were more than there can be.
            pub fn release(&self, count: u64) -> ManagerResult<()> {
                self.object.target().call("add").arg(&count).done()
            }

            /// How many permits are free; outdated as soon as it is told.
            ///
            /// # Errors
            ///
            /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
            pub fn available(&self) -> ManagerResult<u64> {
                self.object.target().call("value").run()
            }
        }

        proxy!($name, $kind, (permits: u64));
    };
}

semaphores!(Semaphore, "semaphore");
semaphores!(BoundedSemaphore, "bounded_semaphore");

fn acquire(object: &Object, count: u64, wait: Wait) -> ManagerResult<Permit> {
    let fence = object.target().call("acquire").arg(&count).arg(&wait.milliseconds()).run()?;
    Ok(Permit { holding: Holding::alone(object.clone(), fence) })
}

/// Permits that are owned; dropping it gives them back.
#[must_use = "dropping it gives the permits back"]
pub struct Permit {
    holding: Holding,
}

impl Permit {
    /// The number of this holding: greater than those of all holdings before, of any object of this server run.
    pub fn fence(&self) -> u64 {
        self.holding.fence()
    }

    /// Whether the connection is gone, and the permits with it. Asks the server.
    pub fn is_lost(&self) -> bool {
        self.holding.is_lost()
    }

    /// Gives the permits back, and says whether they were owned all the time.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::ManagerError::NotHeld) if they have gone back already,
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn release(mut self) -> ManagerResult<()> {
        let fence = self.holding.end();
        self.holding.object().target().call("release").arg(&fence).done()
    }

    /// Makes the permits belong to nobody: no death gives them back, only `release`.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::ManagerError::NotHeld) if they have gone back already.
    pub fn forget(mut self) -> ManagerResult<()> {
        let fence = self.holding.end();
        self.holding.object().target().call("forget").arg(&fence).done()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(fence) = self.holding.end() {
            self.holding.object().target().call("release").arg(&fence).tell();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("fence", &self.fence()).finish_non_exhaustive()
    }
}

/// A flag that the clients of a manager can wait for. A death changes nothing.
pub struct Event {
    pub(super) object: Object,
}

impl Event {
    pub(super) fn from_target(object: Object) -> Self {
        Event { object }
    }

    /// Sets it, and wakes all that wait.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn set(&self) -> ManagerResult<()> {
        self.object.target().call("set").done()
    }

    /// Clears it.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn clear(&self) -> ManagerResult<()> {
        self.object.target().call("clear").done()
    }

    /// Whether it is set.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn is_set(&self) -> ManagerResult<bool> {
        self.object.target().call("is_set").run()
    }

    /// Waits until it is set, or was for a moment.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn wait(&self) -> ManagerResult<()> {
        self.object.target().call("wait").arg(&Wait::Never.milliseconds()).done()
    }

    /// Waits for so long until it is set, or was for a moment; whether that happened.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn wait_timeout(&self, timeout: Duration) -> ManagerResult<bool> {
        self.object.target().call("wait").arg(&Wait::For(timeout).milliseconds()).run()
    }
}

proxy!(Event, "event", ());
