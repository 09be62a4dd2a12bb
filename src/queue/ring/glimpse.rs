//! Looking at items without taking them, in a mapping that cannot be written.

use std::sync::Arc;

use super::super::glimpse::{Glimpse, Glimpsed};
use super::super::stamp::State;
use super::{Layout, RingHead};
use crate::atomic::{Ordering::*, fence};
use crate::error::{Error, Result};
use crate::queue::stamp::{Stamp, StampWord};
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
    let stamp_of = |position: u64| &stamps[(position % capacity) as usize * (layout.stride / 8)];
    let mut batch = None;
    while glimpse.wants_more(put, most) {
        let position = glimpse.next;
        let slot = (position % capacity) as usize;
        let stamp = stamp_of(position);
        let seen = stamp.load();
        if seen.is_follower(position) {
            batch =
                batch.or_else(|| items_of_batch(position, capacity, |position| stamp_of(position).load()));
        } else {
            batch = None;
            if seen.is(State::Committed, position) && seen.id() != 0 {
                batch = Some(position.wrapping_add(u64::from(seen.id())));
            }
        }
        let is_there = || {
            let now = stamp.load();
            if now.is_follower(position) {
                return batch.is_some_and(|end| position < end);
            }
            let held = matches!(now.state(), Some(State::Committed | State::Taken | State::Returned));
            // One that was taken lies there until a producer comes to its slot, which is when the tail does.
            let left = now.is(State::Empty, position.wrapping_add(capacity))
                && head.put.position.load(Relaxed).wrapping_sub(position) < capacity;
            held && now.is_of(position) || left
        };
        if seen.is(State::Reserved, position) && batch.is_none() {
            // It will come, or not.
            break;
        }
        let mut bytes = vec![0; size];
        let there = is_there();
        items.read(slot * layout.stride + layout.items_at, &mut bytes);
        // Acquire fence: whoever read bytes of a later item sees that its slot was taken before.
        fence(Acquire);
        let whole = there && is_there();
        glimpse.push(whole.then_some(Glimpsed { position, len: size, from: None, bytes }));
    }
    Ok(glimpse)
}

/// Where the items end of the batch that the follower at `position` belongs to; `None`: nobody has settled it, or somebody is taking it
/// apart.
fn items_of_batch(position: u64, capacity: u64, stamp: impl Fn(u64) -> Stamp) -> Option<u64> {
    let (first, stamp) = (1..capacity)
        .map(|back| position.wrapping_sub(back))
        .map(|position| (position, stamp(position)))
        .find(|(position, stamp)| !stamp.is_follower(*position))?;
    match stamp.state()? {
        _ if !stamp.is_of(first) || stamp.id() == 0 => None,
        State::Committed => Some(first.wrapping_add(u64::from(stamp.id()))),
        State::Skipped => Some(first),
        _ => None,
    }
}
