//! The few process calls this crate needs.

use crate::symbol::Trail;
use std::time::{Duration, Instant};

/// Sends a signal; a process that is gone is no error.
pub(crate) fn kill(pid: libc::pid_t, signal: i32) {
    // SAFETY: kill has no memory effects; the pid is a child of ours that was not reaped.
    unsafe { libc::kill(pid, signal) };
}

/// `waitpid` for one child, repeated on EINTR; None if nothing is to be reported.
pub(crate) fn wait_for(pid: libc::pid_t, flags: i32) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: status is a valid place for the result.
        let got = unsafe { libc::waitpid(pid, &mut status, flags) };
        if got == pid {
            return Some(status);
        }
        let interrupted =
            got < 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted;
        if !interrupted {
            return None;
        }
    }
}

/// Waits until the child has ended, at most `limit`; reaps it.
pub(crate) fn wait_exit(pid: libc::pid_t, limit: Duration) -> Option<i32> {
    let deadline = Instant::now() + limit;
    #[cfg(target_os = "linux")]
    if let Some(fd) = pidfd(pid) {
        wait_readable(&fd, deadline);
        return wait_for(pid, libc::WNOHANG);
    }
    poll_until(deadline, || wait_for(pid, libc::WNOHANG))
}

/// Asks `ready` again and again, yielding first and then in short naps, until it answers or the deadline passes.
pub(crate) fn poll_until<T>(deadline: Instant, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let mut round = 0;
    loop {
        if let Some(found) = ready() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        if round < 50 {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Duration::from_micros(50));
        }
        round += 1;
    }
}

#[cfg(target_os = "linux")]
fn pidfd(pid: libc::pid_t) -> Option<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: pidfd_open takes two integers and returns a descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: a non-negative result is a fresh descriptor that nobody else owns.
    (fd >= 0).then(|| unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(target_os = "linux")]
fn wait_readable(fd: &std::os::fd::OwnedFd, deadline: Instant) {
    use std::os::fd::AsRawFd as _;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = left.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32;
        // SAFETY: one valid pollfd.
        let got = unsafe { libc::poll(&mut entry, 1, millis) };
        if got > 0 || left.is_zero() {
            return;
        }
    }
}

/// Called in a child: it ends when the thread that forked it ends, and leaves no core file.
pub(crate) fn die_with_parent(parent: libc::pid_t) {
    #[cfg(target_os = "linux")]
    // SAFETY: prctl with integers only.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
    // SAFETY: getppid has no precondition.
    if unsafe { libc::getppid() } != parent {
        crate::child::exit_now(0);
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid rlimit to read.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}

/// State letter of a process as /proc shows it: 'R' runs, 'S' sleeps, 'T' and 't' are stopped.
#[cfg(target_os = "linux")]
pub(crate) fn state(pid: libc::pid_t) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The number of the system call that a sleeping process is in.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn call_number(pid: libc::pid_t) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    line.split_whitespace().next()?.parse().ok()
}

/// Tells where a child is that misses its deadline; best effort. A running one is stopped, a sleeping one sleeps on.
pub(crate) fn whereabouts(pid: libc::pid_t) -> (String, Trail) {
    #[cfg(target_os = "linux")]
    {
        let look = || std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        let mut line = look();
        let call = match line.split_whitespace().next() {
            None | Some("running") => "running".to_owned(),
            Some(number) => format!("in system call {number}"),
        };
        if call == "running" {
            kill(pid, libc::SIGSTOP);
            let deadline = Instant::now() + Duration::from_secs(1);
            poll_until(deadline, || state(pid).filter(|s| matches!(s, 'T' | 't' | 'Z')));
            line = look();
        }
        // The last two words are stack pointer and instruction pointer.
        let mut words = line.split_whitespace().rev();
        let mut hex =
            || u64::from_str_radix(words.next().unwrap_or("").trim_start_matches("0x"), 16).unwrap_or(0);
        let (pc, sp) = (hex(), hex());
        (call, Trail::collect(pid, pc, sp))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        ("state unknown".to_owned(), Trail::default())
    }
}
