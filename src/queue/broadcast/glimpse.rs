//! Looking at items without being a subscriber, in a mapping that cannot be written.

use std::sync::Arc;

use super::ring::{BroadcastHead, Layout, Stamp};
use crate::atomic::{AtomicU64, Ordering::*, fence};
use crate::error::Result;
use crate::queue::glimpse::{Glimpse, Glimpsed};
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, SharedSlice};

/// The items from `next` on, as far as they were published and not overwritten, `most` of them.
pub(in crate::queue) fn glimpse(segment: &Arc<Segment>, next: Option<u64>, most: usize) -> Result<Glimpse> {
    let head = Shared::<BroadcastHead>::new(segment, 0)?;
    let header = segment.header();
    let (size, align) = (header.type_size as usize, header.type_align.max(1) as usize);
    let layout = Layout::checked(segment, &head, size, align)?;
    let first = layout.slots_at;
    let stamps: SharedSlice<AtomicU64> = SharedSlice::new(segment, first, (layout.total - first) / 8)?;
    let items = Bytes::new(segment, first, layout.total - first, 8)?;
    // Acquire: who sees the tail sees the stamps before it.
    let published = head.position.load(Acquire);
    let mut glimpse = Glimpse::begin(next, published, layout.capacity);
    glimpse.closed = head.closed.load(Relaxed) != 0;
    while glimpse.wants_more(published, most) {
        let position = glimpse.next;
        let slot = (position % layout.capacity) as usize;
        let stamp = &stamps[slot * (layout.stride / 8)];
        let mut bytes = vec![0; size];
        // As in `BroadcastRing::receive`.
        let there = stamp.load(Acquire) == Stamp::written(position).0;
        items.read(slot * layout.stride + layout.item_at, &mut bytes);
        fence(Acquire);
        let whole = there && stamp.load(Relaxed) == Stamp::written(position).0;
        glimpse.push(whole.then_some(Glimpsed { position, len: size, from: None, bytes }));
    }
    Ok(glimpse)
}
