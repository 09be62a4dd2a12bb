//! Where clients come in.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use crate::manager::address::Address;
use crate::manager::error::ManagerError;
use crate::sys;

/// A connection of either sort.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

pub(super) enum Listener {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener, Address),
}

impl Listener {
    pub(super) fn bind(address: &Address) -> Result<Self, ManagerError> {
        let failed = |action| move |source| ManagerError::Io { action, address: address.to_string(), source };
        match address {
            Address::Unix(path) => {
                let (listener, file) = SocketFile::bind(path)?;
                listener.set_nonblocking(true).map_err(failed("listen at"))?;
                Ok(Listener::Unix(UnixListener::from_std(listener), file))
            }
            Address::Tcp(place) => {
                let listener = std::net::TcpListener::bind(place).map_err(|source| match source.kind() {
                    io::ErrorKind::AddrInUse => ManagerError::AddressInUse { address: address.to_string() },
                    _ => failed("listen at")(source),
                })?;
                listener.set_nonblocking(true).map_err(failed("listen at"))?;
                let real = listener.local_addr().map_err(failed("ask for"))?;
                Ok(Listener::Tcp(TcpListener::from_std(listener), Address::Tcp(real.to_string())))
            }
        }
    }

    /// Where it listens; of TCP with the port that the system chose.
    pub(super) fn address(&self) -> Address {
        match self {
            Listener::Unix(_, file) => Address::Unix(file.path.clone()),
            Listener::Tcp(_, address) => address.clone(),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Unix(listener, _) => registry.register(listener, token, Interest::READABLE),
            Listener::Tcp(listener, _) => registry.register(listener, token, Interest::READABLE),
        }
    }

    /// The next connection, and who it is as far as one can tell.
    pub(super) fn accept(&self) -> io::Result<(Stream, String)> {
        match self {
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                let uid = sys::socket::peer_uid(stream.as_fd())?;
                Ok((Stream::Unix(stream), format!("user {uid}")))
            }
            Listener::Tcp(listener, _) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nodelay(true)?;
                sys::socket::keep_alive(stream.as_fd())?;
                Ok((Stream::Tcp(stream), peer.to_string()))
            }
        }
    }
}

/// A socket's name in the file system, which is removed with it.
///
/// Who holds the lock of the file beside it owns the name. The system releases the lock with its holder, so a socket that a
/// dead server left is recognised and replaced, and one of a living server never is.
pub(super) struct SocketFile {
    path: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl SocketFile {
    fn bind(path: &Path) -> Result<(std::os::unix::net::UnixListener, Self), ManagerError> {
        let address = Address::Unix(path.into()).to_string();
        let failed = |action| {
            let address = address.clone();
            move |source| ManagerError::Io { action, address, source }
        };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(directory).map_err(failed("make the directory of"))?;
        }
        let beside = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let lock = beside(".lock");
        let held = take_lock(&lock)
            .map_err(failed("lock"))?
            .ok_or_else(|| ManagerError::AddressInUse { address: address.clone() })?;
        // Made under another name, so that nobody can connect before its rights are set.
        let draft = beside(".new");
        let _ = fs::remove_file(&draft);
        let listener = std::os::unix::net::UnixListener::bind(&draft).map_err(failed("listen at"))?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).map_err(failed("protect"))?;
        let is_socket = |meta: fs::Metadata| meta.mode() & 0o170_000 == 0o140_000;
        if fs::symlink_metadata(path).is_ok_and(|meta| !is_socket(meta)) {
            let _ = fs::remove_file(&draft);
            let source =
                io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there");
            return Err(failed("listen at")(source));
        }
        fs::rename(&draft, path).map_err(failed("publish"))?;
        Ok((listener, SocketFile { path: path.into(), lock, _held: held }))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // In this order, and under the lock: the name is not somebody else's yet.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.lock);
    }
}

/// The locked file of this name, or `None` if somebody alive has it.
fn take_lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        // Its last owner may have removed it just before we locked it: then it protects nothing.
        let there = fs::metadata(path);
        let same = there.is_ok_and(|there| {
            file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        });
        if same {
            return Ok(Some(file));
        }
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Stream::Unix(stream) => registry.register(stream, token, interest),
            Stream::Tcp(stream) => registry.register(stream, token, interest),
        }
    }

    /// Whether the system vouches for the other end being this process's own user, or the superuser.
    pub(super) fn is_own_user(&self) -> bool {
        match self {
            Stream::Unix(stream) => sys::socket::peer_uid(stream.as_fd())
                .is_ok_and(|uid| uid == sys::socket::own_uid() || uid == 0),
            Stream::Tcp(_) => false,
        }
    }

    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Stream::Tcp(_))
    }

    /// What tells that the process at the other end has ended, where the system can.
    pub(super) fn peer_end(&self) -> Option<OwnedFd> {
        match self {
            Stream::Unix(stream) => sys::socket::peer_end(stream.as_fd()),
            Stream::Tcp(_) => None,
        }
    }

    /// Tells the other end that nothing more will come.
    pub(super) fn end(&self) {
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
            Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
    }
}
