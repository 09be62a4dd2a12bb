//! What starter and started have in common: a nameless file, and a socket.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use super::super::{Greeting, Input};
use super::sentinel::Sentinel;
use crate::sys::calls::{check, poll};
use crate::sys::handover;
use crate::sys::sockets::peer;
use crate::time::Deadline;

/// What a line begins with.
const MARK: &[u8; 16] = b"procshare task 1";
/// How long somebody may take to say a sentence that was begun.
const SENTENCE: Duration = Duration::from_secs(5);
/// No sentence is longer.
const LONGEST: u64 = 64 * 1024;

/// A nameless file that starter and started both have.
#[derive(Debug)]
pub(crate) struct Paper {
    file: File,
    /// Device and number of the file, to know it again.
    identity: (u64, u64),
}

impl Paper {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: (S1) the name is a live C string.
        let fd = check(unsafe { libc::memfd_create(c"procshare-task".as_ptr(), libc::MFD_CLOEXEC) })?;
        // SAFETY: (S1) the descriptor is new and nobody else's.
        Self::of(unsafe { File::from_raw_fd(fd) })
    }

    fn of(file: File) -> io::Result<Self> {
        Ok(Paper { identity: identity(&file)?, file })
    }

    /// Writes, unless somebody has closed the descriptor: it may be that of another file now.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if identity(&self.file)? != self.identity {
            return Err(io::Error::other("its descriptor was closed and given to another file"));
        }
        self.file.write_all_at(bytes, at)
    }

    pub(crate) fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        // What it says of lengths is not believed before the file is found to be that long.
        if at.checked_add(len as u64).is_none_or(|end| end > self.len().unwrap_or(0)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let known = file.metadata()?;
    Ok((known.dev(), known.ino()))
}

/// A socket between starter and started.
#[derive(Debug)]
pub(crate) struct Line(UnixStream);

impl Line {
    /// The starter's end, and the other one.
    pub(crate) fn pair() -> io::Result<(Line, Line)> {
        let (mine, theirs) = UnixStream::pair()?;
        Ok((Line(mine), Line(theirs)))
    }

    /// As what a started process finds as its standard input.
    pub(super) fn into_input(self) -> Stdio {
        Stdio::from(OwnedFd::from(self.0))
    }

    /// Puts it in place of this process's own standard input: for proofs, in which a forked process acts the started one.
    pub(crate) fn take_the_place_of_input(&self) {
        // SAFETY: (S1) both descriptors are live, or the second is closed.
        unsafe { libc::dup2(self.0.as_raw_fd(), 0) };
    }

    /// What the end of the process that has this end does, whoever else has its descriptor.
    pub(crate) fn hang_up(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// The line that came as standard input, if one did.
    pub(super) fn inherited() -> Option<(Line, Paper, Option<File>, u32)> {
        let mut mark = [0u8; MARK.len()];
        // SAFETY: (S1) the kernel writes at most `mark.len()` bytes; a standard input that is no socket is answered by ENOTSOCK.
        let seen = unsafe {
            libc::recv(0, mark.as_mut_ptr().cast(), mark.len(), libc::MSG_PEEK | libc::MSG_DONTWAIT)
        };
        if seen != mark.len() as isize || mark != *MARK {
            return None;
        }
        // SAFETY: (S1) no pointers are passed.
        let fd = check(unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3) }).ok()?;
        // SAFETY: (S1) the descriptor is new and nobody else's.
        let line = Line(unsafe { UnixStream::from_raw_fd(fd) });
        let starter = peer::credentials(line.0.as_fd()).ok()?;
        if starter.uid != peer::own_uid() {
            return None;
        }
        let mut fds = line.take_descriptors().ok()?.into_iter().map(File::from);
        let paper = Paper::of(fds.next()?).ok()?;
        Some((line, paper, fds.next(), starter.pid as u32))
    }

    /// Sends the mark, the paper and the standard input.
    pub(crate) fn hand_over(&self, paper: &Paper, input: Input) -> io::Result<()> {
        let input = match input {
            Input::Null => None,
            Input::Is(file) => Some(file),
        };
        let fds: Vec<_> =
            [Some(&paper.file), input.as_ref()].into_iter().flatten().map(AsFd::as_fd).collect();
        handover::send(self.0.as_fd(), MARK, &fds, Deadline::Never).map(drop)
    }

    /// Takes the mark, and the descriptors that came with it.
    fn take_descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        Ok(handover::receive(self.0.as_fd(), &mut [0; MARK.len()], Deadline::Never)?.1)
    }

    /// Gives the word to begin.
    pub(crate) fn let_go(&self) -> io::Result<()> {
        match (&self.0).write_all(&[1]) {
            // It ended already; how, its sentinel tells.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Waits for the word to begin; `false` if the starter is gone.
    pub(crate) fn may_go(&mut self) -> bool {
        self.0.read_exact(&mut [0]).is_ok()
    }

    /// Says the first sentence; who does not listen any more is gone.
    pub(crate) fn say(&mut self, text: &[u8]) {
        let _ = self.0.write_all(text);
        self.hang_up();
    }

    /// Waits for the first sentence.
    pub(crate) fn listen(&self, speaker: &Sentinel, deadline: Deadline) -> io::Result<Greeting> {
        let mut ready = [false; 2];
        while !ready[0] {
            poll(&[self.0.as_fd(), speaker.as_fd()], deadline, &mut ready)?;
            if !ready[0] && !ready[1] && deadline.is_over() {
                return Ok(Greeting::Late);
            }
            if ready[1] && !ready[0] {
                // Said before it ended, perhaps: asked once more, now that nothing can come any more.
                poll(&[self.0.as_fd()], Deadline::Now, &mut ready[..1])?;
                break;
            }
        }
        self.0.set_read_timeout(Some(SENTENCE))?;
        let mut text = Vec::new();
        match (&self.0).take(LONGEST).read_to_end(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Greeting::Late),
            // It was killed with unread bytes on its side.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => {
                other?;
            }
        }
        Ok(if text.is_empty() { Greeting::Ended } else { Greeting::Said(text) })
    }
}
