//! `AtomicArray<T>`: a fixed number of atomic values in one segment.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::atomic::{Atomic, AtomicNumber, repr::Cell};
use super::atomic_ops::{AtomicRef, writable};
use super::describe;
use crate::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::atomic::{AtomicU64, fence};
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Builder, Expect, Object, Plan, PlanFault, RawFacts, travels};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::{Shared, SharedSlice, Word};

/// What precedes the elements.
#[repr(C)]
struct AtomicArrayHead {
    /// Number of elements, fixed at creation; read once, at attaching, and checked there.
    len: AtomicU64,
    reserved: [AtomicU64; 7],
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern harmless: `len` is read once and checked.
unsafe impl Word for AtomicArrayHead {}

documented_layout!(AtomicArrayHead { len, reserved });

const HEAD_LEN: usize = size_of::<AtomicArrayHead>();
/// More bytes than any memory holds, and far from overflowing the length of a file.
const MAX_BYTES: usize = isize::MAX as usize >> 8;

/// A fixed number of integers, floats or bools, shared between processes, each changed in single steps.
///
/// An element takes as many bytes as its type, 1 to 8. Each operation on an element is as on an
/// [`AtomicValue`](crate::AtomicValue); [`at`](Self::at) gives all of them, the most frequent have a short form here.
///
/// Bulk operations read or write element by element: each element is whole, the range is no snapshot. Somebody else's writes
/// may fall in the middle. [`Array`](crate::Array) has locked ranges.
///
/// # When somebody dies
///
/// An operation on an element happened or did not. A bulk write that is killed in the middle leaves the elements before that point
/// new and the others old.
///
/// # Examples
///
/// ```
/// use procshare::AtomicArray;
///
/// let name = format!("doc-atomic-array-{}", std::process::id());
/// let bins = AtomicArray::create(&name, 1000, 0u32)?;
/// let same = AtomicArray::<u32>::open(&name)?; // in any process of the user
/// same.add(7, 2)?;
/// same.at(7)?.fetch_max(40)?;
/// assert_eq!(bins.get(7)?, 40);
/// assert!(bins.get(1000).is_err());
///
/// let primes = AtomicArray::builder().anonymous([2u8, 3, 5, 7])?;
/// assert_eq!(primes.iter().sum::<u8>(), 17);
/// AtomicArray::<u32>::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct AtomicArray<T: Atomic> {
    cells: SharedSlice<T::Cell>,
    attached: Attached,
}

/// What a new [`AtomicArray`] holds.
///
/// ```
/// use procshare::{AtomicArray, AtomicContents, Lifetime};
///
/// let name = format!("doc-atomic-contents-{}", std::process::id());
/// let _ones = AtomicArray::builder().lifetime(Lifetime::Scoped).create(&name, AtomicContents::Filled(100, 1u16))?;
/// let _given = AtomicArray::builder().anonymous([0.5f32, 1.5])?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum AtomicContents<T> {
    /// So many elements, all of the same value.
    Filled(usize, T),
    /// These elements.
    Elements(Vec<T>),
}

impl<T> AtomicContents<T> {
    fn len(&self) -> usize {
        match self {
            AtomicContents::Filled(len, _) => *len,
            AtomicContents::Elements(elements) => elements.len(),
        }
    }
}

impl<T> From<Vec<T>> for AtomicContents<T> {
    fn from(elements: Vec<T>) -> Self {
        AtomicContents::Elements(elements)
    }
}

impl<T: Clone> From<&[T]> for AtomicContents<T> {
    fn from(elements: &[T]) -> Self {
        AtomicContents::Elements(elements.to_vec())
    }
}

impl<T, const N: usize> From<[T; N]> for AtomicContents<T> {
    fn from(elements: [T; N]) -> Self {
        AtomicContents::Elements(elements.into())
    }
}

impl<T: Atomic> AtomicArray<T> {
    /// Options: space, lifetime, permissions, read-only.
    pub fn builder() -> Builder<AtomicArray<T>> {
        Builder::new()
    }

    /// Makes the array `name` of `len` elements, all equal to `value`.
    ///
    /// # Errors
    ///
    /// [`Error::BadSize`] for no elements or more than any memory holds; [`Error::NoSpace`], before anything is allocated;
    /// see [`Builder::create_with`].
    pub fn create(name: &str, len: usize, value: T) -> Result<Self> {
        Self::builder().create(name, AtomicContents::Filled(len, value))
    }

    /// Makes the array `name` of these elements.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_from(name: &str, elements: &[T]) -> Result<Self> {
        Self::builder().create(name, elements)
    }

    /// Opens the array `name`, with as many elements as it was made with.
    ///
    /// # Errors
    ///
    /// See [`Builder::open`]; [`Error::WrongType`] if its elements have another type.
    pub fn open(name: &str) -> Result<Self> {
        Self::builder().open(name)
    }

    /// Opens the array `name`, or makes it; an existing one keeps its length and its elements.
    ///
    /// # Errors
    ///
    /// See [`Builder::open_or_create_with`].
    pub fn open_or_create(name: &str, len: usize, value: T) -> Result<Self> {
        Self::builder().open_or_create(name, AtomicContents::Filled(len, value))
    }

    /// Makes an array without a name, for threads, forked children, and whoever receives its handle.
    ///
    /// # Errors
    ///
    /// See [`Builder::anonymous_with`].
    pub fn anonymous(len: usize, value: T) -> Result<Self> {
        Self::builder().anonymous(AtomicContents::Filled(len, value))
    }

    /// Removes the name; whoever is attached keeps using the array.
    ///
    /// # Errors
    ///
    /// See [`Builder::unlink`].
    pub fn unlink(name: &str) -> Result<()> {
        Self::builder().unlink(name)
    }

    /// The number of elements, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// The element with this index, with all the operations of an [`AtomicValue`](crate::AtomicValue).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    #[inline]
    pub fn at(&self, index: usize) -> Result<AtomicRef<'_, T>> {
        match self.cells.get(index) {
            Some(cell) => Ok(AtomicRef::new(cell, &self.attached)),
            None => Err(self.out_of_range(index, index.saturating_add(1))),
        }
    }

    /// The value of an element.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    #[inline]
    pub fn get(&self, index: usize) -> Result<T> {
        Ok(self.at(index)?.load())
    }

    /// Replaces the value of an element.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::ReadOnly`].
    #[inline]
    pub fn set(&self, index: usize, value: T) -> Result<()> {
        self.at(index)?.store(value)
    }

    /// Replaces the value of an element; returns the old one.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::ReadOnly`].
    #[inline]
    pub fn swap(&self, index: usize, value: T) -> Result<T> {
        self.at(index)?.swap(value)
    }

    /// Stores `new` in an element that holds `current`; returns the value found, as `Ok` if it was replaced.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::ReadOnly`], outside; the inner `Err` holds the value that differed.
    #[inline]
    pub fn compare_exchange(&self, index: usize, current: T, new: T) -> Result<Result<T, T>> {
        self.at(index)?.compare_exchange(current, new)
    }

    /// Replaces the value of an element by what `next` makes of it; returns the old one.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::ReadOnly`].
    #[inline]
    pub fn update(&self, index: usize, next: impl FnMut(T) -> T) -> Result<T> {
        self.at(index)?.update(next)
    }

    /// Copies the elements from `start` on into `to`. Each is whole; together they are no snapshot.
    ///
    /// Whoever reads an element sees what its writer did before writing it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there are not as many; nothing is read then.
    pub fn read_into(&self, start: usize, to: &mut [T]) -> Result<()> {
        let cells = &self.cells[self.range(start, to.len())?];
        for (cell, to) in cells.iter().zip(to) {
            *to = T::decode(cell.get(Relaxed));
        }
        // Acquire (pair BULK): what the writers of these elements did before is seen from here on.
        fence(Acquire);
        Ok(())
    }

    /// Copies `from` into the elements from `start` on. Each is replaced in one step, one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there are not as many, [`Error::ReadOnly`]; nothing is written then.
    pub fn write_from(&self, start: usize, from: &[T]) -> Result<()> {
        let cells = &writable((&self.cells, &self.attached), "write it")?[self.range(start, from.len())?];
        // Release (pair BULK): whoever sees one of these elements sees what was done before.
        fence(Release);
        for (cell, from) in cells.iter().zip(from) {
            cell.put(from.encode(), Relaxed);
        }
        Ok(())
    }

    /// Gives every element the same value, one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`].
    pub fn fill(&self, value: T) -> Result<()> {
        let cells = writable((&self.cells, &self.attached), "fill it")?;
        // Release (pair BULK): as in `write_from`.
        fence(Release);
        for cell in cells.iter() {
            cell.put(value.encode(), Relaxed);
        }
        Ok(())
    }

    /// All elements. Each is whole; together they are no snapshot.
    pub fn to_vec(&self) -> Vec<T> {
        let all = self.cells.iter().map(|cell| T::decode(cell.get(Relaxed))).collect();
        // Acquire (pair BULK): as in `read_into`.
        fence(Acquire);
        all
    }

    /// The elements as they are when the iterator comes to them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator {
        self.cells.iter().map(|cell| T::decode(cell.get(SeqCst)))
    }

    /// Writes the array's pages back to the device of a space on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn flush(&self) -> Result<()> {
        self.attached.segment.flush()
    }

    fn range(&self, start: usize, count: usize) -> Result<Range<usize>> {
        match start.checked_add(count) {
            Some(end) if end <= self.len() => Ok(start..end),
            _ => Err(self.out_of_range(start, start.saturating_add(count))),
        }
    }

    #[cold]
    fn out_of_range(&self, start: usize, end: usize) -> Error {
        Error::OutOfRange { object: self.attached.object(), start, end, len: self.len() }
    }
}

impl<T: AtomicNumber> AtomicArray<T> {
    /// Adds to an element; returns the old value. Integers wrap around, floats round.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::ReadOnly`].
    #[inline]
    pub fn add(&self, index: usize, by: T) -> Result<T> {
        self.at(index)?.fetch_add(by)
    }
}

impl<T: Atomic> Builder<AtomicArray<T>> {
    /// Makes the array `name`; see [`create_with`](Self::create_with).
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn create(self, name: &str, contents: impl Into<AtomicContents<T>>) -> Result<AtomicArray<T>> {
        self.create_with(name, contents.into())
    }

    /// Opens the array `name`, or makes it; see [`open_or_create_with`](Self::open_or_create_with).
    ///
    /// # Errors
    ///
    /// As [`open_or_create_with`](Self::open_or_create_with).
    pub fn open_or_create(
        self,
        name: &str,
        contents: impl Into<AtomicContents<T>>,
    ) -> Result<AtomicArray<T>> {
        self.open_or_create_with(name, contents.into())
    }

    /// Makes an array without a name; see [`anonymous_with`](Self::anonymous_with).
    ///
    /// # Errors
    ///
    /// As [`anonymous_with`](Self::anonymous_with).
    pub fn anonymous(self, contents: impl Into<AtomicContents<T>>) -> Result<AtomicArray<T>> {
        self.anonymous_with(contents.into())
    }
}

impl<T: Atomic> Clone for AtomicArray<T> {
    fn clone(&self) -> Self {
        AtomicArray { cells: self.cells.clone(), attached: self.attached.clone() }
    }
}

impl<T: Atomic> fmt::Debug for AtomicArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicArray")
            .field("object", &self.attached.object())
            .field("type", &T::NAME)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The state of the array in `segment`, for whoever inspects it.
pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
    // Relaxed: checked like any hostile number.
    let len = Shared::<AtomicArrayHead>::new(segment, 0)?.len.load(Relaxed);
    describe::elements(segment, HEAD_LEN, usize::try_from(len).unwrap_or(usize::MAX))
}

travels!(impl[T: Atomic] AtomicArray<T>);

impl<T: Atomic> Object for AtomicArray<T> {
    type Init = AtomicContents<T>;

    fn plan(contents: &AtomicContents<T>) -> Result<Plan, PlanFault> {
        let (len, most) = (contents.len(), MAX_BYTES / size_of::<T::Cell>());
        if (1..=most).contains(&len) {
            Ok(Plan::whole(HEAD_LEN + len * size_of::<T::Cell>()))
        } else {
            Err(PlanFault { what: "elements", found: len as u64, expected: format!("use 1 to {most}") })
        }
    }

    fn expect() -> Expect {
        Expect { kind: Kind::AtomicArray, type_info: TypeInfo::of::<T>() }
    }

    fn initialise(body: &Body<'_>, contents: AtomicContents<T>) -> Result<()> {
        // Relaxed: publication by `link` orders everything before it.
        Shared::<AtomicArrayHead>::new(body.segment, 0)?.len.store(contents.len() as u64, Relaxed);
        let cells = SharedSlice::<T::Cell>::new(body.segment, HEAD_LEN, contents.len())?;
        match contents {
            // A new body is all zero, as its first cell says.
            AtomicContents::Filled(_, value) if value.encode() == cells[0].get(Relaxed) => {}
            AtomicContents::Filled(_, value) => {
                cells.iter().for_each(|cell| cell.put(value.encode(), Relaxed))
            }
            AtomicContents::Elements(elements) => {
                for (cell, element) in cells.iter().zip(elements) {
                    cell.put(element.encode(), Relaxed);
                }
            }
        }
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        // Relaxed: written before publication, and checked like any hostile number.
        let len = Shared::<AtomicArrayHead>::new(&attached.segment, 0)?.len.load(Relaxed);
        let room = (attached.segment.body().1 - HEAD_LEN) / size_of::<T::Cell>();
        match usize::try_from(len) {
            Ok(len) if (1..=room).contains(&len) => {
                Ok(AtomicArray { cells: SharedSlice::new(&attached.segment, HEAD_LEN, len)?, attached })
            }
            _ => Err(Error::NotASegment {
                object: attached.object(),
                what: "number of elements",
                expected: format!("1 to {room}"),
                found: len.to_string(),
            }),
        }
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
