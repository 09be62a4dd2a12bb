//! How one waits for one other process whose answer usually comes at once.

use crate::atomic::{pause, yield_now};
use crate::sys;

/// Looks with one pause between them: a microsecond. Who shares a line with one other only need not look away from it for long.
const LOOKS: u32 = 100;

/// The same, where the answer comes from this core: nothing comes while one looks.
const LOOKS_IN_VAIN: u32 = 2;

/// How long to hand the core to others before sleeping; as in [`Backoff`](super::Backoff).
const YIELD_NS: u64 = 50_000;

/// A yield that took longer has let somebody else run; with nobody there it takes a tenth of that.
const SWITCH_NS: u64 = 1_000;

/// A yield that took longer gave the core to somebody who has nothing to do with the answer.
const LONG_NS: u64 = 250_000;

/// For so many waits nobody gets the core then: on a busy machine who sleeps is woken sooner than who yielded gets a turn.
const SHY_WAITS: u32 = 64;

/// Spin, then yield, then give up and let the caller sleep; remembers from wait to wait whether each is worth while.
pub(crate) struct Keen {
    looks: u32,
    yield_until: u64,
    shy: u32,
    /// Whether others want this core, as the last yield has shown.
    is_shared: bool,
}

impl Keen {
    pub(crate) fn new() -> Self {
        Keen { looks: LOOKS, yield_until: 0, shy: 0, is_shared: false }
    }

    /// A wait begins: the last one has ended.
    pub(crate) fn begin(&mut self) {
        (self.looks, self.yield_until) = (if self.is_shared { LOOKS_IN_VAIN } else { LOOKS }, 0);
    }

    /// Waits a little and says `true`, or says `false`: time to sleep.
    pub(crate) fn snooze(&mut self) -> bool {
        if self.looks > 0 {
            self.looks -= 1;
            pause();
            return true;
        }
        if self.shy > 0 {
            self.shy -= 1;
            return false;
        }
        let before = sys::monotonic_ns();
        if self.yield_until == 0 {
            self.yield_until = before + YIELD_NS;
        } else if before >= self.yield_until {
            return false;
        }
        let took = yield_from(before);
        self.is_shared = took > SWITCH_NS;
        if took > LONG_NS {
            self.shy = SHY_WAITS;
        }
        true
    }
}

fn yield_from(before: u64) -> u64 {
    yield_now();
    sys::monotonic_ns().saturating_sub(before)
}

/// Lets others run once before one sleeps in the system for an answer: if it comes from this core, it is there then, and nobody has to be
/// woken. Remembers whether that was so.
pub(crate) struct Courtesy {
    shy: u32,
}

impl Courtesy {
    pub(crate) fn new() -> Self {
        Courtesy { shy: 0 }
    }

    /// Lets others run, if that has been worth while; whether to look for an answer before one sleeps.
    pub(crate) fn offer(&mut self) -> bool {
        if self.shy > 0 {
            self.shy -= 1;
            return false;
        }
        let took = yield_from(sys::monotonic_ns());
        if !(SWITCH_NS..LONG_NS).contains(&took) {
            self.shy = SHY_WAITS;
        }
        took > SWITCH_NS
    }

    /// There was no answer.
    pub(crate) fn was_in_vain(&mut self) {
        self.shy = SHY_WAITS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_ends_in_sleep_and_the_next_one_begins_anew() {
        let mut keen = Keen::new();
        for _ in 0..3 {
            keen.begin();
            let mut looks = 0u32;
            while keen.snooze() {
                looks += 1;
            }
            assert!(looks >= LOOKS_IN_VAIN);
        }
    }

    #[test]
    fn who_shares_a_core_looks_less() {
        let looks = |is_shared| {
            let mut keen = Keen { is_shared, ..Keen::new() };
            keen.begin();
            keen.looks
        };
        assert!(looks(true) < looks(false));
    }

    #[test]
    fn courtesy_that_was_in_vain_pauses() {
        let mut courtesy = Courtesy::new();
        courtesy.was_in_vain();
        assert!((0..SHY_WAITS).all(|_| !courtesy.offer()));
        assert_eq!(courtesy.shy, 0, "the next one is offered");
    }

    #[test]
    fn the_shy_do_not_yield() {
        let mut keen = Keen { looks: 0, shy: 1, ..Keen::new() };
        assert!(!keen.snooze(), "not this time");
        assert!(keen.snooze(), "but the next");
    }
}
