//! One suite for all backends: what the functions of [`sys`](crate::sys) have in common, and what each backend promises beyond.
//!
//! A backend lists its promises beside its documentation (`PROMISES`), and is asked exactly those. What every backend must do is
//! asked of all without a word in any list. `cargo test`, `cargo test --features portable` and `cargo test --features heap` each run
//! the suite over one of them.

mod files;
mod foreign;
mod identity;
mod place;
mod removal;
mod roles;
mod room;
mod seats;
mod sleeping;

pub(crate) use roles::{Role, play};

use crate::sys::PROMISES;

/// What not every backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Processes are the system's, and so are files.
    RealProcesses,
    /// A dead process's seat is free, and its attachments are gone, as soon as its end is known. Without it: within the recovery
    /// goal.
    ImmediateDeath,
    /// A process that closes every descriptor it did not open stays alive to the others.
    SurvivesCloseRange,
    /// A forked child is nobody yet, and does not keep its dead parent alive.
    ForkSafe,
    /// A wake-up is not waited for, and tells how many slept.
    CountsSleepers,
    /// A region opened for reading cannot be written.
    ReadOnlyIsEnforced,
    /// Memory that is not there is an error when it is asked for.
    NoSpaceIsAnError,
    /// Directories can be shared with groups and with everybody.
    WiderTrust,
    /// A directory that somebody else could have prepared is refused.
    RefusesUntrusted,
    /// A maker that dies before it publishes leaves nothing. Without it: nothing that a collector does not remove.
    DeadMakersLeaveNothing,
}

/// Whether the backend under test makes this promise.
pub(crate) fn promised(promise: Promise) -> bool {
    PROMISES.contains(&promise)
}
