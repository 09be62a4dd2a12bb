//! Waiting for a word that somebody holds: actively for a moment, then asleep in slices with a look at the holder between.
//!
//! Here `park` and `participant` meet; every object that waits for a holder does it through [`Patience`].

use crate::atomic::{AtomicU32, Ordering};
use crate::park::{Backoff, Futex};
use crate::participant::{Fate, Host};
use crate::time::Deadline;

/// The first sleep; later ones double.
const FIRST_SLICE_NS: u64 = 1_000_000;

/// How long a waiter on watch sleeps between two looks at the holder. A timed sleep costs about 16 microseconds of a core:
/// 0.4 % of it. Half of this is the median time from a death to the grant.
const WATCH_SLICE_NS: u64 = 4_000_000;

/// How long the others sleep: they notice when the one on watch dies. 64 of them cost 1.6 % of a core, and a holder and a
/// watch that die together are noticed within the recovery goal of 100 ms.
const REST_SLICE_NS: u64 = 64_000_000;

/// How long "unknown" is taken for "alive" before a waiter complains.
pub(super) const UNKNOWN_NS: u64 = 5_000_000_000;

/// What a waiter learnt from one round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Look at the word again.
    Again,
    /// The holder is gone: take over from exactly that id.
    HolderGone,
    /// The deadline passed and the holder lives.
    TimedOut,
    /// Nobody can tell whether the holder lives, and that for some seconds.
    Unknown,
}

/// One waiter's patience with one word.
pub(crate) struct Patience<'a, H: Host> {
    host: &'a H,
    /// Who is on watch: one waiter per object looks at the holder often, the others rarely.
    watch: Option<&'a AtomicU32>,
    me: u32,
    on_watch: bool,
    /// Whether to take the watch from a living waiter, once.
    relieves: bool,
    deadline: Deadline,
    backoff: Backoff,
    slice_ns: u64,
    unknown_ns: u64,
}

impl<'a, H: Host> Patience<'a, H> {
    /// A waiter that has not waited yet.
    pub(crate) fn new(host: &'a H, watch: &'a AtomicU32, me: u32, deadline: Deadline) -> Self {
        Self::with(host, Some(watch), me, deadline)
    }

    /// A waiter at the end of a line that has not waited yet. The last one in the line is on watch: those at its head are granted
    /// next, and it is their deaths that the others must notice.
    pub(crate) fn in_line(host: &'a H, watch: &'a AtomicU32, me: u32, deadline: Deadline) -> Self {
        let mut patience = Self::with(host, Some(watch), me, deadline);
        patience.relieves = true;
        patience
    }

    /// A waiter that nobody's death concerns: it never goes on watch.
    pub(crate) fn without_watch(host: &'a H, deadline: Deadline) -> Self {
        Self::with(host, None, 0, deadline)
    }

    fn with(host: &'a H, watch: Option<&'a AtomicU32>, me: u32, deadline: Deadline) -> Self {
        Patience {
            host,
            watch,
            me,
            on_watch: false,
            relieves: false,
            deadline,
            backoff: Backoff::new(),
            slice_ns: FIRST_SLICE_NS,
            unknown_ns: 0,
        }
    }

    /// Waits actively for a moment and says `true`, or says `false`: time to announce a sleeper and [`sleep`](Self::sleep).
    pub(crate) fn spin(&mut self) -> bool {
        self.deadline != Deadline::Now && self.backoff.snooze()
    }

    /// Sleeps while `word` holds `expected`, one slice; then looks at `holder`, if the word did not change.
    pub(crate) fn sleep(&mut self, word: &impl Futex, expected: u32, holder: u32) -> Turn {
        if self.rest(word, expected) { self.look_at(holder) } else { Turn::Again }
    }

    /// Sleeps while `word` holds `expected`, one slice; `true` if it still does: time to look at all those this waiter depends
    /// on, and at the [clock](Self::is_over).
    pub(crate) fn rest(&mut self, word: &impl Futex, expected: u32) -> bool {
        if self.deadline != Deadline::Now {
            let slice = self.next_slice();
            self.host.wait(word, expected, self.deadline, slice);
        }
        word.bits() == expected
    }

    /// Whether this waiter is the one that looks often; the others leave costly looks to it.
    pub(crate) fn is_on_watch(&self) -> bool {
        self.on_watch
    }

    /// Whether this waiter has been asleep.
    pub(crate) fn has_slept(&self) -> bool {
        self.slice_ns != FIRST_SLICE_NS
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.deadline.is_over()
    }

    /// Asks the oracle about `holder`; then looks at the clock.
    pub(crate) fn look_at(&mut self, holder: u32) -> Turn {
        match self.host.fate(holder) {
            Fate::Gone => return Turn::HolderGone,
            Fate::Alive => self.unknown_ns = 0,
            Fate::Unknown => {
                self.unknown_ns += self.slice_ns;
                if self.unknown_ns >= UNKNOWN_NS {
                    return Turn::Unknown;
                }
            }
        }
        if self.deadline.is_over() { Turn::TimedOut } else { Turn::Again }
    }

    /// The next sleep's length: short on watch, doubling otherwise.
    fn next_slice(&mut self) -> u64 {
        self.go_on_watch();
        let limit = if self.on_watch { WATCH_SLICE_NS } else { REST_SLICE_NS };
        let slice = self.slice_ns.min(limit);
        self.slice_ns = (self.slice_ns * 2).min(limit);
        slice
    }

    /// Takes the watch if nobody alive has it.
    fn go_on_watch(&mut self) {
        let Some(watch) = self.watch else { return };
        // Relaxed throughout: the watch is a hint; two watchers, or none for a slice, cost time and never correctness.
        let now = watch.load(Ordering::Relaxed);
        if self.on_watch {
            self.on_watch = now == self.me;
        }
        let relieves = std::mem::take(&mut self.relieves);
        if !self.on_watch && (now == 0 || (now != self.me && (relieves || self.host.fate(now) == Fate::Gone)))
        {
            let taken = watch.compare_exchange(now, self.me, Ordering::Relaxed, Ordering::Relaxed);
            self.on_watch = taken.is_ok();
        }
    }
}

impl<H: Host> Drop for Patience<'_, H> {
    fn drop(&mut self) {
        if let (Some(watch), true) = (self.watch, self.on_watch) {
            // Relaxed: as in `go_on_watch`. A failure means that somebody took the watch from us.
            let _ = watch.compare_exchange(self.me, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Everybody lives, and sleeps no time.
    struct Everybody;

    impl Host for Everybody {
        fn fate(&self, _: u32) -> Fate {
            Fate::Alive
        }

        fn wait(&self, _: &impl Futex, _: u32, _: Deadline, _: u64) {}

        fn wake(&self, _: &impl Futex, _: u32) -> u32 {
            0
        }
    }

    #[test]
    fn the_first_waiter_of_a_holder_is_on_watch() {
        let (watch, word) = (AtomicU32::new(0), AtomicU32::new(7));
        let mut first = Patience::new(&Everybody, &watch, 1, Deadline::Never);
        let mut second = Patience::new(&Everybody, &watch, 2, Deadline::Never);
        assert!(first.rest(&word, 7) && second.rest(&word, 7));
        assert!(first.is_on_watch() && !second.is_on_watch());
        drop(first);
        assert!(second.rest(&word, 7) && second.is_on_watch());
    }

    #[test]
    fn the_last_waiter_in_a_line_is_on_watch() {
        let (watch, word) = (AtomicU32::new(0), AtomicU32::new(7));
        let mut first = Patience::in_line(&Everybody, &watch, 1, Deadline::Never);
        assert!(first.rest(&word, 7) && first.is_on_watch());
        let mut second = Patience::in_line(&Everybody, &watch, 2, Deadline::Never);
        assert!(second.rest(&word, 7) && second.is_on_watch());
        // It does not fight for it.
        assert!(first.rest(&word, 7) && !first.is_on_watch());
        assert!(second.rest(&word, 7) && second.is_on_watch());
        drop(second);
        assert!(first.rest(&word, 7) && first.is_on_watch());
        drop(first);
        assert_eq!(watch.load(Ordering::Relaxed), 0);
    }
}
