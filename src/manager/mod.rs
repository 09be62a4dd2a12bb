//! The general path: a server process that keeps objects of any shape, and proxies that use them.
//!
//! The objects of the crate's root live in shared memory and hold plain data. Those of this module live in a server and hold
//! whatever serde can carry: strings, vectors, maps, other objects. They have the same words for the same things, and cost a
//! message each way.
//!
//! | to share | use |
//! |---|---|
//! | keys and values | [`Dict`], [`Namespace`] |
//! | a row of values | [`List`], [`Array`] |
//! | one value | [`Value`] |
//! | work | [`Queue`], [`JoinableQueue`] |
//! | a turn | [`Lock`], [`RLock`], [`RwLock`], [`Semaphore`], [`BoundedSemaphore`] |
//! | a moment | [`Event`], [`Condition`], [`Barrier`] |
//! | anything else | a type of your own: [`Managed`], [`ServerBuilder::register`] |
//!
//! [`Manager::start`] runs a server in a process of its own. A [`Server`] of one's own, or `procshare serve`, listens on a Unix
//! socket, or on TCP with a [`Key`]; [`Manager::connect`] joins it. Each method of a proxy is one
//! atomic step on the server; [`Manager::transaction`] makes several of them one. Values are MessagePack on the wire, as
//! `docs/protocol.md` tells, so programs in any language can join. Nothing that is received is executed.
//!
//! # When somebody dies
//!
//! The system tells the server at once: locks, permits, seats, and items that were not acknowledged come back. Objects without a
//! name go with the last reference to them. When the server ends, its objects end, and everybody who waits gets
//! [`ManagerError::Disconnected`].

mod client;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub, reason = "for the fuzzer, and no part of the interface")]
pub mod fuzz;
mod numbered;
mod proxy;
mod server;
mod start;
mod store;
mod transport;
mod wire;

pub use client::{
    Call, Connector, Manager, ObjectClient, ObjectDetail, ObjectHolder, ObjectInfo, Pending, Pipeline, Stats,
};
pub use error::{ManagerError, ManagerResult};
pub use proxy::{
    Any, Argument, Array, ArrayCalls, Barrier, BarrierWaitResult, BoundedSemaphore, Condition, Dict,
    DictCalls, DictIter, Event, JoinableQueue, KeyOf, List, ListCalls, ListIter, Lock, LockGuard, Namespace,
    NamespaceCalls, Object, Permit, ProxyHandle, Queue, RLock, RwLock, RwLockReadGuard, RwLockWriteGuard,
    Semaphore, Task, Transaction, Value, ValueCalls,
};
pub use server::{Limits, Server, ServerBuilder, ServerHandle};
pub use start::{ManagerProcess, ServerTask};
pub use store::{CallArguments, CallError, Managed, Returned};
pub use transport::Transport;

pub use crate::net::{Address, BadAddress, Key, KeyError};
