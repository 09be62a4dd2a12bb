//! Sleeping on a shared word: process-shared futexes with absolute monotonic deadlines.

use std::io;

use crate::sys::Futex;

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
