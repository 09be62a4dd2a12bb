//! `Lock`: mutual exclusion between threads and processes, recovered when its holder dies.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::lock_word::{Entry, Fault, LockWord, NotReleased, Owner};
use super::outcome::{LockError, OwnerDied};
use crate::error::{Error, Result};
use crate::participant::{
    Attached, Body, Expect, Object, ParticipantId, Plan, PlanFault, RawFacts, constructors,
};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::Shared;
use crate::sys;
use crate::time::Deadline;

/// Mutual exclusion between threads, forked children and unrelated processes.
///
/// Not re-entrant: a thread that asks for a lock it holds gets [`LockError::Deadlock`] instead of hanging. Not fair: whoever
/// comes first after a release gets it.
///
/// Handles are cheap to clone and can be sent anywhere; serialised, they become a [`Handle`](crate::Handle).
///
/// # When somebody dies
///
/// A holder that is killed, at whatever instruction, never leaves the lock taken: a waiter notices within some
/// milliseconds and gets the guard inside [`LockError::OwnerDied`]. So does everybody after it, until one
/// calls [`LockGuard::make_consistent`]. A holder that panics marks the lock the same way
/// ([`Cause::Panicked`](crate::Cause::Panicked)). Waiters may die at any time; nobody depends on them. A holding that was
/// [handed over](LockGuard::forget) belongs to nobody and is not ended by any death.
///
/// # Examples
///
/// ```
/// use procshare::Lock;
///
/// let name = format!("doc-lock-{}", std::process::id());
/// let lock = Lock::create(&name)?;
/// let same = Lock::open(&name)?; // in any process of the user
/// {
///     let _guard = lock.lock()?;
///     assert!(same.try_lock().is_err());
/// }
/// assert!(same.try_lock().is_ok());
/// Lock::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Lock {
    word: Shared<LockWord>,
    attached: Attached,
}

/// Holds a [`Lock`] until it is dropped.
///
/// Bound to its thread. In a forked child the copy of a parent's guard is without effect. A guard given to [`std::mem::forget`]
/// holds the lock until its process ends, which counts as a death; to leave the lock to others, [`forget`](Self::forget) it.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct LockGuard<'a> {
    parts: Parts<'a>,
    owner: Owner,
    /// Whether the thread was unwinding already when it took the lock: then its panic is not this lock's.
    unwinding: bool,
    /// Whether the word carried no mark when it was taken.
    clean: bool,
    /// Guards stay on their thread: the owner is a thread.
    thread: PhantomData<*const ()>,
}

// SAFETY: (S12) a guard shared between threads gives access to nothing but atomics.
unsafe impl Sync for LockGuard<'_> {}

/// Why [`Lock::release`] did not release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A guard holds the lock: only dropping it releases it.
    #[error("a guard holds the lock: drop the guard, or hand the holding over with forget() first")]
    HeldByGuard,
    /// Nobody holds the lock.
    #[error("nobody holds the lock: it was released already, or never handed over")]
    NotHeld,
    /// The lock cannot be used at all.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// A lock word and what is needed to use it, wherever the word lies.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) word: &'a LockWord,
    pub(crate) attached: &'a Attached,
}

impl<'a> Parts<'a> {
    /// Takes the lock, waiting until `deadline` if need be.
    #[inline]
    pub(super) fn acquire(self, deadline: Deadline) -> Result<LockGuard<'a>, LockError<LockGuard<'a>>> {
        let me = self.attached.member.me();
        let owner = Owner::new(me, sys::thread_token());
        if me != 0 && self.word.acquire_fast(owner) {
            return Ok(self.guard(owner, true));
        }
        match self.acquire_slow(deadline) {
            Ok(owner) => Ok(self.guard(owner, true)),
            Err(error) => Err(*error),
        }
    }

    /// The owner, which has the word, clean. Owner and box travel in registers: a guard or error returned through memory would
    /// make the fast path assemble its guard in memory, too, and wait for it there.
    #[cold]
    fn acquire_slow(self, deadline: Deadline) -> Result<Owner, Box<LockError<LockGuard<'a>>>> {
        match self.own_slow(deadline, "lock it") {
            Ok((owner, Entry::Clean)) => Ok(owner),
            Ok((owner, Entry::Inconsistent(cause))) => {
                Err(Box::new(LockError::OwnerDied(OwnerDied::new(self.guard(owner, false), cause))))
            }
            Err(error) => Err(Box::new(error.into())),
        }
    }

    /// Takes the word for an object that has its own guards; `action` is what a read-only handle is refused.
    #[inline]
    pub(crate) fn own(self, deadline: Deadline, action: &'static str) -> Result<(Owner, Entry)> {
        let me = self.attached.member.me();
        let owner = Owner::new(me, sys::thread_token());
        if me != 0 && self.word.acquire_fast(owner) {
            return Ok((owner, Entry::Clean));
        }
        self.own_slow(deadline, action)
    }

    #[cold]
    fn own_slow(self, deadline: Deadline, action: &'static str) -> Result<(Owner, Entry)> {
        let Parts { word, attached } = self;
        let me = attached.member.join(|| attached.object(), action)?;
        let owner = Owner::new(me, sys::thread_token());
        match word.acquire_slow(attached.member.host(), owner, deadline) {
            Ok(entry) => Ok((owner, entry)),
            Err(Fault::TimedOut) if deadline == Deadline::Now => Err(Error::WouldBlock),
            Err(Fault::TimedOut) => Err(Error::TimedOut),
            Err(Fault::Deadlock) => Err(Error::Deadlock),
            Err(Fault::Unknown(participant)) => {
                Err(Error::LivenessUnknown { space: attached.space_name(), participant })
            }
        }
    }

    /// Gives back what `own` took; without effect in a forked child.
    #[inline]
    pub(crate) fn disown(self, owner: Owner) {
        if self.attached.member.me() == owner.id() {
            self.word.release(self.attached.member.host(), owner);
        }
    }

    #[inline]
    pub(super) fn guard(self, owner: Owner, clean: bool) -> LockGuard<'a> {
        LockGuard { parts: self, owner, unwinding: std::thread::panicking(), clean, thread: PhantomData }
    }

    /// Takes the lock unless somebody alive holds it; a zero timeout of the `_timeout` forms is the same.
    pub(super) fn acquire_timeout(
        self,
        timeout: Duration,
    ) -> Result<LockGuard<'a>, LockError<LockGuard<'a>>> {
        match self.acquire(Deadline::after(timeout)) {
            Err(LockError::WouldBlock) => Err(LockError::TimedOut),
            other => other,
        }
    }

    /// Ends a handed-over holding.
    pub(super) fn release(self) -> Result<(), ReleaseError> {
        // The id is not needed, but a read-only handle must be refused before it writes.
        self.attached.member.join(|| self.attached.object(), "release it")?;
        self.word.release_handed_over(self.attached.member.host()).map_err(|why| match why {
            NotReleased::HeldByGuard => ReleaseError::HeldByGuard,
            NotReleased::NotHeld => ReleaseError::NotHeld,
        })
    }

    /// Who holds it.
    pub(super) fn holder(self) -> Option<ParticipantId> {
        ParticipantId::from_bits(self.word.snapshot().holder)
    }
}

impl Lock {
    /// Takes the lock, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside; [`LockError::Deadlock`] if the calling thread's own guard lives;
    /// [`LockError::Failed`] if a forked child cannot join the space, the handle is read-only, or it cannot be told for some seconds
    /// whether the holder lives ([`Error::LivenessUnknown`]).
    #[inline]
    pub fn lock(&self) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.parts().acquire(Deadline::Never)
    }

    /// Takes the lock unless somebody alive holds it. Never waits; a dead holder is noticed here too.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and as [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&self) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.parts().acquire(Deadline::Now)
    }

    /// Takes the lock, waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and as [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.parts().acquire_timeout(timeout)
    }

    /// Ends a holding that was [handed over](LockGuard::forget), by whomever, in whatever process.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::HeldByGuard`] while a guard holds the lock, [`ReleaseError::NotHeld`] if nobody does: nothing changes.
    pub fn release(&self) -> Result<(), ReleaseError> {
        self.parts().release()
    }

    /// The participant that holds the lock now; `None` if it is free or handed over. A hint: it may change at once.
    pub fn holder(&self) -> Option<ParticipantId> {
        self.parts().holder()
    }

    /// The state of the lock in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        Ok(Shared::<LockWord>::new(segment, 0)?.facts())
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts { word: &self.word, attached: &self.attached }
    }
}

constructors! {
    impl[] Lock,
    noun: "lock",
    made: ", free",
    () => ()
}

impl<'a> LockGuard<'a> {
    /// What the guard holds.
    pub(super) fn parts(&self) -> Parts<'a> {
        self.parts
    }

    /// Whether it is the calling process's own: a forked child's copy of its parent's guard is not.
    #[inline]
    pub(super) fn is_mine(&self) -> bool {
        self.parts.attached.member.me() == self.owner.id()
    }

    /// Declares what the lock protects consistent again: later acquirers get plain guards.
    pub fn make_consistent(&self) {
        if self.is_mine() {
            self.parts.word.make_consistent();
        }
    }

    /// Hands the holding over: the lock stays held by nobody in particular, until somebody calls [`Lock::release`].
    ///
    /// Python's locks work like this: any process may release them. No death ends a handed-over holding.
    pub fn forget(self) {
        if self.is_mine() {
            self.parts.word.hand_over(self.owner);
        }
        std::mem::forget(self);
    }
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // A forked child reads another id (or none) and leaves its parent's holding alone.
        if self.is_mine() {
            let Parts { word, attached } = self.parts;
            if !self.unwinding && std::thread::panicking() {
                word.release_panicked(attached.member.host(), self.owner);
            } else if self.clean {
                word.release_clean(attached.member.host(), self.owner);
            } else {
                word.release(attached.member.host(), self.owner);
            }
        }
    }
}

impl fmt::Debug for LockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").finish_non_exhaustive()
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("object", &self.attached.object())
            .field("holder", &self.holder())
            .finish_non_exhaustive()
    }
}

impl Object for Lock {
    type Init = ();

    fn plan((): &()) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(size_of::<LockWord>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Lock, type_info: TypeInfo::NONE }
    }

    fn initialise(_: &Body<'_>, (): ()) -> Result<()> {
        // All-zero is a free lock.
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(Lock { word: Shared::new(&attached.segment, 0)?, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
