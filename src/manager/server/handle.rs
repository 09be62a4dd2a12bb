//! How a running server is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mio::Waker;

/// What the server's thread and its handles share.
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    pub(super) waker: Waker,
    pub(super) clients: AtomicUsize,
    pub(super) objects: AtomicUsize,
    pub(super) bytes: AtomicUsize,
}

/// Stops a running server, and tells how it is; can be cloned and sent anywhere.
#[derive(Clone)]
pub struct ServerHandle(pub(super) Arc<Shared>);

impl ServerHandle {
    /// Lets the server end: clients are told, [`Server::run`](super::Server::run) returns. Safe to call more than once.
    pub fn shutdown(&self) {
        // Release, with the Acquire of the loop.
        self.0.stop.store(true, Ordering::Release);
        // Without the wake-up the loop sees it within a second.
        let _ = self.0.waker.wake();
    }

    /// How many clients are connected, as of the last turn of the loop.
    pub fn clients(&self) -> usize {
        self.0.clients.load(Ordering::Relaxed)
    }

    /// How many objects there are, as of the last turn of the loop.
    pub fn objects(&self) -> usize {
        self.0.objects.load(Ordering::Relaxed)
    }

    /// How many bytes are stored, as of the last turn of the loop.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerHandle")
            .field("clients", &self.clients())
            .field("objects", &self.objects())
            .field("bytes", &self.bytes())
            .finish()
    }
}
