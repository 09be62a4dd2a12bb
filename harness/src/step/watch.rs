//! Shared memory whose changes are events.

use crate::Page;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A stretch of shared memory that the harness compares after each step.
///
/// Name every byte that survivors read, and little more: the comparison is paid at each step (about 0.1 µs for 4 KiB).
#[derive(Debug)]
pub struct Region<'a> {
    start: *const u8,
    len: usize,
    /// A mapping of our own is unmapped on drop.
    mapped: bool,
    life: PhantomData<&'a ()>,
}

impl<'a> Region<'a> {
    /// Watches `len` bytes from `start`.
    ///
    /// # Safety
    ///
    /// The bytes stay mapped readable in the calling process while the region is in use, that is until the death that
    /// it is watched for. Others may write them at any time.
    pub unsafe fn raw(start: *const u8, len: usize) -> Region<'a> {
        Region { start, len, mapped: false, life: PhantomData }
    }

    /// Maps a whole file, read-only, for the time of the watch: for instance a segment's file.
    ///
    /// The file may be unlinked or replaced meanwhile, but must not be truncated: reading past its end is a SIGBUS.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or mapped.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Region<'static>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len() as usize;
        if len == 0 {
            return Ok(Region { start: NonNull::dangling().as_ptr(), len, mapped: false, life: PhantomData });
        }
        // SAFETY: a new mapping at an address the kernel chooses; nothing existing is touched.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Region { start: start.cast(), len, mapped: true, life: PhantomData })
    }

    /// Watches every regular file directly inside `dir`.
    ///
    /// # Errors
    ///
    /// If the directory cannot be listed or a file cannot be mapped.
    pub fn files_in(dir: impl AsRef<Path>) -> io::Result<Vec<Region<'static>>> {
        let mut regions = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                regions.push(Region::file(entry.path())?);
            }
        }
        Ok(regions)
    }

    /// The size in bytes.
    pub fn size(&self) -> usize {
        self.len
    }
}

impl<'a> From<&'a Page> for Region<'a> {
    fn from(page: &'a Page) -> Self {
        Region::from(page.u64s())
    }
}

impl<'a> From<&'a [AtomicU64]> for Region<'a> {
    fn from(words: &'a [AtomicU64]) -> Self {
        Region { start: words.as_ptr().cast(), len: size_of_val(words), mapped: false, life: PhantomData }
    }
}

impl<'a> From<&'a [AtomicU32]> for Region<'a> {
    fn from(words: &'a [AtomicU32]) -> Self {
        Region { start: words.as_ptr().cast(), len: size_of_val(words), mapped: false, life: PhantomData }
    }
}

impl Drop for Region<'_> {
    fn drop(&mut self) {
        if self.mapped {
            // SAFETY: `file` made this mapping, and only self knows it.
            unsafe { libc::munmap(self.start.cast_mut().cast(), self.len) };
        }
    }
}

/// Regions with their last known bytes.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[derive(Debug)]
pub(super) struct Watch<'a> {
    parts: Vec<(Region<'a>, Vec<u8>)>,
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
impl<'a> Watch<'a> {
    pub(super) fn new(regions: Vec<Region<'a>>) -> Self {
        let parts = regions.into_iter().map(|r| {
            let seen = vec![0; r.len];
            (r, seen)
        });
        let mut watch = Watch { parts: parts.collect() };
        watch.changed();
        watch
    }

    /// Whether any byte differs from the last call; remembers the new ones.
    pub(super) fn changed(&mut self) -> bool {
        let mut changed = false;
        for (region, seen) in &mut self.parts {
            // SAFETY: both are `len` readable bytes (Region's promise). Another process may write the region
            // meanwhile; the C library reads it as plain bytes behind a foreign call, and a torn answer only
            // moves an event by a step.
            let differs = unsafe { libc::memcmp(region.start.cast(), seen.as_ptr().cast(), region.len) } != 0;
            if differs {
                changed = true;
                // SAFETY: as above; `seen` is ours and `len` bytes long.
                unsafe { libc::memcpy(seen.as_mut_ptr().cast(), region.start.cast(), region.len) };
            }
        }
        changed
    }
}
