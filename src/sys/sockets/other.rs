//! Systems without Unix sockets in the standard library: TCP alone.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::{Exposure, Shut, connect_tcp, rest};
use crate::time::Deadline;

/// How long between two looks, where only looking tells.
const NAP: Duration = Duration::from_millis(2);

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no sockets with a path: use TCP and a key",
    ))
}

/// Who else can read a file is not asked here.
pub(crate) fn exposure(_: &File) -> io::Result<Option<Exposure>> {
    Ok(None)
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Stream(TcpStream);

impl Stream {
    pub(crate) fn connect_local(_: &Path, _: Deadline) -> io::Result<Self> {
        unsupported()
    }

    pub(crate) fn connect_tcp(place: &str, deadline: Deadline) -> io::Result<Self> {
        Self::tcp(connect_tcp(place, deadline)?)
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Stream(stream))
    }

    pub(crate) fn peer(&self) -> String {
        self.0.peer_addr().map_or_else(|_| "somebody who has gone".into(), |address| address.to_string())
    }

    pub(crate) fn is_own_user(&self) -> bool {
        false
    }

    pub(crate) fn recv(&self, to: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        self.patiently(deadline, |mut stream| stream.read(to))
    }

    pub(crate) fn send(&self, from: &[u8], deadline: Deadline) -> io::Result<usize> {
        self.patiently(deadline, |mut stream| stream.write(from))
    }

    pub(crate) fn send_all(&self, mut from: &[u8], deadline: Deadline) -> io::Result<()> {
        while !from.is_empty() {
            from = &from[self.send(from, deadline)?..];
        }
        Ok(())
    }

    fn patiently<R>(
        &self,
        deadline: Deadline,
        mut call: impl FnMut(&TcpStream) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let rest = rest(deadline)?;
            self.0.set_read_timeout(rest)?;
            self.0.set_write_timeout(rest)?;
            match call(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    let late = deadline != Deadline::Now;
                    return Err(if late { io::ErrorKind::TimedOut } else { io::ErrorKind::WouldBlock }.into());
                }
                done => return done,
            }
        }
    }

    #[allow(dead_code, reason = "managers are not built here")]
    pub(crate) fn shut(&self, shut: Shut) {
        let _ = self.0.shutdown(shut.into());
    }
}

/// A port that others connect to.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) fn bind_local(_: &Path) -> io::Result<Self> {
        unsupported()
    }

    pub(crate) fn bind_tcp(place: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(place)?;
        listener.set_nonblocking(true)?;
        Ok(Listener(listener))
    }

    pub(crate) fn port(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }

    pub(crate) fn accept(&self) -> io::Result<Stream> {
        let (stream, _) = self.0.accept()?;
        stream.set_nonblocking(false)?;
        Stream::tcp(stream)
    }

    pub(crate) fn wait(&self, deadline: Deadline) -> io::Result<()> {
        if !deadline.is_over() {
            std::thread::sleep(NAP);
        }
        Ok(())
    }
}
