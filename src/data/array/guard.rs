//! `ArrayGuard`: a slice of an array, held.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use super::claims::Claim;
use crate::error::{Error, Result};
use crate::shm::Plain;

/// Holds a range of an [`Array`](super::Array) and lends it as a slice: nothing is copied.
///
/// Other ranges stay free for everybody. Bound to its thread; without effect in a forked child, where it must not be used.
///
/// A panic or death while it lives leaves the range torn: every later user of an element in it is told
/// ([`Error::RangeOwnerDied`], [`LockError::OwnerDied`](crate::LockError::OwnerDied)) until somebody locks it and calls
/// [`make_consistent`](Self::make_consistent).
#[must_use = "the range is released at once if the guard is not kept"]
pub struct ArrayGuard<'a, T: Plain> {
    claim: Claim<'a>,
    first: NonNull<T>,
    unwinding: bool,
    thread: PhantomData<*const T>,
}

impl<'a, T: Plain> ArrayGuard<'a, T> {
    /// Checks the elements, with the claim held, and lends them.
    pub(super) fn new(claim: Claim<'a>) -> Result<Self> {
        let core = claim.core();
        let len = claim.range.len();
        let first: NonNull<T> =
            core.parts.elements.address(claim.range.start * size_of::<T>(), len * size_of::<T>()).cast();
        for index in 0..len {
            // SAFETY: (S11) in bounds, and nobody else writes these bytes while the claim is held; any bytes are `Bits`.
            let bits = unsafe { first.add(index).cast::<T::Bits>().read_unaligned() };
            if !T::is_valid_bit_pattern(&bits) {
                return Err(Error::InvalidBits {
                    object: core.attached.object(),
                    type_name: T::NAME,
                    at: format!("element {}", claim.range.start + index),
                });
            }
        }
        Ok(ArrayGuard { claim, first, unwinding: std::thread::panicking(), thread: PhantomData })
    }

    /// The range that is held.
    pub fn range(&self) -> Range<usize> {
        self.claim.range.clone()
    }

    /// The range that an earlier owner left torn, if any; it may be wider than the guard's.
    pub fn torn(&self) -> Option<Range<usize>> {
        self.claim.torn.as_ref().map(|torn| torn.range.clone())
    }

    /// Declares the range consistent again.
    ///
    /// # Errors
    ///
    /// [`Error::RangeOwnerDied`] names a torn range that reaches beyond the guard's: lock at least that one. Nothing changes.
    pub fn make_consistent(&mut self) -> Result<()> {
        self.claim.mend()
    }
}

impl<T: Plain> Deref for ArrayGuard<'_, T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: (S11) the claim keeps every safe writer out of the range; the elements were checked under it.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.claim.range.len()) }
    }
}

impl<T: Plain> DerefMut for ArrayGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: (S11) as in `deref`; `&mut self` makes the slice unique in this thread, the claim everywhere else.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.claim.range.len()) }
    }
}

impl<T: Plain> Drop for ArrayGuard<'_, T> {
    fn drop(&mut self) {
        // The claim, dropped after this, leaves the range torn or in good order.
        self.claim.panicked = !self.unwinding && std::thread::panicking();
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for ArrayGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
