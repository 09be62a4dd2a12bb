//! `BoundedSemaphore`: a semaphore that never has more permits than it was made with.

use std::fmt;
use std::time::Duration;

use super::semaphore::{PermitError, SemaphorePermit};
use super::semaphore_pool::Pool;
use crate::error::Result;
use crate::participant::{Attached, Body, Builder, Expect, Handle, Object, Plan, PlanFault, sealed};
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
    /// Options: space, lifetime, permissions, read-only.
    pub fn builder() -> Builder<BoundedSemaphore> {
        Builder::new()
    }

    /// Makes the semaphore `name` with so many permits, 0 to 2^31 - 1, all of them free.
    ///
    /// # Errors
    ///
    /// See [`Builder::create_with`]; [`Error::AlreadyExists`](crate::Error::AlreadyExists) if the name is taken, [`Error::BadSize`](crate::Error::BadSize) for too many permits.
    pub fn create(name: &str, permits: u32) -> Result<Self> {
        Self::builder().create(name, permits)
    }

    /// Opens the semaphore `name`.
    ///
    /// # Errors
    ///
    /// See [`Builder::open`]; [`Error::NotFound`](crate::Error::NotFound) if there is none.
    pub fn open(name: &str) -> Result<Self> {
        Self::builder().open(name)
    }

    /// Opens the semaphore `name`, or makes it with so many permits.
    ///
    /// # Errors
    ///
    /// See [`Builder::open_or_create_with`].
    pub fn open_or_create(name: &str, permits: u32) -> Result<Self> {
        Self::builder().open_or_create(name, permits)
    }

    /// Makes a semaphore without a name, for threads, forked children, and whoever receives its handle.
    ///
    /// # Errors
    ///
    /// See [`Builder::anonymous_with`].
    pub fn anonymous(permits: u32) -> Result<Self> {
        Self::builder().anonymous(permits)
    }

    /// Removes the name; whoever is attached keeps using the semaphore.
    ///
    /// # Errors
    ///
    /// See [`Builder::unlink`].
    pub fn unlink(name: &str) -> Result<()> {
        Self::builder().unlink(name)
    }

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

    /// The semaphore's address as data, for another process.
    pub fn handle(&self) -> Handle<BoundedSemaphore> {
        Handle::of(self)
    }
}

impl Builder<BoundedSemaphore> {
    /// Makes the semaphore `name` with so many permits; see [`create_with`](Self::create_with).
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn create(self, name: &str, permits: u32) -> Result<BoundedSemaphore> {
        self.create_with(name, permits)
    }

    /// Opens the semaphore `name`, or makes it; see [`open_or_create_with`](Self::open_or_create_with).
    ///
    /// # Errors
    ///
    /// As [`open_or_create_with`](Self::open_or_create_with).
    pub fn open_or_create(self, name: &str, permits: u32) -> Result<BoundedSemaphore> {
        self.open_or_create_with(name, permits)
    }

    /// Makes a semaphore without a name; see [`anonymous_with`](Self::anonymous_with).
    ///
    /// # Errors
    ///
    /// As [`anonymous_with`](Self::anonymous_with).
    pub fn anonymous(self, permits: u32) -> Result<BoundedSemaphore> {
        self.anonymous_with(permits)
    }
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

impl sealed::Sealed for BoundedSemaphore {}

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

impl serde::Serialize for BoundedSemaphore {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle().serialize(serializer)
    }
}
