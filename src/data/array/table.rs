//! The table of claims: which ranges of an array are held, and which a dead or panicked owner left torn.
//!
//! ```text
//! word  bit  0..30  id of the participant that holds the range; 0: nobody does
//!       bit  30     TORN: the last owner died or panicked while it held the range
//!       bit  31     WAITERS: somebody may sleep on the low half
//!       bit 32..63  token of the owner's thread
//!       bit  63     PANICKED: what TORN is due to
//! ```
//!
//! | state | leaves it by |
//! |---|---|
//! | free: 0 | `enter`, by whoever holds the gate |
//! | held: id and token | `leave` by its owner (to free or, in a panic, to torn); `tear` or `free_dead` by CAS from exactly this owner once it is gone |
//! | torn | `mend`, by whoever holds a claim that covers the range, or `join_torn` with another one; both under the gate |
//!
//! `used` has a bit for each entry that is not free, set before the entry and cleared lazily by whoever holds the gate: a bit
//! too many costs a look, a bit too few never happens. All changes under the gate are ordered so that a death
//! between any two leaves nothing to repair.
//!
//! Orderings, pair DEKKER: a writer of one element takes its stripe, then looks at `used` and the entries; a claimer
//! enters its range, then looks at the stripes. All four are SeqCst, so at least one of the two sees the other. A writer that
//! sees the claim backs out; a claimer that sees the writer waits for it.

use core::ops::{Deref, Range};

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};
use crate::cause::Cause;
use crate::park::{ALL, LowHalf};
use crate::participant::Host;
use crate::shm::view::{SharedSlice, Word};
use crate::sync::Owner;

const ID: u64 = (1 << 30) - 1;
const TORN: u64 = 1 << 30;
const WAITERS: u64 = 1 << 31;
const PANICKED: u64 = 1 << 63;
const OWNER: u64 = ID | (0x7fff_ffff << 32);

/// One claim.
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(super) struct Entry {
    word: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
    pub(super) watch: AtomicU32,
    /// 1: the holder only reads, so its death tears nothing and other readers need not wait for it.
    reading: AtomicU32,
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern is some state; ranges are compared, never used as bounds.
unsafe impl Word for Entry {}

documented_layout!(Entry { word, start, end, watch, reading });

/// An entry as it was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Seen {
    pub(super) fn is_free(self) -> bool {
        self.0 & !WAITERS == 0
    }

    pub(super) fn torn(self) -> Option<Cause> {
        (self.0 & TORN != 0).then_some(if self.0 & PANICKED != 0 { Cause::Panicked } else { Cause::Died })
    }

    pub(super) fn holder(self) -> u32 {
        (self.0 & ID) as u32
    }

    pub(super) fn is_owned_by(self, owner: Owner) -> bool {
        self.0 & OWNER == owner.bits()
    }

    /// Whether the elements of its `entry` are torn, or may be written by the holder.
    pub(super) fn may_change(self, entry: &Entry) -> bool {
        self.torn().is_some() || !entry.is_reading()
    }

    /// What a sleeper compares.
    pub(super) fn bits(self) -> u32 {
        self.0 as u32
    }
}

impl Entry {
    /// The entry as it is.
    #[inline]
    pub(super) fn look(&self) -> Seen {
        // SeqCst: pair DEKKER. Also the Acquire of `enter` (for the range) and of `leave` (for the data).
        Seen(self.word.load(SeqCst))
    }

    /// The range, as whoever entered it wrote it.
    #[inline]
    pub(super) fn range(&self) -> Range<usize> {
        // Relaxed: ordered by the word, see `look`. A range of another claim of the same entry is harmless: that claim
        // came after the look, and its claimer sees the looker's stripe.
        self.start.load(Relaxed) as usize..self.end.load(Relaxed) as usize
    }

    /// Whether the holder, which was looked at before, only reads.
    #[inline]
    pub(super) fn is_reading(&self) -> bool {
        // Acquire: a mark of another claim of the same entry came after the looked-at one was left: what that one wrote is seen.
        self.reading.load(Acquire) != 0
    }

    /// Marks the prepared range as one that is only read. Under the gate.
    pub(super) fn mark_reading(&self) {
        // Release: see `is_reading`.
        self.reading.store(1, Release);
    }

    /// Gives the range back.
    pub(super) fn leave(&self, owner: Owner, panicked: bool, host: &impl Host) {
        let next = if panicked { TORN | PANICKED } else { 0 };
        self.replace_owner(owner.bits(), next, host);
    }

    /// Marks the range of an owner that is gone; one of several who try does it.
    pub(super) fn tear(&self, seen: Seen, host: &impl Host) {
        self.replace_owner(seen.0 & OWNER, TORN, host);
    }

    /// Frees the entry of an owner that is gone and had no data; one of several who try does it.
    pub(super) fn free_dead(&self, seen: Seen, host: &impl Host) {
        self.replace_owner(seen.0 & OWNER, 0, host);
    }

    fn replace_owner(&self, owner: u64, next: u64, host: &impl Host) {
        let mut now = self.word.load(Relaxed);
        while now & OWNER == owner && now & TORN == 0 {
            // Release: pair CLAIM; the next claimer or reader sees what was written. Acquire: passes on what the dead had seen.
            match self.word.compare_exchange_weak(now, next, AcqRel, Relaxed) {
                Ok(_) => {
                    if now & WAITERS != 0 {
                        host.wake(&LowHalf(&self.word), ALL);
                    }
                    return;
                }
                Err(found) => now = found,
            }
        }
    }

    /// Announces a sleeper; `None` if the entry changed meanwhile.
    pub(super) fn announce(&self, seen: Seen) -> Option<Seen> {
        let announced = Seen(seen.0 | WAITERS);
        // Relaxed: orders nothing; `replace_owner` compares the whole word.
        (seen == announced || self.word.compare_exchange(seen.0, announced.0, Relaxed, Relaxed).is_ok())
            .then_some(announced)
    }

    /// What sleepers sleep on.
    pub(super) fn futex(&self) -> LowHalf<'_> {
        LowHalf(&self.word)
    }
}

/// The entries, their bits, and the count that readers without a lock compare.
#[derive(Clone)]
pub(super) struct Table<E = SharedSlice<Entry>, U = SharedSlice<AtomicU64>> {
    pub(super) entries: E,
    pub(super) used: U,
}

impl Table {
    /// Words of `used` for so many entries.
    pub(super) const fn words(entries: usize) -> usize {
        entries.div_ceil(64)
    }
}

impl<E: Deref<Target = [Entry]>, U: Deref<Target = [AtomicU64]>> Table<E, U> {
    /// Whether no range is held or torn, as far as one look at `used` tells.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // SeqCst: pair DEKKER.
        self.used.iter().all(|word| word.load(SeqCst) == 0)
    }

    /// The entries whose bit is set.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Entry> {
        let words = self.used.iter().enumerate();
        words.flat_map(move |(at, word)| {
            ones(word.load(SeqCst)).filter_map(move |bit| self.entries.get(at * 64 + bit))
        })
    }

    /// The entries that are held or torn and overlap `range`.
    pub(super) fn overlapping(&self, range: Range<usize>) -> impl Iterator<Item = (&Entry, Seen)> {
        self.candidates().filter_map(move |entry| {
            let seen = entry.look();
            (!seen.is_free() && overlaps(&entry.range(), &range)).then_some((entry, seen))
        })
    }

    /// The entries that are held or torn.
    pub(super) fn occupied(&self) -> impl Iterator<Item = (&Entry, Seen)> {
        self.entries.iter().map(|entry| (entry, entry.look())).filter(|(_, seen)| !seen.is_free())
    }

    /// Whether no entry is free.
    pub(super) fn is_full(&self) -> bool {
        self.entries.iter().all(|entry| !entry.look().is_free())
    }

    /// Whether a claim has to stand back: the last free entry is for what a dead holder leaves, until somebody did.
    pub(super) fn is_crowded(&self) -> bool {
        match self.entries.iter().position(|entry| entry.look().is_free()) {
            Some(at) if at + 1 < self.entries.len() => false,
            Some(_) => self.entries.iter().all(|entry| entry.look().torn().is_none()),
            None => true,
        }
    }

    /// Joins the two torn entries with the smallest gap into one. Under the gate.
    pub(super) fn join_torn(&self) {
        let mut torn: Vec<&Entry> =
            self.entries.iter().filter(|entry| entry.look().torn().is_some()).collect();
        torn.sort_by_key(|entry| entry.range().start);
        let gap = |pair: &&[&Entry]| pair[1].range().start.saturating_sub(pair[0].range().end);
        if let Some(&[kept, freed]) = torn.windows(2).min_by_key(gap) {
            kept.widen(&freed.range());
            // Release: who finds it free finds the other one wide.
            freed.word.store(0, Release);
        }
    }

    /// A free entry; its bit is set and its range is written, so that `enter` or `enter_torn` is one store. Under the gate.
    pub(super) fn prepare(&self, range: &Range<usize>) -> Option<&Entry> {
        let at = self.entries.iter().position(|entry| entry.look().is_free())?;
        let entry = &self.entries[at];
        entry.start.store(range.start as u64, Relaxed);
        entry.end.store(range.end as u64, Relaxed);
        entry.reading.store(0, Relaxed);
        // SeqCst: pair DEKKER; the bit comes before the word.
        self.used[at / 64].fetch_or(1 << (at % 64), SeqCst);
        Some(entry)
    }

    /// Clears the bits of free entries. Under the gate.
    pub(super) fn sweep(&self) {
        for (at, word) in self.used.iter().enumerate() {
            let mut stale = 0;
            for bit in ones(word.load(Relaxed)) {
                if self.entries.get(at * 64 + bit).is_none_or(|entry| entry.look().is_free()) {
                    stale |= 1 << bit;
                }
            }
            if stale != 0 {
                // Nobody but the holder of the gate makes free entries anything else. Release: who finds no bit does not look
                // at the entry, and sees all the same what its last holder wrote.
                word.fetch_and(!stale, Release);
            }
        }
    }

    /// Frees the torn entries that lie within `range`; tells one that does not. Under the gate, holding a claim of `range`.
    pub(super) fn mend(&self, range: &Range<usize>) -> Result<(), Range<usize>> {
        let torn = |entry: &Entry| entry.look().torn().is_some() && overlaps(&entry.range(), range);
        let outside = self.candidates().find(|entry| {
            let other = entry.range();
            torn(entry) && (other.start < range.start || other.end > range.end)
        });
        if let Some(entry) = outside {
            return Err(entry.range());
        }
        for entry in self.candidates().filter(|entry| torn(entry)) {
            // Release: who finds the entry free sees the repaired data.
            entry.word.store(0, Release);
        }
        Ok(())
    }
}

impl Entry {
    /// Holds the prepared range. Under the gate. `epoch` is what readers without a lock compare.
    pub(super) fn enter(&self, owner: Owner, epoch: &AtomicU64) {
        // SeqCst: pair DEKKER; the Release of the range.
        self.word.store(owner.bits(), SeqCst);
        // Pair EPOCH: a reader that loads the new epoch (Acquire) sees the entry; one that read a byte written behind the
        // fence finds a new epoch behind its own.
        epoch.fetch_add(1, Release);
        fence(Release);
    }

    /// Marks the prepared range as torn. Under the gate.
    pub(super) fn enter_torn(&self) {
        self.word.store(TORN, SeqCst);
    }

    /// Widens a torn entry. Under the gate.
    pub(super) fn widen(&self, by: &Range<usize>) {
        let range = self.range();
        // Relaxed: each store by itself only widens the range.
        self.start.store(range.start.min(by.start) as u64, Relaxed);
        self.end.store(range.end.max(by.end) as u64, Release);
    }
}

/// The numbers of the bits that are set, lowest first.
#[inline]
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(lowest as usize)
    })
}

#[inline]
pub(super) fn overlaps(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}
