//! Copies between shared bytes and private ones that may race with another process's copies.
//!
//! An optimistic reader copies bytes that a writer may be changing, and only then asks whether it got a whole value. Plain
//! loads would be a data race. Two ways avoid it: up to [`ATOMIC_MAX`] bytes move as relaxed atomic loads and stores of
//! machine words; more are moved by the C library's `memcpy`, called through a pointer the compiler cannot see through,
//! which the Rust side knows no more of than of a device that writes memory (S4). Whoever reads this way throws
//! the bytes away unless a version word, read behind an acquire fence, says that no writer came near.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use bytemuck::NoUninit;

/// The largest copy made of atomic words; beyond it the C library's vector instructions win.
const ATOMIC_MAX: usize = 128;

/// Whether a copy of `len` bytes, aligned to `align`, is one load or one store: whole at every instant. Never under Miri, which
/// knows no atomics that overlap others of another size: there every copy goes byte by byte.
#[inline]
pub(crate) const fn is_single(len: usize, align: usize) -> bool {
    !cfg!(miri) && matches!(len, 1 | 2 | 4 | 8) && align.is_multiple_of(len)
}

/// The alignment of an address, up to 8.
#[inline]
fn alignment(address: *const u8) -> usize {
    1 << (address.addr() | 8).trailing_zeros()
}

/// Copies `len` shared bytes at `from` to `to`. Aligned 1, 2, 4 or 8 bytes are one load.
///
/// # Safety
///
/// `from` is valid for reads of `len` bytes inside a live mapping, `to` for writes of `len` bytes that nobody else sees.
#[inline]
pub(super) unsafe fn load(from: *const u8, to: *mut MaybeUninit<u8>, len: usize) {
    if is_single(len, alignment(from)) {
        // SAFETY: (S4) in range by the caller's promise, aligned by the test above.
        unsafe {
            match len {
                1 => to.cast::<u8>().write((*from.cast::<AtomicU8>()).load(Relaxed)),
                2 => to.cast::<u16>().write_unaligned((*from.cast::<AtomicU16>()).load(Relaxed)),
                4 => to.cast::<u32>().write_unaligned((*from.cast::<AtomicU32>()).load(Relaxed)),
                _ => to.cast::<u64>().write_unaligned((*from.cast::<AtomicU64>()).load(Relaxed)),
            }
        }
        return;
    }
    // SAFETY: (S4) by the caller's promise.
    unsafe { load_many(from, to, len) };
}

/// The rest of [`load`], out of line: the one load is what its callers inline.
///
/// # Safety
///
/// As [`load`].
#[inline(never)]
unsafe fn load_many(from: *const u8, to: *mut MaybeUninit<u8>, len: usize) {
    if len <= ATOMIC_MAX || cfg!(miri) {
        let mut at = 0;
        if from.addr().is_multiple_of(8) && !cfg!(miri) {
            while at + 8 <= len {
                // SAFETY: (S4) in range by the caller's promise and the loop's bound, aligned by the test above.
                unsafe {
                    let word = (*from.add(at).cast::<AtomicU64>()).load(Relaxed);
                    to.add(at).cast::<u64>().write_unaligned(word);
                }
                at += 8;
            }
        }
        while at < len {
            // SAFETY: (S4) in range by the caller's promise and the loop's bound.
            unsafe { to.add(at).cast::<u8>().write((*from.add(at).cast::<AtomicU8>()).load(Relaxed)) };
            at += 1;
        }
    } else {
        // SAFETY: (S4) both ranges are valid by the caller's promise; private and shared memory do not overlap.
        unsafe { foreign_copy(to.cast(), from, len) };
    }
}

/// Copies as many shared bytes at `from` as a `B` has to a private place: by a number of words that the compiler knows, so
/// that a small value stays in registers.
///
/// # Safety
///
/// As [`load`]; `from` is aligned to 8 bytes.
#[inline]
pub(super) unsafe fn load_value<B>(from: *const u8, to: &mut MaybeUninit<B>) {
    let (len, to) = (size_of::<B>(), to.as_mut_ptr().cast::<MaybeUninit<u8>>());
    if is_single(len, 8) || len > ATOMIC_MAX || cfg!(miri) {
        // SAFETY: (S4) by the caller's promise.
        return unsafe { load(from, to, len) };
    }
    for at in (0..len & !7).step_by(8) {
        // SAFETY: (S4) in range by the loop's bound, aligned by the caller's promise.
        unsafe {
            to.add(at).cast::<u64>().write_unaligned((*from.add(at).cast::<AtomicU64>()).load(Relaxed))
        };
    }
    for at in len & !7..len {
        // SAFETY: (S4) in range by the loop's bound.
        unsafe { to.add(at).cast::<u8>().write((*from.add(at).cast::<AtomicU8>()).load(Relaxed)) };
    }
}

/// Copies the bytes of a private `value` to shared ones at `to`, in the words of [`load_value`].
///
/// # Safety
///
/// As [`store`]; `to` is aligned to 8 bytes.
#[inline]
pub(super) unsafe fn store_value<B: NoUninit>(value: &B, to: *mut u8) {
    let (len, from) = (size_of::<B>(), std::ptr::from_ref(value).cast::<u8>());
    if is_single(len, 8) || len > ATOMIC_MAX || cfg!(miri) {
        // SAFETY: (S4) by the caller's promise; a `NoUninit` has no uninitialised byte.
        return unsafe { store(from, to, len) };
    }
    for at in (0..len & !7).step_by(8) {
        // SAFETY: (S4) in range by the loop's bound, aligned by the caller's promise.
        unsafe {
            (*to.add(at).cast::<AtomicU64>()).store(from.add(at).cast::<u64>().read_unaligned(), Relaxed)
        };
    }
    for at in len & !7..len {
        // SAFETY: (S4) in range by the loop's bound.
        unsafe { (*to.add(at).cast::<AtomicU8>()).store(from.add(at).read(), Relaxed) };
    }
}

/// Copies `len` private bytes at `from` to shared ones at `to`. Aligned 1, 2, 4 or 8 bytes are one store.
///
/// # Safety
///
/// `to` is valid for writes of `len` bytes inside a live, writable mapping, `from` for reads of `len` initialised bytes that
/// nobody else changes.
#[inline]
pub(super) unsafe fn store(from: *const u8, to: *mut u8, len: usize) {
    if is_single(len, alignment(to)) {
        // SAFETY: (S4) in range by the caller's promise, aligned by the test above.
        unsafe {
            match len {
                1 => (*to.cast::<AtomicU8>()).store(from.read(), Relaxed),
                2 => (*to.cast::<AtomicU16>()).store(from.cast::<u16>().read_unaligned(), Relaxed),
                4 => (*to.cast::<AtomicU32>()).store(from.cast::<u32>().read_unaligned(), Relaxed),
                _ => (*to.cast::<AtomicU64>()).store(from.cast::<u64>().read_unaligned(), Relaxed),
            }
        }
        return;
    }
    // SAFETY: (S4) by the caller's promise.
    unsafe { store_many(from, to, len) };
}

/// The rest of [`store`], out of line: the one store is what its callers inline.
///
/// # Safety
///
/// As [`store`].
#[inline(never)]
unsafe fn store_many(from: *const u8, to: *mut u8, len: usize) {
    if len <= ATOMIC_MAX || cfg!(miri) {
        let mut at = 0;
        if to.addr().is_multiple_of(8) && !cfg!(miri) {
            while at + 8 <= len {
                // SAFETY: (S4) in range by the caller's promise and the loop's bound, aligned by the test above.
                unsafe {
                    let word = from.add(at).cast::<u64>().read_unaligned();
                    (*to.add(at).cast::<AtomicU64>()).store(word, Relaxed);
                }
                at += 8;
            }
        }
        while at < len {
            // SAFETY: (S4) in range by the caller's promise and the loop's bound.
            unsafe { (*to.add(at).cast::<AtomicU8>()).store(from.add(at).read(), Relaxed) };
            at += 1;
        }
    } else {
        // SAFETY: (S4) both ranges are valid by the caller's promise; private and shared memory do not overlap.
        unsafe { foreign_copy(to, from, len) };
    }
}

/// `memcpy` behind the compiler's back.
///
/// # Safety
///
/// As `memcpy`: both ranges are valid and do not overlap.
#[inline]
unsafe fn foreign_copy(to: *mut u8, from: *const u8, len: usize) {
    unsafe extern "C" {
        fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    }
    type Copy = unsafe extern "C" fn(*mut u8, *const u8, usize) -> *mut u8;
    let copy: Copy = core::hint::black_box(memcpy as Copy);
    // SAFETY: (S4) by the caller's promise.
    unsafe { copy(to, from, len) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_alignment_round_trips_and_touches_nothing_else() {
        let source: Vec<u8> = (0..300u32).map(|i| (i * 7 + 1) as u8).collect();
        for shift in 0..9 {
            for len in [0, 1, 7, 8, 9, 63, 127, 128, 129, 255] {
                let mut shared = [0u8; 300];
                let mut back = [MaybeUninit::new(0u8); 300];
                // SAFETY: shift + len stays below the arrays' length.
                unsafe {
                    store(source.as_ptr(), shared.as_mut_ptr().add(shift), len);
                    load(shared.as_mut_ptr().add(shift), back.as_mut_ptr().add(1), len);
                }
                assert_eq!(shared[shift..shift + len], source[..len]);
                assert!(shared[..shift].iter().chain(&shared[shift + len..]).all(|&byte| byte == 0));
                // SAFETY: every element of `back` was initialised.
                let back = back.map(|byte| unsafe { byte.assume_init() });
                assert_eq!(back[1..=len], source[..len]);
                assert_eq!(back[len + 1], 0);
            }
        }
    }
}
