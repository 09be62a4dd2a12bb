//! Kill storms: real processes contend, random ones die at random moments; nothing hangs, nothing is torn, counts are exact.
//!
//! `cargo test` runs short storms of a few seconds. The long ones are one command; a failure prints its seed, and
//! `PROCSHARE_SEED` repeats it:
//!
//! ```text
//! cargo test --release --test storm -- --ignored --test-threads=1 --nocapture
//! ```
#![cfg(all(
    target_os = "linux",
    any(all(feature = "heap", feature = "portable"), not(any(feature = "heap", feature = "portable")))
))]

mod array;
mod barrier;
mod broadcast;
mod bytes;
mod condition;
mod creation;
mod crowd;
mod event;
mod joinable;
mod latch;
mod line;
mod lock;
mod once;
mod pipe;
mod queue;
mod rlock;
mod rwlock;
mod sanctum;
mod semaphore;
mod spsc;
mod support;
mod value;
