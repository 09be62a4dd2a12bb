//! Slots held in place: one to be written, one to be read.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;

use super::ring::{Ring, Slot};
use crate::shm::Plain;
use crate::shm::checked::is_valid_at;

/// Where the item of `position` lies.
pub(super) fn place<T: Plain>(ring: &Ring, position: u64) -> NonNull<T> {
    ring.items().address(ring.item_at(position), size_of::<T>()).cast()
}

/// Whether a slot that the caller has TAKEN holds bytes that are a `T`.
pub(super) fn is_valid<T: Plain>(ring: &Ring, slot: Slot) -> bool {
    // SAFETY: (S14) nobody writes the slot while it is TAKEN; slots are aligned for `T`.
    unsafe { is_valid_at(place::<T>(ring, slot.position)) }
}

/// A slot of a [`Queue`](super::Queue) that is written in place; [`commit`](Self::commit) puts it.
///
/// Dropping it uncommitted leaves nothing in the queue; its slot can be used again once the items before it are taken. Others put and
/// get meanwhile; items behind it wait for it, because order is kept. If its process dies, the slot is skipped; one that is forgotten
/// is held as long as its process lives. In a forked child its copy is without effect: what the child writes goes
/// to a place of its own, which nobody else sees.
#[must_use = "dropping a reservation gives the slot up"]
pub struct Reservation<'a, T: Plain> {
    ring: &'a Ring,
    slot: Slot,
    place: NonNull<T>,
    /// Where a forked child writes: the slot is its parent's.
    aside: Option<Box<MaybeUninit<T>>>,
    plain: PhantomData<&'a mut T>,
}

// SAFETY: (S14) the place belongs to the reservation, whichever thread has it; `T` is `Send`.
unsafe impl<T: Plain> Send for Reservation<'_, T> {}

impl<'a, T: Plain> Reservation<'a, T> {
    pub(super) fn new(ring: &'a Ring, slot: Slot) -> Self {
        let place = place(ring, slot.position);
        Reservation { ring, slot, place, aside: None, plain: PhantomData }
    }

    /// Where to write.
    fn place(&mut self) -> NonNull<T> {
        if self.ring.attached().member.me() == self.slot.id {
            return self.place;
        }
        NonNull::from(&mut **self.aside.get_or_insert_with(Box::new_uninit)).cast()
    }

    /// Writes the whole item.
    pub fn write(&mut self, item: T) -> &mut T {
        let mut place = self.place();
        // SAFETY: (S14) the slot is RESERVED for this guard, or the place its own, so nobody else touches its bytes; now they are
        // a `T`.
        unsafe {
            place.write(item);
            place.as_mut()
        }
    }

    /// The slot's bytes, zeroed, to be written piece by piece; what is committed must be a `T`.
    pub fn zeroed(&mut self) -> &mut T
    where
        T: bytemuck::Zeroable,
    {
        let mut place = self.place();
        // SAFETY: (S14) as in `write`; zeros are a `T`. In place: it may be larger than the stack.
        unsafe {
            place.write_bytes(0, 1);
            place.as_mut()
        }
    }

    /// The slot as it is, with an earlier item or zeros in it, to be written over: nothing is cleared first.
    ///
    /// ```
    /// let pictures = procshare::Queue::<[u8; 1024]>::anonymous(2)?;
    /// let mut slot = pictures.reserve()?;
    /// slot.as_is()[..3].copy_from_slice(b"new");
    /// slot.commit_in_place();
    /// assert_eq!(pictures.peek()?[..3], *b"new");
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn as_is(&mut self) -> &mut T
    where
        T: bytemuck::AnyBitPattern,
    {
        // SAFETY: (S14) as in `write`; any bytes are a `T`, and a mapping's are initialised.
        unsafe { self.place.as_mut() }
    }

    /// The slot to be written through; see [`commit_written`](Self::commit_written).
    pub fn uninit(&mut self) -> &mut MaybeUninit<T> {
        // SAFETY: (S14) as in `write`; nothing is said about what the bytes hold.
        unsafe { self.place.cast().as_mut() }
    }

    /// Puts what was written through [`uninit`](Self::uninit).
    ///
    /// # Safety
    ///
    /// The whole item has been written since [`uninit`](Self::uninit) was called.
    pub unsafe fn commit_written(self) {
        self.finish();
    }

    /// Writes the item and puts it.
    pub fn commit(mut self, item: T) {
        self.write(item);
        self.finish();
    }

    /// Puts what was written by [`write`](Self::write) or through [`zeroed`](Self::zeroed) or [`as_is`](Self::as_is).
    ///
    /// A slot that nothing was written to holds the bytes of an earlier item, or zeros: use [`commit`](Self::commit) unless the
    /// item was written in place. Getters check what they get, so this costs at worst an old item or an error.
    pub fn commit_in_place(self) {
        self.finish();
    }

    fn finish(mut self) {
        drop(self.aside.take());
        let this = std::mem::ManuallyDrop::new(self);
        this.ring.settle(this.slot, true);
    }
}

impl<T: Plain> Drop for Reservation<'_, T> {
    fn drop(&mut self) {
        self.ring.settle(self.slot, false);
    }
}

impl<T: Plain> fmt::Debug for Reservation<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("position", &self.slot.position).finish_non_exhaustive()
    }
}

/// An item of a [`Queue`](super::Queue) that is read in place; [`release`](Self::release) takes it out for good.
///
/// Dropping it unreleased gives the item to the next consumer, before all others. So does dying, as soon as it is noticed: by a
/// consumer that would find the queue empty, or a producer that would find it full. So work on it may be done twice, but never zero
/// times. Others put and get meanwhile. One that is forgotten is held as long as its process lives. In a forked child ending it is
/// without effect, and what it lends may change.
#[must_use = "dropping it gives the item to the next consumer"]
pub struct Peeked<'a, T: Plain> {
    ring: &'a Ring,
    slot: Slot,
    place: NonNull<T>,
    plain: PhantomData<&'a T>,
}

// SAFETY: (S14) nobody writes the slot while it is TAKEN; `T` is `Send` and `Sync`.
unsafe impl<T: Plain> Send for Peeked<'_, T> {}
// SAFETY: (S14) as above.
unsafe impl<T: Plain> Sync for Peeked<'_, T> {}

impl<'a, T: Plain> Peeked<'a, T> {
    /// Checks the item and lends it; `Err` gives back the slot of bytes that are no `T`.
    pub(super) fn new(ring: &'a Ring, slot: Slot) -> Result<Self, Slot> {
        if is_valid::<T>(ring, slot) {
            Ok(Peeked { ring, slot, place: place(ring, slot.position), plain: PhantomData })
        } else {
            Err(slot)
        }
    }

    /// The slot that is held.
    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// Takes the item out of the queue for good.
    pub fn release(self) {
        let this = std::mem::ManuallyDrop::new(self);
        this.ring.finish(this.slot, true);
    }
}

impl<T: Plain> Deref for Peeked<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: (S14) nobody writes the slot while it is TAKEN, and `new` checked that it is a `T`.
        unsafe { self.place.as_ref() }
    }
}

impl<T: Plain> Drop for Peeked<'_, T> {
    fn drop(&mut self) {
        self.ring.finish(self.slot, false);
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Peeked<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
