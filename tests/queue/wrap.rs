//! Positions that no queue reaches in a lifetime: where the stamps' 31 bits end, and near the end of the 63 bits.
// Segments are files that one may write into.
#![cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use procshare::{Broadcast, BytesQueue, GetError, PutError, Queue, RecvError, Space, SpscQueue};

use crate::support::Home;

/// Bytes of a segment before its body.
const BODY: u64 = 256;

/// Where positions begin; the last one also for units of 16 bytes.
const STARTS: [u64; 6] =
    [(1 << 31) - 3, (1 << 32) - 2, (1 << 33) - 1, (1 << 35) - 32, (1 << 40) + 7, (1 << 62) - 48];

/// Writes words at these offsets of the body of `it`, as if it had been used for long.
fn age(home: &Home, words: impl IntoIterator<Item = (u64, u64)>) {
    let file = File::options().write(true).open(home.path.join("it")).unwrap();
    for (at, word) in words {
        file.write_all_at(&word.to_ne_bytes(), BODY + at).unwrap();
    }
}

/// A queue whose next item has the position `start` (docs/layout.md).
fn queue_at(home: &Home, capacity: u64, start: u64) -> Queue<u64> {
    const HEAD: u64 = 320;
    const EMPTY: u64 = 0;
    let queue = Queue::builder().space(&home.space).create("it", capacity as usize).unwrap();
    let stamps = (start..start + capacity)
        .map(|position| (HEAD + position % capacity * 16, (position & 0x7fff_ffff) << 33 | EMPTY << 30));
    age(home, [(64 + 16, start), (128 + 16, start)].into_iter().chain(stamps));
    queue
}

#[test]
fn queues_go_on() {
    for capacity in [1, 2, 3, 5, 8] {
        for start in STARTS {
            let home = Home::new();
            let queue = queue_at(&home, capacity, start);
            let all: Vec<u64> = (0..capacity).collect();
            for round in 0..6 {
                assert!(
                    queue.is_empty() && !queue.is_full() && matches!(queue.try_get(), Err(GetError::Empty))
                );
                match round % 3 {
                    0 => assert_eq!(queue.try_put_many(&all).unwrap() as u64, capacity),
                    1 => all.iter().for_each(|&item| queue.try_reserve().unwrap().commit(item)),
                    _ => {
                        drop(queue.reserve().unwrap());
                        all.iter().for_each(|&item| queue.try_put(item).unwrap());
                    }
                }
                assert!(queue.is_full() && queue.len() as u64 == capacity);
                assert!(matches!(queue.try_put(9), Err(PutError::Full(9))));
                if round % 2 == 0 {
                    assert_eq!(queue.try_get_many(99).unwrap(), all);
                } else {
                    drop(queue.try_peek().unwrap());
                    let held: Vec<_> = all.iter().map(|_| queue.try_peek().unwrap()).collect();
                    assert!(held.iter().zip(&all).all(|(held, item)| **held == *item));
                    held.into_iter().rev().for_each(|held| held.release());
                }
            }
            let (put, taken) = queue.counts();
            assert!(put == taken && put > start, "{start} {put} {taken}");
        }
    }
}

#[test]
fn queues_of_bytes_go_on() {
    for capacity in [1u64, 16, 40, 100] {
        for start in STARTS.map(|start| start & !15) {
            let home = Home::new();
            let queue = BytesQueue::builder().space(&home.space).create("it", capacity as usize).unwrap();
            // Tail, freed, next tail; head, free, filled, next head.
            let puts = [16, 24, 40].map(|at| (64 + at, start));
            age(&home, puts.into_iter().chain([16, 24, 32, 48].map(|at| (128 + at, start))));
            for round in 0..40 {
                let item = vec![round as u8; round % capacity as usize + 1];
                queue.try_put(&item).unwrap();
                let peeked = queue.try_peek().unwrap();
                assert_eq!(&*peeked, item);
                peeked.release();
                let whole = vec![7; capacity as usize];
                queue.try_put(&whole).unwrap();
                assert_eq!(queue.try_get().unwrap(), whole);
                assert!(matches!(queue.try_get(), Err(GetError::Empty)) && queue.bytes() == 0);
            }
        }
    }
}

#[test]
fn queues_with_two_ends_go_on() {
    for capacity in [1u64, 3, 4] {
        for start in STARTS {
            let home = Home::new();
            let queue =
                SpscQueue::<u64>::builder().space(&home.space).create("it", capacity as usize).unwrap();
            age(&home, [(256, start), (384, start)]);
            for _ in 0..3 {
                let (mut producer, mut consumer) = queue.split().unwrap();
                for _ in 0..5 {
                    let all: Vec<u64> = (0..capacity).collect();
                    assert_eq!(producer.try_put_many(&[&all[..], &[9]].concat()).unwrap() as u64, capacity);
                    assert!(matches!(producer.try_put(9), Err(PutError::Full(9))));
                    assert_eq!(consumer.try_get_many(99).unwrap(), all);
                    assert!(matches!(consumer.try_get(), Err(GetError::Empty)));
                }
            }
            assert!(queue.counts().0 > start);
        }
    }
}

fn broadcast_at(space: &Space, home: &Home, capacity: u64, start: u64) -> Broadcast<u64> {
    const HEAD: u64 = 256;
    let news = Broadcast::builder().space(space).create("it", capacity as usize).unwrap();
    let stamps = (start - capacity..start).map(|it| (HEAD + it % capacity * 16, ((it + 1) << 1) | 1));
    age(home, [(80, start)].into_iter().chain(stamps));
    news
}

#[test]
fn broadcasts_go_on() {
    for capacity in [1u64, 3, 4] {
        for start in STARTS {
            let home = Home::new();
            let news = broadcast_at(&home.space, &home, capacity, start);
            let mut ticker = news.subscribe().unwrap();
            for round in 0..9 {
                assert!(matches!(ticker.try_recv(), Err(RecvError::Empty)));
                news.publish_many(&vec![round; capacity as usize + 2]).unwrap();
                assert!(matches!(ticker.try_recv(), Err(RecvError::Missed(2))), "{capacity} {start}");
                assert_eq!(ticker.try_iter().collect::<Vec<_>>(), vec![round; capacity as usize]);
            }
            assert!(news.published() > start);
        }
    }
}
