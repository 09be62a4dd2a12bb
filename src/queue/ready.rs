//! A queue among the things to wait for: ready as soon as an item is there.

use super::bytes::BytesQueue;
use super::frames::FrameRing;
use super::joinable::JoinableQueue;
use super::plain::Queue;
use super::pollable::{self, Key, Level};
use super::ring::{Ring, Waiting};
use crate::error::Result;
use crate::participant::Attached;
use crate::shm::Plain;
use crate::sync::{Announced, Attempt, Begun, Look, Source, Ticket, Waitable};
use crate::sys::ReadyFd;

impl<T: Plain> Waitable for Queue<T> {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(ReadySource::new(self.ring()))
    }
}

/// A ring whose next item somebody may wait for.
pub(super) trait Items {
    /// Whether taking would return at once; with `thorough`, what the dead left is looked at, too.
    fn has_item(&self, thorough: bool) -> Result<bool>;
    /// What its waiters sleep on.
    fn waiting(&self) -> Waiting<'_>;
    fn attached(&self) -> &Attached;
}

impl Items for Ring {
    fn has_item(&self, thorough: bool) -> Result<bool> {
        Ring::has_item(self, thorough)
    }

    fn waiting(&self) -> Waiting<'_> {
        Ring::waiting(self, true)
    }

    fn attached(&self) -> &Attached {
        Ring::attached(self)
    }
}

impl Items for FrameRing {
    fn has_item(&self, thorough: bool) -> Result<bool> {
        FrameRing::has_item(self, thorough)
    }

    fn waiting(&self) -> Waiting<'_> {
        FrameRing::waiting(self, true)
    }

    fn attached(&self) -> &Attached {
        FrameRing::attached(self)
    }
}

/// The items of a ring, for a descriptor.
pub(super) struct ItemLevel<R>(pub(super) R);

impl<R: Items + Send + Sync> Level for ItemLevel<R> {
    fn is_ready(&self, _: u64, thorough: bool) -> Result<bool> {
        self.0.has_item(thorough)
    }

    fn waiting(&self) -> Waiting<'_> {
        self.0.waiting()
    }

    fn attached(&self) -> &Attached {
        self.0.attached()
    }
}

/// The room in a ring, for a descriptor.
struct RoomLevel(Ring);

impl Level for RoomLevel {
    fn is_ready(&self, _: u64, thorough: bool) -> Result<bool> {
        self.0.has_room(thorough)
    }

    fn waiting(&self) -> Waiting<'_> {
        self.0.waiting(false)
    }

    fn attached(&self) -> &Attached {
        self.0.attached()
    }
}

impl<T: Plain> Queue<T> {
    /// A descriptor that is readable while there may be an item to [`try_get`](Self::try_get), or the queue is closed.
    ///
    /// The first one starts a thread that sleeps for all of this process; without this call there is none. For descriptors after a
    /// fork see [`ReadyFd`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if the descriptor or the thread cannot be made, or where there is no `poll`;
    /// [`Error::ReadOnly`](crate::Error::ReadOnly).
    pub fn as_fd(&self) -> Result<ReadyFd> {
        items_fd(self.ring())
    }

    /// A descriptor that is readable while there may be room to [`try_put`](Self::try_put), or the queue is closed.
    ///
    /// # Errors
    ///
    /// As [`as_fd`](Self::as_fd).
    pub fn as_put_fd(&self) -> Result<ReadyFd> {
        room_fd(self.ring())
    }
}

impl BytesQueue {
    /// A descriptor that is readable while there may be an item to [`try_get`](Self::try_get), or the queue is closed; see
    /// [`Queue::as_fd`].
    ///
    /// # Errors
    ///
    /// As [`Queue::as_fd`].
    pub fn as_fd(&self) -> Result<ReadyFd> {
        items_fd(self.ring())
    }
}

impl<T: Plain> JoinableQueue<T> {
    /// A descriptor that is readable while there may be a task to [`try_get`](Self::try_get), or the queue is closed; see
    /// [`Queue::as_fd`].
    ///
    /// # Errors
    ///
    /// As [`Queue::as_fd`].
    pub fn as_fd(&self) -> Result<ReadyFd> {
        items_fd(self.ring())
    }

    /// A descriptor that is readable while there may be room to [`try_put`](Self::try_put), or the queue is closed; see
    /// [`Queue::as_fd`].
    ///
    /// # Errors
    ///
    /// As [`Queue::as_fd`].
    pub fn as_put_fd(&self) -> Result<ReadyFd> {
        room_fd(self.ring())
    }
}

fn room_fd(ring: &Ring) -> Result<ReadyFd> {
    pollable::watch(Key::of(ring.waiting(false).events), RoomLevel(ring.clone()), 0)
}

fn items_fd<R: Items + Clone + Send + Sync + 'static>(ring: &R) -> Result<ReadyFd> {
    pollable::watch(Key::of(ring.waiting().events), ItemLevel(ring.clone()), 0)
}

/// A queue whose next item somebody waits for.
pub(super) struct ReadySource<'a, R: Items> {
    ring: &'a R,
    ticket: Option<Ticket>,
}

impl<'a, R: Items> ReadySource<'a, R> {
    pub(super) fn new(ring: &'a R) -> Self {
        ReadySource { ring, ticket: None }
    }
}

impl<'a, R: Items> Source<'a> for ReadySource<'a, R> {
    type Output = ();

    fn attempt(&mut self, look: Look) -> Result<Attempt<()>> {
        Ok(if self.ring.has_item(look != Look::Quick)? { Attempt::Taken(()) } else { Attempt::NotYet })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let attached = self.ring.attached();
        // A read-only handle is refused: it cannot announce anybody.
        attached.member.join(|| attached.object(), "wait for it")?;
        let waiting = self.ring.waiting();
        let ticket = waiting.prepare();
        self.ticket = Some(ticket);
        Ok(Announced::Sleep(waiting.events.expect(ticket)))
    }
}

impl<R: Items> Drop for ReadySource<'_, R> {
    fn drop(&mut self) {
        // Also when the queue was found ready: the item is still there, and its wake-up was spent on this waiter.
        if let Some(ticket) = self.ticket {
            self.ring.waiting().events.pass_on(self.ring.attached().member.host(), ticket);
        }
    }
}
