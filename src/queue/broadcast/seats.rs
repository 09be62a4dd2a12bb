//! Seats: subscribers that publishers wait for.

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::shm::view::Word;

/// Where one subscriber is, on a line of its own: it moves at every item.
#[derive(Debug)]
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
pub(in crate::queue) struct SubscriberWord {
    /// Participant id; 0: nobody sits here. The one store that takes or gives back the seat.
    owner: AtomicU32,
    reserved: AtomicU32,
    /// The next item that its owner will receive.
    position: AtomicU64,
    padding: [AtomicU64; 6],
}

// SAFETY: (S6) atomics only, all-zero is valid, positions are compared and never index.
unsafe impl Word for SubscriberWord {}

documented_layout!(SubscriberWord { owner, reserved, position, padding });

impl SubscriberWord {
    /// Who sits here.
    pub(super) fn owner(&self) -> u32 {
        // SeqCst: pair ANNOUNCE, for publishers that wait for the seat to be left.
        self.owner.load(SeqCst)
    }

    /// The next item that its owner will receive.
    pub(super) fn position(&self) -> u64 {
        // SeqCst: pair ANNOUNCE; the Acquire in it is pair CONSUMED: the copies of earlier items are over.
        self.position.load(SeqCst)
    }

    /// Sits down; with the publishers' lock held.
    pub(super) fn take(&self, owner: u32, position: u64) {
        // Relaxed: nobody reads the position of a free seat.
        self.position.store(position, Relaxed);
        self.owner.store(owner, SeqCst);
    }

    /// Moves on; by the owner alone.
    pub(super) fn advance(&self, position: u64) {
        // SeqCst: pairs CONSUMED and ANNOUNCE.
        self.position.store(position, SeqCst);
    }

    /// Leaves the seat of `owner`; `false` if somebody else did.
    pub(super) fn leave(&self, owner: u32) -> bool {
        self.owner.compare_exchange(owner, 0, SeqCst, Relaxed).is_ok()
    }
}
