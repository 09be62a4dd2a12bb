//! What may live in shared memory: [`Plain`](trait@Plain) data, and how two programs agree on its layout.

pub use procshare_macros::Plain;

use core::marker::PhantomData;

use bytemuck::{CheckedBitPattern, NoUninit};

pub use super::signature::{Signature, SignatureBuilder};

/// A type whose values may live in memory that other processes read, write, and die while writing.
///
/// Its bytes mean the same to every process: no pointers, no references, no padding
/// ([`NoUninit`]: every byte that is written is defined), and reading validates them
/// ([`CheckedBitPattern`]: a `bool` of 7, or a number that is no variant of an enum, is an
/// [`InvalidBits`](crate::shm::checked::InvalidBits) error). On top of these two, `Plain` says what the type is called and
/// how it is laid out, so that unrelated programs can check that they speak of the same thing.
///
/// # Which types
///
/// - `u8` to `u128`, `i8` to `i128`, `f32`, `f64`, `bool`, `char`;
/// - arrays `[T; N]` of [`Pod`](bytemuck::Pod) elements (all primitives but `bool` and `char`, and structs that derive
///   `Pod`), for the `N` that `bytemuck` knows: arrays of types that need validation are not
///   [`CheckedBitPattern`] there;
/// - your structs and fieldless enums, through the derive.
///
/// Not `usize` and `isize`: their width belongs to the program, not to the data; use `u64` or `i64`. Not tuples: their
/// layout is unspecified; use a `repr(C)` struct. Not references, pointers, `String`, `Vec`: what they point to lives
/// in one process only. Not atomics and cells: these types are copied in and out as values.
///
/// # Deriving
///
/// Derive `bytemuck`'s two traits together with this one, and depend on `bytemuck` 1 with its feature `derive`. The
/// re-export `procshare::bytemuck` with `#[bytemuck(crate = "procshare::bytemuck")]` is enough for enums and for `Pod`
/// structs; in other structs `CheckedBitPattern` generates a helper type that names `::bytemuck` whatever the attribute
/// says.
///
/// ```
/// use bytemuck::{CheckedBitPattern, NoUninit};
/// use procshare::Plain;
///
/// #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
/// #[repr(u8)]
/// enum State {
///     Idle = 0,
///     Busy = 1,
/// }
///
/// #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
/// #[plain(name = "acme.job")]
/// #[repr(C)]
/// struct Job {
///     id: u32,
///     priority: u16,
///     state: State,
///     urgent: bool,
/// }
///
/// assert_eq!(Job::NAME, "acme.job");
/// assert_eq!(State::NAME, "State");
/// ```
///
/// See [the derive](derive@Plain) for its attributes and for what it refuses.
///
/// # Implementing by hand
///
/// The trait is safe to implement: memory safety rests on the two `unsafe` supertraits, and a wrong `SIGNATURE` can at
/// worst let two types of equal size read each other's valid values. [`Signature::of_type`] shows how.
///
/// # Refused
///
/// Types whose width belongs to the program (`needs::<u64>()` compiles):
///
/// ```compile_fail,E0277
/// fn needs<T: procshare::Plain>() {}
/// needs::<usize>();
/// ```
///
/// Padding, whose bytes nobody defines (with a `pad: [u8; 3]` between the fields it compiles):
///
/// ```compile_fail,E0080
/// # use bytemuck::{CheckedBitPattern, NoUninit};
/// # use procshare::Plain;
/// #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
/// #[repr(C)]
/// struct Padded {
///     small: u8,
///     large: u32,
/// }
/// ```
///
/// References, which mean nothing to another process:
///
/// ```compile_fail,E0277
/// # use bytemuck::{CheckedBitPattern, NoUninit};
/// # use procshare::Plain;
/// #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
/// #[repr(C)]
/// struct Borrowed {
///     name: &'static u64,
/// }
/// ```
///
/// A layout that the compiler chooses anew for each program (with `#[repr(C)]` it compiles):
///
/// ```compile_fail
/// # use procshare::Plain;
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable, Plain)]
/// struct Unordered {
///     left: u32,
///     right: u32,
/// }
/// ```
///
/// `bytemuck`'s derives alone, without a name and a signature (with `Plain` in the list it compiles):
///
/// ```compile_fail,E0277
/// # fn needs<T: procshare::Plain>() {}
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Nameless {
///     left: u32,
///     right: u32,
/// }
/// needs::<Nameless>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not plain data, so it cannot live in shared memory",
    label = "not `Plain`",
    note = "for a struct or enum of yours: `#[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]` and a `repr`",
    note = "`usize` and `isize` differ in width between programs: use `u64` or `i64`",
    note = "arrays need elements that are `bytemuck::Pod`: put `bool`, `char` and enums into struct fields instead"
)]
pub trait Plain: NoUninit + CheckedBitPattern + Send + Sync + 'static {
    /// Fingerprint of the name and the layout; equal in all programs that may share values of this type.
    const SIGNATURE: Signature;

    /// The name that the type's author chose, for messages; what is compared is [`SIGNATURE`](Self::SIGNATURE).
    const NAME: &'static str;
}

macro_rules! primitives {
    ($($type:ident)*) => {$(
        impl Plain for $type {
            const SIGNATURE: Signature =
                Signature::of_primitive(stringify!($type), size_of::<$type>(), align_of::<$type>());
            const NAME: &'static str = stringify!($type);
        }
    )*};
}

primitives! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 bool char }

impl<T: Plain, const N: usize> Plain for [T; N]
where
    [T; N]: NoUninit + CheckedBitPattern,
{
    const SIGNATURE: Signature = Signature::of_array(T::SIGNATURE, N);
    const NAME: &'static str = ArrayName::<T, N>::NAME;
}

/// Writes `[element; N]` while compiling.
struct ArrayName<T, const N: usize>(PhantomData<T>);

impl<T: Plain, const N: usize> ArrayName<T, N> {
    const TEXT: ShortText = {
        let whole = ShortText::new().push("[").push(T::NAME).push("; ").push_number(N).push("]");
        if whole.overflowed { ShortText::new().push("[_; ").push_number(N).push("]") } else { whole }
    };
    const BYTES: &'static [u8] = Self::TEXT.bytes.split_at(Self::TEXT.len).0;
    const NAME: &'static str = match core::str::from_utf8(Self::BYTES) {
        Ok(name) => name,
        Err(_) => unreachable!(), // whole strings were appended, so the bytes are UTF-8
    };
}

/// A string of bounded length that a constant can be built from.
struct ShortText {
    bytes: [u8; 128],
    len: usize,
    overflowed: bool,
}

impl ShortText {
    const fn new() -> Self {
        ShortText { bytes: [0; 128], len: 0, overflowed: false }
    }

    const fn push(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        if text.len() > self.bytes.len() - self.len {
            self.overflowed = true;
            return self;
        }
        let mut i = 0;
        while i < text.len() {
            self.bytes[self.len] = text[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    const fn push_number(self, number: usize) -> Self {
        let all = if number >= 10 { self.push_number(number / 10) } else { self };
        let digit = [b'0' + (number % 10) as u8];
        match core::str::from_utf8(&digit) {
            Ok(digit) => all.push(digit),
            Err(_) => all,
        }
    }
}
