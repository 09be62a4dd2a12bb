//! What the synchronisation objects promise, seen through the public interface.
// Real processes: the heap backend has none.
#![cfg(any(not(feature = "heap"), feature = "portable"))]

mod barrier;
mod condition;
mod event;
mod latch;
mod lock;
mod once;
mod rlock;
mod rwlock;
mod semaphore;
mod support;
mod wait_any;
