//! Where a victim's operation runs.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use super::tracee::marker;
use crate::child::exit_now;
use std::marker::PhantomData;

/// Exit code of a victim whose preparation returned without using its stage.
pub(super) const IDLE: i32 = 4;
/// Exit code of a victim that panicked.
pub(super) const PANICKED: i32 = 101;

/// The stretch of a victim's life that is stepped.
#[derive(Debug)]
pub struct Stage {
    /// Only this module makes one, only in a traced child, whose thread keeps it.
    only: PhantomData<*const ()>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Stage { only: PhantomData }
    }

    /// Runs the operation, stepped, and never returns: the process is killed on the way or at the end.
    pub fn run(self, operation: impl FnOnce()) -> ! {
        marker();
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(operation)).is_err() {
            exit_now(PANICKED);
        }
        marker();
        exit_now(0)
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn marker() {}
