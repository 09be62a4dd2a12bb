//! Looking at items without being an end, in a mapping that cannot be written.

use std::sync::Arc;

use super::super::glimpse::{Glimpse, Glimpsed};
use super::ring::SpscHead;
use crate::atomic::{Ordering::*, fence};
use crate::error::{Error, Result};
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared};

/// The items from `next` on that were not taken, `most` of them.
pub(in crate::queue) fn glimpse(segment: &Arc<Segment>, next: Option<u64>, most: usize) -> Result<Glimpse> {
    let head = Shared::<SpscHead>::new(segment, 0)?;
    let (capacity, size) = (head.capacity.load(Relaxed), segment.header().type_size as usize);
    let (first, body) = (size_of::<SpscHead>(), segment.body().1);
    let items = (capacity as usize).checked_mul(size).filter(|&bytes| bytes > 0);
    if items.and_then(|bytes| bytes.checked_add(first)) != Some(body) {
        return Err(Error::NotASegment {
            object: segment.object(),
            what: "queue size",
            expected: format!("a capacity that makes a body of {body} bytes"),
            found: format!("{capacity} slots for items of {size} bytes"),
        });
    }
    let items = Bytes::new(segment, first, body - first, 1)?;
    // The head first, so that the tail is not less. Acquire: who sees the tail sees the items before it.
    let taken = head.consumer.position.load(Acquire);
    let put = head.producer.position.load(Acquire);
    let mut glimpse = Glimpse::begin(next, put, put.saturating_sub(taken).min(capacity));
    glimpse.length = put.saturating_sub(taken).min(capacity);
    glimpse.closed = head.closed.load(Relaxed) != 0;
    while glimpse.wants_more(put, most) {
        let position = glimpse.next;
        let mut bytes = vec![0; size];
        items.read((position % capacity) as usize * size, &mut bytes);
        // Acquire fence: a producer that wrote over it had seen the head behind it.
        fence(Acquire);
        let whole = head.consumer.position.load(Relaxed) <= position;
        glimpse.push(whole.then_some(Glimpsed { position, len: size, from: None, bytes }));
    }
    Ok(glimpse)
}
