//! `Queue` and `BytesQueue`: what was put arrives once and in order, and what a consumer holds when it dies goes to another one.

use std::cell::RefCell;
use std::collections::HashMap;

use procshare::{AtomicArray, Handle, Space};

use super::Wait;
use super::line::{Line, MOST, Tag};
use super::tickets::Tickets;
use crate::torture::actor::Actor;
use crate::torture::board::Board;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

/// A queue whose order counts, and one whose items are read in place.
pub(in crate::torture) struct QueueSubject<L> {
    order: L,
    work: L,
    tickets: Tickets,
}

thread_local! {
    /// The last ticket that this consumer had from each producer.
    static LAST: RefCell<HashMap<u64, u64>> = RefCell::default();
}

impl<L: Line> Stage for QueueSubject<L> {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        Ok(QueueSubject { order: L::make(space)?, work: L::make(space)?, tickets: Tickets::new(space)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (order, work, tickets): (Handle<L>, Handle<L>, Handle<AtomicArray<u64>>) =
            serde_json::from_str(plan)?;
        Ok(QueueSubject { order: order.attach()?, work: work.attach()?, tickets: Tickets::attach(&tickets)? })
    }
}

impl<L: Line> QueueSubject<L> {
    /// Puts an item with a ticket of its own.
    fn put(&self, queue: &L, producer: u64, wait: Wait) -> Turn {
        self.tickets.put(|ticket| queue.put(Tag { ticket, producer }, wait))
    }

    /// Notes that an item was delivered in order.
    fn deliver_in_order(&self, tag: Tag) -> Turn {
        let last = LAST.with_borrow_mut(|last| last.insert(tag.producer, tag.ticket));
        if let Some(last) = last
            && last >= tag.ticket
        {
            broken!("item {} came after item {last} of the same producer", tag.ticket);
        }
        self.tickets.came_once(tag.ticket)
    }

    fn get_many(&self, actor: &Actor) -> Turn {
        actor.excuse(MOST as u64)?;
        let items = self.order.get_many(MOST);
        for &tag in items.iter().flatten() {
            self.deliver_in_order(tag)?;
        }
        actor.excuse(0)?;
        items.map(drop)
    }

    fn get(&self, actor: &mut Actor) -> Turn {
        // A consumer killed between the commit and its own note takes the item with it.
        actor.excuse(1)?;
        let item = self.order.get(Wait::For(actor.patience()));
        if let Ok(tag) = item {
            self.deliver_in_order(tag)?;
        }
        actor.excuse(0)?;
        item.map(drop)
    }

    /// Reads in place. Delivered is what was released.
    fn peek(&self, actor: &mut Actor) -> Turn {
        let wait = Wait::patient(actor.is_probe(), actor.patience());
        let mut found = None;
        self.work.peek(wait, |tag| {
            actor.granted()?;
            actor.inside()?;
            found = Some(tag.ticket);
            actor.excuse(1)
        })?;
        if let Some(ticket) = found {
            self.tickets.came_once(ticket)?;
        }
        actor.excuse(0)
    }

    /// Puts some items in one step.
    fn put_batch(&self, actor: &mut Actor) -> Turn {
        let (producer, wait) = (actor.token.to_word(), Wait::For(actor.patience()));
        let tickets = self.order.put_batch(producer, wait, || actor.inside(), || self.tickets.draw())?;
        tickets.into_iter().try_for_each(|ticket| self.tickets.was_put(ticket))
    }

    /// Reads some items in place. Delivered is what was released.
    fn peek_batch(&self, actor: &mut Actor) -> Turn {
        let wait = Wait::For(actor.patience());
        let mut found = Vec::new();
        self.work.peek_batch(wait, |tags| {
            actor.inside()?;
            found.extend(tags.iter().map(|tag| tag.ticket));
            actor.excuse(tags.len() as u64)
        })?;
        found.into_iter().try_for_each(|ticket| self.tickets.came_once(ticket))?;
        actor.excuse(0)
    }

    /// A probe: the holder either has the only item in its hands, or is the first in the row of waiters.
    fn probe(&self, actor: &mut Actor) -> Turn {
        let producer = actor.token.to_word();
        if actor.choose(2) == 0 {
            if actor.is_holder() {
                self.put(&self.work, producer, Wait::Ever)?;
            }
            self.peek(actor)?;
            return self.put(&self.work, producer, Wait::Ever);
        }
        actor.announce()?;
        actor.excuse(1)?;
        let item = self.order.get(Wait::Ever)?;
        actor.granted()?;
        self.tickets.came_once(item.ticket)?;
        actor.excuse(0)?;
        self.put(&self.order, producer, Wait::Ever)
    }

    fn drain(&self) -> Turn {
        for queue in [&self.order, &self.work] {
            loop {
                match queue.get(Wait::Not) {
                    Ok(tag) => self.tickets.came_once(tag.ticket)?,
                    Err(Stop::Again) => break,
                    Err(other) => return Err(other),
                }
            }
            if queue.left() != 0 {
                broken!("drained, and not empty: {} left", queue.left());
            }
        }
        Ok(())
    }
}

impl<L: Line> Subject for QueueSubject<L> {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.order, &self.work, self.tickets.handle()))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_probe() {
            return self.probe(actor);
        }
        let producer = actor.token.to_word();
        let patience = Wait::For(actor.patience());
        match actor.choose(10) {
            0 => self.put(&self.order, producer, patience),
            1 => self.put(&self.order, producer, Wait::Not),
            2 => self.put(&self.work, producer, patience),
            3 => self
                .tickets
                .put(|ticket| self.work.put_in_place(Tag { ticket, producer }, patience, || actor.inside())),
            4 => self.get(actor),
            5 => self.get_many(actor),
            6 => self.put_batch(actor),
            7 => self.peek_batch(actor),
            _ => self.peek(actor),
        }
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        self.drain()?;
        let lost = self.tickets.settle()?;
        if lost > calm.excused {
            broken!("{lost} items were put and never arrived; the dead may have had {}", calm.excused);
        }
        Ok(())
    }

    fn prepare(&self, _board: &Board) -> Turn {
        self.drain()
    }

    fn aftermath(&self, variant: u64) -> Turn {
        if variant.is_multiple_of(2) { Ok(()) } else { self.put(&self.order, u64::MAX, Wait::Not) }
    }
}
