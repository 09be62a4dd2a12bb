//! Numbers of this process and this thread that a forked child does not inherit, and the lock that fork cannot poison.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

thread_local! {
    static TOKEN: Cell<u32> = const { Cell::new(0) };
}

/// Tokens end below the values that lock words give another meaning to.
const LAST_TOKEN: u32 = 0x7fff_fff0;

/// A number of the calling thread: not 0, below 2^31 - 15, never given twice within one process.
#[inline]
pub(crate) fn thread_token() -> u32 {
    let token = TOKEN.get();
    if token != 0 { token } else { new_token() }
}

#[cold]
fn new_token() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // Relaxed: only uniqueness is needed, nothing is published through the counter.
    let token = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(token < LAST_TOKEN, "this process has started more than 2^31 threads that took a lock");
    TOKEN.set(token);
    token
}

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

/// Zeroes the listed pages; runs in the forked child.
fn wipe_listed() {
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

/// The process-wide lock of joining, leaving and the table of spaces.
///
/// `fork` takes it (`pthread_atfork`), so that no other thread is inside when a child is made: the child finds it free,
/// and no descriptor that a join holds for a moment leaks into it.
pub(crate) struct ProcessLock;

static TAKEN: AtomicBool = AtomicBool::new(false);

impl ProcessLock {
    /// Waits for the lock; it is held until the value is dropped.
    pub(crate) fn take() -> Self {
        // Relaxed: registering twice is harmless (`FORKS` counts), so nothing hangs on who sees the flag first.
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        if !REGISTERED.load(Ordering::Relaxed) {
            // SAFETY: (S1) the handlers are `extern "C"`, live for ever, and call only async-signal-safe code.
            unsafe { libc::pthread_atfork(Some(before_fork), Some(after_in_parent), Some(after_in_child)) };
            REGISTERED.store(true, Ordering::Relaxed);
        }
        acquire();
        ProcessLock
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

fn acquire() {
    // Critical sections are some microseconds of system calls: yielding is enough, and works in a fork handler.
    while TAKEN.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
        // SAFETY: (S1) sched_yield has no precondition.
        unsafe { libc::sched_yield() };
    }
}

thread_local! {
    /// How many times the handlers of the fork under way have run before it: they may be registered more than once.
    static FORKS: Cell<u32> = const { Cell::new(0) };
}

extern "C" fn before_fork() {
    if FORKS.replace(FORKS.get() + 1) == 0 {
        acquire();
    }
}

extern "C" fn after_in_parent() {
    if FORKS.replace(FORKS.get() - 1) == 1 {
        TAKEN.store(false, Ordering::Release);
    }
}

extern "C" fn after_in_child() {
    wipe_listed();
    after_in_parent();
}
