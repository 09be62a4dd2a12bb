//! What all guards have in common: a holding on the server, known by its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::object::Object;
use crate::cause::Cause;
use crate::manager::error::ManagerResult;
use crate::sync::{LockError, OwnerDied};

/// Something that is held on the server until it is ended, once.
pub(super) struct Holding {
    object: Object,
    /// Shared by the guards of one thread that hold an [`RLock`](super::RLock) together.
    fence: Arc<AtomicU64>,
    over: bool,
    /// Whether a panic was under way when it began.
    unwinding: bool,
}

impl Holding {
    pub(super) fn new(object: Object, fence: Arc<AtomicU64>) -> Self {
        Holding { object, fence, over: false, unwinding: std::thread::panicking() }
    }

    pub(super) fn alone(object: Object, fence: u64) -> Self {
        Holding::new(object, Arc::new(AtomicU64::new(fence)))
    }

    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    pub(super) fn fence(&self) -> u64 {
        // Relaxed: a number and nothing behind it; who moves a guard to another thread orders what was before.
        self.fence.load(Ordering::Relaxed)
    }

    /// The same holding has another number from now on.
    pub(super) fn renew(&self, fence: u64) {
        // Relaxed: as above.
        self.fence.store(fence, Ordering::Relaxed);
    }

    /// Ends it here: the number, unless it is over already.
    pub(super) fn end(&mut self) -> Option<u64> {
        let over = std::mem::replace(&mut self.over, true);
        (!over).then(|| self.fence())
    }

    /// Whether the connection is gone, and with it the holding. Asks the server.
    pub(super) fn is_lost(&self) -> bool {
        self.object.is_cut_off()
    }

    /// Releases what a guard of a lock held, and says whether it was held all the time.
    pub(super) fn release(&mut self) -> ManagerResult<()> {
        let Some(fence) = self.end() else { return Ok(()) };
        self.object.target().call("release").arg(&fence).arg(&false).done()
    }

    /// The same for a guard that goes out of scope: nobody is told.
    pub(super) fn drop_lock(&mut self) {
        if let Some(fence) = self.end() {
            let panicked = !self.unwinding && std::thread::panicking();
            self.object.target().call("release").arg(&fence).arg(&panicked).tell();
        }
    }

    /// Says that what is protected is in order again.
    pub(super) fn make_consistent(&self) -> ManagerResult<()> {
        self.object.target().call("make_consistent").arg(&self.fence()).done()
    }
}

/// A guard, inside of what happened to the last holder if that is told.
pub(super) fn told<G>(guard: G, mishap: Option<&str>) -> Result<G, LockError<G>> {
    let cause = match mishap {
        None => return Ok(guard),
        Some("panicked") => Cause::Panicked,
        Some("lost") => Cause::Lost,
        Some(_) => Cause::Died,
    };
    Err(LockError::OwnerDied(OwnerDied::new(guard, cause)))
}
