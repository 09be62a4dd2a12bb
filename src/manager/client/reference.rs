//! References to objects of the server, counted so that the server knows when we have none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::link::Link;
use crate::manager::wire::message::Request;
use crate::manager::wire::pack;

/// One object as this connection knows it; all proxies of it share this.
pub(crate) struct Reference {
    pub(crate) link: Arc<Link>,
    pub(crate) object: u64,
    /// How many times the server has sent it.
    received: AtomicU64,
}

/// The references that a connection has.
#[derive(Default)]
pub(super) struct References(Mutex<HashMap<u64, Weak<Reference>>>);

impl References {
    /// Takes note of one more reference that has come.
    pub(super) fn adopt(&self, link: &Arc<Link>, object: u64) -> Arc<Reference> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table.get(&object).and_then(Weak::upgrade) {
            // Relaxed: it is read by whoever drops the last clone, which orders everything before.
            known.received.fetch_add(1, Ordering::Relaxed);
            return known;
        }
        let reference = Arc::new(Reference { link: link.clone(), object, received: AtomicU64::new(1) });
        table.insert(object, Arc::downgrade(&reference));
        reference
    }

    fn forget(&self, object: u64) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A new one may have come while the old one was being dropped.
        if table.get(&object).is_some_and(|entry| entry.strong_count() == 0) {
            table.remove(&object);
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if self.link.is_forked() {
            return;
        }
        self.link.references.forget(self.object);
        let mut arguments = Vec::new();
        pack::uint(&mut arguments, self.object);
        pack::uint(&mut arguments, *self.received.get_mut());
        let request = Request { id: 0, object: 0, method: "release", arguments: &arguments, count: 2 };
        self.link.tell(&request);
    }
}
