//! One frame: its head in shared memory, and what was seen of it.

use super::super::stamp::{Stamp, StampWord};
use super::UNIT;
use crate::atomic::AtomicU32;
use crate::shm::view::Word;

/// What precedes the bytes of a frame.
#[repr(C)]
#[cfg_attr(loom, derive(Default))]
pub(in crate::queue) struct FrameHead {
    pub(super) stamp: StampWord,
    /// Bytes up to the next frame's head, whole units.
    pub(super) room: AtomicU32,
    /// Bytes of the item.
    pub(super) len: AtomicU32,
}

// SAFETY: (S6) atomics only, all-zero is valid; what is read from it is checked by `FrameRing::frame`.
unsafe impl Word for FrameHead {}

documented_layout!(FrameHead { stamp, room, len });

/// A frame as it was seen and checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) position: u64,
    pub(super) stamp: Stamp,
    pub(super) room: u32,
    pub(super) len: u32,
}

impl Frame {
    /// Where the next frame begins.
    pub(super) fn end(self) -> u64 {
        self.position + UNIT + u64::from(self.room)
    }
}
