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
/// Written as `unix:/path` (or just a path with a slash) and `tcp:host:port`.
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
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{address}' is no address: use unix:/path, a path with a slash, or tcp:host:port")]
pub struct BadAddress {
    /// What was given.
    pub address: String,
}

impl Address {
    /// Connects, to whomever.
    pub(crate) fn connect(&self, deadline: Deadline) -> io::Result<Stream> {
        match self {
            Address::Unix(path) => Stream::connect_local(path, deadline),
            Address::Tcp(place) => Stream::connect_tcp(place, deadline),
        }
    }

    /// Listens; also gives the address with the port that the system chose.
    pub(crate) fn listen(&self) -> io::Result<(Listener, Address)> {
        let listener = match self {
            Address::Unix(path) => Listener::bind_local(path)?,
            Address::Tcp(place) => Listener::bind_tcp(place)?,
        };
        let real = listener.port().map_or_else(|| self.clone(), Address::from);
        Ok((listener, real))
    }

    /// Whether anybody who can reach the machine can connect.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Address::Tcp(_))
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress { address: text.into() };
        if let Some(place) = text.strip_prefix("tcp:") {
            let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
            let sound = !host.is_empty() && port.parse::<u16>().is_ok();
            return if sound { Ok(Address::Tcp(place.into())) } else { Err(bad()) };
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "jobs", "tcp:", "tcp:host", "tcp::70", "tcp:host:70000", "unix:", "host:70"] {
            assert_eq!(text.parse::<Address>(), Err(BadAddress { address: text.into() }), "{text}");
        }
    }

    #[test]
    fn addresses_are_read_as_written() {
        let port: SocketAddr = "[::1]:70".parse().unwrap();
        for address in [Address::from(Path::new("/a/b")), Address::from(port)] {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
