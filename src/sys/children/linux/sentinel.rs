//! Processes by descriptor: no later process of the same number is ever meant.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::super::{Ended, Request};
use crate::sys::calls::{check, poll, retry};
use crate::time::Deadline;

/// A process that cannot be mistaken for another, with a descriptor that becomes readable when it ends.
///
/// From [`Process::sentinel`](crate::process::Process::sentinel). On Linux it is a pidfd: use it with `poll`, or with any event loop that takes a
/// descriptor. It is not inherited by other programs, so nobody else keeps it from becoming readable.
#[derive(Debug)]
pub struct Sentinel(OwnedFd);

impl AsFd for Sentinel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Sentinel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Sentinel {
    /// The process that has the number `pid` now.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        // SAFETY: (S1) no pointers are passed; a number that nobody has is answered by ESRCH.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) as libc::c_int })?;
        // SAFETY: (S1) the descriptor is new and nobody else's.
        Ok(Sentinel(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The child `pid`, just started.
    pub(super) fn of_child(pid: u32) -> io::Result<Self> {
        Self::of(pid).map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => io::Error::other("it ended at once, and somebody else took its status"),
            Some(libc::ENOSYS | libc::EPERM) => io::Error::new(
                io::ErrorKind::Unsupported,
                "the system has no process descriptors (pidfd_open)",
            ),
            _ => error,
        })
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        let mut ready = [false];
        poll(&[self.as_fd()], Deadline::Now, &mut ready).is_ok() && ready[0]
    }

    /// Waits for its end; says whether it came.
    pub(crate) fn wait(&self, deadline: Deadline) -> io::Result<bool> {
        let mut ready = [false];
        loop {
            poll(&[self.as_fd()], deadline, &mut ready)?;
            if ready[0] || deadline.is_over() {
                return Ok(ready[0]);
            }
        }
    }

    /// Sends a signal; one that has ended needs none.
    pub(crate) fn ask(&self, request: Request) -> io::Result<()> {
        let signal = match request {
            Request::Terminate => libc::SIGTERM,
            Request::Kill => libc::SIGKILL,
        };
        // SAFETY: (S1) the descriptor is live, and no information is passed along.
        let sent = check(unsafe {
            let none = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, self.as_raw_fd(), signal, none, 0) as libc::c_int
        });
        match sent {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Takes the status of a child that has ended; `None` while it runs.
    pub(crate) fn reap(&self) -> Option<Ended> {
        // SAFETY: (S1) `siginfo_t` is plain C data for which all-zero is a valid value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WEXITED | libc::WNOHANG;
        // SAFETY: (S1) the kernel writes `info` only.
        let found = retry(|| unsafe {
            libc::waitid(libc::P_PIDFD, self.as_raw_fd() as libc::id_t, &mut info, options) as isize
        });
        if found.is_err() {
            // Not a child any more: its status is gone, unless this kernel still tells it.
            return self.has_ended().then(|| self.status_kept().unwrap_or(Ended::Unknown));
        }
        // SAFETY: (S1) after a success these fields hold what the kernel wrote, or zeros.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        match (pid, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(Ended::Code(status)),
            (_, libc::CLD_KILLED | libc::CLD_DUMPED) => Some(Ended::Signal(status)),
            _ => Some(Ended::Unknown),
        }
    }

    /// The status that the kernel keeps for those who have a descriptor (Linux 6.15).
    fn status_kept(&self) -> Option<Ended> {
        /// `struct pidfd_info` of the kernel, first version; `exit_code` is a wait status.
        #[repr(C)]
        #[derive(Default)]
        struct Info {
            mask: u64,
            cgroup: u64,
            numbers: [u32; 3],
            ids: [u32; 8],
            exit_code: i32,
        }
        const EXIT: u64 = 1 << 3;
        // _IOWR(0xFF, 11, struct pidfd_info)
        const GET_INFO: u32 = 3 << 30 | (size_of::<Info>() as u32) << 16 | 0xFF << 8 | 11;
        let mut info = Info { mask: EXIT, ..Info::default() };
        // SAFETY: (S1) the number of the call says how long `info` is; a kernel without it answers by an error.
        check(unsafe { libc::ioctl(self.as_raw_fd(), GET_INFO as _, &raw mut info) }).ok()?;
        (info.mask & EXIT != 0).then(|| {
            if libc::WIFSIGNALED(info.exit_code) {
                Ended::Signal(libc::WTERMSIG(info.exit_code))
            } else {
                Ended::Code(libc::WEXITSTATUS(info.exit_code))
            }
        })
    }
}

/// Interrupts a [`watch`].
#[derive(Debug)]
pub(crate) struct Bell {
    button: UnixStream,
    clapper: UnixStream,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let (button, clapper) = UnixStream::pair()?;
        button.set_nonblocking(true)?;
        clapper.set_nonblocking(true)?;
        Ok(Bell { button, clapper })
    }

    /// Rings; a bell that rings already is left alone.
    pub(crate) fn ring(&self) {
        let _ = (&self.button).write(&[1]);
    }

    fn silence(&self) {
        let mut heard = [0; 64];
        while (&self.clapper).read(&mut heard).is_ok_and(|count| count == heard.len()) {}
    }
}

/// Sleeps until the bell rings or a process ends; tells which have ended.
pub(crate) fn watch(bell: &Bell, processes: &[&Sentinel]) -> Vec<bool> {
    let mut fds = vec![bell.clapper.as_fd()];
    fds.extend(processes.iter().map(|process| process.as_fd()));
    let mut ready = vec![false; fds.len()];
    if poll(&fds, Deadline::Never, &mut ready).is_err() {
        // No memory for the call: looked at again in a while, one by one.
        std::thread::sleep(Duration::from_millis(10));
        return processes.iter().map(|process| process.has_ended()).collect();
    }
    if ready.remove(0) {
        bell.silence();
    }
    ready
}
