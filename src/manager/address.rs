//! Where a server is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::ManagerError;

/// Where a manager's server listens.
///
/// Written as `unix:/path` (or just a path with a slash) and `tcp:host:port`.
///
/// ```
/// use procshare::manager::Address;
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

impl FromStr for Address {
    type Err = ManagerError;

    fn from_str(text: &str) -> Result<Self, ManagerError> {
        let bad = || ManagerError::BadAddress { address: text.into() };
        if let Some(place) = text.strip_prefix("tcp:") {
            let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
            let sound = !host.is_empty() && port.parse::<u16>().is_ok();
            return if sound { Ok(Address::Tcp(place.into())) } else { Err(bad()) };
        }
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.contains('/') { Ok(Address::Unix(path.into())) } else { Err(bad()) }
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
            assert!(matches!(text.parse::<Address>(), Err(ManagerError::BadAddress { .. })), "{text}");
        }
    }
}
