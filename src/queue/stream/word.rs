//! One direction of a pair of rings: two positions, and whether an end is asleep.
//!
//! | pair | from | to | promise |
//! |---|---|---|---|
//! | BYTES | the exchange of `written` | its load by the reader | who sees a position sees the bytes before it |
//! | ROOM | the exchange of `read` | its load by the writer | what is overwritten has been copied out |
//! | BELL | position, then the other's word | the word, then the position | of an end that moves and an end that falls asleep one sees the other |
//!
//! BELL is sequentially consistent on both sides: all four accesses have one order, in which whoever comes second finds the first.

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::shm::view::Word;

/// A position on lines of its own: its end writes it at every step, the other one reads it.
#[repr(C, align(128))]
#[derive(Default)]
struct Position {
    bytes: AtomicU64,
}

/// Whether each end has to be told.
#[repr(C, align(128))]
#[derive(Default)]
struct Asleep {
    reader: AtomicU32,
    writer: AtomicU32,
}

/// What both ends know of one direction.
#[repr(C, align(128))]
#[derive(Default)]
pub(super) struct StreamWord {
    written: Position,
    read: Position,
    asleep: Asleep,
}

// SAFETY: (S6) atomics only, all-zero is valid; positions are checked against each other before they count bytes.
unsafe impl Word for StreamWord {}

documented_layout!(StreamWord { written, read, asleep });

#[cfg(test)]
mod position_layout {
    use super::Position as StreamPosition;
    documented_layout!(StreamPosition { bytes });
}

#[cfg(test)]
mod asleep_layout {
    use super::Asleep as StreamAsleep;
    documented_layout!(StreamAsleep { reader, writer });
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Reader,
    Writer,
}

impl StreamWord {
    /// How far an end has come.
    pub(super) fn position(&self, end: End) -> u64 {
        // SeqCst: pair BELL; the Acquire in it is BYTES and ROOM.
        self.of(end).bytes.load(SeqCst)
    }

    /// The same, for a look that nothing depends on but when to look properly.
    #[inline]
    #[cfg_attr(loom, allow(dead_code, reason = "a shortcut, on which no order depends"))]
    pub(super) fn glimpse(&self, end: End) -> u64 {
        // Relaxed: what is done with it begins with `position`.
        self.of(end).bytes.load(Relaxed)
    }

    /// Moves an end; whether the other one sleeps, and is to be woken by the caller.
    #[inline]
    #[must_use = "a sleeper stays asleep"]
    pub(super) fn advance(&self, end: End, to: u64) -> bool {
        // SeqCst: pair BELL; the Release in it is BYTES and ROOM. An exchange, because a store and a fence cost more.
        self.of(end).bytes.swap(to, SeqCst);
        let asleep = self.asleep(end.other());
        // The exchange lets one of two steps in quick succession ring, not both.
        asleep.load(SeqCst) != 0 && asleep.swap(0, SeqCst) != 0
    }

    /// Moves an end whose other one does not sleep now, or will find out by itself.
    #[inline]
    #[cfg_attr(loom, allow(dead_code, reason = "a shortcut, on which no order depends"))]
    pub(super) fn advance_unheard(&self, end: End, to: u64) {
        // Release: BYTES and ROOM.
        self.of(end).bytes.store(to, Release);
    }

    /// Says that an end is about to sleep: it looks once more after this.
    pub(super) fn fall_asleep(&self, end: End) {
        // SeqCst: pair BELL.
        self.asleep(end).store(1, SeqCst);
    }

    /// Says that an end is awake again.
    pub(super) fn wake_up(&self, end: End) {
        // Relaxed: who still finds it asleep rings in vain.
        self.asleep(end).store(0, Relaxed);
    }

    fn of(&self, end: End) -> &Position {
        match end {
            End::Reader => &self.read,
            End::Writer => &self.written,
        }
    }

    fn asleep(&self, end: End) -> &AtomicU32 {
        match end {
            End::Reader => &self.asleep.reader,
            End::Writer => &self.asleep.writer,
        }
    }
}

impl End {
    fn other(self) -> End {
        match self {
            End::Reader => End::Writer,
            End::Writer => End::Reader,
        }
    }
}
