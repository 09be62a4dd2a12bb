//! Numbered items: which were put, which came, and which the dead may have taken along.

use procshare::{AtomicArray, Handle, Space};

use super::ledger;
use crate::torture::subject::{Stop, Turn, broken};

/// The most items between two checks.
const MOST: u64 = 200_000;

/// The next ticket, the first since the last check, then what became of each since.
const NEXT: usize = 0;
const FIRST: usize = 1;
const STATES: usize = 2;

/// `put` has returned.
const PUT: u64 = 1;
/// It came out, and whoever has it has noted that.
const CAME: u64 = 2;

/// A ledger of tickets; each belongs to one item.
pub(super) struct Tickets(AtomicArray<u64>);

impl Tickets {
    pub(super) fn new(space: &Space) -> procshare::Result<Self> {
        ledger(space, STATES + MOST as usize).map(Tickets)
    }

    pub(super) fn attach(handle: &Handle<AtomicArray<u64>>) -> procshare::Result<Self> {
        handle.attach().map(Tickets)
    }

    pub(super) fn handle(&self) -> Handle<AtomicArray<u64>> {
        self.0.handle()
    }

    /// A ticket that nobody else has; none if there were enough since the last check.
    pub(super) fn draw(&self) -> Turn<u64> {
        let ticket = self.0.add(NEXT, 1)?;
        if ticket - self.0.get(FIRST)? >= MOST { Err(Stop::Again) } else { Ok(ticket) }
    }

    /// Notes that the item was put for certain.
    pub(super) fn was_put(&self, ticket: u64) -> Turn {
        self.mark(ticket, PUT).map(drop)
    }

    /// Puts an item with a ticket of its own by `put`.
    pub(super) fn put(&self, put: impl FnOnce(u64) -> Turn) -> Turn {
        let ticket = self.draw()?;
        put(ticket)?;
        self.was_put(ticket)
    }

    /// Notes that the item came out; tells whether it had before.
    pub(super) fn came(&self, ticket: u64) -> Turn<bool> {
        if ticket >= self.0.get(NEXT)? {
            broken!("item {ticket} was never put");
        }
        Ok(self.mark(ticket, CAME)? & CAME != 0)
    }

    /// Notes that the item came out, for the first time.
    pub(super) fn came_once(&self, ticket: u64) -> Turn {
        if self.came(ticket)? {
            broken!("item {ticket} was delivered twice");
        }
        Ok(())
    }

    /// Ends a round, when all that was put has come out: tells how many were put and never came.
    pub(super) fn settle(&self) -> Turn<u64> {
        let (first, next) = (self.0.get(FIRST)?, self.0.get(NEXT)?);
        let mut lost = 0;
        for ticket in first..next.min(first + MOST) {
            lost += u64::from(self.0.swap(cell(ticket), 0)? == PUT);
        }
        self.0.set(FIRST, next)?;
        Ok(lost)
    }

    fn mark(&self, ticket: u64, state: u64) -> Turn<u64> {
        Ok(self.0.at(cell(ticket))?.fetch_or(state)?)
    }
}

fn cell(ticket: u64) -> usize {
    STATES + (ticket % MOST) as usize
}
