//! `SpscQueue`: two ends without a lock. Items are lent, so loom sees whoever touches a slot that is not his yet.

use super::Made;
use crate::model::{explore, kill_at_every_step};
use crate::queue::spsc::SpscHead;
use crate::queue::{GetError, PutError, SpscQueue};

type Ends = SpscQueue<u16>;

fn queue(capacity: usize) -> Made {
    Made::new::<Ends>(capacity, |segment| segment.place(0, vec![SpscHead::default()]))
}

#[test]
fn items_come_through_in_order_and_nobody_touches_a_slot_of_the_other() {
    explore(2, |world| {
        let made = queue(1);
        let mine = made.attach::<Ends>(world, 1);
        let other = world.spawn(1, move |_| {
            let mut producer = mine.producer().expect("nobody has it");
            [1, 2, 3].into_iter().for_each(|item| producer.put(item).expect("open"));
        });
        let queue = made.attach::<Ends>(world, 2);
        let mut consumer = queue.consumer().expect("nobody has it");
        assert_eq!([(); 3].map(|()| consumer.get().expect("open")), [1, 2, 3]);
        other.join();
    });
}

#[test]
fn batches_come_through_across_the_rings_end() {
    explore(2, |world| {
        let made = queue(2);
        let mine = made.attach::<Ends>(world, 1);
        let other = world.spawn(1, move |_| {
            let mut producer = mine.producer().expect("nobody has it");
            producer.put(1).expect("open");
            producer.put_many(&[2, 3]).expect("open");
        });
        let queue = made.attach::<Ends>(world, 2);
        let mut consumer = queue.consumer().expect("nobody has it");
        let mut got = Vec::new();
        while got.len() < 3 {
            got.extend(consumer.get_many(2).expect("open"));
        }
        assert_eq!(got, [1, 2, 3]);
        other.join();
    });
}

#[test]
fn a_close_wakes_and_what_was_put_before_it_is_delivered() {
    explore(2, |world| {
        let made = queue(1);
        let mine = made.attach::<Ends>(world, 1);
        let other = world.spawn(1, move |_| {
            let mut producer = mine.producer().expect("nobody has it");
            producer.put(1).expect("open");
            producer.close();
        });
        let queue = made.attach::<Ends>(world, 2);
        let mut consumer = queue.consumer().expect("nobody has it");
        assert!(matches!(consumer.get(), Ok(1)));
        assert!(matches!(consumer.get(), Err(GetError::Closed)));
        other.join();
    });
}

/// The end goes from hand to hand, and with it what was put.
#[test]
fn an_end_that_is_given_back_is_taken_where_it_was() {
    explore(2, |world| {
        let made = queue(2);
        let mine = made.attach::<Ends>(world, 1);
        let other = world.spawn(1, move |_| {
            while let Err(PutError::Failed(..)) | Ok(()) = match mine.producer() {
                Ok(mut producer) => {
                    producer.put(1).expect("open");
                    return;
                }
                Err(error) => Err(PutError::Failed((), error)),
            } {
                crate::atomic::yield_now();
            }
        });
        let queue = made.attach::<Ends>(world, 2);
        if let Ok(mut producer) = queue.producer() {
            producer.put(2).expect("open");
            drop(producer);
            other.join();
            let mut consumer = queue.consumer().expect("nobody has it");
            let mut got = consumer.get_many(2).expect("open");
            got.sort_unstable();
            assert_eq!(got, [1, 2]);
        } else {
            other.join();
        }
    });
}

#[test]
fn whenever_a_producer_is_killed_its_successor_goes_on_where_it_was() {
    kill_at_every_step(1, |world, fated| {
        let made = queue(2);
        let fated_one = made.attach::<Ends>(world, 1);
        world.spawn_fated(1, fated, move |_| {
            if let Ok(mut producer) = fated_one.producer() {
                let _ = producer.put(1);
                let _ = producer.put(2);
            }
        });
        let mine = made.attach::<Ends>(world, 2);
        let consumer = world.spawn(2, move |_| {
            let mut consumer = mine.consumer().expect("nobody has it");
            let mut got = Vec::new();
            while got.last() != Some(&3) {
                got.push(consumer.get().expect("open"));
            }
            assert!([&[3][..], &[1, 3], &[1, 2, 3]].contains(&&got[..]), "{got:?}");
        });
        world.await_end(1);
        let queue = made.attach::<Ends>(world, 3);
        queue.producer().expect("its holder is dead or gone").put(3).expect("open");
        consumer.join();
    });
}

#[test]
fn whenever_a_consumer_is_killed_its_successor_gets_the_rest() {
    kill_at_every_step(1, |world, fated| {
        let made = queue(1);
        let fated_one = made.attach::<Ends>(world, 1);
        world.spawn_fated(1, fated, move |_| drop(fated_one.consumer().map(|mut consumer| consumer.get())));
        let mine = made.attach::<Ends>(world, 2);
        let producer = world.spawn(2, move |_| {
            let mut producer = mine.producer().expect("nobody has it");
            [1, 2].into_iter().for_each(|item| producer.put(item).expect("open"));
        });
        world.await_end(1);
        let queue = made.attach::<Ends>(world, 3);
        let mut consumer = queue.consumer().expect("its holder is dead or gone");
        let first = consumer.get().expect("open");
        if first == 1 {
            assert_eq!(consumer.get().expect("open"), 2);
        } else {
            assert_eq!(first, 2);
        }
        producer.join();
        assert!(consumer.try_get().is_err());
    });
}
