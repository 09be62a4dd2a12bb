//! Stripes: the short way for one element, without user code inside.
//!
//! ```text
//! word  bit  0..30  id of the participant that is writing; 0: nobody is
//!       bit  31     WAITERS: somebody may sleep on the low half
//!       bit 32..63  index of the element
//! ```
//!
//! | state | leaves it by |
//! |---|---|
//! | free: 0 | `take`: CAS to id and index |
//! | taken | `give_back` or `back_out` by its owner, a swap; `clear_dead` by CAS from exactly this word once the id is gone |
//!
//! A stripe is held for the time of one copy and nobody who holds one waits for anything. Who finds it taken for another
//! element goes the long way (a claim), so elements never block each other.

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::park::{ALL, LowHalf};
use crate::participant::Host;
use crate::shm::view::Word;

const ID: u64 = (1 << 30) - 1;
const WAITERS: u64 = 1 << 31;
const INDEX_SHIFT: u32 = 32;

/// Elements beyond this index always go the long way.
pub(super) const MAX_INDEX: usize = u32::MAX as usize;

/// How many low bits of an index do not matter to its stripe: elements of one cache line share one.
pub(super) const fn group_shift(size: usize) -> u32 {
    if size == 0 || size > 64 { 0 } else { (64 / size).ilog2() }
}

/// One stripe, on a cache line of its own.
#[cfg_attr(loom, derive(Default))]
#[repr(C, align(64))]
pub(super) struct Stripe {
    word: AtomicU64,
    /// Counts writes: readers without a lock compare it.
    sequence: AtomicU64,
    pub(super) watch: AtomicU32,
    reserved: [AtomicU32; 11],
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern is some state.
unsafe impl Word for Stripe {}

documented_layout!(Stripe { word, sequence, watch, reserved });

/// Who is writing which element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken(u64);

impl Taken {
    #[inline]
    fn new(id: u32, index: usize) -> Self {
        debug_assert!(index <= MAX_INDEX);
        Taken((index as u64) << INDEX_SHIFT | u64::from(id))
    }

    pub(super) fn id(self) -> u32 {
        (self.0 & ID) as u32
    }

    pub(super) fn index(self) -> usize {
        (self.0 >> INDEX_SHIFT) as usize
    }

    /// What a sleeper compares.
    pub(super) fn bits(self) -> u32 {
        self.0 as u32
    }
}

impl Stripe {
    /// Takes the stripe for writing element `index`, if it is free.
    #[inline]
    pub(super) fn take(&self, id: u32, index: usize) -> Option<Taken> {
        let taken = Taken::new(id, index);
        // SeqCst: pair DEKKER, see `claims`. It is also the Acquire of the previous writer's Release.
        self.word.compare_exchange(0, taken.0, SeqCst, Relaxed).is_ok().then_some(taken)
    }

    /// Counts the write and gives the stripe back.
    #[inline]
    pub(super) fn give_back(&self, taken: Taken, host: &impl Host) {
        // Only the owner writes the count. Relaxed: the release of the word below publishes it.
        self.sequence.store(self.sequence.load(Relaxed).wrapping_add(1), Relaxed);
        self.back_out(taken, host);
    }

    /// Gives the stripe back without having written.
    #[inline]
    pub(super) fn back_out(&self, taken: Taken, host: &impl Host) {
        // Only WAITERS can have joined while the stripe is the caller's, so nothing needs to be compared.
        // Release: pair STRIPE; the next owner, claimer and reader see what was written.
        let was = self.word.swap(0, Release);
        // In the models only: elsewhere a hostile program may have written the word.
        if cfg!(any(loom, test)) {
            assert_eq!(was & !WAITERS, taken.0, "only its owner gives a stripe back");
        }
        if was != taken.0 {
            self.wake_all(host);
        }
    }

    #[cold]
    fn wake_all(&self, host: &impl Host) {
        host.wake(&LowHalf(&self.word), ALL);
    }

    /// Frees a stripe whose owner is gone; one of several who try does it.
    pub(super) fn clear_dead(&self, seen: Taken, host: &impl Host) {
        // Acquire and Release: passes on what the dead owner's predecessors published.
        if self.word.compare_exchange(seen.0, 0, AcqRel, Relaxed).is_ok() {
            host.wake(&LowHalf(&self.word), ALL);
        }
    }

    /// Who is writing, and what; `None` if nobody is.
    #[inline]
    pub(super) fn taken(&self) -> Option<Taken> {
        // SeqCst: pair DEKKER. Also the Acquire of pair STRIPE.
        let now = self.word.load(SeqCst);
        (now & ID != 0).then_some(Taken(now))
    }

    /// Announces a sleeper; `None` if the word changed meanwhile.
    pub(super) fn announce(&self, seen: Taken) -> Option<Taken> {
        let announced = Taken(seen.0 | WAITERS);
        // Relaxed: orders nothing; `back_out` sees it because its swap returns the whole word.
        (seen == announced || self.word.compare_exchange(seen.0, announced.0, Relaxed, Relaxed).is_ok())
            .then_some(announced)
    }

    /// What sleepers sleep on.
    pub(super) fn futex(&self) -> LowHalf<'_> {
        LowHalf(&self.word)
    }

    /// How many writes there were.
    #[inline]
    pub(super) fn sequence(&self) -> u64 {
        self.sequence.load(Acquire)
    }
}
