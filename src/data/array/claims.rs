//! Claims: how a range of an array is held, waited for, given back, and taken from the dead.

use core::ops::Range;
use std::time::Duration;

use super::body::Parts;
use super::stripe::{MAX_INDEX, Stripe, Taken};
use super::table::{Entry, Seen, overlaps};
use crate::atomic::{Ordering::*, fence};
use crate::cause::Cause;
use crate::error::{Error, Result};
use crate::participant::{Attached, Host};
use crate::shm::Plain;
use crate::sync::{self, Owner, Patience, Turn};
use crate::sys;
use crate::time::Deadline;

/// How long a `try_` form waits for the gate, which is held for some dozens of instructions unless its holder is stopped there.
const GATE_PATIENCE: Duration = Duration::from_millis(10);

/// An array without its element type.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) parts: Parts,
    pub(super) attached: Attached,
    /// Bytes of an element.
    pub(super) size: usize,
    /// Whether an element is written by one store, so that no death can tear it.
    pub(super) single: bool,
    /// An index without so many of its low bits is the number of the elements' group, which share a stripe.
    pub(super) group_shift: u32,
}

/// A range that may be torn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    pub(super) range: Range<usize>,
    pub(super) cause: Cause,
}

/// What a range is claimed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Change,
    Lock,
    Grow,
}

impl Purpose {
    fn action(self) -> &'static str {
        match self {
            Purpose::Read => "read it",
            Purpose::Change => "change it",
            Purpose::Lock => "lock it",
            Purpose::Grow => "grow it",
        }
    }
}

/// A held range; given back when dropped.
pub(super) struct Claim<'a> {
    core: &'a Core,
    entry: &'a Entry,
    owner: Owner,
    pub(super) range: Range<usize>,
    pub(super) torn: Option<Torn>,
    /// Whether the owner panicked inside.
    pub(super) panicked: bool,
}

/// What stands in a claimer's way.
enum Obstacle<'a> {
    Entry(&'a Entry, Seen),
    Full,
}

/// The waiter's side of one obstacle.
type Waiting<'a, H> = Patience<'a, H>;

impl Core {
    /// Takes `range`, which is within bounds and not empty, and waits for whoever holds a part of it.
    pub(super) fn claim(
        &self,
        range: Range<usize>,
        deadline: Deadline,
        purpose: Purpose,
    ) -> Result<Claim<'_>> {
        let me = self.attached.member.join(|| self.attached.object(), purpose.action())?;
        let owner = Owner::new(me, sys::thread_token());
        let mut waiting: Option<(*const Entry, Waiting<'_, _>)> = None;
        let entry = loop {
            let obstacle = match self.enter(&range, owner, deadline, purpose)? {
                Ok(entry) => break entry,
                Err(obstacle) => obstacle,
            };
            let Obstacle::Entry(entry, seen) = obstacle else {
                let limit = self.most_guards();
                return Err(Error::TooManyGuards { object: self.attached.object(), limit });
            };
            if waiting.as_ref().is_none_or(|(at, _)| !std::ptr::eq(*at, entry)) {
                let host = self.attached.member.host();
                waiting = Some((entry, Patience::new(host, &entry.watch, me, deadline)));
            }
            if let Some((_, patience)) = &mut waiting {
                self.await_entry(entry, seen, owner, deadline, patience)?;
            }
        };
        // From here on the range is given back whatever happens.
        let mut claim = Claim { core: self, entry, owner, range, torn: None, panicked: false };
        self.await_stripes(&claim.range, me, deadline)?;
        claim.torn = self.torn_in(&claim.range);
        Ok(claim)
    }

    /// One try to enter a claim, under the gate.
    fn enter(
        &self,
        range: &Range<usize>,
        owner: Owner,
        deadline: Deadline,
        purpose: Purpose,
    ) -> Result<Result<&Entry, Obstacle<'_>>> {
        self.under_gate(deadline, || {
            let table = &self.parts.table;
            let held = table.overlapping(range.clone()).find(|(_, seen)| seen.torn().is_none());
            if let Some((entry, seen)) = held {
                return Err(Obstacle::Entry(entry, seen));
            }
            let entry = self.vacancy(range).ok_or(Obstacle::Full)?;
            if purpose == Purpose::Read {
                entry.mark_reading();
            }
            entry.enter(owner, &self.parts.head.epoch);
            Ok(entry)
        })
    }

    /// Runs `work` with the gate held. Nothing needs repair when a holder of the gate dies: see `table`.
    fn under_gate<R>(&self, deadline: Deadline, work: impl FnOnce() -> R) -> Result<R> {
        let gate = sync::Parts { word: &self.parts.head.gate, attached: &self.attached };
        let patience = match deadline {
            Deadline::Now => Deadline::after(GATE_PATIENCE),
            other => other,
        };
        let (owner, entry) = gate.own(patience, "lock it").map_err(|error| match (error, deadline) {
            (Error::TimedOut, Deadline::Now) => Error::WouldBlock,
            (error, _) => error,
        })?;
        if entry != sync::Entry::Clean {
            self.parts.head.gate.make_consistent();
        }
        self.parts.table.sweep();
        let result = work();
        gate.disown(owner);
        Ok(result)
    }

    /// Waits until it is worth to try again.
    fn await_entry<H: Host>(
        &self,
        entry: &Entry,
        seen: Seen,
        owner: Owner,
        deadline: Deadline,
        patience: &mut Waiting<'_, H>,
    ) -> Result<()> {
        if seen.is_owned_by(owner) {
            return Err(if deadline == Deadline::Now { Error::WouldBlock } else { Error::Deadlock });
        }
        while patience.spin() {
            if entry.look() != seen {
                return Ok(());
            }
        }
        let turn = if deadline == Deadline::Now {
            patience.look_at(seen.holder())
        } else {
            let Some(announced) = entry.announce(seen) else { return Ok(()) };
            patience.sleep(&entry.futex(), announced.bits(), seen.holder())
        };
        match turn {
            Turn::Again => Ok(()),
            Turn::HolderGone => {
                self.bury(entry, seen);
                Ok(())
            }
            other => Err(self.failed(other, deadline, seen.holder())),
        }
    }

    /// Waits for the writers of single elements in a range that was just entered: new ones see the claim and back out.
    fn await_stripes(&self, range: &Range<usize>, me: u32, deadline: Deadline) -> Result<()> {
        let writer = |stripe: &Stripe| stripe.taken().filter(|taken| range.contains(&taken.index()));
        for stripe in self.stripes_of(range).filter(|stripe| writer(stripe).is_some()) {
            let mut patience = Patience::new(self.attached.member.host(), &stripe.watch, me, deadline);
            while let Some(taken) = writer(stripe) {
                self.await_stripe(stripe, taken, deadline, &mut patience)?;
            }
        }
        Ok(())
    }

    fn await_stripe<H: Host>(
        &self,
        stripe: &Stripe,
        taken: Taken,
        deadline: Deadline,
        patience: &mut Waiting<'_, H>,
    ) -> Result<()> {
        if patience.spin() {
            return Ok(());
        }
        let turn = if deadline == Deadline::Now {
            patience.look_at(taken.id())
        } else {
            let Some(announced) = stripe.announce(taken) else { return Ok(()) };
            patience.sleep(&stripe.futex(), announced.bits(), taken.id())
        };
        match turn {
            Turn::Again => Ok(()),
            Turn::HolderGone => self.recover_stripe(stripe, taken, deadline),
            other => Err(self.failed(other, deadline, taken.id())),
        }
    }

    /// Frees a stripe whose owner is gone, after its element was marked as torn if it may be. Idempotent.
    fn recover_stripe(&self, stripe: &Stripe, dead: Taken, deadline: Deadline) -> Result<()> {
        if !self.single {
            let index = dead.index();
            let marked = self.under_gate(deadline, || {
                // Whoever else recovered it did so under the gate, too.
                stripe.taken().is_none_or(|now| now.id() != dead.id() || now.index() != index)
                    || self.mark_torn(index..index + 1)
            })?;
            if !marked {
                let limit = self.most_guards();
                return Err(Error::TooManyGuards { object: self.attached.object(), limit });
            }
        }
        if let Some(now) = stripe.taken().filter(|now| now.id() == dead.id() && now.index() == dead.index()) {
            stripe.clear_dead(now, self.attached.member.host());
        }
        Ok(())
    }

    /// Enters a torn range; if all entries are taken, widens a torn one. Under the gate.
    fn mark_torn(&self, range: Range<usize>) -> bool {
        let table = &self.parts.table;
        let torn = || table.candidates().filter(|entry| entry.look().torn().is_some());
        if torn().any(|entry| entry.range().start <= range.start && range.end <= entry.range().end) {
            return true;
        }
        match table.prepare(&range) {
            Some(entry) => entry.enter_torn(),
            None => match torn().next() {
                Some(entry) => entry.widen(&range),
                None => return false,
            },
        }
        true
    }

    /// What of `range` may be torn: one range around it all.
    fn torn_in(&self, range: &Range<usize>) -> Option<Torn> {
        self.parts
            .table
            .overlapping(range.clone())
            .filter_map(|(entry, seen)| Some(Torn { range: entry.range(), cause: seen.torn()? }))
            .reduce(|a, b| Torn {
                range: a.range.start.min(b.range.start)..a.range.end.max(b.range.end),
                cause: a.cause,
            })
    }

    #[cold]
    fn failed(&self, turn: Turn, deadline: Deadline, participant: u32) -> Error {
        match turn {
            Turn::Unknown => Error::LivenessUnknown { space: self.attached.space_name(), participant },
            _ if deadline == Deadline::Now => Error::WouldBlock,
            _ => Error::TimedOut,
        }
    }

    /// The outcome that names a torn range.
    #[cold]
    pub(super) fn owner_died(&self, torn: &Torn) -> Error {
        let Torn { range: Range { start, end }, cause } = torn.clone();
        Error::RangeOwnerDied { object: self.attached.object(), start, end, cause }
    }

    /// Writes one element the short way: takes its stripe, looks for claims, writes. `false`: go the long way.
    #[inline]
    pub(super) fn write_short<T: Plain>(&self, index: usize, value: &T) -> bool {
        let me = self.attached.member.me();
        if me == 0 || index > MAX_INDEX {
            return false;
        }
        let stripe = self.stripe_of(index);
        let Some(taken) = stripe.take(me, index) else { return false };
        let table = &self.parts.table;
        if !table.is_empty() && table.overlapping(index..index + 1).next().is_some() {
            stripe.back_out(taken, self.attached.member.host());
            return false;
        }
        // Pair OVERWRITE: a reader without a claim that sees a byte written from here on sees the stripe taken, or counted.
        fence(Release);
        self.parts.elements.store(index * size_of::<T>(), bytemuck::bytes_of(value));
        stripe.give_back(taken, self.attached.member.host());
        true
    }

    /// A claim of a range that is not torn. Being told of a torn one needs no room in the table.
    pub(super) fn whole_claim(
        &self,
        range: Range<usize>,
        deadline: Deadline,
        purpose: Purpose,
    ) -> Result<Claim<'_>> {
        self.attached.member.join(|| self.attached.object(), purpose.action())?;
        if let Some(torn) = self.torn_in(&range) {
            return Err(self.owner_died(&torn));
        }
        let claim = self.claim(range, deadline, purpose)?;
        match &claim.torn {
            None => Ok(claim),
            Some(torn) => Err(self.owner_died(torn)),
        }
    }

    #[inline]
    fn stripe_of(&self, index: usize) -> &Stripe {
        let stripes = &*self.parts.stripes;
        &stripes[index >> self.group_shift & (stripes.len() - 1)]
    }

    /// The stripes of a range that is not empty, each once.
    #[inline]
    pub(super) fn stripes_of(&self, range: &Range<usize>) -> impl Iterator<Item = &Stripe> {
        let stripes = &*self.parts.stripes;
        let (first, last) = (range.start >> self.group_shift, (range.end - 1) >> self.group_shift);
        let count = (last - first + 1).min(stripes.len());
        (0..count).map(move |step| &stripes[(first + step) & (stripes.len() - 1)])
    }
}

impl Claim<'_> {
    /// Whether the claim is this process's: a forked child has copies of its parent's guards.
    pub(super) fn is_mine(&self) -> bool {
        self.core.attached.member.me() == self.owner.id()
    }

    /// Refuses a child that was forked while the claim was held, and would write without it.
    pub(super) fn require_mine(&self) -> Result<()> {
        if self.is_mine() {
            return Ok(());
        }
        Err(Error::Inherited { object: self.core.attached.object(), what: "turn" })
    }

    /// Declares what was torn within the claim consistent again.
    pub(super) fn mend(&mut self) -> Result<()> {
        if !self.is_mine() || self.torn.is_none() {
            return Ok(());
        }
        let core = self.core;
        let range = self.range.clone();
        match core.under_gate(Deadline::Never, || core.parts.table.mend(&range))? {
            Ok(()) => {
                self.torn = None;
                Ok(())
            }
            Err(outside) => {
                let cause = self.torn.as_ref().map_or(Cause::Died, |torn| torn.cause);
                debug_assert!(overlaps(&outside, &range));
                Err(core.owner_died(&Torn { range: outside, cause }))
            }
        }
    }

    /// The array.
    pub(super) fn core(&self) -> &Core {
        self.core
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_mine() {
            return;
        }
        let member = &self.core.attached.member;
        self.entry.leave(self.owner, self.panicked, member.host());
        // The bit of the entry is cleared at once if nobody has the gate; else by the next who does.
        let gate = &self.core.parts.head.gate;
        if gate.acquire_fast(self.owner) {
            self.core.parts.table.sweep();
            gate.release(member.host(), self.owner);
        }
    }
}
