//! The producer's end.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Duration;

use super::super::error::{PutError, not_put};
use super::super::many::{put_all, put_now};
use super::super::ring::NotPut;
use super::chunks::ReservedChunk;
use super::ring::{End, Role, SpscRing};
use super::waits::{Away, until};
use crate::error::Result;
use crate::shm::Plain;
use crate::time::Deadline;

/// The producer of an [`SpscQueue`](super::SpscQueue), which nobody else is meanwhile; dropping it gives the end back.
///
/// When its process dies, what it put stays put, and another one may take the end. In a forked child it is refused with
/// [`Error::Inherited`](crate::Error::Inherited).
pub struct Producer<T: Plain> {
    ring: SpscRing,
    end: End,
    away: Away,
    plain: PhantomData<fn(T)>,
}

impl<T: Plain> Producer<T> {
    pub(super) fn new(ring: &SpscRing) -> Result<Self> {
        let end = ring.claim(Role::Producer)?;
        Ok(Producer { ring: ring.clone(), end, away: Away::new(), plain: PhantomData })
    }

    pub(super) fn ring(&self) -> &SpscRing {
        &self.ring
    }

    /// Puts `item`, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`], with the item.
    #[inline]
    pub fn put(&mut self, item: T) -> Result<(), PutError<T>> {
        self.put_until(item, Deadline::Never)
    }

    /// Puts `item` unless the queue is full. Wait-free.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`], and as [`put`](Self::put).
    #[inline]
    pub fn try_put(&mut self, item: T) -> Result<(), PutError<T>> {
        self.put_until(item, Deadline::Now)
    }

    /// Puts `item`, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`], and as [`put`](Self::put).
    pub fn put_timeout(&mut self, item: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.put_until(item, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Puts all `items` in order, waiting while the queue is full. Cheaper than one by one.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`] with the number of items that were put: those stay put.
    pub fn put_many(&mut self, items: &[T]) -> Result<(), PutError<usize>> {
        self.put_many_until(items, Deadline::Never)
    }

    /// Puts all `items` in order, waiting at most `timeout` in all.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`] with the number of items that were put, and as [`put_many`](Self::put_many).
    pub fn put_many_timeout(&mut self, items: &[T], timeout: Duration) -> Result<(), PutError<usize>> {
        self.put_many_until(items, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Puts as many of `items` as there is room for now, in order; tells how many. Wait-free.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`].
    pub fn try_put_many(&mut self, items: &[T]) -> Result<usize, PutError<()>> {
        put_now(items.len(), |from| self.put_some(&items[from..], Deadline::Now))
    }

    /// Lends up to `most` free slots for writing in place, at least one, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`].
    pub fn reserve_many(&mut self, most: usize) -> Result<ReservedChunk<'_, T>, PutError<()>> {
        self.reserve_until(most, Deadline::Never)
    }

    /// Lends up to `most` slots that are free now for writing in place, at least one. Wait-free.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`], and as [`reserve_many`](Self::reserve_many).
    pub fn try_reserve_many(&mut self, most: usize) -> Result<ReservedChunk<'_, T>, PutError<()>> {
        self.reserve_until(most, Deadline::Now)
    }

    /// Lends up to `most` free slots for writing in place, at least one, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`], and as [`reserve_many`](Self::reserve_many).
    pub fn reserve_many_timeout(
        &mut self,
        most: usize,
        timeout: Duration,
    ) -> Result<ReservedChunk<'_, T>, PutError<()>> {
        self.reserve_until(most, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Lends the next `count` slots to `write`, with earlier items or zeros in them, and puts as many of them as it says. Not if they are
    /// not all free now, side by side: then nothing happens, and `write` is given back.
    #[cfg_attr(not(feature = "process"), allow(dead_code, reason = "workers of pools write so"))]
    #[inline]
    pub(crate) fn try_put_in_place<W: FnOnce(&mut [T]) -> usize>(
        &mut self,
        count: usize,
        write: W,
    ) -> Result<usize, W>
    where
        T: bytemuck::AnyBitPattern,
    {
        if self.ring.room_now(&mut self.end, count).is_none_or(|room| room < count) {
            return Err(write);
        }
        let [(front, in_front), _] = self.ring.places::<T>(&self.end, count);
        if in_front < count {
            return Err(write);
        }
        // SAFETY: (S18) the slots are free, and this is the producer's end, which is borrowed; any bytes are a `T`, and a mapping's are
        // initialised.
        let slots = unsafe { std::slice::from_raw_parts_mut(front.as_ptr(), count) };
        let written = write(slots).min(count);
        // What was called may have forked.
        if written > 0 && self.ring.check_owner(&self.end).is_ok() {
            self.ring.advance(Role::Producer, &mut self.end, written);
        }
        Ok(written)
    }

    /// Says that nothing more will be put: the consumer drains what is there.
    pub fn close(&mut self) {
        self.ring.close(&self.end);
    }

    /// Whether an end closed the queue.
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Number of free slots. A hint: it may grow at once.
    pub fn room(&self) -> usize {
        self.ring.capacity() - self.ring.len()
    }

    #[inline]
    fn put_until(&mut self, item: T, deadline: Deadline) -> Result<(), PutError<T>> {
        if self.ring.room_now(&mut self.end, 1).is_none()
            && let Err(why) = self.wait_for_room(1, deadline)
        {
            return Err(not_put(why, deadline, item));
        }
        // SAFETY: (S18) the slot is free, and this is the producer's end.
        unsafe { self.ring.place::<T>(&self.end).write(item) };
        self.ring.step(Role::Producer, &mut self.end);
        Ok(())
    }

    /// How many slots are free, after a look without success: it waits.
    #[cold]
    fn wait_for_room(&mut self, enough: usize, deadline: Deadline) -> Result<usize, NotPut> {
        let (ring, end) = (&self.ring, &mut self.end);
        until(ring, Role::Producer, &mut self.away, deadline, || ring.room(end, enough))
    }

    /// How many slots are free, at least one.
    #[inline]
    fn room_until(&mut self, enough: usize, deadline: Deadline) -> Result<usize, NotPut> {
        match self.ring.room_now(&mut self.end, enough) {
            Some(room) => Ok(room),
            None => self.wait_for_room(enough, deadline),
        }
    }

    #[inline]
    fn put_many_until(&mut self, items: &[T], deadline: Deadline) -> Result<(), PutError<usize>> {
        put_all(items.len(), deadline, |from| self.put_some(&items[from..], deadline))
    }

    #[inline]
    fn put_some(&mut self, items: &[T], deadline: Deadline) -> Result<usize, NotPut> {
        if items.is_empty() {
            return Ok(0);
        }
        let count = self.room_until(items.len(), deadline)?.min(items.len());
        let mut rest = items;
        for (place, len) in self.ring.places::<T>(&self.end, count) {
            let (now, later) = rest.split_at(len);
            // SAFETY: (S18) the slots are free, and this is the producer's end; the caller's items lie elsewhere, since
            // safe code has no references to slots but those that borrow the end.
            unsafe { place.copy_from_nonoverlapping(NonNull::from(now).cast(), len) };
            rest = later;
        }
        self.ring.advance(Role::Producer, &mut self.end, count);
        Ok(count)
    }

    #[inline]
    fn reserve_until(
        &mut self,
        most: usize,
        deadline: Deadline,
    ) -> Result<ReservedChunk<'_, T>, PutError<()>> {
        let most = most.clamp(1, self.ring.capacity());
        match self.room_until(most, deadline) {
            Ok(room) => Ok(ReservedChunk::new(&self.ring, &mut self.end, room.min(most))),
            Err(why) => Err(not_put(why, deadline, ())),
        }
    }
}

impl<T: Plain> Drop for Producer<T> {
    fn drop(&mut self) {
        self.ring.give_back(&self.end);
    }
}

impl<T: Plain> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("object", &self.ring.attached().object()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::SpscQueue;

    #[test]
    fn what_is_written_in_place_is_put_if_there_is_room_side_by_side() {
        let (mut producer, mut consumer) = SpscQueue::<u8>::anonymous(8).unwrap().split().unwrap();
        let mut put = |count: usize, written: &[u8]| {
            let write = |slots: &mut [u8]| {
                assert_eq!(slots.len(), count);
                slots[..written.len()].copy_from_slice(written);
                written.len()
            };
            producer.try_put_in_place(count, write).ok()
        };
        assert_eq!(put(9, &[]), None, "more than there ever is");
        assert_eq!(put(8, &[1, 2, 3]), Some(3), "fewer than were lent");
        assert_eq!(put(6, &[4]), None, "five are free");
        assert_eq!(put(5, &[]), Some(0), "nothing");
        assert_eq!(put(2, &[4, 5]), Some(2));
        assert_eq!(consumer.get_many(4).unwrap(), [1, 2, 3, 4]);
        assert_eq!(put(4, &[6]), None, "seven are free, but three of them at the end");
        assert_eq!(put(3, &[6, 7, 8]), Some(3));
        assert_eq!(put(4, &[9]), Some(1), "at the beginning");
        assert_eq!(consumer.get_many(8).unwrap(), [5, 6, 7, 8, 9]);
        drop(consumer.try_get());
        producer.close();
        assert!(producer.try_put_in_place(1, |_| 1).is_err());
    }

    #[test]
    fn a_writer_that_panics_puts_nothing() {
        let (mut producer, mut consumer) = SpscQueue::<u8>::anonymous(8).unwrap().split().unwrap();
        let write = |slots: &mut [u8]| -> usize {
            slots[0] = 7;
            panic!("no more");
        };
        let panics = std::panic::AssertUnwindSafe(|| producer.try_put_in_place(2, write).ok());
        assert!(std::panic::catch_unwind(panics).is_err());
        assert!(consumer.try_get().is_err());
        producer.put(1).unwrap();
        assert_eq!(consumer.get().unwrap(), 1);
    }
}
