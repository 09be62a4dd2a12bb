//! Descriptors that travel over a Unix socket beside bytes.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::sys::calls::{Until, patiently, retry};
use crate::time::Deadline;

/// The descriptors that come with one message, at most.
pub(super) const MOST: usize = 2;

/// Sends `bytes`, and with the first of them `descriptors`, at most [`MOST`]; tells how many bytes were sent.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    deadline: Deadline,
) -> io::Result<usize> {
    assert!(descriptors.len() <= MOST, "the room is for {MOST} descriptors");
    let fds: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    // The kernel only reads them.
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut room = Room([0; 64]);
    let mut message = room.message(&mut part);
    let len = size_of_val(&fds[..]);
    // SAFETY: (S1) CMSG_SPACE computes; the room is large enough for `MOST` descriptors, and there are no more.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(len as u32) } as _;
    // SAFETY: (S1) the message's control bytes lie in `room`, which has place for this header and `len` bytes behind it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(len as u32) as _;
        std::ptr::copy_nonoverlapping(fds.as_ptr().cast(), libc::CMSG_DATA(header), len);
    }
    patiently(socket, Until::Writable, deadline, |fd, flags| {
        // SAFETY: (S1) all that `message` points to lives for the call.
        retry(|| unsafe { libc::sendmsg(fd, &message, flags | libc::MSG_NOSIGNAL) })
    })
}

/// Takes what has come, at most `bytes.len()`: how many bytes, and the descriptors that came with them.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    deadline: Deadline,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut room = Room([0; 64]);
    let mut message = room.message(&mut part);
    let len = patiently(socket, Until::Readable, deadline, |fd, flags| {
        // SAFETY: (S1) all that `message` points to lives for the call and is as long as it says.
        retry(|| unsafe { libc::recvmsg(fd, &mut message, flags | libc::MSG_CMSG_CLOEXEC) })
    })?;
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
    Ok((len, found))
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
