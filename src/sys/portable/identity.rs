//! A number of this process that a forked child does not inherit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::os::generation;

/// A number, and how many forks lay behind the process that set it: elsewhere it reads 0. Clones are the same number.
///
/// The count is kept by a fork handler, so that reading costs two loads. A comparison of process ids would cost a system call
/// (some 60 ns on Linux and FreeBSD) at every lock and unlock. A child made by a bare `clone` runs no handlers: such a child
/// must not use inherited objects.
#[derive(Clone)]
pub(crate) struct Identity {
    /// Generation in the high half, number in the low one; `None`: nobody's.
    number: Option<Arc<AtomicU64>>,
}

impl Identity {
    /// A new number, 0 at first.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Identity { number: Some(Arc::new(AtomicU64::new(0))) })
    }

    /// A number that is 0 for ever.
    pub(crate) fn nobody() -> Self {
        Identity { number: None }
    }

    /// The number; 0 in a process that has not set it itself.
    #[inline]
    pub(crate) fn get(&self) -> u32 {
        let Some(number) = &self.number else { return 0 };
        // Relaxed: a thread sees the id before it sees the handle that leads here, or zero and then takes the slow path.
        let number = number.load(Ordering::Relaxed);
        if (number >> 32) as u32 == generation() { number as u32 } else { 0 }
    }

    /// Sets the number, for this process only.
    pub(crate) fn set(&self, id: u32) {
        debug_assert!(self.number.is_some(), "nobody has no id");
        if let Some(number) = &self.number {
            // Relaxed: as in `get`.
            number.store(u64::from(generation()) << 32 | u64::from(id), Ordering::Relaxed);
        }
    }
}
