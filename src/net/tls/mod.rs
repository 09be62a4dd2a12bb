//! TLS, as a layer below the greeting: whoever speaks over it need not know.
//!
//! | file | holds |
//! |---|---|
//! | `identity` | certificates, keys and roots, from files |
//! | `tunnel` | one connection: bytes in clear at one end, TLS at the other, as a machine that never waits |
//! | `carrier` | the thread that turns such machines |
//! | `dial` | the client's end |
//! | `entrance` | the server's end |
//! | `absent` | all of this in a build without the feature `tls`: a refusal |
//!
//! A **tunnel** joins a TCP connection with one end of a pair of Unix sockets; the other end, the *near* one, is the stream that everybody
//! else uses. The proof of the key runs inside, as it does without TLS.

mod error;

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod carrier;
#[cfg(feature = "tls")]
mod dial;
#[cfg(feature = "tls")]
mod entrance;
#[cfg(feature = "tls")]
mod identity;
#[cfg(feature = "tls")]
mod tunnel;

use std::io;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Carried, TlsIdentity, TlsRoots, Tunnels, dial};
#[cfg(feature = "tls")]
pub(crate) use dial::{Carried, dial};
#[cfg(feature = "tls")]
pub(crate) use entrance::Tunnels;
pub use error::{Distrust, TlsError};
#[cfg(feature = "tls")]
pub use identity::{TlsIdentity, TlsRoots};

/// Why there is no tunnel.
#[derive(Debug)]
pub(crate) enum Mishap {
    /// For a reason of TLS.
    Tls(TlsError),
    /// Nobody is there, or the system refused.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "then nobody is asked"))]
    Unreachable(io::Error),
    /// Somebody is there, and did not say what it should.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "as above"))]
    Broken(io::Error),
}

impl From<TlsError> for Mishap {
    fn from(error: TlsError) -> Self {
        Mishap::Tls(error)
    }
}
