//! The event count: a word to sleep on until some other word changes.
//!
//! ```text
//! bit  0       SLEEPERS: somebody may sleep on the word
//! bit  1..32   how many notifications there were, as far as anybody had to know
//! ```
//!
//! | transition | by | when |
//! |---|---|---|
//! | sets SLEEPERS | a waiter | before it looks at its condition for the last time |
//! | count + 1, keeps SLEEPERS | a notifier that wakes some | it saw SLEEPERS after it had published |
//! | count + 1, clears SLEEPERS | a notifier that wakes all | it saw SLEEPERS after it had published |
//! | count + 1, clears SLEEPERS | a notifier that found fewer asleep than it wanted to wake | it then wakes all |
//!
//! All of them are single compare-exchanges, and no state obliges anybody to anything: who dies between a transition and the
//! wake-up that follows it costs the sleepers at most their slice. A wake-up may be spent on a process that is being killed;
//! where that must not cost a slice, or where it matters who was woken, the grant is recorded in a word of its own.
//!
//! # How to wait
//!
//! ```text
//! loop {
//!     if condition() { return }
//!     if patience.spin() { continue }        // try again before announcing a sleeper: three times as fast
//!     let ticket = events.prepare();
//!     if condition() { return }
//!     if events.wait(&mut patience, ticket) {
//!         // a slice passed and nothing happened: look for the dead; then
//!         if patience.is_over() { return TimedOut }
//!     }
//! }
//! ```
//!
//! # Why nothing is lost
//!
//! Promise: a condition that was made true before `notify` is seen by everybody who sleeps, or it wakes somebody. The notifier
//! writes the condition, then reads SLEEPERS; the waiter writes SLEEPERS, then reads the condition. One of them must
//! see the other's write, which takes all four of them sequentially consistent (pair ANNOUNCE): here the load in `notify` and
//! the read-modify-write in `prepare`; **at the caller a SeqCst read-modify-write or store to publish the condition and a SeqCst
//! load to look at it**, or a SeqCst fence on either side.
//!
//! If the notifier sees SLEEPERS, it changes the word before it wakes: a waiter that has prepared but does not sleep yet finds
//! another word than it prepared for and does not sleep.
//!
//! Clearing SLEEPERS when nobody was there to be woken needs the second wake-up: between the first one and the clearing
//! another waiter may have gone to sleep, whose announcement the clearing wipes out.

use crate::atomic::{AtomicU32, Ordering::*};
use crate::park::{ALL, AnyFutex, Expected};
use crate::participant::Host;
use crate::shm::view::Word;
use crate::sync::wait::Patience;

/// Somebody may sleep on the word.
const SLEEPERS: u32 = 1;
/// One notification.
const EVENT: u32 = 2;

/// A word to sleep on until some other word changes. All-zero: nobody sleeps.
#[derive(Debug)]
#[cfg_attr(any(loom, test), derive(Default))]
#[repr(C)]
pub(crate) struct EventCount {
    word: AtomicU32,
}

// SAFETY: (S6) one atomic, all-zero is valid, every pattern is some state.
unsafe impl Word for EventCount {}

documented_layout!(EventCount { word });

/// What the word was when a sleeper announced itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "announced sleepers cost every notifier a system call until somebody sleeps"]
pub(crate) struct Ticket(u32);

impl EventCount {
    /// A count outside any segment.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn new() -> Self {
        EventCount { word: AtomicU32::new(0) }
    }

    /// Whether somebody may be asleep, as a hint.
    pub(crate) fn may_have_sleepers(&self) -> bool {
        self.word.load(Relaxed) & SLEEPERS != 0
    }

    /// Announces a sleeper; look at the condition once more (SeqCst), then [`wait`](Self::wait).
    pub(crate) fn prepare(&self) -> Ticket {
        // SeqCst: pair ANNOUNCE.
        Ticket(self.word.fetch_or(SLEEPERS, SeqCst) | SLEEPERS)
    }

    /// Sleeps until a notification after `ticket`, one slice at most; `true`: none came, it is time to look for the dead
    /// and at the [clock](Patience::is_over).
    pub(crate) fn wait<H: Host>(&self, patience: &mut Patience<'_, H>, ticket: Ticket) -> bool {
        patience.rest(&self.word, ticket.0)
    }

    /// Whether nothing was notified since `ticket`. Then who looked at several words one after the other, and found in none
    /// what it wanted, found the truth of one moment: a change behind its back would have been notified.
    pub(crate) fn is_current(&self, ticket: Ticket) -> bool {
        // SeqCst: pair ANNOUNCE; a change that the look missed was published before its notifier looked for SLEEPERS, which
        // stays set as long as the count does.
        self.word.load(SeqCst) == ticket.0
    }

    /// What a sleeper with this ticket sleeps on.
    pub(crate) fn expect(&self, ticket: Ticket) -> Expected<'_> {
        Expected { word: AnyFutex::Whole(&self.word), bits: ticket.0 }
    }

    /// Passes on a wake-up that may have been spent on the sleeper with this ticket, which does not use it: a notifier that
    /// woke it changed the word first.
    pub(crate) fn pass_on(&self, host: &impl Host, ticket: Ticket) {
        if !self.is_current(ticket) {
            self.notify(host, 1);
        }
    }

    /// Outdates the tickets that are out, if any, and wakes nobody: for changes that matter to who looks at several words
    /// but not to sleepers. The caller has published (SeqCst) the change.
    pub(crate) fn outdate(&self) {
        // SeqCst: pair ANNOUNCE.
        if self.word.load(SeqCst) & SLEEPERS != 0 {
            // Release: as for a notification.
            self.word.fetch_add(EVENT, Release);
        }
    }

    /// Wakes `count` sleepers, if there may be any; the caller has published (SeqCst) what they wait for.
    #[inline]
    pub(crate) fn notify(&self, host: &impl Host, count: u32) {
        // SeqCst: pair ANNOUNCE.
        if self.word.load(SeqCst) & SLEEPERS != 0 {
            self.notify_slow(host, count);
        }
    }

    /// Wakes all sleepers, if there may be any; the caller has published (SeqCst) what they wait for.
    #[inline]
    pub(crate) fn notify_all(&self, host: &impl Host) {
        // SeqCst: pair ANNOUNCE.
        if self.word.load(SeqCst) & SLEEPERS != 0 {
            self.notify_all_slow(host);
        }
    }

    /// Whether somebody may be asleep; the caller has published (SeqCst) what they wait for.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        // SeqCst: pair ANNOUNCE.
        self.word.load(SeqCst) & SLEEPERS != 0
    }

    /// Whether a notifier would have to wake somebody. A hint.
    pub(crate) fn has_sleepers(&self) -> bool {
        self.word.load(Relaxed) & SLEEPERS != 0
    }

    #[cold]
    fn notify_slow(&self, host: &impl Host, count: u32) {
        if count == 0 {
            return;
        }
        // Release, here and below: who finds the word changed (the kernel compares it, `rest` loads it with Acquire) sees the
        // condition that was published before.
        let before = self.word.fetch_add(EVENT, Release);
        if host.wake(&self.word, count) >= count {
            return;
        }
        // Nobody is left asleep, it seems. If the word is still what this call made of it, say so; and because somebody may
        // have gone to sleep on it since, wake them all. If the word is another one, some other waiter or notifier has to do
        // with it and finds SLEEPERS still set.
        let mine = before.wrapping_add(EVENT);
        // Counted like a notification: the next notifier stays silent, so tickets from before must be outdated.
        let quiet = mine.wrapping_add(EVENT) & !SLEEPERS;
        if mine & SLEEPERS != 0 && self.word.compare_exchange(mine, quiet, Release, Relaxed).is_ok() {
            host.wake(&self.word, ALL);
        }
    }

    #[cold]
    fn notify_all_slow(&self, host: &impl Host) {
        let mut now = self.word.load(Relaxed);
        while now & SLEEPERS != 0 {
            let next = (now & !SLEEPERS).wrapping_add(EVENT);
            match self.word.compare_exchange_weak(now, next, Release, Relaxed) {
                // Whoever prepared before finds another word and does not sleep; whoever slept already is woken.
                Ok(_) => {
                    host.wake(&self.word, ALL);
                    return;
                }
                Err(found) => now = found,
            }
        }
        // Another notifier cleared the bit after this call saw it, and wakes all itself. If it is killed before it does, the
        // sleepers' slices end.
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::park::{self, Futex};
    use crate::participant::Fate;
    use crate::time::Deadline;
    use std::cell::RefCell;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    /// Threads of one process, which never die.
    struct Threads;

    impl Host for Threads {
        fn fate(&self, _: u32) -> Fate {
            Fate::Alive
        }
        fn wait(&self, word: &impl Futex, expected: u32, deadline: Deadline, slice_ns: u64) {
            park::wait(word, expected, deadline, slice_ns);
        }
        fn wake(&self, word: &impl Futex, count: u32) -> u32 {
            park::wake(word, count)
        }
    }

    /// A host that writes down who was to be woken, and in which so many sleep.
    struct Log {
        asleep: u32,
        wakes: RefCell<Vec<u32>>,
    }

    impl Host for Log {
        fn fate(&self, _: u32) -> Fate {
            Fate::Alive
        }
        fn wait(&self, _: &impl Futex, _: u32, _: Deadline, _: u64) {}
        fn wake(&self, _: &impl Futex, count: u32) -> u32 {
            self.wakes.borrow_mut().push(count);
            count.min(self.asleep)
        }
    }

    fn log(asleep: u32) -> Log {
        Log { asleep, wakes: RefCell::default() }
    }

    #[test]
    fn nobody_asleep_costs_no_system_call() {
        let (count, log) = (EventCount::new(), log(0));
        count.notify(&log, 1);
        count.notify_all(&log);
        assert!(log.wakes.borrow().is_empty());
    }

    #[test]
    fn a_notification_that_finds_nobody_wakes_all_who_came_meanwhile_and_is_the_last_to_try() {
        let (count, log) = (EventCount::new(), log(0));
        let _ = count.prepare();
        count.notify(&log, 1);
        assert_eq!(*log.wakes.borrow(), [1, ALL]);
        count.notify(&log, 1);
        assert_eq!(*log.wakes.borrow(), [1, ALL], "nobody is announced any more");
    }

    #[test]
    fn a_notification_that_finds_enough_leaves_the_others_announced() {
        let (count, log) = (EventCount::new(), log(5));
        let _ = count.prepare();
        count.notify(&log, 2);
        count.notify(&log, 3);
        assert_eq!(*log.wakes.borrow(), [2, 3]);
        count.notify_all(&log);
        count.notify_all(&log);
        assert_eq!(*log.wakes.borrow(), [2, 3, ALL]);
    }

    #[test]
    fn who_prepared_before_a_notification_does_not_sleep() {
        for all in [false, true] {
            let (count, log) = (EventCount::new(), log(1));
            let ticket = count.prepare();
            if all {
                count.notify_all(&log)
            } else {
                count.notify(&log, 1)
            }
            let mut patience = Patience::without_watch(&Threads, Deadline::Never);
            assert!(!count.wait(&mut patience, ticket), "the notification came");
        }
    }

    #[test]
    fn who_does_not_use_a_wake_up_passes_it_on() {
        let (count, log) = (EventCount::new(), log(5));
        let ticket = count.prepare();
        count.pass_on(&log, ticket);
        assert!(log.wakes.borrow().is_empty(), "nobody was woken, so nothing is owed");
        count.notify(&log, 1);
        count.pass_on(&log, ticket);
        assert_eq!(*log.wakes.borrow(), [1, 1]);
        let _ = count.prepare();
        count.notify_all(&log);
        count.pass_on(&log, ticket);
        assert_eq!(*log.wakes.borrow(), [1, 1, ALL], "all are awake");
    }

    #[test]
    fn a_baton_goes_round_without_waiting_for_slices() {
        const ROUNDS: u32 = if cfg!(miri) { 20 } else { 2_000 };
        let (count, baton, late) = (EventCount::new(), AtomicU32::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for player in 0..3 {
                let (count, baton, late) = (&count, &baton, &late);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let mine = round * 3 + player;
                        let mut patience =
                            Patience::without_watch(&Threads, Deadline::after(Duration::from_secs(60)));
                        while baton.load(SeqCst) != mine {
                            let ticket = count.prepare();
                            if baton.load(SeqCst) != mine && count.wait(&mut patience, ticket) {
                                late.fetch_or(patience.is_over(), Relaxed);
                                assert!(!late.load(Relaxed), "the baton was lost");
                            }
                        }
                        baton.fetch_add(1, SeqCst);
                        count.notify_all(&Threads);
                    }
                });
            }
        });
        assert_eq!(baton.load(SeqCst), ROUNDS * 3);
    }
}
