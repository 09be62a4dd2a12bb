//! The operations of one atomic value, wherever its cell lies.

use std::fmt;

use super::atomic::{self, Atomic, AtomicBits, AtomicNumber, repr::Cell};
use crate::atomic::Ordering::SeqCst;
use crate::error::{Error, Result};
use crate::participant::Attached;

/// One element of an [`AtomicArray`](crate::AtomicArray), with all the operations of an
/// [`AtomicValue`](crate::AtomicValue).
pub struct AtomicRef<'a, T: Atomic> {
    cell: &'a T::Cell,
    attached: &'a Attached,
}

impl<'a, T: Atomic> AtomicRef<'a, T> {
    #[inline]
    pub(super) fn new(cell: &'a T::Cell, attached: &'a Attached) -> Self {
        AtomicRef { cell, attached }
    }

    #[inline]
    fn parts(&self) -> (&T::Cell, &Attached) {
        (self.cell, self.attached)
    }
}

impl<T: Atomic> Copy for AtomicRef<'_, T> {}

impl<T: Atomic> Clone for AtomicRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Atomic + fmt::Debug> fmt::Debug for AtomicRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AtomicRef").field(&self.load()).finish()
    }
}

/// The cell, for a handle that may write it; a write through a read-only mapping would end the process.
#[inline]
pub(super) fn writable<'a, C>((cell, attached): (&'a C, &Attached), action: &'static str) -> Result<&'a C> {
    if attached.member.may_write() { Ok(cell) } else { Err(refuse(attached, action)) }
}

#[cold]
fn refuse(attached: &Attached, action: &'static str) -> Error {
    Error::ReadOnly { object: attached.object(), action }
}

/// Gives a type, whose `parts()` are a cell and its attachment, the operations.
macro_rules! operations {
    ($name:ident $(, $lifetime:lifetime)?) => {
        impl<$($lifetime,)? T: Atomic> $name<$($lifetime,)? T> {
            /// The value.
            #[inline]
            pub fn load(&self) -> T {
                T::decode(self.parts().0.get(SeqCst))
            }

            /// Replaces the value.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn store(&self, value: T) -> Result<()> {
                writable(self.parts(), "store a value")?.put(value.encode(), SeqCst);
                Ok(())
            }

            /// The value: a short name of [`load`](Self::load).
            #[inline]
            pub fn get(&self) -> T {
                self.load()
            }

            /// Replaces the value: a short name of [`store`](Self::store).
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn set(&self, value: T) -> Result<()> {
                self.store(value)
            }

            /// Replaces the value; returns the old one.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn swap(&self, value: T) -> Result<T> {
                Ok(T::decode(writable(self.parts(), "swap its value")?.exchange(value.encode())))
            }

            /// Stores `new` if the value is `current`; returns the value found, as `Ok` if it was replaced.
            ///
            /// Floats are compared by their bits: 0.0 is not -0.0, and a NaN is itself.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly), outside; the inner `Err` holds the value that differed.
            #[inline]
            pub fn compare_exchange(&self, current: T, new: T) -> Result<Result<T, T>> {
                let cell = writable(self.parts(), "exchange its value")?;
                Ok(atomic::compare_exchange(cell, current, new))
            }

            /// Replaces the value by what `next` makes of it, unless that is `None`; returns the value found, as `Ok` if it
            /// was replaced.
            ///
            /// `next` runs again whenever somebody else was faster. If it panics, nothing is changed.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly), outside; the inner `Err` holds the value that was kept.
            #[inline]
            pub fn fetch_update(&self, next: impl FnMut(T) -> Option<T>) -> Result<Result<T, T>> {
                Ok(atomic::fetch_update(writable(self.parts(), "update it")?, next))
            }

            /// Replaces the value by what `next` makes of it; returns the old one.
            ///
            /// `next` runs again whenever somebody else was faster. If it panics, nothing is changed.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn update(&self, next: impl FnMut(T) -> T) -> Result<T> {
                Ok(atomic::change(writable(self.parts(), "update it")?, next))
            }
        }

        impl<$($lifetime,)? T: AtomicNumber> $name<$($lifetime,)? T> {
            /// Adds to the value; returns the old one. Integers wrap around, floats round.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn fetch_add(&self, by: T) -> Result<T> {
                Ok(T::fetch_add(writable(self.parts(), "add to it")?, by))
            }

            /// Adds to the value; returns the old one: a short name of [`fetch_add`](Self::fetch_add).
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn add(&self, by: T) -> Result<T> {
                self.fetch_add(by)
            }

            /// Subtracts from the value; returns the old one. Integers wrap around, floats round.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn fetch_sub(&self, by: T) -> Result<T> {
                Ok(T::fetch_sub(writable(self.parts(), "subtract from it")?, by))
            }

            /// Stores the smaller of the value and `other`; returns the old one. Of a NaN and a number, the number is stored.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn fetch_min(&self, other: T) -> Result<T> {
                Ok(atomic::change(writable(self.parts(), "lower it")?, |now: T| now.smaller(other)))
            }

            /// Stores the larger of the value and `other`; returns the old one. Of a NaN and a number, the number is stored.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn fetch_max(&self, other: T) -> Result<T> {
                Ok(atomic::change(writable(self.parts(), "raise it")?, |now: T| now.larger(other)))
            }
        }

        impl<$($lifetime,)? T: AtomicBits> $name<$($lifetime,)? T> {
            /// Keeps the bits that `mask` has too; returns the old value.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn fetch_and(&self, mask: T) -> Result<T> {
                Ok(T::decode(writable(self.parts(), "clear its bits")?.and(mask.encode())))
            }

            /// Sets the bits that `mask` has; returns the old value.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn fetch_or(&self, mask: T) -> Result<T> {
                Ok(T::decode(writable(self.parts(), "set its bits")?.or(mask.encode())))
            }

            /// Inverts the bits that `mask` has; returns the old value.
            ///
            /// # Errors
            ///
            /// [`Error::ReadOnly`](crate::Error::ReadOnly).
            #[inline]
            pub fn fetch_xor(&self, mask: T) -> Result<T> {
                Ok(T::decode(writable(self.parts(), "invert its bits")?.xor(mask.encode())))
            }
        }
    };
}

operations!(AtomicRef, 'a);

pub(super) use operations;
