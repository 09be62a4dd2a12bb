//! Server and clients over real sockets, through the public API alone.

#[cfg(feature = "tls")]
mod authority;
mod crowd;
mod death;
mod forks;
mod hostile;
mod linear;
mod logged;
mod objects;
mod patience;
mod pipeline;
mod python;
mod raw;
mod remote;
mod rings;
mod runs;
mod semantics;
mod start;
mod storm;
mod support;
#[cfg(feature = "tls")]
mod tls;
