//! A queue among the things to wait for: ready as soon as an item is there.

use super::plain::Queue;
use super::ring::Ring;
use crate::error::Result;
use crate::shm::Plain;
use crate::sync::{Announced, Attempt, Begun, Look, Source, Ticket, Waitable};

impl<T: Plain> Waitable for Queue<T> {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(ItemSource { ring: self.ring(), ticket: None })
    }
}

/// A queue whose next item somebody waits for.
struct ItemSource<'a> {
    ring: &'a Ring,
    ticket: Option<Ticket>,
}

impl<'a> Source<'a> for ItemSource<'a> {
    type Output = ();

    fn attempt(&mut self, look: Look) -> Result<Attempt<()>> {
        Ok(if self.ring.has_item(look != Look::Quick)? { Attempt::Taken(()) } else { Attempt::NotYet })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let waiting = self.ring.waiting(true);
        let ticket = waiting.events.prepare();
        waiting.publisher.look_announced();
        self.ticket = Some(ticket);
        Ok(Announced::Sleep(waiting.events.expect(ticket)))
    }
}

impl Drop for ItemSource<'_> {
    fn drop(&mut self) {
        // Also when the queue was found ready: the item is still there, and its wake-up was spent on this waiter.
        if let Some(ticket) = self.ticket {
            self.ring.waiting(true).events.pass_on(self.ring.attached().member.host(), ticket);
        }
    }
}
