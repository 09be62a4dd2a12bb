//! A queue among the things to wait for: ready as soon as an item is there.

use super::frames::FrameRing;
use super::plain::Queue;
use super::ring::{Ring, Waiting};
use crate::error::Result;
use crate::participant::Attached;
use crate::shm::Plain;
use crate::sync::{Announced, Attempt, Begun, Look, Source, Ticket, Waitable};

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
        let waiting = self.ring.waiting();
        let ticket = waiting.events.prepare();
        waiting.publisher.look_announced();
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
