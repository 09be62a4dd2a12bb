//! Reading without a claim: copy, and keep the copy if nobody wrote meanwhile.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::claims::{Core, Purpose, Torn};
use super::stripe::{Stripe, Taken};
use crate::atomic::{Ordering::*, fence, pause, yield_now};
use crate::cause::Cause;
use crate::error::{Error, Result};
use crate::participant::{Fate, Host};
use crate::time::Deadline;

/// How long a reader that may not write sleeps between two looks at a range that is being written.
const READER_SLICE_NS: u64 = 1_000_000;

/// How often a reader looks without a claim before it makes one.
const LOOKS: u32 = 16;

/// One look at a range without a claim.
enum Look {
    Whole,
    Disturbed,
    Busy,
}

impl Core {
    /// Copies `range` out, as it was at one instant.
    #[inline]
    pub(super) fn read(
        &self,
        range: Range<usize>,
        to: &mut [MaybeUninit<u8>],
        deadline: Deadline,
    ) -> Result<()> {
        match self.look(&range, to) {
            Look::Whole => Ok(()),
            _ => self.read_slow(range, to, deadline),
        }
    }

    #[cold]
    fn read_slow(&self, range: Range<usize>, to: &mut [MaybeUninit<u8>], deadline: Deadline) -> Result<()> {
        for _ in 0..LOOKS {
            match self.look(&range, to) {
                Look::Whole => return Ok(()),
                Look::Disturbed => pause(),
                Look::Busy => break,
            }
        }
        if !self.attached.member.may_write() {
            return self.read_patiently(range, to, deadline);
        }
        let claim = self.whole_claim(range, deadline, Purpose::Read)?;
        self.parts.elements.load(claim.range.start * self.size, to);
        Ok(())
    }

    /// Reading for a handle that may not write a byte, not even to wait.
    fn read_patiently(
        &self,
        range: Range<usize>,
        to: &mut [MaybeUninit<u8>],
        deadline: Deadline,
    ) -> Result<()> {
        let host = self.attached.member.host();
        // Whoever died writing one element by one store left the old one or the new one; only a writer frees the stripe.
        let in_the_way = |taken: Taken| {
            range.contains(&taken.index()) && !(self.single && host.fate(taken.id()) == Fate::Gone)
        };
        loop {
            match self.look_past(&range, to, in_the_way) {
                Look::Whole => return Ok(()),
                Look::Disturbed => yield_now(),
                Look::Busy => self.check_dead(&range)?,
            }
            if deadline.is_over() {
                return Err(if deadline == Deadline::Now { Error::WouldBlock } else { Error::TimedOut });
            }
            self.rest_before_looking(&range, deadline);
        }
    }

    /// A reader's pause, as long as somebody is in its way and at most one slice.
    fn rest_before_looking(&self, range: &Range<usize>, deadline: Deadline) {
        let host = self.attached.member.host();
        let mut overlapping = self.parts.table.overlapping(range.clone());
        if let Some((entry, seen)) = overlapping.find(|(entry, seen)| seen.may_change(entry)) {
            return host.wait(&entry.futex(), seen.bits(), deadline, READER_SLICE_NS);
        }
        let writing = |stripe: &Stripe| stripe.taken().filter(|taken| range.contains(&taken.index()));
        if let Some((stripe, taken)) =
            self.stripes_of(range).find_map(|stripe| Some((stripe, writing(stripe)?)))
        {
            host.wait(&stripe.futex(), taken.bits(), deadline, READER_SLICE_NS);
        }
    }

    /// Tells a reader of a writer in `range` that is gone or left it torn.
    fn check_dead(&self, range: &Range<usize>) -> Result<()> {
        let host = self.attached.member.host();
        let overlapping = self.parts.table.overlapping(range.clone());
        for (entry, seen) in overlapping.filter(|(entry, seen)| seen.may_change(entry)) {
            let cause = match seen.torn() {
                None if host.fate(seen.holder()) == Fate::Gone => Some(Cause::Died),
                torn => torn,
            };
            // Looked at again: the entry may have been left in good order since.
            if let Some(cause) = cause.filter(|_| entry.look() == seen) {
                return Err(self.owner_died(&Torn { range: entry.range(), cause }));
            }
        }
        for stripe in self.stripes_of(range) {
            let Some(taken) = stripe.taken().filter(|taken| range.contains(&taken.index())) else { continue };
            let gone = !self.single && host.fate(taken.id()) == Fate::Gone;
            if gone && stripe.taken() == Some(taken) {
                let range = taken.index()..taken.index() + 1;
                return Err(self.owner_died(&Torn { range, cause: Cause::Died }));
            }
        }
        Ok(())
    }

    /// Copies `range` without a claim and tells whether the copy is what it was at one instant.
    #[inline]
    fn look(&self, range: &Range<usize>, to: &mut [MaybeUninit<u8>]) -> Look {
        self.look_past(range, to, |taken| range.contains(&taken.index()))
    }

    /// As [`look`](Self::look); `in_the_way` says which writers of single elements disturb.
    #[inline]
    fn look_past(
        &self,
        range: &Range<usize>,
        to: &mut [MaybeUninit<u8>],
        in_the_way: impl Fn(Taken) -> bool,
    ) -> Look {
        // Acquire: pair EPOCH, see `table`.
        let epoch = self.parts.head.epoch.load(Acquire);
        let table = &self.parts.table;
        if !table.is_empty() && table.overlapping(range.clone()).any(|(entry, seen)| seen.may_change(entry)) {
            return Look::Busy;
        }
        // One load cannot be torn by one store, whoever holds the stripe.
        let alone = self.single && range.len() == 1;
        let mut sequences = [0; 16];
        if !alone {
            for (sequence, stripe) in sequences.iter_mut().zip(self.stripes_of(range)) {
                *sequence = stripe.sequence();
                if stripe.taken().is_some_and(&in_the_way) {
                    return Look::Busy;
                }
            }
        }
        self.parts.elements.load(range.start * self.size, to);
        // Acquire fence: pairs EPOCH and OVERWRITE.
        fence(Acquire);
        if self.parts.head.epoch.load(Relaxed) != epoch {
            return Look::Disturbed;
        }
        let undisturbed = alone
            || sequences.iter().zip(self.stripes_of(range)).all(|(&sequence, stripe)| {
                // The word first: its release published the count.
                !stripe.taken().is_some_and(&in_the_way) && stripe.sequence() == sequence
            });
        if undisturbed { Look::Whole } else { Look::Disturbed }
    }
}
