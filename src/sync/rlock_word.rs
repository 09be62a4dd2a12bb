//! The word of a re-entrant lock: a lock word, and beside it what only its owner writes.
//!
//! | field | while nobody holds `lock` | while a thread holds it |
//! |---|---|---|
//! | `lock` | free | that thread's, see [`lock_word`](super::lock_word) |
//! | `owner` | 0, or a dead owner's | the thread, from shortly after it took `lock` until shortly before it leaves it |
//! | `depth` | anything | bits 0..30: how often the thread entered; bit 30, UNWINDING: a panic was on its way already when it took `lock`; bit 31, PANIC: one went through a guard since |
//!
//! Only the holder of `lock` writes `owner` and `depth`, so plain loads and stores do. A thread that reads its own name in
//! `owner` wrote it there itself and holds `lock`: names are never used twice, a thread wipes its name before it
//! leaves, and a forked child has another name. Whoever takes `lock` sets both fields, so it does not matter at which
//! instruction the last owner died: its depth is forgotten.
//!
//! Orderings: `lock` orders its owners; a thread needs no order with itself. Everything else is Relaxed.

use crate::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::participant::{Fact, Host, RawFacts};
use crate::shm::view::Word;

use super::lock_word::{LockWord, Owner};

/// A panic went through a guard.
const PANIC: u32 = 1 << 31;
/// A panic was on its way when the thread took the lock: it is not this lock's.
const UNWINDING: u32 = 1 << 30;
/// The deepest re-entry.
pub(super) const DEEPEST: u32 = UNWINDING - 1;

/// A re-entrant lock in shared memory. All-zero is free.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(crate) struct RLockWord {
    pub(super) lock: LockWord,
    owner: AtomicU64,
    depth: AtomicU32,
    reserved: AtomicU32,
}

// SAFETY: (S6) atomics and words only, all-zero is valid, every pattern is some state.
unsafe impl Word for RLockWord {}

documented_layout!(RLockWord { lock, owner, depth, reserved });

impl RLockWord {
    /// Enters if the thread holds the lock already, and not as deep as can be, or if the lock is free and in good order.
    #[inline]
    pub(super) fn enter_fast(&self, me: Owner) -> bool {
        if self.is_owned_by(me) {
            let deeper = self.depth.load(Relaxed).wrapping_add(1);
            if deeper & DEEPEST == 0 {
                return false;
            }
            self.depth.store(deeper, Relaxed);
            return true;
        }
        let taken = self.lock.acquire_fast(me);
        if taken {
            self.begin(me);
        }
        taken
    }

    /// Notes the new owner, which has just taken `lock`, at depth one.
    #[inline]
    pub(super) fn begin(&self, me: Owner) {
        let unwinding = if std::thread::panicking() { UNWINDING } else { 0 };
        self.depth.store(1 | unwinding, Relaxed);
        self.owner.store(me.bits(), Relaxed);
    }

    /// Leaves one level, the last one by giving the lock back; `false` if the thread is not the owner.
    #[inline]
    pub(super) fn leave(&self, host: &impl Host, me: Owner, panic: bool) -> bool {
        if !self.is_owned_by(me) {
            return false;
        }
        let depth = self.depth.load(Relaxed);
        if panic || depth > DEEPEST {
            return self.leave_marked(host, me, depth, panic);
        }
        if depth > 1 {
            self.depth.store(depth - 1, Relaxed);
            return true;
        }
        self.owner.store(0, Relaxed);
        self.lock.release(host, me)
    }

    /// As [`leave`](Self::leave) where panics are on their way or went by: apart, so that the plain way stays small enough
    /// to be compiled into its callers. The caller is the owner.
    #[cold]
    fn leave_marked(&self, host: &impl Host, me: Owner, mut depth: u32, panic: bool) -> bool {
        if panic && depth & UNWINDING == 0 {
            depth |= PANIC;
        }
        if depth & DEEPEST > 1 {
            self.depth.store(depth - 1, Relaxed);
            return true;
        }
        self.owner.store(0, Relaxed);
        if depth & PANIC != 0 { self.lock.release_panicked(host, me) } else { self.lock.release(host, me) }
    }

    /// Leaves all levels at once; tells how to [`resume`](Self::resume) them. The caller is the owner.
    pub(super) fn suspend(&self, host: &impl Host, me: Owner) -> u32 {
        let depth = self.depth.load(Relaxed);
        self.owner.store(0, Relaxed);
        self.lock.release(host, me);
        depth
    }

    /// Notes the new owner, which has just taken `lock`, as deep in as it was.
    pub(super) fn resume(&self, me: Owner, depth: u32) {
        self.depth.store(depth, Relaxed);
        self.owner.store(me.bits(), Relaxed);
    }

    /// Declares what the lock protects consistent, panics of outer levels included; the caller is the owner.
    pub(super) fn make_consistent(&self) {
        self.depth.store(self.depth.load(Relaxed) & !PANIC, Relaxed);
        self.lock.make_consistent();
    }

    /// How often the thread entered and did not leave.
    pub(super) fn depth_of(&self, me: Owner) -> u32 {
        if self.is_owned_by(me) { self.depth.load(Relaxed) & DEEPEST } else { 0 }
    }

    /// Whether the thread holds the lock.
    #[inline]
    fn is_owned_by(&self, me: Owner) -> bool {
        self.owner.load(Relaxed) == me.bits()
    }

    /// The word as whoever inspects it shall read it.
    pub(super) fn facts(&self) -> RawFacts {
        let mut facts = self.lock.facts();
        let held = self.lock.snapshot().holder != 0;
        let depth = if held { self.depth.load(Relaxed) & DEEPEST } else { 0 };
        facts.push(("depth", Fact::Number(u64::from(depth))));
        facts
    }
}
