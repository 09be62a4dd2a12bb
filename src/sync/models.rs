//! Models of the words of this room; see `crate::model`.

mod barrier;
mod condition;
mod event_count;
mod events;
mod lock_word;
mod once;
mod rlock;
mod rwlock;
mod semaphore;
mod wait_any;
mod waiters;
