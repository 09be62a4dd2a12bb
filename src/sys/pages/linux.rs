//! Linux: `memfd_create`, sealed, so that no other process can take pages away from under a mapping.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use crate::sys::calls::{Until, check, poll_one};
use crate::sys::handover;
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// What the maker takes away for ever, from itself as well.
const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// Mapped pages; dropping unmaps them.
#[derive(Debug)]
pub(crate) struct Pages {
    first: NonNull<u8>,
    len: usize,
}

// SAFETY: (S19) an address and a length; whoever uses the bytes goes through views that tolerate races.
unsafe impl Send for Pages {}
// SAFETY: (S19) as above.
unsafe impl Sync for Pages {}

impl Pages {
    pub(crate) fn new(len: usize) -> io::Result<(Self, OwnedFd)> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: (S1) the name is a live C string.
        let fd = check(unsafe { libc::memfd_create(c"procshare-rings".as_ptr(), flags) })?;
        // SAFETY: (S1) the descriptor is new and nobody else's.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = libc::off_t::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // Backed now, so that a lack of memory is an error here and no signal later.
        // SAFETY: (S1) no pointers; the call returns the error number itself.
        match unsafe { libc::posix_fallocate(fd, 0, size) } {
            0 => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
        // SAFETY: (S1) no pointers.
        check(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, SEALS) })?;
        Ok((Pages::map(&file, len)?, file))
    }

    pub(crate) fn of(file: &OwnedFd, len: usize) -> io::Result<Self> {
        let fd = file.as_raw_fd();
        // SAFETY: (S1) no pointers; what is no memory file is answered by EINVAL.
        let seals = check(unsafe { libc::fcntl(fd, libc::F_GET_SEALS) })?;
        let bad = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        if seals & (libc::F_SEAL_SHRINK | libc::F_SEAL_GROW) != libc::F_SEAL_SHRINK | libc::F_SEAL_GROW {
            return Err(bad("pages whose number may change"));
        }
        // SAFETY: (S1) `stat` is plain C data for which all-zero is a valid value.
        let mut found: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: (S1) `found` is a valid destination.
        check(unsafe { libc::fstat(fd, &mut found) })?;
        if u64::try_from(found.st_size) != Ok(len as u64) || len == 0 {
            return Err(bad("pages of another size than was told"));
        }
        Pages::map(file, len)
    }

    fn map(file: &OwnedFd, len: usize) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: (S1) a new mapping at an address of the kernel's choice touches nothing that exists.
        let first =
            unsafe { libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if first == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(first.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Pages { first, len })
    }

    /// The first byte, at the beginning of a page.
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.first
    }

    /// Bytes, all of them mapped for reading and writing.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: (S1) the range was mapped by `map`, and nobody uses it any more: views keep the pages.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.len) };
    }
}

pub(crate) fn send(stream: &Stream, bytes: &[u8], file: &OwnedFd, deadline: Deadline) -> io::Result<usize> {
    handover::send(stream.as_fd(), bytes, &[file.as_fd()], deadline)
}

pub(crate) fn receive(
    stream: &Stream,
    bytes: &mut [u8],
    deadline: Deadline,
) -> io::Result<(usize, Option<OwnedFd>)> {
    let (len, files) = handover::receive(stream.as_fd(), bytes, deadline)?;
    Ok((len, files.into_iter().next()))
}

pub(crate) fn has_ended(stream: &Stream, deadline: Deadline) -> io::Result<bool> {
    poll_one(stream.as_fd(), Until::Ended, deadline)
}
