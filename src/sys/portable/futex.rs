//! Sleeping on a shared word without the system's help: look, nap, look again.

use std::time::Duration;

use super::os;
use crate::sys::{Expected, Futex};

/// The first nap; later ones double.
const FIRST_NAP: Duration = Duration::from_micros(50);

/// The longest nap bounds how late a change is noticed. At 2 ms a sleeper costs about 1 % of a core.
const LONGEST_NAP: Duration = Duration::from_millis(2);

/// Sleeps while `word` holds `expected`, at most until `until_ns` (monotonic nanoseconds).
pub(crate) fn futex_wait(word: &impl Futex, expected: u32, until_ns: u64) {
    let mut nap = FIRST_NAP;
    while word.bits() == expected {
        let left = Duration::from_nanos(until_ns.saturating_sub(super::monotonic_ns()));
        if left.is_zero() {
            return;
        }
        os::nap(word, expected, nap.min(left));
        nap = (nap * 2).min(LONGEST_NAP);
    }
}

/// `false`: here one sleeps on one word only.
pub(crate) fn futex_wait_any(_: &[Expected<'_>], _: u64) -> bool {
    false
}

/// Tells the sleepers of `word` to look; 0, because it cannot be known how many there were.
pub(crate) fn futex_wake(word: &impl Futex, _: u32) -> u32 {
    os::ring(word.address().addr());
    0
}
