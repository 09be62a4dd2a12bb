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
//! | anything else | a type of your own: [`#[procshare::managed]`](macro@crate::managed), [`ServerBuilder::register`] |
//!
//! ```
//! use procshare::manager::{Any, Dict, Manager, Queue};
//!
//! let manager = Manager::start()?; // a server in a process of its own, which ends with this one
//! let ages = Dict::<String, u32>::create(&manager, "ages")?;
//! ages.set("Ada", &36)?;
//! ages.add("Ada", &1)?; // one step on the server: `d[k] += 1` without a race
//! assert_eq!(ages.get("Ada")?, Some(37));
//!
//! // Elsewhere: another process of the user, who has been told the address.
//! let other = Manager::connect(manager.address())?;
//! let same = Dict::<String, u32>::open(&other, "ages")?;
//! assert_eq!(same.snapshot()?, [("Ada".into(), 37)]);
//!
//! // Mixed content, and objects inside of others.
//! let work = Queue::<Any>::anonymous(&other, None)?;
//! work.put(vec![1.into(), "two".into(), Any::Object(same.object().clone())].into())?;
//! assert_eq!(work.len()?, 1);
//! # Ok::<(), procshare::Error>(())
//! ```
//!
//! # Where the server is
//!
//! - [`Manager::start`]: in a process of its own, for this program and whom it tells; [`Manager::start_with`] has registered types and limits.
//! - `procshare serve`: for programs that come and go.
//! - [`Server`]: in a thread of a program of one's own.
//!
//! It listens on a Unix socket for processes of the same user, or on TCP for those who know a [`Key`]; [`Manager::connect`] and
//! [`Manager::builder`] join it. With the feature `tls` there are `tls:` addresses, too: the same over TLS 1.3, where the server shows a certificate. On one machine calls travel through shared memory by themselves ([`Transport`]). Values are MessagePack on the
//! wire, as `docs/protocol.md` tells, so programs in any language can join. Nothing that is received is executed.
//!
//! # What is one step
//!
//! Each method of a proxy, also `update` and [`List::edit`]. [`Manager::transaction`] makes one of several calls on several objects.
//! [`Manager::batch`] and [`Manager::pipeline`] send many calls at once, each of which is a step by itself. What `get` returns is a copy: changing
//! it changes nothing on the server, unless it is a proxy itself.
//!
//! Clones of a [`Manager`], and all threads, share one connection; a call that waits delays no other.
//!
//! # When somebody dies
//!
//! The system tells the server at once: locks, permits, seats, and items that were not acknowledged come back, except what was handed over
//! by `forget`. Objects without a name go with the last reference to them. When the server ends, its objects end, and everybody who waits
//! gets [`ManagerError::Disconnected`], which says whether the call may have been done. A connection that broke stays broken; a new server has
//! none of the old one's objects, and refuses its handles. Over TCP a connection that is cut is no death: the guards of its client say that they
//! are [lost](LockGuard::is_lost), and their successors have a greater [fence](LockGuard::fence).

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

pub use crate::net::tls::{Distrust, TlsError};
#[cfg(feature = "tls")]
pub use crate::net::tls::{TlsIdentity, TlsRoots};
pub use crate::net::{Address, BadAddress, Key, KeyError};
