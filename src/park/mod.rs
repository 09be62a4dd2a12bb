//! Sleeping on words: `wait` until a word changes, `wake` who sleeps on it. Knows no owners.
//!
//! Wake-ups may be spurious and may be spent on a process that is being killed; whoever waits looks again, in slices.

mod backoff;

pub(crate) use backoff::Backoff;

pub(crate) use crate::sys::{Futex, LowHalf};
use crate::time::Deadline;

/// Sleeps while `word` holds `expected`, at most `slice_ns` and never past `deadline`.
pub(crate) fn wait(word: &impl Futex, expected: u32, deadline: Deadline, slice_ns: u64) {
    crate::sys::futex_wait(word, expected, deadline.slice(slice_ns));
}

/// Wakes at most `count` sleepers of `word` and tells how many there were (0 where the backend cannot know).
pub(crate) fn wake(word: &impl Futex, count: u32) -> u32 {
    crate::sys::futex_wake(word, count)
}

/// Everybody.
pub(crate) const ALL: u32 = u32::MAX;
