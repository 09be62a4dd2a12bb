//! Models of the ring; see `crate::model`. Each step here is one of `ring`, in its order; only copied batches, reading in place and
//! the figures for display are left out.

use std::rc::Rc;

use super::ring::{NotPut, NotTaken, Waiting};
use super::stamp::{Stamp, StampWord, State};
use super::wait::until;
use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::model::{Guarded, Participant, explore, join, kill_at_every_step};
use crate::participant::{Fate, Host};
use crate::sync::{Entry, EventCount, LockWord};
use crate::time::Deadline;

/// The most slots of a model.
const SLOTS: usize = 3;

#[derive(Default)]
struct Side {
    lock: LockWord,
    position: AtomicU64,
    events: EventCount,
    watch: AtomicU32,
}

/// A ring of numbers.
struct Ring {
    capacity: u64,
    closed: AtomicU32,
    /// Its events are for consumers.
    put: Side,
    /// Its events are for producers.
    take: Side,
    stamps: [StampWord; SLOTS],
    items: [Guarded<u32>; SLOTS],
}

impl Ring {
    fn new(capacity: u64) -> Rc<Self> {
        let ring = Ring {
            capacity,
            closed: AtomicU32::default(),
            put: Side::default(),
            take: Side::default(),
            stamps: Default::default(),
            items: Default::default(),
        };
        for slot in 0..capacity {
            ring.stamp(slot).store(Stamp::new(State::Empty, slot, 0));
        }
        Rc::new(ring)
    }

    fn slot(&self, position: u64) -> usize {
        (position % self.capacity) as usize
    }

    fn stamp(&self, position: u64) -> &StampWord {
        &self.stamps[self.slot(position)]
    }

    fn is_closed(&self) -> bool {
        self.closed.load(SeqCst) != 0
    }

    /// Runs `work` with the lock of a side.
    fn under<R>(&self, side: &Side, by: &Participant, work: impl FnOnce() -> R) -> R {
        if !side.lock.acquire_fast(by.owner()) {
            let entry = side.lock.acquire_slow(by, by.owner(), Deadline::Never);
            if entry.expect("waits as long as it takes") != Entry::Clean {
                if std::ptr::eq(side, &self.put) {
                    self.mend_tail();
                }
                side.lock.make_consistent();
            }
        }
        let result = work();
        assert!(side.lock.release_announcing(by, by.owner()));
        result
    }

    fn free_tail(&self, by: &Participant) -> Result<u64, NotPut> {
        let mut tail = self.put.position.load(Relaxed);
        loop {
            let stamp = self.stamp(tail).load();
            if stamp.is(State::Empty, tail) {
                return if self.is_closed() { Err(NotPut::Closed) } else { Ok(tail) };
            }
            if self.is_closed() {
                return Err(NotPut::Closed);
            }
            let before = tail.wrapping_sub(self.capacity);
            if stamp.is_of(tail) || stamp.is(State::Empty, tail + self.capacity) {
                tail += 1;
                self.put.position.store(tail, Relaxed);
                continue;
            }
            assert!(stamp.is_of(before), "{stamp:?} at {tail}");
            match stamp.state() {
                Some(State::Committed | State::Skipped) if self.take.position.load(Relaxed) > before => {
                    self.finish_consuming(by, before);
                }
                _ => return Err(NotPut::Full),
            }
        }
    }

    fn finish_consuming(&self, by: &Participant, before: u64) {
        self.under(&self.take, by, || {
            let stamp = self.stamp(before).load();
            if stamp.is_of(before)
                && matches!(stamp.state(), Some(State::Committed | State::Skipped))
                && self.take.position.load(Relaxed) > before
            {
                self.stamp(before).store(Stamp::new(State::Empty, before + self.capacity, 0));
            }
        });
    }

    fn try_put(&self, by: &Participant, item: u32) -> Result<(), NotPut> {
        let outcome = self.under(&self.put, by, || {
            let tail = self.free_tail(by)?;
            self.items[self.slot(tail)].set(item);
            self.stamp(tail).store(Stamp::new(State::Committed, tail, 0));
            self.put.position.store(tail + 1, Relaxed);
            Ok(())
        });
        if outcome.is_ok() {
            self.put.events.notify(by, 1);
        }
        outcome
    }

    fn waiting<'a>(&self, sleepers: &'a Side, publisher: &'a Side) -> Waiting<'a> {
        Waiting { events: &sleepers.events, watch: &sleepers.watch, publisher: Some(&publisher.lock) }
    }

    fn put(&self, by: &Participant, item: u32) -> Result<(), NotPut> {
        let waiting = self.waiting(&self.take, &self.take);
        until(by, by.owner().id(), waiting, Deadline::Never, || self.try_put(by, item))
    }

    fn consume(&self, position: u64) {
        self.take.position.store(position + 1, Release);
        self.stamp(position).store(Stamp::new(State::Empty, position + self.capacity, 0));
    }

    fn next(&self, by: &Participant) -> Result<u64, NotTaken> {
        let mut head = self.take.position.load(Relaxed);
        loop {
            let word = self.stamp(head);
            let stamp = word.load();
            let state = match stamp.state() {
                Some(_) if stamp.is_of(head.wrapping_sub(self.capacity)) => Some(State::Empty),
                state => state.filter(|_| stamp.is_of(head)),
            };
            match state.expect("a stamp of this lap or the one before") {
                State::Committed | State::Skipped if stamp.id() != 0 => self.unpack(head, stamp),
                State::Committed => return Ok(head),
                State::Empty => {
                    let drained = self.is_closed() && word.load() == stamp;
                    return Err(if drained { NotTaken::Closed } else { NotTaken::Empty });
                }
                State::Reserved if stamp.id() == 0 => panic!("nobody's slot at {head}"),
                State::Reserved if by.fate(stamp.id()) == Fate::Gone => {
                    let batch = u32::from(self.followers(head) > 0);
                    word.replace(stamp, Stamp::new(State::Skipped, head, batch));
                }
                State::Reserved => return Err(NotTaken::Empty),
                State::Skipped => {
                    self.consume(head);
                    self.take.events.notify(by, 1);
                    head += 1;
                }
                other => panic!("nobody reads in place: {other:?}"),
            }
        }
    }

    fn try_get(&self, by: &Participant) -> Result<u32, NotTaken> {
        let outcome = self.under(&self.take, by, || {
            let position = self.next(by)?;
            let item = self.items[self.slot(position)].get();
            self.consume(position);
            Ok(item)
        });
        if outcome.is_ok() {
            self.take.events.notify(by, 1);
        }
        outcome
    }

    fn get(&self, by: &Participant) -> Result<u32, NotTaken> {
        let waiting = self.waiting(&self.put, &self.put);
        until(by, by.owner().id(), waiting, Deadline::Never, || self.try_get(by))
    }

    fn close(&self, by: &Participant) {
        self.under(&self.put, by, || self.closed.store(1, SeqCst));
        self.put.events.notify_all(by);
        self.take.events.notify_all(by);
    }

    /// Reserves a slot, writes the item in place, and commits it.
    fn put_in_place(&self, by: &Participant, item: u32) {
        let id = by.owner().id();
        let tail = self.under(&self.put, by, || {
            let tail = self.free_tail(by).expect("there is room");
            self.stamp(tail).store(Stamp::new(State::Reserved, tail, id));
            self.put.position.store(tail + 1, Relaxed);
            tail
        });
        self.items[self.slot(tail)].set(item);
        let (held, next) = (Stamp::new(State::Reserved, tail, id), Stamp::new(State::Committed, tail, 0));
        assert!(self.stamp(tail).replace(held, next), "somebody took a living one's slot");
        self.put.events.notify(by, 1);
    }

    fn followers(&self, first: u64) -> u64 {
        let follows = |ahead: &u64| self.stamp(first + ahead).load().is_follower(first + ahead);
        (1..self.capacity).take_while(follows).count() as u64
    }

    fn unpack(&self, first: u64, stamp: Stamp) {
        let items = if stamp.is(State::Committed, first) { u64::from(stamp.id()) } else { 0 };
        for ahead in (0..=self.followers(first)).rev() {
            let state = if ahead < items { State::Committed } else { State::Skipped };
            self.stamp(first + ahead).store(Stamp::new(state, first + ahead, 0));
        }
    }

    fn mend_tail(&self) {
        let tail = self.put.position.load(Relaxed);
        let count = self.followers(tail);
        if count == 0 {
            return;
        }
        if self.stamp(tail).load().is(State::Empty, tail) {
            for ahead in (1..=count).rev() {
                self.stamp(tail + ahead).store(Stamp::new(State::Empty, tail + ahead, 0));
            }
        } else {
            self.put.position.store(tail + count + 1, Relaxed);
        }
    }

    /// Reserves two slots, writes the items in place, and commits them in one step.
    fn put_batch(&self, by: &Participant, items: [u32; 2]) {
        let id = by.owner().id();
        let tail = self.under(&self.put, by, || {
            let tail = self.free_tail(by).expect("there is room");
            assert!(self.stamp(tail + 1).load().is(State::Empty, tail + 1), "there is room for two");
            self.stamp(tail + 1).store(Stamp::follower(tail + 1));
            self.stamp(tail).store(Stamp::new(State::Reserved, tail, id));
            self.put.position.store(tail + 2, Relaxed);
            tail
        });
        for (position, item) in (tail..).zip(items) {
            self.items[self.slot(position)].set(item);
        }
        let (held, next) = (Stamp::new(State::Reserved, tail, id), Stamp::new(State::Committed, tail, 2));
        assert!(self.stamp(tail).replace(held, next), "somebody took a living one's slots");
        self.put.events.notify(by, 2);
    }

    /// All that is in the ring now.
    fn drain(&self, by: &Participant) -> Vec<u32> {
        std::iter::from_fn(|| self.try_get(by).ok()).collect()
    }
}

#[test]
fn items_come_through_in_order_and_whole() {
    explore(2, |world| {
        let ring = Ring::new(1);
        let producer = world.spawn(1, {
            let ring = Rc::clone(&ring);
            move |me| [1, 2].into_iter().for_each(|item| ring.put(me, item).expect("open"))
        });
        let me = world.participant(2);
        assert_eq!([1, 2].map(|_| ring.get(&me).expect("open")), [1, 2]);
        producer.join();
    });
}

#[test]
fn two_producers_and_a_consumer_wake_each_other() {
    explore(1, |world| {
        let ring = Ring::new(1);
        let producers = [1, 2].map(|id| {
            let ring = Rc::clone(&ring);
            world.spawn(id, move |me| ring.put(me, id).expect("open"))
        });
        let me = world.participant(3);
        let mut got = [1, 2].map(|_| ring.get(&me).expect("open"));
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
        join(producers);
    });
}

#[test]
fn two_consumers_and_a_producer_wake_each_other() {
    explore(1, |world| {
        let ring = Ring::new(1);
        let consumers = [1, 2].map(|id| {
            let ring = Rc::clone(&ring);
            world.spawn(id, move |me| drop(ring.get(me).expect("open")))
        });
        let me = world.participant(3);
        [1, 2].into_iter().for_each(|item| ring.put(&me, item).expect("open"));
        join(consumers);
    });
}

#[test]
fn what_was_put_before_a_close_is_delivered_and_nobody_sleeps_on() {
    explore(2, |world| {
        let ring = Ring::new(1);
        let consumer = world.spawn(1, {
            let ring = Rc::clone(&ring);
            move |me| {
                assert!(matches!(ring.get(me), Ok(1)));
                assert!(matches!(ring.get(me), Err(NotTaken::Closed)));
            }
        });
        let me = world.participant(2);
        ring.put(&me, 1).expect("open");
        ring.close(&me);
        consumer.join();
        assert!(matches!(ring.put(&me, 2), Err(NotPut::Closed)));
    });
}

#[test]
fn whenever_a_producer_is_killed_its_item_is_there_or_never_was() {
    kill_at_every_step(1, |world, fated| {
        let ring = Ring::new(1);
        world.spawn_fated(1, fated, {
            let ring = Rc::clone(&ring);
            move |me| drop(ring.put(me, 1))
        });
        let producer = world.spawn(2, {
            let ring = Rc::clone(&ring);
            move |me| ring.put(me, 2).expect("open")
        });
        let me = world.participant(3);
        let mut got = Vec::new();
        while !got.contains(&2) {
            got.push(ring.get(&me).expect("open"));
        }
        producer.join();
        world.await_end(1);
        got.extend(ring.drain(&me));
        assert!([&[2][..], &[1, 2], &[2, 1]].contains(&&got[..]), "{got:?}");
    });
}

#[test]
fn whenever_a_consumer_is_killed_the_others_get_the_rest_and_all_room() {
    kill_at_every_step(1, |world, fated| {
        let ring = Ring::new(2);
        world.spawn_fated(1, fated, {
            let ring = Rc::clone(&ring);
            move |me| drop(ring.get(me))
        });
        let me = world.participant(2);
        [1, 2].into_iter().for_each(|item| ring.put(&me, item).expect("open"));
        world.await_end(1);
        let got = ring.drain(&me);
        assert!([&[1, 2][..], &[2]].contains(&&got[..]), "{got:?}");
        [3, 4].into_iter().for_each(|item| ring.try_put(&me, item).expect("all room is back"));
        assert_eq!(ring.drain(&me), [3, 4]);
    });
}

#[test]
fn whenever_a_reserver_is_killed_its_slot_is_skipped_and_consumers_go_on() {
    kill_at_every_step(1, |world, fated| {
        let ring = Ring::new(2);
        world.spawn_fated(1, fated, {
            let ring = Rc::clone(&ring);
            move |me| ring.put_in_place(me, 1)
        });
        let consumer = world.spawn(2, {
            let ring = Rc::clone(&ring);
            move |me| while ring.get(me).expect("open") != 2 {}
        });
        let me = world.participant(3);
        ring.put(&me, 2).expect("open");
        consumer.join();
        world.await_end(1);
        let rest = ring.drain(&me);
        assert!(rest.is_empty() || rest == [1], "{rest:?}");
        [3, 4].into_iter().for_each(|item| ring.try_put(&me, item).expect("all room is back"));
        assert_eq!(ring.drain(&me), [3, 4]);
    });
}

#[test]
fn whenever_the_writer_of_a_batch_is_killed_all_of_it_is_there_or_nothing() {
    kill_at_every_step(1, |world, fated| {
        let ring = Ring::new(3);
        world.spawn_fated(1, fated, {
            let ring = Rc::clone(&ring);
            move |me| ring.put_batch(me, [1, 2])
        });
        let me = world.participant(2);
        ring.put(&me, 3).expect("open");
        let mut got = vec![ring.get(&me).expect("open")];
        world.await_end(1);
        got.extend(ring.drain(&me));
        assert!([&[3][..], &[1, 2, 3], &[3, 1, 2]].contains(&&got[..]), "{got:?}");
        [4, 5, 6].into_iter().for_each(|item| ring.try_put(&me, item).expect("all room is back"));
        assert_eq!(ring.drain(&me), [4, 5, 6]);
    });
}

#[test]
fn whenever_the_consumer_of_a_batch_is_killed_the_others_get_the_rest() {
    kill_at_every_step(1, |world, fated| {
        let ring = Ring::new(3);
        let me = world.participant(2);
        ring.put_batch(&me, [1, 2]);
        world.spawn_fated(1, fated, {
            let ring = Rc::clone(&ring);
            move |me| drop(ring.get(me))
        });
        ring.put(&me, 3).expect("open");
        let mut got = vec![ring.get(&me).expect("open")];
        world.await_end(1);
        got.extend(ring.drain(&me));
        assert!([&[1, 2, 3][..], &[2, 3], &[1, 3]].contains(&&got[..]), "{got:?}");
        [4, 5, 6].into_iter().for_each(|item| ring.try_put(&me, item).expect("all room is back"));
        assert_eq!(ring.drain(&me), [4, 5, 6]);
    });
}
