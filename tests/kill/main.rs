//! A process dies at every instruction of every operation, and survivors check what the contract promises.
//!
//! `cargo test` kills at every *event*: after each change of shared memory, before and after each system call, which are
//! the only points that survivors can tell apart; pairs and chains of deaths are sampled. The long run kills after every
//! instruction (sampled above some thousands), and tries thousands of pairs and chains:
//!
//! ```text
//! cargo test --release --test kill -- --ignored --test-threads=2 --nocapture
//! ```
//!
//! `PROCSHARE_KILL_POINTS` (default 4000) is how many deaths one mode of a scenario is sampled to at most, `PROCSHARE_SEED` which.
//!
//! Each scenario is a function that returns a [`Scenario`](procshare_harness::Scenario); [`kill_tests!`] makes the tests.
#![cfg(all(
    target_os = "linux",
    target_arch = "x86_64",
    any(all(feature = "heap", feature = "portable"), not(any(feature = "heap", feature = "portable")))
))]

#[macro_use]
mod support;
#[macro_use]
mod line;

mod array;
mod barrier;
mod broadcast;
mod bytes_queue;
mod codec;
mod condition;
mod create;
mod event;
mod join;
mod joinable;
mod latch;
mod lock;
mod once;
mod pipe;
mod pool;
mod process;
mod queue;
mod rlock;
mod rwlock;
mod semaphore;
mod spsc;
mod value;
mod wait_any;

#[path = "../space/seccomp.rs"]
mod seccomp;
