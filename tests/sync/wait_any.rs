//! `wait_any`: one object is taken, nothing of the others, and nobody else misses what was meant for him.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{
    BoundedSemaphore, Broadcast, BytesQueue, Cause, Error, Event, JoinableQueue, Latch, Lock, LockArray,
    Pipe, Queue, RLock, Reset, Semaphore, Space, SpscQueue, Taken, Waitable, try_wait_any, wait_any,
    wait_any_timeout,
};
use procshare_harness::{Child, Page};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, finish, guarded, kill};

const SHORT: Duration = Duration::from_millis(20);

fn auto() -> Event {
    Event::builder().anonymous_with(Reset::Auto).unwrap()
}

/// Objects of each kind, none of which is there.
struct Kinds {
    lock: Lock,
    locks: LockArray,
    semaphore: Semaphore,
    bounded: BoundedSemaphore,
    manual: Event,
    auto: Event,
    queue: Queue<u64>,
    /// The last: once open, it stays so.
    latch: Latch,
}

impl Kinds {
    fn new() -> Self {
        let kinds = Kinds {
            lock: Lock::anonymous().unwrap(),
            locks: LockArray::anonymous(3).unwrap(),
            semaphore: Semaphore::anonymous(0).unwrap(),
            bounded: BoundedSemaphore::anonymous(1).unwrap(),
            manual: Event::anonymous().unwrap(),
            auto: auto(),
            queue: Queue::anonymous(4).unwrap(),
            latch: Latch::anonymous(1).unwrap(),
        };
        kinds.lock.lock().unwrap().forget();
        kinds.locks.at(1).unwrap().lock().unwrap().forget();
        kinds.bounded.acquire().unwrap().forget();
        kinds
    }

    /// Makes the object with this index come.
    fn come(&self, index: usize) {
        match index {
            0 => self.lock.release().unwrap(),
            1 => self.locks.at(1).unwrap().release().unwrap(),
            2 => self.semaphore.release(1).unwrap(),
            3 => self.bounded.release(1).unwrap(),
            4 => self.manual.set().unwrap(),
            5 => self.auto.set().unwrap(),
            6 => self.queue.put(7).unwrap(),
            _ => assert_eq!(self.latch.count_down(1).unwrap(), 0),
        }
    }

    /// Takes what came back, and finds that it was there once.
    fn take(&self, index: usize, taken: Taken<'_>) {
        match (index, taken) {
            (0, Taken::Lock(guard)) => {
                assert!(self.lock.holder().is_some());
                guard.forget();
            }
            (1, Taken::Lock(guard)) => {
                assert!(self.locks.at(1).unwrap().holder().is_some());
                assert!(self.locks.at(0).unwrap().holder().is_none());
                guard.forget();
            }
            (2, Taken::Permit(permit)) | (3, Taken::Permit(permit)) => permit.forget(),
            (4, Taken::Ready) => self.manual.clear().unwrap(),
            (5, Taken::Ready) => {}
            (6, Taken::Ready) => assert_eq!(self.queue.try_get().unwrap(), 7),
            (7, Taken::Ready) => assert!(self.latch.try_wait()),
            (index, taken) => panic!("{index}: {taken:?}"),
        }
        self.none_is_there();
    }

    fn none_is_there(&self) {
        assert!(self.lock.try_lock().is_err());
        assert!(self.locks.at(1).unwrap().try_lock().is_err());
        assert!(self.semaphore.try_acquire().is_err() && self.semaphore.available() == 0);
        assert!(self.bounded.try_acquire().is_err());
        assert!(!self.manual.is_set() && !self.auto.is_set() && !self.auto.try_wait().unwrap());
        assert!(self.queue.try_get().is_err());
    }

    fn with_all<R>(&self, use_them: impl FnOnce(&[&dyn Waitable]) -> R) -> R {
        let at = self.locks.at(1).unwrap();
        use_them(&[
            &self.lock,
            &at,
            &self.semaphore,
            &self.bounded,
            &self.manual,
            &self.auto,
            &self.queue,
            &self.latch,
        ])
    }
}

#[test]
fn what_is_there_is_taken_and_nothing_else() {
    let kinds = Kinds::new();
    kinds.with_all(|all| {
        assert!(matches!(try_wait_any(all), Err(Error::WouldBlock)));
        for expected in 0..all.len() {
            kinds.come(expected);
            let (index, taken) = try_wait_any(all).unwrap();
            assert_eq!(index, expected);
            kinds.take(index, taken);
        }
        kinds.come(5);
        kinds.come(2);
        let (index, taken) = wait_any(all).unwrap();
        assert_eq!(index, 2, "the first in the list");
        drop(taken);
        assert_eq!(kinds.semaphore.available(), 1);
        assert!(kinds.auto.try_wait().unwrap(), "left alone");
    });
}

#[test]
fn whichever_comes_wakes_a_sleeper() {
    guarded(|| {
        let kinds = Kinds::new();
        for expected in 0..8 {
            let waiter = Child::fork(|| {
                kinds.with_all(|all| {
                    let (index, taken) = wait_any(all).unwrap();
                    assert_eq!(index, expected);
                    kinds.take(index, taken);
                });
            });
            await_asleep(&waiter);
            kinds.come(expected);
            waiter.wait(LIMIT).unwrap();
            kinds.none_is_there();
        }
    });
}

#[test]
fn a_timeout_leaves_everything_as_it_was() {
    let kinds = Kinds::new();
    kinds.with_all(|all| {
        let started = Instant::now();
        assert!(matches!(wait_any_timeout(all, SHORT), Err(Error::TimedOut)));
        assert!(started.elapsed() >= SHORT);
        assert!(matches!(wait_any_timeout(all, Duration::ZERO), Err(Error::TimedOut)));
        kinds.none_is_there();
        for index in 0..all.len() {
            kinds.come(index);
        }
    });
    assert!(kinds.lock.try_lock().is_ok() && kinds.locks.at(1).unwrap().try_lock().is_ok());
    assert_eq!((kinds.semaphore.available(), kinds.bounded.available()), (1, 1));
    assert!(kinds.manual.is_set() && kinds.auto.try_wait().unwrap());
    assert_eq!(kinds.queue.try_get().unwrap(), 7);
    assert!(kinds.latch.try_wait());
}

#[test]
fn none_and_too_many_are_errors_and_a_hundred_and_twenty_eight_are_not() {
    let events: Vec<Event> = (0..129).map(|_| Event::anonymous().unwrap()).collect();
    let all: Vec<&dyn Waitable> = events.iter().map(|event| event as &dyn Waitable).collect();
    for wrong in [&all[..0], &all[..]] {
        let outcome = wait_any(wrong);
        assert!(matches!(outcome, Err(Error::BadSize { .. })), "{outcome:?}");
    }
    assert!(matches!(wait_any_timeout(&all[..128], SHORT), Err(Error::TimedOut)));
    guarded(|| {
        let waiter = Child::fork(|| assert_eq!(wait_any(&all[..128]).unwrap().0, 127));
        await_asleep(&waiter);
        events[127].set().unwrap();
        waiter.wait(LIMIT).unwrap();
    });
}

#[test]
fn an_own_lock_never_comes() {
    let (mine, other) = (Lock::anonymous().unwrap(), Lock::anonymous().unwrap());
    let guard = mine.lock().unwrap();
    assert!(matches!(wait_any(&[&mine, &mine]), Err(Error::Deadlock)));
    assert!(matches!(try_wait_any(&[&mine]), Err(Error::WouldBlock)));
    let (index, taken) = wait_any(&[&mine, &other]).unwrap();
    assert_eq!(index, 1);
    drop(guard);
    drop(taken);
    let (index, taken) = wait_any(&[&mine, &mine]).unwrap();
    assert_eq!(index, 0);
    assert!(other.try_lock().is_ok());
    drop(taken);
    assert!(mine.try_lock().is_ok());
}

#[test]
fn a_re_entrant_lock_comes_once_more() {
    let (never, lock) = (Event::anonymous().unwrap(), RLock::anonymous().unwrap());
    let (index, outer) = wait_any(&[&never, &lock]).unwrap();
    assert!(index == 1 && matches!(outer, Taken::RLock(_)) && lock.depth() == 1);
    let inner = wait_any(&[&never, &lock]).unwrap();
    assert_eq!(lock.depth(), 2);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(try_wait_any(&[&lock]), Err(Error::WouldBlock))));
    });
    drop((inner, outer));
    assert_eq!((lock.depth(), lock.holder()), (0, None));
    guarded(|| {
        let holder = Child::fork(|| {
            let _guard = lock.lock();
            never.wait().unwrap();
        });
        await_asleep(&holder);
        let _ = holder.kill();
        match wait_any(&[&never, &lock]).unwrap() {
            (1, Taken::RLockOwnerDied(died)) => died.into_guard().make_consistent(),
            other => panic!("{other:?}"),
        }
        drop(lock.lock().unwrap());
    });
}

#[test]
fn the_dead_are_recovered_from() {
    guarded(|| {
        let (lock, semaphore) = (Lock::anonymous().unwrap(), Semaphore::anonymous(1).unwrap());
        let never = Event::anonymous().unwrap();
        let hold = || {
            let holder = Child::fork(|| {
                let _guard = lock.lock();
                let _permit = semaphore.acquire().unwrap();
                never.wait().unwrap();
            });
            await_asleep(&holder);
            assert!(matches!(try_wait_any(&[&never, &lock, &semaphore]), Err(Error::WouldBlock)));
            holder
        };
        for objects in [[&never as &dyn Waitable, &lock], [&never, &semaphore]] {
            for asleep in [false, true] {
                let holder = hold();
                let check = |outcome: Result<(usize, Taken<'_>), Error>| match outcome.unwrap() {
                    (1, Taken::LockOwnerDied(died)) => {
                        assert_eq!(died.cause(), Cause::Died);
                        died.into_guard().make_consistent();
                    }
                    (1, Taken::Permit(_)) => {}
                    other => panic!("{other:?}"),
                };
                if asleep {
                    let waiter = Child::fork(|| check(wait_any(&objects)));
                    await_asleep(&waiter);
                    let _ = holder.kill();
                    waiter.wait(LIMIT).unwrap();
                } else {
                    let _ = holder.kill();
                    check(try_wait_any(&objects));
                }
                if let Ok(guard) = lock.lock().or_else(|died| died.into_guard()) {
                    guard.make_consistent();
                }
                drop(semaphore.acquire().unwrap());
            }
        }
    });
}

#[test]
fn the_end_of_a_participant_is_waited_for() {
    guarded(|| {
        let home = TestSpace::new();
        let never = Event::builder().space(&home.space).anonymous().unwrap();
        let lock = Lock::builder().space(&home.space).anonymous().unwrap();
        // Its id, from what it holds.
        let holder = Child::fork(|| {
            let _guard = lock.lock().unwrap();
            never.wait().unwrap();
        });
        await_asleep(&holder);
        let watch = home.space.watch(lock.holder().unwrap());
        assert!(!watch.is_gone().unwrap());
        assert!(matches!(wait_any_timeout(&[&never, &watch], SHORT), Err(Error::TimedOut)));
        let waiter = Child::fork(|| assert!(matches!(wait_any(&[&never, &watch]), Ok((1, Taken::Ready)))));
        await_asleep(&waiter);
        let _ = holder.kill();
        waiter.wait(LIMIT).unwrap();
        assert!(watch.is_gone().unwrap());
        assert_eq!(try_wait_any(&[&never, &watch]).unwrap().0, 1);
    });
}

#[test]
fn a_queue_is_ready_and_nothing_is_taken_from_it() {
    let (queue, never) = (Queue::<u64>::anonymous(2).unwrap(), Event::anonymous().unwrap());
    let both: [&dyn Waitable; 2] = [&never, &queue];
    assert!(matches!(wait_any_timeout(&both, SHORT), Err(Error::TimedOut)));
    queue.put(5).unwrap();
    for _ in 0..2 {
        assert!(matches!(wait_any(&both), Ok((1, Taken::Ready))));
    }
    let item = queue.peek().unwrap();
    assert!(matches!(try_wait_any(&both), Err(Error::WouldBlock)), "somebody reads it");
    drop(item);
    assert!(matches!(try_wait_any(&both), Ok((1, Taken::Ready))), "it came back");
    assert_eq!(queue.get().unwrap(), 5);
    assert!(matches!(try_wait_any(&both), Err(Error::WouldBlock)));
    queue.close().unwrap();
    assert!(matches!(wait_any(&both), Ok((1, Taken::Ready))), "closed and drained");
}

#[test]
fn every_kind_of_queue_is_waited_for() {
    let bytes = BytesQueue::anonymous(64).unwrap();
    let jobs = JoinableQueue::<u64>::anonymous(1).unwrap();
    let (mut producer, mut consumer) = SpscQueue::<u64>::anonymous(1).unwrap().split().unwrap();
    let (mut writer, _reader) = SpscQueue::<u64>::anonymous(1).unwrap().split().unwrap();
    writer.put(1).unwrap();
    let (mine, theirs) = Pipe::pair(64).unwrap();
    let news = Broadcast::<u64>::anonymous(1).unwrap();
    let ticker = news.subscribe().unwrap();
    let none = |all: &[&dyn Waitable]| matches!(wait_any_timeout(all, SHORT), Err(Error::TimedOut));
    let is =
        |all: &[&dyn Waitable], index| matches!(wait_any(all), Ok((found, Taken::Ready)) if found == index);
    assert!(none(&[&bytes, &jobs, &consumer, &writer, &mine, &ticker]));
    bytes.put(b"1").unwrap();
    assert!(is(&[&bytes, &jobs, &consumer, &writer, &mine, &ticker], 0));
    bytes.get().unwrap();
    jobs.put(1).unwrap();
    assert!(is(&[&bytes, &jobs, &consumer, &writer, &mine, &ticker], 1));
    jobs.get().unwrap().done();
    producer.put(1).unwrap();
    assert!(is(&[&bytes, &jobs, &consumer, &writer, &mine, &ticker], 2));
    consumer.get().unwrap();
    theirs.send_bytes(b"1").unwrap();
    assert!(is(&[&bytes, &jobs, &consumer, &writer, &mine, &ticker], 4));
    mine.recv_bytes().unwrap();
    news.publish(1).unwrap();
    assert!(is(&[&bytes, &jobs, &consumer, &writer, &mine, &ticker], 5));
}

#[test]
fn an_end_of_a_queue_waits_for_room() {
    guarded(|| {
        let (mut producer, mut consumer) = SpscQueue::<u64>::anonymous(1).unwrap().split().unwrap();
        let never = Event::anonymous().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || (0..500).for_each(|item| assert_eq!(consumer.get().unwrap(), item)));
            for item in 0..500 {
                assert!(matches!(wait_any(&[&never, &producer]), Ok((1, Taken::Ready))));
                producer.try_put(item).unwrap();
            }
        });
    });
}

#[test]
fn what_a_killed_waiter_was_granted_goes_to_others() {
    guarded(|| {
        for _ in 0..5 {
            let (lock, semaphore, event) =
                (Lock::anonymous().unwrap(), Semaphore::anonymous(0).unwrap(), auto());
            lock.lock().unwrap().forget();
            let dead = [(); 3].map(|()| {
                let waiter = Child::fork(|| match wait_any(&[&lock, &semaphore, &event]) {
                    Ok(taken) => Err(format!("stopped before anything came, and got {taken:?}")),
                    Err(error) => Err(error.to_string()),
                });
                await_asleep(&waiter);
                waiter.signal(libc::SIGSTOP);
                waiter
            });
            let alive = [
                Child::fork(|| drop(lock.lock().unwrap())),
                Child::fork(|| drop(semaphore.acquire().unwrap())),
                Child::fork(|| event.wait().unwrap()),
            ];
            alive.iter().for_each(await_asleep);
            // Each wakes one, or grants one: the first who came, and they are stopped.
            lock.release().unwrap();
            semaphore.release(1).unwrap();
            event.set().unwrap();
            kill(dead);
            finish(alive);
            assert_eq!(semaphore.available(), 1);
            assert!(!event.is_set() && lock.try_lock().is_ok());
        }
    });
}

#[test]
fn a_signal_for_who_took_something_else_is_passed_on() {
    guarded(|| {
        for round in 0..200 {
            let (mine, ours, done) = (auto(), auto(), Event::anonymous().unwrap());
            let page = Page::new(4096);
            let both = Child::fork(|| {
                page.u64s()[0].store(1 + wait_any(&[&mine, &ours]).unwrap().0 as u64, SeqCst);
                // Alive until the end: its death would pass on what it kept.
                done.wait().unwrap();
            });
            let single = Child::fork(|| ours.wait().unwrap());
            if round % 2 == 0 {
                await_asleep(&both);
                await_asleep(&single);
            }
            ours.set().unwrap();
            mine.set().unwrap();
            await_that(|| page.u64s()[0].load(SeqCst) != 0);
            // Whoever took what, one signal of each was made, and one of them was used up.
            match page.u64s()[0].load(SeqCst) {
                1 => {}
                2 => {
                    assert!(mine.try_wait().unwrap(), "its signal is still there");
                    ours.set().unwrap();
                }
                other => panic!("{other}"),
            }
            single.wait(LIMIT).unwrap();
            assert!(!mine.is_set() && !ours.is_set());
            done.set().unwrap();
            both.wait(LIMIT).unwrap();
        }
    });
}

#[test]
fn several_waiters_of_several_locks_exclude_each_other() {
    const ROUNDS: u64 = 2_000;
    guarded(|| {
        let locks = LockArray::anonymous(2).unwrap();
        let page = Page::new(4096);
        let workers = [0, 1, 2, 3].map(|worker| {
            let (locks, page) = (&locks, &page);
            Child::fork(move || {
                let both = [locks.at(worker % 2).unwrap(), locks.at((worker + 1) % 2).unwrap()];
                for _ in 0..ROUNDS {
                    let (index, taken) = if worker < 2 {
                        wait_any(&[&both[0], &both[1]]).unwrap()
                    } else {
                        (0, Taken::Lock(both[0].lock().unwrap()))
                    };
                    // Loads and stores of their own: only exclusion makes the sum exact.
                    let count = &page.u64s()[(worker + index) % 2];
                    count.store(count.load(SeqCst) + 1, SeqCst);
                    drop(taken);
                }
            })
        });
        finish(workers);
        assert_eq!(page.u64s()[0].load(SeqCst) + page.u64s()[1].load(SeqCst), 4 * ROUNDS);
    });
}

#[test]
fn permits_and_signals_are_conserved_among_waiters_of_both_kinds() {
    const ROUNDS: u64 = 2_000;
    guarded(|| {
        let (semaphore, other, event) =
            (Semaphore::anonymous(2).unwrap(), Semaphore::anonymous(0).unwrap(), auto());
        let page = Page::new(4096);
        let workers = [0, 1, 2].map(|worker| {
            let (semaphore, other, event, page) = (&semaphore, &other, &event, &page);
            Child::fork(move || {
                for _ in 0..ROUNDS {
                    match worker {
                        // Moves permits to the other semaphore.
                        0 => semaphore.acquire().unwrap().forget(),
                        _ => match wait_any(&[event, semaphore, other]).unwrap() {
                            (0, Taken::Ready) => {
                                page.u64s()[0].fetch_add(1, SeqCst);
                                continue;
                            }
                            (_, Taken::Permit(permit)) => permit.forget(),
                            unexpected => panic!("{unexpected:?}"),
                        },
                    }
                    page.u64s()[1].fetch_add(1, SeqCst);
                    if worker == 1 {
                        event.set().unwrap();
                    }
                    let back = if worker == 0 { other } else { semaphore };
                    back.release(1).unwrap();
                }
            })
        });
        // The one that takes from one semaphore only may be left without a permit once the others are done.
        let [single, first, second] = workers;
        first.wait(LIMIT).unwrap();
        second.wait(LIMIT).unwrap();
        while other.try_acquire().map(|permit| permit.forget()).is_ok() {
            semaphore.release(1).unwrap();
        }
        let mut single = single;
        while single.try_wait().is_none() {
            if let Ok(permit) = other.acquire_timeout(Duration::from_millis(1)) {
                permit.forget();
                semaphore.release(1).unwrap();
            }
        }
        assert_eq!(semaphore.available() + other.available(), 2);
        assert_eq!(page.u64s()[0].load(SeqCst) + page.u64s()[1].load(SeqCst), 3 * ROUNDS);
    });
}

#[test]
fn read_only_handles_wait_for_nothing_that_they_would_have_to_write() {
    let home = TestSpace::new();
    let event = Event::builder().space(&home.space).create("event").unwrap();
    let _lock = Lock::builder().space(&home.space).create("lock").unwrap();
    let reader = |space: &Space| Lock::builder().space(space).read_only(true).open("lock").unwrap();
    let (lock, seen) =
        (reader(&home.space), Event::builder().space(&home.space).read_only(true).open("event").unwrap());
    assert!(matches!(wait_any(&[&lock]), Err(Error::ReadOnly { .. })));
    assert!(matches!(try_wait_any(&[&seen]), Err(Error::WouldBlock)));
    assert!(matches!(wait_any(&[&seen]), Err(Error::ReadOnly { .. })));
    event.set().unwrap();
    assert!(matches!(wait_any(&[&seen, &lock]), Ok((0, Taken::Ready))));
}
