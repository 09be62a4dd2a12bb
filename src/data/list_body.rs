//! The body of a list: a head, a record for each item, and two slots for each item.
//!
//! Each item is a value of its own, with the lock and the version of [`ValueHead`]: a writer fills the slot that is not
//! committed and commits by one store. A slot is a word (type and length) and as many bytes as the item has room for.

use std::sync::Arc;

use super::item::Item;
use super::slots::ValueHead;
use crate::atomic::{AtomicU64, Ordering::Relaxed};
use crate::error::{Error, Result};
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, SharedSlice, Word};

/// What precedes the records.
#[repr(C)]
pub(super) struct ListHead {
    /// Number of items, fixed at creation; read once, at attaching, and checked there.
    count: AtomicU64,
    reserved: [AtomicU64; 7],
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern harmless: `count` is read once and checked.
unsafe impl Word for ListHead {}

/// One item's lock and version, and where its slots are.
#[repr(C)]
pub(super) struct ListRecord {
    pub(super) value: ValueHead,
    /// Offset of the first slot in the body; fixed at creation, checked at every use.
    offset: AtomicU64,
    /// Bytes of a slot behind its first word; fixed at creation, checked at every use.
    room: AtomicU64,
}

// SAFETY: (S6) a word and atomics, all-zero is valid, every pattern harmless: offset and room are checked at every use.
unsafe impl Word for ListRecord {}

documented_layout!(ListHead { count, reserved });

#[cfg(test)]
mod record_layout {
    use super::ListRecord;
    documented_layout!(ListRecord { value, offset, room });
}

const HEAD_LEN: usize = size_of::<ListHead>();
const RECORD_LEN: usize = size_of::<ListRecord>();
/// The word at the beginning of a slot: the type in its lowest byte, the length above.
const WORD: usize = 8;

/// The views of a list.
#[derive(Clone)]
pub(super) struct ListBody {
    pub(super) records: SharedSlice<ListRecord>,
    bytes: Bytes,
}

/// Where an item's slots are, checked.
#[derive(Clone, Copy)]
pub(super) struct Place {
    offset: usize,
    pub(super) room: usize,
}

/// What a slot says: a type and its bytes, or a length there is no room for.
pub(super) type Slot = Option<(u8, Vec<u8>)>;

impl ListBody {
    /// Bytes of the body of a list of these items; `None` if no memory holds them.
    pub(super) fn size(items: &[Item]) -> Option<usize> {
        let slots = items.iter().try_fold(0usize, |sum, item| sum.checked_add(2 * (WORD + item.room())))?;
        let size = items.len().checked_mul(RECORD_LEN)?.checked_add(HEAD_LEN)?.checked_add(slots)?;
        (size <= isize::MAX as usize >> 8).then_some(size)
    }

    /// Fills a body that nobody else sees.
    pub(super) fn initialise(segment: &Arc<Segment>, items: &[Item]) -> Result<()> {
        // Relaxed throughout: publication by `link` orders everything before it.
        Shared::<ListHead>::new(segment, 0)?.count.store(items.len() as u64, Relaxed);
        let body = Self::open(segment)?;
        let mut offset = HEAD_LEN + items.len() * RECORD_LEN;
        for (record, item) in body.records.iter().zip(items) {
            let place = Place { offset, room: item.room() };
            record.offset.store(offset as u64, Relaxed);
            record.room.store(place.room as u64, Relaxed);
            body.write(place, 0, item);
            offset += 2 * (WORD + place.room);
        }
        Ok(())
    }

    /// The views of a body that may hold anything.
    pub(super) fn open(segment: &Arc<Segment>) -> Result<Self> {
        // Relaxed: written before publication, and checked like any hostile number.
        let count = Shared::<ListHead>::new(segment, 0)?.count.load(Relaxed);
        let len = segment.body().1;
        let most = (len - HEAD_LEN) / RECORD_LEN;
        match usize::try_from(count) {
            Ok(count) if count <= most => Ok(ListBody {
                records: SharedSlice::new(segment, HEAD_LEN, count)?,
                bytes: Bytes::new(segment, 0, len, 8)?,
            }),
            _ => Err(Error::NotASegment {
                object: segment.object(),
                what: "number of items",
                expected: format!("at most {most}"),
                found: count.to_string(),
            }),
        }
    }

    /// Where the slots of the item with this record are; `None` if the record does not tell the truth.
    pub(super) fn place(&self, record: &ListRecord) -> Option<Place> {
        // Relaxed: written before publication, and checked like any hostile number.
        let offset = usize::try_from(record.offset.load(Relaxed)).ok()?;
        let room = usize::try_from(record.room.load(Relaxed)).ok()?;
        let slots = room.checked_add(WORD)?.checked_mul(2)?;
        let first = HEAD_LEN + self.records.len() * RECORD_LEN;
        let inside = offset >= first && offset.checked_add(slots)? <= self.bytes.len();
        let aligned = offset.is_multiple_of(8) && room.is_multiple_of(8) && room > 0;
        (inside && aligned).then_some(Place { offset, room })
    }

    /// Fills a slot; the caller holds the item's lock and has called `begin`, or nobody else sees the segment yet. The item
    /// fits.
    pub(super) fn write(&self, place: Place, slot: usize, item: &Item) {
        let at = place.offset + slot * (WORD + place.room);
        item.encode(|tag, bytes| {
            debug_assert!(bytes.len() <= place.room);
            let word = tag as u64 | (bytes.len() as u64) << 8;
            self.bytes.store(at, &word.to_ne_bytes());
            self.bytes.store(at + WORD, bytes);
        });
    }

    /// Copies what a slot says, torn or not.
    pub(super) fn read(&self, place: Place, slot: usize) -> Slot {
        let at = place.offset + slot * (WORD + place.room);
        let mut word = [0; WORD];
        self.bytes.read(at, &mut word);
        let word = u64::from_ne_bytes(word);
        let len = usize::try_from(word >> 8).ok().filter(|len| *len <= place.room)?;
        let mut bytes = vec![0; len];
        self.bytes.read(at + WORD, &mut bytes);
        Some((word as u8, bytes))
    }
}
