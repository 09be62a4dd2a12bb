//! raw_sync's objects on shared pages.

use raw_sync::events::{Event, EventImpl, EventInit};
use raw_sync::locks::{LockImpl, LockInit, Mutex};

use crate::failure::Failure;
use crate::shared::Shared;

/// A page for raw_sync to place its object on.
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// A raw_sync mutex with a counter beside it.
pub struct RawMutex {
    lock: Box<dyn LockImpl>,
    _page: Shared<Page>,
}

// SAFETY: the lock only holds two pointers into the shared page: to a process-shared pthread mutex, made for concurrent
// use, and to the counter, which is touched under that mutex alone.
unsafe impl Send for RawMutex {}
// SAFETY: as above.
unsafe impl Sync for RawMutex {}

impl RawMutex {
    /// A mutex round a zero.
    ///
    /// # Errors
    /// [`Failure`] when the page or the mutex cannot be made.
    pub fn new() -> Result<Self, Failure> {
        let page = Shared::new(Page([0; 4096]))?;
        let start = page.as_ptr().cast::<u8>();
        let counter = start.wrapping_add(Mutex::size_of(Some(start)).next_multiple_of(8));
        // SAFETY: the page is writable, aligned, fresh, long enough for the mutex and the counter behind it, and
        // stays mapped as long as the lock, which is dropped first.
        let (lock, _) = unsafe { Mutex::new(start, counter) }
            .map_err(|error| Failure::contender("raw_sync Mutex::new", error))?;
        Ok(Self { lock, _page: page })
    }

    /// Adds one under the lock.
    ///
    /// # Errors
    /// [`Failure`] when the lock refuses.
    #[inline]
    pub fn add_one(&self) -> Result<(), Failure> {
        let held = self.lock.lock().map_err(|error| Failure::contender("raw_sync lock", error))?;
        // SAFETY: the guard leads to the counter on the page, and the lock is held.
        unsafe { *(*held).cast::<u64>() += 1 };
        Ok(())
    }

    /// The counter.
    ///
    /// # Errors
    /// [`Failure`] when the lock refuses.
    pub fn total(&self) -> Result<u64, Failure> {
        let held = self.lock.lock().map_err(|error| Failure::contender("raw_sync lock", error))?;
        // SAFETY: as in `add_one`.
        Ok(unsafe { *(*held).cast::<u64>() })
    }
}

/// A raw_sync event of one of its flavours.
pub struct RawEvent {
    event: Box<dyn EventImpl>,
    _page: Shared<Page>,
}

// SAFETY: the event only points into the shared page, at objects made for use by several processes at once.
unsafe impl Send for RawEvent {}
// SAFETY: as above.
unsafe impl Sync for RawEvent {}

impl RawEvent {
    /// An event that stays set until it is cleared.
    ///
    /// # Errors
    /// [`Failure`] when the page or the event cannot be made.
    pub fn manual() -> Result<Self, Failure> {
        Self::new::<Event>(false)
    }

    /// A busily waited-for event that the waiter's return clears.
    ///
    /// # Errors
    /// [`Failure`] when the page or the event cannot be made.
    pub fn busy() -> Result<Self, Failure> {
        Self::new::<raw_sync::events::BusyEvent>(true)
    }

    fn new<E: EventInit>(auto_reset: bool) -> Result<Self, Failure> {
        let page = Shared::new(Page([0; 4096]))?;
        // SAFETY: the page is writable, aligned, fresh, longer than any event, and stays mapped as long as the event,
        // which is dropped first.
        let (event, _) = unsafe { E::new(page.as_ptr().cast(), auto_reset) }
            .map_err(|error| Failure::contender("raw_sync event", error))?;
        Ok(Self { event, _page: page })
    }
}

impl std::ops::Deref for RawEvent {
    type Target = dyn EventImpl;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &*self.event
    }
}
