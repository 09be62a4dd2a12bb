//! `Queue<T>`: nothing lost, nothing twice, in order, whoever dies.

use std::time::Duration;

use procshare::{Error, GetError, PutError, Queue};
use procshare_harness::watchdog;

use crate::{PATIENCE, kill_myself, killed};

#[test]
fn puts_and_gets_in_order() {
    let queue = Queue::anonymous(4).unwrap();
    for item in 1..=4u32 {
        queue.put(item).unwrap();
    }
    assert!(queue.is_full() && queue.len() == 4 && queue.capacity() == 4);
    assert!(matches!(queue.try_put(5), Err(PutError::Full(5))));
    assert!(matches!(queue.put_timeout(5, Duration::from_millis(3)), Err(PutError::TimedOut(5))));
    assert_eq!(queue.get().unwrap(), 1);
    assert_eq!(queue.get_many(10).unwrap(), [2, 3, 4]);
    assert!(queue.is_empty());
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    assert!(matches!(queue.get_timeout(Duration::from_millis(3)), Err(GetError::TimedOut)));
    assert_eq!(queue.try_put_many(&[7; 9]).unwrap(), 4);
    assert_eq!(queue.try_iter().collect::<Vec<_>>(), [7; 4]);
    assert_eq!(queue.counts(), (8, 8));
    assert_eq!(queue.high_water(), 4);
}

#[test]
fn sizes_no_queue_can_have_are_refused() {
    assert!(matches!(Queue::<u8>::anonymous(0), Err(Error::BadSize { .. })));
    assert!(matches!(Queue::<u8>::anonymous(usize::MAX), Err(Error::BadSize { .. })));
}

#[test]
fn closing_lets_consumers_drain_and_gives_producers_their_items_back() {
    let queue = Queue::anonymous(8).unwrap();
    queue.put_many(&[1u64, 2]).unwrap();
    queue.close().unwrap();
    assert!(matches!(queue.put(3), Err(PutError::Closed(3))));
    assert_eq!(queue.iter().collect::<Vec<_>>(), [1, 2]);
    assert!(matches!(queue.get(), Err(GetError::Closed)));
}

#[test]
fn closing_wakes_everybody_who_waits() {
    watchdog(PATIENCE, || {
        let (empty, full) = (Queue::<u64>::anonymous(1).unwrap(), Queue::anonymous(1).unwrap());
        full.put(1u64).unwrap();
        std::thread::scope(|scope| {
            let getter = scope.spawn(|| empty.get());
            let putter = scope.spawn(|| full.put(2));
            empty.close().unwrap();
            full.close().unwrap();
            assert!(matches!(getter.join().unwrap(), Err(GetError::Closed)));
            assert!(matches!(putter.join().unwrap(), Err(PutError::Closed(2))));
        });
    });
}

#[test]
fn slots_are_written_and_read_in_place() {
    let queue = Queue::<[u8; 4096]>::anonymous(4).unwrap();
    let mut first = queue.reserve().unwrap();
    let second = queue.reserve().unwrap();
    let third = queue.reserve().unwrap();
    second.commit([2; 4096]);
    assert!(matches!(queue.try_get(), Err(GetError::Empty)), "order is kept: the first is not there yet");
    first.zeroed()[0] = 1;
    first.commit_in_place();
    drop(third);
    let a = queue.peek().unwrap();
    let b = queue.peek().unwrap();
    assert_eq!((a[0], b[0]), (1, 2));
    assert!(matches!(queue.try_peek(), Err(GetError::Empty)));
    drop(a);
    b.release();
    assert_eq!(queue.get().unwrap()[0], 1, "what was not released is delivered again");
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    for round in 0..20 {
        queue.put([round; 4096]).unwrap();
        assert_eq!(queue.get().unwrap()[4095], round);
    }
    let mut fourth = queue.reserve().unwrap();
    assert!(fourth.as_is()[4095] > 0, "an earlier item lies there");
    fourth.as_is()[0] = 4;
    fourth.commit_in_place();
    let mut fifth = queue.reserve().unwrap();
    fifth.uninit().write([5; 4096]);
    // SAFETY: the whole item was written.
    unsafe { fifth.commit_written() };
    assert_eq!([queue.get().unwrap()[0], queue.get().unwrap()[4095]], [4, 5]);
}

#[test]
fn a_closed_queue_is_not_drained_while_an_item_may_come_back() {
    let queue = Queue::anonymous(4).unwrap();
    queue.put(1u8).unwrap();
    queue.close().unwrap();
    let held = queue.peek().unwrap();
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    drop(held);
    queue.peek().unwrap().release();
    assert!(matches!(queue.try_get(), Err(GetError::Closed)));
}

#[test]
fn a_dead_producers_reservation_is_skipped_and_its_items_stay() {
    let queue = Queue::anonymous(4).unwrap();
    for _ in 0..50 {
        killed(|| {
            queue.put(7u64).unwrap();
            std::mem::forget(queue.reserve().unwrap());
            queue.put(8).unwrap();
            kill_myself()
        });
        assert_eq!(queue.get().unwrap(), 7);
        assert_eq!(queue.get().unwrap(), 8);
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    }
}

#[test]
fn what_a_dead_consumer_had_not_released_goes_to_the_next() {
    let queue = Queue::anonymous(4).unwrap();
    for round in 0..50u64 {
        queue.put_many(&[round, round + 100]).unwrap();
        killed(|| {
            std::mem::forget(queue.peek().unwrap());
            std::mem::forget(queue.peek().unwrap());
            kill_myself()
        });
        assert_eq!(queue.get().unwrap(), round);
        let last = queue.peek().unwrap();
        assert_eq!(*last, round + 100);
        last.release();
    }
}

#[test]
fn a_full_ring_of_dead_readers_frees_itself() {
    watchdog(PATIENCE, || {
        let queue = Queue::anonymous(2).unwrap();
        queue.put_many(&[1u32, 2]).unwrap();
        killed(|| {
            std::mem::forget(queue.peek().unwrap());
            std::mem::forget(queue.peek().unwrap());
            kill_myself()
        });
        std::thread::scope(|scope| {
            scope.spawn(|| queue.put(3).unwrap());
            let items: Vec<u32> = (0..3).map(|_| queue.get().unwrap()).collect();
            assert_eq!(items, [1, 2, 3]);
        });
    });
}

#[test]
fn every_item_of_many_processes_arrives_once_and_in_order() {
    const EACH: u64 = 20_000;
    watchdog(PATIENCE, || {
        let queue = Queue::<[u64; 2]>::anonymous(64).unwrap();
        let producers: Vec<_> = (0..3u64)
            .map(|me| {
                let queue = queue.clone();
                procshare_harness::Child::fork(move || {
                    for item in 0..EACH {
                        queue.put([me, item]).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; 3];
        for _ in 0..3 * EACH {
            let [who, item] = queue.get().unwrap();
            assert_eq!(item, next[who as usize], "out of order or lost");
            next[who as usize] += 1;
        }
        drop(producers);
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    });
}

#[test]
fn an_item_that_is_read_in_place_fills_the_queue_after_one_lap() {
    let queue = Queue::anonymous(3).unwrap();
    queue.put(0u32).unwrap();
    let held = queue.peek().unwrap();
    assert!(queue.is_empty() && !queue.is_full());
    for item in 1..3 {
        queue.put(item).unwrap();
        assert_eq!(queue.get().unwrap(), item);
    }
    assert!(queue.is_empty() && queue.is_full(), "the next slot is the one that is read");
    assert!(matches!(queue.try_put(3), Err(PutError::Full(3))));
    drop(held);
    assert_eq!(queue.len(), 1, "given back");
    assert_eq!(queue.get().unwrap(), 0);
    assert!(queue.is_empty() && !queue.is_full());
    queue.put(3).unwrap();
}
