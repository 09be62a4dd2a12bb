//! Where others connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::file::SocketFile;
use super::stream::Stream;
use crate::sys::calls::{Until, poll_one};
use crate::time::Deadline;

/// A path or a port that others connect to. Its descriptor never lets a call wait.
#[derive(Debug)]
pub(crate) enum Listener {
    Local { socket: UnixListener, _name: SocketFile },
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at a path, for this user alone. `AddrInUse` if somebody alive does so already.
    pub(crate) fn bind_local(path: &Path) -> io::Result<Self> {
        let (listener, name) = SocketFile::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Listener::Local { socket: listener, _name: name })
    }

    /// Listens at `host:port`, for everybody who can reach it.
    pub(crate) fn bind_tcp(place: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(place)?;
        listener.set_nonblocking(true)?;
        Ok(Listener::Tcp(listener))
    }

    /// The real port, of TCP.
    pub(crate) fn port(&self) -> Option<SocketAddr> {
        match self {
            Listener::Local { .. } => None,
            Listener::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    /// Accepts somebody who has come; `WouldBlock` if there is nobody.
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Local { socket, .. } => {
                let (stream, _) = socket.accept()?;
                // Inherited from the listener on some systems.
                stream.set_nonblocking(false)?;
                Ok(Stream::Local(stream))
            }
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Stream::tcp(stream)
            }
        }
    }

    /// Sleeps until somebody has come, or the deadline has; may return early.
    pub(crate) fn wait(&self, deadline: Deadline) -> io::Result<()> {
        poll_one(self.as_fd(), Until::Readable, deadline).map(drop)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Local { socket, .. } => socket.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        }
    }
}
