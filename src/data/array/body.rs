//! The body of an array: head, stripes, table of claims, elements.

use std::sync::Arc;

use super::stripe::Stripe;
use super::table::{Entry, Table};
use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::error::{Error, Result};
use crate::participant::PlanFault;
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, SharedSlice, Word};
use crate::sync::LockWord;

/// What precedes everything else.
#[repr(C, align(64))]
pub(super) struct ArrayHead {
    /// The internal lock of the table; held for some dozens of instructions, never while anybody sleeps.
    pub(super) gate: LockWord,
    /// Elements in use.
    len: AtomicU64,
    /// Elements there is room for.
    capacity: AtomicU64,
    /// Counts claims: readers without a lock compare it.
    pub(super) epoch: AtomicU64,
    stripes: AtomicU32,
    entries: AtomicU32,
    reserved: AtomicU64,
}

// SAFETY: (S6) atomics only, all-zero is valid; sizes are checked once at attach and `len` at every use.
unsafe impl Word for ArrayHead {}

documented_layout!(ArrayHead { gate, len, capacity, epoch, stripes, entries, reserved });

/// The most ranges that can be locked at once, by option.
pub(super) const MAX_GUARDS: usize = 4096;
/// Unless said: as many as there are elements, up to this.
pub(super) const DEFAULT_GUARDS: usize = 64;
const MAX_STRIPES: usize = 16;
/// Elements start on a cache line; the largest alignment a type may have is that of the body.
pub(super) const MAX_ALIGN: usize = 256;

/// Where everything lies in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) capacity: usize,
    pub(super) stripes: usize,
    pub(super) entries: usize,
    used_at: usize,
    entries_at: usize,
    pub(super) elements_at: usize,
    pub(super) total: usize,
}

impl Layout {
    /// The layout of an array with room for `capacity` elements of `size` bytes, of which `guards` ranges can be locked at
    /// once; `None` if no address space has so much room.
    pub(super) fn new(capacity: usize, guards: usize, size: usize, align: usize) -> Option<Self> {
        let stripes = (capacity / 8).clamp(1, MAX_STRIPES).next_power_of_two().min(MAX_STRIPES);
        // One entry more than guards: see `room`.
        Self::with(capacity, stripes, guards + 1, size, align)
    }

    fn with(capacity: usize, stripes: usize, entries: usize, size: usize, align: usize) -> Option<Self> {
        let used_at = size_of::<ArrayHead>() + stripes * size_of::<Stripe>();
        let entries_at = used_at + Table::words(entries) * 8;
        let elements_at = (entries_at + entries * size_of::<Entry>()).next_multiple_of(align.max(64));
        let total = capacity.checked_mul(size)?.checked_add(elements_at)?;
        (total <= isize::MAX as usize).then_some(Layout {
            capacity,
            stripes,
            entries,
            used_at,
            entries_at,
            elements_at,
            total,
        })
    }
}

/// The mapped parts of an array.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) head: Shared<ArrayHead>,
    pub(super) stripes: SharedSlice<Stripe>,
    pub(super) table: Table,
    pub(super) elements: Bytes,
    pub(super) layout: Layout,
}

impl Parts {
    /// Writes the sizes into a body that nobody else sees.
    pub(super) fn initialise(segment: &Arc<Segment>, layout: &Layout, len: usize) -> Result<()> {
        let head = Shared::<ArrayHead>::new(segment, 0)?;
        // Relaxed: publication by `link` orders everything before it.
        head.len.store(len as u64, Relaxed);
        head.capacity.store(layout.capacity as u64, Relaxed);
        head.stripes.store(layout.stripes as u32, Relaxed);
        head.entries.store(layout.entries as u32, Relaxed);
        Ok(())
    }

    /// Checks the sizes against the body; from here on only the checked copies are used.
    pub(super) fn attach(segment: &Arc<Segment>, size: usize, align: usize) -> Result<Self> {
        let head = Shared::<ArrayHead>::new(segment, 0)?;
        // Relaxed: written before publication, and checked like any hostile numbers.
        let capacity = usize::try_from(head.capacity.load(Relaxed)).unwrap_or(usize::MAX);
        let (stripes, entries) = (head.stripes.load(Relaxed) as usize, head.entries.load(Relaxed) as usize);
        let sane = (1..=MAX_STRIPES).contains(&stripes)
            && stripes.is_power_of_two()
            && (2..=MAX_GUARDS + 1).contains(&entries)
            && capacity > 0;
        let layout = Layout::with(capacity, stripes, entries, size, align)
            .filter(|layout| sane && layout.total == segment.body().1)
            .ok_or_else(|| Error::NotASegment {
                object: segment.object(),
                what: "array sizes",
                expected: format!("sizes that make a body of {} bytes", segment.body().1),
                found: format!("{capacity} elements, {stripes} stripes, {entries} entries"),
            })?;
        let parts = Parts {
            stripes: SharedSlice::new(segment, size_of::<ArrayHead>(), stripes)?,
            table: Table {
                used: SharedSlice::new(segment, layout.used_at, Table::words(entries))?,
                entries: SharedSlice::new(segment, layout.entries_at, entries)?,
            },
            elements: Bytes::new(segment, layout.elements_at, capacity * size, align)?,
            layout,
            head,
        };
        Ok(parts)
    }

    /// Elements in use; never more than there is room for, whatever the bytes say.
    #[inline]
    pub(super) fn len(&self) -> usize {
        // Acquire: pair GROW; who sees the new length sees the new elements.
        (self.head.len.load(Acquire) as usize).min(self.layout.capacity)
    }

    /// Publishes new elements.
    pub(super) fn set_len(&self, len: usize) {
        // Release: pair GROW.
        self.head.len.store(len as u64, Release);
    }
}

/// Refuses sizes that no array can have.
pub(super) fn check_sizes<T>(len: usize, capacity: usize, guards: usize) -> Result<(), PlanFault> {
    let fault = |what, found: usize, expected: String| Err(PlanFault { what, found: found as u64, expected });
    let align = align_of::<T>();
    if size_of::<T>() == 0 {
        return fault("bytes per element", 0, "an element has at least one byte".into());
    }
    if len == 0 {
        return fault("elements", 0, "an array has at least one element".into());
    }
    if capacity < len {
        return fault("elements as its largest length", capacity, format!("at least its length, {len}"));
    }
    if align > MAX_ALIGN {
        return fault("bytes of alignment", align, format!("at most {MAX_ALIGN}"));
    }
    if !(1..=MAX_GUARDS).contains(&guards) {
        return fault("guards", guards, format!("1 to {MAX_GUARDS}"));
    }
    Ok(())
}
