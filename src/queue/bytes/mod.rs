//! `BytesQueue`: items of any length between any number of producers and consumers.

mod guards;
mod object;
#[cfg(feature = "async")]
mod tasks;

use std::time::Duration;

use super::error::{GetError, PutError, not_put, not_taken};
use super::frames::FrameRing;
use super::many::{put_all, put_now};
use super::ring::{NotPut, NotTaken};
use super::wait::until;
use crate::error::Result;
use crate::time::Deadline;

pub use guards::{BytesReservation, PeekedBytes};

/// Bytes of a queue of bytes unless its creator says otherwise: 1 MiB.
pub const DEFAULT_BYTES_CAPACITY: usize = 1 << 20;

/// A bounded first-in-first-out queue of byte strings of any length between any number of producers and consumers.
///
/// The capacity is counted in bytes: one item may be as long as that, and each item costs 16 bytes and its length rounded up to 16.
/// Longer ones are refused with the limit. Items of one producer arrive in the order in which it put them. `put` waits while
/// there is no room, `get` while there is no item. An item is never cut in two in memory, so a long one may have to wait until
/// the queue is nearly empty; shorter ones of others may overtake it.
///
/// Items need not be copied: [`reserve`](Self::reserve) lends room to write, [`peek`](Self::peek) lends an item to
/// read; several processes may do so at the same time. Room is freed in order, so an item that is held in place for long
/// lets others go on until the ring is full.
///
/// # When somebody dies
///
/// As with [`Queue`](crate::Queue): a `put` that returned is delivered exactly once, in order; an item that was not
/// [released](PeekedBytes::release) goes to the next consumer; a producer that dies before its commit leaves nothing; no room is
/// ever lost, and nobody waits for the dead.
///
/// # Examples
///
/// ```
/// use procshare::BytesQueue;
///
/// let name = format!("doc-bytes-queue-{}", std::process::id());
/// let lines = BytesQueue::create(&name, 4096)?;
/// let same = BytesQueue::open(&name)?; // in any process of the user
/// lines.put(b"first")?;
/// lines.put_many(&["second", ""])?;
/// assert_eq!(same.get()?, b"first");
/// {
///     let line = same.peek()?; // not copied, and not lost if this process dies here
///     assert_eq!(&*line, b"second");
///     line.release();
/// }
/// let mut room = lines.reserve(3)?;
/// room.zeroed()[1] = 7;
/// room.commit();
/// lines.close()?;
/// assert_eq!(same.iter().collect::<Vec<_>>(), [vec![], vec![0, 7, 0]]);
/// assert!(lines.put(&[0; 5000]).is_err());
/// BytesQueue::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct BytesQueue {
    ring: FrameRing,
}

impl BytesQueue {
    /// Puts a copy of `item`, waiting while there is no room.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`]; [`PutError::Failed`] with [`Error::TooLong`](crate::Error::TooLong) for an item that is longer than the
    /// capacity, and for all else.
    #[inline]
    pub fn put(&self, item: &[u8]) -> Result<(), PutError<()>> {
        self.put_until(item, Deadline::Never)
    }

    /// Puts a copy of `item` if there is room.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`], and as [`put`](Self::put).
    #[inline]
    pub fn try_put(&self, item: &[u8]) -> Result<(), PutError<()>> {
        self.put_until(item, Deadline::Now)
    }

    /// Puts a copy of `item`, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`], and as [`put`](Self::put).
    pub fn put_timeout(&self, item: &[u8], timeout: Duration) -> Result<(), PutError<()>> {
        self.put_until(item, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Puts copies of all `items` in order, waiting while there is no room. Cheaper than one by one.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`] with the number of items that were put: those stay put. If one of them is too
    /// long, none was put.
    pub fn put_many(&self, items: &[impl AsRef<[u8]>]) -> Result<(), PutError<usize>> {
        self.put_many_until(items, Deadline::Never)
    }

    /// Puts copies of all `items` in order, waiting at most `timeout` in all.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`] with the number of items that were put, and as [`put_many`](Self::put_many).
    pub fn put_many_timeout(
        &self,
        items: &[impl AsRef<[u8]>],
        timeout: Duration,
    ) -> Result<(), PutError<usize>> {
        self.put_many_until(items, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Puts copies of as many of `items` as there is room for now, in order; tells how many.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`]; if one of them is too long, none was put.
    pub fn try_put_many(&self, items: &[impl AsRef<[u8]>]) -> Result<usize, PutError<()>> {
        let items = self.checked(items).map_err(|error| PutError::Failed((), error))?;
        put_now(items.len(), |from| self.put_some(&items[from..], Deadline::Now))
    }

    /// Takes the next item, waiting while there is none.
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`] when the queue is closed and drained; [`GetError::Failed`].
    #[inline]
    pub fn get(&self) -> Result<Vec<u8>, GetError> {
        self.get_until(Deadline::Never)
    }

    /// Takes the next item if there is one.
    ///
    /// # Errors
    ///
    /// [`GetError::Empty`], and as [`get`](Self::get).
    #[inline]
    pub fn try_get(&self) -> Result<Vec<u8>, GetError> {
        self.get_until(Deadline::Now)
    }

    /// Takes the next item, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`GetError::TimedOut`], and as [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Vec<u8>, GetError> {
        self.get_until(Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// Takes the next item into `to`, whose memory is used again; waits while there is none. Tells how long the item is.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); `to` is empty then.
    pub fn get_into(&self, to: &mut Vec<u8>) -> Result<usize, GetError> {
        self.get_into_until(to, Deadline::Never)
    }

    /// Takes the next item into `to` if there is one; tells how long it is.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get); `to` is empty then.
    pub fn try_get_into(&self, to: &mut Vec<u8>) -> Result<usize, GetError> {
        self.get_into_until(to, Deadline::Now)
    }

    /// Takes the next item into `to`, waiting at most `timeout`; tells how long it is.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout); `to` is empty then.
    pub fn get_into_timeout(&self, to: &mut Vec<u8>, timeout: Duration) -> Result<usize, GetError> {
        self.get_into_until(to, Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// Waits for an item and takes up to `most` that are there, in order. Cheaper than one by one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_many(&self, most: usize) -> Result<Vec<Vec<u8>>, GetError> {
        self.get_many_until(most, Deadline::Never)
    }

    /// Takes up to `most` items that are there now, in order.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_get_many(&self, most: usize) -> Result<Vec<Vec<u8>>, GetError> {
        self.get_many_until(most, Deadline::Now)
    }

    /// Waits at most `timeout` for an item and takes up to `most` that are there, in order.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Vec<u8>>, GetError> {
        self.get_many_until(most, Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// Holds room for an item of `len` bytes for writing in place, waiting while there is none.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn reserve(&self, len: usize) -> Result<BytesReservation<'_>, PutError<()>> {
        self.reserve_until(len, Deadline::Never)
    }

    /// Holds room for an item of `len` bytes for writing in place, if there is any.
    ///
    /// # Errors
    ///
    /// As [`try_put`](Self::try_put).
    pub fn try_reserve(&self, len: usize) -> Result<BytesReservation<'_>, PutError<()>> {
        self.reserve_until(len, Deadline::Now)
    }

    /// Holds room for an item of `len` bytes for writing in place, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`put_timeout`](Self::put_timeout).
    pub fn reserve_timeout(
        &self,
        len: usize,
        timeout: Duration,
    ) -> Result<BytesReservation<'_>, PutError<()>> {
        self.reserve_until(len, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Lends the next item for reading in place, waiting while there is none.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn peek(&self) -> Result<PeekedBytes<'_>, GetError> {
        self.peek_until(Deadline::Never)
    }

    /// Lends the next item for reading in place, if there is one.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_peek(&self) -> Result<PeekedBytes<'_>, GetError> {
        self.peek_until(Deadline::Now)
    }

    /// Lends the next item for reading in place, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn peek_timeout(&self, timeout: Duration) -> Result<PeekedBytes<'_>, GetError> {
        self.peek_until(Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// The items as they come, until the queue is closed and drained (or cannot be used any more).
    pub fn iter(&self) -> impl Iterator<Item = Vec<u8>> {
        std::iter::from_fn(|| self.get().ok())
    }

    /// The items that are there now.
    pub fn try_iter(&self) -> impl Iterator<Item = Vec<u8>> {
        std::iter::from_fn(|| self.try_get().ok())
    }

    /// Closes the queue: nothing can be put any more, consumers drain what is there. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// As [`Queue::close`](crate::Queue::close).
    pub fn close(&self) -> Result<()> {
        self.ring.close()
    }

    /// Whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Number of items, those being written in place and those given back included, those being read in place not. A hint: it may
    /// change at once.
    pub fn len(&self) -> usize {
        self.ring.len() as usize
    }

    /// Whether no item is there. A hint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in use: 16 and the rounded length of each item that is there or held in place. A hint; what was released in place counts
    /// until the next call that takes, or needs the room.
    pub fn bytes(&self) -> usize {
        self.ring.used() as usize
    }

    /// Bytes of the longest item there can be.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// The most [bytes](Self::bytes) that were in use at once, looked at every 64 items and whenever room is short.
    pub fn high_water(&self) -> usize {
        self.ring.high_water() as usize
    }

    /// Items put, and items taken, since the queue was made; abandoned reservations count as both.
    pub fn counts(&self) -> (u64, u64) {
        self.ring.counts()
    }

    /// The ring below.
    pub(super) fn ring(&self) -> &FrameRing {
        &self.ring
    }

    /// The items' bytes; an error if one of them is too long.
    fn checked<'i, B: AsRef<[u8]>>(&self, items: &'i [B]) -> Result<Vec<&'i [u8]>> {
        let checked = |item: &'i B| {
            let item = item.as_ref();
            self.ring.check_len(item.len()).map(|()| item)
        };
        items.iter().map(checked).collect()
    }

    #[inline]
    fn put_some(&self, items: &[&[u8]], deadline: Deadline) -> Result<usize, NotPut> {
        let member = &self.ring.attached().member;
        until(member.host(), member.me(), self.ring.waiting(false), deadline, || {
            self.ring.put(items, deadline)
        })
    }

    fn put_many_until(&self, items: &[impl AsRef<[u8]>], deadline: Deadline) -> Result<(), PutError<usize>> {
        let items = self.checked(items).map_err(|error| PutError::Failed(0, error))?;
        put_all(items.len(), deadline, |from| self.put_some(&items[from..], deadline))
    }

    #[inline]
    fn put_until(&self, item: &[u8], deadline: Deadline) -> Result<(), PutError<()>> {
        self.ring.check_len(item.len()).map_err(|error| PutError::Failed((), error))?;
        self.put_some(&[item], deadline).map(|_| ()).map_err(|why| not_put(why, deadline, ()))
    }

    fn reserve_until(&self, len: usize, deadline: Deadline) -> Result<BytesReservation<'_>, PutError<()>> {
        self.ring.check_len(len).map_err(|error| PutError::Failed((), error))?;
        let member = &self.ring.attached().member;
        until(member.host(), member.me(), self.ring.waiting(false), deadline, || {
            self.ring.reserve(len, deadline)
        })
        .map(|held| BytesReservation::new(&self.ring, held))
        .map_err(|why| not_put(why, deadline, ()))
    }

    #[inline]
    fn take_until<R>(
        &self,
        deadline: Deadline,
        attempt: impl FnMut() -> Result<R, NotTaken>,
    ) -> Result<R, GetError> {
        let member = &self.ring.attached().member;
        until(member.host(), member.me(), self.ring.waiting(true), deadline, attempt)
            .map_err(|why| not_taken(why, deadline))
    }

    #[inline]
    fn get_until(&self, deadline: Deadline) -> Result<Vec<u8>, GetError> {
        let mut to = Vec::new();
        self.take_until(deadline, || self.ring.get(&mut to, deadline))?;
        Ok(to)
    }

    fn get_into_until(&self, to: &mut Vec<u8>, deadline: Deadline) -> Result<usize, GetError> {
        to.clear();
        self.take_until(deadline, || self.ring.get(to, deadline))?;
        Ok(to.len())
    }

    fn get_many_until(&self, most: usize, deadline: Deadline) -> Result<Vec<Vec<u8>>, GetError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        self.take_until(deadline, || self.ring.get_many(most, deadline))
    }

    fn peek_until(&self, deadline: Deadline) -> Result<PeekedBytes<'_>, GetError> {
        let held = self.take_until(deadline, || self.ring.peek(deadline))?;
        Ok(PeekedBytes::new(&self.ring, held))
    }
}
