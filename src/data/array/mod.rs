//! `Array<T>`: elements of plain data, locked by ranges.
//!
//! Two ways to an element that meet in [`table`]: the short way (a stripe for the time of one copy) and the long way (a claim
//! of a range). Readers use neither: they copy, and keep the copy if nobody wrote meanwhile.

mod body;
mod claims;
mod describe;
mod guard;
mod init;
mod look;
mod room;
mod stripe;
mod table;

#[cfg(all(loom, test))]
mod models;

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Bound, Range, RangeBounds};
use std::time::Duration;

pub(crate) use describe::describe;
pub use guard::ArrayGuard;
pub use init::ArrayInit;

use self::claims::{Core, Purpose};
use crate::cause::Cause;
use crate::error::{Error, Result};
use crate::participant::{Builder, travels};
use crate::shm::Plain;
use crate::shm::checked::read_checked;
use crate::sync::{LockError, OwnerDied};
use crate::time::Deadline;

/// A fixed number of elements of plain data, shared between processes.
///
/// Single elements are read and written without anybody's help ([`get`](Self::get), [`set`](Self::set)); ranges are copied
/// ([`read`](Self::read), [`write`](Self::write)) or locked and lent as a slice ([`lock`](Self::lock)). Whoever holds a range
/// keeps others out of that range only: disjoint ranges, down to single elements, never wait for each other. Every copy
/// out is the range as it was at one instant.
///
/// An array in a [space](crate::Space::at) on disk is persistent; [`flush`](Self::flush) writes it back.
///
/// # When somebody dies
///
/// A writer of a range that is killed inside leaves it torn, and so does one that panics under a guard: everybody who reads,
/// writes or locks an element of that very range gets [`Error::RangeOwnerDied`] or [`LockError::OwnerDied`] until somebody
/// locks it and calls [`ArrayGuard::make_consistent`]. All other elements stay as usable as ever. Elements of 1, 2, 4 or 8
/// bytes are [`set`](Self::set) by one store, which no death can tear.
///
/// # Examples
///
/// ```
/// use procshare::Array;
///
/// let name = format!("doc-array-{}", std::process::id());
/// let array = Array::create(&name, 1000, 0u32)?;
/// let same = Array::<u32>::open(&name)?; // in any process of the user
/// same.set(999, 7)?;
/// {
///     let mut low = array.lock(..500)?;
///     low.fill(1);
///     let high = same.lock(500..)?; // a disjoint range: nobody waits
///     assert_eq!(high.iter().sum::<u32>(), 7);
/// }
/// assert_eq!(array.to_vec()?.iter().sum::<u32>(), 507);
/// Array::<u32>::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct Array<T: Plain> {
    core: Core,
    plain: PhantomData<fn() -> T>,
}

impl<T: Plain> Array<T> {
    /// Options: space, lifetime, permissions, read-only.
    pub fn builder() -> Builder<Array<T>> {
        Builder::new()
    }

    /// Makes the array `name` of `len` elements, all equal to `value`.
    ///
    /// # Errors
    ///
    /// See [`Builder::create_with`]; [`Error::BadSize`] for no elements; [`Error::NoSpace`] if they do not fit, before anything is
    /// allocated.
    pub fn create(name: &str, len: usize, value: T) -> Result<Self> {
        Self::builder().create(name, ArrayInit::filled(len, value))
    }

    /// Makes the array `name` of these elements.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_from(name: &str, elements: &[T]) -> Result<Self> {
        Self::builder().create(name, ArrayInit::elements(elements))
    }

    /// Opens the array `name`.
    ///
    /// # Errors
    ///
    /// See [`Builder::open`]; [`Error::WrongType`] if it holds another type.
    pub fn open(name: &str) -> Result<Self> {
        Self::builder().open(name)
    }

    /// Opens the array `name`, or makes it; an existing one keeps its length and content.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create) and [`open`](Self::open).
    pub fn open_or_create(name: &str, len: usize, value: T) -> Result<Self> {
        Self::builder().open_or_create(name, ArrayInit::filled(len, value))
    }

    /// Makes an array without a name, for threads, forked children, and whoever receives its handle.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn anonymous(len: usize, value: T) -> Result<Self> {
        Self::builder().anonymous(ArrayInit::filled(len, value))
    }

    /// Removes the name; whoever is attached keeps using the array.
    ///
    /// # Errors
    ///
    /// See [`Builder::unlink`].
    pub fn unlink(name: &str) -> Result<()> {
        Self::builder().unlink(name)
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.core.parts.len()
    }

    /// Always `false`: an array has at least one element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of elements it can [grow](Self::grow) to.
    pub fn max_len(&self) -> usize {
        self.core.parts.layout.capacity
    }

    /// Element `index`. Waits only while somebody alive holds it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::RangeOwnerDied`] if it may be torn; [`Error::InvalidBits`] if a foreign program wrote bytes
    /// that are no `T`.
    #[inline]
    pub fn get(&self, index: usize) -> Result<T> {
        self.get_until(index, Deadline::Never)
    }

    /// Element `index`, unless somebody alive holds it.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and as [`get`](Self::get).
    pub fn try_get(&self, index: usize) -> Result<T> {
        self.get_until(index, Deadline::Now)
    }

    /// Writes element `index`. Waits while somebody alive holds it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::RangeOwnerDied`] if it may be torn (nothing is written); [`Error::Deadlock`] if the calling
    /// thread holds it; [`Error::ReadOnly`].
    #[inline]
    pub fn set(&self, index: usize, value: T) -> Result<()> {
        if index < self.len() && self.core.write_short(index, &value) {
            return Ok(());
        }
        self.set_slow(index, value, Deadline::Never)
    }

    /// Writes element `index` unless somebody alive holds it.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and as [`set`](Self::set).
    pub fn try_set(&self, index: usize, value: T) -> Result<()> {
        if index < self.len() && self.core.write_short(index, &value) {
            return Ok(());
        }
        self.set_slow(index, value, Deadline::Now)
    }

    /// Lets `change` edit a copy of element `index` and writes it back, with the element held. A panic writes nothing.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set); [`Error::Inherited`] to a child that was forked within `change`, which writes nothing.
    pub fn update<R>(&self, index: usize, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        let range = self.check(index, 1)?;
        let claim = self.core.whole_claim(range, Deadline::Never, Purpose::Change)?;
        let mut value = self.read_held(index)?;
        let result = change(&mut value);
        claim.require_mine()?;
        self.core.parts.elements.store(index * size_of::<T>(), bytemuck::bytes_of(&value));
        drop(claim);
        Ok(result)
    }

    /// Writes element `index` and returns the old one, in one step.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn replace(&self, index: usize, value: T) -> Result<T> {
        self.update(index, |element| std::mem::replace(element, value))
    }

    /// Writes `new` if element `index` equals `current`; returns the element found, as `Ok` if it was replaced.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), outside; the inner `Err` holds the element that differed.
    pub fn compare_exchange(&self, index: usize, current: &T, new: T) -> Result<Result<T, T>>
    where
        T: PartialEq,
    {
        self.update(index, |element| {
            if element == current { Ok(std::mem::replace(element, new)) } else { Err(*element) }
        })
    }

    /// Copies `to.len()` elements from `start` on into `to`, as they were at one instant.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn read(&self, start: usize, to: &mut [T]) -> Result<()> {
        let range = self.check(start, to.len())?;
        let Some(&valid) = to.first() else { return Ok(()) };
        let read = self.core.read(range, uninit_bytes(to), Deadline::Never);
        // Whatever was copied by a failed or half-valid read is replaced before anybody looks at it as a `T`.
        let checked = read.and_then(|()| self.check_elements(start, to.as_ptr(), to.len()));
        if checked.is_err() {
            to.fill(valid);
        }
        checked
    }

    /// All elements, as they were at one instant.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn to_vec(&self) -> Result<Vec<T>> {
        let len = self.len();
        let mut elements = Vec::<T>::with_capacity(len);
        let spare = &mut elements.spare_capacity_mut()[..len];
        self.core.read(0..len, uninit_bytes(spare), Deadline::Never)?;
        self.check_elements(0, spare.as_ptr().cast(), len)?;
        // SAFETY: (S9) `read` wrote all bytes of `len` elements, and each was checked to be a `T`.
        unsafe { elements.set_len(len) };
        Ok(elements)
    }

    /// Copies `from` over the elements from `start` on, with the range held.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn write(&self, start: usize, from: &[T]) -> Result<()> {
        let range = self.check(start, from.len())?;
        if range.is_empty() {
            return Ok(());
        }
        let _claim = self.core.whole_claim(range, Deadline::Never, Purpose::Change)?;
        self.core.parts.elements.store(start * size_of::<T>(), bytemuck::cast_slice(from));
        Ok(())
    }

    /// Writes `value` to every element of `range`, with the range held.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn fill(&self, range: impl RangeBounds<usize>, value: T) -> Result<()> {
        let range = self.resolve(range)?;
        if range.is_empty() {
            return Ok(());
        }
        let claim = self.core.whole_claim(range, Deadline::Never, Purpose::Change)?;
        for index in claim.range.clone() {
            self.core.parts.elements.store(index * size_of::<T>(), bytemuck::bytes_of(&value));
        }
        Ok(())
    }

    /// Holds `range` and lends it as a slice, waiting while somebody alive holds a part of it.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside if a part may be torn ([`ArrayGuard::torn`] names it);
    /// [`LockError::Deadlock`] if the calling thread holds a part; [`LockError::Failed`] for [`Error::OutOfRange`] (also of an empty
    /// range), [`Error::TooManyGuards`], [`Error::InvalidBits`], [`Error::ReadOnly`].
    pub fn lock(
        &self,
        range: impl RangeBounds<usize>,
    ) -> Result<ArrayGuard<'_, T>, LockError<ArrayGuard<'_, T>>> {
        self.lock_until(range, Deadline::Never)
    }

    /// As [`lock`](Self::lock), unless somebody alive holds a part of it.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and as [`lock`](Self::lock).
    pub fn try_lock(
        &self,
        range: impl RangeBounds<usize>,
    ) -> Result<ArrayGuard<'_, T>, LockError<ArrayGuard<'_, T>>> {
        self.lock_until(range, Deadline::Now)
    }

    /// As [`lock`](Self::lock), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and as [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        range: impl RangeBounds<usize>,
        timeout: Duration,
    ) -> Result<ArrayGuard<'_, T>, LockError<ArrayGuard<'_, T>>> {
        self.lock_until(range, Deadline::after(timeout)).map_err(|error| match error {
            LockError::WouldBlock => LockError::TimedOut,
            other => other,
        })
    }

    /// The elements one after the other, each as [`get`](Self::get) gives it. For a snapshot, [`to_vec`](Self::to_vec); to
    /// iterate without copying, [`lock`](Self::lock).
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Grows the array to `len` elements, the new ones equal to `value`; does nothing if it is that long already.
    ///
    /// Others see the new length when all new elements are there.
    ///
    /// # Errors
    ///
    /// [`Error::BadSize`] beyond [`max_len`](Self::max_len); [`Error::NoSpace`]; [`Error::ReadOnly`]; [`Error::Gone`] if it was
    /// unlinked. The array stays as it was.
    pub fn grow(&self, len: usize, value: T) -> Result<()> {
        let capacity = self.max_len();
        if len > capacity {
            return Err(Error::BadSize {
                object: self.core.attached.object(),
                what: "elements",
                found: len as u64,
                expected: format!("at most {capacity}, the max_len it was made with"),
            });
        }
        let old = self.len();
        if len <= old {
            return Ok(());
        }
        // A claim behind the largest length is the lock of growing; nobody else claims there.
        let _growing = self.core.claim(capacity..capacity + 1, Deadline::Never, Purpose::Grow)?;
        let old = self.len();
        if len > old {
            let elements_at = self.core.parts.layout.elements_at;
            let end_of = |len: usize| (elements_at + len * size_of::<T>()) as u64;
            self.core.attached.segment.back(end_of(old), end_of(len))?;
            for index in old..len {
                self.core.parts.elements.store(index * size_of::<T>(), bytemuck::bytes_of(&value));
            }
            self.core.parts.set_len(len);
        }
        Ok(())
    }

    /// Writes the array's pages back to the device of a space on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn flush(&self) -> Result<()> {
        self.core.attached.segment.flush()
    }
}

impl<T: Plain> Array<T> {
    /// The range as numbers; checks the bounds.
    fn resolve(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
        let start = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&at) => at.saturating_add(1),
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.len(),
        };
        if start <= end && end <= self.len() { Ok(start..end) } else { Err(self.out_of_range(start, end)) }
    }

    fn check(&self, start: usize, len: usize) -> Result<Range<usize>> {
        self.resolve(start..start.saturating_add(len))
    }

    #[cold]
    fn out_of_range(&self, start: usize, end: usize) -> Error {
        Error::OutOfRange { object: self.core.attached.object(), start, end, len: self.len() }
    }

    #[cold]
    fn invalid(&self, index: usize) -> Error {
        Error::InvalidBits {
            object: self.core.attached.object(),
            type_name: T::NAME,
            at: format!("element {index}"),
        }
    }

    #[inline]
    fn get_until(&self, index: usize, deadline: Deadline) -> Result<T> {
        if index >= self.len() {
            return Err(self.out_of_range(index, index.saturating_add(1)));
        }
        let mut bits = MaybeUninit::<T::Bits>::uninit();
        self.core.read(index..index + 1, uninit_bytes(std::slice::from_mut(&mut bits)), deadline)?;
        // SAFETY: (S9) `read` wrote all bytes of this private copy.
        unsafe { read_checked(&bits) }.map_err(|_| self.invalid(index))
    }

    /// Element `index`, which the caller holds.
    fn read_held(&self, index: usize) -> Result<T> {
        let mut bits = MaybeUninit::<T::Bits>::uninit();
        self.core.parts.elements.load(index * size_of::<T>(), uninit_bytes(std::slice::from_mut(&mut bits)));
        // SAFETY: (S9) `load` wrote all bytes of this private copy.
        unsafe { read_checked(&bits) }.map_err(|_| self.invalid(index))
    }

    /// Checks private copies of the elements from `start` on. For types that any bits are valid for, this is nothing.
    fn check_elements(&self, start: usize, copies: *const T, len: usize) -> Result<()> {
        for index in 0..len {
            // SAFETY: (S9) all bytes of the `len` copies are initialised, and any bytes are a `Bits`.
            let bits = unsafe { copies.add(index).cast::<T::Bits>().read_unaligned() };
            if !T::is_valid_bit_pattern(&bits) {
                return Err(self.invalid(start + index));
            }
        }
        Ok(())
    }

    #[cold]
    fn set_slow(&self, index: usize, value: T, deadline: Deadline) -> Result<()> {
        if index >= self.len() {
            return Err(self.out_of_range(index, index.saturating_add(1)));
        }
        let _claim = self.core.whole_claim(index..index + 1, deadline, Purpose::Change)?;
        self.core.parts.elements.store(index * size_of::<T>(), bytemuck::bytes_of(&value));
        Ok(())
    }

    fn lock_until(
        &self,
        range: impl RangeBounds<usize>,
        deadline: Deadline,
    ) -> Result<ArrayGuard<'_, T>, LockError<ArrayGuard<'_, T>>> {
        let range = self.resolve(range)?;
        if range.is_empty() {
            return Err(self.out_of_range(range.start, range.end).into());
        }
        let claim = self.core.claim(range, deadline, Purpose::Lock)?;
        let cause: Option<Cause> = claim.torn.as_ref().map(|torn| torn.cause);
        let guard = ArrayGuard::new(claim)?;
        match cause {
            None => Ok(guard),
            Some(cause) => Err(LockError::OwnerDied(OwnerDied::new(guard, cause))),
        }
    }
}

/// Private places of values as bytes to be written.
fn uninit_bytes<P>(places: &mut [P]) -> &mut [MaybeUninit<u8>] {
    let len = size_of_val(places);
    // SAFETY: (S9) the bytes of private places; the callers write them whole and check them before they are used as
    // values again.
    unsafe { std::slice::from_raw_parts_mut(places.as_mut_ptr().cast(), len) }
}

impl<T: Plain> Clone for Array<T> {
    fn clone(&self) -> Self {
        Array { core: self.core.clone(), plain: PhantomData }
    }
}

impl<T: Plain> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array")
            .field("object", &self.core.attached.object())
            .field("type", &T::NAME)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

travels!(impl[T: Plain] Array<T>);
