//! What is seen of a queue or a broadcast by somebody who takes nothing.

use std::sync::Arc;

use super::{broadcast, ring};
use crate::error::{Error, Result};
use crate::shm::Kind;
use crate::shm::segment::Segment;

/// What one look at a queue or a broadcast brought.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Glimpse {
    /// Where the next look goes on.
    pub next: u64,
    /// How many items were overwritten before they were seen, or were never there: given up by their producers.
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
    /// As it lies in memory.
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

    /// Notes the item at `next`; `None`: it was not to be seen.
    pub(super) fn push(&mut self, item: Option<Glimpsed>) {
        self.next += 1;
        match item {
            Some(item) => self.items.push(item),
            None => self.missed += 1,
        }
    }
}

/// Looks at the items in `segment` from `next` on (from now on: `None`), at most `most` of them; nothing is written.
pub(crate) fn glimpse(segment: &Arc<Segment>, next: Option<u64>, most: usize) -> Result<Glimpse> {
    match segment.header().kind {
        Kind::Queue | Kind::JoinableQueue => ring::glimpse(segment, next, most),
        Kind::Broadcast => broadcast::glimpse(segment, next, most),
        found => Err(Error::WrongKind { object: segment.object(), expected: Kind::Queue, found }),
    }
}
