//! A number for each simulated process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::simulation::{MOST, current};

/// A number that each simulated process sets for itself, and that reads 0 in the others. Clones are the same number.
#[derive(Clone)]
pub(crate) struct Identity {
    /// By process; `None`: nobody's.
    ids: Option<Arc<[AtomicU32]>>,
}

impl Identity {
    /// A new number, 0 at first.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Identity { ids: Some((0..MOST).map(|_| AtomicU32::new(0)).collect()) })
    }

    /// A number that is 0 for ever.
    pub(crate) fn nobody() -> Self {
        Identity { ids: None }
    }

    /// The number; 0 in a process that has not set it itself.
    #[inline]
    pub(crate) fn get(&self) -> u32 {
        // Relaxed, and no lock: the search for races must not find an order here that a mapping would not give.
        self.ids.as_ref().map_or(0, |ids| ids[current() as usize].load(Ordering::Relaxed))
    }

    /// Sets the number, for the current process only.
    pub(crate) fn set(&self, id: u32) {
        debug_assert!(self.ids.is_some(), "nobody has no id");
        if let Some(ids) = &self.ids {
            // Relaxed: as in `get`.
            ids[current() as usize].store(id, Ordering::Relaxed);
        }
    }
}
