//! What queues promise, seen through the public interface.
// Real processes: the heap backend has none.
#![cfg(any(not(feature = "heap"), feature = "portable"))]

mod plain;
