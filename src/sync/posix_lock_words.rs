//! The bytes of a `PosixLock`: a mutex of the C library, and a mark beside it that its holder keeps.

use std::sync::Arc;

use crate::atomic::{AtomicU32, Ordering::Relaxed};
use crate::cause::Cause;
use crate::error::Result;
use crate::participant::{Fact, RawFacts};
use crate::shm::segment::Segment;
use crate::shm::view::{Shared, Word};
use crate::sys;

/// A mutex of the C library in shared memory.
///
/// Only the C library reads and writes `mutex`, but for a look at what it says. Only the holder of the mutex reads `mark` to
/// act on it, and writes it:
///
/// | mark | means |
/// |---|---|
/// | 0 | what the lock protects is consistent |
/// | 1 | an owner died, and nobody has repaired since |
/// | 2 | an owner panicked, and nobody has repaired since |
///
/// A mutex alone forgets: whoever is told of a death and gives the mutex back either says that all is well or makes it
/// unusable for ever. The mark keeps the news until somebody repairs.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct PosixWords {
    pub(super) mutex: [AtomicU32; sys::MUTEX_ROOM / 4],
    mark: AtomicU32,
    reserved: [AtomicU32; 15],
}

// SAFETY: (S6) atomics only; all-zero is valid, and every pattern is as far as we read it. What the C library does with a mutex
// that nobody made is another matter: (S16).
unsafe impl Word for PosixWords {}

documented_layout!(PosixWords { mutex, mark, reserved });

#[cfg(feature = "posix-lock")]
const DIED: u32 = 1;
const PANICKED: u32 = 2;

impl PosixWords {
    /// What is wrong, if anything is. Relaxed here and below: the mutex orders what its holders do.
    pub(super) fn mark(&self) -> Option<Cause> {
        match self.mark.load(Relaxed) {
            0 => None,
            PANICKED => Some(Cause::Panicked),
            // A number that no build of this version writes is no reason to believe that all is well.
            _ => Some(Cause::Died),
        }
    }

    /// Notes what happened to an owner; the caller holds the mutex.
    #[cfg(feature = "posix-lock")]
    pub(super) fn set_mark(&self, cause: Option<Cause>) {
        let mark = match cause {
            None => 0,
            Some(Cause::Panicked) => PANICKED,
            Some(_) => DIED,
        };
        self.mark.store(mark, Relaxed);
    }
}

/// The state of the lock in `segment`, for whoever inspects it.
pub(crate) fn describe_posix_lock(segment: &Arc<Segment>) -> Result<RawFacts> {
    let words = Shared::<PosixWords>::new(segment, 0)?;
    let state = sys::read_state(&words.mutex);
    let or_nothing = |fact: Option<Fact<_>>| fact.unwrap_or(Fact::Nothing);
    let cause = words.mark().or(state.filter(|now| now.owner_died).map(|_| Cause::Died));
    Ok(vec![
        // Its number in its own pid namespace: the C library knows threads, not participants.
        (
            "thread",
            or_nothing(state.filter(|now| now.thread != 0).map(|now| Fact::Number(now.thread.into()))),
        ),
        ("inconsistent", or_nothing(cause.map(|cause| Fact::Text(cause.to_string())))),
        ("waiters", or_nothing(state.map(|now| Fact::Flag(now.waiters)))),
    ])
}
