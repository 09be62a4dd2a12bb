//! The bytes between clients and server, without any input or output: `docs/protocol.md` is their description.

pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod order;
pub(crate) mod pack;
pub(crate) mod read;
