//! Work in other processes: [`task`](macro@crate::task)s that run in a process of their own, in a [`Process`],
//! or one after the other in the workers of a [`Pool`] or an [`Executor`].
//!
//! A task is a function with an attribute. Nothing needs to be called in `main`: a process that was started for a task runs it
//! before `main`, and ends. That works in programs, examples, tests and benches, in programs with many threads, and after the
//! program's file was replaced or removed.
//!
//! ```
//! use procshare::{AtomicValue, Handle, process::Process};
//!
//! /// Counts in another process. The function stays what it was, and can be called.
//! #[procshare::task]
//! fn count(counter: Handle<AtomicValue<u64>>, times: u64) -> u64 {
//!     let counter = counter.attach().unwrap();
//!     (0..times).map(|_| counter.fetch_add(1).unwrap()).max().unwrap_or(0)
//! }
//!
//! # if procshare::backend() == "heap" { return Ok(()) } // which shares nothing with other processes
//! let counter = AtomicValue::anonymous(0u64)?;
//! let child = Process::start::<count>((&counter, 10))?; // every object travels as its handle
//! assert_eq!(child.join()?, 9);
//! assert_eq!(counter.load(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What the compiler says
//!
//! | if | it says |
//! |---|---|
//! | the attribute is missing | `constant provided when a type was expected` where the task is named |
//! | parameters or output are no data | `Serialize` or `Deserialize` is not satisfied: derive both; an object travels as [`Handle`](crate::Handle), an error as [`Failure`] |
//! | the arguments are no tuple | `cannot be passed to a task`: one argument is `(5,)` |
//! | the attribute is inside an `impl` | `struct is not supported`: a task is a free function |
//!
//! # Programs that are not this one
//!
//! A task runs in the same build of the same program. Another program, in whatever language, gets an object by its
//! [`Handle`](crate::Handle): serialise it (as JSON, for example), and pass the text on as an argument, in the environment, or through a
//! [`Listener`]. There it is deserialised and attached. `examples/by_handle.rs` does so through a shell. Making the handle keeps a scoped
//! object until the process that made it ends, so the receiver need not hurry; a named object can be opened by its name alone. A program
//! that does not use this crate can carry the text for others, or talk to a `Manager`, whose protocol any language can speak.
//!
//! # Parts
//!
//! | file | holds |
//! |---|---|
//! | `task` | what a task is, and how its arguments travel |
//! | `codec` | values as bytes |
//! | `registry` | the tasks of this program, and its fingerprint |
//! | `order` | what starter and started write on their paper |
//! | `builder`, `handle` | starting, and what one has then |
//! | `keeper` | the thread that starts all children and notices their ends |
//! | `child` | the other side |
//! | `pool` | a [`Pool`] of workers |
//! | `executor` | tasks as futures: an [`Executor`] |
//! | `connection` | messages between unrelated programs: [`Listener`], [`Client`] |
//! | `rehearsal` | both sides of a start, for proofs |
//! | `current` | who am I, who started me, whom did I start |

mod builder;
mod child;
mod codec;
mod connection;
mod current;
mod error;
mod executor;
mod handle;
mod keeper;
mod order;
mod pool;
mod registry;
mod rehearsal;
mod task;

pub use builder::{ProcessBuilder, Stdin};
pub use connection::{Client, Connection, ConnectionError, ConnectionOptions, Incoming, Listener};
pub use current::{ActiveChild, CurrentProcess, ParentProcess};
pub use current::{active_children, cpu_count, current_process, parent_process};
pub use error::{Exit, Failure, StartError, TaskError};
pub use executor::{AsCompleted, Executor, WaitFor, as_completed, wait};
pub use handle::Process;
pub use pool::{Initialised, Job, OnDeath, OneParameter, Outcomes, Pool, PoolBuilder, Progress};
pub use task::{Argument, Arguments, Task};

pub use crate::net::{Address, BadAddress, Key, KeyError};
pub use crate::sys::children::Sentinel;

/// What the attribute's code names, and what proofs need.
#[doc(hidden)]
pub mod hidden {
    pub use super::pool::{Fate, Rehearsal};
    pub use super::registry::TASKS;
    pub use super::rehearsal::{BareStart, StartRehearsal};
    pub use super::task::Entry;
    pub use linkme;
}
