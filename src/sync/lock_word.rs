//! The lock word: 64 bits that hold their owner.
//!
//! ```text
//! bit   0..30   id of the participant that holds it; 0: nobody does
//! bit   30      INCONSISTENT: an owner died or panicked, and nobody has called make_consistent yet
//! bit   31      WAITERS: somebody may sleep on the low half
//! bit  32..63   token of the owner's thread; HANDED_OVER: held by nobody in particular
//! bit   63      PANICKED: what INCONSISTENT is due to
//! ```
//!
//! | state | low half | high half | leaves it by |
//! |---|---|---|---|
//! | free | 0 | 0 | `acquire`: CAS to own |
//! | free, inconsistent | INCONSISTENT | 0 or PANICKED | `acquire`, which tells the caller |
//! | own | id | token | `release` by that thread (`release_clean`: by a swap, where only WAITERS can have joined the owner); `hand_over`; takeover by CAS from exactly this word once the id is gone |
//! | handed over | 0 | HANDED_OVER | `release_handed_over` by anybody; never by a death |
//!
//! WAITERS and INCONSISTENT may be set in every state (WAITERS not in a free one for long). Each row is left by ONE
//! compare-exchange, so a death leaves the old state or the new one. Ids are never reused: no ABA.
//!
//! Orderings. Promise: what an owner wrote is seen by the next owner. `release` stores with Release, `acquire` reads
//! with Acquire (pair LOCK). A takeover reads the word the dead owner wrote; what the owner did before its death is ordered by
//! the kernel: it frees the owner's byte after the owner's last instruction, and the probe reads it there. The CAS is
//! Acquire all the same, for what the owner before published.

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::cause::Cause;
use crate::park::{AnyFutex, Expected, LowHalf};
use crate::participant::{Fact, Fate, Host, RawFacts};
use crate::shm::view::Word;
use crate::sync::wait::{Patience, Turn};
use crate::time::Deadline;

const ID: u64 = (1 << 30) - 1;
const INCONSISTENT: u64 = 1 << 30;
const WAITERS: u64 = 1 << 31;
const TOKEN: u64 = 0x7fff_ffff << 32;
const PANICKED: u64 = 1 << 63;
/// A token no thread has: the holding belongs to nobody.
const HANDED_OVER: u64 = 0x7fff_ffff << 32;
/// A token no thread has: some task of the process holds the word. One of them at a time, so the name is unambiguous.
#[cfg(feature = "async")]
pub(crate) const TASK_TOKEN: u32 = 0x7fff_fffe;
/// What says who holds the word.
const OWNER: u64 = ID | TOKEN;
/// What says how the last owner left.
const MARKS: u64 = INCONSISTENT | PANICKED;

/// A thread of a participant, as lock words name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner(u64);

impl Owner {
    /// The thread with this token of the participant `id`, which is not 0.
    #[inline]
    pub(crate) fn new(id: u32, token: u32) -> Self {
        Owner(u64::from(token) << 32 | u64::from(id))
    }

    /// As words hold it: id in bits 0..30, token in bits 32..63.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The participant.
    #[inline]
    pub(crate) fn id(self) -> u32 {
        (self.0 & ID) as u32
    }
}

/// How the lock was got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// The last owner left it in good order.
    Clean,
    /// It is the caller's, but what it protects may be inconsistent.
    Inconsistent(Cause),
}

/// Why the lock was not got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The deadline passed while somebody alive held it.
    TimedOut,
    /// The calling thread holds it.
    Deadlock,
    /// It cannot be told whether the holder lives.
    Unknown(u32),
}

/// Why nothing was released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotReleased {
    /// Somebody's guard holds it.
    HeldByGuard,
    /// Nobody holds it.
    NotHeld,
}

/// What a reader of the word sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    /// The participant that holds it; 0: nobody.
    pub(crate) holder: u32,
    pub(crate) handed_over: bool,
    pub(crate) inconsistent: Option<Cause>,
    pub(crate) waiters: bool,
    /// The low half as it is, to sleep on.
    pub(crate) bits: u32,
}

/// A lock in shared memory. All-zero is free.
#[derive(Debug)]
#[cfg_attr(any(loom, test), derive(Default))]
#[repr(C)]
pub(crate) struct LockWord {
    word: AtomicU64,
    /// The waiter that looks at the holder often; see [`Patience`].
    watch: AtomicU32,
    reserved: AtomicU32,
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern is some state.
unsafe impl Word for LockWord {}

documented_layout!(LockWord { word, watch, reserved });

impl LockWord {
    /// Takes a word that is free and in good order; the inlined half of `acquire`.
    #[inline]
    pub(crate) fn acquire_fast(&self, me: Owner) -> bool {
        // Acquire: pair LOCK. Relaxed on failure: nothing was taken.
        self.word.compare_exchange(0, me.0, Acquire, Relaxed).is_ok()
    }

    /// Takes the word, waiting until `deadline` if need be; takes over from a holder that is gone.
    #[cold]
    pub(crate) fn acquire_slow(
        &self,
        host: &impl Host,
        me: Owner,
        deadline: Deadline,
    ) -> Result<Entry, Fault> {
        let mut patience = Patience::new(host, &self.watch, me.id(), deadline);
        // Whoever slept may leave other sleepers behind: its release must wake.
        let mut slept = 0;
        loop {
            let now = self.word.load(Relaxed);
            if now & OWNER == 0 {
                // Acquire: pair LOCK.
                if self
                    .word
                    .compare_exchange_weak(now, now & (MARKS | WAITERS) | me.0 | slept, Acquire, Relaxed)
                    .is_ok()
                {
                    return Ok(entry(now));
                }
                continue;
            }
            if now & OWNER == me.0 {
                return Err(if deadline == Deadline::Now { Fault::TimedOut } else { Fault::Deadlock });
            }
            if patience.spin() {
                continue;
            }
            let turn = if deadline == Deadline::Now {
                patience.look_at(holder(now))
            } else {
                // Relaxed: the announcement orders nothing; `release` sees it because it changes the word it compares.
                if now & WAITERS == 0
                    && self.word.compare_exchange(now, now | WAITERS, Relaxed, Relaxed).is_err()
                {
                    continue;
                }
                slept = WAITERS;
                patience.sleep(&LowHalf(&self.word), (now | WAITERS) as u32, holder(now))
            };
            match turn {
                Turn::Again => {}
                Turn::HolderGone => {
                    if self.take_over(now, me) {
                        return Ok(Entry::Inconsistent(Cause::Died));
                    }
                }
                Turn::TimedOut => return Err(Fault::TimedOut),
                Turn::Unknown => return Err(Fault::Unknown(holder(now))),
            }
        }
    }

    /// Takes the word if nobody has it; with `slept`, the caller may leave other sleepers behind.
    pub(crate) fn acquire_free(&self, me: Owner, slept: bool) -> Option<Entry> {
        let slept = if slept { WAITERS } else { 0 };
        let mut now = self.word.load(Relaxed);
        while now & OWNER == 0 {
            let mine = now & (MARKS | WAITERS) | me.0 | slept;
            // Acquire: pair LOCK.
            match self.word.compare_exchange_weak(now, mine, Acquire, Relaxed) {
                Ok(_) => return Some(entry(now)),
                Err(found) => now = found,
            }
        }
        None
    }

    /// Takes the word if nobody has it or its holder is gone; the error is a holder of whom nobody can tell.
    pub(crate) fn acquire_gone(
        &self,
        host: &impl Host,
        me: Owner,
        slept: bool,
    ) -> Result<Option<Entry>, u32> {
        let now = self.word.load(Relaxed);
        if now & OWNER == 0 {
            return Ok(self.acquire_free(me, slept));
        }
        match host.fate(holder(now)) {
            Fate::Alive => Ok(None),
            Fate::Unknown => Err(holder(now)),
            Fate::Gone => Ok(self.take_over(now, me).then_some(Entry::Inconsistent(Cause::Died))),
        }
    }

    /// Announces a sleeper: what the [futex](Self::futex) holds from then on; `None` if nobody has the word.
    pub(crate) fn announce(&self) -> Option<u32> {
        let mut now = self.word.load(Relaxed);
        while now & OWNER != 0 {
            if now & WAITERS != 0 {
                return Some(now as u32);
            }
            // Relaxed: as in `acquire_slow`.
            match self.word.compare_exchange_weak(now, now | WAITERS, Relaxed, Relaxed) {
                Ok(_) => return Some((now | WAITERS) as u32),
                Err(found) => now = found,
            }
        }
        None
    }

    /// Passes on a wake-up that may have been spent on a sleeper that does not take the word. Not needed while the word says
    /// WAITERS: then the next release wakes somebody who still sleeps.
    pub(crate) fn pass_on(&self, host: &impl Host) {
        // Relaxed: the release that woke the caller had cleared WAITERS before, so only a later announcement is seen here.
        if self.word.load(Relaxed) & WAITERS == 0 {
            host.wake(&LowHalf(&self.word), 1);
        }
    }

    /// What a sleeper sleeps on after it was [announced](Self::announce).
    pub(crate) fn expect(&self, bits: u32) -> Expected<'_> {
        Expected { word: AnyFutex::Low(&self.word), bits }
    }

    /// Whether `me` has it.
    pub(crate) fn is_held_by(&self, me: Owner) -> bool {
        // Relaxed: true only for what the caller itself wrote.
        self.word.load(Relaxed) & OWNER == me.0
    }

    /// Takes the word from the owner in `seen`, which is gone; one of several who try wins.
    fn take_over(&self, seen: u64, me: Owner) -> bool {
        let mut now = self.word.load(Relaxed);
        // Another waiter may have set WAITERS since; the owner itself changes nothing any more.
        while now & OWNER == seen & OWNER {
            let mine = me.0 | INCONSISTENT | WAITERS;
            match self.word.compare_exchange_weak(now, mine, Acquire, Relaxed) {
                Ok(_) => return true,
                Err(found) => now = found,
            }
        }
        false
    }

    /// Gives the word back; `false` if it is not the caller's (a forked child's copy of its parent's guard).
    #[inline]
    pub(crate) fn release(&self, host: &impl Host, me: Owner) -> bool {
        // Release: pair LOCK.
        self.word.compare_exchange(me.0, 0, Release, Relaxed).is_ok() || self.release_slow(host, me, 0)
    }

    /// Gives the word back as a step in one total order (SeqCst) with the announcements of sleepers: for owners who look
    /// at an event count afterwards. Whoever announces itself, and then [looks](Self::look_announced) at this word, either sees
    /// what the owner published, or is seen by the owner.
    #[inline]
    pub(crate) fn release_announcing(&self, host: &impl Host, me: Owner) -> bool {
        // SeqCst: pair ANNOUNCE; it is also the Release of pair LOCK.
        self.word.compare_exchange(me.0, 0, SeqCst, Relaxed).is_ok() || self.release_slow(host, me, 0)
    }

    /// A sleeper's last look before it sleeps; see [`release_announcing`](Self::release_announcing).
    #[inline]
    pub(crate) fn look_announced(&self) {
        // SeqCst: pair ANNOUNCE; the Acquire in it lets the caller see what the last owner published.
        self.word.load(SeqCst);
    }

    /// Gives back a word that the caller holds for certain and that carried no mark when it was taken.
    ///
    /// Nobody but its living owner changes such a word, except by announcing a sleeper. So nothing needs to be compared, and a
    /// swap is one cache-line cycle shorter than a compare-exchange.
    #[inline]
    pub(crate) fn release_clean(&self, host: &impl Host, me: Owner) {
        // Release: pair LOCK.
        let was = self.word.swap(0, Release);
        // In the models only: elsewhere a hostile program may have written the word.
        if cfg!(any(loom, test)) {
            assert_eq!(was & !WAITERS, me.0, "only the owner of a clean word may swap it");
        }
        if was != me.0 {
            self.wake_one(host);
        }
    }

    #[cold]
    fn wake_one(&self, host: &impl Host) {
        host.wake(&LowHalf(&self.word), 1);
    }

    /// Gives the word back and marks what it protects as inconsistent.
    #[cold]
    pub(crate) fn release_panicked(&self, host: &impl Host, me: Owner) -> bool {
        self.release_slow(host, me, MARKS)
    }

    #[cold]
    fn release_slow(&self, host: &impl Host, me: Owner, marks: u64) -> bool {
        self.leave(host, me.0, marks).is_ok()
    }

    /// From `owner`'s holding to free, keeping and adding marks; wakes one sleeper. The error is the word as it is.
    fn leave(&self, host: &impl Host, owner: u64, marks: u64) -> Result<(), u64> {
        let mut now = self.word.load(Relaxed);
        loop {
            if now & OWNER != owner {
                return Err(now);
            }
            // Release: pair LOCK. SeqCst: pair ANNOUNCE, of `release_announcing`.
            match self.word.compare_exchange_weak(now, now & MARKS | marks, SeqCst, Relaxed) {
                Ok(_) => break,
                Err(found) => now = found,
            }
        }
        if now & WAITERS != 0 {
            host.wake(&LowHalf(&self.word), 1);
        }
        Ok(())
    }

    /// Declares what the word protects consistent; the caller holds it.
    pub(crate) fn make_consistent(&self) {
        // Relaxed: the next owner sees the repaired data through pair LOCK.
        self.word.fetch_and(!MARKS, Relaxed);
    }

    /// Turns the caller's holding into one that `release_handed_over` ends; `false` if it is not the caller's.
    pub(crate) fn hand_over(&self, me: Owner) -> bool {
        let mut now = self.word.load(Relaxed);
        while now & OWNER == me.0 {
            // Release: what the owner wrote is seen by whoever gets the lock after `release_handed_over`, whose
            // compare-exchange reads this store and passes it on (a release sequence of read-modify-writes).
            match self.word.compare_exchange_weak(now, now & !OWNER | HANDED_OVER, Release, Relaxed) {
                Ok(_) => return true,
                Err(found) => now = found,
            }
        }
        false
    }

    /// Ends a handed-over holding, whoever began it.
    pub(crate) fn release_handed_over(&self, host: &impl Host) -> Result<(), NotReleased> {
        self.leave(host, HANDED_OVER, 0)
            .map_err(|now| if now & OWNER == 0 { NotReleased::NotHeld } else { NotReleased::HeldByGuard })
    }

    /// Whether it is free, in good order, and nobody waits for it.
    #[inline]
    pub(crate) fn is_clean_and_free(&self) -> bool {
        // SeqCst, which includes Acquire (pair LOCK): for who announces itself elsewhere before it looks here.
        self.word.load(SeqCst) == 0
    }

    /// Waits one turn for the holder to leave the word, on behalf of `me`, who does not take it. Whoever is woken here and goes
    /// its way must wake the others: a release wakes one.
    pub(crate) fn wait_turn<H: Host>(
        &self,
        patience: &mut Patience<'_, H>,
        me: Owner,
        deadline: Deadline,
    ) -> Result<Turn, Fault> {
        let now = self.word.load(Relaxed);
        if now & OWNER == 0 {
            return Ok(Turn::Again);
        }
        if now & OWNER == me.0 && deadline != Deadline::Now {
            return Err(Fault::Deadlock);
        }
        if patience.spin() {
            return Ok(Turn::Again);
        }
        let turn = if deadline == Deadline::Now {
            patience.look_at(holder(now))
        } else {
            // Relaxed: the announcement orders nothing; `release` sees it because it changes the word it compares.
            if now & WAITERS == 0 && self.word.compare_exchange(now, now | WAITERS, Relaxed, Relaxed).is_err()
            {
                return Ok(Turn::Again);
            }
            patience.sleep(&LowHalf(&self.word), (now | WAITERS) as u32, holder(now))
        };
        match turn {
            Turn::Unknown => Err(Fault::Unknown(holder(now))),
            turn => Ok(turn),
        }
    }

    /// What its waiters sleep on.
    pub(crate) fn futex(&self) -> LowHalf<'_> {
        LowHalf(&self.word)
    }

    /// The word as it is.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.word.load(Relaxed);
        let handed_over = now & OWNER == HANDED_OVER;
        Snapshot {
            holder: if handed_over { 0 } else { holder(now) },
            handed_over,
            inconsistent: match entry(now) {
                Entry::Clean => None,
                Entry::Inconsistent(cause) => Some(cause),
            },
            waiters: now & WAITERS != 0,
            bits: now as u32,
        }
    }

    /// Whether it is held or inconsistent.
    pub(crate) fn is_worth_a_word(&self) -> bool {
        self.word.load(Relaxed) & (OWNER | INCONSISTENT) != 0
    }

    /// The word as whoever inspects it shall read it.
    pub(crate) fn facts(&self) -> RawFacts {
        let now = self.snapshot();
        vec![
            ("holder", Fact::participant(now.holder)),
            ("handed_over", Fact::Flag(now.handed_over)),
            ("inconsistent", now.inconsistent.map_or(Fact::Nothing, |cause| Fact::Text(cause.to_string()))),
            ("waiters", Fact::Flag(now.waiters)),
            // Relaxed: a hint for display.
            ("watcher", Fact::participant(self.watch.load(Relaxed))),
        ]
    }
}

fn holder(word: u64) -> u32 {
    (word & ID) as u32
}

fn entry(word: u64) -> Entry {
    match (word & INCONSISTENT != 0, word & PANICKED != 0) {
        (false, _) => Entry::Clean,
        (true, false) => Entry::Inconsistent(Cause::Died),
        (true, true) => Entry::Inconsistent(Cause::Panicked),
    }
}
