//! What the objects that hold data promise, seen through the public interface.

mod lock_array;
mod support;
