//! Everything inside one process: directories, files, sleepers and participants, for tests, Miri and models.
//!
//! Nothing leaves the process: a "directory" is an entry in a table, a "file" an allocation, and a "process" whatever threads say
//! they act for ([`simulation`]). What is real is the code above: the same words, in memory of the same shape, found dead and
//! recovered the same way.

mod checks;
#[path = "../shared/clock.rs"]
mod clock;
mod file;
mod futex;
mod identity;
mod memory;
#[cfg(all(test, not(loom)))]
mod other;
mod seat;
pub mod simulation;
mod world;

pub(crate) use checks::{
    features, file_facts, file_system, limits, publish_by_link, started_ns, system_name, test_locks,
};
pub(crate) use clock::{monotonic_ns, random_u128, wall_ns};
pub(crate) use file::{Draft, Region, attached, back, file_id, open, remove, remove_if_unattached};
pub(crate) use futex::{futex_wait, futex_wait_any, futex_wake};
pub(crate) use identity::Identity;
pub(crate) use seat::{Prober, Seat};
pub(crate) use world::{collect_remains, default_root, free_bytes, is_remains, list, prepare_directory};

#[cfg(all(test, not(loom)))]
pub(crate) use other::Other;

#[cfg(all(test, not(loom)))]
use crate::sys::contract::Promise;

/// This backend's code in the registry and in every header.
pub(crate) const BACKEND: u32 = 3;

/// What this backend promises beyond what all do.
#[cfg(all(test, not(loom)))]
pub(crate) const PROMISES: &[Promise] = &[
    Promise::ImmediateDeath,
    Promise::CountsSleepers,
    Promise::NoSpaceIsAnError,
    Promise::WiderTrust,
    Promise::DeadMakersLeaveNothing,
];

/// There is no fork to watch: a forked child of a process with this backend has a world of its own.
#[inline]
pub(crate) fn watch_forks() {}

/// Locks of this backend always work.
pub(crate) fn means_no_locks(_: i32) -> bool {
    false
}

/// What `ls` shows instead of a program's name.
pub(crate) fn executable() -> Vec<u8> {
    format!("simulated-{}", simulation::current()).into_bytes()
}

/// There is one user.
pub(crate) fn user_id() -> u32 {
    0
}

/// Unknown.
pub(crate) fn start_time() -> u64 {
    0
}

/// None.
pub(crate) fn pid_namespace() -> u64 {
    0
}
