//! What the objects that hold data promise, seen through the public interface.
// Real processes: the heap backend has none.
#![cfg(any(not(feature = "heap"), feature = "portable"))]

mod array;
mod atomic_array;
mod atomic_value;
mod foreign;
mod inherited;
mod lock_array;
mod shareable_list;
mod shared_memory;
mod support;
mod value;
