//! Shared-memory IPC.

#![warn(missing_docs)]

#[macro_use]
mod layout;
mod atomic;
mod cause;
mod data;
mod error;
pub mod inspect;
mod park;
mod participant;
mod queue;
pub mod shm;
mod sync;
mod sys;
mod time;

pub use bytemuck;
pub use cause::{Breakage, Cause};
pub use data::{AdoptedList, AdoptedMemory, Item, RawBytes, ShareableList, SharedMemory};
pub use data::{Array, ArrayGuard, ArrayInit, Value, ValueGuard, ValueInPlaceGuard};
pub use data::{Atomic, AtomicArray, AtomicBits, AtomicContents, AtomicNumber, AtomicRef, AtomicValue};
pub use error::{Error, Result};
pub use participant::{Builder, Collected, Handle, Object, ParticipantId, Space, SpaceBuilder};
pub use queue::{DEFAULT_QUEUE_CAPACITY, GetError, Peeked, PutError, Queue, Reservation};
pub use shm::plain::Plain;
pub use shm::{Kind, Lifetime};
pub use sync::{
    Barrier, BarrierError, BarrierSeat, BarrierWaitResult, Condition, ConditionGuard, Event, Reset,
    WaitTimeoutResult,
};
pub use sync::{Latch, Once, OnceState};
pub use sync::{Lock, LockArray, LockError, LockGuard, LockRef, OwnerDied, ReleaseError};
pub use sys::Trust;
