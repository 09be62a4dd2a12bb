//! What the objects that hold data promise, seen through the public interface.

mod array;
mod atomic_array;
mod atomic_value;
mod foreign;
mod lock_array;
mod shareable_list;
mod shared_memory;
mod support;
mod value;
