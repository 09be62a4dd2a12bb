//! Typed values and arrays in shared memory.
//!
//! Plain types are protected by the lock of what is read or written, or read as a checked snapshot; atomic flavours have no
//! lock and hand out no references. No two safe calls race on the same bytes.

mod adopted;
mod adopted_list;
mod array;
mod atomic;
mod atomic_array;
mod atomic_ops;
mod atomic_value;
mod describe;
mod item;
mod list_body;
mod raw_bytes;
mod shareable_list;
mod shared_memory;
mod slots;
mod value;
mod value_guard;

#[cfg(all(loom, test))]
mod models;

pub use adopted::AdoptedMemory;
pub use adopted_list::AdoptedList;
pub use array::{Array, ArrayGuard, ArrayInit};
pub use atomic::{Atomic, AtomicBits, AtomicNumber};
pub use atomic_array::{AtomicArray, AtomicContents};
pub use atomic_ops::AtomicRef;
pub use atomic_value::AtomicValue;
pub use item::Item;
pub use raw_bytes::RawBytes;
pub use shareable_list::ShareableList;
pub use shared_memory::SharedMemory;
pub use value::Value;
pub use value_guard::{ValueGuard, ValueInPlaceGuard};

pub(crate) use array::describe as describe_array;
pub(crate) use atomic_array::describe as describe_atomic_array;
pub(crate) use atomic_value::describe as describe_atomic_value;
pub(crate) use shareable_list::describe as describe_shareable_list;
pub(crate) use value::describe as describe_value;
