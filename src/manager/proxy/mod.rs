//! Proxies: what stands in a program for an object of the server.

#[macro_use]
mod constructors;
mod any;
mod condition;
mod dict;
mod list;
mod lock;
mod namespace;
mod object;
mod queue;
mod sync;
mod timeout;
mod transaction;
mod value;

pub use any::Any;
pub use condition::Condition;
pub use dict::{Dict, DictCalls, DictIter, KeyOf};
pub use list::{List, ListCalls, ListIter};
pub use lock::{Lock, LockGuard, RLock};
pub use namespace::Namespace;
pub use object::{Argument, Object, ProxyHandle};
pub use queue::{JoinableQueue, Queue, Task};
pub use sync::{Barrier, BarrierWaitResult, BoundedSemaphore, Event, Permit, Semaphore};
pub use transaction::Transaction;
pub use value::{Array, ArrayCalls, Value, ValueCalls};
