//! Batches in place: put in one step or not at all, lent in order, and never lost.

use std::time::Duration;

use procshare::{Error, GetError, PutError, Queue};
use procshare_harness::{Rng, child, watchdog};

use crate::{PATIENCE, kill_myself, killed};

const SHORT: Duration = Duration::from_millis(3);

#[test]
fn a_batch_is_put_in_one_step() {
    let queue = Queue::<u32>::anonymous(5).unwrap();
    let mut batch = queue.reserve_many(3).unwrap();
    assert_eq!((batch.len(), batch.written(), batch.extend_from_slice(&[1, 2, 3, 4])), (3, 0, 3));
    assert!(batch.push(5).is_err());
    queue.put(4).unwrap();
    assert!(matches!(queue.try_get(), Err(GetError::Empty)), "order is kept");
    assert!(matches!(queue.get_timeout(SHORT), Err(GetError::TimedOut)));
    assert_eq!(batch.commit(), 3);
    assert_eq!(queue.try_get_many(9).unwrap(), [1, 2, 3, 4]);
    assert_eq!(queue.high_water(), 3, "as it was seen when the batch was reserved");
}

#[test]
fn what_was_not_written_is_not_put() {
    let queue = Queue::<u32>::anonymous(4).unwrap();
    for lap in 0..9 {
        let mut batch = queue.try_reserve_exact(4).unwrap();
        assert!(matches!(queue.try_reserve_many(1), Err(PutError::Full(()))));
        let written = lap % 5;
        assert_eq!(batch.extend_from_slice(&[7, 8, 9, 10][..written]), written);
        assert_eq!(batch.commit(), written);
        assert_eq!(queue.try_iter().collect::<Vec<_>>(), [7, 8, 9, 10][..written]);
        drop(queue.reserve_many(2).unwrap());
        queue.put(1).unwrap();
        assert_eq!(queue.try_get().unwrap(), 1, "a batch that was dropped is skipped");
    }
}

#[test]
fn there_are_as_many_slots_as_are_free() {
    let queue = Queue::<u64>::anonymous(4).unwrap();
    queue.put_many(&[1, 2]).unwrap();
    assert_eq!(queue.reserve_many(10).unwrap().len(), 2);
    assert!(
        matches!(queue.try_reserve_many(1), Err(PutError::Full(()))),
        "the dropped ones lie behind items"
    );
    assert!(matches!(queue.reserve_many_timeout(9, SHORT), Err(PutError::TimedOut(()))));
    assert_eq!(queue.get().unwrap(), 1);
    assert_eq!(queue.try_reserve_many(10).unwrap().len(), 1);
    assert_eq!(queue.get().unwrap(), 2);
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    assert!(matches!(
        queue.try_reserve_exact(5),
        Err(PutError::Failed((), Error::TooLong { room: 4, found: 5, .. }))
    ));
    assert_eq!(queue.try_reserve_exact(4).unwrap().len(), 4);
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    assert_eq!(queue.reserve_many(0).unwrap().len(), 1);
    queue.close().unwrap();
    assert!(matches!(queue.reserve_many(1), Err(PutError::Closed(()))));
    assert!(matches!(queue.peek_many(1), Err(GetError::Closed)));
}

#[test]
fn slots_are_written_where_they_are() {
    let queue = Queue::<[u64; 300]>::anonymous(3).unwrap();
    for lap in 1..8 {
        let mut batch = queue.reserve_many(3).unwrap();
        batch.push([lap; 300]).unwrap();
        for (number, slot) in batch.zeroed().enumerate() {
            assert_eq!(slot[299], if number == 0 { lap } else { 0 }, "what was written stays");
            slot[0] = number as u64;
        }
        assert_eq!(batch.commit(), 3);
        let items = queue.peek_many(9).unwrap();
        assert_eq!(items.iter().map(|item| item[0]).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((items[0][299], items[1][299]), (lap, 0));
        items.release();

        let mut batch = queue.reserve_many(3).unwrap();
        for slot in batch.uninit().take(2) {
            slot.write([lap; 300]);
        }
        // SAFETY: two were written.
        assert_eq!(unsafe { batch.commit_written(2) }, 2);
        assert_eq!(queue.get_many(9).unwrap(), [[lap; 300]; 2]);
    }
}

#[test]
fn items_are_lent_in_order_and_come_back_in_order() {
    let queue = Queue::<u32>::anonymous(8).unwrap();
    queue.put_many(&[1, 2, 3, 4, 5, 6]).unwrap();
    let first = queue.peek_many(4).unwrap();
    assert_eq!(first.iter().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((first.len(), first[3], first.get(4)), (4, 4, None));
    let second = queue.try_peek_many(4).unwrap();
    assert_eq!(format!("{second:?}"), "[5, 6]");
    assert!(matches!(queue.try_peek_many(1), Err(GetError::Empty)));
    assert!(matches!(queue.peek_many_timeout(1, SHORT), Err(GetError::TimedOut)));
    first.release_some(2);
    queue.put(7).unwrap();
    drop(second);
    assert_eq!(queue.len(), 5);
    assert_eq!(queue.try_iter().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert!(queue.is_empty() && queue.counts() == (7, 7));
}

#[test]
#[cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]
fn bytes_that_are_no_item_cut_a_batch_and_are_taken_out() {
    use std::os::unix::fs::FileExt as _;
    let home = crate::support::Home::new();
    let queue = Queue::<bool>::builder().space(&home.space).create("it", 4).unwrap();
    queue.put_many(&[true; 4]).unwrap();
    // Header, head, two slots, a stamp.
    let third = 256 + 320 + 2 * 16 + 8;
    let file = std::fs::File::options().write(true).open(home.space.directory().join("it")).unwrap();
    file.write_all_at(&[2], third).unwrap();
    let items = queue.peek_many(4).unwrap();
    assert_eq!(items.len(), 2);
    items.release();
    assert!(matches!(queue.peek_many(4), Err(GetError::Failed(Error::InvalidBits { .. }))));
    assert_eq!(queue.peek_many(4).unwrap().len(), 1, "what lay behind it");
    assert_eq!(queue.try_get_many(4).unwrap(), [true]);
    assert_eq!(queue.try_reserve_exact(4).unwrap().len(), 4);
}

#[test]
fn the_dead_leave_no_part_of_a_batch_and_lose_none_that_they_read() {
    watchdog(PATIENCE, || {
        let queue = Queue::<u32>::anonymous(6).unwrap();
        queue.put(1).unwrap();
        killed(|| {
            let mut batch = queue.reserve_many(3).unwrap();
            batch.extend_from_slice(&[2, 3, 4]);
            kill_myself();
        });
        queue.put(5).unwrap();
        assert_eq!(queue.get_many(2).unwrap(), [1, 5], "the batch is skipped");
        killed(|| {
            let mut batch = queue.reserve_many(4).unwrap();
            batch.extend_from_slice(&[6, 7, 8]);
            batch.commit();
            kill_myself();
        });
        killed(|| {
            std::mem::forget(queue.peek_many(2).unwrap());
            kill_myself();
        });
        let back: Vec<u32> = (0..3).map(|_| queue.get().unwrap()).collect();
        assert_eq!(back, [8, 6, 7], "they come back when their reader's death is noticed");
        assert_eq!(queue.try_reserve_exact(6).unwrap().len(), 6);
    });
}

#[test]
fn a_forked_child_leaves_its_parents_batches_alone() {
    let queue = Queue::<u32>::anonymous(6).unwrap();
    queue.put_many(&[1, 2]).unwrap();
    let items = queue.peek_many(2).unwrap();
    let mut batch = queue.reserve_many(2).unwrap();
    batch.extend_from_slice(&[3, 4]);
    // In a cell, because the child takes copies of what the parent keeps.
    let mut held = Some((items, batch));
    let exit = child(PATIENCE, || {
        let (items, batch) = held.take().unwrap();
        items.release();
        batch.commit();
    });
    assert!(exit.is_clean(), "{exit}");
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    let (items, batch) = held.take().unwrap();
    drop(items);
    assert_eq!(batch.commit(), 2);
    assert_eq!(queue.try_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn batches_single_items_and_readers_in_place_mix() {
    const ITEMS: u64 = 3_000;
    watchdog(PATIENCE, || {
        let queue = Queue::<[u64; 2]>::anonymous(7).unwrap();
        std::thread::scope(|scope| {
            for who in 0..2 {
                let queue = &queue;
                scope.spawn(move || {
                    let (mut rng, mut next) = (Rng::new(who), 0);
                    while next < ITEMS {
                        if rng.one_in(4) {
                            queue.put([who, next]).unwrap();
                            next += 1;
                            continue;
                        }
                        let mut batch = queue.reserve_many(1 + rng.below(5) as usize).unwrap();
                        let some = rng.below(6);
                        while next < ITEMS && batch.written() < some as usize {
                            if batch.push([who, next]).is_err() {
                                break;
                            }
                            next += 1;
                        }
                        batch.commit();
                    }
                });
            }
            let (mut rng, mut expected, mut left) = (Rng::new(7), [0; 2], 2 * ITEMS);
            let mut see = |[who, number]: [u64; 2]| {
                assert_eq!(number, expected[who as usize], "of {who}");
                expected[who as usize] += 1;
            };
            while left > 0 {
                let most = 1 + rng.below(4) as usize;
                let seen = if rng.one_in(2) {
                    let items = queue.peek_many(most).unwrap();
                    let some = rng.below(items.len() as u64 + 1);
                    items.iter().take(some as usize).for_each(|item| see(*item));
                    items.release_some(some as usize);
                    some
                } else {
                    let items = queue.get_many(most).unwrap();
                    items.iter().for_each(|item| see(*item));
                    items.len() as u64
                };
                left -= seen;
            }
        });
        assert!(matches!(queue.try_get(), Err(GetError::Empty)), "what was not written is skipped");
        assert!(queue.is_empty());
    });
}
