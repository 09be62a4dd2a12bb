//! The only place that names an atomics implementation: `core`'s, or loom's when a model runs.
//!
//! Words are built from these types, so the code that runs in a segment is the code that the models explore.

#[cfg(loom)]
mod model;

#[cfg(loom)]
pub(crate) use model::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// One look away from a contended line.
#[inline]
pub(crate) fn pause() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    core::hint::spin_loop();
}

/// Lets another runnable thread have this core.
#[inline]
pub(crate) fn yield_now() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::thread::yield_now();
}
