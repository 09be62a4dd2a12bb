//! `BytesQueue`: items of any length; nothing lost, nothing twice, in order, whoever dies.

use std::time::Duration;

use procshare::{BytesQueue, Error, GetError, PutError, wait_any};
use procshare_harness::{Child, Rng, watchdog};

use crate::support::Home;
use crate::{PATIENCE, kill_myself, killed};

/// An item of `len` bytes that can be told from others.
fn item(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (number.wrapping_mul(31) ^ at) as u8).collect()
}

#[test]
fn puts_and_gets_in_order() {
    let queue = BytesQueue::anonymous(256).unwrap();
    queue.put(b"one").unwrap();
    queue.put(b"").unwrap();
    queue.put_many(&[vec![3; 17], vec![4; 16]]).unwrap();
    assert_eq!((queue.len(), queue.counts()), (4, (4, 0)));
    assert_eq!(queue.bytes(), 32 + 16 + 48 + 32);
    assert_eq!(queue.get().unwrap(), b"one");
    let mut to = vec![9; 100];
    assert_eq!(queue.get_into(&mut to).unwrap(), 0);
    assert!(to.is_empty());
    assert_eq!(queue.get_many(9).unwrap(), [vec![3; 17], vec![4; 16]]);
    assert!(queue.is_empty() && queue.bytes() == 0);
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    assert!(matches!(queue.get_timeout(Duration::from_millis(3)), Err(GetError::TimedOut)));
    assert!(matches!(queue.try_get_into(&mut to), Err(GetError::Empty)));
    assert_eq!(queue.counts(), (4, 4));
}

#[test]
fn the_capacity_is_the_longest_item_wherever_the_ring_stands() {
    let queue = BytesQueue::anonymous(1000).unwrap();
    assert_eq!(queue.capacity(), 1000);
    for number in 0..200 {
        let long = item(number, 1000);
        queue.try_put(&long).unwrap();
        assert!(matches!(queue.try_put(b""), Err(PutError::Full(()))));
        assert_eq!(queue.try_get().unwrap(), long);
        let short = item(number, number as usize * 7 % 300);
        queue.try_put(&short).unwrap();
        assert_eq!(queue.try_get().unwrap(), short);
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }
    assert_eq!(queue.high_water(), 1008 + 16);
}

#[test]
fn what_can_never_fit_is_refused_with_the_limit() {
    let queue = BytesQueue::anonymous(100).unwrap();
    for outcome in [
        queue.put(&[0; 101]),
        queue.reserve(101).map(drop),
        queue.try_put_many(&[vec![0; 1], vec![0; 101]]).map(drop),
    ] {
        assert!(matches!(outcome, Err(PutError::Failed((), Error::TooLong { room: 100, found: 101, .. }))));
    }
    assert_eq!(queue.counts(), (0, 0), "nothing of a batch with a long item was put");
    for capacity in [0, usize::MAX, 1 << 32] {
        assert!(matches!(BytesQueue::anonymous(capacity), Err(Error::BadSize { .. })));
    }
}

#[test]
fn random_lengths_come_as_they_went() {
    for seed in 1..20 {
        let mut rng = Rng::new(seed);
        let capacity = 1 + rng.below(20_000) as usize;
        let queue = BytesQueue::anonymous(capacity).unwrap();
        let (mut put, mut got) = (0u64, 0u64);
        let length = |number: u64| Rng::new(seed << 32 | number).below(capacity as u64 + 1) as usize;
        for _ in 0..2_000 {
            match rng.below(4) {
                0 | 1 => {
                    if queue.try_put(&item(put, length(put))).is_ok() {
                        put += 1;
                    }
                }
                2 => {
                    for taken in queue.try_get_many(rng.below(4) as usize + 1).unwrap_or_default() {
                        assert_eq!(taken, item(got, length(got)), "seed {seed}");
                        got += 1;
                    }
                }
                _ => {
                    if let Ok(peeked) = queue.try_peek() {
                        assert_eq!(*peeked, item(got, length(got)), "seed {seed}");
                        if rng.one_in(3) {
                            drop(peeked);
                        } else {
                            peeked.release();
                            got += 1;
                        }
                    }
                }
            }
        }
        for rest in queue.try_iter() {
            assert_eq!(rest, item(got, length(got)), "seed {seed}");
            got += 1;
        }
        assert_eq!(got, put, "seed {seed}");
        assert_eq!(queue.bytes(), 0, "seed {seed}");
    }
}

#[test]
fn items_are_written_and_read_in_place() {
    let queue = BytesQueue::anonymous(1 << 16).unwrap();
    let mut first = queue.reserve(5000).unwrap();
    let mut second = queue.reserve(10).unwrap();
    let third = queue.reserve(77).unwrap();
    assert_eq!(queue.len(), 3);
    second.write(b"two");
    second.truncate(4);
    second.commit();
    assert!(matches!(queue.try_get(), Err(GetError::Empty)), "order is kept: the first is not there yet");
    first.zeroed()[4999] = 1;
    first.commit();
    drop(third);
    let a = queue.peek().unwrap();
    let b = queue.peek().unwrap();
    assert_eq!((a.len(), a[0], a[4999]), (5000, 0, 1));
    assert_eq!(*b, *b"two\0");
    assert!(matches!(queue.try_peek(), Err(GetError::Empty)));
    assert_eq!(queue.len(), 0);
    drop(a);
    assert_eq!(queue.len(), 1, "it was given back");
    b.release();
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.get().unwrap()[4999], 1, "what was not released is delivered again");
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    assert_eq!((queue.bytes(), queue.len()), (0, 0));
}

#[test]
fn what_was_only_lent_uninitialised_is_committed_as_zeros() {
    let queue = BytesQueue::anonymous(64).unwrap();
    queue.put(&[7; 64]).unwrap();
    queue.get().unwrap();
    let mut room = queue.reserve(3).unwrap();
    room.uninit()[0].write(1);
    room.commit();
    assert_eq!(queue.get().unwrap(), [0; 3]);
    let mut room = queue.reserve(2).unwrap();
    for byte in room.uninit() {
        byte.write(5);
    }
    // SAFETY: all bytes were written.
    unsafe { room.commit_written() };
    assert_eq!(queue.get().unwrap(), [5; 2]);
}

#[test]
fn an_item_held_in_place_lets_others_go_on_until_the_ring_is_full() {
    let queue = BytesQueue::anonymous(1024).unwrap();
    queue.put(b"held").unwrap();
    let held = queue.peek().unwrap();
    let mut passed = 0;
    while queue.try_put(&[passed; 48]).is_ok() {
        assert_eq!(queue.get().unwrap(), [passed; 48]);
        passed += 1;
    }
    assert_eq!(u32::from(passed), (1024 + 16 - 32) / 64);
    assert_eq!(queue.bytes(), 1024 + 16, "padding up to the end included");
    held.release();
    queue.try_put(&[1; 1024]).unwrap();
    assert_eq!(queue.get().unwrap(), [1; 1024]);
}

#[test]
fn closing_lets_consumers_drain_and_stops_producers() {
    watchdog(PATIENCE, || {
        let queue = BytesQueue::anonymous(128).unwrap();
        queue.put_many(&["a", "b"]).unwrap();
        let reserved = queue.reserve(1).unwrap();
        queue.close().unwrap();
        assert!(matches!(queue.put(b"c"), Err(PutError::Closed(()))));
        assert!(matches!(queue.put_many(&["c"]), Err(PutError::Closed(0))));
        assert_eq!(queue.get_many(5).unwrap(), [b"a", b"b"]);
        assert!(matches!(queue.try_get(), Err(GetError::Empty)), "what was reserved before may still come");
        reserved.commit();
        let held = queue.peek().unwrap();
        assert!(matches!(queue.try_get(), Err(GetError::Empty)), "what is held may come back");
        drop(held);
        assert_eq!(queue.get().unwrap(), [0]);
        assert!(matches!(queue.get(), Err(GetError::Closed)));
        let (empty, full) = (BytesQueue::anonymous(16).unwrap(), BytesQueue::anonymous(16).unwrap());
        full.put(&[0; 16]).unwrap();
        std::thread::scope(|scope| {
            let getter = scope.spawn(|| empty.get());
            let putter = scope.spawn(|| full.put(b"x"));
            empty.close().unwrap();
            full.close().unwrap();
            assert!(matches!(getter.join().unwrap(), Err(GetError::Closed)));
            assert!(matches!(putter.join().unwrap(), Err(PutError::Closed(()))));
        });
    });
}

#[test]
fn wait_any_comes_back_when_an_item_is_there() {
    watchdog(PATIENCE, || {
        let (queue, never) = (BytesQueue::anonymous(64).unwrap(), BytesQueue::anonymous(64).unwrap());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_any(&[&never, &queue]).map(|(which, _)| which));
            queue.put(b"x").unwrap();
            assert_eq!(waiter.join().unwrap().unwrap(), 1);
        });
        assert_eq!(queue.get().unwrap(), b"x");
        let held = queue.reserve(1).unwrap();
        assert!(procshare::try_wait_any(&[&queue]).is_err());
        held.commit();
        assert!(procshare::try_wait_any(&[&queue]).is_ok());
    });
}

#[test]
fn a_dead_producers_reservation_is_skipped_and_its_items_stay() {
    let queue = BytesQueue::anonymous(300).unwrap();
    for round in 0..50 {
        killed(|| {
            queue.put(&[7; 9]).unwrap();
            std::mem::forget(queue.reserve(40).unwrap());
            queue.put(&[round; 80]).unwrap();
            kill_myself()
        });
        assert_eq!(queue.get().unwrap(), [7; 9]);
        assert_eq!(queue.get().unwrap(), [round; 80]);
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
        assert_eq!((queue.bytes(), queue.len()), (0, 0));
    }
}

#[test]
fn a_ring_full_of_dead_reservations_takes_a_full_item_though_nobody_gets() {
    let queue = BytesQueue::anonymous(300).unwrap();
    for round in 0..20 {
        killed(|| {
            while let Ok(room) = queue.try_reserve(30) {
                std::mem::forget(room);
            }
            kill_myself()
        });
        queue.try_put(&[round; 300]).unwrap();
        assert_eq!(queue.get().unwrap(), [round; 300]);
    }
}

#[test]
fn what_a_dead_consumer_had_not_released_goes_to_the_next() {
    let queue = BytesQueue::anonymous(200).unwrap();
    for round in 0..50u8 {
        queue.put_many(&[[round; 20], [round + 100; 20]]).unwrap();
        killed(|| {
            std::mem::forget(queue.peek().unwrap());
            std::mem::forget(queue.peek().unwrap());
            kill_myself()
        });
        assert_eq!(queue.get().unwrap(), [round; 20]);
        let last = queue.peek().unwrap();
        assert_eq!(*last, [round + 100; 20]);
        last.release();
    }
}

#[test]
fn a_full_ring_of_dead_readers_frees_itself() {
    watchdog(PATIENCE, || {
        let queue = BytesQueue::anonymous(64).unwrap();
        queue.put_many(&[vec![1; 20], vec![2; 16]]).unwrap();
        killed(|| {
            std::mem::forget(queue.peek().unwrap());
            std::mem::forget(queue.peek().unwrap());
            kill_myself()
        });
        std::thread::scope(|scope| {
            scope.spawn(|| queue.put(&[3; 40]).unwrap());
            let items: Vec<_> = (0..3).map(|_| queue.get().unwrap()[0]).collect();
            assert_eq!(items, [1, 2, 3]);
        });
    });
}

#[test]
fn a_childs_copies_of_its_parents_guards_do_nothing() {
    let queue = BytesQueue::anonymous(200).unwrap();
    queue.put(b"one").unwrap();
    let (peeked, mut room) = (queue.peek().unwrap(), queue.reserve(3).unwrap());
    room.write(b"two");
    let exit = procshare_harness::child(PATIENCE, || {
        // SAFETY: reads what the parent keeps and never looks at again before the child has ended.
        let (peeked, room) = unsafe { (std::ptr::read(&peeked), std::ptr::read(&room)) };
        peeked.release();
        drop(room);
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    });
    assert!(exit.is_clean(), "{exit:?}");
    drop(peeked);
    room.commit();
    assert_eq!(queue.get_many(2).unwrap(), [b"one", b"two"]);
}

#[test]
fn every_item_of_many_processes_arrives_once_and_in_order() {
    const EACH: u64 = 2_000;
    watchdog(PATIENCE, || {
        let queue = BytesQueue::anonymous(20_000).unwrap();
        let length = |who: u64, number: u64| {
            let most = if number.is_multiple_of(50) { 9_000 } else { 200 };
            16 + Rng::new(who << 32 | number).below(most) as usize
        };
        let whole = |who: u64, number: u64| {
            let mut bytes = item(number, length(who, number));
            bytes[..8].copy_from_slice(&who.to_ne_bytes());
            bytes[8..16].copy_from_slice(&number.to_ne_bytes());
            bytes
        };
        let producers: Vec<_> = (0..3u64)
            .map(|who| {
                let queue = queue.clone();
                Child::fork(move || (0..EACH).for_each(|number| queue.put(&whole(who, number)).unwrap()))
            })
            .collect();
        let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
        let mut next = [0; 3];
        let mut to = Vec::new();
        for turn in 0..3 * EACH {
            if turn % 3 == 0 {
                let peeked = queue.peek().unwrap();
                to.clear();
                to.extend_from_slice(&peeked);
                peeked.release();
            } else {
                queue.get_into(&mut to).unwrap();
            }
            let who = number(&to[..8]) as usize;
            assert_eq!(number(&to[8..16]), next[who], "out of order or lost");
            assert_eq!(to, whole(who as u64, next[who]), "torn");
            next[who] += 1;
        }
        drop(producers);
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
        assert_eq!(queue.counts(), (3 * EACH, 3 * EACH));
    });
}

/// Puts and gets in every way until it is killed.
fn busy(queue: &BytesQueue, len: usize) {
    loop {
        let _ = queue.try_put(&item(len as u64, len));
        if let Ok(room) = queue.try_reserve(len / 2) {
            room.commit();
        }
        let _ = queue.try_get();
        if let Ok(peeked) = queue.try_peek() {
            peeked.release();
        }
    }
}

#[test]
fn two_hundred_die_at_random_and_all_room_is_left() {
    watchdog(PATIENCE, || {
        let home = Home::new();
        let queue = BytesQueue::builder().space(&home.space).anonymous(500).unwrap();
        let mut rng = Rng::new(7);
        for round in 0..100u64 {
            let lengths = [rng.below(200), rng.below(200)];
            let until = queue.counts().0 + rng.below(100);
            let workers: Vec<_> = (0..2)
                .map(|worker| {
                    let queue = queue.clone();
                    Child::fork(move || busy(&queue, lengths[worker] as usize))
                })
                .collect();
            while queue.counts().0 < until {
                std::hint::spin_loop();
            }
            // Killed and reaped.
            drop(workers);
            for rest in queue.try_iter() {
                let whole = rest == item(rest.len() as u64, rest.len()) || rest.iter().all(|&byte| byte == 0);
                assert!(whole, "round {round}: torn");
            }
            queue.try_put(&[1; 500]).unwrap_or_else(|error| panic!("round {round}: {error}: {queue:?}"));
            assert_eq!(queue.try_get().unwrap(), [1; 500]);
            assert_eq!((queue.bytes(), queue.len()), (0, 0), "round {round}");
        }
    });
}

#[test]
fn items_of_other_types_lie_in_place() {
    let queue = BytesQueue::anonymous(4096).unwrap();
    for round in 0..40 {
        queue.put(&vec![0; round]).unwrap();
        let mut room = queue.reserve(8 * round).unwrap();
        let numbers = room.zeroed_slice_of::<u64>().unwrap();
        assert_eq!(numbers, vec![0; round]);
        numbers.iter_mut().enumerate().for_each(|(index, number)| *number = index as u64);
        room.commit();
        queue.get().unwrap();
        let item = queue.peek().unwrap();
        assert_eq!(item.slice_of::<u64>().unwrap(), (0..round as u64).collect::<Vec<_>>());
        assert_eq!(item.slice_of::<bool>().is_ok(), round < 3, "only zeros and ones");
        item.release();
    }
    queue.put(&[1, 0, 1]).unwrap();
    let item = queue.peek().unwrap();
    assert_eq!(item.slice_of::<bool>().unwrap(), [true, false, true]);
    assert!(matches!(item.slice_of::<u16>(), Err(Error::InvalidBits { .. })), "three bytes");
    assert!(matches!(queue.reserve(3).unwrap().zeroed_slice_of::<u16>(), Err(Error::InvalidBits { .. })));
}
