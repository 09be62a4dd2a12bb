//! What is seen of a queue or a broadcast by somebody who takes nothing.

use std::sync::Arc;

use super::{broadcast, frames, pipe, ring, spsc};
use crate::error::{Error, Result};
use crate::shm::Kind;
use crate::shm::segment::Segment;

/// What one look at a queue or a broadcast brought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Glimpse {
    /// Where the next look goes on.
    pub(crate) next: u64,
    /// How many items were taken or overwritten before they were seen, or were never there: given up by their producers.
    pub missed: u64,
    /// Items that wait in a queue; 0 of a broadcast.
    pub length: u64,
    /// Whether nothing will ever be put again.
    pub closed: bool,
    /// The items, in order.
    pub items: Vec<Glimpsed>,
}

/// One item.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Glimpsed {
    /// How many were put before it.
    pub position: u64,
    /// Number of its bytes.
    pub len: usize,
    /// The end of a pipe that sent it: `left` or `right`.
    pub from: Option<&'static str>,
    /// As it lies in memory; the first 64 KiB of what a queue of bytes holds.
    pub bytes: Vec<u8>,
}

impl Glimpse {
    /// A look from `next` on, or from now on; what can be overwritten by now is missed.
    pub(super) fn begin(next: Option<u64>, put: u64, capacity: u64) -> Self {
        let wanted = next.unwrap_or(put).min(put);
        let next = wanted.max(put.saturating_sub(capacity));
        Glimpse { next, missed: next - wanted, length: 0, closed: false, items: Vec::new() }
    }

    /// Whether there is another item to look at.
    pub(super) fn wants_more(&self, put: u64, most: usize) -> bool {
        self.next < put && self.items.len() < most
    }

    /// Adds what another stream of the same object brought.
    pub(crate) fn join(&mut self, other: Glimpse) {
        self.missed += other.missed;
        self.length += other.length;
        self.closed &= other.closed;
        self.items.extend(other.items);
    }

    /// Notes the item at `next`; `None`: it was not to be seen.
    pub(super) fn push(&mut self, item: Option<Glimpsed>) {
        self.next += 1;
        match item {
            Some(item) => self.items.push(item),
            None => self.missed += 1,
        }
    }
}

/// So many bytes of an item whose length nobody knows before are looked at.
pub(super) const MOST_BYTES: usize = 1 << 16;

/// The streams of items in an object of this kind, by what their items come [from](Glimpsed::from).
pub(crate) fn streams(kind: Kind) -> &'static [Option<&'static str>] {
    if kind == Kind::Pipe { &[Some("left"), Some("right")] } else { &[None] }
}

/// Looks at the items of a stream in `segment` from `next` on (from now on: `None`), at most `most` of them; nothing is written.
pub(crate) fn glimpse(
    segment: &Arc<Segment>,
    stream: usize,
    next: Option<u64>,
    most: usize,
) -> Result<Glimpse> {
    match segment.header().kind {
        Kind::Queue | Kind::JoinableQueue => ring::glimpse(segment, next, most),
        Kind::BytesQueue | Kind::CodecQueue => frames::glimpse_at(segment, 0, next, most),
        Kind::SpscQueue => spsc::glimpse(segment, next, most),
        Kind::Pipe => pipe::glimpse(segment, stream, next, most),
        Kind::Broadcast => broadcast::glimpse(segment, next, most),
        found => Err(Error::WrongKind { object: segment.object(), expected: Kind::Queue, found }),
    }
}
