//! `Queue`: the ring of slots.

use super::{Made, one_of};
use crate::model::{explore, join, kill_at_every_step};
use crate::queue::ring::RingHead;
use crate::queue::stamp::StampWord;
use crate::queue::{GetError, PutError, Queue};

/// An item of two bytes: large enough to be torn.
type Item = u16;

const ONE: Item = 0x0101;
const TWO: Item = 0x0202;
const THREE: Item = 0x0303;
const FOUR: Item = 0x0404;

fn ring(capacity: usize) -> Made {
    Made::new::<Queue<Item>>(capacity, |segment| {
        segment.place(0, vec![RingHead::default()]);
        let stamps = (segment.body().1 - size_of::<RingHead>()) / 8;
        segment.place(size_of::<RingHead>(), (0..stamps).map(|_| StampWord::default()).collect());
    })
}

/// All that is in the queue now.
fn drain(queue: &Queue<Item>) -> Vec<Item> {
    queue.try_iter().collect()
}

#[test]
fn items_come_through_in_order_and_whole() {
    explore(2, |world| {
        let made = ring(1);
        let mine = made.attach::<Queue<Item>>(world, 1);
        let producer =
            world.spawn(1, move |_| [ONE, TWO].into_iter().for_each(|item| mine.put(item).expect("open")));
        let queue = made.attach::<Queue<Item>>(world, 2);
        assert_eq!([ONE, TWO].map(|_| queue.get().expect("open")), [ONE, TWO]);
        producer.join();
    });
}

#[test]
fn two_producers_and_a_consumer_wake_each_other() {
    explore(1, |world| {
        let made = ring(1);
        let producers = [(1, ONE), (2, TWO)].map(|(id, item)| {
            let mine = made.attach::<Queue<Item>>(world, id);
            world.spawn(id, move |_| mine.put(item).expect("open"))
        });
        let queue = made.attach::<Queue<Item>>(world, 3);
        let mut got = [ONE, TWO].map(|_| queue.get().expect("open"));
        got.sort_unstable();
        assert_eq!(got, [ONE, TWO]);
        join(producers);
    });
}

#[test]
fn two_consumers_and_a_producer_wake_each_other() {
    explore(1, |world| {
        let made = ring(1);
        let consumers = [1, 2].map(|id| {
            let mine = made.attach::<Queue<Item>>(world, id);
            world.spawn(id, move |_| assert!([ONE, TWO].contains(&mine.get().expect("open"))))
        });
        let queue = made.attach::<Queue<Item>>(world, 3);
        [ONE, TWO].into_iter().for_each(|item| queue.put(item).expect("open"));
        join(consumers);
    });
}

#[test]
fn what_was_put_before_a_close_is_delivered_and_nobody_sleeps_on() {
    explore(2, |world| {
        let made = ring(1);
        let mine = made.attach::<Queue<Item>>(world, 1);
        let consumer = world.spawn(1, move |_| {
            assert!(matches!(mine.get(), Ok(ONE)));
            assert!(matches!(mine.get(), Err(GetError::Closed)));
        });
        let queue = made.attach::<Queue<Item>>(world, 2);
        queue.put(ONE).expect("open");
        queue.close().expect("nobody is in the way");
        consumer.join();
        assert!(matches!(queue.put(TWO), Err(PutError::Closed(TWO))));
    });
}

#[test]
fn what_is_written_in_place_is_read_in_place() {
    explore(2, |world| {
        let made = ring(1);
        let mine = made.attach::<Queue<Item>>(world, 1);
        let producer = world.spawn(1, move |_| {
            for item in [ONE, TWO] {
                mine.reserve().expect("open").commit(item);
            }
        });
        let queue = made.attach::<Queue<Item>>(world, 2);
        for item in [ONE, TWO] {
            let found = queue.peek().expect("open");
            assert_eq!(*found, item);
            found.release();
        }
        producer.join();
    });
}

#[test]
fn whoever_waits_behind_a_reservation_is_woken_by_its_end() {
    explore(2, |world| {
        let made = ring(2);
        let mine = made.attach::<Queue<Item>>(world, 1);
        let other = world.spawn(1, move |_| mine.reserve().expect("open").commit(ONE));
        let queue = made.attach::<Queue<Item>>(world, 2);
        queue.reserve().expect("open").commit(TWO);
        let mut got = [(); 2].map(|()| {
            let item = queue.peek().expect("open");
            let found = *item;
            item.release();
            found
        });
        got.sort_unstable();
        assert_eq!(got, [ONE, TWO]);
        other.join();
    });
}

#[test]
fn whenever_a_producer_is_killed_its_item_is_there_or_never_was() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(1);
        let fated_one = made.attach::<Queue<Item>>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.put(ONE)));
        let mine = made.attach::<Queue<Item>>(world, 2);
        let producer = world.spawn(2, move |_| mine.put(TWO).expect("open"));
        let queue = made.attach::<Queue<Item>>(world, 3);
        let mut got = Vec::new();
        while !got.contains(&TWO) {
            got.push(queue.get().expect("open"));
        }
        producer.join();
        world.await_end(1);
        got.extend(drain(&queue));
        assert!(one_of(&got, [&[TWO], &[ONE, TWO], &[TWO, ONE]]), "{got:x?}");
    });
}

#[test]
fn whenever_a_consumer_is_killed_the_others_get_the_rest_and_all_room() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(2);
        let fated_one = made.attach::<Queue<Item>>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.get()));
        let queue = made.attach::<Queue<Item>>(world, 2);
        [ONE, TWO].into_iter().for_each(|item| queue.put(item).expect("open"));
        world.await_end(1);
        let got = drain(&queue);
        assert!(one_of(&got, [&[ONE, TWO], &[TWO]]), "{got:x?}");
        [THREE, FOUR].into_iter().for_each(|item| queue.try_put(item).expect("all room is back"));
        assert_eq!(drain(&queue), [THREE, FOUR]);
    });
}

#[test]
fn whenever_somebody_who_writes_in_place_is_killed_consumers_go_on() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(2);
        let fated_one = made.attach::<Queue<Item>>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.reserve().map(|slot| slot.commit(ONE))));
        let mine = made.attach::<Queue<Item>>(world, 2);
        let consumer = world.spawn(2, move |_| {
            loop {
                let item = mine.peek().expect("open");
                let last = *item == TWO;
                item.release();
                if last {
                    return;
                }
            }
        });
        let queue = made.attach::<Queue<Item>>(world, 3);
        queue.reserve().expect("open").commit(TWO);
        consumer.join();
        world.await_end(1);
        let rest = peek_all(&queue);
        assert!(one_of(&rest, [&[], &[ONE]]), "{rest:x?}");
        [THREE, FOUR].into_iter().for_each(|item| queue.try_put(item).expect("all room is back"));
        assert_eq!(drain(&queue), [THREE, FOUR]);
    });
}

#[test]
fn whenever_a_reader_in_place_is_killed_another_one_gets_the_item_or_it_was_done() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(1);
        let queue = made.attach::<Queue<Item>>(world, 2);
        queue.reserve().expect("open").commit(ONE);
        let fated_one = made.attach::<Queue<Item>>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.peek().map(|item| item.release())));
        let mine = made.attach::<Queue<Item>>(world, 3);
        let producer = world.spawn(3, move |_| mine.reserve().expect("open").commit(TWO));
        world.await_end(1);
        // The first may come twice, to the dead and to this one; the second comes when there is room for it.
        loop {
            let item = queue.peek().expect("open");
            let found = *item;
            item.release();
            assert!([ONE, TWO].contains(&found), "{found:x?}");
            if found == TWO {
                break;
            }
        }
        producer.join();
        assert!(queue.try_peek().is_err());
        assert_eq!(queue.counts().0, 2);
    });
}

/// What can be read in place now, released one by one.
fn peek_all(queue: &Queue<Item>) -> Vec<Item> {
    std::iter::from_fn(|| {
        let item = queue.try_peek().ok()?;
        let found = *item;
        item.release();
        Some(found)
    })
    .collect()
}

fn put_batch(queue: &Queue<Item>, items: [Item; 2]) {
    let mut batch = queue.reserve_many(2).expect("there is room for two");
    assert_eq!(batch.extend_from_slice(&items), 2);
    assert_eq!(batch.commit(), 2);
}

#[test]
fn whenever_the_writer_of_a_batch_is_killed_all_of_it_is_there_or_nothing() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(3);
        let fated_one = made.attach::<Queue<Item>>(world, 1);
        world.spawn_fated(1, fated, move |_| put_batch(&fated_one, [ONE, TWO]));
        let queue = made.attach::<Queue<Item>>(world, 2);
        queue.reserve().expect("open").commit(THREE);
        let first = queue.peek().expect("open");
        let mut got = vec![*first];
        first.release();
        world.await_end(1);
        got.extend(peek_all(&queue));
        assert!(one_of(&got, [&[THREE], &[ONE, TWO, THREE], &[THREE, ONE, TWO]]), "{got:x?}");
        [ONE, TWO, FOUR].into_iter().for_each(|item| queue.try_put(item).expect("all room is back"));
        assert_eq!(drain(&queue), [ONE, TWO, FOUR]);
    });
}

#[test]
fn whenever_a_reader_of_a_batch_is_killed_the_others_get_the_rest() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(3);
        let queue = made.attach::<Queue<Item>>(world, 2);
        put_batch(&queue, [ONE, TWO]);
        let fated_one = made.attach::<Queue<Item>>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.try_peek_many(2).map(|items| items.release())));
        queue.reserve().expect("open").commit(THREE);
        world.await_end(1);
        let mut got = peek_all(&queue);
        // What the dead had comes when somebody notices.
        got.sort_unstable();
        let rest: [&[Item]; 4] = [&[ONE, TWO, THREE], &[TWO, THREE], &[THREE], &[ONE, TWO]];
        assert!(one_of(&got, rest), "{got:x?}");
        [ONE, TWO, FOUR].into_iter().for_each(|item| queue.try_put(item).expect("all room is back"));
        assert_eq!(drain(&queue), [ONE, TWO, FOUR]);
    });
}
