//! Processes that run tasks: what is promised of them, whoever dies.
// Real processes: the heap backend shares nothing with them.
#![cfg(all(target_os = "linux", any(not(feature = "heap"), feature = "portable")))]

mod arguments;
mod attack;
mod builder;
mod connection;
mod ends;
mod executor;
mod owner_deaths;
mod pool;
mod pool_async;
mod pool_attack;
mod pool_deaths;
mod pool_hostile;
mod starts;
mod support;

#[path = "../space/seccomp.rs"]
#[allow(dead_code, reason = "half of it is for the tests of spaces")]
mod seccomp;
