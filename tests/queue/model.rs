//! `Queue` beside a model of it: random calls of all kinds, and the two agree on every outcome.
//!
//! The model is what the documentation says: items in the order of their positions; what is given back or was read by the dead comes
//! first; a slot is in use from its reservation until its item is released; nothing that is no item keeps anybody waiting.

use std::sync::atomic::Ordering::SeqCst;

use procshare::{GetError, Peeked, PeekedBatch, PutError, Queue, Reservation, ReservedBatch};
use procshare_harness::{Child, Page, Rng, watchdog};

use crate::PATIENCE;

/// What lies at a position.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    Reserved { dead: bool },
    Item(u64),
    GivenUp,
    Read { item: u64, dead: bool },
    GivenBack(u64),
    Free,
}

/// Why there is no next item.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Nothing {
    Empty,
    Closed,
}

struct Model {
    places: Vec<Place>,
    head: usize,
    capacity: usize,
    closed: bool,
}

impl Model {
    fn tail(&self) -> usize {
        self.places.len()
    }

    /// The positions before the head whose slots may be in use.
    fn behind(&self) -> std::ops::Range<usize> {
        self.head.saturating_sub(self.capacity)..self.head
    }

    fn given_back(&self) -> Option<usize> {
        self.behind().find(|&at| matches!(self.places[at], Place::GivenBack(_)))
    }

    /// Somebody notices that a reader is dead.
    fn notice(&mut self, at: usize) {
        if let Place::Read { item, dead: true } = self.places[at] {
            self.places[at] = Place::GivenBack(item);
        }
    }

    /// The position of the next item.
    fn next(&mut self) -> Result<usize, Nothing> {
        if let Some(at) = self.given_back() {
            return Ok(at);
        }
        loop {
            match self.places.get(self.head) {
                None | Some(Place::Reserved { dead: false }) => return self.nothing(),
                Some(Place::Item(_)) => return Ok(self.head),
                Some(Place::Reserved { dead: true } | Place::GivenUp) => {
                    self.places[self.head] = Place::Free;
                    self.head += 1;
                }
                other => panic!("{other:?} at the head"),
            }
        }
    }

    fn nothing(&mut self) -> Result<usize, Nothing> {
        self.behind().for_each(|at| self.notice(at));
        if let Some(at) = self.given_back() {
            return Ok(at);
        }
        let held = self.behind().any(|at| matches!(self.places[at], Place::Read { .. }));
        let over = self.closed && self.head == self.tail() && !held;
        Err(if over { Nothing::Closed } else { Nothing::Empty })
    }

    /// Takes the item out, or reads it in place.
    fn take(&mut self, at: usize, read_by: Option<bool>) -> u64 {
        let (Place::Item(item) | Place::GivenBack(item)) = self.places[at] else {
            panic!("{:?} was taken", self.places[at])
        };
        self.places[at] = read_by.map_or(Place::Free, |dead| Place::Read { item, dead });
        self.head += usize::from(at == self.head);
        item
    }

    /// Takes items as one reader in place does: one that was given back comes alone.
    fn take_batch(&mut self, most: usize, dead: bool) -> Result<(Vec<usize>, Vec<u64>), Nothing> {
        let first = self.next()?;
        let alone = first < self.head;
        let count = self.places[first..].iter().take_while(|it| matches!(it, Place::Item(_))).count();
        let places: Vec<_> = (first..first + if alone { 1 } else { count.min(most) }).collect();
        let items = places.iter().map(|&at| self.take(at, Some(dead))).collect();
        Ok((places, items))
    }

    /// Whether the slot of a new position is free.
    fn has_room(&mut self, at: usize) -> bool {
        let Some(before) = at.checked_sub(self.capacity) else { return true };
        if self.head == before
            && matches!(self.places[before], Place::GivenUp | Place::Reserved { dead: true })
        {
            let _ = self.next();
        }
        if before < self.head {
            self.notice(before);
        }
        self.places[before] == Place::Free
    }

    /// How many slots a producer gets.
    fn room(&mut self, most: usize) -> usize {
        let most = if self.closed { 0 } else { most.min(self.capacity) };
        let tail = self.tail();
        (0..most).take_while(|ahead| self.has_room(tail + ahead)).count()
    }

    fn put(&mut self, places: impl IntoIterator<Item = Place>) {
        self.places.extend(places);
    }
}

enum Guard<'a> {
    Reservation(usize, Reservation<'a, u64>),
    Peeked(usize, Peeked<'a, u64>),
    ReservedBatch(usize, ReservedBatch<'a, u64>),
    PeekedBatch(Vec<usize>, PeekedBatch<'a, u64>),
}

/// A queue, its model, and what is held of both.
struct Pair<'a> {
    queue: &'a Queue<u64>,
    model: Model,
    guards: Vec<Guard<'a>>,
    rng: Rng,
    next: u64,
}

impl<'a> Pair<'a> {
    fn new(queue: &'a Queue<u64>, rng: Rng) -> Self {
        let model = Model { places: Vec::new(), head: 0, capacity: queue.capacity(), closed: false };
        Pair { queue, model, guards: Vec::new(), rng, next: 0 }
    }

    /// A new item.
    fn item(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Up to four.
    fn some(&mut self) -> usize {
        1 + self.rng.below(4) as usize
    }

    /// What a producer gets, if it gets nothing.
    fn refuses<T: std::fmt::Debug, I>(&self, outcome: Result<T, PutError<I>>) {
        match outcome {
            Err(PutError::Closed(_)) => assert!(self.model.closed),
            Err(PutError::Full(_)) => assert!(!self.model.closed),
            other => panic!("{:?} instead of nothing", other.map_err(|error| error.to_string())),
        }
    }

    fn yields<T: std::fmt::Debug>(&self, outcome: Result<T, GetError>, why: Nothing) {
        match (outcome, why) {
            (Err(GetError::Empty), Nothing::Empty) | (Err(GetError::Closed), Nothing::Closed) => {}
            (other, why) => panic!("{other:?} instead of {why:?}"),
        }
    }

    fn put(&mut self) {
        let item = self.item();
        match self.model.room(1) {
            0 => self.refuses(self.queue.try_put(item)),
            _ => {
                self.queue.try_put(item).unwrap();
                self.model.put([Place::Item(item)]);
            }
        }
    }

    fn put_many(&mut self) {
        let items: Vec<u64> = (0..self.some()).map(|_| self.item()).collect();
        if self.model.closed {
            return self.refuses(self.queue.try_put_many(&items));
        }
        let count = self.model.room(items.len());
        assert_eq!(self.queue.try_put_many(&items).unwrap(), count);
        self.model.put(items[..count].iter().map(|&item| Place::Item(item)));
    }

    fn get(&mut self) {
        match self.model.next() {
            Ok(at) => assert_eq!(self.queue.try_get().unwrap(), self.model.take(at, None)),
            Err(why) => self.yields(self.queue.try_get(), why),
        }
    }

    fn get_many(&mut self) {
        let most = self.some().min(self.model.capacity);
        let mut items = Vec::new();
        while items.len() < most {
            match self.model.next() {
                Ok(at) => items.push(self.model.take(at, None)),
                Err(why) if items.is_empty() => return self.yields(self.queue.try_get_many(most), why),
                Err(_) => break,
            }
        }
        assert_eq!(self.queue.try_get_many(most).unwrap(), items);
    }

    fn reserve(&mut self) {
        match self.model.room(1) {
            0 => self.refuses(self.queue.try_reserve()),
            _ => {
                let guard = self.queue.try_reserve().unwrap();
                self.guards.push(Guard::Reservation(self.model.tail(), guard));
                self.model.put([Place::Reserved { dead: false }]);
            }
        }
    }

    fn reserve_many(&mut self) {
        let most = self.some();
        let exact = most <= self.model.capacity && self.rng.one_in(3);
        let count = self.model.room(most);
        let outcome =
            if exact { self.queue.try_reserve_exact(most) } else { self.queue.try_reserve_many(most) };
        if count == 0 || exact && count < most {
            return self.refuses(outcome);
        }
        let guard = outcome.unwrap();
        assert_eq!(guard.len(), count);
        self.guards.push(Guard::ReservedBatch(self.model.tail(), guard));
        self.model.put(vec![Place::Reserved { dead: false }; count]);
    }

    fn peek(&mut self) {
        match self.model.next() {
            Ok(at) => {
                let guard = self.queue.try_peek().unwrap();
                assert_eq!(*guard, self.model.take(at, Some(false)));
                self.guards.push(Guard::Peeked(at, guard));
            }
            Err(why) => self.yields(self.queue.try_peek(), why),
        }
    }

    fn peek_many(&mut self) {
        let most = self.some();
        match self.model.take_batch(most, false) {
            Ok((places, items)) => {
                let guard = self.queue.try_peek_many(most).unwrap();
                assert_eq!(guard.iter().copied().collect::<Vec<_>>(), items);
                self.guards.push(Guard::PeekedBatch(places, guard));
            }
            Err(why) => self.yields(self.queue.try_peek_many(most), why),
        }
    }

    /// Ends one of the holdings, one way or another.
    fn settle(&mut self) {
        if self.guards.is_empty() {
            return;
        }
        let index = self.rng.below(self.guards.len() as u64) as usize;
        let keep = self.rng.one_in(2);
        match self.guards.swap_remove(index) {
            Guard::Reservation(at, guard) => {
                let item = self.item();
                self.model.places[at] = if keep { Place::Item(item) } else { Place::GivenUp };
                if keep { guard.commit(item) } else { drop(guard) }
            }
            Guard::Peeked(at, guard) => {
                self.model.places[at] = if keep { Place::GivenBack(*guard) } else { Place::Free };
                if keep { drop(guard) } else { guard.release() }
            }
            Guard::ReservedBatch(first, mut guard) => {
                let written = self.rng.below(guard.len() as u64 + 1) as usize;
                for ahead in 0..guard.len() {
                    let item = self.item();
                    let is_item = ahead < written && guard.push(item).is_ok();
                    self.model.places[first + ahead] =
                        if is_item { Place::Item(item) } else { Place::GivenUp };
                }
                assert_eq!(guard.commit(), written);
            }
            Guard::PeekedBatch(places, guard) => {
                let done = self.rng.below(guard.len() as u64 + 1) as usize;
                for (index, &at) in places.iter().enumerate() {
                    self.model.places[at] =
                        if index < done { Place::Free } else { Place::GivenBack(guard[index]) };
                }
                guard.release_some(done);
            }
        }
    }

    /// A process takes hold of something and ends.
    fn die(&mut self) {
        let (reads, most, page) = (self.rng.one_in(2), self.some(), Page::new(4096));
        let dying = Child::fork(|| {
            let count = if reads {
                self.queue.try_peek_many(most).map_or(0, |guard| (guard.len(), std::mem::forget(guard)).0)
            } else {
                self.queue.try_reserve_many(most).map_or(0, |guard| (guard.len(), std::mem::forget(guard)).0)
            };
            page.u64s()[0].store(count as u64, SeqCst);
        });
        dying.wait(PATIENCE).unwrap();
        let count = if reads {
            self.model.take_batch(most, true).map_or(0, |(places, _)| places.len())
        } else {
            let count = self.model.room(most);
            self.model.put(vec![Place::Reserved { dead: true }; count]);
            count
        };
        assert_eq!(page.u64s()[0].load(SeqCst), count as u64, "held by the dead; reading: {reads}");
    }

    fn step(&mut self, deaths: bool) {
        match self.rng.below(if deaths { 15 } else { 13 }) {
            0 | 1 => self.put(),
            2 => self.put_many(),
            3 | 4 => self.get(),
            5 => self.get_many(),
            6 => self.reserve(),
            7 => self.peek(),
            8 => self.reserve_many(),
            9 => self.peek_many(),
            10 | 11 => self.settle(),
            12 if self.rng.one_in(10) => {
                self.queue.close().unwrap();
                self.model.closed = true;
            }
            12 => {}
            _ => self.die(),
        }
    }
}

fn agree(rounds: u64, deaths: bool) {
    let first = std::env::var("PROCSHARE_SEED").map_or(1, |_| Rng::seed_from_env());
    for seed in (0..rounds).map(|round| first.wrapping_add(round)) {
        let mut rng = Rng::new(seed);
        let queue = Queue::anonymous(1 + rng.below(6) as usize).unwrap();
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut pair = Pair::new(&queue, rng);
            (0..80).for_each(|_| pair.step(deaths));
        }));
        assert!(told.is_ok(), "PROCSHARE_SEED={seed}, a queue of {}", queue.capacity());
    }
}

#[test]
fn all_calls_do_what_the_model_does() {
    watchdog(PATIENCE, || agree(1000, false));
}

#[test]
fn the_dead_leave_what_the_model_says() {
    watchdog(PATIENCE, || agree(40, true));
}

#[test]
#[ignore = "takes minutes"]
fn all_calls_do_what_the_model_does_for_long() {
    watchdog(30 * PATIENCE, || (agree(100_000, false), agree(3_000, true)));
}
