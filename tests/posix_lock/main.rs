//! `PosixLock`: what it promises among Rust processes, and with C programs.
#![cfg(all(feature = "posix-lock", target_os = "linux"))]
// Real processes: the heap backend has none.
#![cfg(any(not(feature = "heap"), feature = "portable"))]

mod alone;
// C programs map the object's own file.
#[cfg(any(not(feature = "portable"), feature = "heap"))]
mod crowd;
#[cfg(any(not(feature = "portable"), feature = "heap"))]
mod peer;
#[path = "../sync/support.rs"]
mod support;
