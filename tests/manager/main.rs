//! Server and clients over real sockets, through the public API alone.

mod death;
mod hostile;
mod objects;
mod python;
mod remote;
mod start;
mod storm;
mod support;
