//! Permits in a storm: never more than there are with the living, and those of the dead come back.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::support::{Scene, runs};

/// One cell for each permit: who has it.
const CELLS: usize = 64;

/// The caller's place among those who have one of `permits` permits.
pub(crate) struct Holding<'a>(&'a AtomicU64);

/// Enters, with a permit; an error if as many others as there are permits had one at the same instant, alive.
pub(crate) fn enter(scene: &Scene, permits: usize) -> Result<Holding<'_>, String> {
    static VISITS: AtomicU64 = AtomicU64::new(0);
    let pid = std::process::id();
    let token = u64::from(pid) << 32 | (VISITS.fetch_add(1, SeqCst) + 1) & 0xFFFF_FFFF;
    loop {
        let seen: Vec<u64> = (0..permits).map(|cell| scene.get(CELLS + cell)).collect();
        let mut free = seen.iter().position(|&holder| holder == 0);
        if free.is_none() {
            free = seen.iter().position(|&holder| !runs((holder >> 32) as u32));
        }
        match free {
            Some(cell) => {
                let word = scene.word(CELLS + cell);
                if word.compare_exchange(seen[cell], token, SeqCst, SeqCst).is_ok() {
                    return Ok(Holding(word));
                }
            }
            // Each was there before all were found alive, and is there after: at that instant all had one, and so has the caller.
            None if (0..permits).all(|cell| scene.get(CELLS + cell) == seen[cell]) => {
                return Err(format!("{} have one of {permits} permits", permits + 1));
            }
            None => {}
        }
    }
}

impl Drop for Holding<'_> {
    /// Leaves: before the permit is given back.
    fn drop(&mut self) {
        self.0.store(0, SeqCst);
    }
}
