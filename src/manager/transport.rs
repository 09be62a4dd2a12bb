//! By what calls and answers travel.

use std::fmt;
use std::str::FromStr;

use super::error::ManagerError;

/// By what calls and answers travel between a client and its server; the same calls, in the same order, over each.
///
/// Written as `auto`, `ring` and `socket`. Over all of them the socket stays open: its end tells each side of the other's.
///
/// ```
/// # use procshare::manager::{Address, Server};
/// # fn main() -> procshare::Result<()> {
/// # let address = Address::Unix(std::env::temp_dir().join(format!("procshare-doc-transport-{}.sock", std::process::id())));
/// # let server = Server::bind(&address)?;
/// # let handle = server.handle();
/// # let running = std::thread::spawn(move || server.run());
/// use procshare::manager::{Manager, Transport};
///
/// let manager = Manager::builder().transport(Transport::Socket).connect(&address)?;
/// assert_eq!(manager.transport(), Transport::Socket);
/// # handle.shutdown();
/// # running.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Rings, where both sides have them; else the socket.
    #[default]
    Auto,
    /// Two rings in memory that client and server share: on one machine, over a Unix socket, on Linux.
    Ring,
    /// The socket.
    Socket,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Auto => "auto",
            Transport::Ring => "ring",
            Transport::Socket => "socket",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Transport {
    type Err = ManagerError;

    fn from_str(text: &str) -> Result<Self, ManagerError> {
        [Transport::Auto, Transport::Ring, Transport::Socket]
            .into_iter()
            .find(|transport| transport.name() == text)
            .ok_or_else(|| ManagerError::BadTransport { found: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for transport in [Transport::Auto, Transport::Ring, Transport::Socket] {
            assert_eq!(transport.to_string().parse::<Transport>().unwrap(), transport);
        }
        for text in ["", "rings", "Ring", "tcp"] {
            assert!(matches!(text.parse::<Transport>(), Err(ManagerError::BadTransport { .. })), "{text}");
        }
    }
}
