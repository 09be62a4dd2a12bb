//! What spaces and segments promise to real processes: bad input, trust, forks, death, lifetimes, handles, namespaces.
//!
//! What a machine does not permit (`unshare`, other user ids) is skipped, and the closing lines say how often and why.
#![cfg(all(
    target_os = "linux",
    any(all(feature = "heap", feature = "portable"), not(any(feature = "heap", feature = "portable")))
))]

#[macro_use]
mod support;

mod bad_input;
mod corrupt;
mod fork;
mod handles;
mod lifetime;
mod limits;
mod liveness;
mod namespaces;
mod namespaces_sync;
mod seccomp;
mod systems;
mod trust;
