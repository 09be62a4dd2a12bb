//! Items of a queue of bytes held in place: one to be written, one to be read.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::error::{Error, Result};
use crate::queue::frames::{FrameRing, HeldFrame};
use crate::shm::Plain;

/// Room in a [`BytesQueue`](super::BytesQueue) that is written in place; [`commit`](Self::commit) puts it.
///
/// Dropping it uncommitted leaves nothing in the queue. Others put and get meanwhile; items behind it wait for it, because
/// order is kept. If its process dies, it is skipped; one that is forgotten is held as long as its process lives. In a forked child its copy is without effect: what the child writes goes to a
/// place of its own, which nobody else sees.
#[must_use = "dropping a reservation gives the room up"]
pub struct BytesReservation<'a> {
    ring: &'a FrameRing,
    held: HeldFrame,
    place: NonNull<u8>,
    /// Where a forked child writes: the room is its parent's.
    aside: Option<Box<[MaybeUninit<u8>]>>,
    /// So many bytes from the first one on are what the caller wrote, or zeros.
    written: usize,
}

// SAFETY: (S14) the place belongs to the reservation, whichever thread has it.
unsafe impl Send for BytesReservation<'_> {}

impl<'a> BytesReservation<'a> {
    pub(super) fn new(ring: &'a FrameRing, held: HeldFrame) -> Self {
        let place = place(ring, &held);
        BytesReservation { ring, held, place, aside: None, written: 0 }
    }

    /// Where to write.
    fn place(&mut self) -> NonNull<u8> {
        if self.aside.is_none() && self.ring.attached().member.me() != self.held.id {
            let aside = self.aside.insert(Box::new_uninit_slice(self.held.len));
            (self.place, self.written) = (NonNull::from(&mut **aside).cast(), 0);
        }
        self.place
    }

    /// Bytes of the item.
    pub fn len(&self) -> usize {
        self.held.len
    }

    /// Whether the item has no bytes.
    pub fn is_empty(&self) -> bool {
        self.held.len == 0
    }

    /// The bytes, to be written; what was not written before is zero.
    pub fn zeroed(&mut self) -> &mut [u8] {
        let (place, len) = (self.place(), self.held.len);
        // SAFETY: (S14) the frame is RESERVED for this guard, or the place its own, so nobody else touches its bytes; all of them
        // are written here or were before.
        unsafe {
            place.add(self.written).write_bytes(0, len - self.written);
            self.written = len;
            std::slice::from_raw_parts_mut(place.as_ptr(), len)
        }
    }

    /// All of it as items of type `T`, to be written; what was not written before is zero.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidBits`] if it is not a whole number of them, or they need another alignment than 16 or less; for what was
    /// written before and is no such item.
    pub fn zeroed_slice_of<T: Plain + bytemuck::Zeroable>(&mut self) -> Result<&mut [T]> {
        let (ring, len) = (self.ring, self.held.len);
        bytemuck::checked::try_cast_slice_mut(self.zeroed()).map_err(|_| no_items::<T>(ring, len))
    }

    /// Writes `from` to the beginning, as far as there is room; the rest becomes zero. Returns all bytes.
    pub fn write(&mut self, from: &[u8]) -> &mut [u8] {
        let (place, count) = (self.place(), from.len().min(self.held.len));
        // SAFETY: (S14) as in `zeroed`; the caller's bytes lie elsewhere, because the reservation is borrowed.
        unsafe { place.copy_from_nonoverlapping(NonNull::from(from).cast(), count) };
        self.written = count;
        self.zeroed()
    }

    /// The bytes as they are, to be written through; see [`commit_written`](Self::commit_written).
    pub fn uninit(&mut self) -> &mut [MaybeUninit<u8>] {
        self.written = 0;
        // SAFETY: (S14) as in `zeroed`; nothing is said about what the bytes hold.
        unsafe { std::slice::from_raw_parts_mut(self.place().as_ptr().cast(), self.held.len) }
    }

    /// Makes the item shorter; more bytes than it has change nothing.
    pub fn truncate(&mut self, len: usize) {
        self.ring.shorten(&mut self.held, len);
        self.written = self.written.min(self.held.len);
    }

    /// Puts the item: what was written by [`write`](Self::write) or through [`zeroed`](Self::zeroed), else zeros.
    pub fn commit(mut self) {
        self.zeroed();
        self.finish();
    }

    /// Puts what was written through [`uninit`](Self::uninit), without writing zeros first.
    ///
    /// # Safety
    ///
    /// Every byte has been written since [`uninit`](Self::uninit) was called.
    pub unsafe fn commit_written(self) {
        self.finish();
    }

    fn finish(mut self) {
        drop(self.aside.take());
        let this = std::mem::ManuallyDrop::new(self);
        this.ring.settle(this.held, true);
    }
}

impl Drop for BytesReservation<'_> {
    fn drop(&mut self) {
        self.ring.settle(self.held, false);
    }
}

impl fmt::Debug for BytesReservation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesReservation").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// An item of a [`BytesQueue`](super::BytesQueue) that is read in place; [`release`](Self::release) takes it out for good.
///
/// Dropping it unreleased, or dying, gives the item to the next consumer, before all others. So work on it may be done twice, but
/// never zero times. Others put and get meanwhile, until the ring is full: its room is freed in order. One that is forgotten is held as
/// long as its process lives. In a forked child ending it is without effect, and what it lends may change.
#[must_use = "dropping it gives the item to the next consumer"]
pub struct PeekedBytes<'a> {
    ring: &'a FrameRing,
    held: HeldFrame,
    place: NonNull<u8>,
}

// SAFETY: (S14) nobody writes the frame while it is TAKEN.
unsafe impl Send for PeekedBytes<'_> {}
// SAFETY: (S14) as above.
unsafe impl Sync for PeekedBytes<'_> {}

impl<'a> PeekedBytes<'a> {
    pub(super) fn new(ring: &'a FrameRing, held: HeldFrame) -> Self {
        PeekedBytes { ring, held, place: place(ring, &held) }
    }

    /// The item as items of type `T`; items of a queue of bytes begin at multiples of 16.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidBits`] for bytes that are no such items, or not a whole number of them, and for types of a larger alignment.
    ///
    /// ```
    /// let frames = procshare::BytesQueue::anonymous(1024)?;
    /// let mut frame = frames.reserve(4 * 100)?;
    /// frame.zeroed_slice_of::<f32>()?[7] = 0.5;
    /// frame.commit();
    /// let frame = frames.peek()?; // not copied
    /// assert_eq!(frame.slice_of::<f32>()?[7], 0.5);
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn slice_of<T: Plain>(&self) -> Result<&[T]> {
        bytemuck::checked::try_cast_slice(self).map_err(|_| no_items::<T>(self.ring, self.held.len))
    }

    /// Takes the item out of the queue for good.
    pub fn release(self) {
        let this = std::mem::ManuallyDrop::new(self);
        this.ring.finish(this.held, true);
    }
}

#[cold]
fn no_items<T: Plain>(ring: &FrameRing, len: usize) -> Error {
    let at = format!("an item of {len} bytes");
    Error::InvalidBits { object: ring.attached().object(), type_name: T::NAME, at }
}

fn place(ring: &FrameRing, held: &HeldFrame) -> NonNull<u8> {
    let (bytes, at) = ring.place(held);
    bytes.address(at, held.len)
}

impl Deref for PeekedBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: (S14) nobody writes the frame while it is TAKEN, and any bytes are `u8`s.
        unsafe { std::slice::from_raw_parts(self.place.as_ptr(), self.held.len) }
    }
}

impl Drop for PeekedBytes<'_> {
    fn drop(&mut self) {
        self.ring.finish(self.held, false);
    }
}

impl fmt::Debug for PeekedBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeekedBytes").field("len", &self.len()).finish_non_exhaustive()
    }
}
