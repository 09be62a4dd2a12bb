//! What happens around a `fork`: the process lock is held across it, and the child forgets what is its parent's.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::process_lock::{acquire, release};

/// Registers the handlers with the C library.
#[inline]
pub(crate) fn watch_forks() {
    // Relaxed: registering twice is harmless (`FORKS` counts), so nothing hangs on who sees the flag first.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.load(Ordering::Relaxed) {
        // SAFETY: (S1) the handlers are `extern "C"`, live for ever, and call only async-signal-safe code.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_in_parent), Some(after_in_child)) };
        REGISTERED.store(true, Ordering::Relaxed);
    }
}

thread_local! {
    /// How many times the handlers of the fork under way have run before it: they may be registered more than once.
    static FORKS: Cell<u32> = const { Cell::new(0) };
}

extern "C" fn before_fork() {
    if FORKS.replace(FORKS.get() + 1) == 0 {
        acquire();
    }
}

extern "C" fn after_in_parent() {
    if FORKS.replace(FORKS.get() - 1) == 1 {
        release();
    }
}

extern "C" fn after_in_child() {
    super::in_forked_child();
    after_in_parent();
}
