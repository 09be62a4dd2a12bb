//! The words of a manual-reset event.
//!
//! ```text
//! state, bit  0..32   CLEARED: how many sets have been cleared
//!        bit 32..64   SETS: how many sets there were
//! ```
//!
//! | state | means | left by |
//! |---|---|---|
//! | SETS = CLEARED | not set | `set`: SETS + 1 |
//! | SETS ≠ CLEARED | set | `clear`: CLEARED = SETS, by one compare-exchange; `set`: SETS + 1, which stays set |
//!
//! Both counts wrap. SETS is the generation: who saw SETS when its call began knows whether a set has happened since, even if it was
//! cleared at once (a sleeper that misses exactly 2^32 sets within one slice would take them for none).
//!
//! Orderings. Promise: what was done before `set` is seen by whoever returns from `wait`, or sees `is_set`, because of that
//! set or a later one. `set` is a read-modify-write with Release, every reader loads with Acquire; `clear` is a read-modify-write
//! too, so it passes on what earlier sets published (a release sequence). A set that finds the event set is a write all the same:
//! "clear, then look at the data" against "write the data, then set" must not miss each other.
//! SeqCst in `set` and in the waiter's loads: pair ANNOUNCE of the event count.

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::participant::Host;
use crate::shm::view::Word;
use crate::sync::event_count::EventCount;
use crate::sync::wait::Patience;
use crate::time::Deadline;

/// One set.
const SET: u64 = 1 << 32;

/// A manual-reset event in shared memory. All-zero is not set.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(crate) struct EventWord {
    state: AtomicU64,
    sleepers: EventCount,
    reserved: AtomicU32,
}

// SAFETY: (S6) atomics and words only, all-zero is valid, every pattern is some state.
unsafe impl Word for EventWord {}

documented_layout!(EventWord { state, sleepers, reserved });

/// A state that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen(u64);

impl Seen {
    #[inline]
    fn sets(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether the event was set then.
    #[inline]
    pub(crate) fn is_set(self) -> bool {
        self.sets() != self.0 as u32
    }
}

impl EventWord {
    /// Sets it and wakes all sleepers; never waits.
    #[inline]
    pub(crate) fn set(&self, host: &impl Host) {
        // SeqCst: pair ANNOUNCE.
        self.state.fetch_add(SET, SeqCst);
        self.sleepers.notify_all(host);
    }

    /// Clears all sets that this call can see; never waits.
    #[inline]
    pub(crate) fn clear(&self) {
        // Relaxed: the compare-exchange decides.
        let mut now = Seen(self.state.load(Relaxed));
        while now.is_set() {
            let cleared = u64::from(now.sets()) << 32 | u64::from(now.sets());
            // AcqRel: who clears has seen what was set; Release keeps the sets' release sequence readable from here.
            match self.state.compare_exchange_weak(now.0, cleared, AcqRel, Relaxed) {
                Ok(_) => return,
                Err(found) => now = Seen(found),
            }
        }
    }

    /// The state now.
    #[inline]
    pub(crate) fn look(&self) -> Seen {
        // Acquire: sees what the setter did before.
        Seen(self.state.load(Acquire))
    }

    /// Waits until it is set or has been set since `before`; `false`: the deadline passed.
    #[cold]
    pub(crate) fn wait(&self, host: &impl Host, before: Seen, deadline: Deadline) -> bool {
        let mut patience = Patience::without_watch(host, deadline);
        loop {
            if self.happened_since(before) {
                return true;
            }
            if patience.spin() {
                continue;
            }
            if deadline == Deadline::Now {
                return false;
            }
            let ticket = self.sleepers.prepare();
            if self.happened_since(before) {
                return true;
            }
            if self.sleepers.wait(&mut patience, ticket) && patience.is_over() {
                return self.happened_since(before);
            }
        }
    }

    /// Whether somebody may be asleep. A hint.
    pub(crate) fn has_sleepers(&self) -> bool {
        self.sleepers.has_sleepers()
    }

    /// What sleepers sleep on; look with [`happened_since`](Self::happened_since) after the announcement.
    pub(crate) fn sleepers(&self) -> &EventCount {
        &self.sleepers
    }

    /// Whether it is set or has been set since `before`.
    pub(crate) fn happened_since(&self, before: Seen) -> bool {
        // SeqCst: pair ANNOUNCE; includes Acquire.
        let now = Seen(self.state.load(SeqCst));
        now.is_set() || now.sets() != before.sets()
    }
}
