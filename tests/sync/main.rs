//! What the synchronisation objects promise, seen through the public interface.

mod barrier;
mod event;
mod support;
