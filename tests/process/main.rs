//! Processes that run tasks: what is promised of them, whoever dies.
// Real processes: the heap backend shares nothing with them.
#![cfg(all(target_os = "linux", any(not(feature = "heap"), feature = "portable")))]

mod arguments;
mod builder;
mod connection;
mod ends;
mod executor;
mod pool;
mod pool_async;
mod pool_attack;
mod pool_deaths;
mod starts;
mod support;
