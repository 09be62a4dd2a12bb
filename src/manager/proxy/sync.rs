//! Semaphores, Event and Barrier.

use std::fmt;
use std::time::Duration;

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
    Ok(Permit { object: object.clone(), fence })
}

/// Permits that are owned; dropping it gives them back.
#[must_use = "dropping it gives the permits back"]
pub struct Permit {
    object: Object,
    fence: u64,
}

impl Permit {
    /// The number of this holding: greater than those of all holdings before, of any object of this server run.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// Makes the permits belong to nobody: no death gives them back, only `release`.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::ManagerError::NotHeld) if they have gone back already.
    pub fn forget(mut self) -> ManagerResult<()> {
        let fence = std::mem::take(&mut self.fence);
        self.object.target().call("forget").arg(&fence).done()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.fence != 0 {
            self.object.target().call("release").arg(&self.fence).tell();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("fence", &self.fence).finish_non_exhaustive()
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

/// A place where so many clients of a manager wait for each other.
///
/// Whoever has waited here, or [joined](Self::join), has a seat: its death breaks the barrier for all, until somebody resets it.
pub struct Barrier {
    pub(super) object: Object,
}

/// What a [`Barrier`]'s `wait` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    index: u64,
    leader: bool,
}

impl BarrierWaitResult {
    /// By the order of arrival, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// True for exactly one of the round: the last to arrive.
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

impl Barrier {
    pub(super) fn from_target(object: Object) -> Self {
        Barrier { object }
    }

    /// Waits until all are there.
    ///
    /// # Errors
    ///
    /// [`Broken`](crate::manager::ManagerError::Broken).
    pub fn wait(&self) -> ManagerResult<BarrierWaitResult> {
        self.wait_for(Wait::Never)
    }

    /// Waits for so long until all are there; if they are not, the barrier is broken for all.
    ///
    /// # Errors
    ///
    /// [`Broken`](crate::manager::ManagerError::Broken).
    pub fn wait_timeout(&self, timeout: Duration) -> ManagerResult<BarrierWaitResult> {
        self.wait_for(Wait::For(timeout))
    }

    fn wait_for(&self, wait: Wait) -> ManagerResult<BarrierWaitResult> {
        let (index, leader) = self.object.target().call("wait").arg(&wait.milliseconds()).run()?;
        Ok(BarrierWaitResult { index, leader })
    }

    /// Takes a seat without waiting: from now on this client's death breaks the barrier.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn join(&self) -> ManagerResult<()> {
        self.object.target().call("join").done()
    }

    /// Gives the seat back.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn leave(&self) -> ManagerResult<()> {
        self.object.target().call("leave").done()
    }

    /// Breaks the barrier: all that wait, and all that come, get an error until it is reset.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn abort(&self) -> ManagerResult<()> {
        self.object.target().call("abort").done()
    }

    /// Makes it as new; whoever waits gets an error.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn reset(&self) -> ManagerResult<()> {
        self.object.target().call("reset").done()
    }

    /// How many it takes.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn parties(&self) -> ManagerResult<u64> {
        Ok(self.status()?.0)
    }

    /// How many wait; outdated as soon as it is told.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn n_waiting(&self) -> ManagerResult<u64> {
        Ok(self.status()?.1)
    }

    /// Whether it is broken.
    ///
    /// # Errors
    ///
    /// [`Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn is_broken(&self) -> ManagerResult<bool> {
        Ok(self.status()?.2.is_some())
    }

    fn status(&self) -> ManagerResult<(u64, u64, Option<String>)> {
        self.object.target().call("status").run()
    }
}

proxy!(Barrier, "barrier", (parties: u64));
