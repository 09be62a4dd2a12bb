//! `Queue`: what was put arrives once and in order, and what a consumer holds when it dies goes to another one.

use std::cell::RefCell;
use std::collections::HashMap;

use procshare::bytemuck::{Pod, Zeroable};
use procshare::{AtomicArray, Error, GetError, Handle, Lifetime, Plain, PutError, Queue, Space};

use super::ledger;
use crate::torture::actor::Actor;
use crate::torture::board::Board;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

const CAPACITY: usize = 16;
/// The most items of a batch.
const MOST: usize = 3;
/// The most items between two checks.
const TICKETS: u64 = 200_000;

/// The ledger: the next ticket, the first since the last check, then what became of each since.
const NEXT: usize = 0;
const FIRST: usize = 1;
const STATES: usize = 2;

/// `put` has returned.
const PUT: u64 = 1;
/// A consumer has it for good.
const GOT: u64 = 2;

/// An item; the last field tells whether it is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[plain(name = "procshare.torture.item")]
#[repr(C)]
pub(in crate::torture) struct Item {
    ticket: u64,
    producer: u64,
    filling: [u64; 5],
    check: u64,
}

impl Item {
    fn new(ticket: u64, producer: u64) -> Self {
        Item { ticket, producer, filling: [ticket ^ producer; 5], check: ticket.wrapping_mul(producer | 1) }
    }
}

/// A queue whose order counts, and one whose items are read in place.
pub(in crate::torture) struct QueueSubject {
    order: Queue<Item>,
    work: Queue<Item>,
    ledger: AtomicArray<u64>,
}

type Plan = (Handle<Queue<Item>>, Handle<Queue<Item>>, Handle<AtomicArray<u64>>);

thread_local! {
    /// The last ticket that this consumer had from each producer.
    static LAST: RefCell<HashMap<u64, u64>> = RefCell::default();
}

impl Stage for QueueSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let queue = || Queue::builder().space(space).lifetime(Lifetime::Scoped).anonymous(CAPACITY);
        Ok(QueueSubject {
            order: queue()?,
            work: queue()?,
            ledger: ledger(space, STATES + TICKETS as usize)?,
        })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (order, work, ledger): Plan = serde_json::from_str(plan)?;
        Ok(QueueSubject { order: order.attach()?, work: work.attach()?, ledger: ledger.attach()? })
    }
}

/// What a `put` did.
fn was_put<T>(result: Result<(), PutError<T>>) -> Turn {
    match result {
        Ok(()) => Ok(()),
        Err(PutError::Full(_) | PutError::TimedOut(_)) => Err(Stop::Again),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// What a `get` did.
fn was_got<T>(result: Result<T, GetError>) -> Turn<T> {
    match result {
        Ok(item) => Ok(item),
        Err(GetError::Empty | GetError::TimedOut) => Err(Stop::Again),
        Err(error) => Err(Error::from(error).into()),
    }
}

impl QueueSubject {
    /// Puts an item with a ticket of its own by `put`.
    fn put(&self, producer: u64, put: impl FnOnce(Item) -> Turn) -> Turn {
        let ticket = self.ledger.add(NEXT, 1)?;
        if ticket - self.ledger.get(FIRST)? >= TICKETS {
            // Enough until the next check.
            return Err(Stop::Again);
        }
        put(Item::new(ticket, producer))?;
        self.mark(ticket, PUT)?;
        Ok(())
    }

    fn mark(&self, ticket: u64, state: u64) -> procshare::Result<u64> {
        self.ledger.at(STATES + (ticket % TICKETS) as usize)?.fetch_or(state)
    }

    /// Looks at an item; returns its ticket.
    fn look(&self, item: &Item) -> Turn<u64> {
        if *item != Item::new(item.ticket, item.producer) {
            broken!("torn: {item:?}");
        }
        Ok(item.ticket)
    }

    /// Notes that an item was delivered.
    fn deliver(&self, item: &Item) -> Turn {
        let ticket = self.look(item)?;
        if self.mark(ticket, GOT)? & GOT != 0 {
            broken!("item {ticket} was delivered twice");
        }
        Ok(())
    }

    /// Notes that an item was delivered in order.
    fn deliver_in_order(&self, item: &Item) -> Turn {
        let last = LAST.with_borrow_mut(|last| last.insert(item.producer, item.ticket));
        if let Some(last) = last
            && last >= item.ticket
        {
            broken!("item {} came after item {last} of the same producer", item.ticket);
        }
        self.deliver(item)
    }

    fn get_many(&self, actor: &Actor) -> Turn {
        actor.excuse(MOST as u64)?;
        let items = was_got(self.order.try_get_many(MOST));
        for item in items.iter().flatten() {
            self.deliver_in_order(item)?;
        }
        actor.excuse(0)?;
        items.map(drop)
    }

    fn get(&self, actor: &mut Actor) -> Turn {
        // A consumer killed between the commit and its own note takes the item with it.
        actor.excuse(1)?;
        let item = was_got(self.order.get_timeout(actor.patience()));
        if let Ok(item) = &item {
            self.deliver_in_order(item)?;
        }
        actor.excuse(0)?;
        item.map(drop)
    }

    /// Reads in place. Delivered is what was released.
    fn peek(&self, actor: &mut Actor) -> Turn {
        let item = was_got(if actor.is_probe() {
            self.work.peek()
        } else {
            self.work.peek_timeout(actor.patience())
        })?;
        actor.granted()?;
        self.look(&item)?;
        actor.inside()?;
        let copy = *item;
        actor.excuse(1)?;
        item.release();
        self.deliver(&copy)?;
        actor.excuse(0)
    }

    /// Puts some items in one step.
    fn put_batch(&self, actor: &mut Actor) -> Turn {
        let producer = actor.token.to_word();
        let mut batch = was_put_slot(self.order.reserve_many_timeout(MOST, actor.patience()))?;
        actor.inside()?;
        let mut tickets = Vec::new();
        while batch.written() < batch.len() {
            let ticket = self.ledger.add(NEXT, 1)?;
            if ticket - self.ledger.get(FIRST)? >= TICKETS {
                break;
            }
            if batch.push(Item::new(ticket, producer)).is_err() {
                broken!("a slot of the batch is missing");
            }
            tickets.push(ticket);
        }
        batch.commit();
        for ticket in tickets {
            self.mark(ticket, PUT)?;
        }
        Ok(())
    }

    /// Reads some items in place. Delivered is what was released.
    fn peek_batch(&self, actor: &mut Actor) -> Turn {
        let items = was_got(self.work.peek_many_timeout(MOST, actor.patience()))?;
        for item in items.iter() {
            self.look(item)?;
        }
        actor.inside()?;
        let copies: Vec<Item> = items.iter().copied().collect();
        actor.excuse(copies.len() as u64)?;
        items.release();
        for copy in &copies {
            self.deliver(copy)?;
        }
        actor.excuse(0)
    }

    /// A probe: the holder either has the only item in its hands, or is the first in the row of waiters.
    fn probe(&self, actor: &mut Actor) -> Turn {
        let producer = actor.token.to_word();
        if actor.choose(2) == 0 {
            if actor.is_holder() {
                self.put(producer, |item| was_put(self.work.put(item)))?;
            }
            self.peek(actor)?;
            return self.put(producer, |item| was_put(self.work.put(item)));
        }
        actor.announce()?;
        actor.excuse(1)?;
        let item = was_got(self.order.get())?;
        actor.granted()?;
        self.deliver(&item)?;
        actor.excuse(0)?;
        self.put(producer, |item| was_put(self.order.put(item)))
    }

    fn drain(&self) -> Turn {
        for queue in [&self.order, &self.work] {
            while let Ok(item) = queue.try_get() {
                self.deliver(&item)?;
            }
            if !queue.is_empty() {
                broken!("drained, and not empty: {} left", queue.len());
            }
        }
        Ok(())
    }
}

impl Subject for QueueSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.order, &self.work, &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_probe() {
            return self.probe(actor);
        }
        let producer = actor.token.to_word();
        let patience = actor.patience();
        match actor.choose(10) {
            0 => self.put(producer, |item| was_put(self.order.put_timeout(item, patience))),
            1 => self.put(producer, |item| was_put(self.order.try_put(item))),
            2 => self.put(producer, |item| was_put(self.work.put_timeout(item, patience))),
            3 => {
                let slot = was_put_slot(self.work.reserve_timeout(patience))?;
                actor.inside()?;
                self.put(producer, |item| {
                    slot.commit(item);
                    Ok(())
                })
            }
            4 => self.get(actor),
            5 => self.get_many(actor),
            6 => self.put_batch(actor),
            7 => self.peek_batch(actor),
            _ => self.peek(actor),
        }
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        self.drain()?;
        let (first, next) = (self.ledger.get(FIRST)?, self.ledger.get(NEXT)?);
        let mut lost = 0;
        for ticket in first..next.min(first + TICKETS) {
            let state = self.ledger.swap(STATES + (ticket % TICKETS) as usize, 0)?;
            lost += u64::from(state == PUT);
        }
        self.ledger.set(FIRST, next)?;
        if lost > calm.excused {
            broken!("{lost} items were put and never arrived; the dead may have had {}", calm.excused);
        }
        Ok(())
    }

    fn prepare(&self, _board: &Board) -> Turn {
        self.drain()
    }

    fn aftermath(&self, variant: u64) -> Turn {
        if variant.is_multiple_of(2) {
            Ok(())
        } else {
            self.put(u64::MAX, |item| was_put(self.order.try_put(item)))
        }
    }
}

fn was_put_slot<T>(result: Result<T, PutError<()>>) -> Turn<T> {
    result.map_err(|error| match error {
        PutError::Full(()) | PutError::TimedOut(()) => Stop::Again,
        error => Error::from(error).into(),
    })
}
