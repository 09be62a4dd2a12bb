//! `RLock`: a lock that its owner may take again.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::lock::{Parts, ReleaseError};
use super::lock_word::{Entry, Owner};
use super::outcome::{LockError, OwnerDied};
use super::rlock_word::{DEEPEST, RLockWord};
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

/// Mutual exclusion between threads, forked children and unrelated processes, re-entrant: the thread that holds it may take
/// it again, and gives it back with its last guard.
///
/// The owner is a thread of a process. All handles of the lock in one process know it, wherever they come from. A forked
/// child is not the owner, even if the thread that forked was. Not fair.
///
/// # When somebody dies
///
/// As for [`Lock`](crate::Lock): whoever comes next gets the guard inside [`LockError::OwnerDied`], until somebody calls
/// [`RLockGuard::make_consistent`], and holds the lock once, however often the dead owner had taken it. A panic that goes
/// through any guard, and began while the lock was held, marks the lock when it is given back. Taking the lock again does not
/// tell again: the thread knows.
///
/// # Examples
///
/// ```
/// use procshare::RLock;
///
/// let name = format!("doc-rlock-{}", std::process::id());
/// let lock = RLock::create(&name)?;
/// let same = RLock::open(&name)?; // in any process of the user
/// let outer = lock.lock()?;
/// let inner = same.lock()?; // the same thread: no deadlock
/// assert_eq!(lock.depth(), 2);
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert!(lock.try_lock().is_err()));
/// });
/// # drop(inner);
/// # drop(outer);
/// RLock::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct RLock {
    pub(super) word: Shared<RLockWord>,
    pub(super) attached: Attached,
}

/// Holds an [`RLock`] one level deep until it is dropped; the last guard gives the lock back.
///
/// Bound to its thread. In a forked child the copy of a parent's guard is without effect.
#[must_use = "the level is left at once if the guard is not kept"]
pub struct RLockGuard<'a> {
    pub(super) lock: &'a RLock,
    pub(super) owner: Owner,
    /// Guards stay on their thread: the owner is a thread.
    thread: PhantomData<*const ()>,
}

// SAFETY: (S12) a guard shared between threads gives access to nothing but atomics.
unsafe impl Sync for RLockGuard<'_> {}

impl RLock {
    /// Takes the lock, once more if the calling thread holds it, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside; [`LockError::Failed`] if a forked child cannot join the space, the
    /// handle is read-only, the thread holds the lock 2^30 - 1 times ([`Error::BadSize`]), or it cannot be told for some seconds
    /// whether the holder lives ([`Error::LivenessUnknown`]).
    #[inline]
    pub fn lock(&self) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.enter(Deadline::Never)
    }

    /// Takes the lock unless somebody else who lives holds it. Never waits; a dead holder is noticed here too.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and as [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&self) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.enter(Deadline::Now)
    }

    /// Takes the lock, waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and as [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        match self.enter(Deadline::after(timeout)) {
            Err(LockError::WouldBlock) => Err(LockError::TimedOut),
            other => other,
        }
    }

    /// Leaves one level that the calling thread entered and whose guard it [forgot](RLockGuard::forget).
    ///
    /// # Errors
    ///
    /// [`ReleaseError::NotHeld`] if the calling thread does not hold the lock; nothing changes then.
    pub fn release(&self) -> Result<(), ReleaseError> {
        let member = &self.attached.member;
        let me = member.join(|| self.attached.object(), "release it")?;
        let left = self.word.leave(member.host(), Owner::new(me, sys::thread_token()), false);
        if left { Ok(()) } else { Err(ReleaseError::NotHeld) }
    }

    /// How often the calling thread holds the lock: 0 if it does not.
    pub fn depth(&self) -> u32 {
        let me = self.attached.member.me();
        if me == 0 { 0 } else { self.word.depth_of(Owner::new(me, sys::thread_token())) }
    }

    /// The participant that holds the lock now; `None` if it is free. A hint: it may change at once.
    pub fn holder(&self) -> Option<ParticipantId> {
        ParticipantId::from_bits(self.word.lock.snapshot().holder)
    }

    /// The state of the lock in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        Ok(Shared::<RLockWord>::new(segment, 0)?.facts())
    }

    #[inline]
    fn enter(&self, deadline: Deadline) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        let me = self.attached.member.me();
        let owner = Owner::new(me, sys::thread_token());
        if me != 0 && self.word.enter_fast(owner) {
            return Ok(self.guard(owner));
        }
        match self.enter_slow(deadline) {
            Ok(owner) => Ok(self.guard(owner)),
            Err(error) => Err(*error),
        }
    }

    /// The owner, which has entered. Owner and box travel in registers: a guard or error returned through memory would make
    /// the fast path assemble its guard in memory, too, and wait for it there.
    #[cold]
    fn enter_slow(&self, deadline: Deadline) -> Result<Owner, Box<LockError<RLockGuard<'_>>>> {
        let me = self.attached.member.me();
        if me != 0 && self.word.depth_of(Owner::new(me, sys::thread_token())) == DEEPEST {
            return Err(Box::new(self.too_deep()));
        }
        let (owner, entry) = self.parts().own(deadline, "lock it").map_err(|error| Box::new(error.into()))?;
        match self.begin(owner, entry) {
            Ok(guard) => {
                // The caller makes it anew.
                std::mem::forget(guard);
                Ok(owner)
            }
            Err(outcome) => Err(Box::new(LockError::OwnerDied(outcome))),
        }
    }

    /// The word of which the owner has it.
    pub(super) fn parts(&self) -> Parts<'_> {
        Parts { word: &self.word.lock, attached: &self.attached }
    }

    /// The guard of `owner`, which has just taken the word.
    pub(super) fn begin(
        &self,
        owner: Owner,
        entry: Entry,
    ) -> Result<RLockGuard<'_>, OwnerDied<RLockGuard<'_>>> {
        self.word.begin(owner);
        match entry {
            Entry::Clean => Ok(self.guard(owner)),
            Entry::Inconsistent(cause) => Err(OwnerDied::new(self.guard(owner), cause)),
        }
    }

    #[cold]
    fn too_deep(&self) -> LockError<RLockGuard<'_>> {
        LockError::Failed(Error::BadSize {
            object: self.attached.object(),
            what: "levels of one thread",
            found: u64::from(DEEPEST) + 1,
            expected: format!("at most {DEEPEST}: drop guards, or release what was forgotten"),
        })
    }

    #[inline]
    pub(super) fn guard(&self, owner: Owner) -> RLockGuard<'_> {
        RLockGuard { lock: self, owner, thread: PhantomData }
    }
}

constructors! {
    impl[] RLock,
    noun: "lock",
    made: ", free",
    () => ()
}

impl RLockGuard<'_> {
    /// Declares what the lock protects consistent again: later acquirers get plain guards.
    pub fn make_consistent(&self) {
        if self.lock.attached.member.me() == self.owner.id() {
            self.lock.word.make_consistent();
        }
    }

    /// Drops the guard and stays on its level, until the same thread calls [`RLock::release`].
    ///
    /// The lock still belongs to the thread: if its process dies, the lock is recovered.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for RLockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let member = &self.lock.attached.member;
        // A forked child reads another id (or none) and leaves its parent's holding alone.
        if member.me() == self.owner.id() {
            self.lock.word.leave(member.host(), self.owner, std::thread::panicking());
        }
    }
}

impl fmt::Debug for RLockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLockGuard").finish_non_exhaustive()
    }
}

impl fmt::Debug for RLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLock")
            .field("object", &self.attached.object())
            .field("holder", &self.holder())
            .finish_non_exhaustive()
    }
}

impl Object for RLock {
    type Init = ();

    fn plan((): &()) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(size_of::<RLockWord>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::RLock, type_info: TypeInfo::NONE }
    }

    fn initialise(_: &Body<'_>, (): ()) -> Result<()> {
        // All-zero is a free lock.
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(RLock { word: Shared::new(&attached.segment, 0)?, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
