//! Processes made by fork, each sending one result back through a pipe.

use std::fs::File;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, not_negative};
use crate::shared::Shared;

/// A forked child that was asked for one `T`. Dropping it before it was heard kills it.
pub struct Child<T> {
    pid: libc::pid_t,
    group: bool,
    reaped: bool,
    result: File,
    heard: Vec<u8>,
    sends: PhantomData<fn() -> T>,
}

/// Runs `work` in a process of its own, in a process group of its own, and returns what it returned.
///
/// # Errors
/// What `work` returned, [`Failure::Hung`] after `limit` (the whole group is killed), [`Failure::Died`] when the
/// process ended without a word.
pub fn isolated<T: Serialize + DeserializeOwned>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut results = join_all(vec![Child::fork(true, work)?], limit)?;
    results.pop().ok_or(Failure::Died { status: 0 })
}

/// Forks a worker of the calling batch; it stays in the batch's process group.
///
/// # Errors
/// [`Failure::Os`] when the process cannot be made.
pub fn worker<T: Serialize>(work: impl FnOnce() -> Result<T, Failure>) -> Result<Child<T>, Failure> {
    Child::fork(false, work)
}

/// Waits for all children, and returns their results in order.
///
/// # Errors
/// The first failure any of them reports, at once: the others are killed then. [`Failure::Hung`] after `limit`.
pub fn join_all<T: DeserializeOwned>(
    mut children: Vec<Child<T>>,
    limit: Duration,
) -> Result<Vec<T>, Failure> {
    let deadline = Instant::now() + limit;
    let mut results: Vec<Option<T>> = children.iter().map(|_| None).collect();
    while results.iter().any(Option::is_none) {
        let waiting: Vec<usize> = (0..results.len()).filter(|&i| results[i].is_none()).collect();
        let ready = readable(waiting.iter().map(|&i| children[i].result.as_raw_fd()), deadline)?;
        if ready.is_empty() {
            return Err(Failure::Hung(limit));
        }
        for i in ready.into_iter().map(|nth| waiting[nth]) {
            results[i] = children[i].hear()?;
        }
    }
    Ok(results.into_iter().flatten().collect())
}

impl<T> Child<T> {
    fn fork(group: bool, work: impl FnOnce() -> Result<T, Failure>) -> Result<Self, Failure>
    where
        T: Serialize,
    {
        let (reader, writer) = pipe()?;
        let parent = std::process::id();
        // SAFETY: the measuring process and every batch process that forks run no other thread at that moment, so the
        // child finds no lock held by a thread it does not have.
        let pid = not_negative("fork", unsafe { libc::fork() })?;
        if pid == 0 {
            drop(reader);
            become_child(group, parent);
            speak(writer, work);
        }
        if group {
            // From both sides, so that the group exists before either goes on.
            // SAFETY: moves this process's own child, which has not run another program.
            unsafe { libc::setpgid(pid, pid) };
        }
        Ok(Self { pid, group, reaped: false, result: reader.into(), heard: Vec::new(), sends: PhantomData })
    }

    /// Reads what has arrived; the result once the child has closed its end.
    fn hear(&mut self) -> Result<Option<T>, Failure>
    where
        T: DeserializeOwned,
    {
        let mut piece = [0; 4096];
        let count = self.result.read(&mut piece).map_err(|error| Failure::contender("read result", error))?;
        self.heard.extend_from_slice(&piece[..count]);
        if count > 0 {
            return Ok(None);
        }
        let status = self.reap();
        let sent = serde_json::from_slice::<Result<T, Failure>>(&self.heard);
        sent.map_err(|_| Failure::Died { status })?.map(Some)
    }

    fn reap(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: `pid` is a child of this process that nobody else reaps, and `status` is writable.
        unsafe { libc::waitpid(self.pid, &mut status, 0) };
        self.reaped = true;
        status
    }
}

impl<T> Drop for Child<T> {
    fn drop(&mut self) {
        if !self.reaped {
            let target = if self.group { -self.pid } else { self.pid };
            // SAFETY: an unreaped child's pid, and the group it leads, cannot have been reused.
            unsafe { libc::kill(target, libc::SIGKILL) };
            self.reap();
        }
    }
}

fn become_child(group: bool, parent: u32) {
    if group {
        // SAFETY: moves the calling process alone into a new group.
        unsafe { libc::setpgid(0, 0) };
    }
    // SAFETY: asks for SIGKILL when the parent ends; touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: no preconditions.
    if unsafe { libc::getppid() } as u32 != parent {
        // The parent ended before the request: nobody is left to hear a result.
        // SAFETY: ends the process without running what was inherited from the parent.
        unsafe { libc::_exit(1) };
    }
}

/// Sends what `work` returns, and ends the process without running anything inherited from the parent.
fn speak<T: Serialize>(writer: OwnedFd, work: impl FnOnce() -> Result<T, Failure>) -> ! {
    let sent = serde_json::to_vec(&caught(work))
        .map_err(std::io::Error::from)
        .and_then(|bytes| File::from(writer).write_all(&bytes));
    // SAFETY: ends the process; open files are the kernel's to close.
    unsafe { libc::_exit(i32::from(sent.is_err())) }
}

/// Runs `work` and turns a panic into a failure.
///
/// # Errors
/// What `work` returns, or the panic's message.
pub fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
        Err(Failure::contender("panic", text))
    })
}

/// A pipe whose ends are closed on exec.
///
/// # Errors
/// [`Failure::Os`] when no descriptors are left.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    not_negative("pipe2", unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both descriptors were just made and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Positions of the descriptors that can be read (or are closed at the other end); none at the deadline.
fn readable(fds: impl Iterator<Item = i32>, deadline: Instant) -> Result<Vec<usize>, Failure> {
    let mut asked: Vec<libc::pollfd> =
        fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `asked` is a writable array of that many entries.
        let count = unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, millis) };
        match not_negative("poll", count) {
            Err(Failure::Os { errno: libc::EINTR, .. }) => {}
            Err(other) => return Err(other),
            Ok(_) => return Ok((0..asked.len()).filter(|&i| asked[i].revents != 0).collect()),
        }
    }
}

/// Where workers meet so that all begin together.
pub struct StartLine {
    arrived: Shared<AtomicU32>,
    parties: u32,
}

impl StartLine {
    /// A line for `parties` workers, threads or forked processes.
    ///
    /// # Errors
    /// [`Failure::Os`] when its page cannot be mapped.
    pub fn new(parties: usize) -> Result<Self, Failure> {
        Ok(Self { arrived: Shared::new(AtomicU32::new(0))?, parties: parties as u32 })
    }

    /// Returns once every worker has called this.
    pub fn wait(&self) {
        // AcqRel and Acquire: what a worker wrote while warming up is visible to all after the line.
        self.arrived.fetch_add(1, Ordering::AcqRel);
        while self.arrived.load(Ordering::Acquire) < self.parties {
            std::thread::yield_now();
        }
    }
}
