//! Linux: futexes, OFD locks, unnamed files, and mappings made by `memmap2`.

mod checks;
mod directory;
mod file;
mod futex;
mod identity;
mod process;
mod seat;
mod survey;

pub(crate) use checks::{
    features, file_system, limits, publish_by_link, started_ns, system_name, test_locks,
};
pub(crate) use directory::{default_root, free_bytes, list, owner_and_mode, prepare as prepare_directory};
pub(crate) use file::{Draft, Region, back, file_id, open, remove, remove_if_unattached};
pub(crate) use futex::{futex_wait, futex_wake};
pub(crate) use identity::{Identity, ProcessLock, thread_token};
pub(crate) use process::{ProcessInfo, monotonic_ns, random_u128, wall_ns};
pub(crate) use seat::{Prober, Seat};
pub(crate) use survey::attached;

use std::io;

/// This backend's code in the registry and in every header.
pub(crate) const BACKEND: u32 = 1;

/// First byte of the lock range that stands for participants' slots in a registry file.
const SEAT_BASE: i64 = 1 << 41;
/// First byte of the lock range that stands for attachments of a segment: the byte `ATTACH_BASE + id` is held by `id`.
const ATTACH_BASE: i64 = 1 << 40;
/// How many bytes that range has: one for each id, and byte 0 for readers without one.
const ATTACH_LEN: i64 = 1 << 30;

/// Turns a C return value into a result.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The one place where an OFD lock call is made.
///
/// `command` is one of `F_OFD_SETLK` and `F_OFD_GETLK`, `kind` one of `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
fn ofd_lock(
    fd: libc::c_int,
    command: libc::c_int,
    kind: libc::c_int,
    start: i64,
    len: i64,
) -> io::Result<libc::flock> {
    // SAFETY: (S1) `flock` is plain C data for which all-zero is a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = start;
    lock.l_len = len;
    // SAFETY: (S1) the kernel reads and writes only `lock`, which lives for the call; a stale `fd` is answered by EBADF.
    check(unsafe { libc::fcntl(fd, command, &mut lock) })?;
    Ok(lock)
}

/// Whether an error number of a lock call means that the file system has no working locks.
pub(crate) fn means_no_locks(errno: i32) -> bool {
    matches!(errno, libc::ENOLCK | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)
}
