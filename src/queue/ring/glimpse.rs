//! Looking at items without taking them, in a mapping that cannot be written.

use std::sync::Arc;

use super::super::glimpse::{Glimpse, Glimpsed};
use super::super::stamp::State;
use super::{Layout, RingHead};
use crate::atomic::{Ordering::*, fence};
use crate::error::{Error, Result};
use crate::queue::stamp::StampWord;
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, SharedSlice};

/// The items from `next` on, as far as they were put and not overwritten, `most` of them; consumed ones, too.
pub(in crate::queue) fn glimpse(segment: &Arc<Segment>, next: Option<u64>, most: usize) -> Result<Glimpse> {
    let head = Shared::<RingHead>::new(segment, 0)?;
    let header = segment.header();
    let capacity = head.capacity.load(Relaxed);
    let (size, align) = (header.type_size as usize, header.type_align.max(1) as usize);
    let first = size_of::<RingHead>();
    let layout = Layout::new(capacity, size, align)
        .ok()
        .filter(|layout| layout.total == segment.body().1)
        .ok_or_else(|| Error::NotASegment {
            object: segment.object(),
            what: "queue sizes",
            expected: format!("sizes that make a body of {} bytes", segment.body().1),
            found: format!("{capacity} slots for items of {size} bytes"),
        })?;
    let stamps: SharedSlice<StampWord> =
        SharedSlice::new(segment, first, capacity as usize * (layout.stride / 8))?;
    let items = Bytes::new(segment, first, layout.total - first, 8)?;
    // Acquire: who sees a position sees the stamps before it.
    let put = head.put.position.load(Acquire);
    let taken = head.take.position.load(Relaxed);
    let mut glimpse = Glimpse::begin(next, put, capacity);
    (glimpse.length, glimpse.closed) =
        (put.saturating_sub(taken).min(capacity), head.closed.load(Relaxed) != 0);
    while glimpse.wants_more(put, most) {
        let position = glimpse.next;
        let slot = (position % capacity) as usize;
        let stamp = &stamps[slot * (layout.stride / 8)];
        let is_there = || {
            let now = stamp.load();
            let held = matches!(now.state(), Some(State::Committed | State::Taken | State::Returned));
            // One that was taken lies there until a producer comes to its slot, which is when the tail does.
            let left = now.is(State::Empty, position.wrapping_add(capacity))
                && head.put.position.load(Relaxed).wrapping_sub(position) < capacity;
            held && now.is_of(position) || left
        };
        if stamp.load().is(State::Reserved, position) {
            // It will come, or not.
            break;
        }
        let mut bytes = vec![0; size];
        let there = is_there();
        items.read(slot * layout.stride + layout.items_at, &mut bytes);
        // Acquire fence: whoever read bytes of a later item sees that its slot was taken before.
        fence(Acquire);
        let whole = there && is_there();
        glimpse.push(whole.then_some(Glimpsed { position, bytes }));
    }
    Ok(glimpse)
}
