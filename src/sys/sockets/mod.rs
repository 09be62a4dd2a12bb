//! Sockets of one machine, and waiting for somebody to come: beside the backends, as processes are.
//!
//! | item | contract |
//! |---|---|
//! | `LocalStream` | a connection between processes of one machine, that knows whose the other end is |
//! | `LocalListener` | a path that others connect to: made for its user alone, taken over from the dead, removed in the end |
//! | `someone_comes` | sleeps until a listener has somebody to accept |
//!
//! Where there are none, making one fails with [`std::io::ErrorKind::Unsupported`].

#[cfg(unix)]
#[path = "unix.rs"]
mod imp;
#[cfg(not(unix))]
#[path = "other.rs"]
mod imp;

pub(crate) use imp::{LocalListener, LocalStream, someone_comes};
