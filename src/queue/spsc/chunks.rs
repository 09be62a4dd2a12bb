//! Several slots in place: some to be written, some to be read. At the ring's end they are two pieces.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::ring::{End, Role, SpscRing};
use crate::shm::Plain;
use crate::shm::checked::is_valid_at;

/// Free slots of an [`SpscQueue`](super::SpscQueue) that are written in place; [`commit`](Self::commit) puts them.
///
/// What was not written before the commit is not put; dropping it, or dying, puts nothing. A forked child's copy has no slots.
#[must_use = "dropping it puts nothing"]
pub struct ReservedChunk<'a, T: Plain> {
    ring: &'a SpscRing,
    end: &'a mut End,
    pieces: [(NonNull<T>, usize); 2],
    /// So many from the first one on hold items.
    written: usize,
    plain: PhantomData<&'a mut T>,
}

// SAFETY: (S18) the slots belong to the holder of the end, whichever thread has it; `T` is `Send`.
unsafe impl<T: Plain> Send for ReservedChunk<'_, T> {}

impl<'a, T: Plain> ReservedChunk<'a, T> {
    pub(super) fn new(ring: &'a SpscRing, end: &'a mut End, count: usize) -> Self {
        let pieces = ring.places(end, count);
        ReservedChunk { ring, end, pieces, written: 0, plain: PhantomData }
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.pieces[0].1 + self.pieces[1].1
    }

    /// Never: there is at least one slot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of slots that are written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Writes the next slot.
    ///
    /// # Errors
    ///
    /// The item, if all slots are written, or in a forked child.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        let [(front, in_front), (back, _)] = self.pieces;
        if self.written == self.len() || self.ring.check_owner(self.end).is_err() {
            return Err(item);
        }
        // SAFETY: (S18) the slot is free and this is the producer's end, so nobody else touches it; it is one of the pieces'.
        unsafe {
            match self.written.checked_sub(in_front) {
                None => front.add(self.written).write(item),
                Some(at) => back.add(at).write(item),
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Writes the next slots, as many as there are; tells how many.
    pub fn extend_from_slice(&mut self, items: &[T]) -> usize {
        items.iter().take_while(|item| self.push(**item).is_ok()).count()
    }

    /// All slots, to be changed in place; those that were not written are zeroed first.
    pub fn zeroed(&mut self) -> (&mut [T], &mut [T])
    where
        T: bytemuck::Zeroable,
    {
        if self.ring.check_owner(self.end).is_err() {
            return (&mut [], &mut []);
        }
        let [(front, in_front), (back, in_back)] = self.pieces;
        let (early, late) = (self.written.min(in_front), self.written.saturating_sub(in_front));
        // SAFETY: (S18) as in `push`; these are the slots that were not written, and zeros are a `T`. In place: an item may be
        // larger than the stack.
        unsafe {
            front.add(early).write_bytes(0, in_front - early);
            back.add(late).write_bytes(0, in_back - late);
        }
        self.all()
    }

    /// All slots as they are, with earlier items or zeros in them, to be written over: nothing is cleared first. None in a forked
    /// child.
    ///
    /// ```
    /// let (mut producer, mut consumer) = procshare::SpscQueue::<[u8; 1024]>::anonymous(2)?.split()?;
    /// let mut pictures = producer.reserve_many(1)?;
    /// pictures.as_is().0[0][..3].copy_from_slice(b"new");
    /// pictures.commit();
    /// assert_eq!(consumer.peek_many(1)?.as_slices().0[0][..3], *b"new");
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn as_is(&mut self) -> (&mut [T], &mut [T])
    where
        T: bytemuck::AnyBitPattern,
    {
        // Any bytes are a `T`, and a mapping's are initialised.
        self.all()
    }

    /// All slots, each of which holds a `T`; from now on they count as written. None in a forked child.
    fn all(&mut self) -> (&mut [T], &mut [T]) {
        if self.ring.check_owner(self.end).is_err() {
            return (&mut [], &mut []);
        }
        self.written = self.len();
        let [(front, in_front), (back, in_back)] = self.pieces;
        // SAFETY: (S18) as in `push`; every slot holds a `T`, and the pieces do not overlap.
        unsafe {
            (
                std::slice::from_raw_parts_mut(front.as_ptr(), in_front),
                std::slice::from_raw_parts_mut(back.as_ptr(), in_back),
            )
        }
    }

    /// All slots, to be written through; see [`commit_written`](Self::commit_written). None in a forked child.
    pub fn uninit(&mut self) -> (&mut [MaybeUninit<T>], &mut [MaybeUninit<T>]) {
        if self.ring.check_owner(self.end).is_err() {
            return (&mut [], &mut []);
        }
        self.written = 0;
        let [(front, in_front), (back, in_back)] = self.pieces;
        // SAFETY: (S18) as in `push`; nothing is said about what the slots hold, and the pieces do not overlap.
        unsafe {
            (
                std::slice::from_raw_parts_mut(front.cast().as_ptr(), in_front),
                std::slice::from_raw_parts_mut(back.cast().as_ptr(), in_back),
            )
        }
    }

    /// Puts the first `count` items, at most all, that were written through [`uninit`](Self::uninit); tells how many those are.
    ///
    /// # Safety
    ///
    /// The first `count` slots have been written since [`uninit`](Self::uninit) was called.
    pub unsafe fn commit_written(mut self, count: usize) -> usize {
        self.written = count.min(self.len());
        self.commit()
    }

    /// Puts what was written, in one step; tells how many items that are.
    pub fn commit(self) -> usize {
        if self.written == 0 || self.ring.check_owner(self.end).is_err() {
            return 0;
        }
        self.ring.advance(Role::Producer, self.end, self.written);
        self.written
    }
}

impl<T: Plain> fmt::Debug for ReservedChunk<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReservedChunk").field("len", &self.len()).field("written", &self.written).finish()
    }
}

/// Items of an [`SpscQueue`](super::SpscQueue) that are read in place; [`release`](Self::release) takes them out for good.
///
/// Dropping it unreleased, or dying, leaves them where they are, for the next read.
#[must_use = "dropping it leaves the items in the queue"]
pub struct PeekedChunk<'a, T: Plain> {
    ring: &'a SpscRing,
    end: &'a mut End,
    pieces: [(NonNull<T>, usize); 2],
    plain: PhantomData<&'a T>,
}

// SAFETY: (S18) nobody writes the slots before they are released; `T` is `Send` and `Sync`.
unsafe impl<T: Plain> Send for PeekedChunk<'_, T> {}
// SAFETY: (S18) as above.
unsafe impl<T: Plain> Sync for PeekedChunk<'_, T> {}

impl<'a, T: Plain> PeekedChunk<'a, T> {
    /// How many of the next `count` slots, from the first on, hold bytes that are a `T`.
    pub(super) fn valid(ring: &SpscRing, end: &End, count: usize) -> usize {
        const { assert!(size_of::<T>() == size_of::<T::Bits>()) };
        const { assert!(align_of::<T::Bits>() <= align_of::<T>()) };
        let mut valid = 0;
        for (place, len) in ring.places::<T>(end, count) {
            for at in 0..len {
                // SAFETY: (S18) the slot holds an item, is aligned for `T`, and this is the consumer's end.
                if !unsafe { is_valid_at(place.add(at)) } {
                    return valid;
                }
                valid += 1;
            }
        }
        valid
    }

    /// The next `count` items, which were checked.
    pub(super) fn new(ring: &'a SpscRing, end: &'a mut End, count: usize) -> Self {
        let pieces = ring.places(end, count);
        PeekedChunk { ring, end, pieces, plain: PhantomData }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.pieces[0].1 + self.pieces[1].1
    }

    /// Never: there is at least one item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items, in order: the second slice follows the first and is often empty.
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let [(front, in_front), (back, in_back)] = self.pieces;
        // SAFETY: (S18) nobody writes the slots before they are released, and `valid` found a `T` in each of them.
        unsafe {
            (
                std::slice::from_raw_parts(front.as_ptr(), in_front),
                std::slice::from_raw_parts(back.as_ptr(), in_back),
            )
        }
    }

    /// The items one by one.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (front, back) = self.as_slices();
        front.iter().chain(back)
    }

    /// Takes all of them out for good, in one step.
    pub fn release(self) {
        let count = self.len();
        self.release_some(count);
    }

    /// Takes the first `count` of them out for good, or all if there are fewer; the others stay.
    pub fn release_some(self, count: usize) {
        if self.ring.check_owner(self.end).is_ok() {
            self.ring.advance(Role::Consumer, self.end, count.min(self.len()));
        }
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for PeekedChunk<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
