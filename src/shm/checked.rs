//! The step from bytes that anybody may have written to a value of a [`Plain`](trait@Plain) type.

use core::any::TypeId;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use thiserror::Error;

use super::plain::Plain;

/// How many of the offending bytes an [`InvalidBits`] keeps.
const KEPT: usize = 16;

/// The bytes read from shared memory are no value of the type that was asked for.
///
/// Seen when a process wrote garbage, or when a type's definition changed while its name and layout stayed the same.
/// The bytes stay as they are; storing a valid value repairs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("found bytes {} in shared memory, which are no valid `{expected}`; store a valid value to repair them", self.hex())]
pub struct InvalidBits {
    /// [`Plain::NAME`] of the type that was asked for.
    pub expected: &'static str,
    found: [u8; KEPT],
    size: usize,
}

impl InvalidBits {
    /// The first bytes that were found, at most 16.
    pub fn found(&self) -> &[u8] {
        &self.found[..self.size.min(KEPT)]
    }

    fn hex(&self) -> String {
        let mut text: String = self.found().iter().map(|byte| format!("{byte:02x}")).collect();
        if self.size > KEPT {
            text.push_str(&format!("… ({} bytes)", self.size));
        }
        text
    }
}

/// Reads a `T` out of a private copy of shared bytes.
///
/// # Errors
///
/// [`InvalidBits`] if the bytes are no value of `T`.
///
/// # Safety
///
/// All `size_of::<T>()` bytes behind `bits` are initialised, for instance because they were copied from a mapping. `bits` is
/// that copy, never a place inside the mapping, whose bytes another process could change after the check.
///
/// ```
/// use core::mem::MaybeUninit;
/// use procshare::shm::checked::read_checked;
///
/// // SAFETY: `MaybeUninit::new` initialised the only byte.
/// let read = |byte: u8| unsafe { read_checked::<bool>(&MaybeUninit::new(byte)) };
/// assert_eq!(read(1), Ok(true));
/// assert_eq!(read(7).unwrap_err().found(), [7]);
/// ```
#[inline]
pub unsafe fn read_checked<T: Plain>(bits: &MaybeUninit<T::Bits>) -> Result<T, InvalidBits> {
    const {
        assert!(size_of::<T>() == size_of::<T::Bits>() && align_of::<T>() <= align_of::<T::Bits>());
    }
    // SAFETY: (S9) the caller initialised every byte, and any initialised bytes are a `T::Bits`, which is `AnyBitPattern`.
    let valid = T::is_valid_bit_pattern(unsafe { bits.assume_init_ref() });
    if !valid {
        // SAFETY: (S9) the caller initialised every byte.
        return Err(unsafe { invalid::<T>(bits) });
    }
    // SAFETY: (S9) `CheckedBitPattern` promises that bits which pass the check are a valid `T`, and that both have the same
    // layout (asserted above as far as it can be); `T` is `Copy`. `bits` is a private copy behind a shared reference, so
    // nobody changed it since the check.
    Ok(unsafe { bits.as_ptr().cast::<T>().read() })
}

/// Whether the bytes at `place` are a `T`, seen where they are: a large one is not copied, and need not fit on the stack.
///
/// # Safety
///
/// `place` is aligned for `T`, its bytes are mapped, initialised, and written by nobody during the call.
#[inline]
pub(crate) unsafe fn is_valid_at<T: Plain>(place: NonNull<T>) -> bool {
    const { assert!(size_of::<T>() == size_of::<T::Bits>() && align_of::<T::Bits>() <= align_of::<T>()) };
    // SAFETY: (S9) aligned as `T` is, initialised and still, says the caller; any bytes are a `Bits`.
    T::is_valid_bit_pattern(unsafe { place.cast::<T::Bits>().as_ref() })
}

/// A `T` as its bytes, if any bytes are a `T`: then they may be written over without a check.
#[inline]
pub(crate) fn any_bits<T: Plain>(to: &mut T) -> Option<&mut T::Bits> {
    // A type that is its own `Bits` is `AnyBitPattern`.
    let any = TypeId::of::<T>() == TypeId::of::<T::Bits>();
    // SAFETY: (S9) both are the same type.
    any.then(|| unsafe { &mut *core::ptr::from_mut(to).cast() })
}

/// Looks at a private copy of shared bytes as the `T` it is.
///
/// # Errors
///
/// [`InvalidBits`] if the bytes are no value of `T`.
#[inline]
pub(crate) fn checked_mut<T: Plain>(bits: &mut T::Bits) -> Result<&mut T, InvalidBits> {
    const {
        assert!(size_of::<T>() == size_of::<T::Bits>() && align_of::<T>() <= align_of::<T::Bits>());
    }
    if !T::is_valid_bit_pattern(bits) {
        // SAFETY: (S9) a `T::Bits` that stands behind a reference was copied whole, byte by byte.
        return Err(unsafe { invalid::<T>(&*std::ptr::from_mut(bits).cast()) });
    }
    // SAFETY: (S9) `CheckedBitPattern` promises that bits which pass the check are a valid `T` of the same layout (asserted
    // above as far as it can be), and the place is private. Whatever `T` is stored there, its bytes are all initialised
    // (`NoUninit`), which makes them a `T::Bits` again.
    Ok(unsafe { &mut *std::ptr::from_mut(bits).cast::<T>() })
}

/// Describes bytes that failed the check.
///
/// # Safety
///
/// All bytes behind `bits` are initialised.
#[cold]
unsafe fn invalid<T: Plain>(bits: &MaybeUninit<T::Bits>) -> InvalidBits {
    let size = size_of::<T>();
    let mut found = [0; KEPT];
    // SAFETY: (S9) `bits` is valid for `size` bytes, which the caller initialised, and `found` for `KEPT`; they do not overlap,
    // since `found` is a fresh local.
    unsafe {
        bits.as_ptr().cast::<u8>().copy_to_nonoverlapping(found.as_mut_ptr(), size.min(KEPT));
    }
    InvalidBits { expected: T::NAME, found, size }
}
