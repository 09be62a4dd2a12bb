//! A connection whose every call has a deadline.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::super::{Shut, connect_tcp};
use super::peer;
use crate::sys::calls::{Until, check, patiently, retry};
use crate::time::Deadline;

/// How long to wait for room among those who wait to be accepted.
const NAP: Duration = Duration::from_millis(1);

/// Who writes to a connection that has ended gets an error, and no signal.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: libc::c_int = 0;
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;

/// A connection; threads may use it at once.
///
/// The descriptor itself stays as the system made it: whether a call waits is said at each call.
#[derive(Debug)]
pub(crate) enum Stream {
    Local(UnixStream),
    Tcp(TcpStream),
    /// Carried over TCP by whoever has the far end.
    #[cfg(feature = "tls")]
    Tunnelled {
        near: UnixStream,
        peer: String,
    },
}

impl Stream {
    /// Connects to a path.
    pub(crate) fn connect_local(path: &Path, deadline: Deadline) -> io::Result<Self> {
        loop {
            match try_connect(path) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if deadline.is_over() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    std::thread::sleep(NAP);
                }
                other => return other.map(Stream::Local),
            }
        }
    }

    /// Connects to `host:port`.
    pub(crate) fn connect_tcp(place: &str, deadline: Deadline) -> io::Result<Self> {
        Self::tcp(connect_tcp(place, deadline)?)
    }

    /// A TCP stream that sends at once what it is given, and notices when the other machine is gone.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        peer::keep_alive(stream.as_fd())?;
        Ok(Stream::Tcp(stream))
    }

    /// Takes the near end of a tunnel in place of its TCP connection; gives that, and the far end. These two never let a call wait.
    #[cfg(feature = "tls")]
    pub(crate) fn tunnelled(self) -> io::Result<(Self, TcpStream, UnixStream)> {
        let peer = self.peer();
        let Stream::Tcp(wire) = self else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "only TCP goes through tunnels"));
        };
        let (near, far) = UnixStream::pair()?;
        wire.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        Ok((Stream::Tunnelled { near, peer }, wire, far))
    }

    /// Whether the other end may be on another machine.
    #[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "asked by servers alone"))]
    pub(crate) fn is_remote(&self) -> bool {
        !matches!(self, Stream::Local(_))
    }

    /// Who is at the other end, in words.
    pub(crate) fn peer(&self) -> String {
        let named = match self {
            Stream::Local(stream) => peer::name(stream.as_fd()),
            Stream::Tcp(stream) => stream.peer_addr().map(|address| address.to_string()),
            #[cfg(feature = "tls")]
            Stream::Tunnelled { peer, .. } => return peer.clone(),
        };
        named.unwrap_or_else(|_| "somebody who has gone".into())
    }

    /// Whether the system vouches for the other end being this process's own user, or the superuser.
    pub(crate) fn is_own_user(&self) -> bool {
        match self {
            Stream::Local(stream) => {
                peer::uid(stream.as_fd()).is_ok_and(|uid| uid == peer::own_uid() || uid == 0)
            }
            Stream::Tcp(_) => false,
            #[cfg(feature = "tls")]
            Stream::Tunnelled { .. } => false,
        }
    }

    /// What tells that the process at the other end has ended, where the system can.
    #[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "asked by servers alone"))]
    pub(crate) fn peer_end(&self) -> Option<OwnedFd> {
        match self {
            Stream::Local(stream) => peer::end(stream.as_fd()),
            Stream::Tcp(_) => None,
            #[cfg(feature = "tls")]
            Stream::Tunnelled { .. } => None,
        }
    }

    /// Receives what is there, at least a byte, or waits for it; 0 at the end.
    pub(crate) fn recv(&self, to: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        patiently(self.as_fd(), Until::Readable, deadline, |fd, flags| {
            // SAFETY: (S1) the kernel writes at most `to.len()` bytes into `to`.
            retry(|| unsafe { libc::recv(fd, to.as_mut_ptr().cast(), to.len(), flags) })
        })
    }

    /// Sends as much as there is room for, at least a byte, or waits for room.
    pub(crate) fn send(&self, from: &[u8], deadline: Deadline) -> io::Result<usize> {
        patiently(self.as_fd(), Until::Writable, deadline, |fd, flags| {
            // SAFETY: (S1) the kernel reads at most `from.len()` bytes of `from`.
            retry(|| unsafe { libc::send(fd, from.as_ptr().cast(), from.len(), flags | NO_SIGNAL) })
        })
    }

    /// Sends all of it.
    pub(crate) fn send_all(&self, mut from: &[u8], deadline: Deadline) -> io::Result<()> {
        while !from.is_empty() {
            from = &from[self.send(from, deadline)?..];
        }
        Ok(())
    }

    /// Ends it; whoever waits finds out.
    pub(crate) fn shut(&self, shut: Shut) {
        // What has ended already need not be ended.
        let _ = match self {
            Stream::Local(stream) => stream.shutdown(shut.into()),
            Stream::Tcp(stream) => stream.shutdown(shut.into()),
            #[cfg(feature = "tls")]
            Stream::Tunnelled { near, .. } => near.shutdown(shut.into()),
        };
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Local(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
            #[cfg(feature = "tls")]
            Stream::Tunnelled { near, .. } => near.as_fd(),
        }
    }
}

/// Connects, unless too many wait already.
fn try_connect(path: &Path) -> io::Result<UnixStream> {
    // SAFETY: (S1) `sockaddr_un` is plain C data for which all-zero is a valid value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let name = path.as_os_str().as_bytes();
    if name.len() >= address.sun_path.len() || name.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket"));
    }
    for (to, &from) in address.sun_path.iter_mut().zip(name) {
        *to = from as libc::c_char;
    }
    let stream = new_socket()?;
    stream.set_nonblocking(true)?;
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: (S1) the kernel reads `len` bytes of `address`, whose name ends with a zero.
    check(unsafe { libc::connect(stream.as_raw_fd(), (&raw const address).cast(), len) })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A socket that no program which is started meanwhile inherits.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn new_socket() -> io::Result<UnixStream> {
    // SAFETY: (S1) no pointers are passed.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: (S1) the descriptor is new and nobody else's.
    Ok(unsafe { UnixStream::from_raw_fd(fd) })
}

/// A socket. A program that is started between two of these calls may inherit it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn new_socket() -> io::Result<UnixStream> {
    // SAFETY: (S1) no pointers are passed.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) })?;
    // SAFETY: (S1) the descriptor is new and nobody else's.
    let stream = unsafe { UnixStream::from_raw_fd(fd) };
    // SAFETY: (S1) no pointers are passed.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    #[cfg(target_vendor = "apple")]
    peer::set(stream.as_fd(), libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1)?;
    Ok(stream)
}
