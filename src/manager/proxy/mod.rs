//! Proxies: what stands in a program for an object of the server.

#[macro_use]
mod constructors;
mod any;
mod barrier;
mod condition;
mod dict;
mod holding;
mod list;
mod lock;
mod namespace;
mod object;
mod queue;
mod rwlock;
mod seen;
mod sync;
mod timeout;
mod transaction;
mod value;

pub use any::Any;
pub use barrier::{Barrier, BarrierWaitResult};
pub use condition::Condition;
pub use dict::{Dict, DictCalls, DictIter, KeyOf};
pub use list::{List, ListCalls, ListIter};
pub use lock::{Lock, LockGuard, RLock};
pub use namespace::{Namespace, NamespaceCalls};
pub use object::{Argument, Object, ProxyHandle};
pub use queue::{JoinableQueue, Queue, Task};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use sync::{BoundedSemaphore, Event, Permit, Semaphore};
pub use transaction::Transaction;
pub use value::{Array, ArrayCalls, Value, ValueCalls};
