//! The one place where bytes of a mapping become references.
//!
//! A [`Word`] is made of atomics, so a shared reference to it may stand while others change it. Everything else stays bytes:
//! [`Bytes`] copies them in and out; a reference to them exists only inside a guard, under the lock that the guard holds.

use core::mem::MaybeUninit;
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;
use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit};

use super::copy;
use super::segment::Segment;
use crate::error::{Error, Result};
use crate::sys::Foreign;

/// A struct that lives in shared memory and is used through `&self` by everybody at once.
///
/// # Safety
///
/// The type is `repr(C)`, consists of atomics, arrays of atomics and other words, and is valid when all its bytes are zero,
/// and whatever others write into it: no byte pattern may make a method misbehave beyond a wrong result.
pub unsafe trait Word: Send + Sync + 'static {}

// SAFETY: (S6) an atomic is all of that.
unsafe impl Word for crate::atomic::AtomicU8 {}
// SAFETY: (S6) an atomic is all of that.
unsafe impl Word for crate::atomic::AtomicU16 {}
// SAFETY: (S6) an atomic is all of that.
unsafe impl Word for crate::atomic::AtomicU32 {}
// SAFETY: (S6) an atomic is all of that.
unsafe impl Word for crate::atomic::AtomicU64 {}

/// A word in a segment, which it keeps mapped.
pub(crate) struct Shared<W: Word> {
    word: NonNull<W>,
    segment: Arc<Segment>,
}

/// Consecutive words in a segment, which they keep mapped.
pub(crate) struct SharedSlice<W: Word> {
    first: NonNull<W>,
    len: usize,
    segment: Arc<Segment>,
}

/// Plain bytes in a segment of ours or of somebody else, which they keep mapped.
#[derive(Clone)]
pub(crate) struct Bytes {
    first: NonNull<u8>,
    len: usize,
    writable: bool,
    _mapping: Arc<dyn Mapping>,
}

/// What keeps bytes mapped, without taking anything from the handles that hold it.
trait Mapping: Send + Sync + UnwindSafe + RefUnwindSafe {}

impl Mapping for Segment {}
impl Mapping for Foreign {}
#[cfg(all(unix, feature = "manager", not(loom)))]
impl Mapping for crate::sys::pages::Pages {}

impl<W: Word> Shared<W> {
    /// The word at `offset` of the segment's body.
    pub(crate) fn new(segment: &Arc<Segment>, offset: usize) -> Result<Self> {
        Ok(Shared { word: locate(segment, offset, 1)?, segment: Arc::clone(segment) })
    }

    /// The segment it lies in.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
}

impl<W: Word> SharedSlice<W> {
    /// `len` words from `offset` of the segment's body on.
    pub(crate) fn new(segment: &Arc<Segment>, offset: usize, len: usize) -> Result<Self> {
        Ok(SharedSlice { first: locate(segment, offset, len)?, len, segment: Arc::clone(segment) })
    }
}

impl Bytes {
    /// `len` bytes from `offset` of the segment's body on, the first of them aligned to `align`.
    pub(crate) fn new(segment: &Arc<Segment>, offset: usize, len: usize, align: usize) -> Result<Self> {
        let first = locate_bytes(segment, offset, len, align)?;
        Ok(Bytes { first, len, writable: segment.is_writable(), _mapping: Arc::<Segment>::clone(segment) })
    }

    /// All bytes of a mapping that somebody else made.
    pub(crate) fn foreign(mapping: Foreign) -> Self {
        let (first, len) = (mapping.address(), mapping.len());
        Bytes { first, len, writable: true, _mapping: Arc::new(mapping) }
    }

    /// A part of pages that lies inside them.
    #[cfg(all(unix, feature = "manager", not(loom)))]
    pub(super) fn paged(pages: &Arc<crate::sys::pages::Pages>, at: usize, len: usize) -> Self {
        assert!(at <= pages.len() && len <= pages.len() - at, "{at}+{len} leaves {} bytes", pages.len());
        // SAFETY: (S19) `at` is at most the mapped length.
        let first = unsafe { pages.address().add(at) };
        Bytes { first, len, writable: true, _mapping: Arc::<crate::sys::pages::Pages>::clone(pages) }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies `to.len()` bytes from `at` on, even while somebody writes them.
    ///
    /// # Panics
    ///
    /// If the range leaves the view: callers check indices before.
    #[inline]
    pub(crate) fn load(&self, at: usize, to: &mut [MaybeUninit<u8>]) {
        self.require(at, to.len());
        // SAFETY: (S5) the range was checked against the view, which lies in a mapping that it keeps.
        unsafe { copy::load(self.first.as_ptr().add(at), to.as_mut_ptr(), to.len()) };
    }

    /// Copies `N` bytes from `at` on, even while somebody writes them; `None` if they leave the view.
    pub(crate) fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [MaybeUninit::new(0); N];
        if at > self.len || N > self.len - at {
            return None;
        }
        self.load(at, &mut bytes);
        // SAFETY: (S4) every byte was initialised when the array was made.
        Some(bytes.map(|byte| unsafe { byte.assume_init() }))
    }

    /// Copies `from` to the bytes from `at` on, even while somebody reads them.
    ///
    /// # Panics
    ///
    /// If the range leaves the view, or the segment is mapped read-only: callers check both before.
    #[inline]
    pub(crate) fn store(&self, at: usize, from: &[u8]) {
        self.require(at, from.len());
        self.require_writable();
        // SAFETY: (S5) the range was checked against the view, which lies in a writable mapping that it keeps.
        unsafe { copy::store(from.as_ptr(), self.first.as_ptr().add(at), from.len()) };
    }

    /// Copies `to.len()` bytes from `at` on, even while somebody writes them.
    ///
    /// # Panics
    ///
    /// As [`load`](Self::load).
    pub(crate) fn read(&self, at: usize, to: &mut [u8]) {
        // SAFETY: (S5) initialised bytes may be seen as maybe-initialised ones; `load` writes initialised ones only.
        let to = unsafe { &mut *(core::ptr::from_mut(to) as *mut [MaybeUninit<u8>]) };
        self.load(at, to);
    }

    /// Gives `len` bytes from `at` on the same value, even while somebody reads them.
    ///
    /// # Panics
    ///
    /// As [`store`](Self::store).
    pub(crate) fn fill(&self, at: usize, len: usize, value: u8) {
        const STEP: usize = 4096;
        self.require(at, len);
        for done in (0..len).step_by(STEP) {
            self.store(at + done, &[value; STEP][..STEP.min(len - done)]);
        }
    }

    /// Whether they may be written.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Copies the bytes of a `B` from `at` on to `to`, even while somebody writes them.
    ///
    /// # Panics
    ///
    /// As [`load`](Self::load), and if the bytes are not aligned to 8: callers lay them out so.
    #[inline]
    pub(crate) fn load_value<'b, B: AnyBitPattern>(
        &self,
        at: usize,
        to: &'b mut MaybeUninit<B>,
    ) -> &'b mut B {
        let from = self.words(at, size_of::<B>());
        // SAFETY: (S5) range and alignment were checked against the view, which lies in a mapping that it keeps.
        unsafe { copy::load_value(from, to) };
        // SAFETY: (S4) every byte was written, and any bytes are a `B`.
        unsafe { to.assume_init_mut() }
    }

    /// Copies `value` to the bytes from `at` on, even while somebody reads them.
    ///
    /// # Panics
    ///
    /// As [`store`](Self::store), and if the bytes are not aligned to 8: callers lay them out so.
    #[inline]
    pub(crate) fn store_value<B: NoUninit>(&self, at: usize, value: &B) {
        let to = self.words(at, size_of::<B>());
        self.require_writable();
        // SAFETY: (S5) range and alignment were checked against the view, which lies in a writable mapping that it keeps.
        unsafe { copy::store_value(value, to) };
    }

    /// The address of `len` bytes at `at` that begin with a whole word.
    #[inline]
    fn words(&self, at: usize, len: usize) -> *mut u8 {
        self.require(at, len);
        // SAFETY: (S5) `at` was checked against the view.
        let first = unsafe { self.first.as_ptr().add(at) };
        assert!(first.addr().is_multiple_of(8), "a value that does not begin with a whole word");
        first
    }

    /// The address of the byte at `at`, for guards that hold the lock of what lies there.
    ///
    /// # Panics
    ///
    /// If `at..at + len` leaves the view.
    #[inline]
    pub(crate) fn address(&self, at: usize, len: usize) -> NonNull<u8> {
        self.require(at, len);
        // SAFETY: (S5) `at` was checked against the view.
        unsafe { self.first.add(at) }
    }

    /// The address of the byte at `at`, for those who need not look at the length each time.
    ///
    /// # Safety
    ///
    /// `at` is at most the length of the view.
    #[inline]
    pub(crate) unsafe fn address_of(&self, at: usize) -> NonNull<u8> {
        debug_assert!(at <= self.len);
        // SAFETY: (S5) the caller knows that `at` does not leave the view.
        unsafe { self.first.add(at) }
    }

    #[inline]
    fn require(&self, at: usize, len: usize) {
        assert!(at <= self.len && len <= self.len - at, "{at}+{len} leaves a view of {} bytes", self.len);
    }

    #[inline]
    fn require_writable(&self) {
        assert!(self.writable, "a read-only mapping cannot be written");
    }
}

impl<W: Word> Deref for Shared<W> {
    type Target = W;

    #[inline]
    fn deref(&self) -> &W {
        // SAFETY: (S5) checked by `locate`, mapped as long as `segment`; (S6) shared references to words may stand.
        unsafe { self.word.as_ref() }
    }
}

impl<W: Word> Deref for SharedSlice<W> {
    type Target = [W];

    #[inline]
    fn deref(&self) -> &[W] {
        // SAFETY: (S5) checked by `locate`, mapped as long as `segment`; (S6) shared references to words may stand.
        unsafe { core::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<W: Word> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Shared { word: self.word, segment: Arc::clone(&self.segment) }
    }
}

impl<W: Word> Clone for SharedSlice<W> {
    fn clone(&self) -> Self {
        SharedSlice { first: self.first, len: self.len, segment: Arc::clone(&self.segment) }
    }
}

// SAFETY: (S6) words are `Send + Sync`, and the mapping is kept by the `Arc`.
unsafe impl<W: Word> Send for Shared<W> {}
// SAFETY: (S6) as above.
unsafe impl<W: Word> Sync for Shared<W> {}
// SAFETY: (S6) as above.
unsafe impl<W: Word> Send for SharedSlice<W> {}
// SAFETY: (S6) as above.
unsafe impl<W: Word> Sync for SharedSlice<W> {}
// SAFETY: (S5) only copies that tolerate races are made through a shared `Bytes`, and the mapping is kept by the `Arc`.
unsafe impl Send for Bytes {}
// SAFETY: (S5) as above.
unsafe impl Sync for Bytes {}

fn locate<W: Word>(segment: &Segment, offset: usize, count: usize) -> Result<NonNull<W>> {
    let len = size_of::<W>().checked_mul(count).ok_or_else(|| out_of_body(segment, offset, usize::MAX))?;
    locate_bytes(segment, offset, len, align_of::<W>()).map(NonNull::cast)
}

/// Checks bounds and alignment of a part of the body.
fn locate_bytes(segment: &Segment, offset: usize, len: usize, align: usize) -> Result<NonNull<u8>> {
    let (body, body_len) = segment.body();
    if offset > body_len || len > body_len - offset {
        return Err(out_of_body(segment, offset, len));
    }
    // SAFETY: (S5) `offset` is at most the length of the mapped body.
    let first = unsafe { body.add(offset) };
    if first.addr().get().is_multiple_of(align) { Ok(first) } else { Err(out_of_body(segment, offset, len)) }
}

#[cold]
fn out_of_body(segment: &Segment, offset: usize, len: usize) -> Error {
    Error::NotASegment {
        object: segment.object(),
        what: "body",
        expected: format!("{len} aligned bytes at offset {offset}"),
        found: format!("a body of {} bytes", segment.body().1),
    }
}
