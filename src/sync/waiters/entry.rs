//! One waiter's word.
//!
//! ```text
//! bit   0..30   id of a participant; 0 in a free word and in a signal that waits for a taker
//! bit  30..32   phase
//! bit  32..60   number: the ticket's while it waits, the grant's afterwards (the low 28 bits of it)
//! bit  60..62   HOP: 0 for a grant that was never passed on, then 1, 2, 3, 1, 2, 3 ...
//! bit  62       PARKED: the waiter sleeps, or is about to, and nobody has woken it yet
//! bit  63       reserved
//! ```
//!
//! | state | id | leaves it by |
//! |---|---|---|
//! | free: 0 | | CLAIMED by a waiter |
//! | CLAIMED | the waiter | WAITING by the waiter, once its ticket is written; free, once the waiter is gone |
//! | WAITING | the waiter | GRANTED by anybody; free by the waiter (it gave up), or once it is gone; PARKED added by the waiter |
//! | GRANTED | the waiter | free by the waiter: the grant is consumed; ADOPTED, once it is gone; PARKED removed by whoever wakes it |
//! | GRANTED | 0 | free by a taker; ADOPTED by anybody: a signal without a waiter, in a list that keeps signals |
//! | ADOPTED | whoever passes the grant on | free, once it has a successor; ADOPTED by another, once the adopter is gone |
//!
//! Each transition is one compare-exchange from exactly the word that was seen. Ids are never used again, and the number
//! tells apart what one participant does in one entry at different times.

use crate::atomic::{AtomicU64, Ordering::*};
use crate::participant::{Fact, ParticipantId};
use crate::shm::view::Word;

const ID: u64 = (1 << 30) - 1;
const NUMBER: u64 = ((1 << 28) - 1) << 32;
const HOP: u64 = 3 << 60;
const PARKED: u64 = 1 << 62;

/// What a waiter's word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State(pub(super) u64);

/// Which row of the table a word is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Free,
    Claimed,
    Waiting,
    Granted,
    Adopted,
}

impl State {
    pub(super) const FREE: State = State(0);

    pub(super) fn claimed(id: u32, ticket: u64) -> State {
        State(u64::from(id) | ticket << 32 & NUMBER)
    }

    /// The claimant's next state.
    pub(super) fn waiting(self) -> State {
        State(self.0 | 1 << 30)
    }

    /// A waiter's state once it was granted `number`.
    pub(super) fn granted(self, number: u64) -> State {
        State(self.0 & (ID | PARKED) | 2 << 30 | number << 32 & NUMBER)
    }

    /// A waiter's state (or a free one: a kept signal) once the grant in `from` was passed to it.
    pub(super) fn passed(self, from: State) -> State {
        State(self.0 & (ID | PARKED) | 2 << 30 | from.0 & NUMBER | from.next_hop())
    }

    /// A granted state once `id` has taken it upon itself to pass the grant on.
    pub(super) fn adopted(self, id: u32) -> State {
        State(u64::from(id) | 3 << 30 | self.0 & (NUMBER | HOP))
    }

    pub(super) fn parked(self) -> State {
        State(self.0 | PARKED)
    }

    pub(super) fn woken(self) -> State {
        State(self.0 & !PARKED)
    }

    fn next_hop(self) -> u64 {
        match self.0 & HOP {
            HOP => 1 << 60,
            hop => hop + (1 << 60),
        }
    }

    pub(super) fn phase(self) -> Phase {
        match self.0 >> 30 & 3 {
            _ if self == State::FREE => Phase::Free,
            0 => Phase::Claimed,
            1 => Phase::Waiting,
            2 => Phase::Granted,
            _ => Phase::Adopted,
        }
    }

    pub(super) fn id(self) -> u32 {
        (self.0 & ID) as u32
    }

    pub(super) fn is_parked(self) -> bool {
        self.0 & PARKED != 0
    }

    /// Whether the waiter's call that made `claim` is still what the word is about.
    pub(super) fn is_of(self, claim: State) -> bool {
        match self.phase() {
            Phase::Waiting => self.0 & !PARKED == claim.waiting().0,
            Phase::Granted => self.id() == claim.id(),
            _ => false,
        }
    }

    /// The grant's whole number, given a number that was handed out later: less than 2^28 were between them.
    pub(super) fn number(self, later: u64) -> u64 {
        let age = later.wrapping_sub((self.0 & NUMBER) >> 32) & (NUMBER >> 32);
        later.wrapping_sub(age)
    }

    /// Whether the grant has been passed on before, so that whom it came from may still be in the table.
    pub(super) fn has_hopped(self) -> bool {
        self.0 & HOP != 0
    }

    /// Whether this is the state to which the grant in `other` was passed on.
    pub(super) fn succeeds(self, other: State) -> bool {
        let grant = |state: State| matches!(state.phase(), Phase::Granted | Phase::Adopted);
        grant(self) && grant(other) && self.0 & NUMBER == other.0 & NUMBER && other.next_hop() == self.0 & HOP
    }

    /// What the futex compares.
    pub(super) fn low(self) -> u32 {
        self.0 as u32
    }
}

/// A place in the table. All-zero is free.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(crate) struct WaiterEntry {
    pub(super) word: AtomicU64,
    /// The waiter's ticket: the order of service. Written by the claimant only.
    pub(super) ticket: AtomicU64,
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern is some state.
unsafe impl Word for WaiterEntry {}

documented_layout!(WaiterEntry { word, ticket });

impl WaiterEntry {
    /// How many wait in the table, dead ones included.
    pub(crate) fn count_waiting(entries: &[WaiterEntry]) -> usize {
        entries.iter().filter(|entry| entry.state().phase() == Phase::Waiting).count()
    }

    /// Who waits, and whose grant is on its way, for whoever inspects the list.
    pub(crate) fn facts(entries: &[WaiterEntry]) -> Fact<ParticipantId> {
        let at_work =
            |state: &State| matches!(state.phase(), Phase::Waiting | Phase::Granted) && state.id() != 0;
        let ids =
            entries.iter().map(WaiterEntry::state).filter(at_work).map(|state| Fact::participant(state.id()));
        Fact::List(ids.collect())
    }

    pub(super) fn state(&self) -> State {
        // SeqCst: see the module.
        State(self.word.load(SeqCst))
    }

    /// Whether a signal is left here, for whoever takes it first: one load.
    #[inline]
    pub(crate) fn is_signal(&self) -> bool {
        self.state().phase() == Phase::Granted
    }

    /// From exactly `from` to `to`.
    pub(super) fn change(&self, from: State, to: State) -> bool {
        // SeqCst: see the module. Relaxed on failure: callers look again.
        self.word.compare_exchange(from.0, to.0, SeqCst, Relaxed).is_ok()
    }
}
