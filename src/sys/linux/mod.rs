//! Linux: futexes, OFD locks, unnamed files, and mappings made by `memmap2`.

mod checks;
mod directory;
#[path = "../shared/executable.rs"]
mod executable;
#[path = "../shared/facts.rs"]
mod facts;
mod file;
#[path = "../shared/fork.rs"]
mod fork;
mod futex;
mod identity;
#[path = "../shared/listing.rs"]
mod listing;
#[cfg(all(test, not(loom)))]
#[path = "../shared/other.rs"]
mod other;
mod process;
mod seat;
#[path = "../shared/simulation.rs"]
pub mod simulation;
mod survey;
#[path = "../shared/trust.rs"]
mod trust;

pub(crate) use checks::{
    features, file_system, limits, publish_by_link, started_ns, system_name, test_locks,
};
pub(crate) use directory::{default_root, free_bytes};
pub(crate) use executable::executable;
pub(crate) use facts::file_facts;
pub(crate) use file::{
    Draft, Region, back, collect_remains, file_id, is_remains, open, remove, remove_if_unattached,
};
pub(crate) use fork::watch_forks;
pub(crate) use futex::{futex_wait, futex_wait_any, futex_wake};
pub(crate) use identity::Identity;
pub(crate) use listing::list;
pub(crate) use process::{monotonic_ns, pid_namespace, random_u128, start_time, user_id, wall_ns};
pub(crate) use seat::{Prober, Seat};
pub(crate) use survey::attached;
pub(crate) use trust::prepare as prepare_directory;

use identity::in_forked_child;

#[cfg(all(test, not(loom)))]
pub(crate) use other::Other;

#[cfg(all(test, not(loom)))]
use crate::sys::contract::Promise;
use std::io;

/// This backend's code in the registry and in every header.
pub(crate) const BACKEND: u32 = 1;

/// What this backend promises beyond what all do.
#[cfg(all(test, not(loom)))]
pub(crate) const PROMISES: &[Promise] = &[
    Promise::RealProcesses,
    Promise::ImmediateDeath,
    Promise::SurvivesCloseRange,
    Promise::ForkSafe,
    Promise::CountsSleepers,
    Promise::ReadOnlyIsEnforced,
    Promise::NoSpaceIsAnError,
    Promise::WiderTrust,
    Promise::RefusesUntrusted,
    Promise::DeadMakersLeaveNothing,
];

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
