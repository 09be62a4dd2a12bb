//! Semaphores among the things to wait for.

use super::source::{Announced, Attempt, Doubt, Look, Source};
use crate::error::Result;
use crate::sync::event_count::Ticket;
use crate::sync::semaphore::SemaphorePermit;
use crate::sync::semaphore_pool::Pool;

/// A semaphore that somebody waits for.
pub(crate) struct PermitSource<'a> {
    pool: &'a Pool,
    ticket: Option<Ticket>,
    doubt: Doubt,
}

impl<'a> PermitSource<'a> {
    /// A permit of these.
    pub(crate) fn new(pool: &'a Pool) -> Self {
        PermitSource { pool, ticket: None, doubt: Doubt::default() }
    }
}

impl<'a> Source<'a> for PermitSource<'a> {
    type Output = SemaphorePermit<'a>;

    fn attempt(&mut self, look: Look) -> Result<Attempt<SemaphorePermit<'a>>> {
        let permit = match look {
            Look::Quick => self.pool.take_now()?,
            Look::Dead => {
                let unknown = self.pool.reclaim_some()?;
                self.doubt.note(unknown, || self.pool.attached().space_name())?;
                self.pool.take_now()?
            }
            Look::Last => self.pool.take_for_certain()?,
        };
        Ok(match permit {
            Some(permit) => {
                self.ticket = None;
                Attempt::Taken(permit)
            }
            None => Attempt::NotYet,
        })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let events = self.pool.events();
        let ticket = events.prepare();
        self.ticket = Some(ticket);
        Ok(Announced::Sleep(events.expect(ticket)))
    }
}

impl Drop for PermitSource<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.pool.events().pass_on(self.pool.attached().member.host(), ticket);
        }
    }
}
