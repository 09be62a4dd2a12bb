//! Slots and frames that are held in place: what their holders leave behind, in whatever order they give up, die or fork.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use procshare::{
    BytesQueue, Error, GetError, JoinableInit, JoinableQueue, Plain, PutError, Queue, SpscQueue, Unfinished,
    wait_any_timeout,
};
use procshare_harness::{Child, Page, child, watchdog};

use crate::support::Home;
use crate::{PATIENCE, kill_myself, killed};

/// Long enough for whatever is noticed at all.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn dropped_reservations_leave_room_though_nobody_consumes() {
    for capacity in 1..4 {
        let queue = Queue::<u64>::anonymous(capacity).unwrap();
        for round in 0..3 {
            if round == 1 {
                drop(queue.try_reserve_many(capacity).unwrap());
            } else {
                (0..capacity).for_each(|_| drop(queue.try_reserve().unwrap()));
            }
            assert!(!queue.is_full(), "round {round}");
            assert_eq!(queue.try_put_many(&[round; 9]).unwrap(), capacity);
            assert!(matches!(queue.try_put(9), Err(PutError::Full(9))) && queue.is_full());
            assert_eq!(queue.try_get_many(9).unwrap(), vec![round; capacity]);
            assert!(matches!(queue.try_get(), Err(GetError::Empty)));
        }
    }
}

#[test]
fn reservations_of_the_dead_leave_room_though_nobody_consumes() {
    let queue = Queue::<u64>::anonymous(3).unwrap();
    for round in 0..3 {
        killed(|| {
            drop(queue.reserve().unwrap());
            if round == 0 {
                std::mem::forget(queue.try_reserve_many(2).unwrap());
            } else {
                (0..2).for_each(|_| std::mem::forget(queue.try_reserve().unwrap()));
            }
            kill_myself()
        });
        assert_eq!(queue.try_put_many(&[round; 9]).unwrap(), 3);
        assert_eq!(queue.try_get_many(9).unwrap(), [round; 3]);
    }
}

#[test]
fn a_living_reservation_hides_nothing_that_the_dead_were_reading() {
    let queue = Queue::<u64>::anonymous(3).unwrap();
    let bytes = BytesQueue::anonymous(300).unwrap();
    for round in 0..5 {
        queue.put(round).unwrap();
        bytes.put(&[round as u8]).unwrap();
        killed(|| {
            std::mem::forget((queue.peek().unwrap(), bytes.peek().unwrap()));
            kill_myself()
        });
        let (_slot, _room) = (queue.reserve().unwrap(), bytes.reserve(9).unwrap());
        assert_eq!(queue.get_timeout(SOON).unwrap(), round);
        assert_eq!(bytes.get_timeout(SOON).unwrap(), [round as u8]);
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    }
}

#[test]
fn a_closed_queue_whose_last_task_died_with_its_worker_is_drained_at_once() {
    let init = JoinableInit::new(4).when_dead(Unfinished::CountedDone);
    let jobs = JoinableQueue::<u32>::anonymous(init).unwrap();
    jobs.put_many(&[1, 2]).unwrap();
    killed(|| {
        (0..2).for_each(|_| std::mem::forget(jobs.get().unwrap()));
        kill_myself()
    });
    jobs.close().unwrap();
    assert!(matches!(jobs.try_get(), Err(GetError::Closed)));
    jobs.try_join().unwrap();
}

/// No zero is one.
#[derive(Clone, Copy, PartialEq, Debug, bytemuck::NoUninit, bytemuck::CheckedBitPattern, Plain)]
#[repr(u8)]
enum Colour {
    Red = 1,
    Blue,
}

#[test]
fn bytes_that_are_no_item_come_alone_and_take_no_other_item_along() {
    let queue = Queue::<Colour>::anonymous(8).unwrap();
    let (mut producer, mut consumer) = SpscQueue::<Colour>::anonymous(8).unwrap().split().unwrap();
    for _ in 0..2 {
        queue.put(Colour::Red).unwrap();
        queue.reserve().unwrap().commit_in_place();
        queue.put_many(&[Colour::Blue; 2]).unwrap();
    }
    assert_eq!(queue.try_get_many(9).unwrap(), [Colour::Red]);
    assert!(matches!(queue.try_get_many(9), Err(GetError::Failed(Error::InvalidBits { .. }))));
    let rest = [Colour::Blue, Colour::Blue, Colour::Red, Colour::Blue, Colour::Blue];
    assert_eq!(queue.try_iter().collect::<Vec<_>>(), rest, "and do not end an iteration");

    producer.put_many(&[Colour::Red, Colour::Blue]).unwrap();
    assert_eq!(consumer.try_get_many(9).unwrap(), [Colour::Red, Colour::Blue]);
}

/// What a forked child does with its copies of the parent's guards.
#[test]
fn a_childs_copies_of_guards_write_nothing() {
    watchdog(PATIENCE, || {
        let (queue, bytes) = (Queue::<u64>::anonymous(3).unwrap(), BytesQueue::anonymous(64).unwrap());
        let (mut producer, mut consumer) = SpscQueue::<u64>::anonymous(2).unwrap().split().unwrap();
        for round in 0..9 {
            let late = Page::new(4096);
            let mut slot = Some(queue.reserve().unwrap());
            let mut batch = Some(queue.reserve_many(2).unwrap());
            let mut room = Some(bytes.reserve(4).unwrap());
            let mut chunk = Some(producer.reserve_many(2).unwrap());
            assert!(chunk.as_mut().is_some_and(|chunk| chunk.push(1).is_ok()));
            let copies = Child::fork(|| {
                while late.u64s()[0].load(SeqCst) == 0 {
                    thread::yield_now();
                }
                let (mut slot, mut room) = (slot.take().unwrap(), room.take().unwrap());
                let (mut chunk, mut batch) = (chunk.take().unwrap(), batch.take().unwrap());
                assert_eq!((*slot.zeroed(), *slot.write(13)), (0, 13), "the child sees what it writes");
                assert_eq!(room.zeroed(), [0; 4]);
                assert_eq!(room.write(b"evil"), b"evil");
                room.uninit().fill(std::mem::MaybeUninit::new(7));
                assert!(chunk.push(13).is_err() && chunk.zeroed().0.is_empty());
                assert!(batch.push(13).is_err());
                assert!(batch.zeroed().next().is_none() && batch.uninit().next().is_none());
                slot.commit(13);
                room.commit();
                assert_eq!((chunk.commit(), batch.commit()), (0, 0));
            });
            slot.take().unwrap().commit(round);
            assert_eq!(batch.as_mut().unwrap().extend_from_slice(&[round; 2]), 2);
            assert_eq!(batch.take().unwrap().commit(), 2);
            room.as_mut().unwrap().write(b"good");
            room.take().unwrap().commit();
            assert_eq!(chunk.take().unwrap().commit(), 1);
            late.u64s()[0].store(1, SeqCst);
            copies.wait(PATIENCE).unwrap();
            assert_eq!(queue.try_get_many(9).unwrap(), [round; 3]);
            assert_eq!(bytes.try_get().unwrap(), b"good");
            assert_eq!(consumer.try_get().unwrap(), 1);
            assert!(queue.try_get().is_err() && bytes.try_get().is_err() && consumer.try_get().is_err());
        }
    });
}

#[test]
fn a_picture_larger_than_the_stack_is_written_and_read_in_place() {
    type Picture = [u8; 1 << 20];
    let show = || {
        let queue = Queue::<Picture>::anonymous(2).unwrap();
        let (mut producer, mut consumer) = SpscQueue::<Picture>::anonymous(2).unwrap().split().unwrap();
        for round in 0..4 {
            let mut slot = queue.reserve().unwrap();
            slot.zeroed()[5] = round;
            slot.commit_in_place();
            let picture = queue.peek().unwrap();
            assert_eq!((picture[5], picture[6]), (round, 0));
            picture.release();
        }
        assert!(producer.try_reserve_many(1).is_ok() && consumer.try_peek_many(1).is_err());
    };
    thread::Builder::new().stack_size(256 << 10).spawn(show).unwrap().join().unwrap();
}

#[test]
fn waiting_for_a_read_only_queue_is_refused() {
    let home = Home::new();
    let queue = Queue::<u64>::builder().space(&home.space).create("numbers", 2).unwrap();
    let bytes = BytesQueue::builder().space(&home.space).create("bytes", 64).unwrap();
    child(PATIENCE, || {
        let numbers = Queue::<u64>::builder().space(&home.space).read_only(true).open("numbers").unwrap();
        let lines = BytesQueue::builder().space(&home.space).read_only(true).open("bytes").unwrap();
        assert!(matches!(wait_any_timeout(&[&numbers], SOON), Err(Error::ReadOnly { .. })));
        assert!(matches!(wait_any_timeout(&[&lines], SOON), Err(Error::ReadOnly { .. })));
    })
    .unwrap();
    assert!(queue.is_empty() && bytes.is_empty());
}
