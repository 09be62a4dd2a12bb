//! One module for each kind of object.

mod array;
mod atomic_value;
mod barrier;
mod broadcast;
mod condition;
mod event;
mod joinable;
mod latch;
mod line;
mod lock;
mod lock_array;
mod once;
mod pipe;
mod queue;
mod rlock;
mod rwlock;
mod sanctum;
mod semaphore;
mod spsc;
mod tickets;
mod value;

pub(super) use self::array::ArraySubject;
pub(super) use self::atomic_value::AtomicValueSubject;
pub(super) use self::barrier::BarrierSubject;
pub(super) use self::broadcast::BroadcastSubject;
pub(super) use self::condition::ConditionSubject;
pub(super) use self::event::EventSubject;
pub(super) use self::joinable::JoinableSubject;
pub(super) use self::latch::LatchSubject;
pub(super) use self::line::Item;
pub(super) use self::lock::LockSubject;
pub(super) use self::lock_array::LockArraySubject;
pub(super) use self::once::OnceSubject;
pub(super) use self::pipe::PipeSubject;
pub(super) use self::queue::QueueSubject;
pub(super) use self::rlock::RLockSubject;
pub(super) use self::rwlock::RwLockSubject;
pub(super) use self::semaphore::{BoundedSemaphoreSubject, SemaphoreSubject};
pub(super) use self::spsc::SpscSubject;
pub(super) use self::value::ValueSubject;

use std::time::Duration;

use procshare::{AtomicArray, Cause, Lifetime, LockError, Space};

use super::subject::{Stop, Turn, broken};

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    Not,
    For(Duration),
    Ever,
}

/// Numbers of a subject's own.
fn ledger(space: &Space, len: usize) -> procshare::Result<AtomicArray<u64>> {
    AtomicArray::builder().space(space).lifetime(Lifetime::Scoped).anonymous(vec![0u64; len])
}

/// The guard, if there is one, and whether its last owner died.
fn outcome<G>(result: Result<G, LockError<G>>) -> Turn<(G, bool)> {
    match result {
        Ok(guard) => Ok((guard, false)),
        Err(LockError::OwnerDied(died)) => match died.cause() {
            Cause::Died => Ok((died.into_guard(), true)),
            cause => broken!("nobody panics here, but the last owner is said to have: {cause}"),
        },
        Err(LockError::WouldBlock | LockError::TimedOut) => Err(Stop::Again),
        Err(error) => Err(error.into()),
    }
}
