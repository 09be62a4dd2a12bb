//! The lock that fork cannot poison.

use std::sync::atomic::{AtomicBool, Ordering};

/// The process-wide lock of joining, leaving and the table of spaces.
///
/// Where there is `fork`, it takes this lock too, so that no other thread is inside when a child is made: the child finds it
/// free, and no descriptor that a join holds for a moment leaks into it.
pub(crate) struct ProcessLock;

static TAKEN: AtomicBool = AtomicBool::new(false);

impl ProcessLock {
    /// Waits for the lock; it is held until the value is dropped.
    pub(crate) fn take() -> Self {
        super::imp::watch_forks();
        acquire();
        ProcessLock
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        release();
    }
}

/// Waits for the lock.
pub(in crate::sys) fn acquire() {
    // Acquire, and Release in `release`: what one holder did under the lock is seen by the next.
    // Critical sections are some microseconds of system calls: yielding is enough, and works in a fork handler.
    while TAKEN.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
        std::thread::yield_now();
    }
}

/// Gives the lock back; the caller holds it.
pub(in crate::sys) fn release() {
    // Release: pairs with `acquire`.
    TAKEN.store(false, Ordering::Release);
}
