//! `Semaphore`: permits that know their owner, counted exactly whoever dies.

use std::fmt;
use std::time::Duration;

use super::semaphore_pool::Pool;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Object, ParticipantId, Plan, PlanFault, constructors};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::time::Deadline;

/// Permits shared between threads, forked children and unrelated processes.
///
/// [`acquire`](Self::acquire) takes one and returns a guard that gives it back. Permits without an owner, as in Python's
/// semaphores, are made by [`SemaphorePermit::forget`] and [`release`](Self::release): whoever acquires may be somebody else
/// than who releases, and `release` may raise the number of permits beyond the first one. Where that is an error, use
/// [`BoundedSemaphore`](crate::BoundedSemaphore).
///
/// Not fair: whoever comes first after a release gets the permit. Up to 256 permits are taken and given back by one
/// compare-exchange each; those beyond go through a lock, exact all the same. A semaphore made with at most 256 permits fits
/// into a page, and at most 336 processes can own permits beyond the 256th of it at once.
///
/// # When somebody dies
///
/// What a process owns when it is killed, at whatever instruction, comes back exactly once: no permit is lost, none is made.
/// A waiter finds it within some milliseconds, [`try_acquire`](Self::try_acquire) at once. A `release` of several
/// permits happened as a whole or not at all. Permits that were [forgotten](SemaphorePermit::forget) belong to nobody and are
/// not brought back by any death. Waiters may die at any time; nobody depends on them.
///
/// # Examples
///
/// ```
/// use procshare::Semaphore;
///
/// let name = format!("doc-semaphore-{}", std::process::id());
/// let workers = Semaphore::create(&name, 2)?;
/// let same = Semaphore::open(&name)?; // in any process of the user
/// {
///     let _one = workers.acquire()?;
///     let _two = same.acquire()?;
///     assert!(same.try_acquire().is_err());
/// }
/// assert_eq!(workers.available(), 2);
/// Semaphore::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    pool: Pool,
}

/// Owns a permit of a [`Semaphore`] or [`BoundedSemaphore`](crate::BoundedSemaphore) until it is dropped.
///
/// The owner is the process: threads may pass the guard on. In a forked child the copy of a parent's guard is without effect.
#[must_use = "the permit is given back at once if the guard is not kept"]
pub struct SemaphorePermit<'a> {
    pool: &'a Pool,
    /// The participant that owns the permit.
    me: u32,
    /// Where the permit lies.
    place: u32,
}

/// Why [`Semaphore::release`] or [`BoundedSemaphore::release`](crate::BoundedSemaphore::release) did not release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PermitError {
    /// More permits than there can be; nothing was changed.
    #[error(
        "cannot release {asked} permits, there is room for {most}: release only what was acquired and forgotten, guards give back by themselves"
    )]
    TooMany {
        /// How many were to be released.
        asked: u32,
        /// How many could have been.
        most: u32,
    },
    /// The semaphore cannot be used at all.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Semaphore {
    /// Takes a permit, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`]; [`Error::SpaceFull`] or an I/O error if a forked child cannot join the space;
    /// [`Error::LivenessUnknown`] if it cannot be told for some seconds whether an owner lives.
    #[inline]
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>> {
        self.pool.acquire(Deadline::Never)
    }

    /// Takes a permit if one is free. Never waits for an owner; permits of the dead are free.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] if participants that live own all permits, or if one of them was stopped for seconds within the lock of
    /// those beyond the 256th; and as [`acquire`](Self::acquire).
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>> {
        self.pool.acquire(Deadline::Now)
    }

    /// Takes a permit, waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<SemaphorePermit<'_>> {
        self.pool.acquire_timeout(timeout)
    }

    /// Adds `count` free permits, all of them or none, whoever acquired them.
    ///
    /// Also ends holdings that were [forgotten](SemaphorePermit::forget). Guards give back by themselves: releasing a guarded
    /// permit here makes one more.
    ///
    /// # Errors
    ///
    /// [`PermitError::TooMany`] if more than 2^31 - 1 permits would be free; [`PermitError::Failed`] as for
    /// [`acquire`](Self::acquire).
    pub fn release(&self, count: u32) -> Result<(), PermitError> {
        self.pool.release(count)
    }

    /// How many permits are free now. A hint: it may change at once, and permits of the dead count once somebody lacked one.
    pub fn available(&self) -> u32 {
        self.pool.words().available()
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }
}

constructors! {
    impl[] Semaphore,
    noun: "semaphore",
    made: " with so many free permits",
    errors: "[`BadSize`](crate::Error::BadSize) for more than 2^31 - 1 permits",
    (permits: u32) => permits
}

impl<'a> SemaphorePermit<'a> {
    #[inline]
    pub(super) fn new(pool: &'a Pool, me: u32, place: u32) -> Self {
        SemaphorePermit { pool, me, place }
    }

    /// The participant that owns the permit: the process that acquired it.
    pub fn owner(&self) -> Option<ParticipantId> {
        ParticipantId::from_bits(self.me)
    }

    /// Ends the ownership and leaves the permit out, until somebody [releases](Semaphore::release) it.
    ///
    /// Python's semaphores work like this: any process may release. No death brings a forgotten permit back.
    pub fn forget(self) {
        self.pool.forget(self.me, self.place);
        std::mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.pool.give(self.me, self.place);
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit").field("owner", &self.owner()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("object", &self.pool.attached().object())
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

impl Object for Semaphore {
    type Init = u32;

    fn plan(permits: &u32) -> Result<Plan, PlanFault> {
        Pool::plan(*permits)
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Semaphore, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, permits: u32) -> Result<()> {
        Pool::initialise(body, permits, false)
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(Semaphore { pool: Pool::attach(attached, false)? })
    }

    fn attached(&self) -> &Attached {
        self.pool.attached()
    }
}
