//! Segments of shared memory and what may live in them.

pub mod checked;
pub mod plain;
mod signature;
