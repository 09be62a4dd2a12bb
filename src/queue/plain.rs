//! `Queue<T>`: a bounded ring of plain data between any number of producers and consumers.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::time::Duration;

use super::error::{GetError, PutError, items, not_put, not_taken};
use super::guards::{Peeked, Reservation};
use super::many::{put_all, put_now};
use super::ring::{Layout, NotPut, NotTaken, Ring};
use super::wait::until;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, constructors};
use crate::shm::checked::read_checked;
use crate::shm::header::TypeInfo;
use crate::shm::{Kind, Plain};
use crate::time::Deadline;

/// Slots of a queue unless its creator says otherwise.
pub const DEFAULT_QUEUE_CAPACITY: usize = 1024;

/// A bounded first-in-first-out queue of plain data between any number of producers and consumers, in any processes.
///
/// Items of one producer arrive in the order in which it put them. `put` waits while the queue is full, `get` while it is empty.
/// There is no thread behind it: an item that was put is in shared memory, whatever happens to its producer.
///
/// Large items need not be copied: [`reserve`](Self::reserve) lends a slot to write, [`peek`](Self::peek) lends an item to
/// read; several processes may do so at the same time.
///
/// # When somebody dies
///
/// A `put` that returned is delivered exactly once, in order. Delivered means that the consumer committed: `get` commits just
/// before it returns, so an item whose consumer dies after that counts as delivered; with [`peek`](Self::peek) an item that
/// was not released goes to the next consumer. A producer that dies before its commit leaves nothing. Nobody's death closes the
/// queue. No slot is ever lost, and nobody waits for the dead.
///
/// A process that is stopped (by a debugger, say) is not dead. In the middle of a call it keeps the other producers, or the other
/// consumers, waiting; `try_` forms then say after 10 ms that the queue is full, or empty. What it holds in place stays its own.
///
/// # Examples
///
/// ```
/// use procshare::Queue;
///
/// let name = format!("doc-queue-{}", std::process::id());
/// let jobs = Queue::<u64>::create(&name, 100)?;
/// let same = Queue::<u64>::open(&name)?; // in any process of the user
/// jobs.put(1)?;
/// jobs.put_many(&[2, 3])?;
/// assert_eq!(same.get()?, 1);
/// {
///     let job = same.peek()?; // not copied, and not lost if this process dies here
///     assert_eq!(*job, 2);
///     job.release();
/// }
/// jobs.close()?;
/// assert_eq!(same.iter().collect::<Vec<_>>(), [3]);
/// Queue::<u64>::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct Queue<T: Plain> {
    ring: Ring,
    plain: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Queue<T> {
    /// Puts `item`, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`], with the item.
    #[inline]
    pub fn put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_until(item, Deadline::Never)
    }

    /// Puts `item` unless the queue is full.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`], and as [`put`](Self::put).
    #[inline]
    pub fn try_put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_until(item, Deadline::Now)
    }

    /// Puts `item`, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`], and as [`put`](Self::put).
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.put_until(item, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Puts all `items` in order, waiting while the queue is full. Cheaper than one by one.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`] with the number of items that were put: those stay put.
    pub fn put_many(&self, items: &[T]) -> Result<(), PutError<usize>> {
        self.put_many_until(items, Deadline::Never)
    }

    /// Puts all `items` in order, waiting at most `timeout` in all.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`] with the number of items that were put, and as [`put_many`](Self::put_many).
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<(), PutError<usize>> {
        self.put_many_until(items, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Puts as many of `items` as there is room for now, in order; tells how many.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`].
    pub fn try_put_many(&self, items: &[T]) -> Result<usize, PutError<()>> {
        put_now(items.len(), |from| self.put_bytes(bytemuck::cast_slice(&items[from..]), Deadline::Now))
    }

    /// Takes the next item, waiting while the queue is empty.
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`] when the queue is closed and drained; [`GetError::Failed`], also with [`Error::InvalidBits`] for bytes that
    /// are no `T` (they are taken out).
    #[inline]
    pub fn get(&self) -> Result<T, GetError> {
        self.get_until(Deadline::Never)
    }

    /// Takes the next item unless the queue is empty.
    ///
    /// # Errors
    ///
    /// [`GetError::Empty`], and as [`get`](Self::get).
    #[inline]
    pub fn try_get(&self) -> Result<T, GetError> {
        self.get_until(Deadline::Now)
    }

    /// Takes the next item, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`GetError::TimedOut`], and as [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError> {
        self.get_until(Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// Waits for an item and takes up to `most` that are there, in order. Cheaper than one by one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). Bytes that are no `T` end a batch before them and come alone: no other item is lost with them.
    pub fn get_many(&self, most: usize) -> Result<Vec<T>, GetError> {
        self.get_many_until(most, Deadline::Never)
    }

    /// Takes up to `most` items that are there now, in order.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_get_many(&self, most: usize) -> Result<Vec<T>, GetError> {
        self.get_many_until(most, Deadline::Now)
    }

    /// Waits at most `timeout` for an item and takes up to `most` that are there, in order.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<T>, GetError> {
        self.get_many_until(most, Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// Holds the next free slot for writing in place, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`].
    pub fn reserve(&self) -> Result<Reservation<'_, T>, PutError<()>> {
        self.reserve_until(Deadline::Never)
    }

    /// Holds the next free slot for writing in place, unless the queue is full.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`], and as [`reserve`](Self::reserve).
    pub fn try_reserve(&self) -> Result<Reservation<'_, T>, PutError<()>> {
        self.reserve_until(Deadline::Now)
    }

    /// Holds the next free slot for writing in place, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`], and as [`reserve`](Self::reserve).
    pub fn reserve_timeout(&self, timeout: Duration) -> Result<Reservation<'_, T>, PutError<()>> {
        self.reserve_until(Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Lends the next item for reading in place, waiting while the queue is empty.
    ///
    /// Its slot is taken until the guard goes: others put and get meanwhile, but after one lap of the ring the queue is full there, though
    /// [`len`](Self::len) no longer counts the item. Release it soon, or copy it by [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn peek(&self) -> Result<Peeked<'_, T>, GetError> {
        self.peek_until(Deadline::Never)
    }

    /// Lends the next item for reading in place, unless the queue is empty.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_peek(&self) -> Result<Peeked<'_, T>, GetError> {
        self.peek_until(Deadline::Now)
    }

    /// Lends the next item for reading in place, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn peek_timeout(&self, timeout: Duration) -> Result<Peeked<'_, T>, GetError> {
        self.peek_until(Deadline::after(timeout)).map_err(GetError::timed)
    }

    /// The items as they come, until the queue is closed and drained (or cannot be used any more). Bytes that are no `T` are passed over.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        items(|| self.get())
    }

    /// The items that are there now. Bytes that are no `T` are passed over.
    pub fn try_iter(&self) -> impl Iterator<Item = T> {
        items(|| self.try_get())
    }

    /// Closes the queue: nothing can be put any more, consumers drain what is there. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if for seconds nobody could put, because a process is stopped in the middle of it or the queue's memory is
    /// garbage; [`Error::ReadOnly`], and what keeps a forked child from joining.
    pub fn close(&self) -> Result<()> {
        self.ring.close()
    }

    /// Whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Number of items that nobody has taken: those being written in place and those given back count, those being read in place
    /// do not. A hint: it may change at once.
    pub fn len(&self) -> usize {
        self.ring.len() as usize
    }

    /// Whether no item is there. A hint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a [`put`](Self::put) would wait: the next slot holds an item, or one that is still read in place. A hint.
    pub fn is_full(&self) -> bool {
        self.ring.is_full()
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.ring.capacity() as usize
    }

    /// The most items that were in the queue at once, looked at every 64 items and whenever it is full.
    pub fn high_water(&self) -> usize {
        self.ring.high_water() as usize
    }

    /// Items put, and items taken, since the queue was made.
    pub fn counts(&self) -> (u64, u64) {
        self.ring.counts()
    }
}

impl<T: Plain> Queue<T> {
    /// The ring below.
    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    #[inline]
    fn put_bytes(&self, items: &[u8], deadline: Deadline) -> Result<usize, NotPut> {
        let member = &self.ring.attached().member;
        until(member.host(), member.me(), self.ring.waiting(false), deadline, || {
            self.ring.put(items, deadline)
        })
    }

    #[inline]
    fn put_many_until(&self, items: &[T], deadline: Deadline) -> Result<(), PutError<usize>> {
        put_all(items.len(), deadline, |from| self.put_bytes(bytemuck::cast_slice(&items[from..]), deadline))
    }

    #[inline]
    fn put_until(&self, item: T, deadline: Deadline) -> Result<(), PutError<T>> {
        let (ring, mut again) = (&self.ring, false);
        let member = &ring.attached().member;
        let outcome = until(member.host(), member.me(), ring.waiting(false), deadline, || {
            // Who waits looks before it takes the lock: the consumers' work goes on undisturbed.
            if std::mem::replace(&mut again, true) && ring.is_plainly_full() {
                return Err(NotPut::Full);
            }
            ring.put_value(&item, deadline)
        });
        outcome.map_err(|why| not_put(why, deadline, item))
    }

    #[inline]
    fn get_until(&self, deadline: Deadline) -> Result<T, GetError> {
        let mut bits = MaybeUninit::<T::Bits>::uninit();
        let (ring, mut again) = (&self.ring, false);
        let member = &ring.attached().member;
        until(member.host(), member.me(), ring.waiting(true), deadline, || {
            // As in `put_until`.
            if std::mem::replace(&mut again, true) && ring.is_plainly_empty() {
                return Err(NotTaken::Empty);
            }
            ring.get_value(&mut bits, deadline)
        })
        .map_err(|why| not_taken(why, deadline))?;
        // SAFETY: (S9) `get_value` wrote all bytes of this private copy.
        unsafe { read_checked(&bits) }.map_err(|_| GetError::Failed(self.invalid()))
    }

    fn get_many_until(&self, most: usize, deadline: Deadline) -> Result<Vec<T>, GetError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let most = most.min(self.capacity());
        let mut places: Vec<MaybeUninit<T::Bits>> = Vec::with_capacity(most);
        places.resize_with(most, MaybeUninit::uninit);
        let is_item = |bytes: &[MaybeUninit<u8>]| {
            // SAFETY: (S9) these are all bytes of one of `places`, and `Ring::get` has written them.
            T::is_valid_bit_pattern(unsafe { &*bytes.as_ptr().cast::<T::Bits>() })
        };
        let member = &self.ring.attached().member;
        let count = until(member.host(), member.me(), self.ring.waiting(true), deadline, || {
            self.ring.get(bytes_of_places(&mut places), is_item, deadline)
        })
        .map_err(|why| not_taken(why, deadline))?;
        places[..count]
            .iter()
            // SAFETY: (S9) `Ring::get` wrote all bytes of the first `count` private copies.
            .map(|bits| unsafe { read_checked(bits) }.map_err(|_| GetError::Failed(self.invalid())))
            .collect()
    }

    fn reserve_until(&self, deadline: Deadline) -> Result<Reservation<'_, T>, PutError<()>> {
        let member = &self.ring.attached().member;
        until(member.host(), member.me(), self.ring.waiting(false), deadline, || self.ring.reserve(deadline))
            .map(|slot| Reservation::new(&self.ring, slot))
            .map_err(|why| not_put(why, deadline, ()))
    }

    fn peek_until(&self, deadline: Deadline) -> Result<Peeked<'_, T>, GetError> {
        let member = &self.ring.attached().member;
        let slot =
            until(member.host(), member.me(), self.ring.waiting(true), deadline, || self.ring.peek(deadline))
                .map_err(|why| not_taken(why, deadline))?;
        Peeked::new(&self.ring, slot).map_err(|slot| {
            // Nobody can ever use it: it is taken out, like an invalid item of `get`.
            self.ring.finish(slot, true);
            GetError::Failed(self.invalid())
        })
    }

    #[cold]
    pub(super) fn invalid(&self) -> Error {
        Error::InvalidBits {
            object: self.ring.attached().object(),
            type_name: T::NAME,
            at: "the item that was taken out".into(),
        }
    }
}

/// Private places as bytes to be written.
fn bytes_of_places<B>(places: &mut [MaybeUninit<B>]) -> &mut [MaybeUninit<u8>] {
    let len = size_of_val(places);
    // SAFETY: (S9) uninitialised places are uninitialised bytes.
    unsafe { std::slice::from_raw_parts_mut(places.as_mut_ptr().cast(), len) }
}

constructors! {
    impl[T: Plain] Queue<T>,
    noun: "queue",
    made: " with room for `capacity` items",
    errors: "[`BadSize`](crate::Error::BadSize) for no slots or more than 2^28",
    (capacity: usize) => capacity
}

impl<T: Plain> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue { ring: self.ring.clone(), plain: PhantomData }
    }
}

impl<T: Plain> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("object", &self.ring.attached().object())
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<T: Plain> Object for Queue<T> {
    type Init = usize;

    fn plan(capacity: &usize) -> Result<Plan, PlanFault> {
        if size_of::<T>() == 0 {
            let expected = "an item has at least one byte".into();
            return Err(PlanFault { what: "bytes per item", found: 0, expected });
        }
        Ok(Plan::whole(Layout::new(*capacity as u64, size_of::<T>(), align_of::<T>())?.total))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Queue, type_info: TypeInfo::of::<T>() }
    }

    fn initialise(body: &Body<'_>, capacity: usize) -> Result<()> {
        let layout = Layout::new(capacity as u64, size_of::<T>(), align_of::<T>()).map_err(|fault| {
            Error::BadSize {
                object: body.segment.object(),
                what: fault.what,
                found: fault.found,
                expected: fault.expected,
            }
        })?;
        Ring::initialise(body.segment, &layout)
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(Queue { ring: Ring::attach(attached, size_of::<T>(), align_of::<T>())?, plain: PhantomData })
    }

    fn attached(&self) -> &Attached {
        self.ring.attached()
    }
}
