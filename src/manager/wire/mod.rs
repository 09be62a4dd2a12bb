//! The bytes between clients and server, without any input or output: `docs/protocol.md` is their description.

pub(crate) mod message;
pub(crate) mod order;

pub(crate) use crate::net::{frame, pack, read};

use crate::net::greeting::Protocol;

/// What managers and their clients speak.
pub(crate) const PROTOCOL: Protocol = Protocol { name: "procshare", version: 1 };
