//! Which types are atomic, and how each lies in its cell.
//!
//! A cell is an unsigned atomic of the type's own width. Signed integers and floats lie there as their bits, a `bool` as its
//! low bit: bytes that no `bool` has, which only a foreign program writes, read as that bit, so reading never fails.
//!
//! Ordering. Promise: atomic values behave as if all operations on all of them happened one after the other, in an order that
//! every process agrees on. There is no ordering to choose, so it must be the strongest: with less, two processes that each
//! set a flag and look at the other's could both see it unset. It costs a full fence at each store; the other operations
//! are as fast as with acquire and release on the machines this crate runs on. Bulk copies say what they promise instead.

use crate::atomic::Ordering::{self, SeqCst};
use crate::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};
use crate::shm::Plain;
use crate::shm::view::Word;

/// A type with atomic values: integers of up to 64 bits, `f32`, `f64` and `bool`.
///
/// Implemented by this crate only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no atomic values",
    label = "not atomic",
    note = "atomic are `i8` to `i64`, `u8` to `u64`, `f32`, `f64` and `bool`; use `Value` or `Array` for other plain types"
)]
pub trait Atomic: Plain + repr::Repr {}

/// An atomic type that can be counted with: integers and floats.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no atomic number",
    label = "needs an integer or a float"
)]
pub trait AtomicNumber: Atomic + repr::Number {}

/// An atomic type whose bits can be combined: integers and `bool`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no bits to combine",
    label = "needs an integer or a `bool`"
)]
pub trait AtomicBits: Atomic + repr::Bits {}

/// What the public traits rest on; keeps them to this crate.
pub(crate) mod repr {
    use super::*;

    /// An unsigned atomic.
    pub trait Cell: Word {
        type Bits: Copy + Eq;
        fn get(&self, order: Ordering) -> Self::Bits;
        fn put(&self, bits: Self::Bits, order: Ordering);
        fn exchange(&self, bits: Self::Bits) -> Self::Bits;
        fn replace(&self, current: Self::Bits, new: Self::Bits) -> Result<Self::Bits, Self::Bits>;
        fn replace_weak(&self, current: Self::Bits, new: Self::Bits) -> Result<Self::Bits, Self::Bits>;
        fn add(&self, bits: Self::Bits) -> Self::Bits;
        fn sub(&self, bits: Self::Bits) -> Self::Bits;
        fn and(&self, bits: Self::Bits) -> Self::Bits;
        fn or(&self, bits: Self::Bits) -> Self::Bits;
        fn xor(&self, bits: Self::Bits) -> Self::Bits;
    }

    /// A type and how it lies in its cell.
    pub trait Repr: Copy {
        type Cell: Cell;
        fn encode(self) -> BitsOf<Self>;
        fn decode(bits: BitsOf<Self>) -> Self;
    }

    pub(crate) type BitsOf<T> = <<T as Repr>::Cell as Cell>::Bits;

    /// Sums that wrap around or round, and an order.
    pub trait Number: Repr {
        fn fetch_add(cell: &Self::Cell, by: Self) -> Self;
        fn fetch_sub(cell: &Self::Cell, by: Self) -> Self;
        fn smaller(self, other: Self) -> Self;
        fn larger(self, other: Self) -> Self;
    }

    /// A type that is its bits.
    pub trait Bits: Repr {}
}

use repr::{Bits, BitsOf, Cell, Number, Repr};

macro_rules! cells {
    ($($cell:ident $bits:ident;)*) => {$(
        impl Cell for $cell {
            type Bits = $bits;
            #[inline]
            fn get(&self, order: Ordering) -> $bits { self.load(order) }
            #[inline]
            fn put(&self, bits: $bits, order: Ordering) { self.store(bits, order) }
            #[inline]
            fn exchange(&self, bits: $bits) -> $bits { self.swap(bits, SeqCst) }
            #[inline]
            fn replace(&self, current: $bits, new: $bits) -> Result<$bits, $bits> {
                self.compare_exchange(current, new, SeqCst, SeqCst)
            }
            #[inline]
            fn replace_weak(&self, current: $bits, new: $bits) -> Result<$bits, $bits> {
                self.compare_exchange_weak(current, new, SeqCst, SeqCst)
            }
            #[inline]
            fn add(&self, bits: $bits) -> $bits { self.fetch_add(bits, SeqCst) }
            #[inline]
            fn sub(&self, bits: $bits) -> $bits { self.fetch_sub(bits, SeqCst) }
            #[inline]
            fn and(&self, bits: $bits) -> $bits { self.fetch_and(bits, SeqCst) }
            #[inline]
            fn or(&self, bits: $bits) -> $bits { self.fetch_or(bits, SeqCst) }
            #[inline]
            fn xor(&self, bits: $bits) -> $bits { self.fetch_xor(bits, SeqCst) }
        }
    )*};
}

cells! { AtomicU8 u8; AtomicU16 u16; AtomicU32 u32; AtomicU64 u64; }

macro_rules! integers {
    ($($type:ident $cell:ident $bits:ident;)*) => {$(
        impl Repr for $type {
            type Cell = $cell;
            #[inline]
            fn encode(self) -> $bits { self as $bits }
            #[inline]
            fn decode(bits: $bits) -> Self { bits as $type }
        }
        impl Number for $type {
            // Two's complement: sums of the bits are the sums of the values, and wrap where those do.
            #[inline]
            fn fetch_add(cell: &$cell, by: Self) -> Self { Self::decode(cell.add(by.encode())) }
            #[inline]
            fn fetch_sub(cell: &$cell, by: Self) -> Self { Self::decode(cell.sub(by.encode())) }
            #[inline]
            fn smaller(self, other: Self) -> Self { self.min(other) }
            #[inline]
            fn larger(self, other: Self) -> Self { self.max(other) }
        }
        impl Bits for $type {}
        impl Atomic for $type {}
        impl AtomicNumber for $type {}
        impl AtomicBits for $type {}
    )*};
}

integers! {
    i8 AtomicU8 u8; i16 AtomicU16 u16; i32 AtomicU32 u32; i64 AtomicU64 u64;
    u8 AtomicU8 u8; u16 AtomicU16 u16; u32 AtomicU32 u32; u64 AtomicU64 u64;
}

macro_rules! floats {
    ($($type:ident $cell:ident $bits:ident;)*) => {$(
        impl Repr for $type {
            type Cell = $cell;
            #[inline]
            fn encode(self) -> $bits { self.to_bits() }
            #[inline]
            fn decode(bits: $bits) -> Self { Self::from_bits(bits) }
        }
        impl Number for $type {
            #[inline]
            fn fetch_add(cell: &$cell, by: Self) -> Self { change(cell, |now: Self| now + by) }
            #[inline]
            fn fetch_sub(cell: &$cell, by: Self) -> Self { change(cell, |now: Self| now - by) }
            #[inline]
            fn smaller(self, other: Self) -> Self { self.min(other) }
            #[inline]
            fn larger(self, other: Self) -> Self { self.max(other) }
        }
        impl Atomic for $type {}
        impl AtomicNumber for $type {}
    )*};
}

floats! { f32 AtomicU32 u32; f64 AtomicU64 u64; }

impl Repr for bool {
    type Cell = AtomicU8;
    #[inline]
    fn encode(self) -> u8 {
        u8::from(self)
    }
    #[inline]
    fn decode(bits: u8) -> Self {
        bits & 1 != 0
    }
}

impl Bits for bool {}
impl Atomic for bool {}
impl AtomicBits for bool {}

/// Stores `new` if the cell holds `current`.
#[inline]
pub(super) fn compare_exchange<T: Atomic>(cell: &T::Cell, current: T, new: T) -> Result<T, T> {
    let mut expected = current.encode();
    loop {
        match cell.replace(expected, new.encode()) {
            Ok(_) => return Ok(current),
            // The same value in other bits: a `bool` that a foreign program wrote.
            Err(found) if T::decode(found).encode() == current.encode() => expected = found,
            Err(found) => return Err(T::decode(found)),
        }
    }
}

/// Replaces the value by what `next` makes of it, as often as somebody else was faster.
#[inline]
pub(super) fn fetch_update<T: Atomic>(cell: &T::Cell, mut next: impl FnMut(T) -> Option<T>) -> Result<T, T> {
    let mut now: BitsOf<T> = cell.get(SeqCst);
    loop {
        let old = T::decode(now);
        let Some(new) = next(old) else { return Err(old) };
        match cell.replace_weak(now, new.encode()) {
            Ok(_) => return Ok(old),
            Err(found) => now = found,
        }
    }
}

/// [`fetch_update`] with a `next` that always has a value.
#[inline]
pub(super) fn change<T: Atomic>(cell: &T::Cell, mut next: impl FnMut(T) -> T) -> T {
    match fetch_update(cell, |now| Some(next(now))) {
        Ok(old) | Err(old) => old,
    }
}
