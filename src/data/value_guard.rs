//! Guards of a [`Value`]: one edits a copy and commits it, the other edits the value itself.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::slots::{Layout, Version};
use super::value::{Held, Value};
use crate::error::Result;
use crate::shm::Plain;

/// Holds a [`Value`] and a copy of it; dropping it commits the copy in one step.
///
/// A panic or death while it lives leaves the old value. Bound to its thread; without effect in a forked child.
#[must_use = "dropping the guard commits and releases at once"]
pub struct ValueGuard<'a, T: Plain> {
    value: &'a Value<T>,
    held: Held<'a>,
    seen: Version,
    copy: T,
    healed: bool,
    discarded: bool,
    unwinding: bool,
    thread: PhantomData<*const ()>,
}

impl<'a, T: Plain> ValueGuard<'a, T> {
    pub(super) fn new(value: &'a Value<T>, held: Held<'a>, seen: Version, copy: T) -> Self {
        let unwinding = std::thread::panicking();
        ValueGuard {
            value,
            held,
            seen,
            copy,
            healed: false,
            discarded: false,
            unwinding,
            thread: PhantomData,
        }
    }

    /// Declares the value consistent again; takes effect with the commit.
    pub fn make_consistent(&mut self) {
        self.healed = true;
    }

    /// Releases the value without committing the copy.
    pub fn discard(mut self) {
        self.discarded = true;
    }
}

impl<T: Plain> Deref for ValueGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.copy
    }
}

impl<T: Plain> DerefMut for ValueGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.copy
    }
}

impl<T: Plain> Drop for ValueGuard<'_, T> {
    fn drop(&mut self) {
        let panicked = !self.unwinding && std::thread::panicking();
        if !panicked && !self.discarded && self.held.is_mine() {
            self.value.commit(self.seen, &self.copy, self.healed);
        }
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for ValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.copy.fmt(f)
    }
}

/// Holds a [`Value`] and lends the value itself.
///
/// A panic or death while it lives leaves the value inconsistent: see [`Value::lock_in_place`]. Bound to its thread; without
/// effect in a forked child, where it must not be used.
#[must_use = "dropping the guard releases the value at once"]
pub struct ValueInPlaceGuard<'a, T: Plain> {
    value: &'a Value<T>,
    held: Held<'a>,
    seen: Version,
    place: NonNull<T>,
    /// Whether an earlier editor left the value inconsistent, and nobody has declared it consistent yet.
    torn: bool,
    unwinding: bool,
}

impl<'a, T: Plain> ValueInPlaceGuard<'a, T> {
    /// Checks the value where it is, with the lock held, and lends it: a large one need not fit on the stack.
    pub(super) fn new(value: &'a Value<T>, held: Held<'a>, seen: Version) -> Result<Self> {
        const { assert!(size_of::<T>() == size_of::<T::Bits>()) };
        const { assert!(align_of::<T::Bits>() <= Layout::align::<T>()) };
        let place = value.slots().address(seen.slot() * Layout::stride::<T>(), size_of::<T>()).cast::<T>();
        // SAFETY: (S10) in bounds and aligned; the lock is held, so nobody writes these bytes; any bytes are `Bits`.
        if !T::is_valid_bit_pattern(unsafe { place.cast::<T::Bits>().as_ref() }) {
            return Err(value.invalid());
        }
        value.head().begin_in_place(seen);
        let unwinding = std::thread::panicking();
        Ok(ValueInPlaceGuard { value, held, seen, place, torn: seen.in_place(), unwinding })
    }

    /// Declares the value consistent again; takes effect when the guard is dropped.
    pub fn make_consistent(&mut self) {
        self.torn = false;
    }
}

impl<T: Plain> Deref for ValueInPlaceGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: (S10) the lock is held, so no safe call writes these bytes; readers without the lock copy nothing
        // while the version says IN_PLACE, or throw it away. The bytes were checked to be a `T` under the same lock.
        unsafe { self.place.as_ref() }
    }
}

impl<T: Plain> DerefMut for ValueInPlaceGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: (S10) as in `deref`; `&mut self` makes the reference unique in this thread, the lock everywhere else.
        unsafe { self.place.as_mut() }
    }
}

impl<T: Plain> Drop for ValueInPlaceGuard<'_, T> {
    fn drop(&mut self) {
        if !self.held.is_mine() {
            return;
        }
        let word = self.held.parts.word;
        if !self.unwinding && std::thread::panicking() {
            // The version keeps saying IN_PLACE; `held` then finds nothing left to release.
            word.release_panicked(self.held.parts.attached.member.host(), self.held.owner);
        } else if !self.torn {
            self.value.head().end_in_place(self.seen);
            word.make_consistent();
        }
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for ValueInPlaceGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
