//! Looking at the clock among many small steps: reading it costs as much as the smallest task.

use std::time::{Duration, Instant};

/// The clock is read again after about so long.
const LOOK: Duration = Duration::from_micros(5);
/// And after so many steps: to begin with, and at most.
const FIRST_STRIDE: u32 = 4;
const LAST_STRIDE: u32 = 128;

/// Tells now and then that some time has passed.
pub(super) struct Clock {
    looked: Instant,
    /// Since when it counts.
    since: Instant,
    /// Steps until the next look, and between looks.
    left: u32,
    stride: u32,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Clock { looked: now, since: now, left: FIRST_STRIDE, stride: FIRST_STRIDE }
    }

    /// Counts from `now` on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.stride = self.stride.min(FIRST_STRIDE);
        (self.looked, self.since, self.left) = (now, now, self.stride);
    }

    /// A step is done; whether more than `limit` has passed, as far as it has looked. Then it counts from now on.
    #[inline]
    pub(super) fn tick(&mut self, limit: Duration) -> bool {
        self.left -= 1;
        self.left == 0 && self.look(limit)
    }

    #[cold]
    fn look(&mut self, limit: Duration) -> bool {
        let now = Instant::now();
        let passed = now - self.looked;
        if passed < LOOK {
            self.stride = (2 * self.stride).min(LAST_STRIDE);
        } else if passed > 4 * LOOK {
            self.stride = (self.stride / 4).max(1);
        }
        (self.looked, self.left) = (now, self.stride);
        let is_over = now - self.since > limit;
        if is_over {
            self.since = now;
        }
        is_over
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn time_is_seen_to_pass_after_a_bounded_number_of_steps() {
        let mut clock = Clock::new();
        for _ in 0..3 {
            clock.begin(Instant::now());
            let steps = (1..).find(|_| clock.tick(Duration::ZERO)).unwrap();
            assert!(steps <= 2 * LAST_STRIDE, "{steps}");
            assert!((0..10_000).all(|_| !clock.tick(Duration::MAX)));
            assert!(clock.stride <= LAST_STRIDE);
        }
    }

    #[test]
    fn slow_steps_are_looked_at_one_by_one() {
        let mut clock = Clock::new();
        clock.stride = LAST_STRIDE;
        while clock.stride > 1 {
            clock.left = 1;
            clock.looked -= 5 * LOOK;
            assert!(!clock.tick(Duration::MAX));
        }
        clock.begin(Instant::now());
        assert_eq!(clock.left, 1);
    }
}
