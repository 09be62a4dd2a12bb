//! What a word needs to know of the world: who I am, who is gone, and how to sleep.

use crate::park::Futex;
use crate::time::Deadline;

/// What the oracle says of a participant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It lives, or may live.
    Alive,
    /// The kernel says that no thread of it can run any more.
    Gone,
    /// The oracle is broken; who asks must treat the participant as alive, and may complain after a while.
    Unknown,
}

/// The surroundings of a word. A space is one; models bring their own.
pub(crate) trait Host {
    /// What the oracle says of the participant `id`.
    fn fate(&self, id: u32) -> Fate;

    /// Sleeps while `word` holds `expected`, at most `slice_ns` and never past `deadline`; may return early.
    fn wait(&self, word: &impl Futex, expected: u32, deadline: Deadline, slice_ns: u64);

    /// Wakes at most `count` sleepers of `word`; tells how many there were, 0 where it cannot know.
    fn wake(&self, word: &impl Futex, count: u32) -> u32;
}
