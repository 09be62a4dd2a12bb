//! Unix: sockets with a path, and TCP.

mod file;
mod listener;
pub(in crate::sys) mod peer;
mod stream;

pub(crate) use file::exposure;
pub(crate) use listener::Listener;
pub(crate) use stream::Stream;
