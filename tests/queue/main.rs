//! What queues promise, seen through the public interface.
// Real processes: the heap backend has none.
#![cfg(any(not(feature = "heap"), feature = "portable"))]

mod batches;
mod bereft;
mod broadcast;
mod bytes;
mod codec;
mod hostile;
mod in_place;
mod joinable;
mod many;
mod model;
mod pipe;
mod plain;
mod pollable;
mod recovery;
mod spsc;
mod support;
mod words;
mod wrap;

use std::time::Duration;

use procshare_harness::{Exit, child};

const PATIENCE: Duration = Duration::from_secs(60);

fn kill_myself() -> ! {
    // SAFETY: kills the calling process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("SIGKILL cannot be survived")
}

/// Runs `work`, which kills its process.
fn killed(work: impl FnOnce()) {
    let exit = child(PATIENCE, work);
    assert!(matches!(exit, Exit::Signalled(libc::SIGKILL)), "{exit:?}");
}
