//! Which kind is described by whom: the one table to extend for a new kind.
//!
//! A description is a function in the object's own module, `fn describe(segment: &Arc<Segment>) -> Result<RawFacts>`. It
//!
//! - gets a segment whose header is checked and whose body may hold anything;
//! - reads through [`Shared`](crate::shm::view::Shared), [`SharedSlice`](crate::shm::view::SharedSlice) and
//!   [`Bytes`](crate::shm::view::Bytes), which check offsets and fail with a typed error; the mapping is read-only;
//! - takes no lock, waits for nobody, and never follows a number in the body further than the body reaches;
//! - lists at most 64 of anything one by one;
//! - calls alike things alike: `holder` (who holds it), `handed_over`, `inconsistent` (died or panicked), `waiters`, `watcher`,
//!   `length`, `capacity`. `ls` shows `holder` and `waiters` of every kind that has them.

use std::sync::Arc;

use crate::data;
use crate::error::Result;
use crate::participant::RawFacts;
use crate::shm::Kind;
use crate::shm::segment::Segment;
use crate::sync::{
    Barrier, Condition, Event, Latch, Lock, LockArray, Once, RLock, RwLock, describe_posix_lock,
    describe_semaphore,
};

/// How a segment of some kind tells its state.
type Describe = fn(&Arc<Segment>) -> Result<RawFacts>;

/// The description of `kind`; `None` for kinds that have no state beside their bytes.
pub(super) fn describer(kind: Kind) -> Option<Describe> {
    match kind {
        Kind::Lock => Some(Lock::describe),
        Kind::LockArray => Some(LockArray::describe),
        Kind::Barrier => Some(Barrier::describe),
        Kind::Condition => Some(Condition::describe),
        Kind::PosixLock => Some(describe_posix_lock),
        Kind::Latch => Some(Latch::describe),
        Kind::Once => Some(Once::describe),
        Kind::Event => Some(Event::describe),
        Kind::Queue | Kind::JoinableQueue => Some(crate::queue::describe_queue),
        Kind::Pipe => Some(crate::queue::describe_pipe),
        Kind::Broadcast => Some(crate::queue::describe_broadcast),
        Kind::SpscQueue => Some(crate::queue::describe_spsc_queue),
        Kind::BytesQueue | Kind::CodecQueue => Some(crate::queue::describe_bytes_queue),
        Kind::Value => Some(data::describe_value),
        Kind::AtomicValue => Some(data::describe_atomic_value),
        Kind::Array => Some(data::describe_array),
        Kind::AtomicArray => Some(data::describe_atomic_array),
        Kind::ShareableList => Some(data::describe_shareable_list),
        Kind::RLock => Some(RLock::describe),
        Kind::RwLock => Some(RwLock::describe),
        Kind::Semaphore | Kind::BoundedSemaphore => Some(describe_semaphore),
        Kind::SharedMemory | Kind::Registry => None,
    }
}
