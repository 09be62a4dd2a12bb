//! How a waiter spends the time before it sleeps: the one place that holds these constants.

use crate::atomic::{pause, yield_now};
use crate::sys;

/// Rounds of pauses that double: 2 + 4 + 8 + 16 + 32 = 62 pauses, about half a microsecond. Looking away lets the holder
/// keep the line: twice as fast under contention as polling it.
const SPIN_ROUNDS: u32 = 5;

/// How long to hand the core to others before sleeping. A thread that sleeps on an idle virtual core needs about 25
/// microseconds to be woken; yielding for twice as long loses at most that and usually wins it.
const YIELD_NS: u64 = 50_000;

/// The clock is read once in so many yields: a reading costs a tenth of a yield.
const YIELDS_PER_LOOK: u32 = 4;

/// Spin, then yield, then give up and let the caller sleep.
pub(crate) struct Backoff {
    round: u32,
    yield_until: u64,
}

impl Backoff {
    /// A waiter that has not waited yet.
    pub(crate) fn new() -> Self {
        Backoff { round: 0, yield_until: 0 }
    }

    /// Waits a little and says `true`, or says `false`: time to sleep.
    pub(crate) fn snooze(&mut self) -> bool {
        // A model explores what a waiter does asleep; being awake for a while adds nothing but interleavings.
        if cfg!(loom) {
            return false;
        }
        if self.round < SPIN_ROUNDS {
            for _ in 0..(2u32 << self.round) {
                pause();
            }
            self.round += 1;
            return true;
        }
        if self.round.is_multiple_of(YIELDS_PER_LOOK) || self.yield_until == 0 {
            let now = sys::monotonic_ns();
            if self.yield_until == 0 {
                self.yield_until = now + YIELD_NS;
            } else if now >= self.yield_until {
                return false;
            }
        }
        self.round += 1;
        yield_now();
        true
    }
}
