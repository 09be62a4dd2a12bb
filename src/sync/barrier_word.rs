//! The words of a barrier: one phase, and a seat for each party.
//!
//! ```text
//! phase, bit  0..3    STATE: 0 filling, 1 the action runs, 2.. broken and why
//!        bit  3..32   EPOCH: how often it was reset
//!        bit 32..64   ROUND: how often it tripped
//! ```
//!
//! | state | left by |
//! |---|---|
//! | filling | trip: ROUND + 1, filling, by a party that sees everybody arrived; to "the action runs" likewise; break; reset |
//! | the action runs | trip, by the party that runs it; break; reset |
//! | broken | reset: EPOCH + 1, filling |
//!
//! Each row is left by ONE compare-exchange from exactly the phase that was seen. The key of a wait is the phase it began with,
//! without the state: a waiter that finds another ROUND was released, one that finds the same ROUND and another EPOCH or a broken
//! state was not. No later round can trip without that waiter's own seat, so a late look is as good as an early one.
//!
//! ```text
//! seat owner, bit  0..30   id of the participant that has it; 0: free
//!             bit 30       IMPLIED: taken by a wait without a guard; idle, it may be used by other threads of the process
//!             bit 31       BUSY: a thread waits here
//!             bit 32..63   token of the thread
//! seat arrival: key | 1 of the last wait that began here: "I am here", one store
//! ```
//!
//! # Orderings
//!
//! Promise: what the parties did before the wait is seen by all of them after it. Arrivals are SeqCst stores and loads
//! (Release and Acquire in that), the trip is a SeqCst read-modify-write, waiters load the phase with SeqCst. SeqCst, not less, for two
//! reasons: of two parties that arrive at once at least one must see both arrivals (each stores its own and loads the other's),
//! and pair ANNOUNCE of the event count.

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::cause::Breakage;
use crate::participant::{Fate, Host};
use crate::shm::view::Word;
use crate::sync::event_count::EventCount;
use crate::sys;

const STATE: u64 = 7;
const EPOCH: u64 = 1 << 3;
const EPOCHS: u64 = 0xffff_fff8;
const ROUND: u64 = 1 << 32;
const RUNNING: u64 = 1;
const ARRIVED: u64 = 1;

const ID: u64 = (1 << 30) - 1;
const IMPLIED: u64 = 1 << 30;
const BUSY: u64 = 1 << 31;

/// Who arrived longer ago than this is asked for before the barrier trips: it sleeps by now, so that its wake-up costs more than the
/// question. Who arrived later is taken for alive: a death so close to the trip counts as one after it.
const FRESH_NS: u64 = 100_000;

impl Breakage {
    fn state(self) -> u64 {
        match self {
            Breakage::Died => 2,
            Breakage::Left => 3,
            Breakage::TimedOut => 4,
            Breakage::Aborted => 5,
            Breakage::ActionFailed => 6,
            Breakage::Reset => 7,
        }
    }

    /// Why the phase is broken, if it is.
    fn of(phase: u64) -> Option<Self> {
        match phase & STATE {
            0 | RUNNING => None,
            2 => Some(Breakage::Died),
            3 => Some(Breakage::Left),
            4 => Some(Breakage::TimedOut),
            5 => Some(Breakage::Aborted),
            6 => Some(Breakage::ActionFailed),
            _ => Some(Breakage::Reset),
        }
    }
}

/// The phase with which a wait began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key(u64);

/// What has become of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// Somebody is missing.
    Filling,
    /// Everybody is there, and somebody runs the action.
    Running,
    /// The barrier tripped.
    Released,
    /// It did not, and will not.
    Broken(Breakage),
}

/// What all parties share. All-zero: filling, nobody there.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(super) struct BarrierHead {
    phase: AtomicU64,
    pub(super) sleepers: EventCount,
    /// The waiter that looks for the dead often.
    pub(super) watch: AtomicU32,
    /// How many seats follow. Written once, before the barrier is published.
    pub(super) parties: AtomicU32,
    reserved: [AtomicU32; 11],
}

// SAFETY: (S6) atomics and words only, all-zero is valid, every pattern is some state.
unsafe impl Word for BarrierHead {}

documented_layout!(BarrierHead { phase, sleepers, watch, parties, reserved });

/// One party's line. All-zero: free.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(super) struct SeatWord {
    owner: AtomicU64,
    arrival: AtomicU64,
    /// When it arrived: monotonic nanoseconds.
    since: AtomicU64,
    reserved: [AtomicU64; 5],
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern is some state.
unsafe impl Word for SeatWord {}

#[cfg(all(test, not(loom)))]
mod seat {
    use super::SeatWord;

    documented_layout!(SeatWord { owner, arrival, since, reserved });
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<BarrierHead>() == 64 && size_of::<SeatWord>() == 64);

/// A seat's owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sitter(pub(super) u64);

impl Sitter {
    pub(super) fn new(id: u32, token: u32, implied: bool) -> Self {
        Sitter(u64::from(token) << 32 | u64::from(id) | if implied { IMPLIED } else { 0 })
    }

    pub(super) fn id(self) -> u32 {
        (self.0 & ID) as u32
    }

    fn is_idle_stand_in(self, id: u32) -> bool {
        self.id() == id && self.0 & (IMPLIED | BUSY) == IMPLIED
    }
}

/// Why no seat was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoSeat {
    /// Living members have them all.
    Full,
    /// A member is dead, which breaks the barrier.
    Dead,
    /// The thread has a seat that it took itself.
    Seated,
}

/// A barrier as one participant uses it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a, H> {
    pub(super) head: &'a BarrierHead,
    pub(super) seats: &'a [SeatWord],
    pub(super) host: &'a H,
    /// The calling process's id; 0 if it only looks.
    pub(super) me: u32,
}

impl<H: Host> Words<'_, H> {
    /// The key of a wait that begins now, or why it cannot.
    pub(super) fn begin(&self) -> Result<Key, Breakage> {
        let phase = self.head.phase.load(SeqCst);
        Breakage::of(phase).map_or(Ok(Key(phase & !STATE)), Err)
    }

    /// What has become of the wait that began with `key`.
    pub(super) fn progress(&self, key: Key) -> Progress {
        let phase = self.head.phase.load(SeqCst);
        if (phase ^ key.0) >> 32 != 0 {
            Progress::Released
        } else if (phase ^ key.0) & EPOCHS != 0 {
            Progress::Broken(Breakage::Reset)
        } else if let Some(why) = Breakage::of(phase) {
            Progress::Broken(why)
        } else if phase & STATE == RUNNING {
            Progress::Running
        } else {
            Progress::Filling
        }
    }

    /// Says that the seat's party is here.
    pub(super) fn arrive(&self, seat: usize, key: Key) {
        let seat = &self.seats[seat];
        // Relaxed: published by the arrival.
        seat.since.store(sys::monotonic_ns(), Relaxed);
        seat.arrival.store(key.0 | ARRIVED, SeqCst);
    }

    /// Whether everybody is here; begins with the neighbour, so that most callers find somebody missing soon.
    pub(super) fn is_full(&self, seat: usize, key: Key) -> bool {
        let (before, behind) = self.seats.split_at(seat.min(self.seats.len()));
        behind.iter().chain(before).all(|seat| seat.has_arrived(key))
    }

    /// Whether somebody who arrived a while ago is dead.
    pub(super) fn has_stale_member(&self) -> bool {
        let now = sys::monotonic_ns();
        self.seats.iter().any(|seat| {
            // A clock that is ahead of ours makes the age enormous.
            let age = now.wrapping_sub(seat.since.load(Relaxed));
            age > FRESH_NS && self.is_gone(Sitter(seat.owner.load(SeqCst)))
        })
    }

    /// Whether a member is dead.
    pub(super) fn has_dead_member(&self) -> bool {
        self.seats.iter().any(|seat| self.is_gone(Sitter(seat.owner.load(SeqCst))))
    }

    /// How many living members wait.
    pub(super) fn count_waiting(&self) -> usize {
        let Ok(key) = self.begin() else { return 0 };
        let waits =
            |seat: &&SeatWord| seat.has_arrived(key) && !self.is_gone(Sitter(seat.owner.load(SeqCst)));
        self.seats.iter().filter(waits).count()
    }

    /// Why it is broken, if it is.
    pub(super) fn breakage(&self) -> Option<Breakage> {
        match self.head.breakage() {
            None if self.has_dead_member() => Some(Breakage::Died),
            known => known,
        }
    }

    /// Takes it upon the caller to run the action; `false` if it is somebody else's, or too late.
    pub(super) fn start_action(&self, key: Key) -> bool {
        self.advance(key.0, key.0 | RUNNING)
    }

    /// Releases everybody from `key`; `false` if somebody else did, or it was broken. `ran`: the caller ran the action.
    pub(super) fn trip(&self, key: Key, ran: bool) -> bool {
        let from = if ran { key.0 | RUNNING } else { key.0 };
        let tripped = self.advance(from, key.0.wrapping_add(ROUND));
        if tripped {
            self.head.sleepers.notify_all(self.host);
        }
        tripped
    }

    /// Breaks the wait that began with `key`, unless it is over; `true` if this call did it.
    pub(super) fn break_at(&self, key: Key, why: Breakage) -> bool {
        while matches!(self.progress(key), Progress::Filling | Progress::Running) {
            let broken = key.0 | why.state();
            if self.advance(key.0, broken) || self.advance(key.0 | RUNNING, broken) {
                self.head.sleepers.notify_all(self.host);
                return true;
            }
        }
        false
    }

    /// Breaks whatever wait is going on.
    pub(super) fn break_now(&self, why: Breakage) {
        while let Ok(key) = self.begin()
            && !self.break_at(key, why)
        {}
    }

    /// Heals it: the dead lose their seats, whoever waits is told, and the next round can begin.
    pub(super) fn reset(&self) {
        for seat in self.seats {
            let sitter = Sitter(seat.owner.load(SeqCst));
            if self.is_gone(sitter) {
                seat.change(sitter.0, 0);
            }
        }
        loop {
            let phase = self.head.phase.load(SeqCst);
            let next = phase & !(EPOCHS | STATE) | phase.wrapping_add(EPOCH) & EPOCHS;
            if self.advance(phase, next) {
                return self.head.sleepers.notify_all(self.host);
            }
        }
    }

    /// The seat that the thread has already.
    pub(super) fn seat_of(&self, token: u32) -> Option<(usize, Sitter)> {
        let mine = Sitter::new(self.me, token, false).0;
        self.seats.iter().enumerate().find_map(|(index, seat)| {
            let owner = seat.owner.load(Relaxed) & !BUSY;
            (owner & !IMPLIED == mine).then_some((index, Sitter(owner)))
        })
    }

    /// Takes a seat for `sitter`.
    pub(super) fn take_seat(&self, sitter: Sitter) -> Result<usize, NoSeat> {
        if let Some((index, owner)) = self.seat_of((sitter.0 >> 32) as u32) {
            let converted = owner.0 & IMPLIED != 0 && self.seats[index].change(owner.0, sitter.0);
            return if converted { Ok(index) } else { Err(NoSeat::Seated) };
        }
        loop {
            let before = self.members();
            let seized = self
                .seize(sitter, |owner| owner.0 == 0)
                .or_else(|| self.seize(sitter, |owner| owner.is_idle_stand_in(self.me)));
            match seized {
                Some(index) => return Ok(index),
                None if self.has_dead_member() => return Err(NoSeat::Dead),
                // Else a seat was freed behind the search, by a reset for one.
                None if self.members() == before => return Err(NoSeat::Full),
                None => {}
            }
        }
    }

    /// Who has the seats.
    fn members(&self) -> Vec<u64> {
        // SeqCst: as wherever the dead are looked for.
        self.seats.iter().map(|seat| seat.owner.load(SeqCst) & !BUSY).collect()
    }

    fn seize(&self, sitter: Sitter, from: impl Fn(Sitter) -> bool) -> Option<usize> {
        self.seats.iter().position(|seat| {
            let owner = Sitter(seat.owner.load(Relaxed));
            from(owner) && seat.change(owner.0, sitter.0)
        })
    }

    /// Gives the seat up, which breaks the barrier; nothing happens if it is not `sitter`'s any more, or in use.
    pub(super) fn leave(&self, seat: usize, sitter: Sitter) {
        if self.seats[seat].owner.load(SeqCst) == sitter.0 {
            // In this order: a leaver that dies in between is a dead member.
            self.break_now(Breakage::Left);
            self.seats[seat].change(sitter.0, 0);
        }
    }

    /// Marks the seat as in use by its thread; `false` if it is in use, or not `sitter`'s any more.
    pub(super) fn occupy(&self, seat: usize, sitter: Sitter) -> bool {
        self.seats[seat].change(sitter.0, sitter.0 | BUSY)
    }

    /// Undoes [`occupy`](Self::occupy).
    pub(super) fn vacate(&self, seat: usize, sitter: Sitter) {
        self.seats[seat].change(sitter.0 | BUSY, sitter.0);
    }

    fn advance(&self, from: u64, to: u64) -> bool {
        // SeqCst: see the module.
        self.head.phase.compare_exchange(from, to, SeqCst, Relaxed).is_ok()
    }

    fn is_gone(&self, sitter: Sitter) -> bool {
        sitter.id() != 0 && sitter.id() != self.me && self.host.fate(sitter.id()) == Fate::Gone
    }
}

impl BarrierHead {
    /// Why it is broken, if anybody has noticed.
    pub(super) fn breakage(&self) -> Option<Breakage> {
        Breakage::of(self.phase.load(SeqCst))
    }

    /// How often it has tripped.
    pub(super) fn round(&self) -> u64 {
        self.phase.load(SeqCst) >> 32
    }

    /// How many are here for the round that fills.
    pub(super) fn count_arrived(&self, seats: &[SeatWord]) -> usize {
        let phase = self.phase.load(SeqCst);
        let key = Key(phase & !STATE);
        if Breakage::of(phase).is_some() {
            0
        } else {
            seats.iter().filter(|seat| seat.has_arrived(key)).count()
        }
    }
}

impl SeatWord {
    /// Whose it is; `None`: nobody's.
    pub(super) fn member(&self) -> Option<u32> {
        Some(Sitter(self.owner.load(SeqCst)).id()).filter(|id| *id != 0)
    }

    fn has_arrived(&self, key: Key) -> bool {
        self.arrival.load(SeqCst) == key.0 | ARRIVED
    }

    fn change(&self, from: u64, to: u64) -> bool {
        // SeqCst: a seat that is given up is seen together with the break that came before.
        self.owner.compare_exchange(from, to, SeqCst, Relaxed).is_ok()
    }
}
