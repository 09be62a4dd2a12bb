//! Connections between unrelated programs: messages over Unix sockets and TCP.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what a listener or a client shall be |
//! | `listener` | waiting for those who come |
//! | `messages` | a connection: values and bytes, in both directions |
//! | `error` | why there is none |
//!
//! How they get in, and what a frame is, they have in common with managers: see `net`.

mod error;
mod listener;
mod messages;
mod options;

pub use error::ConnectionError;
pub use listener::{Incoming, Listener};
pub use messages::Connection;
pub use options::{Client, ConnectionOptions};

use crate::net::greeting::Protocol;

/// What the two ends of a connection speak.
const PROTOCOL: Protocol = Protocol { name: "procshare messages", version: 1 };
