//! What a death between two stores of the ring leaves, written by hand: whoever comes next finds its way, and nobody waits for ever
//! for a lock that nobody will give back.
// Segments are files that one may write into.
#![cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use procshare::{Broadcast, BroadcastInit, BytesQueue, Error, GetError, PutError, Queue, Space};
use procshare_harness::{Page, watchdog};

use crate::support::Home;
use crate::{PATIENCE, kill_myself, killed};

/// Where things lie in the file: header, head, then slots of a stamp and an item of 8 bytes each.
const PUT_LOCK: u64 = 256 + 64;
const TAIL: u64 = PUT_LOCK + 16;
const TAKE_LOCK: u64 = 256 + 128;
const SLOTS: u64 = 256 + 320;
const SLOT: u64 = 16;

const EMPTY: u64 = 0;
const RESERVED: u64 = 1;
const COMMITTED: u64 = 2;
const TAKEN: u64 = 4;
const RETURNED: u64 = 5;

const CAPACITY: u64 = 4;

/// A queue whose words are written by hand, and the id of somebody who is dead.
struct Bench {
    queue: Queue<u64>,
    file: File,
    dead: u64,
    _home: Home,
}

fn dead_in(space: &Space) -> u64 {
    let page = Page::new(4096);
    killed(|| {
        let id = space.join().unwrap().to_bits();
        page.u64s()[0].store(u64::from(id), std::sync::atomic::Ordering::SeqCst);
        kill_myself()
    });
    page.u64s()[0].load(std::sync::atomic::Ordering::SeqCst)
}

impl Bench {
    fn new(items: &[u64]) -> Self {
        let home = Home::new();
        let queue = Queue::builder().space(&home.space).create("it", CAPACITY as usize).unwrap();
        // Not the first lap.
        queue.put_many(&[0; 3]).unwrap();
        queue.get_many(3).unwrap();
        queue.put_many(items).unwrap();
        let path = home.space.directory().join("it");
        let file = File::options().read(true).write(true).open(path).unwrap();
        Bench { queue, file, dead: dead_in(&home.space), _home: home }
    }

    fn write(&self, at: u64, word: u64) {
        self.file.write_all_at(&word.to_ne_bytes(), at).unwrap();
    }

    /// Stamps the slot of a position.
    fn stamp(&self, position: u64, state: u64, id: u64) {
        self.write(SLOTS + position % CAPACITY * SLOT, position << 33 | state << 30 | id);
    }

    fn item(&self, position: u64, item: u64) {
        self.write(SLOTS + position % CAPACITY * SLOT + 8, item);
    }

    /// Says that the dead one holds a lock.
    fn lock(&self, at: u64) {
        self.write(at, 1 << 32 | self.dead);
    }

    /// What is there, and that nothing is lost.
    fn left(&self) -> Vec<u64> {
        let left = self.queue.try_iter().collect();
        let mut batch = self.queue.try_reserve_exact(CAPACITY as usize).expect("no slot is lost");
        batch.extend_from_slice(&[7; CAPACITY as usize]);
        batch.commit();
        assert_eq!(self.queue.try_get_many(9).unwrap(), [7; CAPACITY as usize]);
        left
    }
}

#[test]
fn an_item_whose_reader_died_before_moving_the_head_is_delivered_once() {
    let bench = Bench::new(&[1, 2, 3]);
    bench.stamp(3, TAKEN, bench.dead);
    bench.lock(TAKE_LOCK);
    assert_eq!(bench.left(), [1, 2, 3]);
    assert_eq!(bench.queue.counts(), (10, 10));
}

#[test]
fn an_item_that_was_given_back_before_the_head_moved_is_delivered_once() {
    let bench = Bench::new(&[1, 2]);
    bench.stamp(3, RETURNED, 0);
    bench.lock(TAKE_LOCK);
    assert_eq!(bench.left(), [1, 2]);
}

#[test]
fn an_item_whose_reader_lives_is_not_handed_out_by_a_late_head() {
    let bench = Bench::new(&[1, 2]);
    let held = bench.queue.peek().unwrap();
    // As if its reader had not moved the head yet.
    bench.write(TAKE_LOCK + 16, 3);
    bench.lock(TAKE_LOCK);
    assert_eq!(bench.queue.try_get().unwrap(), 2);
    assert!(matches!(bench.queue.try_get(), Err(GetError::Empty)));
    held.release();
    assert!(bench.left().is_empty());
}

#[test]
fn an_item_whose_producer_died_before_moving_the_tail_is_there() {
    let bench = Bench::new(&[1]);
    bench.item(4, 2);
    bench.stamp(4, COMMITTED, 0);
    bench.lock(PUT_LOCK);
    bench.queue.try_put(3).unwrap();
    assert_eq!(bench.left(), [1, 2, 3]);
}

#[test]
fn followers_whose_first_slot_never_came_are_taken_back() {
    let bench = Bench::new(&[1]);
    bench.stamp(5, RESERVED, 0);
    bench.stamp(6, RESERVED, 0);
    bench.lock(PUT_LOCK);
    assert_eq!(bench.queue.try_get().unwrap(), 1);
    assert!(matches!(bench.queue.try_get(), Err(GetError::Empty)));
    assert_eq!(bench.queue.try_put_many(&[2, 3, 4]).unwrap(), 3);
    assert_eq!(bench.left(), [2, 3, 4]);
}

#[test]
fn a_batch_whose_writer_died_before_moving_the_tail_is_skipped() {
    for consumer_first in [false, true] {
        let bench = Bench::new(&[1]);
        bench.stamp(5, RESERVED, 0);
        bench.stamp(6, RESERVED, 0);
        bench.stamp(4, RESERVED, bench.dead);
        bench.lock(PUT_LOCK);
        if consumer_first {
            assert_eq!(bench.queue.try_get().unwrap(), 1);
            assert!(matches!(bench.queue.try_get(), Err(GetError::Empty)));
        }
        bench.queue.try_put(2).map(drop).or_else(full).unwrap();
        assert_eq!(bench.left().last(), (consumer_first).then_some(&2).or(Some(&1)));
    }
    fn full(error: PutError<u64>) -> Result<(), PutError<u64>> {
        // Nobody has skipped it yet, and the last slot is that of an item.
        if matches!(error, PutError::Full(_)) { Ok(()) } else { Err(error) }
    }
}

#[test]
fn a_batch_that_was_half_taken_apart_is_whole() {
    let bench = Bench::new(&[]);
    (3..6).for_each(|position| bench.item(position, position));
    bench.stamp(3, COMMITTED, 2);
    bench.stamp(4, RESERVED, 0);
    bench.stamp(5, RESERVED, 0);
    bench.write(TAIL, 6);
    // The last one was not written, and has its own stamp already.
    bench.stamp(5, 3, 0);
    bench.lock(TAKE_LOCK);
    assert_eq!(bench.left(), [3, 4]);
}

#[test]
fn a_follower_of_nobody_is_an_error_and_no_hang() {
    let bench = Bench::new(&[1, 2]);
    bench.stamp(3, RESERVED, 0);
    let outcome = bench.queue.try_get();
    assert!(
        matches!(outcome, Err(GetError::Failed(Error::NotASegment { what: "slot stamp", .. }))),
        "{outcome:?}"
    );
    bench.stamp(3, EMPTY, 0);
}

/// A thread of this process that does not exist, so that no death ends its holding.
fn held_for_ever(space: &Space, name: &str, lock: u64) {
    let me = u64::from(space.join().unwrap().to_bits());
    let file = File::options().write(true).open(space.directory().join(name)).unwrap();
    file.write_all_at(&(0x7abc_def0 << 32 | me).to_ne_bytes(), lock).unwrap();
}

#[test]
fn a_lock_that_is_never_given_back_is_an_error_of_close_and_subscribe() {
    watchdog(PATIENCE, || {
        let home = Home::new();
        let space = &home.space;
        let queue = Queue::<u64>::builder().space(space).create("queue", 2).unwrap();
        let bytes = BytesQueue::builder().space(space).create("bytes", 64).unwrap();
        let init = BroadcastInit::new(2).wait_for_subscribers(2);
        let news = Broadcast::<u64>::builder().space(space).create("news", init).unwrap();
        held_for_ever(space, "queue", PUT_LOCK);
        held_for_ever(space, "bytes", 256 + 64);
        held_for_ever(space, "news", 256 + 64);
        assert!(matches!(queue.try_put(1), Err(PutError::Full(1))));
        std::thread::scope(|scope| {
            let outcomes = [
                scope.spawn(|| queue.close()),
                scope.spawn(|| bytes.close()),
                scope.spawn(|| news.close()),
                scope.spawn(|| news.subscribe().map(drop)),
            ];
            for outcome in outcomes {
                assert!(matches!(outcome.join().unwrap(), Err(Error::TimedOut)));
            }
        });
    });
}
