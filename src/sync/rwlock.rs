//! `RwLock`: many readers or one writer.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::lock::Parts;
use super::lock_word::{Fault, Owner};
use super::outcome::{LockError, OwnerDied};
use super::rwlock_guards::{Place, RwLockReadGuard, RwLockWriteGuard};
use super::rwlock_word::RwWord;
use super::wait::Turn;
use crate::cause::Cause;
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

/// What a reader gets.
pub(super) type Reading<'a> = Result<RwLockReadGuard<'a>, LockError<RwLockReadGuard<'a>>>;
/// What a writer gets.
pub(super) type Writing<'a> = Result<RwLockWriteGuard<'a>, LockError<RwLockWriteGuard<'a>>>;

/// Many readers or one writer, among threads, forked children and unrelated processes.
///
/// A waiting writer keeps new readers out, so it waits only for those who read already; a stream of writers may keep
/// readers waiting. Readers do not touch a common cache line. More than 56 processes that read at the same time work too, but
/// then some of them read one after the other.
///
/// Not re-entrant: a thread that holds the write guard gets [`LockError::Deadlock`] for asking again. A thread that asks to write
/// while it holds a read guard itself, or to read again while a writer waits, waits for ever: that cannot be
/// known cheaply. Use the `_timeout` forms where it may happen.
///
/// # When somebody dies
///
/// Dead readers are struck out. A writer that dies while it holds the guard makes every later reader and writer get its guard
/// inside [`LockError::OwnerDied`], until a writer calls [`RwLockWriteGuard::make_consistent`]; so does one that
/// panics. A writer that dies while it still waits leaves nothing behind. Waiters may die at any time; nobody
/// depends on them.
///
/// # Examples
///
/// ```
/// use procshare::RwLock;
///
/// let name = format!("doc-rwlock-{}", std::process::id());
/// let lock = RwLock::create(&name)?;
/// let same = RwLock::open(&name)?; // in any process of the user
/// {
///     let _one = lock.read()?;
///     let _two = same.read()?;
///     assert!(lock.try_write().is_err());
/// }
/// let writer = lock.write()?;
/// assert!(same.try_read().is_err());
/// let reader = writer.downgrade(); // nobody wrote in between
/// assert!(same.try_read().is_ok());
/// # drop(reader);
/// RwLock::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct RwLock {
    pub(super) word: Shared<RwWord>,
    pub(super) attached: Attached,
}

impl RwLock {
    /// Takes the lock for reading, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside; [`LockError::Deadlock`] if the calling thread holds the write guard;
    /// [`LockError::Failed`] if a forked child cannot join the space, the handle is read-only, or it cannot be told for some seconds
    /// whether the holder lives ([`Error::LivenessUnknown`]).
    #[inline]
    pub fn read(&self) -> Result<RwLockReadGuard<'_>, LockError<RwLockReadGuard<'_>>> {
        self.enter(Deadline::Never)
    }

    /// Takes the lock for reading unless a writer that lives holds it or waits for it. Never waits.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and as [`read`](Self::read).
    #[inline]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_>, LockError<RwLockReadGuard<'_>>> {
        self.enter(Deadline::Now)
    }

    /// Takes the lock for reading, waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and as [`read`](Self::read).
    pub fn read_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RwLockReadGuard<'_>, LockError<RwLockReadGuard<'_>>> {
        match self.enter(Deadline::after(timeout)) {
            Err(LockError::WouldBlock) => Err(LockError::TimedOut),
            other => other,
        }
    }

    /// Takes the lock for writing, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside; [`LockError::Deadlock`] if the calling thread holds the write guard;
    /// [`LockError::Failed`] if a forked child cannot join the space, the handle is read-only, or it cannot be told for some seconds
    /// whether the holder lives ([`Error::LivenessUnknown`]).
    #[inline]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_>, LockError<RwLockWriteGuard<'_>>> {
        self.seize(Deadline::Never)
    }

    /// Takes the lock for writing unless somebody alive holds it. Never waits; dead holders are noticed here too.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and as [`write`](Self::write).
    #[inline]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_>, LockError<RwLockWriteGuard<'_>>> {
        self.seize(Deadline::Now)
    }

    /// Takes the lock for writing, waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
    /// New readers wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and as [`write`](Self::write).
    pub fn write_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RwLockWriteGuard<'_>, LockError<RwLockWriteGuard<'_>>> {
        match self.seize(Deadline::after(timeout)) {
            Err(LockError::WouldBlock) => Err(LockError::TimedOut),
            other => other,
        }
    }

    /// How many read guards there are now, in all processes. A hint: it may change at once, the dead's are counted until
    /// a writer comes, and those who read one after the other for want of room are not.
    pub fn readers(&self) -> u64 {
        self.word.readers()
    }

    /// The participant that holds the lock for writing now, or waits for readers to leave; `None` if there is none. A hint.
    pub fn writer(&self) -> Option<ParticipantId> {
        ParticipantId::from_bits(self.word.writer().snapshot().holder)
    }

    /// The state of the lock in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        Ok(Shared::<RwWord>::new(segment, 0)?.facts())
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts { word: self.word.writer(), attached: &self.attached }
    }

    fn fault<G>(&self, fault: Fault, deadline: Deadline) -> LockError<G> {
        match fault {
            Fault::TimedOut if deadline == Deadline::Now => LockError::WouldBlock,
            Fault::TimedOut => LockError::TimedOut,
            Fault::Deadlock => LockError::Deadlock,
            Fault::Unknown(participant) => {
                Error::LivenessUnknown { space: self.attached.space_name(), participant }.into()
            }
        }
    }
}

/// Reading.
impl RwLock {
    #[inline]
    fn enter(&self, deadline: Deadline) -> Reading<'_> {
        let me = self.attached.member.me();
        if me != 0 {
            let home = RwWord::home(me, sys::thread_token());
            if self.word.enter_at(home, me) {
                if self.word.is_open() {
                    return Ok(self.reader(me, Place::Entry(home)));
                }
                self.word.leave(self.attached.member.host(), home);
            }
        }
        self.enter_slow(deadline)
    }

    #[cold]
    fn enter_slow(&self, deadline: Deadline) -> Reading<'_> {
        let RwLock { word, attached } = self;
        let (member, host) = (&attached.member, attached.member.host());
        let me = member.join(|| attached.object(), "read-lock it")?;
        let owner = Owner::new(me, sys::thread_token());
        let home = RwWord::home(me, sys::thread_token());
        let mut patience = word.reader_patience(host, me, deadline);
        loop {
            if word.look_in().is_some() {
                let Some(entry) = word.enter(host, me, home) else {
                    return self.enter_alone(deadline);
                };
                if let Some(told) = word.look_in() {
                    if patience.has_slept() {
                        // A writer's release wakes one; the others may come along.
                        word.pass_on(host);
                    }
                    return read_outcome(self.reader(me, Place::Entry(entry)), told);
                }
                word.leave(host, entry);
            }
            match word.wait_for_writer(&mut patience, owner, deadline) {
                Ok(Turn::HolderGone) => self.bury_writer()?,
                Ok(Turn::TimedOut) => return Err(self.fault(Fault::TimedOut, deadline)),
                Ok(_) => {}
                Err(fault) => return Err(self.fault(fault, deadline)),
            }
        }
    }

    /// Takes over from a dead writer and opens the lock again; somebody else may have been faster.
    fn bury_writer(&self) -> Result<()> {
        match self.parts().own(Deadline::Now, "read-lock it") {
            Ok((owner, entry)) => {
                self.word.settle(entry);
                self.parts().disown(owner);
                Ok(())
            }
            Err(Error::WouldBlock) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Reads where all entries are in use: alone with those who were there before.
    #[cold]
    fn enter_alone(&self, deadline: Deadline) -> Reading<'_> {
        let (owner, entry) = self.parts().own(deadline, "read-lock it")?;
        let told = self.word.settle(entry);
        read_outcome(self.reader(owner.id(), Place::Alone(owner)), told)
    }

    #[inline]
    pub(super) fn reader(&self, me: u32, place: Place) -> RwLockReadGuard<'_> {
        RwLockReadGuard { lock: self, me, place, thread: PhantomData }
    }
}

#[inline]
fn read_outcome(guard: RwLockReadGuard<'_>, told: Option<Cause>) -> Reading<'_> {
    match told {
        None => Ok(guard),
        Some(cause) => Err(LockError::OwnerDied(OwnerDied::new(guard, cause))),
    }
}

/// Writing.
impl RwLock {
    #[inline]
    fn seize(&self, deadline: Deadline) -> Writing<'_> {
        match self.seize_word(deadline) {
            Ok(owner) => Ok(self.writer_guard(owner)),
            Err(error) => Err(*error),
        }
    }

    /// The owner, which is in the data. Owner and box travel in registers: a guard returned through memory would be waited for
    /// there.
    fn seize_word(&self, deadline: Deadline) -> Result<Owner, Box<LockError<RwLockWriteGuard<'_>>>> {
        let (member, host) = (&self.attached.member, self.attached.member.host());
        if deadline == Deadline::Now && member.me() != 0 && self.word.has_live_reader(host) {
            return Err(Box::new(LockError::WouldBlock));
        }
        let me = member.me();
        let mut owner = Owner::new(me, sys::thread_token());
        let mut told = None;
        if me == 0 || !self.word.writer().acquire_fast(owner) {
            let boxed = |error: Error| Box::new(LockError::from(error));
            let (joined, entry) = self.parts().own(deadline, "write-lock it").map_err(boxed)?;
            owner = joined;
            told = self.word.settle(entry);
        }
        if let Err(fault) = self.word.drain(host, owner.id(), deadline) {
            self.parts().disown(owner);
            return Err(Box::new(self.fault(fault, deadline)));
        }
        self.word.begin(owner.id());
        match told {
            None => Ok(owner),
            Some(cause) => {
                Err(Box::new(LockError::OwnerDied(OwnerDied::new(self.writer_guard(owner), cause))))
            }
        }
    }

    #[inline]
    fn writer_guard(&self, owner: Owner) -> RwLockWriteGuard<'_> {
        RwLockWriteGuard { lock: self, owner, unwinding: std::thread::panicking(), thread: PhantomData }
    }
}

constructors! {
    impl[] RwLock,
    noun: "lock",
    made: ", free",
    () => ()
}

impl fmt::Debug for RwLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("object", &self.attached.object())
            .field("writer", &self.writer())
            .field("readers", &self.readers())
            .finish_non_exhaustive()
    }
}

impl Object for RwLock {
    type Init = ();

    fn plan((): &()) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(size_of::<RwWord>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::RwLock, type_info: TypeInfo::NONE }
    }

    fn initialise(_: &Body<'_>, (): ()) -> Result<()> {
        // All-zero is a free lock.
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(RwLock { word: Shared::new(&attached.segment, 0)?, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
