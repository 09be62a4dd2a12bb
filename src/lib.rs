//! Shared memory for Rust processes: typed values, arrays, locks and queues that cost what `std::sync` costs inside one
//! process, and that survive `kill -9`.
//!
//! ```
//! use procshare::{Array, AtomicValue};
//!
//! # fn main() -> procshare::Result<()> {
//! # let (jobs_name, results_name) = (format!("doc-jobs-{}", std::process::id()), format!("doc-results-{}", std::process::id()));
//! # let (jobs_name, results_name) = (jobs_name.as_str(), results_name.as_str());
//! // Whoever comes first makes them; any process of the user opens them by name.
//! let jobs = AtomicValue::<u64>::open_or_create(jobs_name, 0)?;
//! let results = Array::<f64>::open_or_create(results_name, 1_000, 0.0)?;
//!
//! let mine = jobs.fetch_add(1)? as usize; // lock-free, across processes
//! results.set(mine, 42.0)?;
//! assert_eq!(results.get(mine)?, 42.0);
//! # AtomicValue::<u64>::unlink(jobs_name)?;
//! # Array::<f64>::unlink(results_name)
//! # }
//! ```
//!
//! # What to use
//!
//! | to share | use |
//! |---|---|
//! | a number, a flag | [`AtomicValue`]; many of them: [`AtomicArray`] |
//! | a struct that is whole at every instant | [`Value`] |
//! | many elements, locked by ranges | [`Array`] |
//! | raw bytes, or another program's segment | [`SharedMemory`], [`AdoptedMemory`], [`ShareableList`] |
//! | work, messages | [`Queue`]; of any length: [`BytesQueue`] |
//! | news, to everybody | [`Broadcast`] |
//! | a turn | [`Lock`], [`LockArray`]; with C programs: `PosixLock` (feature `posix-lock`) |
//! | a moment | [`Event`], [`Condition`], [`Barrier`], [`Latch`], [`Once`] |
//! | whichever comes first | [`wait_any`] |
//! | to wait in a task, not a thread | the feature `async`: `lock_async`, `acquire_async`, `wait_async`, `get_async`, `put_async` |
//!
//! All of them are made alike: `create(name, ..)`, `open(name)`, `open_or_create(name, ..)`, `anonymous(..)`, and a `builder()` for
//! the [`Space`], the [`Lifetime`] and permissions. All handles are `Send + Sync + Clone`, and serialise as a [`Handle`] that
//! attaches to the same object in another process. Blocking calls come as `x`, `try_x` (never waits) and `x_timeout`
//! (monotonic).
//!
//! # When somebody dies
//!
//! Every word that can be held holds its holder's [id](ParticipantId), which is never used again; whether the holder lives is
//! answered by the kernel. Waiters ask now and then and take over from the dead. What changes hands does so by one store, so
//! a death at any instruction leaves the old state or the new one. Where what a lock protects may be half-done, the next
//! holder is told: [`LockError::OwnerDied`].
//!
//! # Layers
//!
//! `inspect → queue → data → sync → participant → shm, park → sys`: a module uses only those to its right. `docs/design.md` tells why
//! things are as they are, `docs/layout.md` where every byte is, `SAFETY.md` what `unsafe` relies on.

#![warn(missing_docs)]

#[macro_use]
mod layout;
mod atomic;
mod cause;
mod data;
mod error;
pub mod inspect;
#[cfg(all(loom, test))]
mod model;
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
pub use participant::{
    Builder, Collected, Handle, Object, ParticipantId, ParticipantWatch, Space, SpaceBuilder,
};
pub use queue::{Broadcast, BroadcastInit, RecvError, Subscriber};
pub use queue::{BytesQueue, BytesReservation, DEFAULT_BYTES_CAPACITY, PeekedBytes};
pub use queue::{DEFAULT_QUEUE_CAPACITY, GetError, Peeked, PutError, Queue, Reservation};
pub use shm::plain::Plain;
pub use shm::{Kind, Lifetime};
#[cfg(feature = "async")]
pub use sync::AsyncLockGuard;
pub use sync::{
    Barrier, BarrierError, BarrierSeat, BarrierWaitResult, Condition, ConditionGuard, Event, Reset,
    WaitTimeoutResult,
};
pub use sync::{BoundedSemaphore, PermitError, Semaphore, SemaphorePermit};
pub use sync::{Latch, Once, OnceState};
pub use sync::{Lock, LockArray, LockError, LockGuard, LockRef, OwnerDied, ReleaseError};
#[cfg(feature = "posix-lock")]
pub use sync::{PosixLock, PosixLockGuard};
pub use sync::{RLock, RLockGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use sync::{Taken, Waitable, try_wait_any, wait_any, wait_any_timeout};
#[doc(hidden)]
pub use sys::simulation;
pub use sys::{Trust, backend};
