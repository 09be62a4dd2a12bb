//! The words of a reader-writer lock: one for the writer, and one for each process that reads.
//!
//! ```text
//! entry   bit  0..31   how many read guards the process holds through this entry
//!         bit  31      WAITING: the writer may sleep on the low half until the count is 0
//!         bit  32..62  id of the process; the entry stays its own while the count is 0, until another one needs it
//! ```
//!
//! | entry | leaves it by |
//! |---|---|
//! | 0: never used | a reader: CAS to (its id, 1) |
//! | (id, 0) | a reader of any process: CAS to (its id, 1) |
//! | (id, n) | readers of that process: n + 1, n - 1; the writer or a reader in need, once the id is gone: CAS to 0 or (its id, 1) |
//!
//! | `writer` | `active` | what it means |
//! |---|---|---|
//! | free | 0 | readers may enter; inconsistent: they and the writer are told what `poison` says |
//! | held | 0 | its holder waits for the readers to leave, or is a reader that found no entry |
//! | held | its holder's id | the holder is in the data |
//! | held by a dead one | 0 | nothing happened: whoever takes over declares `writer` consistent, unless `poison` is set |
//! | held by a dead one | not 0 | whoever takes over sets `poison`, then wipes `active` |
//!
//! A reader counts itself into its entry and then looks at `writer`; a writer takes `writer` and then looks at the entries
//! (pair GATE): one of them sees the other. A reader that sees a holder counts itself out again and waits; so a writer
//! waits only for those who were there before it. Only the holder of `writer` writes `active` and `poison`. Every row is
//! left by one store or compare-exchange.
//!
//! Orderings. Pair GATE is store, then load, on either side, which takes sequential consistency: at the reader both
//! operations are SeqCst, at the writer a SeqCst fence stands between them. What a writer wrote is seen by the next reader: it
//! releases `writer`, and the reader loads it. What a reader read is not overwritten early: it counts itself out with
//! Release, and the writer loads the count with Acquire (pair LEAVE).

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};
use crate::cause::Cause;
use crate::park::{ALL, LowHalf};
use crate::participant::{Fact, Fate, Host, RawFacts};
use crate::shm::view::Word;

use super::lock_word::{Entry, Fault, LockWord, Owner};
use super::wait::{Patience, Turn};
use crate::time::Deadline;

/// Processes that can read at the same time without taking turns; with the header they fill a page.
pub(super) const ENTRIES: usize = if cfg!(loom) { 2 } else { 56 };

const COUNT: u64 = (1 << 31) - 1;
const WAITING: u64 = 1 << 31;

const DIED: u32 = 1;
const PANICKED: u32 = 2;

/// What all readers look at; it is written only when a writer comes.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
struct RwHead {
    writer: LockWord,
    /// Entries that were ever used, one bit each; bits are only set.
    used: AtomicU64,
    active: AtomicU32,
    poison: AtomicU32,
    /// The writer that waits for readers; see [`Patience`].
    watch: AtomicU32,
    /// The reader that looks at the writer often.
    reader_watch: AtomicU32,
    reserved: [AtomicU64; 3],
}

/// One process's readers, on a cache line of their own.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
struct ReaderEntry {
    word: AtomicU64,
    reserved: [AtomicU64; 7],
}

/// A reader-writer lock in shared memory. All-zero is free.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(super) struct RwWord {
    head: RwHead,
    entries: [ReaderEntry; ENTRIES],
}

// SAFETY: (S6) atomics and words only, all-zero is valid, every pattern is some state; no index is read from them.
unsafe impl Word for RwWord {}

#[cfg(test)]
mod head_layout {
    use super::RwHead;
    documented_layout!(RwHead { writer, used, active, poison, watch, reader_watch, reserved });
}

#[cfg(test)]
mod entry_layout {
    use super::ReaderEntry;
    documented_layout!(ReaderEntry { word, reserved });
}

fn id(entry: u64) -> u32 {
    (entry >> 32) as u32 & ((1 << 30) - 1)
}

fn claimed(me: u32) -> u64 {
    u64::from(me) << 32
}

/// Readers.
impl RwWord {
    /// Where the thread `token` of `me` counts itself in first: threads are spread over lines.
    #[inline]
    pub(super) fn home(me: u32, token: u32) -> usize {
        let mixed = (me ^ token.rotate_left(16)).wrapping_mul(0x9e37_79b1);
        ((u64::from(mixed) * ENTRIES as u64) >> 32) as usize
    }

    /// Counts a reader into the entry `index`, if that is `me`'s.
    #[inline]
    pub(super) fn enter_at(&self, index: usize, me: u32) -> bool {
        let idle = claimed(me);
        let mut now = idle;
        // The first attempt without a look: mostly nobody of this process reads through this entry.
        loop {
            // SeqCst: pair GATE.
            match self.entries[index].word.compare_exchange(now, now + 1, SeqCst, Relaxed) {
                Ok(_) => return true,
                Err(found) if found & !(COUNT | WAITING) == idle && found & COUNT < COUNT => now = found,
                Err(_) => return false,
            }
        }
    }

    /// Counts a reader into any entry: an unused one at `home`, `me`'s own, another unused or idle one, or a dead process's;
    /// `None` if all are in use.
    #[cold]
    pub(super) fn enter(&self, host: &impl Host, me: u32, home: usize) -> Option<usize> {
        let around = || (home..ENTRIES).chain(0..home);
        if self.claim(home, me, |now| now == 0) {
            return Some(home);
        }
        // Relaxed: the exchange decides.
        let own = |index: usize| id(self.entries[index].word.load(Relaxed)) == me;
        if let Some(index) = around().find(|&index| own(index) && self.enter_at(index, me)) {
            return Some(index);
        }
        let idle = |now: u64| now & COUNT == 0;
        let idle_or_dead = |now: u64| idle(now) || host.fate(id(now)) == Fate::Gone;
        around()
            .find(|&index| self.claim(index, me, |now| now == 0))
            .or_else(|| around().find(|&index| self.claim(index, me, idle)))
            .or_else(|| around().find(|&index| self.claim(index, me, idle_or_dead)))
    }

    /// Makes an entry `me`'s, with one reader, if `may` says so of what is there.
    fn claim(&self, index: usize, me: u32, may: impl Fn(u64) -> bool) -> bool {
        let word = &self.entries[index].word;
        // Relaxed: the exchange decides.
        let now = word.load(Relaxed);
        if !may(now) {
            return false;
        }
        // SeqCst, and before the claim: a writer that does not see the bit is seen by the reader (pair GATE).
        if self.head.used.load(SeqCst) & 1 << index == 0 {
            self.head.used.fetch_or(1 << index, SeqCst);
        }
        // A writer that waits for a dead process's readers here notices at the end of its slice. SeqCst: pair GATE.
        word.compare_exchange(now, claimed(me) | 1, SeqCst, Relaxed).is_ok()
    }

    /// Counts a reader out.
    #[inline]
    pub(super) fn leave(&self, host: &impl Host, index: usize) {
        // Release: pair LEAVE.
        let before = self.entries[index].word.fetch_sub(1, Release);
        if before & (COUNT | WAITING) == WAITING | 1 {
            self.wake_writer(host, index, before - 1);
        }
    }

    #[cold]
    fn wake_writer(&self, host: &impl Host, index: usize, now: u64) {
        let word = &self.entries[index].word;
        // Relaxed: the flag orders nothing; a failure means that somebody entered or announced itself meanwhile.
        let _ = word.compare_exchange(now, now & !WAITING, Relaxed, Relaxed);
        host.wake(&LowHalf(word), ALL);
    }

    /// Whether readers may stay: nobody holds `writer`. The caller has counted itself in.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        // SeqCst: pair GATE.
        self.head.writer.is_clean_and_free()
    }

    /// As [`is_open`](Self::is_open), and what readers are told, if nobody holds `writer`.
    pub(super) fn look_in(&self) -> Option<Option<Cause>> {
        if self.is_open() {
            return Some(None);
        }
        let now = self.head.writer.snapshot();
        if now.holder != 0 || now.handed_over {
            return None;
        }
        // Acquire: whoever poisoned the lock released `writer` after it.
        fence(Acquire);
        Some(now.inconsistent.and_then(|_| self.poison()))
    }

    /// How readers wait for the writer.
    pub(super) fn reader_patience<'a, H: Host>(
        &'a self,
        host: &'a H,
        me: u32,
        deadline: Deadline,
    ) -> Patience<'a, H> {
        Patience::new(host, &self.head.reader_watch, me, deadline)
    }

    /// Wakes all who sleep on `writer`, for a reader that was woken and does not take it.
    pub(super) fn pass_on(&self, host: &impl Host) {
        host.wake(&self.head.writer.futex(), ALL);
    }

    /// How many read guards there are, as a hint.
    pub(super) fn readers(&self) -> u64 {
        self.held_entries().map(|(_, count)| count).sum()
    }

    /// Processes that read, and how many guards they hold in one entry.
    fn held_entries(&self) -> impl Iterator<Item = (u32, u64)> {
        // Relaxed: a hint.
        let now = self.entries.iter().map(|entry| entry.word.load(Relaxed));
        now.map(|now| (id(now), now & COUNT)).filter(|&(_, count)| count != 0)
    }
}

/// The writer.
impl RwWord {
    /// The word that the writer holds.
    #[inline]
    pub(super) fn writer(&self) -> &LockWord {
        &self.head.writer
    }

    /// Finds out what the last holder of `writer` left; the caller has just taken it.
    #[inline]
    pub(super) fn settle(&self, entry: Entry) -> Option<Cause> {
        if entry == Entry::Clean { None } else { self.settle_slow() }
    }

    #[cold]
    fn settle_slow(&self) -> Option<Cause> {
        // Relaxed loads: `writer` orders its holders. Release stores: whoever dies here leaves a prefix of them.
        if self.head.active.load(Relaxed) != 0 {
            self.head.poison.store(DIED, Release);
            self.head.active.store(0, Release);
        }
        let cause = self.poison();
        if cause.is_none() {
            // The dead one never reached the data.
            self.head.writer.make_consistent();
        }
        cause
    }

    fn poison(&self) -> Option<Cause> {
        match self.head.poison.load(Relaxed) {
            0 => None,
            PANICKED => Some(Cause::Panicked),
            _ => Some(Cause::Died),
        }
    }

    /// Waits until all readers have left; dead ones are struck out. The caller holds `writer`.
    pub(super) fn drain(&self, host: &impl Host, me: u32, deadline: Deadline) -> Result<(), Fault> {
        // SeqCst: pair GATE.
        fence(SeqCst);
        let mut used = self.head.used.load(Relaxed);
        while used != 0 {
            let index = used.trailing_zeros() as usize;
            used &= used - 1;
            // A bit of a broken segment that stands for no entry stands for nobody.
            let Some(entry) = self.entries.get(index) else { continue };
            // Acquire: pair LEAVE.
            if entry.word.load(Acquire) & COUNT != 0 {
                self.drain_entry(&entry.word, host, me, deadline)?;
            }
        }
        Ok(())
    }

    #[cold]
    fn drain_entry(
        &self,
        word: &AtomicU64,
        host: &impl Host,
        me: u32,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        let mut patience = Patience::new(host, &self.head.watch, me, deadline);
        loop {
            // Acquire: pair LEAVE.
            let now = word.load(Acquire);
            if now & COUNT == 0 {
                return Ok(());
            }
            if patience.spin() {
                continue;
            }
            let turn = if deadline == Deadline::Now {
                patience.look_at(id(now))
            } else {
                // Relaxed: the announcement orders nothing; the last reader sees it because it changes the word it counts in.
                let announced = now | WAITING;
                if now != announced && word.compare_exchange(now, announced, Relaxed, Relaxed).is_err() {
                    continue;
                }
                patience.sleep(&LowHalf(word), announced as u32, id(now))
            };
            match turn {
                Turn::Again => {}
                Turn::HolderGone => {
                    // Acquire: what the dead readers' process did is over; ids never come back, so nobody else is struck out.
                    let seen = word.load(Relaxed);
                    if id(seen) == id(now) {
                        let _ = word.compare_exchange(seen, 0, Acquire, Relaxed);
                    }
                }
                Turn::TimedOut => return Err(Fault::TimedOut),
                Turn::Unknown => return Err(Fault::Unknown(id(now))),
            }
        }
    }

    /// Whether somebody alive reads; does not disturb readers as taking `writer` would.
    pub(super) fn has_live_reader(&self, host: &impl Host) -> bool {
        self.held_entries().any(|(reader, _)| host.fate(reader) != Fate::Gone)
    }

    /// The holder of `writer` goes into the data.
    #[inline]
    pub(super) fn begin(&self, me: u32) {
        // Release: the readers' exits, which were seen before, stay before it.
        self.head.active.store(me, Release);
    }

    /// The holder of `writer` leaves the data in good order.
    #[inline]
    pub(super) fn end(&self) {
        // Release: what it wrote comes before it.
        self.head.active.store(0, Release);
    }

    /// The holder of `writer` leaves the data by a panic.
    #[cold]
    pub(super) fn end_panicked(&self) {
        // Release: in this order, should the process die in between.
        self.head.poison.store(PANICKED, Release);
        self.head.active.store(0, Release);
    }

    /// The holder of `writer` declares the data consistent; `active` still says that it is inside.
    pub(super) fn make_consistent(&self) {
        // Release: the repair comes before it.
        self.head.poison.store(0, Release);
        self.head.writer.make_consistent();
    }

    /// Waits one turn for the holder of `writer` to leave it.
    pub(super) fn wait_for_writer<H: Host>(
        &self,
        patience: &mut Patience<'_, H>,
        me: Owner,
        deadline: Deadline,
    ) -> Result<Turn, Fault> {
        self.head.writer.wait_turn(patience, me, deadline)
    }

    /// The words as whoever inspects them shall read them.
    pub(super) fn facts(&self) -> RawFacts {
        let writer = self.head.writer.snapshot();
        let inconsistent = match self.poison() {
            None => Fact::Nothing,
            Some(Cause::Panicked) => Fact::Text("panicked".into()),
            Some(_) => Fact::Text("died".into()),
        };
        let readers = self.held_entries().map(|(reader, count)| {
            Fact::Part(vec![("holder", Fact::participant(reader)), ("guards", Fact::Number(count))])
        });
        vec![
            ("holder", Fact::participant(writer.holder)),
            ("active", Fact::Flag(self.head.active.load(Relaxed) != 0)),
            ("inconsistent", inconsistent),
            ("waiters", Fact::Flag(writer.waiters)),
            ("guards", Fact::Number(self.readers())),
            ("readers", Fact::List(readers.collect())),
        ]
    }
}
