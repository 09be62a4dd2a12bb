//! Clocks, randomness, and what this process is called: figures for display and for names, never for ownership.

use std::io::Read;

/// What `ls` shows of a participant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessInfo {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    /// Clock ticks since boot; 0 where it cannot be read.
    pub(crate) start_time: u64,
    /// Inode of the pid namespace in which `pid` means this process; 0 where it cannot be read.
    pub(crate) pid_namespace: u64,
    /// Executable's file name, cut to fit, padded with zeros.
    pub(crate) executable: [u8; 32],
}

impl ProcessInfo {
    /// Looks at the calling process.
    pub(crate) fn of_self() -> Self {
        let mut executable = [0; 32];
        if let Ok(path) = std::env::current_exe()
            && let Some(name) = path.file_name()
        {
            let name = name.as_encoded_bytes();
            let len = name.len().min(executable.len());
            executable[..len].copy_from_slice(&name[..len]);
        }
        ProcessInfo {
            pid: std::process::id(),
            // SAFETY: (S1) geteuid has no precondition and cannot fail.
            uid: unsafe { libc::geteuid() },
            start_time: start_time().unwrap_or(0),
            pid_namespace: Self::own_pid_namespace(),
            executable,
        }
    }

    /// Inode of the caller's pid namespace; 0 where `/proc` is missing.
    pub(crate) fn own_pid_namespace() -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
    }
}

/// Field 22 of `/proc/self/stat`, counted behind the parenthesised name, which may itself hold blanks and parentheses.
fn start_time() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
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
