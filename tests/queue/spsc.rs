//! `SpscQueue<T>`: two ends, each in one process at a time, taken over from the dead.

use std::time::Duration;

use procshare::{Error, GetError, PutError, SpscQueue, wait_any};
use procshare_harness::{Child, Exit, Rng, child, watchdog};

use crate::support::Home;
use crate::{PATIENCE, kill_myself, killed};

#[test]
fn puts_and_gets_in_order() {
    let queue = SpscQueue::<u32>::anonymous(4).unwrap();
    let (mut producer, mut consumer) = queue.split().unwrap();
    for item in 1..=4 {
        producer.put(item).unwrap();
    }
    assert!(queue.is_full() && consumer.len() == 4 && producer.room() == 0);
    assert!(matches!(producer.try_put(5), Err(PutError::Full(5))));
    assert!(matches!(producer.put_timeout(5, Duration::from_millis(3)), Err(PutError::TimedOut(5))));
    assert_eq!(consumer.get().unwrap(), 1);
    assert_eq!(consumer.get_many(10).unwrap(), [2, 3, 4]);
    assert!(matches!(consumer.try_get(), Err(GetError::Empty)));
    assert!(matches!(consumer.get_timeout(Duration::from_millis(3)), Err(GetError::TimedOut)));
    assert_eq!(producer.try_put_many(&[7; 9]).unwrap(), 4);
    assert_eq!(consumer.try_iter().collect::<Vec<_>>(), [7; 4]);
    assert_eq!((queue.counts(), queue.high_water()), ((8, 8), 4));
}

#[test]
fn every_size_of_item_comes_as_it_went() {
    fn round<T: procshare::Plain + PartialEq + std::fmt::Debug>(items: &[T]) {
        let queue = SpscQueue::<T>::anonymous(3).unwrap();
        let (mut producer, mut consumer) = queue.split().unwrap();
        for _ in 0..5 {
            for &item in items {
                producer.try_put(item).unwrap();
                assert_eq!(consumer.try_get().unwrap(), item);
            }
            assert_eq!(producer.try_put_many(items).unwrap(), items.len());
            assert_eq!(consumer.try_get_many(9).unwrap(), items);
        }
    }
    round(&[1u8, 2]);
    round(&[1u16, 2, 3]);
    round(&[[1u8; 3], [2; 3]]);
    round(&[1u64, 2]);
    round(&[[1u32; 3], [2; 3]]);
    round(&[[1u64; 9], [2; 9]]);
    round(&[[1u8; 1001], [2; 1001]]);
    round(&[true, false]);
}

#[test]
fn each_end_exists_once_and_can_be_given_back() {
    let queue = SpscQueue::<u8>::anonymous(4).unwrap();
    let mut producer = queue.producer().unwrap();
    let error = queue.producer().unwrap_err();
    assert!(matches!(error, Error::EndTaken { role: "producer", .. }), "{error}");
    let exit = child(PATIENCE, || {
        assert!(matches!(queue.producer(), Err(Error::EndTaken { role: "producer", .. })));
        // The parent's end is not the child's, and dropping the copy of it does nothing.
        // SAFETY: the original is not used in this process, and the parent's memory is its own.
        let mut copy = unsafe { std::ptr::read(&producer) };
        assert!(matches!(copy.put(1), Err(PutError::Failed(1, Error::Inherited { what: "producer", .. }))));
        copy.close();
        drop(copy);
        let mut consumer = queue.consumer().unwrap();
        assert!(matches!(consumer.try_get(), Err(GetError::Empty)));
    });
    assert!(exit.is_clean(), "{exit:?}");
    assert!(!queue.is_closed());
    producer.put(1).unwrap();
    drop(producer);
    let (mut producer, mut consumer) = queue.split().unwrap();
    producer.put(2).unwrap();
    assert_eq!(consumer.get_many(9).unwrap(), [1, 2]);
}

#[test]
fn the_ends_of_the_dead_are_taken_over_where_they_were() {
    let queue = SpscQueue::<u64>::anonymous(8).unwrap();
    for round in 0..40 {
        killed(|| {
            let (mut producer, mut consumer) = queue.split().unwrap();
            producer.put_many(&[round, round + 1, round + 2]).unwrap();
            assert_eq!(consumer.get().unwrap(), round);
            assert_eq!(consumer.peek_many(1).unwrap().as_slices().0, [round + 1]);
            let mut chunk = producer.reserve_many(2).unwrap();
            chunk.push(99).unwrap();
            kill_myself()
        });
        let (mut producer, mut consumer) = queue.split().unwrap();
        producer.put(round + 3).unwrap();
        assert_eq!(consumer.get_many(9).unwrap(), [round + 1, round + 2, round + 3]);
    }
}

#[test]
fn closing_wakes_the_other_end_and_lets_it_drain() {
    watchdog(PATIENCE, || {
        let queue = SpscQueue::<u8>::anonymous(2).unwrap();
        let (mut producer, mut consumer) = queue.split().unwrap();
        std::thread::scope(|scope| {
            let got = scope.spawn(|| consumer.iter().collect::<Vec<_>>());
            producer.put_many(&[1, 2, 3, 4, 5]).unwrap();
            producer.close();
            assert_eq!(got.join().unwrap(), [1, 2, 3, 4, 5]);
        });
        assert!(matches!(consumer.get(), Err(GetError::Closed)));
        assert!(matches!(producer.put(6), Err(PutError::Closed(6))));

        let queue = SpscQueue::<u8>::anonymous(1).unwrap();
        let (mut producer, mut consumer) = queue.split().unwrap();
        producer.put(1).unwrap();
        std::thread::scope(|scope| {
            let refused = scope.spawn(|| producer.put(2));
            consumer.close();
            assert!(matches!(refused.join().unwrap(), Err(PutError::Closed(2))));
        });
    });
}

#[test]
fn slots_are_lent_as_they_are_and_to_be_written_through() {
    let (mut producer, mut consumer) = SpscQueue::<u64>::anonymous(5).unwrap().split().unwrap();
    let mut put = 0;
    for round in 0..20 {
        let mut chunk = producer.reserve_many(3).unwrap();
        let (front, back) = chunk.as_is();
        assert_eq!(front.len() + back.len(), 3);
        let stale: Vec<u64> = front.iter().chain(&*back).copied().collect();
        assert!(round > 0 || stale == [0; 3], "a new ring holds zeros: {stale:?}");
        assert!(round < 2 || stale.iter().all(|&item| item > 0 && item <= put), "earlier items: {stale:?}");
        for place in front.iter_mut().chain(back) {
            put += 1;
            *place = put;
        }
        assert_eq!(chunk.commit(), 3);
        let mut chunk = producer.reserve_many(2).unwrap();
        let (front, back) = chunk.uninit();
        front.iter_mut().chain(back).next().unwrap().write(put + 1);
        put += 1;
        // SAFETY: the first slot was written.
        assert_eq!(unsafe { chunk.commit_written(1) }, 1);
        assert_eq!(consumer.get_many(9).unwrap(), [put - 3, put - 2, put - 1, put]);
    }
    let mut chunk = producer.reserve_many(2).unwrap();
    chunk.uninit();
    assert_eq!(chunk.commit(), 0, "what was not said to be written is not put");
}

#[test]
fn slots_are_written_and_read_in_place_across_the_rings_end() {
    let queue = SpscQueue::<u64>::anonymous(5).unwrap();
    let (mut producer, mut consumer) = queue.split().unwrap();
    let mut next = 0;
    for _ in 0..20 {
        let mut chunk = producer.try_reserve_many(4).unwrap();
        assert_eq!(chunk.len(), 4);
        assert_eq!(chunk.extend_from_slice(&[next, next + 1]), 2);
        let (front, back) = chunk.zeroed();
        *front.iter_mut().chain(back).nth(2).unwrap() = next + 2;
        assert_eq!(chunk.push(0), Err(0));
        assert_eq!(chunk.commit(), 4);
        let items = consumer.peek_many(100).unwrap();
        let expected = [next, next + 1, next + 2, 0];
        assert!(items.iter().eq(&expected), "{items:?}");
        items.release_some(2);
        drop(consumer.peek_many(1).unwrap());
        let rest = consumer.peek_many(100).unwrap();
        assert_eq!(rest.as_slices().0.len() + rest.as_slices().1.len(), 2);
        assert!(rest.iter().eq(&expected[2..]));
        rest.release();
        assert!(consumer.is_empty());
        drop(producer.reserve_many(5).unwrap());
        assert!(queue.is_empty(), "a dropped reservation puts nothing");
        let mut chunk = producer.reserve_many(5).unwrap();
        chunk.push(1).unwrap();
        assert_eq!((chunk.len(), chunk.commit()), (5, 1), "what was not written is not put");
        assert_eq!(consumer.get().unwrap(), 1);
        next += 10;
    }
    assert!(matches!(consumer.try_peek_many(1), Err(GetError::Empty)));
}

#[test]
fn wait_any_comes_back_when_an_item_is_there() {
    watchdog(PATIENCE, || {
        let queue = SpscQueue::<u8>::anonymous(2).unwrap();
        let (mut producer, mut consumer) = queue.split().unwrap();
        for _ in 0..50 {
            std::thread::scope(|scope| {
                scope.spawn(|| wait_any(&[&consumer]).map(drop).unwrap());
                producer.put(1).unwrap();
            });
            assert_eq!(consumer.try_get().unwrap(), 1);
        }
    });
}

#[test]
fn items_arrive_once_in_order_and_whole_between_processes() {
    const ITEMS: u64 = 10_000;
    watchdog(PATIENCE, || {
        for capacity in [1, 3, 100] {
            let queue = SpscQueue::<[u64; 3]>::anonymous(capacity).unwrap();
            let theirs = queue.clone();
            let producer = Child::fork(move || {
                let (mut producer, mut rng, mut next) = (theirs.producer().unwrap(), Rng::new(1), 0);
                while next < ITEMS {
                    let batch: Vec<[u64; 3]> =
                        (next..ITEMS.min(next + rng.below(20))).map(|item| [item, item * 3, !item]).collect();
                    next += batch.len() as u64;
                    if let [item] = batch[..] {
                        producer.put(item).unwrap();
                    } else {
                        producer.put_many(&batch).unwrap();
                    }
                }
                producer.close();
            });
            let (mut consumer, mut next) = (queue.consumer().unwrap(), 0);
            let mut check = |item: [u64; 3]| {
                assert_eq!(item, [next, next * 3, !next]);
                next += 1;
            };
            loop {
                match consumer.get() {
                    Ok(item) => check(item),
                    Err(GetError::Closed) => break,
                    Err(other) => panic!("{other}"),
                }
                consumer.try_get_many(7).unwrap_or_default().into_iter().for_each(&mut check);
            }
            assert_eq!(next, ITEMS);
            producer.wait(PATIENCE).unwrap();
        }
    });
}

#[test]
fn producers_and_consumers_die_at_random_and_others_go_on() {
    watchdog(PATIENCE, || {
        let home = Home::new();
        let queue = SpscQueue::<[u64; 9]>::builder().space(&home.space).anonymous(16).unwrap();
        let mut rng = Rng::new(3);
        for round in 0..30 {
            let until = queue.counts().1 + rng.below(300);
            let (to, from) = (queue.clone(), queue.clone());
            let mut producer = Child::fork(move || {
                let mut end = to.producer().unwrap();
                // The position is the number: whoever takes over goes on with the next one.
                (to.counts().0..).try_for_each(|next| end.put([next; 9]).map_err(|error| error.to_string()))
            });
            let mut consumer = Child::fork(move || {
                let mut end = from.consumer().unwrap();
                (from.counts().1..).try_for_each(|next| match end.get() {
                    Ok(item) if item == [next; 9] => Ok(()),
                    other => Err(format!("{other:?} instead of {next}")),
                })
            });
            while queue.counts().1 < until {
                for one in [&mut producer, &mut consumer] {
                    let exit = one.try_wait();
                    assert!(exit.is_none(), "round {round}: it ended by itself: {exit:?}");
                }
            }
            for one in [producer, consumer] {
                let exit = one.kill();
                assert!(matches!(exit, Exit::Signalled(libc::SIGKILL)), "round {round}: {exit}");
            }
        }
    });
}
