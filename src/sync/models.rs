//! Models of the words of this room; see `crate::model`.

mod barrier;
mod event_count;
mod events;
mod lock_word;
mod rwlock;
mod semaphore;
mod waiters;
