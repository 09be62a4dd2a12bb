//! What the standard library does not ask of sockets: who is at the other end, and whether its machine is still there.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::sys::calls::check;

/// The user id of this process.
pub(in crate::sys) fn own_uid() -> u32 {
    // SAFETY: (S1) takes no pointers and cannot fail.
    unsafe { libc::geteuid() }
}

/// The user id of the process at the other end of a Unix socket, as it was when it connected.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(credentials(socket)?.uid)
}

/// The user id of the process at the other end of a Unix socket, as it was when it connected.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: (S1) both pointers lead to live locals.
    check(unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) })?;
    Ok(uid)
}

/// Process and user at the other end of a Unix socket, in words.
pub(super) fn name(socket: BorrowedFd<'_>) -> io::Result<String> {
    // A process of another pid namespace has the number 0 here.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let found = credentials(socket)?
        && found.pid != 0
    {
        return Ok(format!("process {} of user {}", found.pid, found.uid));
    }
    Ok(format!("user {}", uid(socket)?))
}

/// Process, user and group of who made the other end of a Unix socket.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::sys) fn credentials(socket: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: (S1) the kernel writes at most `len` bytes into `found`, and the new length into `len`.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut len,
        )
    })?;
    Ok(found)
}

/// A descriptor of the process that made the other end of a Unix socket, which `poll` finds readable when that has ended; `None`
/// where the system has none.
///
/// The end of the connection does not tell: a forked child may keep it open.
#[cfg(target_os = "linux")]
pub(super) fn end(socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    /// Since Linux 6.5; not in every C library's headers.
    const SO_PEERPIDFD: libc::c_int = 77;
    let (mut found, mut len): (libc::c_int, _) = (-1, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: (S1) both pointers lead to live locals, and `len` is the first one's size.
    let exact = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut found).cast(),
            &raw mut len,
        )
    };
    if exact != 0 {
        // A process of another pid namespace has the number 0 here.
        let pid = credentials(socket).ok()?.pid;
        if pid == 0 {
            return None;
        }
        // SAFETY: (S1) takes no pointers.
        found = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as libc::c_int;
    }
    // SAFETY: (S1) the kernel has just made this descriptor for us.
    (found >= 0).then(|| unsafe { OwnedFd::from_raw_fd(found) })
}

/// A descriptor of the process at the other end: this system has none.
#[cfg(not(target_os = "linux"))]
pub(super) fn end(_socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    None
}

/// Lets a TCP connection fail about 10 s after the other machine has vanished, also while nothing is sent.
pub(super) fn keep_alive(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    #[cfg(target_os = "linux")]
    {
        set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 4)?;
        set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 2)?;
        set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3)?;
        set(socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 10_000)?;
    }
    Ok(())
}

/// Sets an option whose value is a number.
pub(super) fn set(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: (S1) the pointer leads to a live local of the length that is stated.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len) })?;
    Ok(())
}
