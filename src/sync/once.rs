//! `Once`: something that is done by exactly one of all processes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::lock::Parts;
use super::lock_word::{Entry, LockWord, Owner};
use crate::atomic::{AtomicU32, Ordering::*};
use crate::cause::Cause;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Fact, Object, Plan, PlanFault, RawFacts, constructors};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::{Shared, Word};
use crate::time::Deadline;

/// Something that is done by exactly one of all threads and processes, while the others wait until it is done.
///
/// # When somebody dies
///
/// Whoever dies or panics while it does it has not done it: the next caller, or one that waits already, does it in its place, and
/// learns from [`OnceState::predecessor`] that somebody has tried before and may have left something half done. What is done is never
/// done again. Waiters may die at any time.
///
/// # Examples
///
/// ```
/// use procshare::{Once, Value};
///
/// let name = format!("doc-once-{}", std::process::id());
/// let setup = Once::create(&name)?;
/// let same = Once::open(&name)?; // in any process of the user
/// let table = Value::<u64>::anonymous(0)?;
/// assert!(setup.call_once(|_| table.set(7).unwrap())?);
/// assert!(!same.call_once(|_| unreachable!("it is done"))?);
/// assert!(same.is_completed());
/// Once::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Once {
    word: Shared<OnceWord>,
    attached: Attached,
}

/// What the one that does it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OnceState {
    predecessor: Option<Cause>,
}

impl OnceState {
    /// What became of the last one that began it, if any did: something may be half done.
    pub fn predecessor(&self) -> Option<Cause> {
        self.predecessor
    }
}

/// The words of a once: who does it, and whether it is done. All-zero: nobody has begun.
///
/// | done | lock | state |
/// |---|---|---|
/// | 0 | free | not begun; if the lock is inconsistent, begun and not finished |
/// | 0 | owned | being done by the owner; by the next one, once the owner is dead or has panicked |
/// | 1 | any | done, for ever: the commit is the store of the 1 |
///
/// Orderings. Promise: what the one did is seen by all who find it done. It stores 1 with Release, they load with Acquire.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(super) struct OnceWord {
    pub(super) lock: LockWord,
    done: AtomicU32,
    reserved: AtomicU32,
}

// SAFETY: (S6) atomics and words only, all-zero is valid, every pattern is some state.
unsafe impl Word for OnceWord {}

documented_layout!(OnceWord { lock, done, reserved });

impl OnceWord {
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Acquire) == 1
    }

    /// The commit.
    pub(super) fn finish(&self) {
        // Release: who finds it done sees what was done.
        self.done.store(1, Release);
    }
}

impl Once {
    /// Calls `action` unless it is done already, or waits while somebody else does it; `true` if this call did it. Afterwards it is
    /// done.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] from within the action; [`Error::ReadOnly`] if the handle is read-only and it is not done;
    /// [`Error::Inherited`] to a child that was forked within the action and returned from it; a forked child cannot
    /// [join](crate::Space::join) the space.
    ///
    /// # Panics
    ///
    /// If the action does; it is not done then, and the next caller is told.
    #[inline]
    pub fn call_once(&self, action: impl FnOnce(&OnceState)) -> Result<bool> {
        if self.word.is_done() {
            return Ok(false);
        }
        self.call(Deadline::Never, action)
    }

    /// Calls `action` unless it is done already, or waits at most `timeout` (monotonic; zero polls once) while somebody else does
    /// it. The timeout does not interrupt an action.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] or, with a zero timeout, [`Error::WouldBlock`] if somebody else was at it all the time; else as
    /// [`call_once`](Self::call_once).
    ///
    /// # Panics
    ///
    /// As [`call_once`](Self::call_once).
    pub fn call_once_timeout(&self, timeout: Duration, action: impl FnOnce(&OnceState)) -> Result<bool> {
        if self.word.is_done() {
            return Ok(false);
        }
        self.call(Deadline::after(timeout), action)
    }

    /// Whether it is done. One load; works through read-only handles.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.word.is_done()
    }

    /// The state of the once in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        let word: Shared<OnceWord> = Shared::new(segment, 0)?;
        Ok(vec![("done", Fact::Flag(word.is_done())), ("lock", Fact::Part(word.lock.facts()))])
    }

    #[cold]
    fn call(&self, deadline: Deadline, action: impl FnOnce(&OnceState)) -> Result<bool> {
        let parts = Parts { word: &self.word.lock, attached: &self.attached };
        let (owner, entry) = parts.own(deadline, "do it")?;
        let turn = Turn { once: self, owner };
        if self.word.is_done() {
            turn.end();
            return Ok(false);
        }
        let predecessor = match entry {
            Entry::Clean => None,
            Entry::Inconsistent(cause) => Some(cause),
        };
        action(&OnceState { predecessor });
        if self.attached.member.me() != owner.id() {
            // A child that was forked in the action: its parent does it.
            std::mem::forget(turn);
            return Err(Error::Inherited { object: self.attached.object(), what: "turn" });
        }
        self.word.finish();
        turn.end();
        Ok(true)
    }
}

/// A caller's turn to do it, until it has done it or panicked.
struct Turn<'a> {
    once: &'a Once,
    owner: Owner,
}

impl Turn<'_> {
    /// It is done: the others may look.
    fn end(self) {
        let lock = &self.once.word.lock;
        lock.make_consistent();
        lock.release(self.once.attached.member.host(), self.owner);
        std::mem::forget(self);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Once { word, attached } = self.once;
        // A forked child that panics leaves its parent's turn alone.
        if attached.member.me() == self.owner.id() {
            word.lock.release_panicked(attached.member.host(), self.owner);
        }
    }
}

constructors! {
    impl[] Once,
    noun: "once",
    made: ", not done",
    () => ()
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("object", &self.attached.object())
            .field("is_completed", &self.is_completed())
            .finish_non_exhaustive()
    }
}

impl Object for Once {
    type Init = ();

    fn plan((): &()) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(size_of::<OnceWord>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Once, type_info: TypeInfo::NONE }
    }

    fn initialise(_: &Body<'_>, (): ()) -> Result<()> {
        // All-zero: nobody has begun.
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(Once { word: Shared::new(&attached.segment, 0)?, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
