//! Clocks, randomness, and what this process is called.

use std::io::Read;

/// The caller's user id.
pub(crate) fn user_id() -> u32 {
    // SAFETY: (S1) geteuid has no precondition and cannot fail.
    unsafe { libc::geteuid() }
}

/// Inode of the caller's pid namespace; 0 where `/proc` is missing.
pub(crate) fn pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
}

/// Clock ticks between boot and the caller's start; 0 where `/proc` is missing.
pub(crate) fn start_time() -> u64 {
    // Field 22, counted behind the parenthesised name, which may itself hold blanks and parentheses.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19));
    field.and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970.
pub(crate) fn wall_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

pub(super) fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: (S1) `now` is a valid destination; all clocks asked for exist on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Bytes nobody can guess, for birth ids and private names.
pub(crate) fn random_u128() -> u128 {
    let mut bytes = [0u8; 16];
    // SAFETY: (S1) the kernel writes at most `bytes.len()` bytes into `bytes`.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != bytes.len() as isize {
        let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        if read.is_err() {
            // No randomness at all: distinct within this machine and boot is what birth ids need.
            bytes = ((u128::from(wall_ns()) << 64)
                | u128::from(monotonic_ns() ^ u64::from(std::process::id())))
            .to_ne_bytes();
        }
    }
    u128::from_ne_bytes(bytes)
}
