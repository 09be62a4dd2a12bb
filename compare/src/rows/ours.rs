//! What the rows share of procshare itself.

use std::cell::UnsafeCell;

use super::lock::Counted;
use crate::failure::Failure;
use crate::shared::Shared;

/// What procshare said when it refused.
#[cold]
pub(super) fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::contender("procshare", error)
}

/// procshare's lock, and on a page of its own the counter that it guards: a lock carries no data.
pub(super) struct Locked {
    lock: procshare::Lock,
    counter: Shared<Counter>,
}

#[derive(Default)]
struct Counter(UnsafeCell<u64>);

// SAFETY: the counter is only touched under the lock beside it.
unsafe impl Sync for Counter {}

impl Counted for Locked {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            lock: procshare::Lock::anonymous().map_err(refused)?,
            counter: Shared::new(Counter::default())?,
        })
    }

    fn add(&self, times: u64) -> Result<(), Failure> {
        for _ in 0..times {
            let _held = self.lock.lock().map_err(refused)?;
            // SAFETY: the page is mapped as long as `self`, and the lock is held.
            unsafe { *self.counter.0.get() += 1 };
        }
        Ok(())
    }

    fn total(&self) -> Result<u64, Failure> {
        let _held = self.lock.lock().map_err(refused)?;
        // SAFETY: as in `add`.
        Ok(unsafe { *self.counter.0.get() })
    }
}
