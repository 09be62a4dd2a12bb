//! Memory without a name that two connected processes share: beside the backends, because descriptors and sockets are the system's.
//!
//! | item | contract |
//! |---|---|
//! | `Pages::new` | new pages, all zero, and a descriptor of them; their number can never change, and there is memory for all |
//! | `Pages::of` | maps such pages that somebody else made, if they are what they should be |
//! | `send`, `receive` | bytes over a connection of one machine, and with them a descriptor |
//! | `has_ended` | sleeps until the other end of a connection is gone, or the deadline has come; takes nothing that has come |
//!
//! Where there are none, making them fails with [`std::io::ErrorKind::Unsupported`].

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod imp;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod imp;

pub(crate) use imp::{Pages, has_ended, receive, send};
