//! `LockArray`: thousands of locks in one segment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::lock::{LockGuard, Parts, ReleaseError};
use super::lock_word::LockWord;
use super::outcome::LockError;
use crate::atomic::{AtomicU64, Ordering};
use crate::error::{Error, Result};
use crate::participant::{
    Attached, Body, Expect, Fact, Object, ParticipantId, Plan, PlanFault, RawFacts, constructors,
};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::{Shared, SharedSlice, Word};
use crate::time::Deadline;

/// What precedes the locks.
#[repr(C)]
struct LockArrayHead {
    /// Number of locks, fixed at creation; read once, at attaching, and checked there.
    count: AtomicU64,
    reserved: [AtomicU64; 7],
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern harmless: `count` is read once and checked.
unsafe impl Word for LockArrayHead {}

documented_layout!(LockArrayHead { count, reserved });

const HEAD_LEN: usize = size_of::<LockArrayHead>();
const LOCK_LEN: usize = size_of::<LockWord>();
/// More than any memory holds, and far from overflowing the length of a file.
const MAX_LEN: usize = (isize::MAX as usize >> 8) / LOCK_LEN;

/// How many locks that are not free a description shows.
const SHOWN: usize = 64;

/// A fixed number of locks in one segment, each of them like a [`Lock`](crate::Lock).
///
/// A lock takes 16 bytes, so ten thousand take 160 kB, one file and one mapping. The locks are independent: each
/// has its own holder, waiters and outcome. Four share a cache line: locks that many processes hammer at the same time are
/// faster four indices apart.
///
/// A thread that asks for a lock it holds gets [`LockError::Deadlock`]. Whoever takes several takes them in ascending order of
/// their indices, or two threads may wait for each other for ever.
///
/// Serialised, it becomes a [`Handle`](crate::Handle).
///
/// # When somebody dies
///
/// As with [`Lock`](crate::Lock), for each lock on its own: whoever gets a lock that the dead held is told so by
/// [`LockError::OwnerDied`], until one calls [`LockGuard::make_consistent`]. The other locks notice nothing.
///
/// # Examples
///
/// ```
/// use procshare::{LockArray, LockError};
///
/// let locks = LockArray::anonymous(10_000)?;
/// let seventh = locks.lock(7)?;
/// assert!(matches!(locks.try_lock(7), Err(LockError::WouldBlock)));
/// let eighth = locks.at(8)?.lock()?; // independent of the seventh
/// # drop((seventh, eighth));
/// assert!(locks.at(10_000).is_err());
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct LockArray {
    locks: SharedSlice<LockWord>,
    attached: Attached,
}

/// One lock of a [`LockArray`].
#[derive(Clone, Copy)]
pub struct LockRef<'a> {
    parts: Parts<'a>,
}

impl<'a> LockRef<'a> {
    pub(super) fn parts(self) -> Parts<'a> {
        self.parts
    }

    /// Takes the lock, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`Lock::lock`](crate::Lock::lock).
    #[inline]
    pub fn lock(self) -> Result<LockGuard<'a>, LockError<LockGuard<'a>>> {
        self.parts.acquire(Deadline::Never)
    }

    /// Takes the lock unless somebody alive holds it. Never waits; a dead holder is noticed here too.
    ///
    /// # Errors
    ///
    /// As [`Lock::try_lock`](crate::Lock::try_lock).
    #[inline]
    pub fn try_lock(self) -> Result<LockGuard<'a>, LockError<LockGuard<'a>>> {
        self.parts.acquire(Deadline::Now)
    }

    /// Takes the lock, waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
    ///
    /// # Errors
    ///
    /// As [`Lock::lock_timeout`](crate::Lock::lock_timeout).
    pub fn lock_timeout(self, timeout: Duration) -> Result<LockGuard<'a>, LockError<LockGuard<'a>>> {
        self.parts.acquire_timeout(timeout)
    }

    /// Ends a holding that was [handed over](LockGuard::forget), by whomever, in whatever process.
    ///
    /// # Errors
    ///
    /// As [`Lock::release`](crate::Lock::release).
    pub fn release(self) -> Result<(), ReleaseError> {
        self.parts.release()
    }

    /// The participant that holds the lock now; `None` if it is free or handed over. A hint: it may change at once.
    pub fn holder(self) -> Option<ParticipantId> {
        self.parts.holder()
    }
}

impl LockArray {
    /// The number of locks, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.locks.len()
    }

    /// The lock with this index.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    #[inline]
    pub fn at(&self, index: usize) -> Result<LockRef<'_>> {
        match self.locks.get(index) {
            Some(word) => Ok(LockRef { parts: Parts { word, attached: &self.attached } }),
            None => Err(self.out_of_range(index)),
        }
    }

    /// Takes the lock with this index, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`LockRef::lock`]; [`Error::OutOfRange`] inside [`LockError::Failed`].
    #[inline]
    pub fn lock(&self, index: usize) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.at(index)?.lock()
    }

    /// Takes the lock with this index unless somebody alive holds it.
    ///
    /// # Errors
    ///
    /// As [`LockRef::try_lock`]; [`Error::OutOfRange`] inside [`LockError::Failed`].
    #[inline]
    pub fn try_lock(&self, index: usize) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.at(index)?.try_lock()
    }

    /// Takes the lock with this index, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`LockRef::lock_timeout`]; [`Error::OutOfRange`] inside [`LockError::Failed`].
    pub fn lock_timeout(
        &self,
        index: usize,
        timeout: Duration,
    ) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.at(index)?.lock_timeout(timeout)
    }

    /// Ends a holding of the lock with this index that was [handed over](LockGuard::forget).
    ///
    /// # Errors
    ///
    /// As [`LockRef::release`]; [`Error::OutOfRange`] inside [`ReleaseError::Failed`].
    pub fn release(&self, index: usize) -> Result<(), ReleaseError> {
        self.at(index)?.release()
    }

    /// The participant that holds the lock with this index now.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn holder(&self, index: usize) -> Result<Option<ParticipantId>> {
        Ok(self.at(index)?.holder())
    }

    /// The state of the array in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        // Relaxed: checked like any hostile number.
        let count = Shared::<LockArrayHead>::new(segment, 0)?.count.load(Ordering::Relaxed);
        let len = usize::try_from(count).unwrap_or(usize::MAX);
        let locks = SharedSlice::<LockWord>::new(segment, HEAD_LEN, len)?;
        let busy = locks.iter().enumerate().filter(|(_, lock)| lock.is_worth_a_word());
        let shown = busy.clone().take(SHOWN).map(|(index, lock)| {
            Fact::Part([vec![("index", Fact::Number(index as u64))], lock.facts()].concat())
        });
        Ok(vec![
            ("length", Fact::Number(count)),
            ("waiters", Fact::Flag(locks.iter().any(|lock| lock.snapshot().waiters))),
            ("not_free", Fact::Number(busy.clone().count() as u64)),
            ("first", Fact::List(shown.collect())),
        ])
    }

    #[cold]
    fn out_of_range(&self, index: usize) -> Error {
        Error::OutOfRange {
            object: self.attached.object(),
            start: index,
            end: index.saturating_add(1),
            len: self.len(),
        }
    }
}

constructors! {
    impl[] LockArray,
    noun: "lock array",
    made: " of `len` free locks",
    errors: "[`BadSize`](crate::Error::BadSize) for no locks or more than memory can hold",
    (len: usize) => len
}

impl fmt::Debug for LockRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockRef").field("holder", &self.holder()).finish_non_exhaustive()
    }
}

impl fmt::Debug for LockArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockArray")
            .field("object", &self.attached.object())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl crate::participant::sealed::Sealed for LockRef<'_> {}

impl Object for LockArray {
    type Init = usize;

    fn plan(len: &usize) -> Result<Plan, PlanFault> {
        if (1..=MAX_LEN).contains(len) {
            Ok(Plan::whole(HEAD_LEN + len * LOCK_LEN))
        } else {
            Err(PlanFault { what: "locks", found: *len as u64, expected: format!("use 1 to {MAX_LEN}") })
        }
    }

    fn expect() -> Expect {
        Expect { kind: Kind::LockArray, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, len: usize) -> Result<()> {
        // All-zero locks are free. Relaxed: publication by `link` orders everything before it.
        Shared::<LockArrayHead>::new(body.segment, 0)?.count.store(len as u64, Ordering::Relaxed);
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        // Relaxed: written before publication, and checked like any hostile number.
        let count = Shared::<LockArrayHead>::new(&attached.segment, 0)?.count.load(Ordering::Relaxed);
        let room = (attached.segment.body().1 - HEAD_LEN) / LOCK_LEN;
        match usize::try_from(count) {
            Ok(len) if (1..=room).contains(&len) => {
                Ok(LockArray { locks: SharedSlice::new(&attached.segment, HEAD_LEN, len)?, attached })
            }
            _ => Err(Error::NotASegment {
                object: attached.object(),
                what: "number of locks",
                expected: format!("1 to {room}"),
                found: count.to_string(),
            }),
        }
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
