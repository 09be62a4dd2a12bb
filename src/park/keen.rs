//! How one waits for one other process whose answer usually comes at once.

use crate::atomic::{pause, yield_now};
use crate::sys;

/// Looks with one pause between them: half a microsecond. Who shares a line with one other only need not look away from it for long.
const LOOKS: u32 = 50;

/// How long to hand the core to others before sleeping; as in [`Backoff`](super::Backoff).
const YIELD_NS: u64 = 50_000;

/// A yield that took longer gave the core to somebody who has nothing to do with the answer.
const LONG_NS: u64 = 250_000;

/// For so many waits nobody gets the core then: on a busy machine who sleeps is woken sooner than who yielded gets a turn.
const SHY_WAITS: u32 = 64;

/// Spin, then yield, then give up and let the caller sleep; remembers from wait to wait whether yielding is worth while.
pub(crate) struct Keen {
    looks: u32,
    yield_until: u64,
    shy: u32,
}

impl Keen {
    pub(crate) fn new() -> Self {
        Keen { looks: LOOKS, yield_until: 0, shy: 0 }
    }

    /// A wait begins: the last one has ended.
    pub(crate) fn begin(&mut self) {
        (self.looks, self.yield_until) = (LOOKS, 0);
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
        yield_now();
        if sys::monotonic_ns().saturating_sub(before) > LONG_NS {
            self.shy = SHY_WAITS;
        }
        true
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
            assert!(looks >= LOOKS);
        }
    }

    #[test]
    fn the_shy_do_not_yield() {
        let mut keen = Keen { looks: 0, yield_until: 0, shy: 1 };
        assert!(!keen.snooze(), "not this time");
        assert!(keen.snooze(), "but the next");
    }
}
