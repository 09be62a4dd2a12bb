//! Sleeping on a shared word: process-shared futexes with absolute monotonic deadlines.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::{Expected, FUTEX_WAIT_ANY_MOST, Futex};

/// `futex_waitv`, of Linux 5.16; the number is the same on all architectures.
const SYS_FUTEX_WAITV: libc::c_long = 449;

/// The flag for 32-bit words that several processes share.
const FUTEX2_SIZE_U32: u32 = 2;

/// `struct futex_waitv` of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct WaitV {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// `struct __kernel_timespec`: 64 bits wide on every architecture.
#[repr(C)]
struct KernelTime {
    seconds: i64,
    nanoseconds: i64,
}

/// Sleeps while `word` holds `expected`, at most until `until_ns` (monotonic nanoseconds).
///
/// Returns on a wake-up, on a changed value, at the deadline, and spuriously (a signal arrived): the caller looks again.
pub(crate) fn futex_wait(word: &impl Futex, expected: u32, until_ns: u64) {
    let until = libc::timespec {
        tv_sec: (until_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (until_ns % 1_000_000_000) as libc::c_long,
    };
    // WAIT_BITSET takes an absolute time; without FUTEX_CLOCK_REALTIME the clock is the monotonic one.
    // SAFETY: (S1) the borrowed word lives for the call, as does `until`; the kernel writes neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.address(),
            libc::FUTEX_WAIT_BITSET,
            expected,
            std::ptr::from_ref(&until),
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    if result == -1 {
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        debug_assert!(
            matches!(errno, libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT),
            "futex wait failed with errno {errno}"
        );
    }
}

/// Wakes at most `count` sleepers of `word` and tells how many there were.
pub(crate) fn futex_wake(word: &impl Futex, count: u32) -> u32 {
    if count == 0 {
        // The kernel would wake one.
        return 0;
    }
    let count = count.min(i32::MAX as u32) as libc::c_int;
    // SAFETY: (S1) the kernel only uses the address as a key.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.address(), libc::FUTEX_WAKE, count) };
    u32::try_from(woken).unwrap_or(0)
}

/// Sleeps while every one of `words` holds what is expected of it, at most until `until_ns` (monotonic nanoseconds).
///
/// Returns on a wake-up of any word, on a changed value, at the deadline, and spuriously. `false`: this system cannot, or not so many,
/// and nothing was slept.
pub(crate) fn futex_wait_any(words: &[Expected<'_>], until_ns: u64) -> bool {
    /// Whether the kernel has said that it has no such call: before 5.16, and where a filter knows only older ones.
    static MISSING: AtomicBool = AtomicBool::new(false);
    // Relaxed: a hint; whoever misses it asks the kernel once more.
    if words.is_empty() || words.len() > FUTEX_WAIT_ANY_MOST || MISSING.load(Ordering::Relaxed) {
        return false;
    }
    let mut list = [WaitV { value: 0, address: 0, flags: 0, reserved: 0 }; FUTEX_WAIT_ANY_MOST];
    for (entry, expected) in list.iter_mut().zip(words) {
        entry.value = u64::from(expected.bits);
        entry.address = expected.word.address().addr() as u64;
        entry.flags = FUTEX2_SIZE_U32;
    }
    let until = KernelTime {
        seconds: (until_ns / 1_000_000_000) as i64,
        nanoseconds: (until_ns % 1_000_000_000) as i64,
    };
    // SAFETY: (S1) `list` has at least `words.len()` entries, whose borrowed words live for the call, as do `list` and `until`; the
    // kernel writes none of them.
    let result = unsafe {
        libc::syscall(
            SYS_FUTEX_WAITV,
            list.as_ptr(),
            words.len() as libc::c_uint,
            0 as libc::c_uint,
            std::ptr::from_ref(&until),
            libc::CLOCK_MONOTONIC,
        )
    };
    if result != -1 {
        return true;
    }
    match io::Error::last_os_error().raw_os_error().unwrap_or(0) {
        libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT => true,
        libc::ENOSYS | libc::EPERM => {
            MISSING.store(true, Ordering::Relaxed);
            false
        }
        // No memory for the list, for one.
        _ => false,
    }
}
