//! Granting, and passing on the grants of the dead.

use super::entry::{Phase, State};
use super::{Unclaimed, WaiterEntry, Waiters};
use crate::atomic::Ordering::*;
use crate::park::LowHalf;
use crate::participant::{Fate, Host};

impl<H: Host> Waiters<'_, H> {
    /// Grants the `count` oldest waiters, or all if there are fewer; tells how many. Never waits.
    ///
    /// Only the oldest of them is woken: each one that leaves its place wakes the next, so that they do not fight for the lock.
    pub(crate) fn grant(&self, count: u32) -> u32 {
        if count == 0 || self.roll.is_empty() {
            return 0;
        }
        let limit = u64::from(count).min(self.entries.len() as u64);
        // SeqCst: orders the grant among the tickets. Numbers that are not used up are left out.
        let first = self.roll.next.fetch_add(limit, SeqCst);
        let granted = if limit < self.entries.len() as u64 {
            (0..limit).take_while(|nth| self.grant_oldest(first, first + nth)).count()
        } else {
            self.grant_all(first)
        };
        if granted == 0 {
            self.lower();
        } else {
            self.wake_next();
        }
        granted as u32
    }

    /// Gives the grant `number` to the oldest waiter that came before `bound`.
    fn grant_oldest(&self, bound: u64, number: u64) -> bool {
        while let Some((entry, state)) = self.oldest_waiting(bound) {
            if entry.change(state, state.granted(number)) {
                return true;
            }
        }
        false
    }

    /// Grants everybody who came before `first`, the first number.
    fn grant_all(&self, first: u64) -> usize {
        let mut granted = 0;
        for entry in self.used() {
            loop {
                let state = entry.state();
                if state.phase() != Phase::Waiting || entry.ticket.load(Relaxed) >= first {
                    break;
                }
                if entry.change(state, state.granted(first + granted as u64)) {
                    granted += 1;
                    break;
                }
            }
        }
        granted
    }

    /// Leaves a signal for the next waiter, if nobody waits and none is left already; grants the oldest waiter otherwise.
    /// Never waits.
    pub(crate) fn signal(&self) {
        debug_assert_eq!(self.unclaimed, Unclaimed::Kept);
        if self.grant(1) == 1 {
            return;
        }
        let number = self.roll.next.fetch_add(1, SeqCst);
        self.keep(State::FREE.granted(number));
        // A waiter that came meanwhile saw no signal, or sees this one: both look after they wrote.
        self.pass_signal_on();
    }

    /// Leaves `signal` for the next waiter, unless one is left already.
    fn keep(&self, signal: State) {
        let place = &self.entries[0];
        loop {
            let now = place.state();
            match now.phase() {
                Phase::Free if place.change(State::FREE, signal) => return self.announce(0),
                Phase::Free => {}
                // On its way to a waiter that has it already: not this signal.
                Phase::Adopted if self.used().iter().any(|other| other.state().succeeds(now)) => {
                    place.change(now, State::FREE);
                }
                // Signalled already, or about to be passed to a waiter that has not got it yet: the two are one.
                _ if place.state() == now => return,
                _ => {}
            }
        }
    }

    /// Gives the signal that is left to a waiter, if there is one.
    fn pass_signal_on(&self) {
        let signal = self.entries[0].state();
        let is_left = match signal.phase() {
            Phase::Granted => true,
            Phase::Adopted => self.is_gone(signal.id()),
            _ => false,
        };
        if is_left && WaiterEntry::count_waiting(self.used()) != 0 {
            // If it has changed, somebody else has taken or passed it.
            let _ = self.pass_on(0, signal);
        }
    }

    /// Takes the signal that is left, if any.
    pub(crate) fn take_signal(&self) -> bool {
        loop {
            let now = self.entries[0].state();
            if now.phase() != Phase::Granted {
                return false;
            }
            self.clear_predecessor(0, now);
            if self.entries[0].change(now, State::FREE) {
                self.lower();
                return true;
            }
        }
    }

    /// Passes on the grants of the dead; with `thorough` also clears the dead that wait.
    pub(crate) fn sweep(&self, thorough: bool) {
        for (index, entry) in self.used().iter().enumerate() {
            let state = entry.state();
            match state.phase() {
                Phase::Granted if state.id() == 0 => self.pass_signal_on(),
                Phase::Granted | Phase::Adopted if self.is_gone(state.id()) => {
                    // If it has changed, the next sweep finds it.
                    let _ = self.pass_on(index, state);
                }
                Phase::Claimed | Phase::Waiting
                    if thorough && self.is_gone(state.id()) && entry.change(state, State::FREE) =>
                {
                    self.lower();
                }
                _ => {}
            }
        }
    }

    /// Clears claimants that died before they were announced: they lie beyond the used entries.
    pub(super) fn sweep_beyond(&self) {
        for entry in &self.entries[self.used().len()..] {
            let state = entry.state();
            if matches!(state.phase(), Phase::Claimed | Phase::Waiting) && self.is_gone(state.id()) {
                entry.change(state, State::FREE);
            }
        }
    }

    /// Passes on the grant in `state`, whose owner is gone; the steps are those of the module. `false`: the entry has changed, if only
    /// because its owner was being woken.
    pub(super) fn pass_on(&self, index: usize, state: State) -> bool {
        let entry = &self.entries[index];
        let mine = state.adopted(self.me);
        if !matches!(state.phase(), Phase::Granted | Phase::Adopted) || !entry.change(state, mine) {
            return false;
        }
        self.clear_predecessor(index, mine);
        let has_successor = self.used().iter().any(|other| other.state().succeeds(mine));
        if !has_successor && entry.state() == mine && !self.give(mine) && self.unclaimed == Unclaimed::Kept {
            let kept = State::FREE.passed(mine);
            // The first entry is where signals are kept: there it only changes hands.
            if index == 0 && entry.change(mine, kept) {
                return true;
            }
            self.keep(kept);
        }
        entry.change(mine, State::FREE);
        self.lower();
        self.wake_next();
        true
    }

    /// Gives the adopted grant to the oldest living waiter that it was meant for.
    fn give(&self, mine: State) -> bool {
        let bound = match self.unclaimed {
            Unclaimed::Dropped => mine.number(self.roll.next.load(SeqCst)),
            Unclaimed::Kept => u64::MAX,
        };
        while let Some((entry, state)) = self.oldest_waiting(bound) {
            if self.is_gone(state.id()) {
                entry.change(state, State::FREE);
            } else if entry.change(state, state.passed(mine)) {
                return true;
            }
        }
        false
    }

    /// Clears the entry from which the grant in `state` was passed on, if its adopter died before it did so.
    pub(super) fn clear_predecessor(&self, index: usize, state: State) {
        if !state.has_hopped() {
            return;
        }
        for (at, other) in self.used().iter().enumerate() {
            loop {
                let found = other.state();
                if at == index || !state.succeeds(found) || other.change(found, State::FREE) {
                    break;
                }
            }
        }
    }

    /// Wakes the oldest waiter that was granted and has not been woken yet.
    pub(super) fn wake_next(&self) {
        let asleep = |state: State| state.phase() == Phase::Granted && state.is_parked();
        while let Some((entry, state)) = self.oldest(u64::MAX, asleep) {
            if entry.change(state, state.woken()) {
                self.host.wake(&LowHalf(&entry.word), 1);
                return;
            }
        }
    }

    fn oldest_waiting(&self, bound: u64) -> Option<(&WaiterEntry, State)> {
        self.oldest(bound, |state| state.phase() == Phase::Waiting)
    }

    /// The entry with the least ticket below `bound` among those that `wanted` approves.
    fn oldest(&self, bound: u64, wanted: impl Fn(State) -> bool) -> Option<(&WaiterEntry, State)> {
        self.used()
            .iter()
            .map(|entry| (entry, entry.state()))
            .filter(|(entry, state)| wanted(*state) && entry.ticket.load(Relaxed) < bound)
            .min_by_key(|(entry, _)| entry.ticket.load(Relaxed))
    }

    /// Whether nobody will ever act for `id` again; a kept signal belongs to nobody from the start.
    fn is_gone(&self, id: u32) -> bool {
        id == 0 || (id != self.me && self.host.fate(id) == Fate::Gone)
    }
}
