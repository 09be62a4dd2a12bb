//! A doorbell per memory: `raw_sync`'s event, whose object in the kernel survives a sleeper that is killed.
//!
//! Only a means against waiting longer than need be. Sleepers look at their word at the end of every nap, so a ring that is lost
//! costs at most the rest of a nap; nothing is counted, and nobody owns the event.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use raw_sync::Timeout;
use raw_sync::events::{Event, EventImpl, EventInit, EventState};

use crate::sys::Futex;

/// The system counts timeouts in milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);

/// The bells of this process by the address of their memory, with the memory's length.
static BELLS: RwLock<BTreeMap<usize, (usize, Arc<Ring>)>> = RwLock::new(BTreeMap::new());

/// An event that stays rung until a sleeper stops it.
struct Ring(Box<dyn EventImpl>);

// SAFETY: (S1) behind it is a handle of the kernel's, which any thread of the process may use at any time.
unsafe impl Send for Ring {}
// SAFETY: (S1) as above.
unsafe impl Sync for Ring {}

/// The bell of one mapping.
pub(in super::super) struct Bell {
    first: usize,
}

impl Bell {
    /// Hangs a bell beside the memory at `first`.
    ///
    /// # Safety
    ///
    /// A word of 32 bits lies `at` bytes behind `first`, aligned, mapped as long as the bell, and used as nothing but a bell's id.
    pub(in super::super) unsafe fn hang(first: *mut u8, at: usize) -> Self {
        // SAFETY: (S5) by the caller's promise.
        let id = unsafe { &*first.add(at).cast::<AtomicU32>() };
        let first = first.addr();
        if let Some(ring) = ring_of(id) {
            let mut bells = BELLS.write().unwrap_or_else(PoisonError::into_inner);
            bells.insert(first, (at, Arc::new(ring)));
        }
        // Without a bell sleepers nap, as on other systems.
        Bell { first }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        BELLS.write().unwrap_or_else(PoisonError::into_inner).remove(&self.first);
    }
}

/// The event that `id` names; a new one if none does any more, because events go with their last user.
fn ring_of(id: &AtomicU32) -> Option<Ring> {
    loop {
        // Acquire, and Release below: whoever reads an id finds its event made.
        let mut known = id.load(Ordering::Acquire);
        if known != 0 {
            // SAFETY: (S1) four readable bytes; the function only reads them.
            if let Ok((event, _)) = unsafe { Event::from_existing((&raw mut known).cast()) } {
                return Some(Ring(event));
            }
        }
        let mut new = 0u32;
        // SAFETY: (S1) four writable bytes, into which the function writes the event's id.
        let (event, _) = unsafe { Event::new((&raw mut new).cast(), false) }.ok()?;
        if id.compare_exchange(known, new, Ordering::Release, Ordering::Relaxed).is_ok() {
            return Some(Ring(event));
        }
    }
}

/// The bell of the memory in which `address` lies.
fn bell_at(address: usize) -> Option<Arc<Ring>> {
    let bells = BELLS.read().unwrap_or_else(PoisonError::into_inner);
    let (first, (len, ring)) = bells.range(..=address).next_back()?;
    (address - first < *len).then(|| Arc::clone(ring))
}

/// Sleeps until the bell rings, at most for so long; the caller looks at the word again.
pub(in super::super) fn nap(word: &impl Futex, expected: u32, time: Duration) {
    let Some(ring) = bell_at(word.address().addr()) else {
        std::thread::sleep(time);
        return;
    };
    // Stopped first and looked at second: who rings after the look is heard. It may stop a ring that another sleeper has yet
    // to hear, who then naps to the end.
    let _ = ring.0.set(EventState::Clear);
    if word.bits() == expected {
        // A timeout is an error to `raw_sync`, and no news to the caller.
        let _ = ring.0.wait(Timeout::Val(time.max(SHORTEST)));
    }
}

/// Rings the bell of the memory in which `address` lies.
pub(in super::super) fn ring(address: usize) {
    if let Some(ring) = bell_at(address) {
        let _ = ring.0.set(EventState::Signaled);
    }
}
