//! The stamp of a slot: whose turn it is and what state it is in, in one word.
//!
//! ```text
//! bit  0..30  id of the participant that writes or reads in place; in the first slot of a batch that was settled, a count
//! bit 30..33  state
//! bit 33..64  position of the item, its low 31 bits
//! ```
//!
//! | state | means | leaves it by |
//! |---|---|---|
//! | EMPTY(p) | free for the item of position p | `put`: store COMMITTED; `reserve`: store RESERVED; under the put lock |
//! | RESERVED(p, id) | id writes the item in place | commit: CAS COMMITTED; dropped, or id gone: CAS SKIPPED |
//! | RESERVED(p, 0) | a follower: belongs to the batch whose first slot lies before it | the consumer that comes to the first slot: store COMMITTED or SKIPPED; under the take lock |
//! | COMMITTED(p, n), SKIPPED(p, n) | the first slot of a batch that was settled: n slots hold items, or none does | by the consumer that comes to it: COMMITTED(p), SKIPPED(p), once its followers are single ones |
//! | COMMITTED(p) | an item | `get`: EMPTY of the next lap, after the head has moved; `peek`: TAKEN; under the take lock |
//! | SKIPPED(p) | nothing: its writer gave up or died | as COMMITTED, without being delivered |
//! | TAKEN(p, id) | id reads the item in place; the head has moved | release: CAS EMPTY; given back, or id gone: CAS RETURNED |
//! | RETURNED(p) | an item behind the head, delivered before all others | `get`: CAS EMPTY; `peek`: CAS TAKEN; under the take lock |
//! | PADDING(p) | nothing, up to the end of a ring of bytes; never in a ring of slots | as SKIPPED |
//!
//! A COMMITTED or SKIPPED slot behind the head was consumed by somebody who died before it could say so: it counts as EMPTY of
//! the next lap.

use crate::atomic::{AtomicU64, Ordering::*};
use crate::shm::view::Word;

const ID: u64 = (1 << 30) - 1;
const STATE_SHIFT: u32 = 30;
const STATE: u64 = 7 << STATE_SHIFT;
const POSITION_SHIFT: u32 = 33;
/// Positions are compared by their low 31 bits; a ring has far fewer slots.
const POSITION: u64 = (1 << 31) - 1;

/// What a slot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(super) enum State {
    Empty = 0,
    Reserved = 1,
    Committed = 2,
    Skipped = 3,
    Taken = 4,
    Returned = 5,
    Padding = 6,
}

/// A slot's stamp in shared memory.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(transparent)]
pub(super) struct StampWord(AtomicU64);

// SAFETY: (S6) one atomic; patterns that are no state are told apart by `Stamp::state`.
unsafe impl Word for StampWord {}

/// A stamp as it was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp(u64);

impl Stamp {
    #[inline]
    pub(super) fn new(state: State, position: u64, id: u32) -> Self {
        Stamp((position & POSITION) << POSITION_SHIFT | (state as u64) << STATE_SHIFT | u64::from(id))
    }

    /// A slot that belongs to the batch before it.
    #[inline]
    pub(super) fn follower(position: u64) -> Self {
        Stamp::new(State::Reserved, position, 0)
    }

    /// Whether it is a follower at `position`.
    #[inline]
    pub(super) fn is_follower(self, position: u64) -> bool {
        self == Stamp::follower(position)
    }

    /// The state; `None` for bytes that no program of ours wrote.
    #[inline]
    pub(super) fn state(self) -> Option<State> {
        Some(match (self.0 & STATE) >> STATE_SHIFT {
            0 => State::Empty,
            1 => State::Reserved,
            2 => State::Committed,
            3 => State::Skipped,
            4 => State::Taken,
            5 => State::Returned,
            6 => State::Padding,
            _ => return None,
        })
    }

    /// Whether it belongs to `position`.
    #[inline]
    pub(super) fn is_of(self, position: u64) -> bool {
        self.0 >> POSITION_SHIFT == position & POSITION
    }

    /// Whether it is in `state` and belongs to `position`.
    #[inline]
    pub(super) fn is(self, state: State, position: u64) -> bool {
        self.0 & !ID == Stamp::new(state, position, 0).0
    }

    /// Who writes or reads in place; of the first slot of a batch that was settled, how many items it has.
    pub(super) fn id(self) -> u32 {
        (self.0 & ID) as u32
    }
}

impl StampWord {
    /// The stamp now.
    #[inline]
    pub(super) fn load(&self) -> Stamp {
        // SeqCst: pair ANNOUNCE of the event counts. The Acquire in it is pair ITEM: who sees COMMITTED sees the item, who
        // sees EMPTY has all reads of the previous item behind it.
        Stamp(self.0.load(SeqCst))
    }

    /// Changes the stamp under the lock that owns the transition.
    #[inline]
    pub(super) fn store(&self, stamp: Stamp) {
        // Release: pair ITEM. Sleepers are told through the lock's release (pair ANNOUNCE).
        self.0.store(stamp.0, Release);
    }

    /// Changes the stamp from exactly `seen`; one of several who try does it.
    pub(super) fn replace(&self, seen: Stamp, next: Stamp) -> bool {
        // SeqCst: pairs ITEM and ANNOUNCE.
        self.0.compare_exchange(seen.0, next.0, SeqCst, Relaxed).is_ok()
    }
}
