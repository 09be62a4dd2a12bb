//! `SpscQueue`: each end has one holder at a time, is taken over from the dead, and what was put comes out once and in order.

use procshare::{AtomicArray, Consumer, Error, Handle, Lifetime, Producer, Space, SpscQueue};

use super::ledger;
use super::line::{Item, Tag, was_got, was_put};
use super::tickets::Tickets;
use crate::torture::actor::{Actor, NAP};
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

const CAPACITY: usize = 12;
/// The most items of one batch.
const BATCH: usize = 3;
/// The most batches of one turn.
const BATCHES: u64 = 6;

/// Numbers: who holds the ends, and the last ticket that came out, plus one.
const PRODUCER: usize = 0;
const CONSUMER: usize = 1;
const LAST: usize = 2;

/// A queue, its items, and who says it holds an end.
pub(in crate::torture) struct SpscSubject {
    queue: SpscQueue<Item>,
    tickets: Tickets,
    ledger: AtomicArray<u64>,
}

type Plan = (Handle<SpscQueue<Item>>, Handle<AtomicArray<u64>>, Handle<AtomicArray<u64>>);

impl Stage for SpscSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let queue = SpscQueue::builder().space(space).lifetime(Lifetime::Scoped).anonymous(CAPACITY)?;
        Ok(SpscSubject { queue, tickets: Tickets::new(space)?, ledger: ledger(space, 3)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (queue, tickets, ledger): Plan = serde_json::from_str(plan)?;
        let tickets = Tickets::attach(&tickets)?;
        Ok(SpscSubject { queue: queue.attach()?, tickets, ledger: ledger.attach()? })
    }
}

/// An end, unless somebody has it: who finds it taken looks again after a moment.
fn end<E>(result: procshare::Result<E>) -> Turn<E> {
    result.map_err(|error| match error {
        Error::EndTaken { .. } => {
            std::thread::sleep(NAP);
            Stop::Again
        }
        error => error.into(),
    })
}

impl SpscSubject {
    /// Runs `work` with an end, and says so: two at once would see each other.
    fn hold(&self, actor: &mut Actor, which: usize, work: impl FnOnce(&mut Actor) -> Turn) -> Turn {
        let me = actor.token.to_word();
        actor.granted()?;
        let before = self.ledger.swap(which, me)?;
        if before != 0 && !actor.board.is_condemned(before)? {
            broken!("two at one end: {before:#x} had it, alive, when {me:#x} took it");
        }
        match work(actor) {
            Err(Stop::Forked) => return Err(Stop::Forked),
            Err(Stop::Broken(text)) => return Err(Stop::Broken(text)),
            Ok(()) | Err(Stop::Again) => {}
        }
        match self.ledger.compare_exchange(which, me, 0)? {
            Ok(_) => Ok(()),
            Err(other) => broken!("two at one end: {other:#x} had it when {me:#x} gave it back"),
        }
    }

    fn produce(&self, actor: &mut Actor) -> Turn {
        let mut producer = end(self.queue.producer())?;
        self.hold(actor, PRODUCER, |actor| {
            if actor.is_probe() {
                return actor.inside();
            }
            for _ in 0..=actor.below(BATCHES) {
                self.put(actor, &mut producer)?;
            }
            actor.inside()
        })
    }

    /// Puts one item or some at once; nobody else draws tickets meanwhile, so their order is that of the items.
    fn put(&self, actor: &mut Actor, producer: &mut Producer<Item>) -> Turn {
        let me = actor.token.to_word();
        let tag = |ticket| Tag { ticket, producer: me };
        let count = if actor.below(2) == 0 { 1 } else { BATCH };
        let tickets = (0..count).map(|_| self.tickets.draw()).collect::<Turn<Vec<_>>>()?;
        let items: Vec<Item> = tickets.iter().map(|&ticket| Item::new(tag(ticket))).collect();
        let done = match actor.below(4) {
            0 if count == 1 => was_put(producer.put_timeout(items[0], actor.patience())).map(|()| 1),
            1 => was_put(producer.try_reserve_many(count)).map(|mut chunk| {
                chunk.extend_from_slice(&items);
                chunk.commit()
            }),
            _ => was_put(producer.try_put_many(&items)),
        }?;
        tickets[..done].iter().try_for_each(|&ticket| self.tickets.was_put(ticket))
    }

    fn consume(&self, actor: &mut Actor) -> Turn {
        let mut consumer = end(self.queue.consumer())?;
        self.hold(actor, CONSUMER, |actor| {
            if actor.is_probe() {
                return actor.inside();
            }
            for _ in 0..=actor.below(BATCHES) {
                actor.excuse(BATCH as u64)?;
                let outcome = self.get(actor, &mut consumer);
                actor.excuse(0)?;
                outcome?;
            }
            actor.inside()
        })
    }

    fn get(&self, actor: &mut Actor, consumer: &mut Consumer<Item>) -> Turn {
        let items = match actor.below(3) {
            0 => vec![was_got(consumer.get_timeout(actor.patience()))?],
            1 => was_got(consumer.try_get_many(BATCH))?,
            _ => {
                let chunk = was_got(consumer.try_peek_many(BATCH))?;
                let items: Vec<Item> = chunk.iter().copied().collect();
                chunk.release();
                items
            }
        };
        items.iter().try_for_each(|item| self.came(item))
    }

    fn came(&self, item: &Item) -> Turn {
        let tag = item.read()?;
        let before = self.ledger.swap(LAST, tag.ticket + 1)?;
        if before > tag.ticket {
            broken!("item {} came after item {}", tag.ticket, before - 1);
        }
        self.tickets.came_once(tag.ticket)
    }
}

impl Subject for SpscSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.queue.handle(), self.tickets.handle(), &self.ledger))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.choose(2) == 0 { self.produce(actor) } else { self.consume(actor) }
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (mut producer, mut consumer) = self.queue.split()?;
        for which in [PRODUCER, CONSUMER] {
            let holder = self.ledger.swap(which, 0)?;
            if holder != 0 && !calm.board.is_condemned(holder)? {
                broken!("{holder:#x} has given its end back, and still says it has it");
            }
        }
        while let Ok(item) = consumer.try_get() {
            self.came(&item)?;
        }
        let lost = self.tickets.settle()?;
        if lost > calm.excused {
            broken!("{lost} items were put and never arrived; the dead may have had {}", calm.excused);
        }
        let item = Item::new(Tag { ticket: u64::MAX, producer: 0 });
        let room = was_put(producer.try_put_many(&[item; CAPACITY + 1]))?;
        let found = was_got(consumer.try_get_many(CAPACITY + 1))?;
        if room != CAPACITY || found != [item; CAPACITY] {
            broken!("an empty queue of {CAPACITY} took {room} items and gave {}", found.len());
        }
        Ok(())
    }

    /// Who finds an end taken comes again: nobody sleeps for one.
    fn sleeps(&self) -> bool {
        false
    }
}
