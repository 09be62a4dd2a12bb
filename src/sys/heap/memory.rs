//! The bytes of a "file": a zeroed allocation, aligned like a mapping.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;

/// What a mapping is aligned to.
const PAGE: usize = 4096;

/// Zeroed bytes that everybody may read and write at once, through atomics or under locks that lie in them.
pub(super) struct Memory {
    first: *mut u8,
    layout: Layout,
    len: usize,
}

// SAFETY: (S15) the allocation belongs to nobody in particular, as a mapping does: whoever makes references to its bytes
// answers for them (`shm::view`).
unsafe impl Send for Memory {}
// SAFETY: (S15) as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` zero bytes.
    pub(super) fn new(len: u64) -> io::Result<Self> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let len = usize::try_from(len).map_err(|_| too_large())?;
        let layout = Layout::from_size_align(len.max(1), PAGE).map_err(|_| too_large())?;
        // SAFETY: (S15) the layout has at least one byte.
        let first = unsafe { alloc_zeroed(layout) };
        if first.is_null() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(Memory { first, layout, len })
        }
    }

    /// First byte.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.first
    }

    /// How many bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: (S15) allocated with this layout in `new`; every region that leads here is gone.
        unsafe { dealloc(self.first, self.layout) };
    }
}
