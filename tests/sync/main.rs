//! What the synchronisation objects promise, seen through the public interface.

mod event;
mod support;
