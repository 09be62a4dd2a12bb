//! Where somebody listens.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::sys::sockets::{Listener, Stream};
use crate::time::Deadline;

/// Where a [`Listener`](crate::process::Listener) or a manager's server listens.
///
/// Written as `unix:/path` (or just a path with a slash), `tcp:host:port` and `tls:host:port`.
///
/// ```
/// use procshare::process::Address;
///
/// let local: Address = "/run/user/1000/jobs.sock".parse().unwrap();
/// assert_eq!(local.to_string(), "unix:/run/user/1000/jobs.sock");
/// let remote: Address = "tcp:build-7:7070".parse().unwrap();
/// assert_eq!(remote, Address::Tcp("build-7:7070".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket: for processes of one user on one machine.
    Unix(PathBuf),
    /// A TCP socket, as `host:port`: for other machines; needs a key. Port 0 lets the system choose.
    Tcp(String),
    /// TLS over TCP, as `host:port`: for managers alone, with the feature `tls`; needs a key as well, and a certificate for this host.
    Tls(String),
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{address}' is no address: use unix:/path, a path with a slash, tcp:host:port, or tls:host:port")]
pub struct BadAddress {
    /// What was given.
    pub address: String,
}

/// What is said of TLS where it is not spoken.
pub(crate) const NO_TLS: &str = "TLS is for managers: use tcp:HOST:PORT with a key, or a tunnel of your own";

impl Address {
    /// Connects, to whomever; over TLS one does not connect so.
    pub(crate) fn connect(&self, deadline: Deadline) -> io::Result<Stream> {
        match self {
            Address::Unix(path) => Stream::connect_local(path, deadline),
            Address::Tcp(place) => Stream::connect_tcp(place, deadline),
            // In clear it would be another protocol than was asked for.
            Address::Tls(_) => Err(io::Error::new(io::ErrorKind::Unsupported, NO_TLS)),
        }
    }

    /// Listens; also gives the address with the port that the system chose. Who comes to one of TLS has not begun to speak it.
    pub(crate) fn listen(&self) -> io::Result<(Listener, Address)> {
        let listener = match self {
            Address::Unix(path) => Listener::bind_local(path)?,
            Address::Tcp(place) | Address::Tls(place) => Listener::bind_tcp(place)?,
        };
        let real = match (self, listener.port()) {
            (Address::Tls(_), Some(port)) => Address::Tls(port.to_string()),
            (_, Some(port)) => port.into(),
            (_, None) => self.clone(),
        };
        Ok((listener, real))
    }

    /// Whether anybody who can reach the machine can connect.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Address::Tcp(_) | Address::Tls(_))
    }

    /// Whether it is one of TLS, which only managers speak.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Address::Tls(_))
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress { address: text.into() };
        if let Some((scheme @ ("tcp" | "tls"), place)) = text.split_once(':') {
            let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
            let sound = !host.is_empty() && port.parse::<u16>().is_ok();
            let place = sound.then(|| place.to_owned()).ok_or_else(bad)?;
            return Ok(if scheme == "tls" { Address::Tls(place) } else { Address::Tcp(place) });
        }
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.contains('/') { Ok(Address::Unix(path.into())) } else { Err(bad()) }
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Address::Unix(path.to_owned())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Address::Unix(path)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp(place) => write!(f, "tcp:{place}"),
            Address::Tls(place) => write!(f, "tls:{place}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "jobs",
            "tcp:",
            "tcp:host",
            "tcp::70",
            "tcp:host:70000",
            "unix:",
            "host:70",
            "tls:",
            "tls::70",
        ] {
            assert_eq!(text.parse::<Address>(), Err(BadAddress { address: text.into() }), "{text}");
        }
    }

    #[test]
    fn addresses_are_read_as_written() {
        let port: SocketAddr = "[::1]:70".parse().unwrap();
        for address in [Address::from(Path::new("/a/b")), Address::from(port), Address::Tls("a.b:70".into())]
        {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
