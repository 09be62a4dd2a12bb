//! A connection's socket, used by several threads at once.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::manager::address::Address;
use crate::sys;

pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(super) fn connect(address: &Address, timeout: Duration) -> io::Result<Self> {
        match address {
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path)?)),
            Address::Tcp(place) => {
                let end = Instant::now() + timeout;
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for place in std::net::ToSocketAddrs::to_socket_addrs(place.as_str())? {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    match TcpStream::connect_timeout(&place, left) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            sys::socket::keep_alive(stream.as_fd())?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Whether the system vouches for the server being run by this process's own user, or the superuser.
    pub(super) fn is_own_user(&self) -> bool {
        match self {
            Stream::Unix(stream) => sys::socket::peer_uid(stream.as_fd())
                .is_ok_and(|uid| uid == sys::socket::own_uid() || uid == 0),
            Stream::Tcp(_) => false,
        }
    }

    /// How long reading and writing wait; `None` for ever.
    pub(super) fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_read_timeout(timeout).and(stream.set_write_timeout(timeout)),
            Stream::Tcp(stream) => stream.set_read_timeout(timeout).and(stream.set_write_timeout(timeout)),
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let done = match self {
                Stream::Unix(stream) => (&*stream).read(buffer),
                Stream::Tcp(stream) => (&*stream).read(buffer),
            };
            match done {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => (&*stream).write_all(bytes),
            Stream::Tcp(stream) => (&*stream).write_all(bytes),
        }
    }

    /// Ends both directions: whoever reads or writes finds out.
    pub(super) fn shut(&self) {
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Both),
            Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Both),
        };
    }
}
