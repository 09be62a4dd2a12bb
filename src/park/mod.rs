//! Sleeping on words: `wait` until a word changes, `wake` who sleeps on it. Knows no owners.
//!
//! Wake-ups may be spurious and may be spent on a process that is being killed; whoever waits looks again, in slices.

mod backoff;
#[cfg(all(unix, feature = "manager", not(loom)))]
mod keen;

pub(crate) use backoff::Backoff;
#[cfg(all(unix, feature = "manager", not(loom)))]
pub(crate) use keen::{Courtesy, Keen};

pub(crate) use crate::sys::{AnyFutex, Expected, Futex, LowHalf};

/// The most words that one thread can sleep on at once.
pub(crate) use crate::sys::FUTEX_WAIT_ANY_MOST as WAIT_ANY_MOST;

use crate::atomic::AtomicU32;
use crate::sys;
use crate::time::Deadline;

/// Sleeps while `word` holds `expected`, at most `slice_ns` and never past `deadline`.
pub(crate) fn wait(word: &impl Futex, expected: u32, deadline: Deadline, slice_ns: u64) {
    crate::sys::futex_wait(word, expected, deadline.slice(slice_ns));
}

/// How long a thread that would sleep on several words sleeps on the first of them, where the system cannot do it; doubling.
const ONE_OF_MANY_FIRST_NS: u64 = 1_000_000;
const ONE_OF_MANY_LAST_NS: u64 = 4_000_000;

/// Sleeps while each of `words` holds what is expected of it, at most `slice_ns` and never past `deadline`.
///
/// Where the system has no such call, changes of all but the first word are noticed within 4 ms. With no words it only sleeps.
pub(crate) fn wait_any(words: &[Expected<'_>], deadline: Deadline, slice_ns: u64) {
    let until_ns = deadline.slice(slice_ns);
    let nothing = AtomicU32::new(0);
    let (first, rest) = match words {
        [] => (Expected { word: AnyFutex::Whole(&nothing), bits: 0 }, words),
        [first, rest @ ..] => (*first, rest),
    };
    if rest.is_empty() {
        return sys::futex_wait(&first.word, first.bits, until_ns);
    }
    if sys::futex_wait_any(words, until_ns) {
        return;
    }
    let mut slice_ns = ONE_OF_MANY_FIRST_NS;
    while !words.iter().any(Expected::has_changed) {
        let now = sys::monotonic_ns();
        if now >= until_ns {
            return;
        }
        sys::futex_wait(&first.word, first.bits, until_ns.min(now.saturating_add(slice_ns)));
        slice_ns = (slice_ns * 2).min(ONE_OF_MANY_LAST_NS);
    }
}

/// Wakes at most `count` sleepers of `word` and tells how many there were (0 where the backend cannot know).
pub(crate) fn wake(word: &impl Futex, count: u32) -> u32 {
    crate::sys::futex_wake(word, count)
}

/// Everybody.
pub(crate) const ALL: u32 = u32::MAX;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Duration;

    /// Words, which nobody changes unless the test does.
    fn expected(words: &[AtomicU64]) -> Vec<Expected<'_>> {
        words.iter().map(|word| Expected { word: AnyFutex::Low(word), bits: 0 }).collect()
    }

    fn words(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(0)).collect()
    }

    /// Two words, as many as the system can sleep on, and more than that.
    const COUNTS: [usize; 3] = [2, WAIT_ANY_MOST, WAIT_ANY_MOST + 1];

    #[test]
    fn a_change_of_any_word_ends_the_sleep() {
        for count in COUNTS {
            for changed in [0, count - 1] {
                let words = words(count);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        // The high half is nobody's business.
                        words[changed].store(1 | 1 << 40, SeqCst);
                        wake(&LowHalf(&words[changed]), ALL);
                    });
                    let expected = expected(&words);
                    while !expected.iter().any(Expected::has_changed) {
                        wait_any(&expected, Deadline::Never, u64::MAX / 2);
                    }
                });
            }
        }
    }

    #[test]
    fn a_word_that_changed_before_needs_no_wake_up() {
        for count in COUNTS {
            let words = words(count);
            words[count - 1].store(1, SeqCst);
            wait_any(&expected(&words), Deadline::Never, u64::MAX / 2);
        }
    }

    #[test]
    fn slices_and_deadlines_end_the_sleep() {
        for count in [0, 1].into_iter().chain(COUNTS) {
            let words = words(count);
            wait_any(&expected(&words), Deadline::Never, 1_000_000);
            let deadline = Deadline::after(Duration::from_millis(2));
            while !deadline.is_over() {
                wait_any(&expected(&words), deadline, u64::MAX / 2);
            }
        }
    }
}
