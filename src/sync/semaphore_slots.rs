//! Places for one permit each: 32-bit words that hold their permit's owner.
//!
//! | word | state | leaves it by |
//! |---|---|---|
//! | 0 | EMPTY: no permit here; in a bounded semaphore, its permit is out without an owner | `put` to FREE |
//! | FREE | the permit is free | `take` to owned |
//! | an id | the permit is that participant's | `give` to FREE, `forget` to EMPTY, both by the owner; `reclaim` to FREE once the id is gone |
//! | RESERVED | EMPTY, and about to be FREE in one step with others | the holder of the bank's lock, or who takes it over |
//!
//! Each row is left by ONE compare-exchange from exactly that word: a death leaves the old state or the new one. Ids are
//! never reused: no ABA.
//!
//! Orderings. Promise: what an owner wrote before it gave the permit back is seen by the next owner; `give` and `put`
//! release, `take` acquires. They are SeqCst for the event count (pair ANNOUNCE), which includes both.

use crate::atomic::{AtomicU32, Ordering::*};
use crate::participant::{Fate, Host};

const EMPTY: u32 = 0;
const FREE: u32 = 1 << 30;
const RESERVED: u32 = 1 << 31;

/// Words in the area of the slots.
pub(super) const AREA: usize = 256;

/// How the area is used: few slots lie on cache lines of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Slots that may hold a permit.
    pub(super) span: u32,
    /// Slots among which an acquirer chooses the one it tries first.
    home: u32,
    /// Distance of two slots in words, as a power of two.
    shift: u32,
}

/// The slots of one semaphore.
#[derive(Clone, Copy)]
pub(super) struct Slots<'a> {
    pub(super) words: &'a [AtomicU32],
    pub(super) layout: Layout,
}

impl Layout {
    /// For a semaphore that begins with `initial` permits; a bounded one never has more.
    pub(super) fn new(initial: u32, bounded: bool) -> Self {
        let (count, shift) = match initial {
            0..=16 => (16, 4),
            17..=64 => (64, 2),
            _ => (AREA as u32, 0),
        };
        let filled = initial.min(count);
        Layout { span: if bounded { filled } else { count }, home: filled.max(1), shift }
    }

    /// How many permits lie in slots at first.
    pub(super) fn filled(initial: u32) -> u32 {
        initial.min(AREA as u32)
    }

    /// Where the thread `token` of `me` looks first: spread, so that few meet on a slot.
    #[inline]
    pub(super) fn start(self, me: u32, token: u32) -> u32 {
        let mixed = (me ^ token.rotate_left(16)).wrapping_mul(0x9e37_79b1);
        ((u64::from(mixed) * u64::from(self.home)) >> 32) as u32
    }
}

impl<'a> Slots<'a> {
    #[inline]
    fn word(self, index: u32) -> &'a AtomicU32 {
        &self.words[(index << self.layout.shift) as usize]
    }

    /// Changes a slot by one compare-exchange.
    #[inline]
    fn turn(self, index: u32, from: u32, to: u32) -> bool {
        // SeqCst: see the module. Relaxed on failure: nothing changed hands.
        self.word(index).compare_exchange(from, to, SeqCst, Relaxed).is_ok()
    }

    /// The first slot in one state, from `start` on, that could be turned into another.
    fn turn_any(self, start: u32, from: u32, to: u32) -> Option<u32> {
        let span = self.layout.span;
        let mut index = start;
        let mut left = span;
        while left > 0 {
            if index >= span {
                index = 0;
            }
            // SeqCst load: pair ANNOUNCE; the last look before a sleep is this one.
            if self.word(index).load(SeqCst) == from && self.turn(index, from, to) {
                return Some(index);
            }
            index += 1;
            left -= 1;
        }
        None
    }

    /// Takes the permit of a slot, if it is free.
    #[inline]
    pub(super) fn take_at(self, index: u32, me: u32) -> bool {
        self.turn(index, FREE, me)
    }

    /// Takes a free permit for `me`.
    pub(super) fn take(self, me: u32, start: u32) -> Option<u32> {
        self.turn_any(start, FREE, me)
    }

    /// Gives back a permit of `me`; `false` if the slot is not `me`'s.
    #[inline]
    pub(super) fn give(self, index: u32, me: u32) -> bool {
        self.turn(index, me, FREE)
    }

    /// Ends `me`'s ownership and leaves the permit out; `false` if the slot is not `me`'s.
    pub(super) fn forget(self, index: u32, me: u32) -> bool {
        self.turn(index, me, EMPTY)
    }

    /// Puts a permit without an owner into an empty slot.
    pub(super) fn put(self, start: u32) -> bool {
        // The first without looking: a load would wait for whoever changed the slot last.
        start < self.layout.span && self.turn(start, EMPTY, FREE)
            || self.turn_any(start, EMPTY, FREE).is_some()
    }

    /// Reserves up to `most` empty slots; the caller holds the bank's lock.
    pub(super) fn reserve(self, most: u32) -> u32 {
        self.turn_all(EMPTY, RESERVED, most)
    }

    /// Turns all reserved slots into free or, if the release did not come about, empty ones; the caller holds the bank's lock.
    pub(super) fn settle(self, released: bool) {
        self.turn_all(RESERVED, if released { FREE } else { EMPTY }, u32::MAX);
    }

    /// Turns up to `most` slots that are in one state into another; how many those were.
    fn turn_all(self, from: u32, to: u32, most: u32) -> u32 {
        let (mut index, mut turned) = (0, 0);
        while index < self.layout.span && turned < most {
            // Relaxed: the exchange decides.
            if self.word(index).load(Relaxed) == from && self.turn(index, from, to) {
                turned += 1;
            }
            index += 1;
        }
        turned
    }

    /// How many are free now.
    pub(super) fn free(self) -> u32 {
        // Relaxed: a hint.
        (0..self.layout.span).filter(|&index| self.word(index).load(Relaxed) == FREE).count() as u32
    }

    /// The owner of a slot; 0: nobody.
    pub(super) fn owner(self, index: u32) -> u32 {
        // Relaxed: a compare-exchange from exactly this owner follows.
        match self.word(index).load(Relaxed) {
            FREE | RESERVED => 0,
            id => id & (FREE - 1),
        }
    }

    /// Frees the permit of `id`, which is gone.
    pub(super) fn reclaim(self, index: u32, id: u32) -> bool {
        self.turn(index, id, FREE)
    }

    /// Makes the first slots free; nobody else sees them yet.
    pub(super) fn fill(self, count: u32) {
        for index in 0..count {
            // Relaxed: published with the segment.
            self.word(index).store(FREE, Relaxed);
        }
    }
}

/// What the oracle said of owners during one look round, so that each is asked for once.
pub(super) struct Inquest<'a, H: Host> {
    host: &'a H,
    /// Who was found alive.
    alive: Vec<u32>,
    /// The last of them that was asked for: one owner's permits often lie together.
    last: u32,
    /// How many more owners may be asked for.
    budget: usize,
    /// An owner of whom nobody can tell.
    pub(super) unknown: Option<u32>,
}

impl<'a, H: Host> Inquest<'a, H> {
    /// A look round that asks for at most `budget` owners; `me` is alive.
    pub(super) fn new(host: &'a H, me: u32, budget: usize) -> Self {
        Inquest { host, alive: vec![me], last: me, budget, unknown: None }
    }

    /// Whether `id` is gone; `None` once the budget is used up.
    pub(super) fn is_gone(&mut self, id: u32) -> Option<bool> {
        if id == 0 || id == self.last {
            return Some(false);
        }
        if self.alive.contains(&id) {
            self.last = id;
            return Some(false);
        }
        self.budget = self.budget.checked_sub(1)?;
        match self.host.fate(id) {
            Fate::Gone => return Some(true),
            Fate::Unknown => self.unknown = Some(id),
            Fate::Alive => {}
        }
        self.alive.push(id);
        self.last = id;
        Some(false)
    }
}
