//! Children that share their parent's memory and objects from the middle of its work on.

use nix::unistd::{ForkResult, Pid};

/// Which side of the fork this is.
pub(super) enum Side {
    Parent(Pid),
    Child,
}

/// Forks this process, which must have one thread.
pub(super) fn fork() -> nix::Result<Side> {
    // SAFETY: contenders that fork have a single thread, so no lock of the allocator or the runtime is held by a thread that
    // the child lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent(child)),
        ForkResult::Child => Ok(Side::Child),
    }
}
