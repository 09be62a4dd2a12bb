//! Systems without Linux's calls: macOS, FreeBSD, Windows, and Linux itself where the feature `portable` asks for it.
//!
//! Memory comes from the `shared_memory` crate under a private name of the system's. What stands in a space's directory
//! are small files:
//!
//! | file | says |
//! |---|---|
//! | `NAME` | which memory the object is ([`link`]); complete from its first moment, because it is a hard link to a complete file |
//! | `.tmp-KEY` | somebody is making this memory, if the file is locked; else its maker died and a collector cleans up |
//! | `.new-KEY` | the complete file that is about to be linked |
//! | `.at/KEY/ID-*` | participant ID is attached to the memory as long as the file is locked |
//! | `.seats/SLOT` | a participant lives in this slot as long as the file is locked |
//! | `.del-*`, `.aside-*` | a name that is being taken away |
//!
//! The locks are [`std::fs::File::try_lock`]'s: the system gives them back when their holder's last descriptor is closed, which
//! is at the latest when it ends.
//!
//! # What it cannot promise
//!
//! - A waiter sleeps in slices and looks, so that a grant or a death may be noticed milliseconds late; the recovery goal is 1 s.
//! - A process that closes descriptors it does not own (`close_range`) looks dead, and what it held is given to others.
//! - No containers: memory has names of its own, which a shared directory does not bring along.
//! - Memory belongs to one user ([`Trust::Owner`](crate::Trust::Owner)); wider trusts are refused, and a file's mode is always 0600.
//! - A read-only handle refuses to write, but its memory is not mapped without write access.
//! - A full memory is an error at creation where the system can allocate ahead (Linux, FreeBSD); elsewhere at first touch.
//! - Removal takes several steps. Who dies between them leaves work to a collector, or to whoever opens the name next.
//! - Nothing else may remove files of a space, such as a cleaner that goes by age.

mod attachment;
mod checks;
mod collect;
mod file;
mod futex;
mod identity;
mod ledger;
mod link;
mod memory;
mod seat;

#[path = "../shared/clock.rs"]
mod clock;
#[path = "../shared/executable.rs"]
mod executable;
#[path = "../shared/listing.rs"]
mod listing;
#[cfg(all(test, not(loom)))]
#[path = "../shared/other.rs"]
mod other;
#[path = "../shared/simulation.rs"]
pub mod simulation;
#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows/mod.rs"]
mod os;

pub(crate) use checks::{
    features, file_facts, file_system, limits, publish_by_link, started_ns, system_name, test_locks,
};
pub(crate) use clock::{random_u128, wall_ns};
pub(crate) use collect::{collect_remains, is_remains};
pub(crate) use executable::executable;
pub(crate) use file::{Draft, Region, attached, back, file_id, open, remove, remove_if_unattached};
pub(crate) use futex::{futex_wait, futex_wait_any, futex_wake};
pub(crate) use identity::Identity;
pub(crate) use os::{default_root, means_no_locks, monotonic_ns, user_id, watch_forks};
pub(crate) use seat::{Prober, Seat};

#[cfg(all(test, not(loom)))]
pub(crate) use other::Other;

use std::ffi::OsString;
use std::io;
use std::path::Path;

#[cfg(all(test, not(loom)))]
use crate::sys::contract::Promise;

use crate::sys::{DirFault, Trust};

/// This backend's code in the registry and in every header.
pub(crate) const BACKEND: u32 = 2;

/// What this backend promises beyond what all do.
#[cfg(all(test, not(loom)))]
pub(crate) const PROMISES: &[Promise] = &[
    Promise::RealProcesses,
    #[cfg(unix)]
    Promise::ForkSafe,
    #[cfg(unix)]
    Promise::RefusesUntrusted,
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    Promise::NoSpaceIsAnError,
];

/// Makes the directory if `create` says so, and checks that only the caller could have put files there.
pub(crate) fn prepare_directory(path: &Path, trust: Trust, create: bool) -> Result<(), DirFault> {
    let own = match trust {
        Trust::Owner => true,
        Trust::User(uid) => uid == user_id(),
        Trust::Group | Trust::Anyone => false,
    };
    if own {
        os::prepare_directory(path, create)
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the portable backend shares memory among the processes of one user: use Trust::Owner",
        )
        .into())
    }
}

/// The names in a directory, sorted, without the places of seats and attachments.
pub(crate) fn list(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = listing::list(path)?;
    names.retain(|name| name != attachment::ATTACHMENTS && name != seat::SEATS);
    Ok(names)
}

/// Unknown: what is free cannot be asked in one way on all systems.
pub(crate) fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// Unknown.
pub(crate) fn start_time() -> u64 {
    0
}

/// Unknown.
pub(crate) fn pid_namespace() -> u64 {
    0
}

/// Whether a lock attempt failed because somebody else holds the file.
fn is_held(attempt: Result<(), std::fs::TryLockError>) -> io::Result<bool> {
    match attempt {
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Takes "there is none" for success.
fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
