//! Memory that forked processes share with their parent.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Zeroed memory shared between this process and every child forked after its creation.
///
/// The scratch memory of scenarios and storms: what a killed process wrote here stays. Unmapped on drop, in each
/// process by itself.
///
/// ```
/// use procshare_harness::{child, Page};
/// use std::sync::atomic::Ordering::Relaxed;
/// use std::time::Duration;
///
/// let page = Page::new(4096);
/// child(Duration::from_secs(10), || page.u64s()[3].store(7, Relaxed)).unwrap();
/// assert_eq!(page.u64s()[3].load(Relaxed), 7);
/// ```
#[derive(Debug)]
pub struct Page {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a Page hands out its bytes only as atomics, which any thread may use at any time.
unsafe impl Send for Page {}
// SAFETY: as for Send.
unsafe impl Sync for Page {}

impl Page {
    /// Maps at least `len` bytes, rounded up to whole pages, at least one.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn new(len: usize) -> Self {
        let len = len.max(1).next_multiple_of(4096);
        Page::map(len, libc::MAP_SHARED | libc::MAP_ANON, -1)
            .unwrap_or_else(|e| panic!("cannot map {len} shared bytes: {e}"))
    }

    /// Maps the first `len` bytes of an open file that is at least as long; the descriptor may be closed afterwards.
    pub(crate) fn from_fd(fd: i32, len: usize) -> std::io::Result<Self> {
        Page::map(len, libc::MAP_SHARED, fd)
    }

    fn map(len: usize, flags: i32, fd: i32) -> std::io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a mapping at an address the kernel chooses touches nothing that exists.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Page { base: NonNull::new(base.cast()).expect("mmap never returns null unasked"), len })
    }

    /// The size in bytes.
    pub fn size(&self) -> usize {
        self.len
    }

    /// The address of the first byte, page-aligned; the same in every forked child.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The whole page as 64-bit words.
    pub fn u64s(&self) -> &[AtomicU64] {
        // SAFETY: `len` bytes are mapped for as long as self lives, page-aligned, initialised (zero), and only ever
        // accessed as atomics.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast(), self.len / 8) }
    }

    /// The whole page as 32-bit words; use either width for a word, not both.
    pub fn u32s(&self) -> &[AtomicU32] {
        // SAFETY: as in `u64s`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast(), self.len / 4) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this base and length, and no reference into it outlives self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
