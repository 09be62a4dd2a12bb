//! Who holds which bytes of a file, asked without holding any: for inspection, and for lists of the living.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::file::open_regular;
use super::{ATTACH_BASE, ATTACH_LEN, ofd_lock};
use crate::sys::Access;

/// The ids attached to `directory/name`, as the kernel knows them, in order; 0 stands for readers without an id.
pub(crate) fn attached(directory: &Path, name: &OsStr) -> io::Result<Vec<u32>> {
    let fd = open_regular(&directory.join(name), Access::ReadOnly)?;
    let mut ids = Vec::new();
    held_ranges(fd.as_raw_fd(), ATTACH_BASE, ATTACH_LEN, |first, end| {
        // Whoever removes the file holds the whole range for a moment: that is nobody's attachment.
        if end - first == 1 {
            ids.push(u32::try_from(first).unwrap_or(0));
        }
    })?;
    ids.sort_unstable();
    Ok(ids)
}

/// Calls `found` with each locked range among the `len` bytes from `base` on, relative to `base`, in no order.
///
/// The kernel answers a question about a range with some lock that overlaps it, not with the first one by position, so
/// each answer splits what is left to ask.
pub(super) fn held_ranges(
    fd: libc::c_int,
    base: i64,
    len: i64,
    mut found: impl FnMut(i64, i64),
) -> io::Result<()> {
    let mut left = vec![(0, len)];
    while let Some((start, end)) = left.pop() {
        if start >= end {
            continue;
        }
        let lock = ofd_lock(fd, libc::F_OFD_GETLK, libc::F_WRLCK, base + start, end - start)?;
        if i32::from(lock.l_type) == libc::F_UNLCK {
            continue;
        }
        let first = (lock.l_start - base).clamp(start, end - 1);
        // Length 0 means up to the end of the file, wherever that is.
        let last = if lock.l_len <= 0 { end } else { lock.l_start.saturating_add(lock.l_len) - base };
        let last = last.clamp(first + 1, end);
        found(first, last);
        left.push((start, first));
        left.push((last, end));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_whatever_order_they_were_locked_in() {
        let path = std::env::temp_dir().join(format!("procshare-survey-{}", std::process::id()));
        std::fs::write(&path, b"x").unwrap();
        let open = || std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let locked = [9, 2, 5, 0].map(|byte| {
            let file = open();
            ofd_lock(file.as_raw_fd(), libc::F_OFD_SETLK, libc::F_WRLCK, 100 + byte, 1).unwrap();
            file
        });
        let mut found = Vec::new();
        held_ranges(open().as_raw_fd(), 100, 10, |first, end| found.push((first, end))).unwrap();
        found.sort_unstable();
        assert_eq!(found, [(0, 1), (2, 3), (5, 6), (9, 10)]);
        drop(locked);
        std::fs::remove_file(&path).unwrap();
    }
}
