//! Systems without Unix sockets in the standard library.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::time::Deadline;

/// How long between two looks, where only looking tells.
const NAP: Duration = Duration::from_millis(2);

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no sockets with a path: use TCP and a key",
    ))
}

#[derive(Debug)]
pub(crate) struct LocalStream(Infallible);

impl LocalStream {
    pub(crate) fn connect(_: &Path, _: Deadline) -> io::Result<Self> {
        unsupported()
    }

    pub(crate) fn is_own_users(&self) -> io::Result<bool> {
        match self.0 {}
    }

    pub(crate) fn set_timeouts(&self, _: Option<Duration>) -> io::Result<()> {
        match self.0 {}
    }
}

impl io::Read for LocalStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl io::Write for LocalStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct LocalListener(Infallible);

impl LocalListener {
    pub(crate) fn bind(_: &Path) -> io::Result<Self> {
        unsupported()
    }

    pub(crate) fn accept(&self) -> io::Result<LocalStream> {
        match self.0 {}
    }

    pub(crate) fn comes(&self, _: Deadline) -> io::Result<()> {
        match self.0 {}
    }
}

pub(crate) fn someone_comes(_: &TcpListener, deadline: Deadline) -> io::Result<()> {
    if !deadline.is_over() {
        std::thread::sleep(NAP);
    }
    Ok(())
}
