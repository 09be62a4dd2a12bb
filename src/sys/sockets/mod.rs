//! Sockets: beside the backends, because whatever memory is shared through, sockets are the system's.
//!
//! | item | contract |
//! |---|---|
//! | `Stream` | a connection, of one machine or of two; every call has a deadline; knows who is at the other end |
//! | `Stream::tunnelled` | the same, carried somewhere else by whoever has its far end |
//! | `exposure` | who else can read or change a file |
//! | `Listener` | a path or a port that others connect to; a path is its user's alone, taken over from the dead, removed in the end |
//!
//! Where there are no sockets with a path, making one fails with [`std::io::ErrorKind::Unsupported`].

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as imp;
#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
use other as imp;

#[cfg(target_os = "linux")]
pub(in crate::sys) use imp::peer;
pub(crate) use imp::{Listener, Stream, exposure};

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use crate::sys;
use crate::time::Deadline;

/// Why a file is no secret of this user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "cannot be told there"))]
pub(crate) enum Exposure {
    /// Group or others have a right, by these permission bits.
    Mode(u32),
    /// It belongs to this user.
    Owner(u32),
}

/// Which ends of a connection no longer work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Nothing more will be sent.
    #[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "said by servers alone"))]
    Sending,
    /// Nothing goes either way: whoever waits finds out.
    #[cfg_attr(not(feature = "manager"), allow(dead_code, reason = "said by clients of managers alone"))]
    Both,
}

impl From<Shut> for std::net::Shutdown {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::Sending => std::net::Shutdown::Write,
            Shut::Both => std::net::Shutdown::Both,
        }
    }
}

/// How long until the deadline; an error if it is over.
fn rest(deadline: Deadline) -> io::Result<Option<Duration>> {
    match deadline {
        // As short as a system can.
        Deadline::Now => Ok(Some(Duration::from_micros(1))),
        Deadline::At(ns) => match ns.checked_sub(sys::monotonic_ns()) {
            None | Some(0) => Err(io::ErrorKind::TimedOut.into()),
            Some(rest) => Ok(Some(Duration::from_nanos(rest).max(Duration::from_micros(1)))),
        },
        Deadline::Never => Ok(None),
    }
}

/// Connects to `host:port`, to the first of its addresses that answers.
fn connect_tcp(place: &str, deadline: Deadline) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for place in std::net::ToSocketAddrs::to_socket_addrs(place)? {
        let connected = match rest(deadline)? {
            Some(rest) => TcpStream::connect_timeout(&place, rest),
            None => TcpStream::connect(place),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Lets a type be polled by the descriptor of one of its fields, where the system has descriptors.
macro_rules! has_descriptor {
    ($type:ty, $field:ident) => {
        #[cfg(unix)]
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(&self.$field)
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(self))
            }
        }
    };
}
pub(crate) use has_descriptor;
