//! `Broadcast<T>`: every subscriber receives everything, or is told what it missed.

use std::time::Duration;

use procshare::{Broadcast, BroadcastInit, Error, GetError, PutError, Queue, RecvError, Subscriber};
use procshare_harness::{Child, Exit, Page, child, watchdog};

use crate::{PATIENCE, kill_myself, killed};

fn all(subscriber: &mut Subscriber<u64>) -> Vec<u64> {
    subscriber.try_iter().collect()
}

#[test]
fn everybody_receives_what_is_published_after_they_came() {
    let news = Broadcast::anonymous(8).unwrap();
    let mut early = news.subscribe().unwrap();
    news.publish(1u64).unwrap();
    let mut late = news.subscribe().unwrap();
    news.publish_many(&[2, 3]).unwrap();
    assert_eq!(early.behind(), 3);
    assert_eq!(all(&mut early), [1, 2, 3]);
    assert_eq!(all(&mut late), [2, 3]);
    assert!(matches!(late.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(late.recv_timeout(Duration::from_millis(3)), Err(RecvError::TimedOut)));
    assert_eq!((news.published(), news.capacity()), (3, 8));
}

#[test]
fn who_is_slow_is_told_how_much_it_missed() {
    let news = Broadcast::anonymous(4).unwrap();
    let mut slow = news.subscribe().unwrap();
    for round in 0..100 {
        let first = round * 11;
        for item in first..first + 11 {
            news.publish(item).unwrap();
        }
        assert!(matches!(slow.recv(), Err(RecvError::Missed(7))), "it keeps four of eleven");
        assert_eq!(all(&mut slow), [first + 7, first + 8, first + 9, first + 10]);
    }
    assert_eq!(slow.missed(), 700);
    news.publish_many(&[0; 9]).unwrap();
    assert!(matches!(Error::from(slow.try_recv().unwrap_err()), Error::Missed { count: 5 }));
}

#[test]
fn closing_wakes_and_lets_subscribers_receive_the_rest() {
    watchdog(PATIENCE, || {
        let news = Broadcast::anonymous(4).unwrap();
        let (mut idle, mut busy) = (news.subscribe().unwrap(), news.subscribe().unwrap());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(move || {
                assert_eq!(idle.recv().unwrap(), 1u64);
                idle.recv()
            });
            news.publish(1).unwrap();
            news.close().unwrap();
            assert!(matches!(waiter.join().unwrap(), Err(RecvError::Closed)));
        });
        assert!(matches!(news.publish(2), Err(PutError::Closed(2))));
        assert_eq!(busy.iter().collect::<Vec<_>>(), [1]);
        assert!(matches!(news.subscribe().unwrap().recv(), Err(RecvError::Closed)));
    });
}

#[test]
fn a_read_only_subscriber_looks_and_does_not_wait() {
    let name = format!("test-broadcast-ro-{}", std::process::id());
    let news = Broadcast::create(&name, 2).unwrap();
    let theirs = Broadcast::<u64>::builder().read_only(true).open(&name).unwrap();
    Broadcast::<u64>::unlink(&name).unwrap();
    let mut reader = theirs.subscribe().unwrap();
    news.publish_many(&[1u64, 2, 3]).unwrap();
    assert!(matches!(reader.try_recv(), Err(RecvError::Missed(1))));
    assert_eq!(reader.try_recv().unwrap(), 2);
    assert!(matches!(reader.recv(), Err(RecvError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(theirs.publish(1), Err(PutError::Failed(1, Error::ReadOnly { .. }))));
    assert!(matches!(theirs.close(), Err(Error::ReadOnly { .. })));
}

#[test]
fn by_option_publishers_wait_for_the_slowest() {
    watchdog(PATIENCE, || {
        let news = Broadcast::anonymous(BroadcastInit::new(2).wait_for_subscribers(2)).unwrap();
        news.publish_many(&[0u64; 9]).unwrap();
        let (mut fast, mut slow) = (news.subscribe().unwrap(), news.subscribe().unwrap());
        assert!(matches!(news.subscribe(), Err(Error::TooManyWaiters { limit: 2, .. })));
        news.publish_many(&[1, 2]).unwrap();
        assert_eq!(all(&mut fast), [1, 2]);
        assert!(matches!(news.try_publish(3), Err(PutError::Full(3))));
        assert!(matches!(news.publish_timeout(3, Duration::from_millis(3)), Err(PutError::TimedOut(3))));
        std::thread::scope(|scope| {
            scope.spawn(|| news.publish(3).unwrap());
            assert_eq!(slow.recv().unwrap(), 1);
            assert_eq!(fast.recv().unwrap(), 3);
        });
        assert_eq!(all(&mut slow), [2, 3]);
        news.publish_many(&[4, 5]).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| news.publish(6).unwrap());
            assert_eq!(fast.recv().unwrap(), 4);
            drop(slow);
        });
        assert_eq!(all(&mut fast), [5, 6]);
        news.subscribe().unwrap();
    });
}

#[test]
fn a_dead_subscriber_holds_up_nobody() {
    watchdog(PATIENCE, || {
        let news = Broadcast::anonymous(BroadcastInit::new(2).wait_for_subscribers(3)).unwrap();
        let mut mine = news.subscribe().unwrap();
        for round in 0..50u64 {
            killed(|| {
                std::mem::forget(news.subscribe().unwrap());
                std::mem::forget(news.subscribe().unwrap());
                kill_myself()
            });
            for item in [round, round + 1, round + 2, round + 3] {
                news.publish(item).unwrap();
                assert_eq!(mine.recv().unwrap(), item);
            }
        }
    });
}

#[test]
fn a_waiting_publisher_goes_on_when_the_slowest_is_killed() {
    watchdog(PATIENCE, || {
        let news = Broadcast::anonymous(BroadcastInit::new(1).wait_for_subscribers(2)).unwrap();
        let ready = Page::new(4096);
        let sluggard = Child::fork(|| {
            let _seat = news.subscribe().unwrap();
            ready.u64s()[0].store(1, std::sync::atomic::Ordering::SeqCst);
            std::thread::sleep(PATIENCE);
        });
        while ready.u64s()[0].load(std::sync::atomic::Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        news.publish(1u64).unwrap();
        std::thread::scope(|scope| {
            let publisher = scope.spawn(|| news.publish(2));
            let _ = sluggard.kill();
            publisher.join().unwrap().unwrap();
        });
    });
}

#[test]
fn a_forked_copy_is_a_subscriber_of_its_own() {
    watchdog(PATIENCE, || {
        for init in [BroadcastInit::new(4), BroadcastInit::new(4).wait_for_subscribers(4)] {
            let news = Broadcast::anonymous(init).unwrap();
            let mut mine = news.subscribe().unwrap();
            news.publish_many(&[1u64, 2]).unwrap();
            assert_eq!(mine.recv().unwrap(), 1);
            let exit = child(PATIENCE, || {
                assert_eq!(mine.try_iter().collect::<Vec<_>>(), [2]);
                news.publish(3).unwrap();
                assert_eq!(mine.recv().unwrap(), 3);
                drop(std::mem::replace(&mut mine, news.subscribe().unwrap()));
            });
            exit.unwrap();
            assert_eq!(all(&mut mine), [2, 3], "the child took nothing away");
            if news.waits_for_subscribers() {
                news.publish_many(&[4, 5, 6, 7]).unwrap();
                assert!(
                    matches!(news.try_publish(8), Err(PutError::Full(8))),
                    "the parent's seat is its own"
                );
            }
        }
    });
}

#[test]
fn a_forked_copy_that_comes_late_is_waited_for_from_where_it_is() {
    use std::sync::atomic::Ordering::SeqCst;
    watchdog(PATIENCE, || {
        let news = Broadcast::anonymous(BroadcastInit::new(4).wait_for_subscribers(4)).unwrap();
        let (mut mine, page) = (news.subscribe().unwrap(), Page::new(4096));
        news.publish_many(&[0u64, 1, 2, 3]).unwrap();
        let late = Child::fork(|| {
            while page.u64s()[0].load(SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert!(matches!(mine.recv(), Err(RecvError::Missed(1))));
            assert!(matches!(news.try_publish(9), Err(PutError::Full(9))), "it has not received 1 yet");
            assert_eq!(mine.try_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
        });
        assert_eq!(all(&mut mine), [0, 1, 2, 3]);
        news.publish(4).unwrap();
        page.u64s()[0].store(1, SeqCst);
        late.wait(PATIENCE).unwrap();
    });
}

#[test]
fn what_many_publish_many_receive_whole_and_in_order() {
    const EACH: u64 = 10_000;
    watchdog(PATIENCE, || {
        let init = BroadcastInit::new(32).wait_for_subscribers(4);
        let news = Broadcast::<[u64; 3]>::anonymous(init).unwrap();
        let ready = Queue::<u64>::anonymous(4).unwrap();
        let readers: Vec<Child> = (0..2)
            .map(|_| {
                Child::fork(|| {
                    let mut reader = news.subscribe().unwrap();
                    ready.put(1).unwrap();
                    let mut next = [0; 2];
                    for [who, item, sum] in reader.iter() {
                        assert_eq!((item, sum), (next[who as usize], who ^ item));
                        next[who as usize] += 1;
                    }
                    assert_eq!((next, reader.missed()), ([EACH; 2], 0));
                })
            })
            .collect();
        assert_eq!([ready.get().unwrap(), ready.get().unwrap()], [1, 1]);
        let writers: Vec<Child> = (0..2u64)
            .map(|me| {
                let news = news.clone();
                Child::fork(move || (0..EACH).for_each(|item| news.publish([me, item, me ^ item]).unwrap()))
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.wait(PATIENCE).unwrap());
        news.close().unwrap();
        readers.into_iter().for_each(|reader| reader.wait(PATIENCE).unwrap());
    });
}

#[test]
fn nothing_torn_is_received_however_fast_it_is_overwritten() {
    watchdog(PATIENCE, || {
        let news = Broadcast::<[u64; 64]>::anonymous(2).unwrap();
        let mut reader = news.subscribe().unwrap();
        let writer = Child::fork(|| {
            (0..50_000u64).for_each(|item| news.publish([item; 64]).unwrap());
            news.close().unwrap();
        });
        let (mut received, mut last) = (0, None);
        loop {
            match reader.recv() {
                Ok(item) => {
                    assert!(item.iter().all(|word| *word == item[0]), "torn: {item:?}");
                    assert!(last < Some(item[0]), "out of order");
                    (last, received) = (Some(item[0]), received + 1);
                }
                Err(RecvError::Missed(_)) => {}
                Err(RecvError::Closed) => break,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(received + reader.missed(), 50_000, "every item was received or counted");
        writer.wait(PATIENCE).unwrap();
    });
}

#[test]
fn it_is_among_the_things_to_wait_for() {
    watchdog(PATIENCE, || {
        let (news, jobs) = (Broadcast::anonymous(4).unwrap(), Queue::<u64>::anonymous(4).unwrap());
        let mut reader = news.subscribe().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| procshare::wait_any(&[&jobs, &reader]).unwrap().0);
            news.publish(5u64).unwrap();
            assert_eq!(waiter.join().unwrap(), 1);
        });
        assert_eq!(reader.recv().unwrap(), 5);
        assert!(matches!(procshare::try_wait_any(&[&reader]), Err(Error::WouldBlock)));
        news.close().unwrap();
        assert_eq!(procshare::wait_any(&[&jobs, &reader]).unwrap().0, 1);
        assert!(matches!(jobs.try_get(), Err(GetError::Empty)));
    });
}

#[test]
fn sizes_no_broadcast_can_have_are_refused_and_handles_travel() {
    assert!(matches!(Broadcast::<u8>::anonymous(0), Err(Error::BadSize { .. })));
    let many = BroadcastInit::new(1).wait_for_subscribers(1 << 20);
    assert!(matches!(Broadcast::<u8>::anonymous(many), Err(Error::BadSize { .. })));
    let news = Broadcast::<u64>::anonymous(2).unwrap();
    let text = serde_json::to_string(&news).unwrap();
    let same = serde_json::from_str::<procshare::Handle<Broadcast<u64>>>(&text).unwrap().attach().unwrap();
    let mut reader = same.subscribe().unwrap();
    news.publish(7).unwrap();
    assert_eq!(reader.recv().unwrap(), 7);
}

#[test]
fn a_killed_publisher_leaves_a_whole_item_or_none() {
    watchdog(PATIENCE, || {
        let news = Broadcast::<[u64; 512]>::anonymous(4).unwrap();
        let mut reader = news.subscribe().unwrap();
        for _ in 0..60 {
            let publisher = Child::fork(|| {
                for item in 0.. {
                    news.publish([item; 512]).unwrap();
                }
            });
            for _ in 0..20 {
                match reader.recv() {
                    Ok(item) => assert!(item.iter().all(|word| *word == item[0])),
                    Err(RecvError::Missed(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            assert!(matches!(publisher.kill(), Exit::Signalled(libc::SIGKILL)));
            while !matches!(reader.try_recv(), Err(RecvError::Empty)) {}
        }
        news.publish([9; 512]).unwrap();
        assert_eq!(reader.recv().unwrap()[511], 9);
    });
}
