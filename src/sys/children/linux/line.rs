//! What starter and started have in common: a nameless file, and a socket.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use super::super::{Greeting, Input};
use super::sentinel::Sentinel;
use crate::sys::calls::{check, poll, retry};
use crate::sys::sockets::peer;
use crate::time::Deadline;

/// What a line begins with.
const MARK: &[u8; 16] = b"procshare task 1";
/// The descriptors that come with it, at most.
const MOST: usize = 2;
/// How long somebody may take to say a sentence that was begun.
const SENTENCE: Duration = Duration::from_secs(5);
/// No sentence is longer.
const LONGEST: u64 = 64 * 1024;

/// A nameless file that starter and started both have.
#[derive(Debug)]
pub(crate) struct Paper(File);

impl Paper {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: (S1) the name is a live C string.
        let fd = check(unsafe { libc::memfd_create(c"procshare-task".as_ptr(), libc::MFD_CLOEXEC) })?;
        // SAFETY: (S1) the descriptor is new and nobody else's.
        Ok(Paper(unsafe { File::from_raw_fd(fd) }))
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    pub(crate) fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        // What it says of lengths is not believed before the file is found to be that long.
        if at.checked_add(len as u64).is_none_or(|end| end > self.len().unwrap_or(0)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; len];
        self.0.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// A socket between starter and started.
#[derive(Debug)]
pub(crate) struct Line(UnixStream);

impl Line {
    pub(super) fn pair() -> io::Result<(Line, Stdio)> {
        let (mine, theirs) = UnixStream::pair()?;
        Ok((Line(mine), Stdio::from(OwnedFd::from(theirs))))
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
        let paper = Paper(fds.next()?);
        Some((line, paper, fds.next(), starter.pid as u32))
    }

    /// Sends the mark, the paper and the standard input.
    pub(super) fn hand_over(&self, paper: &Paper, input: Input) -> io::Result<()> {
        let input = match input {
            Input::Null => None,
            Input::Is(file) => Some(file),
        };
        let fds: Vec<libc::c_int> =
            [Some(&paper.0), input.as_ref()].into_iter().flatten().map(AsRawFd::as_raw_fd).collect();
        let mut mark = *MARK;
        let mut part = libc::iovec { iov_base: mark.as_mut_ptr().cast(), iov_len: mark.len() };
        let mut room = Room([0; 64]);
        let mut message = room.message(&mut part);
        let bytes = size_of_val(&fds[..]);
        // SAFETY: (S1) CMSG_SPACE computes; the room is large enough for `MOST` descriptors, and there are no more.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(bytes as u32) } as _;
        // SAFETY: (S1) the message's control bytes lie in `room`, which has place for this header and `bytes` behind it.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(bytes as u32) as _;
            std::ptr::copy_nonoverlapping(fds.as_ptr().cast(), libc::CMSG_DATA(header), bytes);
        }
        // SAFETY: (S1) all that `message` points to lives for the call.
        retry(|| unsafe { libc::sendmsg(self.0.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })?;
        Ok(())
    }

    /// Takes the mark, and the descriptors that came with it.
    fn take_descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let mut mark = [0u8; MARK.len()];
        let mut part = libc::iovec { iov_base: mark.as_mut_ptr().cast(), iov_len: mark.len() };
        let mut room = Room([0; 64]);
        let mut message = room.message(&mut part);
        // SAFETY: (S1) all that `message` points to lives for the call and is as long as it says.
        retry(|| unsafe { libc::recvmsg(self.0.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) })?;
        let mut found = Vec::new();
        // SAFETY: (S1) the kernel filled the control bytes: the macros walk what it wrote; each descriptor is new and taken once.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            if !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let fds = libc::CMSG_DATA(header).cast::<libc::c_int>();
                for index in 0..bytes / size_of::<libc::c_int>() {
                    found.push(OwnedFd::from_raw_fd(fds.add(index).read_unaligned()));
                }
            }
        }
        Ok(found)
    }

    /// Gives the word to begin.
    pub(super) fn let_go(&self) -> io::Result<()> {
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
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Waits for the first sentence.
    pub(crate) fn listen(&mut self, speaker: &Sentinel, deadline: Deadline) -> io::Result<Greeting> {
        let mut ready = [false; 2];
        while !ready[0] {
            if deadline.is_over() {
                return Ok(Greeting::Late);
            }
            poll(&[self.0.as_fd(), speaker.as_fd()], deadline, &mut ready)?;
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

/// Place for the control bytes of a message, aligned as their header must be.
#[repr(align(8))]
struct Room([u8; 64]);

impl Room {
    fn message(&mut self, part: &mut libc::iovec) -> libc::msghdr {
        const {
            // A header, and the descriptors padded to its alignment.
            assert!(size_of::<libc::cmsghdr>() + MOST * size_of::<libc::c_int>() + 16 <= 64);
        }
        // SAFETY: (S1) `msghdr` is plain C data for which all-zero is a valid value.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = part;
        message.msg_iovlen = 1;
        message.msg_control = self.0.as_mut_ptr().cast();
        message.msg_controllen = self.0.len() as _;
        message
    }
}
