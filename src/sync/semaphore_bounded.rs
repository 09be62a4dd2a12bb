//! `BoundedSemaphore`: a semaphore that never has more permits than it was made with.

use std::fmt;
use std::time::Duration;

use super::semaphore::{PermitError, SemaphorePermit};
use super::semaphore_pool::Pool;
use crate::error::Result;
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, constructors};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::time::Deadline;

/// A [`Semaphore`](crate::Semaphore) that never has more permits than it was made with: releasing too many is an error.
///
/// [`release`](Self::release) brings home permits that are out without an owner, that is
/// [forgotten](SemaphorePermit::forget) ones. The check and the release are one step: however many processes release at
/// once, no permit is made.
///
/// # When somebody dies
///
/// As for [`Semaphore`](crate::Semaphore): what a killed process owned comes back exactly once, forgotten permits stay out, and
/// a `release` of several permits happened as a whole or not at all.
///
/// # Examples
///
/// ```
/// use procshare::{BoundedSemaphore, PermitError};
///
/// let seats = BoundedSemaphore::anonymous(1)?;
/// seats.acquire()?.forget(); // as in Python: whoever comes along may release it
/// assert_eq!(seats.available(), 0);
/// seats.release(1).unwrap();
/// assert!(matches!(seats.release(1), Err(PermitError::TooMany { most: 0, .. })));
/// assert_eq!(seats.available(), 1);
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct BoundedSemaphore {
    pool: Pool,
}

impl BoundedSemaphore {
    /// Takes a permit, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`](crate::Semaphore::acquire).
    #[inline]
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>> {
        self.pool.acquire(Deadline::Never)
    }

    /// Takes a permit if one is free. Never waits for an owner; permits of the dead are free.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::try_acquire`](crate::Semaphore::try_acquire).
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>> {
        self.pool.acquire(Deadline::Now)
    }

    /// Takes a permit, waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`](crate::Error::TimedOut), and as [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<SemaphorePermit<'_>> {
        self.pool.acquire_timeout(timeout)
    }

    /// Brings home `count` permits that are out without an owner, all of them or none, whoever acquired them.
    ///
    /// # Errors
    ///
    /// [`PermitError::TooMany`] if fewer are out without an owner: nothing changes. [`PermitError::Failed`] as for
    /// [`acquire`](Self::acquire).
    pub fn release(&self, count: u32) -> Result<(), PermitError> {
        self.pool.release(count)
    }

    /// How many permits are free now. A hint: it may change at once, and permits of the dead count once somebody lacked one.
    pub fn available(&self) -> u32 {
        self.pool.words().available()
    }

    /// How many permits there are: free, owned and out.
    pub fn bound(&self) -> u32 {
        self.pool.words().initial
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }
}

constructors! {
    impl[] BoundedSemaphore,
    noun: "semaphore",
    made: " with so many permits, all of them free",
    errors: "[`BadSize`](crate::Error::BadSize) for more than 2^31 - 1 permits",
    (permits: u32) => permits
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("object", &self.pool.attached().object())
            .field("available", &self.available())
            .field("bound", &self.bound())
            .finish_non_exhaustive()
    }
}

impl Object for BoundedSemaphore {
    type Init = u32;

    fn plan(permits: &u32) -> Result<Plan, PlanFault> {
        Pool::plan(*permits)
    }

    fn expect() -> Expect {
        Expect { kind: Kind::BoundedSemaphore, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, permits: u32) -> Result<()> {
        Pool::initialise(body, permits, true)
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(BoundedSemaphore { pool: Pool::attach(attached, true)? })
    }

    fn attached(&self) -> &Attached {
        self.pool.attached()
    }
}
