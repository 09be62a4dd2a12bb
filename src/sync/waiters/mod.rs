//! A list of waiters that are granted one by one, in order, exactly: no grant is lost with the dead, none is doubled.
//!
//! A waiter has one word in a fixed table ([`entry`] has its states). It takes a ticket, claims an entry and waits on its own
//! word; a grant is one compare-exchange on that word, so the granter never waits for anybody. The waiter consumes
//! the grant with one compare-exchange of its own; until then its death passes the grant on to the oldest living waiter that had
//! come before the grant was made.
//!
//! # Passing on
//!
//! 1. *Adopt*: GRANTED(dead) → ADOPTED(me). Only one living participant can have it, so nobody else passes the same grant.
//! 2. *Look*: if a successor (same number, one hop further) exists, a former adopter died between steps 3 and 4: only step 4 is left.
//!    A predecessor (one hop less) is cleared. If the adopted word was cleared meanwhile, a successor did it.
//! 3. *Grant*: the oldest living waiter's word becomes GRANTED with the same number, one hop further.
//! 4. *Clear* the adopted word.
//!
//! A waiter whose grant has hopped clears its predecessor before it consumes, and so does who adopts it. Hence a successor that is
//! not in the table any more has cleared its predecessor before, and step 2 cannot miss it: the grant is passed on once, whoever dies
//! where. At most one predecessor is in the table, so three hops are enough to tell who succeeds whom.
//!
//! # Waking
//!
//! Whoever grants wakes one waiter, the oldest that is granted and asleep; each waiter that leaves its place wakes the next.
//! So a hundred who were granted at once do not fight for one lock. Who is woken and dies, or is stopped, delays the next by a
//! slice: a short one, since the last in the line is on watch.
//!
//! # Orderings
//!
//! The words are changed and read with SeqCst: they are off every fast path, step 2 reads several words in a row, and a list
//! that keeps signals needs it between a waiter that comes and a signal that finds nobody (each writes its word and then looks
//! for the other's). What granters did before is seen by the granted: SeqCst includes Acquire and Release.
//! The order of tickets and grants is that of `next`; who uses the list under a lock has it in the order of the lock.

mod entry;
mod pass;

use entry::{Phase, State};

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::park::LowHalf;
use crate::participant::Host;
use crate::shm::view::Word;
use crate::sync::wait::Patience;
use crate::time::Deadline;

pub(crate) use entry::WaiterEntry;

/// What the waiters have in common. All-zero: nobody waits.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(crate) struct Roll {
    /// The next ticket or grant number.
    next: AtomicU64,
    /// bit 0..32: entries from here on are free; bit 32..64: counts registrations, so that lowering misses none.
    used: AtomicU64,
    /// The waiter that looks for the dead often; see [`Patience`].
    pub(crate) watch: AtomicU32,
    reserved: AtomicU32,
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern is some state.
unsafe impl Word for Roll {}

documented_layout!(Roll { next, used, watch, reserved });

impl Roll {
    /// Whether nobody waits, for certain: one load.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SeqCst: see the module.
        self.used.load(SeqCst) as u32 == 0
    }
}

/// The entries that may be in use.
pub(crate) fn used<'a>(roll: &Roll, entries: &'a [WaiterEntry]) -> &'a [WaiterEntry] {
    // SeqCst: see the module. Cut to the table: the number comes from shared memory.
    let used = roll.used.load(SeqCst) as u32 as usize;
    &entries[..used.min(entries.len())]
}

/// What becomes of a grant that no waiter is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unclaimed {
    /// It is forgotten; it never reaches a waiter that came after it.
    Dropped,
    /// One is kept, in the first entry, for the next waiter.
    Kept,
}

/// A list of waiters as one participant uses it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiters<'a, H> {
    pub(crate) roll: &'a Roll,
    pub(crate) entries: &'a [WaiterEntry],
    pub(crate) unclaimed: Unclaimed,
    pub(crate) host: &'a H,
    /// The calling process's id, not 0.
    pub(crate) me: u32,
}

/// A waiter's place.
#[derive(Clone, Copy, Debug)]
#[must_use = "a place must be left"]
pub(crate) struct Place {
    index: usize,
    claim: State,
}

/// Every entry is taken by somebody alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// What one round of waiting brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Round {
    /// The place was granted: leave it.
    Granted,
    /// Not yet.
    Again,
    /// A slice passed without a grant: look at whom else the caller depends on, and at the clock.
    Idle,
}

impl<H: Host> Waiters<'_, H> {
    /// Takes a place at the end of the line.
    pub(crate) fn register(&self) -> Result<Place, Full> {
        // SeqCst: a waiter that comes before a grant in the order of `next` is one that the grant can be passed on to.
        let ticket = self.roll.next.fetch_add(1, SeqCst);
        let place = match self.claim(ticket) {
            Some(place) => place,
            None => {
                self.sweep(true);
                self.sweep_beyond();
                self.claim(ticket).ok_or(Full)?
            }
        };
        self.announce(place.index);
        Ok(place)
    }

    fn claim(&self, ticket: u64) -> Option<Place> {
        let claim = State::claimed(self.me, ticket);
        for (index, entry) in self.entries.iter().enumerate().skip(self.first()) {
            if entry.state() == State::FREE && entry.change(State::FREE, claim) {
                // Relaxed: published by the change to WAITING.
                entry.ticket.store(ticket, Relaxed);
                // Nobody touches a living claimant's word.
                let waiting = entry.change(claim, claim.waiting());
                debug_assert!(waiting, "a claimed entry was changed by somebody else");
                return Some(Place { index, claim });
            }
        }
        None
    }

    /// Makes the entry visible to granters.
    fn announce(&self, index: usize) {
        let mut now = self.roll.used.load(Relaxed);
        loop {
            let used = (now as u32).max(index as u32 + 1);
            let next = ((now >> 32) as u32).wrapping_add(1);
            // SeqCst: see the module.
            match self.roll.used.compare_exchange_weak(
                now,
                u64::from(next) << 32 | u64::from(used),
                SeqCst,
                Relaxed,
            ) {
                Ok(_) => return,
                Err(found) => now = found,
            }
        }
    }

    /// Lets granters skip the free end of the table. A death before this is healed by whoever comes here next.
    fn lower(&self) {
        loop {
            let now = self.roll.used.load(SeqCst);
            let used = self.entries.len().min(now as u32 as usize);
            let free = self.entries[..used].iter().rev().take_while(|entry| entry.state() == State::FREE);
            let lowered = (used - free.count()) as u64;
            // A registration since the load has changed the count: then look again.
            if lowered == u64::from(now as u32)
                || self.roll.used.compare_exchange(now, now >> 32 << 32 | lowered, SeqCst, Relaxed).is_ok()
            {
                return;
            }
        }
    }

    /// Waits for a grant of `place`, actively or for a slice.
    pub(crate) fn wait(&self, place: Place, patience: &mut Patience<'_, H>, deadline: Deadline) -> Round {
        let entry = &self.entries[place.index];
        let now = entry.state();
        if now.phase() != Phase::Waiting || !now.is_of(place.claim) {
            // Granted; or somebody has written what nobody may write, and waiting on would never end.
            return Round::Granted;
        }
        if patience.spin() {
            return Round::Again;
        }
        if deadline == Deadline::Now {
            return Round::Idle;
        }
        if !now.is_parked() && !entry.change(now, now.parked()) {
            return Round::Again;
        }
        if !patience.rest(&LowHalf(&entry.word), now.low()) {
            return Round::Again;
        }
        self.sweep(patience.is_on_watch());
        Round::Idle
    }

    /// Whether the place was neither granted nor left.
    pub(crate) fn is_waiting(&self, place: Place) -> bool {
        let now = self.entries[place.index].state();
        now.phase() == Phase::Waiting && now.is_of(place.claim)
    }

    /// Leaves the place; `true` if it was granted, and the grant is consumed now.
    pub(crate) fn leave(&self, place: Place) -> bool {
        let entry = &self.entries[place.index];
        loop {
            let now = entry.state();
            if !now.is_of(place.claim) {
                return true;
            }
            let granted = now.phase() == Phase::Granted;
            if granted {
                self.clear_predecessor(place.index, now);
            }
            // The commit: before it the grant is passed on if this waiter dies, after it the grant is used up.
            if entry.change(now, State::FREE) {
                self.lower();
                if granted {
                    self.wake_next();
                }
                return granted;
            }
        }
    }

    /// Leaves the place as if the waiter had died: a grant goes to the next one.
    pub(crate) fn abandon(&self, place: Place) {
        let entry = &self.entries[place.index];
        loop {
            let now = entry.state();
            if !now.is_of(place.claim) {
                return;
            }
            if now.phase() == Phase::Granted {
                if self.pass_on(place.index, now) {
                    return;
                }
            } else if entry.change(now, State::FREE) {
                return self.lower();
            }
        }
    }

    /// The first entry that waiters use.
    fn first(&self) -> usize {
        usize::from(self.unclaimed == Unclaimed::Kept)
    }

    /// The entries that may be in use.
    fn used(&self) -> &[WaiterEntry] {
        used(self.roll, self.entries)
    }
}

impl<'a, H: Host> Waiters<'a, H> {
    /// Announces that the waiter is about to sleep, for whoever sleeps on other words too; `None` once the place was granted.
    pub(crate) fn park(&self, place: Place) -> Option<(&'a AtomicU64, u32)> {
        let entry: &'a WaiterEntry = &self.entries[place.index];
        loop {
            let now = entry.state();
            if !self.is_waiting(place) {
                return None;
            }
            if now.is_parked() || entry.change(now, now.parked()) {
                return Some((&entry.word, now.parked().low()));
            }
        }
    }
}
