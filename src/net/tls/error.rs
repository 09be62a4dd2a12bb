//! Why there is no TLS.

use std::fmt;
use std::io;

use crate::net::KeyError;

/// Why TLS cannot be spoken, or the other end is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A `tls:` address in a build without the feature `tls`.
    #[error("no TLS to {address}: this program was built without procshare's feature `tls`")]
    Absent {
        /// The address.
        address: String,
    },
    /// A server without a certificate.
    #[error(
        "a server at {address} has no certificate to show: give it one, and its private key (ServerBuilder::tls; \
         procshare serve --cert FILE --cert-key FILE)"
    )]
    IdentityNeeded {
        /// The address.
        address: String,
    },
    /// A client that trusts nobody.
    #[error(
        "nobody is trusted to vouch for {address}: say whose certificates count (Connector::roots; procshare ls --ca FILE)"
    )]
    RootsNeeded {
        /// The address.
        address: String,
    },
    /// A host that no certificate can be for.
    #[error("'{host}' in {address} is neither a host's name nor an IP address: no certificate can be for it")]
    BadHost {
        /// What was given.
        host: String,
        /// The address.
        address: String,
    },
    /// A file that cannot be read.
    #[error("the file {path} with the {wanted} could not be read: {source}")]
    Io {
        /// What was looked for in it.
        wanted: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file that does not hold what it should.
    #[error("the file {path} holds no {wanted} that can be used: {reason}; write it as PEM")]
    Pem {
        /// What was looked for in it.
        wanted: &'static str,
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The file of a private key that others can read or change.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate and a key of two pairs.
    #[error(
        "the private key in {key} does not belong to the first certificate in {chain}: take the one it was made with"
    )]
    Mismatch {
        /// The file of the certificates.
        chain: String,
        /// The file of the key.
        key: String,
    },
    /// The server shows a certificate that is not believed.
    #[error("the server at {address} is not believed: {distrust}")]
    Untrusted {
        /// The address.
        address: String,
        /// Why.
        distrust: Distrust,
    },
    /// The other end speaks something else.
    #[error("nobody speaks TLS at {address}: look at the port, or use tcp: if the server does")]
    NotSpoken {
        /// The address.
        address: String,
    },
    /// Any other failure of a handshake.
    #[error("no TLS with the server at {address}: {reason}")]
    Failed {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
}

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distrust {
    /// No one who is trusted has signed it.
    UnknownIssuer,
    /// Somebody has signed it who has the name of one who is trusted, and not the key.
    WrongSignature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for another host.
    OtherName {
        /// For whom it is.
        presented: Vec<String>,
    },
    /// It is that of an authority, which signs others and is no server's.
    IsAuthority,
    /// Anything else.
    Other(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distrust::UnknownIssuer => f.write_str(
                "its certificate is signed by nobody who is trusted: give the certificate of who signed it",
            ),
            Distrust::WrongSignature => f.write_str(
                "its certificate is not signed with the key of the authority it names: if that was made anew, take its new certificate",
            ),
            Distrust::Expired => f.write_str("its certificate has expired: give the server a new one"),
            Distrust::NotYetValid => {
                f.write_str("its certificate is not valid yet: look at the clocks of both machines")
            }
            Distrust::OtherName { presented } => {
                let names = if presented.is_empty() { "nobody".into() } else { presented.join(", ") };
                write!(
                    f,
                    "its certificate is for {names}: use that name in the address, or have this one certified"
                )
            }
            Distrust::IsAuthority => f.write_str(
                "its certificate is an authority's (CA:TRUE), which is no server's: let it sign one that is",
            ),
            Distrust::Other(reason) => write!(f, "its certificate is not good: {reason}"),
        }
    }
}
