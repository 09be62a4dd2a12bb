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
//! | work, messages | [`Queue`]; of any length: [`BytesQueue`]; of any type: [`CodecQueue`]; with two ends and no lock: [`SpscQueue`] |
//! | work to be waited for | [`JoinableQueue`] |
//! | questions and answers between two | [`Pipe`] |
//! | news, to everybody | [`Broadcast`] |
//! | a turn | [`Lock`], [`LockArray`]; with C programs: `PosixLock` (feature `posix-lock`); [`RLock`] for who may come again; [`RwLock`] for many readers |
//! | so many turns at once | [`Semaphore`], [`BoundedSemaphore`] |
//! | a moment | [`Event`], [`Condition`], [`Barrier`], [`Latch`], [`Once`] |
//! | whichever comes first | [`wait_any`] |
//! | the end of a process | [`Space::watch`] |
//! | a function's work | the feature `process`: `#[procshare::task]`, `process::Process`, `process::Pool`, `process::Executor` |
//! | strings, vectors, maps, from any language | the feature `manager`: `manager::Dict`, `manager::List`, `manager::Queue` and so on, behind a server |
//! | to wait in a task, not a thread | the feature `async`: `lock_async`, `acquire_async`, `wait_async`, `get_async`, `put_async` and so on |
//!
//! All of them are made alike: `create(name, ..)`, `open(name)`, `open_or_create(name, ..)`, `anonymous(..)`, and a `builder()` for
//! the [`Space`], the [`Lifetime`] and permissions. All handles are `Send + Sync + Clone`, and serialise as a [`Handle`] that
//! attaches to the same object in another process. Blocking calls come as `x`, `try_x` (never waits) and `x_timeout`
//! (a [`Duration`](std::time::Duration), monotonic; zero looks once). A try that failed and a timeout that passed are errors
//! ([`Error::WouldBlock`], [`Error::TimedOut`], and their like in [`LockError`], [`PutError`], [`GetError`]), but for objects that
//! are only looked at, which answer `false`: [`Event::try_wait`], [`Event::wait_timeout`], [`Latch::wait_timeout`].
//!
//! # Names, spaces, lifetimes
//!
//! Objects live in [spaces](Space). A space is a directory with a registry of the processes that use it, its *participants*; a
//! process joins by itself when it first uses an object there, and leaves by ending, however it ends. The name `jobs` is in the
//! space `default` of the calling user, `work/jobs` in the space `work`, `/srv/shared/jobs` in the directory `/srv/shared`.
//!
//! A named object stays until somebody unlinks it (`unlink`, or `procshare rm`), also when no process is left that uses it:
//! programs that use `open_or_create` go on where earlier runs ended. An anonymous one goes with its last user. [`Lifetime`]
//! says so explicitly. Unlinking takes away the name; who is attached goes on.
//!
//! A process that forks shares nothing of its holdings: the child is a participant of its own, its copies of the parent's
//! guards are without effect, and its copies of handles join at their first use.
//!
//! # When somebody dies
//!
//! Every word that can be held holds its holder's [id](ParticipantId), which is never used again; whether the holder lives is
//! answered by the kernel. Waiters ask now and then and take over from the dead. What changes hands does so by one store, so
//! a death at any instruction leaves the old state or the new one. Where what a lock protects may be half-done, the next
//! holder is told: [`LockError::OwnerDied`] has the guard inside.
//!
//! It is told again and again, to every acquirer, until one calls `make_consistent`. So a program that only writes
//! `lock.lock()?` ends at that point, and so does its next run. Decide once for each lock:
//!
//! ```
//! use procshare::{Lock, LockError};
//!
//! # fn main() -> procshare::Result<()> {
//! let lock = Lock::anonymous()?;
//! // What the lock protects can be checked and repaired:
//! let guard = match lock.lock() {
//!     Ok(guard) => guard,
//!     Err(LockError::OwnerDied(outcome)) => {
//!         let guard = outcome.into_guard();
//!         // ... repair ...
//!         guard.make_consistent();
//!         guard
//!     }
//!     Err(other) => return Err(other.into()),
//! };
//! drop(guard);
//!
//! // Nothing can be half-done, since each change is one step (`Value::set`, `AtomicValue`, `Queue::put`):
//! let guard = lock.lock().or_else(LockError::into_guard)?;
//! guard.make_consistent();
//! # Ok(())
//! # }
//! ```
//!
//! What only the dead knew stays unknown: nobody counts a [`Latch`] down for them, and nobody closes their [`Queue`]. Wait with a
//! timeout, or with [`wait_any`] for the process too.
//!
//! # Errors and panics
//!
//! Each call lists what it fails with. Two things hold for all: whatever waits for a holder fails with
//! [`Error::LivenessUnknown`] if for some seconds it cannot be told whether that one lives, and the first use of an object in a
//! forked child joins its space, which fails with [`Error::SpaceFull`] if as many processes are in it as it was made for.
//!
//! Errors say what went wrong, with which object, and the way out, when they are displayed; `fn main() -> Result<..>` prints
//! the `Debug` form, which has the facts only. Nothing that another process does, or leaves in memory, makes a call
//! panic; closures that you pass in may, and each call says what becomes of their object then.
//!
//! # Layers
//!
//! `inspect, manager → process → queue → data → sync → participant → shm, park, net → sys`: a module uses only those to its right. `docs/design.md` tells why
//! things are as they are, `docs/layout.md` where every byte is, `SAFETY.md` what `unsafe` relies on.

#![warn(missing_docs)]

#[macro_use]
mod layout;
mod atomic;
mod cause;
mod data;
mod error;
pub mod inspect;
#[cfg(all(feature = "manager", unix, not(loom)))]
pub mod manager;
#[cfg(all(loom, test))]
mod model;
#[cfg(all(feature = "process", not(loom)))]
mod net;
mod park;
mod participant;
#[cfg(all(feature = "process", not(loom)))]
pub mod process;
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
#[cfg(all(feature = "manager", unix, not(loom)))]
pub use procshare_macros::managed;
#[cfg(all(feature = "process", not(loom)))]
pub use procshare_macros::task;
pub use queue::{Broadcast, BroadcastInit, RecvError, Subscriber};
pub use queue::{BytesQueue, BytesReservation, DEFAULT_BYTES_CAPACITY, PeekedBytes};
pub use queue::{Codec, CodecFault, CodecQueue, PeekedItem};
pub use queue::{Consumer, PeekedChunk, Producer, ReservedChunk, SpscQueue};
pub use queue::{DEFAULT_PIPE_CAPACITY, Pipe, PipeEnd, PipeEndHandle, PipeError};
pub use queue::{DEFAULT_QUEUE_CAPACITY, GetError, Peeked, PutError, Queue, Reservation};
pub use queue::{JoinableInit, JoinableQueue, Task, Unfinished};
pub use queue::{PeekedBatch, ReservedBatch};
#[cfg(feature = "postcard")]
pub use queue::{Postcard, PostcardQueue};
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
pub use sys::{ReadyFd, Trust, backend};

/// The programs of the README compile, all of them where there is a manager.
#[cfg(all(doctest, feature = "manager", unix))]
#[doc = include_str!("../README.md")]
struct Readme;
