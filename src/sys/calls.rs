//! What every caller of Unix does: turns results of C calls into ours, goes on after signals, waits for descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys;
use crate::time::Deadline;

/// Turns a C return value into a result.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same, of a call that returns how many bytes it moved; calls until no signal interrupts.
pub(super) fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Readable,
    Writable,
    /// The other end has said that it will send no more, or is gone.
    #[cfg(all(target_os = "linux", feature = "manager"))]
    Ended,
}

/// Sleeps until a descriptor is as wished (or broken), or the deadline has come; may return early.
pub(super) fn poll_one(fd: BorrowedFd<'_>, until: Until, deadline: Deadline) -> io::Result<bool> {
    let events = match until {
        Until::Readable => libc::POLLIN,
        Until::Writable => libc::POLLOUT,
        #[cfg(all(target_os = "linux", feature = "manager"))]
        Until::Ended => libc::POLLRDHUP,
    };
    let mut polled = [libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }];
    poll_all(&mut polled, deadline)?;
    Ok(polled[0].revents != 0)
}

/// Calls a socket until it need not wait any longer; the call gets the descriptor and the flags that say whether it may wait.
pub(super) fn patiently(
    fd: BorrowedFd<'_>,
    until: Until,
    deadline: Deadline,
    mut call: impl FnMut(libc::c_int, libc::c_int) -> io::Result<usize>,
) -> io::Result<usize> {
    // For ever is what the system does by itself, in one call.
    let flags = if deadline == Deadline::Never { 0 } else { libc::MSG_DONTWAIT };
    loop {
        match call(fd.as_raw_fd(), flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        if deadline == Deadline::Now {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !poll_one(fd, until, deadline)? && deadline.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Sleeps until one of several descriptors is readable (or broken), or the deadline has come; may return early.
#[cfg(target_os = "linux")]
pub(super) fn poll(fds: &[BorrowedFd<'_>], deadline: Deadline, ready: &mut [bool]) -> io::Result<()> {
    let polled = |fd: &BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<libc::pollfd> = fds.iter().map(polled).collect();
    poll_all(&mut polled, deadline)?;
    for (ready, polled) in ready.iter_mut().zip(&polled) {
        *ready = polled.revents != 0;
    }
    Ok(())
}

fn poll_all(polled: &mut [libc::pollfd], deadline: Deadline) -> io::Result<()> {
    let rest_ms = match deadline {
        Deadline::Now => 0,
        // Rounded up: waking early would spin.
        Deadline::At(ns) => {
            ns.saturating_sub(sys::monotonic_ns()).div_ceil(1_000_000).min(i32::MAX as u64) as libc::c_int
        }
        Deadline::Never => -1,
    };
    // SAFETY: (S1) the kernel writes into `polled` only, whose length is passed along.
    match check(unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, rest_ms) }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            polled.iter_mut().for_each(|polled| polled.revents = 0);
            Ok(())
        }
        other => other.map(drop),
    }
}
