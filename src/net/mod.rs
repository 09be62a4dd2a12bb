//! What programs that are not of one build say to each other over sockets: of connections as of managers.
//!
//! | file | holds |
//! |---|---|
//! | `address` | where somebody listens |
//! | `key` | a secret that both ends know |
//! | `auth` | proofs that they do, without any input or output |
//! | `frame` | bytes as they come, cut into frames |
//! | `pack`, `read` | MessagePack, written and checked |
//! | `tls` | what carries all this through TLS, if it is wanted |
//! | `greeting` | what both ends say first |
//! | `handshake` | who lets whom in, as two machines without input or output, and both over a socket |
//!
//! `docs/protocol.md` is their description. What comes after the handshake is the matter of whoever talks.

mod address;
pub(crate) mod auth;
pub(crate) mod frame;
pub(crate) mod greeting;
pub(crate) mod handshake;
mod key;
#[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "most values are a manager's matter"))]
pub(crate) mod pack;
#[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "most values are a manager's matter"))]
pub(crate) mod read;
#[cfg(all(feature = "manager", unix))]
pub(crate) mod tls;

pub(crate) use address::NO_TLS;
pub use address::{Address, BadAddress};
pub use key::{Key, KeyError};
