//! Derive macros of `procshare`.
