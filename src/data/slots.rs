//! Two slots and a version: a value that changes hands by one store.
//!
//! ```text
//! version  bit 0       which slot holds the committed value
//!          bit 0..62   how often the value was committed
//!          bit 63      IN_PLACE: the committed slot itself is being edited, or was when its editor died
//! ```
//!
//! A writer holds the lock, fills the slot that is not committed, and commits by ONE store of the next version. A death
//! leaves the old value or the new one. Readers need no lock: they copy the committed slot and keep the copy if the version did
//! not change meanwhile, which it must before anybody writes that slot again.
//!
//! Orderings. Promise: a reader gets a whole value. `commit` stores the version with Release, readers load it with Acquire
//! (pair VERSION): they see the slot that was filled before. `begin` is a Release fence between the version and the
//! first byte written behind it, `snapshot` ends with an Acquire fence between the last byte read and the second look at the
//! version (pair OVERWRITE): whoever read a byte of a later writer sees the version that came before that writer.

use core::mem::MaybeUninit;

use crate::atomic::{AtomicU64, Ordering::*, fence};
use crate::shm::Plain;
use crate::shm::view::{Bytes, Word};
use crate::sync::LockWord;

const IN_PLACE: u64 = 1 << 63;

const LINE: usize = 64;

/// What precedes the slots. All-zero: version 0, slot 0 holds the value.
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(super) struct ValueHead {
    pub(super) lock: LockWord,
    version: AtomicU64,
    reserved: AtomicU64,
}

// SAFETY: (S6) atomics only, all-zero is valid, every version is some version.
unsafe impl Word for ValueHead {}

documented_layout!(ValueHead { lock, version, reserved });

/// Where head and slots of a `T` lie in the body.
pub(super) struct Layout;

impl Layout {
    /// The largest alignment a type may have: that of the body.
    pub(super) const MAX_ALIGN: usize = 256;

    /// A slot begins with a whole word; one of a cache line or more begins with a line, because vector loads that cross
    /// lines take twice as long.
    pub(super) const fn align<T>() -> usize {
        let least = if size_of::<T>() < LINE { 8 } else { LINE };
        if align_of::<T>() > least { align_of::<T>() } else { least }
    }

    /// Distance of the slots; also their size, so that copies go by whole words.
    pub(super) const fn stride<T>() -> usize {
        size_of::<T>().next_multiple_of(Self::align::<T>())
    }

    /// Offset of the first slot.
    pub(super) const fn slots_at<T>() -> usize {
        size_of::<ValueHead>().next_multiple_of(Self::align::<T>())
    }

    /// Bytes of the body.
    pub(super) const fn body<T>() -> usize {
        Self::slots_at::<T>() + 2 * Self::stride::<T>()
    }
}

/// One look at the value without its lock.
pub(super) enum Look<R> {
    /// The bytes of one commit.
    Whole(R),
    /// A writer came near: look again.
    Disturbed,
    /// The committed slot is, or was, edited in place.
    InPlace,
}

/// A committed version, as the holder of the lock knows it.
#[derive(Clone, Copy)]
pub(super) struct Version(u64);

impl Version {
    /// Whether an editor in place has not finished.
    pub(super) fn in_place(self) -> bool {
        self.0 & IN_PLACE != 0
    }

    /// How often the value was committed.
    pub(super) fn commits(self) -> u64 {
        self.0 & !IN_PLACE
    }

    /// The slot that holds the committed value.
    pub(super) fn slot(self) -> usize {
        (self.0 & 1) as usize
    }

    /// The slot that the next commit takes.
    pub(super) fn spare(self) -> usize {
        1 - self.slot()
    }

    /// The version `steps` commits later, with the same mark.
    fn later(self, steps: u64) -> Self {
        Version((self.0 & !IN_PLACE).wrapping_add(steps) & !IN_PLACE | self.0 & IN_PLACE)
    }
}

impl ValueHead {
    /// The committed version; the caller holds the lock.
    #[inline]
    pub(super) fn version(&self) -> Version {
        // Relaxed: the lock orders the versions of successive owners.
        Version(self.version.load(Relaxed))
    }

    /// Comes before the first byte written to a slot; the caller holds the lock.
    #[inline]
    pub(super) fn begin(&self) {
        // Release fence: pair OVERWRITE.
        fence(Release);
    }

    /// Makes the spare slot the committed one, in one step; the caller holds the lock and has filled the slot.
    #[inline]
    pub(super) fn commit(&self, seen: Version, healed: bool) {
        let next = seen.later(1).0;
        // Release: pair VERSION.
        self.version.store(if healed { next & !IN_PLACE } else { next }, Release);
    }

    /// Announces that the committed slot is edited in place; the caller holds the lock.
    pub(super) fn begin_in_place(&self, seen: Version) {
        // Relaxed: the fence orders it before the first edit (pair OVERWRITE).
        self.version.store(seen.0 | IN_PLACE, Relaxed);
        fence(Release);
    }

    /// Ends an edit in place; the caller holds the lock.
    pub(super) fn end_in_place(&self, seen: Version) {
        // Two commits: the same slot under another version. Release: pair VERSION.
        self.version.store(seen.later(2).0 & !IN_PLACE, Release);
    }

    /// Lets `copy` read the committed slot without the lock; `None` if a writer came near, and what it read may be torn.
    #[inline]
    pub(super) fn look_at<R>(&self, copy: impl FnOnce(usize) -> R) -> Option<R> {
        // Acquire: pair VERSION.
        let version = Version(self.version.load(Acquire));
        let read = copy(version.slot());
        // Acquire fence: pair OVERWRITE.
        fence(Acquire);
        (self.version.load(Relaxed) == version.0).then_some(read)
    }

    /// Copies the value's bytes to `place` without the lock.
    #[inline]
    pub(super) fn look<'b, T: Plain>(
        &self,
        slots: &Bytes,
        place: &'b mut MaybeUninit<T::Bits>,
    ) -> Look<&'b mut T::Bits> {
        self.look_unless_edited(|slot| copy_bits::<T>(slots, slot, place))
    }

    /// Lets `copy` read the committed slot without the lock, unless it is, or was, edited in place.
    #[inline]
    pub(super) fn look_unless_edited<R>(&self, copy: impl FnOnce(usize) -> R) -> Look<R> {
        // Acquire: pair VERSION.
        let version = Version(self.version.load(Acquire));
        if version.in_place() {
            return Look::InPlace;
        }
        let read = copy(version.slot());
        // Acquire fence: pair OVERWRITE.
        fence(Acquire);
        if self.version.load(Relaxed) == version.0 { Look::Whole(read) } else { Look::Disturbed }
    }
}

/// Fills a slot; the caller holds the lock and has called `begin`, or nobody else sees the segment yet.
#[inline]
pub(super) fn write<T: Plain>(slots: &Bytes, slot: usize, value: &T) {
    slots.store_value(slot * Layout::stride::<T>(), value);
}

/// Copies a slot's bytes to `place`; without the lock they may be a mixture.
#[inline]
pub(super) fn copy_bits<'b, T: Plain>(
    slots: &Bytes,
    slot: usize,
    place: &'b mut MaybeUninit<T::Bits>,
) -> &'b mut T::Bits {
    const { assert!(size_of::<T>() == size_of::<T::Bits>()) };
    slots.load_value(slot * Layout::stride::<T>(), place)
}
