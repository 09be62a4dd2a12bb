//! The kernel's answer to "is this participant gone?": one locked byte that lives exactly as long as an address space.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::file::{open_regular, page_of};
use super::survey::held_ranges;
use super::{SEAT_BASE, check, ofd_lock};
use crate::sys::{Access, FileId, Held};

/// A byte of a registry file, write-locked through an open file description that only a mapping keeps alive.
///
/// The mapping is marked `MADV_DONTFORK` and the descriptor is closed, so that neither a forked child keeps a dead holder
/// "alive" nor closing all descriptors makes a living process look dead.
pub(crate) struct Seat {
    page: *mut libc::c_void,
    slot: u32,
}

// SAFETY: (S3) the page is never read or written; it is only kept mapped.
unsafe impl Send for Seat {}
// SAFETY: (S3) as above.
unsafe impl Sync for Seat {}

impl Seat {
    /// Locks the first free byte among `slots` of the registry file at `path`; `None` when all are taken.
    ///
    /// The caller holds the process lock: a descriptor open at the moment of a fork would tie the lock to the child.
    /// Fails with `NotFound` when the path no longer names `expected`.
    pub(crate) fn take(
        path: &Path,
        expected: FileId,
        slots: impl Iterator<Item = u32>,
    ) -> io::Result<Option<Self>> {
        let fd = open_registry(path, Access::ReadWrite, expected)?;
        for slot in slots {
            match ofd_lock(fd.as_raw_fd(), libc::F_OFD_SETLK, libc::F_WRLCK, SEAT_BASE + i64::from(slot), 1) {
                Ok(_) => return Ok(Some(Seat { page: Self::keep_alive(&fd)?, slot })),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Maps one page, so that the description outlives its descriptor.
    fn keep_alive(fd: &OwnedFd) -> io::Result<*mut libc::c_void> {
        // A raw mapping and not `memmap2`: it is never accessed, and a forked child must be able to forget it.
        let page = page_of(fd)?;
        // SAFETY: (S1) the advice concerns exactly the page mapped above.
        check(unsafe { libc::madvise(page, 4096, libc::MADV_DONTFORK) }).inspect_err(|_| {
            // SAFETY: (S3) mapped above and known to nobody else.
            unsafe { libc::munmap(page, 4096) };
        })?;
        Ok(page)
    }

    /// The locked slot.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// Forgets a seat of the process that this one was forked from: the page is not mapped here.
    pub(crate) fn disown(self) {
        std::mem::forget(self);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // SAFETY: (S3) the page was mapped by this process (a forked child disowns seats instead of dropping them).
        unsafe { libc::munmap(self.page, 4096) };
    }
}

/// A descriptor through which bytes are probed without ever being locked: the right to read the file is enough.
pub(crate) struct Prober {
    path: CString,
    fd: std::sync::atomic::AtomicI32,
    expected: FileId,
}

impl Prober {
    /// A prober of the registry file at `path`.
    pub(crate) fn new(path: &Path, expected: FileId) -> io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let fd = open_registry(path, Access::ReadOnly, expected)?;
        let path = CString::new(path.as_os_str().as_bytes())?;
        Ok(Prober { path, fd: std::os::fd::IntoRawFd::into_raw_fd(fd).into(), expected })
    }

    /// Whether somebody else's description (any description but the prober's own, which locks nothing) holds `slot`'s byte.
    pub(crate) fn probe(&self, slot: u32) -> io::Result<Held> {
        // Relaxed: the number alone matters; a stale one is caught by the caller's self-test.
        let fd = self.fd.load(std::sync::atomic::Ordering::Relaxed);
        let found = ofd_lock(fd, libc::F_OFD_GETLK, libc::F_WRLCK, SEAT_BASE + i64::from(slot), 1)?;
        Ok(if i32::from(found.l_type) == libc::F_UNLCK { Held::No } else { Held::Yes })
    }

    /// The slots that are held now, in order.
    pub(crate) fn held(&self, capacity: u32) -> io::Result<Vec<u32>> {
        let fd = self.fd.load(std::sync::atomic::Ordering::Relaxed);
        let mut held = Vec::new();
        held_ranges(fd, SEAT_BASE, i64::from(capacity), |first, end| {
            held.extend((first..end).filter_map(|slot| u32::try_from(slot).ok()));
        })?;
        held.sort_unstable();
        Ok(held)
    }

    /// Whether the descriptor still leads to the registry.
    pub(crate) fn leads_to_registry(&self) -> bool {
        id_of(self.fd.load(std::sync::atomic::Ordering::Relaxed)).is_ok_and(|found| found == self.expected)
    }

    /// Makes sure that the descriptor leads to the registry; opens it again if it does not.
    ///
    /// A program may close every descriptor it has, and the number may name another file by then: that one is not ours to
    /// close, so the old number is simply dropped.
    pub(crate) fn restore(&self) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt;
        if self.leads_to_registry() {
            return Ok(());
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(self.path.as_bytes()));
        let fd = std::os::fd::IntoRawFd::into_raw_fd(open_registry(path, Access::ReadOnly, self.expected)?);
        self.fd.store(fd, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let fd = *self.fd.get_mut();
        if id_of(fd).is_ok_and(|found| found == self.expected) {
            // SAFETY: (S1) the number still names the registry, which only this prober opened under that number.
            unsafe { libc::close(fd) };
        }
    }
}

/// Opens the registry at `path` and checks that it still is the file that was mapped.
fn open_registry(path: &Path, access: Access, expected: FileId) -> io::Result<OwnedFd> {
    let fd = open_regular(path, access)?;
    if id_of(fd.as_raw_fd())? == expected {
        Ok(fd)
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "the registry was replaced while it was in use"))
    }
}

/// Device and inode behind a descriptor.
pub(super) fn id_of(fd: libc::c_int) -> io::Result<FileId> {
    Ok(id_in(&super::file::stat_fd(fd)?))
}

/// Device and inode in what `stat_fd` found.
pub(super) fn id_in(found: &libc::stat) -> FileId {
    FileId { device: found.st_dev, inode: found.st_ino }
}

/// Whether a lock call failed because somebody else holds the byte.
pub(super) fn is_conflict(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES))
}
