//! Looking at frames without taking them, in a mapping that cannot be written.
//!
//! A frame begins where the one before it ends, so a look begins at the free position and walks up to the tail. What lies behind the
//! free position nobody writes: who has read a frame and then sees that the free position has not passed it has read it whole.

use std::sync::Arc;

use super::super::glimpse::{Glimpse, Glimpsed, MOST_BYTES};
use super::super::stamp::State;
use super::frame::FrameHead;
use super::{FrameRingHead, UNIT, body_bytes, ring_bytes};
use crate::atomic::{Ordering::*, fence};
use crate::error::{Error, Result};
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, SharedSlice};

/// How often a look that is disturbed begins anew.
const MOST_LOOKS: u32 = 64;

/// A ring of frames, seen from outside.
struct View {
    head: Shared<FrameRingHead>,
    frames: SharedSlice<FrameHead>,
    bytes: Bytes,
    size: u64,
    object: String,
}

/// A frame that holds an item, or may come to.
struct Seen {
    position: u64,
    state: Option<State>,
    len: usize,
}

/// The items from `next` on that nobody has taken, `most` of them, in the ring that begins at `at` of the body.
pub(in crate::queue) fn glimpse_at(
    segment: &Arc<Segment>,
    at: usize,
    next: Option<u64>,
    most: usize,
) -> Result<Glimpse> {
    let view = View::new(segment, at)?;
    let (start, count, tail, put) = view.survey()?;
    let first = put.saturating_sub(count);
    let mut glimpse = Glimpse::begin(next, put, count);
    // Relaxed: figures that are no one instant anyway.
    glimpse.length = put.saturating_sub(view.head.take.items.load(Relaxed));
    glimpse.closed = view.head.closed.load(Relaxed) != 0;
    let mut index = first;
    view.walk(start, tail, |frame| {
        index += 1;
        if index <= glimpse.next {
            return true;
        }
        if !glimpse.wants_more(put, most) || frame.state == Some(State::Reserved) {
            // It will come, or not.
            return false;
        }
        let item = (frame.state != Some(State::Skipped)).then(|| view.item(&frame, glimpse.next)).flatten();
        glimpse.push(item);
        true
    })?;
    Ok(glimpse)
}

impl View {
    fn new(segment: &Arc<Segment>, at: usize) -> Result<Self> {
        let head = Shared::<FrameRingHead>::new(segment, at)?;
        // Relaxed: written before publication, and checked like any hostile number.
        let capacity = head.capacity.load(Relaxed);
        let room = segment.body().1.saturating_sub(at) as u64;
        if !body_bytes(capacity).is_ok_and(|bytes| bytes <= room) {
            return Err(Error::NotASegment {
                object: segment.object(),
                what: "queue size",
                expected: format!("a capacity that fits into {room} bytes"),
                found: format!("a capacity of {capacity} bytes"),
            });
        }
        let (first, size) = (at + size_of::<FrameRingHead>(), ring_bytes(capacity));
        Ok(View {
            frames: SharedSlice::new(segment, first, (size / UNIT) as usize)?,
            bytes: Bytes::new(segment, first, size as usize, 8)?,
            head,
            size,
            object: segment.object(),
        })
    }

    /// Where nobody writes from: the free position, after all that was read before.
    fn free(&self) -> u64 {
        // Acquire fence: whoever wrote over what was read before had seen the free position behind it.
        fence(Acquire);
        self.head.take.free.load(Acquire)
    }

    /// The tail, and how many items were put before it.
    fn tail(&self) -> (u64, u64) {
        let put = &self.head.put;
        for _ in 0..MOST_LOOKS {
            // As whoever mends the count: the next items belong to the tail if the next tail is the tail, before and after.
            let tail = put.position.load(Acquire);
            let next = put.next_position.load(Acquire);
            let items = put.next_items.load(Acquire);
            if tail == next && put.next_position.load(Acquire) == next {
                return (tail, items);
            }
        }
        (put.position.load(Acquire), put.items.load(Relaxed))
    }

    /// Where the frames begin that nobody has freed, how many of them up to the tail are items, the tail, and how many items were put
    /// before it.
    fn survey(&self) -> Result<(u64, u64, u64, u64)> {
        let mut start = self.free();
        let (tail, put) = self.tail();
        loop {
            let mut count = 0;
            let overtaken = self.walk(start, tail, |_| {
                count += 1;
                true
            })?;
            match overtaken {
                Some(free) => start = free,
                None => return Ok((start, count, tail, put)),
            }
        }
    }

    /// Shows the frames from `at` on in order, without padding, until `look` says `false`. If they are freed meanwhile, tells up to
    /// where.
    fn walk(&self, mut at: u64, tail: u64, mut look: impl FnMut(Seen) -> bool) -> Result<Option<u64>> {
        while at < tail {
            let unit = at / UNIT % (self.size / UNIT);
            let head = &self.frames[unit as usize];
            let stamp = head.stamp.load();
            // Relaxed: believed only if the frame is still there.
            let (room, len) = (u64::from(head.room.load(Relaxed)), head.len.load(Relaxed) as usize);
            let free = self.free();
            if free > at {
                return Ok(Some(free));
            }
            let fits = room.is_multiple_of(UNIT) && UNIT + room <= (tail - at).min(self.size - unit * UNIT);
            if !fits || len as u64 > room || !at.is_multiple_of(UNIT) || tail - at > self.size {
                return Err(self.corrupt(at, tail));
            }
            let state = stamp.state();
            if state != Some(State::Padding) && !look(Seen { position: at, state, len }) {
                break;
            }
            at += UNIT + room;
        }
        Ok(None)
    }

    /// A copy of the item, unless it was freed meanwhile.
    fn item(&self, frame: &Seen, position: u64) -> Option<Glimpsed> {
        let begin = (frame.position / UNIT % (self.size / UNIT) + 1) * UNIT;
        let mut bytes = vec![0; frame.len.min(MOST_BYTES)];
        self.bytes.read(begin as usize, &mut bytes);
        let item = Glimpsed { position, len: frame.len, from: None, bytes };
        (self.free() <= frame.position).then_some(item)
    }

    #[cold]
    fn corrupt(&self, at: u64, tail: u64) -> Error {
        Error::NotASegment {
            object: self.object.clone(),
            what: "frame",
            expected: format!("a frame at position {at} that ends at {tail} or before"),
            found: "another length".into(),
        }
    }
}
