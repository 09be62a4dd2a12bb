//! Several slots of a `Queue` in place: some to be written, some to be read.

use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Index;
use std::ptr::NonNull;
use std::time::Duration;

use super::error::{GetError, PutError, not_put, not_taken};
use super::guards::{is_valid, place};
use super::plain::Queue;
use super::ring::{Ring, Slot};
use super::wait::until;
use crate::error::Error;
use crate::shm::Plain;
use crate::time::Deadline;

impl<T: Plain> Queue<T> {
    /// Holds up to `most` free slots for writing in place, at least one, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`].
    ///
    /// ```
    /// let jobs = procshare::Queue::<u64>::anonymous(8)?;
    /// let mut batch = jobs.reserve_many(4)?;
    /// batch.extend_from_slice(&[1, 2]);
    /// batch.push(3).unwrap();
    /// assert_eq!(jobs.try_get().ok(), None, "nothing is there before the commit");
    /// assert_eq!(batch.commit(), 3); // all of it is there now
    ///
    /// let items = jobs.peek_many(10)?;
    /// assert_eq!(items.iter().sum::<u64>(), 6);
    /// items.release();
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn reserve_many(&self, most: usize) -> Result<ReservedBatch<'_, T>, PutError<()>> {
        self.reserve_batch(1, most, Deadline::Never)
    }

    /// Holds up to `most` slots that are free now for writing in place, at least one.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`], and as [`reserve_many`](Self::reserve_many).
    pub fn try_reserve_many(&self, most: usize) -> Result<ReservedBatch<'_, T>, PutError<()>> {
        self.reserve_batch(1, most, Deadline::Now)
    }

    /// Holds up to `most` free slots for writing in place, at least one, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`], and as [`reserve_many`](Self::reserve_many).
    pub fn reserve_many_timeout(
        &self,
        most: usize,
        timeout: Duration,
    ) -> Result<ReservedBatch<'_, T>, PutError<()>> {
        self.reserve_batch(1, most, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Holds `count` slots (one at least) for writing in place if so many are free now: what shall come all at once or not at all.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`]; [`PutError::Failed`] with [`Error::TooLong`] for more than the capacity, which are never free; else as
    /// [`reserve_many`](Self::reserve_many).
    pub fn try_reserve_exact(&self, count: usize) -> Result<ReservedBatch<'_, T>, PutError<()>> {
        if count > self.capacity() {
            let (at, room) = ("one batch".into(), self.capacity());
            let object = self.ring().attached().object();
            return Err(PutError::Failed((), Error::TooLong { object, at, room, found: count }));
        }
        self.reserve_batch(count, count, Deadline::Now)
    }

    /// Lends up to `most` items for reading in place, at least one, waiting while the queue is empty.
    ///
    /// All of them are taken, so that other consumers get those behind them; what is not released comes back. As with
    /// [`peek`](Self::peek), their slots are in use until then.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn peek_many(&self, most: usize) -> Result<PeekedBatch<'_, T>, GetError> {
        self.peek_batch(most, Deadline::Never)
    }

    /// Lends up to `most` items that are there now for reading in place, at least one.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_peek_many(&self, most: usize) -> Result<PeekedBatch<'_, T>, GetError> {
        self.peek_batch(most, Deadline::Now)
    }

    /// Lends up to `most` items for reading in place, at least one, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn peek_many_timeout(&self, most: usize, timeout: Duration) -> Result<PeekedBatch<'_, T>, GetError> {
        self.peek_batch(most, Deadline::after(timeout)).map_err(GetError::timed)
    }

    fn reserve_batch(
        &self,
        least: usize,
        most: usize,
        deadline: Deadline,
    ) -> Result<ReservedBatch<'_, T>, PutError<()>> {
        let ring = self.ring();
        let (least, most) = (least as u64, (most as u64).clamp(1, ring.capacity()));
        let member = &ring.attached().member;
        until(member.host(), member.me(), ring.waiting(false), deadline, || {
            ring.reserve_many(least, most, deadline)
        })
        .map(|(first, count)| ReservedBatch { ring, first, count, written: 0, plain: PhantomData })
        .map_err(|why| not_put(why, deadline, ()))
    }

    fn peek_batch(&self, most: usize, deadline: Deadline) -> Result<PeekedBatch<'_, T>, GetError> {
        let ring = self.ring();
        let most = (most as u64).clamp(1, ring.capacity());
        let member = &ring.attached().member;
        let (first, count) = until(member.host(), member.me(), ring.waiting(true), deadline, || {
            ring.peek_many(most, deadline)
        })
        .map_err(|why| not_taken(why, deadline))?;
        let at = |ahead| Slot { position: first.position.wrapping_add(ahead), ..first };
        let valid = (0..count).take_while(|&ahead| is_valid::<T>(ring, at(ahead))).count() as u64;
        if valid == 0 {
            // Nobody can ever use it: it is taken out, like an invalid item of `get`.
            ring.finish_many(first, count, 1);
            return Err(GetError::Failed(self.invalid()));
        }
        // What lies behind the first invalid one comes back, and that one first.
        ring.finish_many(at(valid), count - valid, 0);
        Ok(PeekedBatch { ring, first, count: valid, plain: PhantomData })
    }
}

/// Slots of a [`Queue`] that are written in place; [`commit`](Self::commit) puts them in one step.
///
/// What was not written before the commit is not put. Dropping the batch, or dying at any instruction before the commit, puts nothing; who
/// dies behind it has put all. Others put and get meanwhile; items behind the batch wait for it, because order is kept. A forked
/// child's copy has no slots.
#[must_use = "dropping it puts nothing"]
pub struct ReservedBatch<'a, T: Plain> {
    ring: &'a Ring,
    first: Slot,
    count: u64,
    /// So many from the first one on hold items.
    written: u64,
    plain: PhantomData<&'a mut T>,
}

// SAFETY: (S14) the slots belong to the reservation, whichever thread has it; `T` is `Send`.
unsafe impl<T: Plain> Send for ReservedBatch<'_, T> {}

impl<T: Plain> ReservedBatch<'_, T> {
    /// Number of slots.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Never: there is at least one slot.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of slots that are written.
    pub fn written(&self) -> usize {
        self.written as usize
    }

    /// Whether the slots are the calling process's: a forked child's copy has none.
    fn is_mine(&self) -> bool {
        self.ring.attached().member.me() == self.first.id
    }

    /// Writes the next slot.
    ///
    /// # Errors
    ///
    /// The item, if all slots are written, or in a forked child.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.written == self.count || !self.is_mine() {
            return Err(item);
        }
        // SAFETY: (S14) the slot is reserved for this guard, so nobody else touches its bytes.
        unsafe { self.place(self.written).write(item) };
        self.written += 1;
        Ok(())
    }

    /// Writes the next slots, as many as there are; tells how many.
    pub fn extend_from_slice(&mut self, items: &[T]) -> usize {
        items.iter().take_while(|item| self.push(**item).is_ok()).count()
    }

    /// All slots in order, to be changed in place; those that were not written are zeroed first.
    pub fn zeroed(&mut self) -> impl Iterator<Item = &mut T>
    where
        T: bytemuck::Zeroable,
    {
        let count = if self.is_mine() { self.count } else { 0 };
        for ahead in self.written..count {
            // SAFETY: (S14) as in `push`; zeros are a `T`. In place: it may be larger than the stack.
            unsafe { self.place(ahead).write_bytes(0, 1) };
        }
        self.written = count;
        let this = &*self;
        // SAFETY: (S14) as in `push`; every slot holds a `T` now, the slots do not overlap, and the guard is borrowed.
        (0..count).map(move |ahead| unsafe { this.place(ahead).as_mut() })
    }

    /// All slots in order as they are, to be written through; see [`commit_written`](Self::commit_written).
    pub fn uninit(&mut self) -> impl Iterator<Item = &mut MaybeUninit<T>> {
        self.written = 0;
        let count = if self.is_mine() { self.count } else { 0 };
        let this = &*self;
        // SAFETY: (S14) as in `zeroed`; nothing is said about what the slots hold.
        (0..count).map(move |ahead| unsafe { this.place(ahead).cast().as_mut() })
    }

    /// Puts what was written, in one step; tells how many items that are.
    pub fn commit(self) -> usize {
        self.settle()
    }

    /// Puts the first `count` slots, or all if there are fewer, in one step.
    ///
    /// # Safety
    ///
    /// They have been written since [`uninit`](Self::uninit) was called.
    pub unsafe fn commit_written(mut self, count: usize) -> usize {
        self.written = self.count.min(count as u64);
        self.settle()
    }

    fn settle(self) -> usize {
        let this = ManuallyDrop::new(self);
        this.ring.settle_many(this.first, this.count, this.written);
        if this.is_mine() { this.written as usize } else { 0 }
    }

    fn place(&self, ahead: u64) -> NonNull<T> {
        place(self.ring, self.first.position.wrapping_add(ahead))
    }
}

impl<T: Plain> Drop for ReservedBatch<'_, T> {
    fn drop(&mut self) {
        self.ring.settle_many(self.first, self.count, 0);
    }
}

impl<T: Plain> fmt::Debug for ReservedBatch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReservedBatch").field("len", &self.count).field("written", &self.written).finish()
    }
}

/// Items of a [`Queue`] that are read in place; [`release`](Self::release) takes them out for good.
///
/// Dropping it unreleased gives them to the next consumers, before all others and in order. So does dying, as soon as it is noticed:
/// see [`Peeked`](crate::Peeked). Without effect in a forked child.
#[must_use = "dropping it gives the items to the next consumers"]
pub struct PeekedBatch<'a, T: Plain> {
    ring: &'a Ring,
    first: Slot,
    count: u64,
    plain: PhantomData<&'a T>,
}

// SAFETY: (S14) nobody writes the slots while they are TAKEN; `T` is `Send` and `Sync`.
unsafe impl<T: Plain> Send for PeekedBatch<'_, T> {}
// SAFETY: (S14) as above.
unsafe impl<T: Plain> Sync for PeekedBatch<'_, T> {}

impl<T: Plain> PeekedBatch<'_, T> {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Never: there is at least one item.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The item at `index`, if there are so many.
    pub fn get(&self, index: usize) -> Option<&T> {
        // SAFETY: (S14) nobody writes the slots while they are TAKEN, and `peek_batch` checked that they are `T`s.
        ((index as u64) < self.count)
            .then(|| unsafe { place(self.ring, self.first.position.wrapping_add(index as u64)).as_ref() })
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Takes all of them out for good. Who dies within it has released those up to some item.
    pub fn release(self) {
        let count = self.len();
        self.release_some(count);
    }

    /// Takes the first `count` of them out for good, or all if there are fewer; the others go to the next consumers.
    pub fn release_some(self, count: usize) {
        let this = ManuallyDrop::new(self);
        this.ring.finish_many(this.first, this.count, count as u64);
    }
}

impl<T: Plain> Index<usize> for PeekedBatch<'_, T> {
    type Output = T;

    /// # Panics
    ///
    /// If there are not so many.
    fn index(&self, index: usize) -> &T {
        self.get(index).unwrap_or_else(|| panic!("item {index} of a batch of {}", self.count))
    }
}

impl<T: Plain> Drop for PeekedBatch<'_, T> {
    fn drop(&mut self) {
        self.ring.finish_many(self.first, self.count, 0);
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for PeekedBatch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
