//! `BytesQueue`: the ring of frames.

use super::Made;
use crate::model::{explore, join, kill_at_every_step};
use crate::queue::frames::{FrameHead, FrameRingHead, UNIT};
use crate::queue::{BytesQueue, GetError, PutError};

/// Room for two frames of one unit each behind their heads.
const CAPACITY: usize = 48;

fn ring(capacity: usize) -> Made {
    Made::new::<BytesQueue>(capacity, |segment| {
        segment.place(0, vec![FrameRingHead::default()]);
        let first = size_of::<FrameRingHead>();
        let units = (segment.body().1 - first) / UNIT as usize;
        segment.place(first, (0..units).map(|_| FrameHead::default()).collect());
    })
}

/// An item of two bytes: large enough to be torn.
fn item(number: u8) -> [u8; 2] {
    [number; 2]
}

fn number(item: &[u8]) -> u8 {
    assert!(matches!(item, [one, two] if one == two), "torn: {item:?}");
    item[0]
}

fn drain(queue: &BytesQueue) -> Vec<u8> {
    queue.try_iter().map(|item| number(&item)).collect()
}

/// All room is there, in one piece.
fn assert_room(queue: &BytesQueue) {
    let whole = vec![7; queue.capacity()];
    queue.try_put(&whole).expect("all room is back");
    assert_eq!(queue.try_get().expect("it was put"), whole);
    let (put, taken) = queue.counts();
    assert_eq!(put, taken);
}

#[test]
fn items_come_through_in_order_and_whole() {
    explore(2, |world| {
        // The second lies behind padding, where the first was.
        let made = ring(16);
        let mine = made.attach::<BytesQueue>(world, 1);
        let producer = world.spawn(1, move |_| (1..=2).for_each(|it| mine.put(&item(it)).expect("open")));
        let queue = made.attach::<BytesQueue>(world, 2);
        assert_eq!([1, 2].map(|_| number(&queue.get().expect("open"))), [1, 2]);
        producer.join();
    });
}

#[test]
fn two_producers_and_a_consumer_wake_each_other() {
    explore(1, |world| {
        let made = ring(16);
        let producers = [1, 2].map(|id| {
            let mine = made.attach::<BytesQueue>(world, id);
            world.spawn(id, move |_| mine.put(&item(id as u8)).expect("open"))
        });
        let queue = made.attach::<BytesQueue>(world, 3);
        let mut got = [1, 2].map(|_| number(&queue.get().expect("open")));
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
        join(producers);
    });
}

#[test]
fn what_was_put_before_a_close_is_delivered_and_nobody_sleeps_on() {
    explore(2, |world| {
        let made = ring(16);
        let mine = made.attach::<BytesQueue>(world, 1);
        let consumer = world.spawn(1, move |_| {
            assert_eq!(number(&mine.get().expect("it was put")), 1);
            assert!(matches!(mine.get(), Err(GetError::Closed)));
        });
        let queue = made.attach::<BytesQueue>(world, 2);
        queue.put(&item(1)).expect("open");
        queue.close().expect("nobody is in the way");
        consumer.join();
        assert!(matches!(queue.put(&item(2)), Err(PutError::Closed(()))));
    });
}

#[test]
fn whoever_waits_behind_a_reservation_is_woken_by_its_end() {
    explore(2, |world| {
        let made = ring(CAPACITY);
        let mine = made.attach::<BytesQueue>(world, 1);
        let other = world.spawn(1, move |_| mine.reserve(1).expect("open").commit());
        let queue = made.attach::<BytesQueue>(world, 2);
        queue.put(&item(2)).expect("open");
        let mut lengths = [(); 2].map(|()| queue.get().expect("open").len());
        lengths.sort_unstable();
        assert_eq!(lengths, [1, 2]);
        other.join();
    });
}

#[test]
fn whenever_a_producer_is_killed_its_item_is_there_or_never_was() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(CAPACITY);
        let fated_one = made.attach::<BytesQueue>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.put(&item(1))));
        let queue = made.attach::<BytesQueue>(world, 2);
        queue.put(&item(2)).expect("open");
        world.await_end(1);
        let got = drain(&queue);
        assert!([&[2][..], &[1, 2], &[2, 1]].contains(&&got[..]), "{got:?}");
        assert_room(&queue);
    });
}

#[test]
fn whenever_a_consumer_is_killed_the_others_get_the_rest_and_all_room() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(CAPACITY);
        let fated_one = made.attach::<BytesQueue>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.get()));
        let queue = made.attach::<BytesQueue>(world, 2);
        (1..=2).for_each(|it| queue.put(&item(it)).expect("open"));
        world.await_end(1);
        let got = drain(&queue);
        assert!([&[1, 2][..], &[2]].contains(&&got[..]), "{got:?}");
        assert_room(&queue);
    });
}

#[test]
fn whenever_somebody_who_writes_in_place_is_killed_consumers_go_on() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(CAPACITY);
        let fated_one = made.attach::<BytesQueue>(world, 1);
        // What it writes does not matter: what is lent and what is copied are two things in a model.
        world.spawn_fated(1, fated, move |_| drop(fated_one.reserve(1).map(|room| room.commit())));
        let queue = made.attach::<BytesQueue>(world, 2);
        queue.put(&item(2)).expect("open");
        while queue.get().expect("open").len() == 1 {}
        world.await_end(1);
        assert!(queue.try_iter().all(|item| item.len() == 1));
        assert_room(&queue);
    });
}

#[test]
fn whenever_a_reader_in_place_is_killed_another_one_gets_the_item_or_it_was_done() {
    kill_at_every_step(1, |world, fated| {
        let made = ring(16);
        let queue = made.attach::<BytesQueue>(world, 2);
        queue.put(&item(1)).expect("open");
        let fated_one = made.attach::<BytesQueue>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.try_peek().map(|item| item.release())));
        // There is room for the second when the first is done; if the reader dies, this is who gets the first.
        while queue.try_put(&item(2)).is_err() {
            if let Ok(found) = queue.try_get() {
                assert_eq!(number(&found), 1);
            }
            crate::atomic::yield_now();
        }
        world.await_end(1);
        // Unless a late reader has had the second.
        assert!(drain(&queue).iter().all(|&it| it == 2));
        assert_room(&queue);
    });
}
