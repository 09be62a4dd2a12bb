//! A number of this process that a forked child does not inherit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// A number in a page that the kernel wipes in a forked child: it reads 0 there. Clones are the same number.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The page's address beside its owner: one load less on every fast path.
    page: *const Page,
    owner: Option<Arc<Owner>>,
}

/// Unmaps the page with the last clone.
struct Owner {
    page: *mut Page,
    listed: bool,
}

/// What the page holds. `next` links the pages that the fork handler must wipe where the kernel does not.
#[repr(C)]
struct Page {
    id: AtomicU32,
    next: AtomicPtr<Page>,
}

/// The number of whoever never joins.
static NOBODY: Page = Page { id: AtomicU32::new(0), next: AtomicPtr::new(std::ptr::null_mut()) };

// SAFETY: (S2) the page stays mapped while an `Identity` exists and holds only atomics.
unsafe impl Send for Identity {}
// SAFETY: (S2) as above.
unsafe impl Sync for Identity {}
// SAFETY: (S2) as above.
unsafe impl Send for Owner {}
// SAFETY: (S2) as above.
unsafe impl Sync for Owner {}

/// Pages of kernels without MADV_WIPEONFORK; entries are never removed, their pages are leaked.
static WIPE_BY_HAND: AtomicPtr<Page> = AtomicPtr::new(std::ptr::null_mut());

const PAGE: usize = 4096;

impl Identity {
    /// A new number, 0 at first.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: (S1) an anonymous private mapping at an address of the kernel's choice touches nothing that exists.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = page.cast::<Page>();
        // SAFETY: (S1) the advice concerns exactly the page mapped above.
        let wiped = unsafe { libc::madvise(page.cast(), PAGE, libc::MADV_WIPEONFORK) } == 0;
        if !wiped {
            wipe_by_hand(page);
        }
        Ok(Identity { page, owner: Some(Arc::new(Owner { page, listed: !wiped })) })
    }

    /// A number that is 0 for ever.
    pub(crate) fn nobody() -> Self {
        Identity { page: &raw const NOBODY, owner: None }
    }

    /// The number; 0 in a process that has not set it itself.
    #[inline]
    pub(crate) fn get(&self) -> u32 {
        // Relaxed: a thread sees the id before it sees the handle that leads here, or zero and then takes the slow path.
        // SAFETY: (S2) the page lives as long as `self`, zeroed by the kernel, which is a valid `Page`.
        unsafe { (*self.page).id.load(Ordering::Relaxed) }
    }

    /// Sets the number, for this process only.
    pub(crate) fn set(&self, id: u32) {
        debug_assert!(self.owner.is_some(), "nobody has no id");
        // SAFETY: (S2) as in `get`.
        unsafe { (*self.page).id.store(id, Ordering::Relaxed) }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: (S2) the last clone is gone. A listed page stays mapped, because the fork handler may walk over it.
        unsafe {
            (*self.page).id.store(0, Ordering::Relaxed);
            if !self.listed {
                libc::munmap(self.page.cast(), PAGE);
            }
        }
    }
}

/// Puts a page on the list of the fork handler.
fn wipe_by_hand(page: *mut Page) {
    let mut head = WIPE_BY_HAND.load(Ordering::Relaxed);
    loop {
        // The last page of the list points to itself, so that "listed" can be told from "not listed".
        let next = if head.is_null() { page } else { head };
        // SAFETY: (S2) the page was mapped by the caller and is not shared yet.
        unsafe { (*page).next.store(next, Ordering::Relaxed) };
        // Release: the fork handler of another thread must see the link.
        match WIPE_BY_HAND.compare_exchange_weak(head, page, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(found) => head = found,
        }
    }
}

/// Zeroes the listed pages.
pub(crate) fn in_forked_child() {
    let mut page = WIPE_BY_HAND.load(Ordering::Acquire);
    while !page.is_null() {
        // SAFETY: (S2) listed pages are never unmapped.
        let next = unsafe {
            (*page).id.store(0, Ordering::Relaxed);
            (*page).next.load(Ordering::Relaxed)
        };
        page = if next == page { std::ptr::null_mut() } else { next };
    }
}
