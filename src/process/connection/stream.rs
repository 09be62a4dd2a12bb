//! Bytes with deadlines, over either kind of socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Address;
use crate::sys;
use crate::sys::sockets::LocalStream;
use crate::time::Deadline;

/// A socket.
#[derive(Debug)]
pub(super) enum Stream {
    Local(LocalStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(super) fn connect(address: &Address, deadline: Deadline) -> io::Result<Self> {
        match address {
            Address::Local(path) => LocalStream::connect(path, deadline).map(Stream::Local),
            Address::Tcp(address) => match rest(deadline)? {
                Some(rest) => Self::tcp(TcpStream::connect_timeout(address, rest)?),
                None => Self::tcp(TcpStream::connect(address)?),
            },
        }
    }

    /// A TCP stream that sends at once what it is given: messages are written whole.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    /// Whether the other end is known to belong to the calling user.
    pub(super) fn is_own_users(&self) -> io::Result<bool> {
        match self {
            Stream::Local(stream) => stream.is_own_users(),
            Stream::Tcp(_) => Ok(false),
        }
    }

    fn set_timeouts(&self, deadline: Deadline) -> io::Result<()> {
        let rest = rest(deadline)?;
        match self {
            Stream::Local(stream) => stream.set_timeouts(rest),
            Stream::Tcp(stream) => {
                stream.set_read_timeout(rest)?;
                stream.set_write_timeout(rest)
            }
        }
    }

    /// Reads what is there, at least a byte; 0 at the end.
    pub(super) fn read(&mut self, to: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        loop {
            self.set_timeouts(deadline)?;
            let read = match self {
                Stream::Local(stream) => stream.read(to),
                Stream::Tcp(stream) => stream.read(to),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    pub(super) fn read_exact(&mut self, mut to: &mut [u8], deadline: Deadline) -> io::Result<()> {
        while !to.is_empty() {
            match self.read(to, deadline)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => to = &mut to[count..],
            }
        }
        Ok(())
    }

    pub(super) fn write_all(&mut self, mut from: &[u8], deadline: Deadline) -> io::Result<()> {
        while !from.is_empty() {
            self.set_timeouts(deadline)?;
            let written = match self {
                Stream::Local(stream) => stream.write(from),
                Stream::Tcp(stream) => stream.write(from),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(count) => from = &from[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// How long until the deadline; an error if it is over.
fn rest(deadline: Deadline) -> io::Result<Option<Duration>> {
    match deadline {
        // As short as a system can: it takes what is there.
        Deadline::Now => Ok(Some(Duration::from_micros(1))),
        Deadline::At(ns) => match ns.checked_sub(sys::monotonic_ns()) {
            None | Some(0) => Err(io::ErrorKind::TimedOut.into()),
            Some(rest) => Ok(Some(Duration::from_nanos(rest).max(Duration::from_micros(1)))),
        },
        Deadline::Never => Ok(None),
    }
}
