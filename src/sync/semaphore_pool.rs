//! The pool: what both semaphores are made of.
//!
//! A permit lies in one of two kinds of places and never moves between them: in a [slot](super::semaphore_slots), which is
//! the fast way and takes up to 256 permits, or in the [bank](super::semaphore_bank), which takes any number.
//! Who owns a permit is written where it lies, so what a dead participant owned is found and freed by whoever lacks a permit.

use std::sync::Arc;
use std::time::Duration;

use crate::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::error::{Error, Result};
use crate::park;
use crate::participant::{Attached, Body, Host, Plan, PlanFault};
use crate::shm::segment::Segment;
use crate::shm::view::{Shared, SharedSlice, Word};
use crate::sys;
use crate::time::Deadline;

use super::event_count::EventCount;
use super::lock_word::{Fault, Owner};
use super::semaphore::{PermitError, SemaphorePermit};
use super::semaphore_bank::{Bank, BankWord, Books, holding};
use super::semaphore_slots::{AREA, Inquest, Layout, Slots};
use super::wait::{Patience, Turn};

/// The most permits that can be free.
pub(super) const MOST: u32 = i32::MAX as u32;

/// Accounts of a semaphore whose permits fit into slots at first: it fits into a page.
const FEW_ACCOUNTS: usize = 336;
/// Accounts of any other: one for each participant a space can have.
const MANY_ACCOUNTS: usize = 4096;

/// A place is a slot's index, or an account's index and this bit.
const IN_BANK: u32 = 1 << 31;

/// How many owners a waiter asks for after a sleep: about 10 microseconds.
const INQUEST: usize = 32;
/// A waiter that is woken all the time still looks for the dead this often.
const INQUEST_EVERY_NS: u64 = 4_000_000;
/// How long `try_` forms wait for the bank's lock, under which nobody sleeps: long enough for a holder that lost its core, and
/// for whoever sleeps in naps, as on systems without futexes, and finds the lock taken at the end of many of them.
const BRIEFLY_NS: u64 = 200_000_000;
/// How often in a row `try_` forms wait so long before they say that there is no permit: 5 seconds. On a crowded machine a thread
/// may come too late for the lock several times, or its holder may wait for a core.
const TRY_PATIENCE: u32 = 25;
/// The same for timed forms, whose time is over.
const TIMED_PATIENCE: u32 = 1;
/// How often a look through all places is repeated because something came back meanwhile.
const LOOKS: u32 = 64;

/// What precedes the slots.
#[repr(C)]
pub(super) struct SemaphoreHead {
    /// Notified when a permit comes back; in a bounded semaphore outdated when one is left out.
    pub(super) events: EventCount,
    /// The waiter that looks for the dead often; see [`Patience`].
    watch: AtomicU32,
    /// Permits at first, fixed at creation; a bounded semaphore never has more.
    initial: AtomicU32,
    /// Where the next look for the dead begins; a hint.
    cursor: AtomicU32,
    bank: BankWord,
    reserved: [AtomicU64; 5],
}

// SAFETY: (S6) atomics only, all-zero is a semaphore without permits; `initial` is checked when attached, and every
// index that comes out of other fields is checked where it is used.
unsafe impl Word for SemaphoreHead {}

documented_layout!(SemaphoreHead { events, watch, initial, cursor, bank, reserved });

const SLOTS_AT: usize = size_of::<SemaphoreHead>();
const ACCOUNTS_AT: usize = SLOTS_AT + AREA * size_of::<AtomicU32>();

/// What a look for a permit brought.
enum Find {
    /// One, taken.
    Place(u32),
    /// None is free.
    Nothing,
    /// The bank has some, and could not be opened in time.
    Busy,
}

/// The words of one semaphore.
#[derive(Clone)]
pub(super) struct Words {
    pub(super) head: Shared<SemaphoreHead>,
    slots: SharedSlice<AtomicU32>,
    accounts: SharedSlice<AtomicU64>,
    /// Permits at first.
    pub(super) initial: u32,
    layout: Layout,
}

/// The permits of one semaphore.
#[derive(Clone)]
pub(super) struct Pool {
    words: Words,
    attached: Attached,
    bounded: bool,
}

fn accounts(initial: u32) -> usize {
    if initial as usize <= AREA { FEW_ACCOUNTS } else { MANY_ACCOUNTS }
}

impl Words {
    /// The words of the semaphore in a published segment.
    pub(super) fn of(segment: &Arc<Segment>, bounded: bool) -> Result<Self> {
        let head = Shared::<SemaphoreHead>::new(segment, 0)?;
        // Relaxed: written before publication, read once, and checked like any hostile number.
        let initial = head.initial.load(Relaxed);
        if initial > MOST {
            return Err(Error::NotASegment {
                object: segment.object(),
                what: "permits",
                expected: format!("0 to {MOST}"),
                found: initial.to_string(),
            });
        }
        Ok(Words {
            head,
            slots: SharedSlice::new(segment, SLOTS_AT, AREA)?,
            accounts: SharedSlice::new(segment, ACCOUNTS_AT, accounts(initial))?,
            initial,
            layout: Layout::new(initial, bounded),
        })
    }

    #[inline]
    fn slots(&self) -> Slots<'_> {
        Slots { words: &self.slots, layout: self.layout }
    }

    /// How many permits are free, as a hint.
    pub(super) fn available(&self) -> u32 {
        let in_bank = u32::try_from(self.head.bank.free()).unwrap_or(u32::MAX);
        in_bank.saturating_add(self.slots().free())
    }

    /// Owners and how many permits they own in one place; an owner may appear often.
    pub(super) fn holdings(&self) -> impl Iterator<Item = (u32, u64)> {
        let in_slots = (0..self.layout.span).map(|index| (self.slots().owner(index), 1));
        let in_bank = self.accounts.iter().map(holding);
        in_slots.chain(in_bank).filter(|&(owner, _)| owner != 0)
    }
}

/// Creation and attachment.
impl Pool {
    /// The size of a semaphore that begins with so many permits.
    pub(super) fn plan(initial: u32) -> Result<Plan, PlanFault> {
        if initial > MOST {
            return Err(PlanFault {
                what: "permits",
                found: u64::from(initial),
                expected: format!("0 to {MOST} are possible"),
            });
        }
        Ok(Plan::whole(ACCOUNTS_AT + accounts(initial) * size_of::<AtomicU64>()))
    }

    /// Writes the first permits into a body that nobody else sees.
    pub(super) fn initialise(body: &Body<'_>, initial: u32, bounded: bool) -> Result<()> {
        let head = Shared::<SemaphoreHead>::new(body.segment, 0)?;
        let words = SharedSlice::new(body.segment, SLOTS_AT, AREA)?;
        // Relaxed: publication orders it.
        head.initial.store(initial, Relaxed);
        let layout = Layout::new(initial, bounded);
        let filled = Layout::filled(initial);
        Slots { words: &words, layout }.fill(filled);
        head.bank.fill(u64::from(initial - filled));
        Ok(())
    }

    /// Checks a published body.
    pub(super) fn attach(attached: Attached, bounded: bool) -> Result<Self> {
        Ok(Pool { words: Words::of(&attached.segment, bounded)?, attached, bounded })
    }

    pub(super) fn attached(&self) -> &Attached {
        &self.attached
    }

    /// What an inspector may see, too.
    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    #[inline]
    fn slots(&self) -> Slots<'_> {
        self.words.slots()
    }

    fn bank(&self) -> Bank<'_, impl Host> {
        Bank {
            word: &self.words.head.bank,
            accounts: &self.words.accounts,
            slots: self.slots(),
            host: self.attached.member.host(),
        }
    }

    /// Locks the bank for the calling thread of `me`; `None` if somebody alive kept it until `deadline`.
    fn open_bank(&self, me: u32, deadline: Deadline) -> Result<Option<Books<'_, impl Host>>> {
        let deadline = match deadline {
            Deadline::Now => Deadline::after(Duration::from_nanos(BRIEFLY_NS)),
            other => other,
        };
        match self.bank().open(Owner::new(me, sys::thread_token()), deadline) {
            Ok(books) => Ok(Some(books)),
            Err(Fault::TimedOut) => Ok(None),
            Err(Fault::Deadlock) => Err(Error::Deadlock),
            Err(Fault::Unknown(participant)) => Err(self.liveness_unknown(participant)),
        }
    }

    fn liveness_unknown(&self, participant: u32) -> Error {
        Error::LivenessUnknown { space: self.attached.space_name(), participant }
    }

    /// Tells who waits that `count` permits came back.
    #[inline]
    fn notify(&self, count: u32) {
        self.words.head.events.notify(self.attached.member.host(), count);
    }
}

/// Taking permits.
impl Pool {
    /// A permit of the calling process, waited for until `deadline`.
    #[inline]
    pub(super) fn acquire(&self, deadline: Deadline) -> Result<SemaphorePermit<'_>> {
        let me = self.attached.member.me();
        if me != 0 {
            let start = self.words.layout.start(me, sys::thread_token());
            if self.slots().take_at(start, me) {
                return Ok(SemaphorePermit::new(self, me, start));
            }
        }
        self.acquire_slow(deadline)
    }

    #[cold]
    fn acquire_slow(&self, deadline: Deadline) -> Result<SemaphorePermit<'_>> {
        let me = self.join()?;
        let place = match self.take(me, deadline)? {
            Some(place) => place,
            None if deadline == Deadline::Now => {
                self.last_look(me, TRY_PATIENCE)?.ok_or(Error::WouldBlock)?
            }
            None => self.wait(me, deadline)?,
        };
        Ok(SemaphorePermit::new(self, me, place))
    }

    /// As `acquire`; a zero timeout is a `try_` that says so otherwise.
    pub(super) fn acquire_timeout(&self, timeout: Duration) -> Result<SemaphorePermit<'_>> {
        match self.acquire(Deadline::after(timeout)) {
            Err(Error::WouldBlock) => Err(Error::TimedOut),
            other => other,
        }
    }

    /// A permit, if one is free; the dead are not looked for.
    pub(super) fn take_now(&self) -> Result<Option<SemaphorePermit<'_>>> {
        let me = self.join()?;
        Ok(self.take(me, Deadline::Now)?.map(|place| SemaphorePermit::new(self, me, place)))
    }

    /// A permit, if there is one, the dead's included.
    pub(super) fn take_for_certain(&self) -> Result<Option<SemaphorePermit<'_>>> {
        let me = self.join()?;
        let place = match self.take(me, Deadline::Now)? {
            None => self.last_look(me, TRY_PATIENCE)?,
            place => place,
        };
        Ok(place.map(|place| SemaphorePermit::new(self, me, place)))
    }

    /// Frees some permits of the dead; names an owner of whom nobody can tell.
    pub(super) fn reclaim_some(&self) -> Result<Option<u32>> {
        self.reclaim(self.join()?, INQUEST)
    }

    /// What is notified when a permit comes back.
    pub(super) fn events(&self) -> &EventCount {
        &self.words.head.events
    }

    fn join(&self) -> Result<u32> {
        self.attached.member.join(|| self.attached.object(), "acquire a permit")
    }

    /// A free permit from wherever one lies.
    fn take(&self, me: u32, deadline: Deadline) -> Result<Option<u32>> {
        Ok(match self.find(me, deadline)? {
            Find::Place(place) => Some(place),
            Find::Nothing | Find::Busy => None,
        })
    }

    /// As `take`, and says what became of it.
    fn find(&self, me: u32, deadline: Deadline) -> Result<Find> {
        if let Some(slot) = self.slots().take(me, self.words.layout.start(me, sys::thread_token())) {
            return Ok(Find::Place(slot));
        }
        if self.words.head.bank.free() == 0 {
            return Ok(Find::Nothing);
        }
        let Some(books) = self.open_bank(me, deadline)? else { return Ok(Find::Busy) };
        Ok(books.take(me).map_or(Find::Nothing, |index| Find::Place(index as u32 | IN_BANK)))
    }

    /// A permit if there is one, the dead's included: `None` is the truth of one moment, not of several places at several
    /// moments; or the bank could not be opened `patience` times.
    fn last_look(&self, me: u32, patience: u32) -> Result<Option<u32>> {
        let mut busy = 0;
        for _ in 0..LOOKS {
            let ticket = self.words.head.events.prepare();
            self.reclaim(me, usize::MAX)?;
            match self.find(me, Deadline::Now)? {
                Find::Place(place) => return Ok(Some(place)),
                Find::Nothing if self.words.head.events.is_current(ticket) => return Ok(None),
                Find::Nothing => {}
                Find::Busy => busy += 1,
            }
            if busy == patience {
                break;
            }
        }
        Ok(None)
    }

    /// Waits for a permit.
    fn wait(&self, me: u32, deadline: Deadline) -> Result<u32> {
        let SemaphoreHead { events, watch, .. } = &*self.words.head;
        let mut patience = Patience::new(self.attached.member.host(), watch, me, deadline);
        let mut looked_ns = sys::monotonic_ns();
        loop {
            let ticket = if patience.spin() { None } else { Some(events.prepare()) };
            if let Some(place) = self.take(me, deadline)? {
                return Ok(place);
            }
            let Some(ticket) = ticket else { continue };
            events.wait(&mut patience, ticket);
            if patience.is_over() {
                return self.last_look(me, TIMED_PATIENCE)?.ok_or(Error::TimedOut);
            }
            let now = sys::monotonic_ns();
            if now.saturating_sub(looked_ns) >= INQUEST_EVERY_NS {
                looked_ns = now;
                if let Some(participant) = self.reclaim(me, INQUEST)?
                    && patience.look_at(participant) == Turn::Unknown
                {
                    return Err(self.liveness_unknown(participant));
                }
            }
        }
    }

    /// Frees permits of the dead, asking for at most `budget` owners; names one of whom nobody can tell.
    fn reclaim(&self, me: u32, budget: usize) -> Result<Option<u32>> {
        let mut inquest = Inquest::new(self.attached.member.host(), me, budget);
        let (slots, bank) = (self.slots(), self.bank());
        if inquest.is_gone(bank.holder()) == Some(true) {
            // Opening repairs; what that frees is told like a release.
            drop(self.open_bank(me, Deadline::Now)?);
            self.notify(park::ALL);
        }
        let accounts = bank.used_accounts();
        let (span, places) = (self.words.layout.span, self.words.layout.span + accounts.len() as u32);
        // Relaxed: a hint.
        let mut place = self.words.head.cursor.load(Relaxed);
        let mut freed = 0u64;
        let mut left = places;
        while left > 0 {
            if place >= places {
                place = 0;
            }
            let account = place.wrapping_sub(span) as usize;
            let owner =
                accounts.get(account).map_or_else(|| slots.owner(place), |account| holding(account).0);
            match inquest.is_gone(owner) {
                Some(false) => {}
                Some(true) if place < span => freed += u64::from(slots.reclaim(place, owner)),
                Some(true) => {
                    let books = self.open_bank(me, Deadline::Now)?;
                    freed = freed.saturating_add(books.map_or(0, |books| books.bury(account, owner)));
                }
                None => {
                    self.words.head.cursor.store(place, Relaxed);
                    break;
                }
            }
            place += 1;
            left -= 1;
        }
        if freed > 0 {
            self.notify(u32::try_from(freed).unwrap_or(u32::MAX));
        }
        Ok(inquest.unknown)
    }
}

/// Giving permits back.
impl Pool {
    /// Gives back a permit of `me`; without effect in a forked child.
    #[inline]
    pub(super) fn give(&self, me: u32, place: u32) {
        if self.attached.member.me() != me {
            return;
        }
        if place & IN_BANK != 0 {
            self.give_to_bank(me, place & !IN_BANK);
        } else if self.slots().give(place, me) {
            self.notify(1);
        }
    }

    #[cold]
    fn give_to_bank(&self, me: u32, index: u32) {
        // An error says that the lock's holder cannot be judged: then nobody gets this permit before this process ends.
        if let Ok(Some(books)) = self.open_bank(me, Deadline::Never)
            && books.give(index as usize, me)
        {
            drop(books);
            self.notify(1);
        }
    }

    /// Ends the ownership of a permit and leaves it out; without effect in a forked child.
    pub(super) fn forget(&self, me: u32, place: u32) {
        if self.attached.member.me() != me {
            return;
        }
        if place & IN_BANK == 0 {
            self.slots().forget(place, me);
        } else if let Ok(Some(books)) = self.open_bank(me, Deadline::Never) {
            books.forget((place & !IN_BANK) as usize, me, self.bounded);
        }
        if self.bounded {
            // Somebody may be about to find that no permit is out.
            self.words.head.events.outdate();
        }
    }

    /// Adds permits without an owner, or brings home those that are out without one.
    pub(super) fn release(&self, count: u32) -> Result<(), PermitError> {
        let me = self.attached.member.join(|| self.attached.object(), "release permits")?;
        if count == 0 {
            return Ok(());
        }
        let roomy = self.bounded || self.words.head.bank.free() < u64::from(MOST - AREA as u32);
        let start = self.words.layout.start(me, sys::thread_token());
        if !(count == 1 && roomy && self.slots().put(start)) {
            self.release_slow(me, count)?;
        }
        self.notify(count);
        Ok(())
    }

    #[cold]
    fn release_slow(&self, me: u32, count: u32) -> Result<(), PermitError> {
        let mut most = 0;
        for _ in 0..LOOKS {
            // As in `last_look`: permits may have been forgotten behind a search that found none.
            let ticket = self.words.head.events.prepare();
            let Some(books) = self.open_bank(me, Deadline::Never)? else { continue };
            let done = if self.bounded { books.bring_home(count) } else { books.add(count, u64::from(MOST)) };
            match done {
                Ok(()) => return Ok(()),
                Err(found) => most = found,
            }
            if self.words.head.events.is_current(ticket) {
                break;
            }
        }
        Err(PermitError::TooMany { asked: count, most: most.min(u64::from(u32::MAX)) as u32 })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Semaphore;

    /// Longer than some waits for the bank.
    const STALL: Duration = Duration::from_nanos(4 * BRIEFLY_NS);

    #[test]
    fn a_bank_that_is_busy_for_a_while_is_not_an_empty_one() {
        let semaphore = Semaphore::anonymous(AREA as u32 + 1).unwrap();
        let pool = semaphore.pool();
        let _slots: Vec<_> = (0..AREA).map(|_| semaphore.try_acquire().unwrap()).collect();
        let opened = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let books = pool.open_bank(pool.join().unwrap(), Deadline::Never).unwrap();
                opened.wait();
                // As if it had lost its core.
                std::thread::sleep(STALL);
                drop(books);
            });
            opened.wait();
            drop(semaphore.try_acquire().expect("the last one is in the bank"));
        });
        assert_eq!(semaphore.available(), 1);
    }
}
