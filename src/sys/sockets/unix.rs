//! Unix sockets.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys;
use crate::time::Deadline;

/// How long to wait for room among those who wait to be accepted.
const NAP: Duration = Duration::from_millis(1);

/// A connection between processes of one machine.
#[derive(Debug)]
pub(crate) struct LocalStream(UnixStream);

impl LocalStream {
    pub(crate) fn connect(path: &Path, deadline: Deadline) -> io::Result<Self> {
        loop {
            match try_connect(path) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if deadline.is_over() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    std::thread::sleep(NAP);
                }
                other => return other.map(LocalStream),
            }
        }
    }

    /// Whether the other end belongs to the calling user.
    pub(crate) fn is_own_users(&self) -> io::Result<bool> {
        Ok(peer_user(&self.0)? == own_user())
    }

    pub(crate) fn set_timeouts(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)?;
        self.0.set_write_timeout(timeout)
    }
}

impl io::Read for LocalStream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl io::Write for LocalStream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    // SAFETY: (S1) no pointers are passed.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) })?;
    // SAFETY: (S1) the descriptor is new and nobody else's.
    let stream = unsafe { UnixStream::from_raw_fd(fd) };
    // SAFETY: (S1) no pointers are passed.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    stream.set_nonblocking(true)?;
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: (S1) the kernel reads `len` bytes of `address`, whose name ends with a zero.
    check(unsafe { libc::connect(fd, (&raw const address).cast(), len) })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn own_user() -> u32 {
    // SAFETY: (S1) geteuid has no precondition.
    unsafe { libc::geteuid() }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: (S1) the kernel writes at most `len` bytes into `found`, and the new length into `len`.
    check(unsafe {
        let to = (&raw mut found).cast();
        libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, to, &mut len)
    })?;
    Ok(found.uid)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: (S1) the C library writes the two numbers.
    check(unsafe { libc::getpeereid(stream.as_raw_fd(), &mut user, &mut group) })?;
    Ok(user)
}

/// A path that others connect to; removed when it is dropped, if it is still this listener's.
#[derive(Debug)]
pub(crate) struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
    id: (u64, u64),
}

impl LocalListener {
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            other => other,
        }?;
        // Who comes before this is asked for its user, or for the key, all the same.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let found = path.symlink_metadata()?;
        Ok(LocalListener { listener, path: path.to_owned(), id: (found.dev(), found.ino()) })
    }

    /// Accepts somebody who has come; `WouldBlock` if there is nobody.
    pub(crate) fn accept(&self) -> io::Result<LocalStream> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        Ok(LocalStream(stream))
    }

    pub(crate) fn comes(&self, deadline: Deadline) -> io::Result<()> {
        poll(self.listener.as_raw_fd(), deadline)
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        let is_mine = |found: std::fs::Metadata| (found.dev(), found.ino()) == self.id;
        if self.path.symlink_metadata().is_ok_and(is_mine) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A socket that nobody listens at any more.
fn is_stale(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket())
        && try_connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Sleeps until somebody has come, or the deadline has; may return early.
pub(crate) fn someone_comes(listener: &TcpListener, deadline: Deadline) -> io::Result<()> {
    poll(listener.as_raw_fd(), deadline)
}

fn poll(fd: RawFd, deadline: Deadline) -> io::Result<()> {
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let rest_ms = match deadline {
        Deadline::Now => 0,
        // Rounded up: waking early would spin.
        Deadline::At(ns) => {
            ns.saturating_sub(sys::monotonic_ns()).div_ceil(1_000_000).min(i32::MAX as u64) as i32
        }
        Deadline::Never => -1,
    };
    // SAFETY: (S1) the kernel writes into `polled` only.
    match check(unsafe { libc::poll(&mut polled, 1, rest_ms) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Turns a C return value into a result.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
