//! Synchronisation between threads and processes, exact under death.
//!
//! | object | words | when a participant dies |
//! |---|---|---|
//! | [`Lock`] | [`lock_word`] | acquirers are told, one recovers; see there |
//! | [`LockArray`] | a count, [`lock_word`]s | the same for each lock |
//! | [`Event`] | [`event_word`], [`waiters`] | nothing to recover; a signal taken by the dead goes to the next |
//! | [`Condition`] | [`lock_word`], [`waiters`] | the dead eat no notification; the lock's rules |
//! | [`Barrier`] | [`barrier_word`] | a member's death breaks it for all, reset heals |
//! | [`Latch`] | a count | it counted down, or it did not |
//! | [`Once`] | [`lock_word`], a flag | the next one does it, and is told |
//! | `PosixLock` (feature `posix-lock`) | a mutex of the C library, a mark | acquirers are told, by the kernel and the mark |
//! | [`RLock`] | [`rlock_word`] | the rules of [`Lock`]; the dead owner's depth is forgotten |
//! | [`RwLock`] | [`rwlock_word`] | dead readers are struck out; a dead writer as with [`Lock`] |
//! | [`Semaphore`], [`BoundedSemaphore`] | [`semaphore_slots`], [`semaphore_bank`] | whoever lacks a permit frees the dead's |
//! | [`wait_any`] | none: the objects' own | what was meant for the dead waiter goes to others |
//! | [`bridge`] | none: a thread that sleeps for tasks | nothing |
//! | `tasks` (feature `async`) | none: the objects' own | the same for tasks |

mod barrier;
mod barrier_outcome;
mod barrier_seat;
mod barrier_word;
mod bridge;
mod condition;
mod condition_guard;
mod event;
mod event_count;
mod event_word;
mod latch;
mod lock;
mod lock_array;
mod lock_word;
mod once;
mod outcome;
#[cfg(feature = "posix-lock")]
mod posix_lock;
mod posix_lock_words;
mod rlock;
mod rlock_word;
mod rwlock;
mod rwlock_guards;
mod rwlock_word;
mod semaphore;
mod semaphore_bank;
mod semaphore_bounded;
mod semaphore_describe;
mod semaphore_pool;
mod semaphore_slots;
#[cfg(feature = "async")]
mod tasks;
mod wait;
mod wait_any;
mod waiters;

#[cfg(all(loom, test))]
mod models;
#[cfg(all(test, not(loom)))]
mod wakes;

pub use barrier::Barrier;
pub use barrier_outcome::{BarrierError, BarrierWaitResult};
pub use barrier_seat::BarrierSeat;
pub use condition::{Condition, WaitTimeoutResult};
pub use condition_guard::ConditionGuard;
pub use event::{Event, Reset};
pub use latch::Latch;
pub use lock::{Lock, LockGuard, ReleaseError};
pub use lock_array::{LockArray, LockRef};
pub use once::{Once, OnceState};
pub use outcome::{LockError, OwnerDied};
#[cfg(feature = "posix-lock")]
pub use posix_lock::{PosixLock, PosixLockGuard};
pub use rlock::{RLock, RLockGuard};
pub use rwlock::RwLock;
pub use rwlock_guards::{RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{PermitError, Semaphore, SemaphorePermit};
pub use semaphore_bounded::BoundedSemaphore;
#[cfg(feature = "async")]
pub use tasks::AsyncLockGuard;
pub use wait_any::{Taken, Waitable, try_wait_any, wait_any, wait_any_timeout};

pub(crate) use bridge::{Bridge, Registration};
pub(crate) use event_count::{EventCount, Ticket};
pub(crate) use lock::Parts;
pub(crate) use lock_word::{Entry, LockWord, Owner};
pub(crate) use posix_lock_words::describe_posix_lock;
pub(crate) use semaphore_describe::describe_semaphore;
#[cfg(feature = "async")]
pub(crate) use tasks::Wait;
pub(crate) use wait::{Patience, Turn};
pub(crate) use wait_any::{Announced, Attempt, Begun, Look, Source};
