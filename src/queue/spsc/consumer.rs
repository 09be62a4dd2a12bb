//! The consumer's end.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::time::Duration;

use super::super::error::{GetError, items, not_taken};
use super::super::ring::NotTaken;
use super::chunks::PeekedChunk;
use super::ring::{End, Role, SpscRing};
use super::waits::{Away, until};
use crate::error::{Error, Result};
use crate::shm::Plain;
use crate::shm::checked::{is_valid_at, read_checked};
use crate::time::Deadline;

/// The consumer of an [`SpscQueue`](super::SpscQueue), which nobody else is meanwhile; dropping it gives the end back.
///
/// When its process dies, what it had not taken is still there, and another one may take the end. In a forked child it is
/// refused with [`Error::Inherited`].
pub struct Consumer<T: Plain> {
    ring: SpscRing,
    end: End,
    away: Away,
    plain: PhantomData<fn() -> T>,
}

impl<T: Plain> Consumer<T> {
    pub(super) fn new(ring: &SpscRing) -> Result<Self> {
        let end = ring.claim(Role::Consumer)?;
        Ok(Consumer { ring: ring.clone(), end, away: Away::new(), plain: PhantomData })
    }

    pub(super) fn ring(&self) -> &SpscRing {
        &self.ring
    }

    /// Takes the next item, waiting while the queue is empty.
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`] when the queue is closed and drained; [`GetError::Failed`], also with [`Error::InvalidBits`] for bytes that
    /// are no `T` (they are taken out).
    #[inline]
    pub fn get(&mut self) -> Result<T, GetError> {
        self.get_until(Deadline::Never)
    }

    /// Takes the next item unless the queue is empty. Wait-free.
    ///
    /// # Errors
    ///
    /// [`GetError::Empty`], and as [`get`](Self::get).
    #[inline]
    pub fn try_get(&mut self) -> Result<T, GetError> {
        self.get_until(Deadline::Now)
    }

    /// Takes the next item, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`GetError::TimedOut`], and as [`get`](Self::get).
    pub fn get_timeout(&mut self, timeout: Duration) -> Result<T, GetError> {
        self.get_until(Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// Waits for an item and takes up to `most` that are there, in order. Cheaper than one by one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). Bytes that are no `T` end a batch before them and come alone: no other item is lost with them.
    pub fn get_many(&mut self, most: usize) -> Result<Vec<T>, GetError> {
        self.get_many_until(most, Deadline::Never)
    }

    /// Takes up to `most` items that are there now, in order. Wait-free.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_get_many(&mut self, most: usize) -> Result<Vec<T>, GetError> {
        self.get_many_until(most, Deadline::Now)
    }

    /// Waits at most `timeout` for an item and takes up to `most` that are there, in order.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn get_many_timeout(&mut self, most: usize, timeout: Duration) -> Result<Vec<T>, GetError> {
        self.get_many_until(most, Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// Lends up to `most` items for reading in place, at least one, waiting while the queue is empty.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn peek_many(&mut self, most: usize) -> Result<PeekedChunk<'_, T>, GetError> {
        self.peek_until(most, Deadline::Never)
    }

    /// Lends up to `most` items that are there now for reading in place, at least one. Wait-free.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_peek_many(&mut self, most: usize) -> Result<PeekedChunk<'_, T>, GetError> {
        self.peek_until(most, Deadline::Now)
    }

    /// Lends up to `most` items for reading in place, at least one, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn peek_many_timeout(
        &mut self,
        most: usize,
        timeout: Duration,
    ) -> Result<PeekedChunk<'_, T>, GetError> {
        self.peek_until(most, Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// The items as they come, until the queue is closed and drained (or cannot be used any more). Bytes that are no `T` are passed over.
    pub fn iter(&mut self) -> impl Iterator<Item = T> {
        items(|| self.get())
    }

    /// The items that are there now. Bytes that are no `T` are passed over.
    pub fn try_iter(&mut self) -> impl Iterator<Item = T> {
        items(|| self.try_get())
    }

    /// Says that nothing more is wanted: the producer is refused. What it puts at that moment may stay in the queue.
    pub fn close(&mut self) {
        self.ring.close(&self.end);
    }

    /// Whether an end closed the queue.
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Number of items. A hint: it may grow at once.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether no item is there. A hint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn get_until(&mut self, deadline: Deadline) -> Result<T, GetError> {
        if self.ring.available_now(&mut self.end, 1).is_none()
            && let Err(why) = self.wait_for_items(1, deadline)
        {
            return Err(not_taken(why, deadline));
        }
        let place = self.ring.place::<T>(&self.end);
        // SAFETY: (S18) the slot holds an item, and this is the consumer's end; it is aligned for `T`, and any bytes are a
        // `MaybeUninit<T>`.
        let item = unsafe { place.cast::<MaybeUninit<T>>().read() };
        self.ring.step(Role::Consumer, &mut self.end);
        // SAFETY: (S9) this private copy of the slot is initialised, aligned, and nobody else's.
        if unsafe { is_valid_at(NonNull::from(&item).cast::<T>()) } {
            // SAFETY: (S9) checked just now.
            Ok(unsafe { item.assume_init() })
        } else {
            Err(self.invalid())
        }
    }

    /// How many items are there, after a look without success: it waits.
    #[cold]
    fn wait_for_items(&mut self, enough: usize, deadline: Deadline) -> Result<usize, NotTaken> {
        let (ring, end) = (&self.ring, &mut self.end);
        until(ring, Role::Consumer, &mut self.away, deadline, || ring.available(end, enough))
    }

    /// How many items are there, at least one.
    #[inline]
    fn items_until(&mut self, enough: usize, deadline: Deadline) -> Result<usize, GetError> {
        match self.ring.available_now(&mut self.end, enough) {
            Some(available) => Ok(available),
            None => self.wait_for_items(enough, deadline).map_err(|why| not_taken(why, deadline)),
        }
    }

    fn get_many_until(&mut self, most: usize, deadline: Deadline) -> Result<Vec<T>, GetError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let most = most.min(self.ring.capacity());
        let count = self.items_until(most, deadline)?.min(most);
        let mut places: Vec<MaybeUninit<T::Bits>> = Vec::with_capacity(count);
        for (place, len) in self.ring.places::<T>(&self.end, count) {
            let to: *mut MaybeUninit<T::Bits> = places.spare_capacity_mut().as_mut_ptr().cast();
            // SAFETY: (S18) the slots hold items, and this is the consumer's end; there is room for `count` places, and
            // places are bytes of the same number.
            unsafe {
                place.cast::<u8>().as_ptr().copy_to_nonoverlapping(to.cast(), len * size_of::<T>());
                places.set_len(places.len() + len);
            }
        }
        // SAFETY: (S9) all bytes of these private copies were written.
        let is_item =
            |bits: &&MaybeUninit<T::Bits>| T::is_valid_bit_pattern(unsafe { bits.assume_init_ref() });
        // What is no item comes alone: the others are not lost with it.
        let valid = places.iter().take_while(is_item).count().max(1);
        places.truncate(valid);
        self.ring.advance(Role::Consumer, &mut self.end, valid);
        // SAFETY: (S9) all bytes of these private copies were written.
        let checked = places.iter().map(|bits| unsafe { read_checked(bits) });
        checked.map(|item| item.map_err(|_| self.invalid())).collect()
    }

    #[inline]
    fn peek_until(&mut self, most: usize, deadline: Deadline) -> Result<PeekedChunk<'_, T>, GetError> {
        let most = most.clamp(1, self.ring.capacity());
        let count = self.items_until(most, deadline)?.min(most);
        let valid = PeekedChunk::<T>::valid(&self.ring, &self.end, count);
        if valid == 0 {
            // Nobody can ever use it: it is taken out, like an invalid item of `get`.
            self.ring.step(Role::Consumer, &mut self.end);
            return Err(self.invalid());
        }
        Ok(PeekedChunk::new(&self.ring, &mut self.end, valid))
    }

    #[cold]
    fn invalid(&self) -> GetError {
        GetError::Failed(Error::InvalidBits {
            object: self.ring.attached().object(),
            type_name: T::NAME,
            at: "the item that was taken out".into(),
        })
    }
}

impl<T: Plain> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.ring.give_back(&self.end);
    }
}

impl<T: Plain> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("object", &self.ring.attached().object()).finish_non_exhaustive()
    }
}
