//! `Condition`: exactly those are woken who were notified, in order, and the dead eat nothing.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{Cause, Condition, Error, Handle, Lock, LockError, RLock};
use procshare_harness::{Child, Page};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, finish, guarded, kill};

const SHORT: Duration = Duration::from_millis(20);

fn condition() -> Condition {
    Condition::anonymous().unwrap()
}

fn add_one(page: &Page) {
    page.u64s()[0].fetch_add(1, SeqCst);
}

/// A forked child that waits, is asleep by now, and does `then` with the lock held once it was notified.
fn sleeper(condition: &Condition, then: impl FnOnce()) -> Child {
    let before = condition.n_waiting();
    let child = Child::fork(|| {
        let guard = condition.lock().unwrap();
        let _guard = condition.wait(guard).unwrap();
        then();
    });
    await_that(|| condition.n_waiting() == before + 1);
    await_asleep(&child);
    child
}

#[test]
fn nobody_waits_and_nothing_is_remembered() {
    let condition = condition();
    assert!(!condition.notify_one().unwrap());
    assert_eq!((condition.notify(7).unwrap(), condition.notify_all().unwrap()), (0, 0));
    let guard = condition.lock().unwrap();
    let started = Instant::now();
    let (guard, result) = condition.wait_timeout(guard, SHORT).unwrap();
    assert!(result.timed_out() && started.elapsed() >= SHORT);
    let (guard, result) = condition.wait_timeout(guard, Duration::ZERO).unwrap();
    assert!(result.timed_out());
    assert!(matches!(condition.try_lock(), Err(LockError::WouldBlock)), "the lock is held again");
    drop(guard);
    assert!(condition.try_lock().is_ok());
}

#[test]
fn notify_wakes_exactly_so_many_in_order() {
    guarded(|| {
        let condition = condition();
        let page = Page::new(4096);
        let woken = &page.u64s()[0];
        let waiters: Vec<Child> = (0..6)
            .map(|number| {
                sleeper(&condition, || {
                    woken.fetch_or(1 << number, SeqCst);
                })
            })
            .collect();
        // Those who are notified at once may return in any order.
        for (count, told, all) in
            [(1, 1, 0b1), (1, 1, 0b11), (2, 2, 0b1111), (0, 0, 0b1111), (9, 2, 0b111111)]
        {
            let guard = condition.lock().unwrap();
            assert_eq!(condition.notify(count).unwrap(), told);
            drop(guard);
            await_that(|| woken.load(SeqCst).count_ones() == u64::count_ones(all));
            assert_eq!(woken.load(SeqCst), all, "the oldest come first");
            assert_eq!(condition.n_waiting() as u32, 6 - u64::count_ones(all));
        }
        finish(waiters);
    });
}

#[test]
fn notify_all_wakes_everybody_also_threads() {
    guarded(|| {
        let condition = condition();
        let page = Page::new(4096);
        let done = || add_one(&page);
        let waiters = [(); 5].map(|()| sleeper(&condition, done));
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    let guard = condition.lock().unwrap();
                    let _guard = condition.wait(guard).unwrap();
                    done();
                });
            }
            await_that(|| condition.n_waiting() == 10);
            assert_eq!(condition.notify_all().unwrap(), 10, "without the lock, too");
        });
        finish(waiters);
        assert_eq!(page.u64s()[0].load(SeqCst), 10);
    });
}

#[test]
fn a_ping_pong_loses_nothing() {
    const ROUNDS: u64 = 2_000;
    guarded(|| {
        let condition = condition();
        let page = Page::new(4096);
        let ball = &page.u64s()[0];
        let play = |side: u64| {
            let mut guard = condition.lock().unwrap();
            for _ in 0..ROUNDS {
                guard = condition.wait_while(guard, || ball.load(SeqCst) % 2 != side).unwrap();
                ball.fetch_add(1, SeqCst);
                condition.notify_one().unwrap();
            }
        };
        let peer = Child::fork(|| play(1));
        play(0);
        finish([peer]);
        assert_eq!(ball.load(SeqCst), 2 * ROUNDS);
    });
}

#[test]
fn wait_while_looks_first_and_last() {
    guarded(|| {
        let condition = condition();
        let mut calls = 0;
        let guard = condition.wait_while(condition.lock().unwrap(), || {
            calls += 1;
            false
        });
        drop(guard.unwrap());
        assert_eq!(calls, 1);
        let (guard, result) = condition
            .wait_while_timeout(condition.lock().unwrap(), Duration::ZERO, || {
                calls += 1;
                true
            })
            .unwrap();
        assert!(result.timed_out());
        assert_eq!(calls, 3, "once before, once after");
        let (_guard, result) = condition
            .wait_while_timeout(guard, SHORT, || {
                calls += 1;
                calls < 5
            })
            .unwrap();
        assert!(!result.timed_out(), "it is as it should be, if late");
    });
}

#[test]
fn over_a_lock_from_elsewhere_with_several_conditions() {
    guarded(|| {
        let lock = Lock::anonymous().unwrap();
        let conditions = [condition(), condition()];
        let page = Page::new(4096);
        let waiters = [0, 1].map(|index| {
            let child = Child::fork(|| {
                let guard = lock.lock().unwrap();
                let _guard = conditions[index].wait(guard).unwrap();
                page.u64s()[index].store(1, SeqCst);
            });
            await_that(|| conditions[index].n_waiting() == 1);
            child
        });
        let guard = lock.lock().unwrap();
        assert!(conditions[1].notify_one().unwrap());
        drop(guard);
        await_that(|| page.u64s()[1].load(SeqCst) == 1);
        assert_eq!(page.u64s()[0].load(SeqCst), 0);
        assert!(conditions[0].notify_one().unwrap());
        finish(waiters);
    });
}

#[test]
fn all_levels_of_an_rlock_are_left_and_entered_again() {
    guarded(|| {
        let lock = RLock::anonymous().unwrap();
        let condition = condition();
        let outer = [lock.lock().unwrap(), lock.lock().unwrap()];
        let notifier = Child::fork(|| {
            await_that(|| condition.n_waiting() == 1);
            let _guard = lock.lock().unwrap();
            assert!(condition.notify_one().unwrap());
        });
        let guard = condition.wait(lock.lock().unwrap()).unwrap();
        assert_eq!(lock.depth(), 3);
        finish([notifier]);
        drop(guard);
        let (guard, result) = condition.wait_timeout(lock.lock().unwrap(), SHORT).unwrap();
        assert!(result.timed_out() && lock.depth() == 3);
        drop((guard, outer));
        assert_eq!((lock.depth(), lock.holder()), (0, None));

        // The holder dies meanwhile: told, and as deep in as before.
        let outer = lock.lock().unwrap();
        let holder = Child::fork(|| {
            await_that(|| condition.n_waiting() == 1);
            std::mem::forget(lock.lock().unwrap());
        });
        match condition.wait(lock.lock().unwrap()) {
            Err(LockError::OwnerDied(outcome)) => outcome.into_guard().make_consistent(),
            other => panic!("{other:?}"),
        }
        assert_eq!(lock.depth(), 1);
        drop(outer);
        finish([holder]);
        assert!(lock.try_lock().is_ok());
    });
}

#[test]
fn the_dead_eat_no_notification() {
    guarded(|| {
        let condition = condition();
        let page = Page::new(4096);
        let dead = [(); 3].map(|()| sleeper(&condition, || unreachable!("it is dead")));
        let alive = [(); 2].map(|()| sleeper(&condition, || add_one(&page)));
        kill(dead);
        condition.notify(2).unwrap();
        finish(alive);
        assert_eq!(page.u64s()[0].load(SeqCst), 2);
        let guard = condition.lock().unwrap();
        let (_guard, result) = condition.wait_timeout(guard, SHORT).unwrap();
        assert!(result.timed_out(), "nothing is left for who came later");
    });
}

#[test]
fn a_notification_goes_on_when_its_waiter_dies_before_it_returns() {
    guarded(|| {
        let condition = condition();
        let page = Page::new(4096);
        let note = || add_one(&page);
        // Notified, but it cannot return: the lock is held.
        let first = sleeper(&condition, note);
        let others = [(); 2].map(|()| sleeper(&condition, note));
        let guard = condition.lock().unwrap();
        assert!(condition.notify_one().unwrap());
        await_that(|| condition.n_waiting() == 2);
        kill([first]);
        await_that(|| condition.n_waiting() == 1);
        drop(guard);
        await_that(|| page.u64s()[0].load(SeqCst) == 1);
        condition.notify_one().unwrap();
        finish(others);
        assert_eq!(page.u64s()[0].load(SeqCst), 2);
    });
}

#[test]
fn a_notification_of_the_dead_does_not_reach_who_came_later() {
    guarded(|| {
        let condition = condition();
        let stopped = sleeper(&condition, || unreachable!("it is dead"));
        stopped.signal(libc::SIGSTOP);
        assert!(condition.notify_one().unwrap());
        kill([stopped]);
        let guard = condition.lock().unwrap();
        let (_guard, result) = condition.wait_timeout(guard, Duration::from_millis(200)).unwrap();
        assert!(result.timed_out());
        assert_eq!(condition.notify_all().unwrap(), 0, "and the table is clean");
    });
}

#[test]
fn a_stopped_waiter_stops_neither_the_notifier_nor_the_others() {
    guarded(|| {
        let condition = condition();
        let stopped = sleeper(&condition, || ());
        let others = [(); 3].map(|()| sleeper(&condition, || ()));
        stopped.signal(libc::SIGSTOP);
        assert_eq!(condition.notify_all().unwrap(), 4);
        finish(others);
        stopped.signal(libc::SIGCONT);
        finish([stopped]);
    });
}

#[test]
fn waiters_are_told_when_the_holder_dies_before_it_notifies() {
    guarded(|| {
        let condition = condition();
        let waiter = Child::fork(|| {
            let guard = condition.lock().unwrap();
            match condition.wait(guard) {
                Err(LockError::OwnerDied(outcome)) => {
                    assert_eq!(outcome.cause(), Cause::Died);
                    outcome.into_guard().make_consistent();
                }
                other => panic!("{other:?}"),
            }
        });
        await_that(|| condition.n_waiting() == 1);
        await_asleep(&waiter);
        let page = Page::new(4096);
        let holder = Child::fork(|| {
            std::mem::forget(condition.lock().unwrap());
            page.u64s()[0].store(1, SeqCst);
            await_that(|| false);
        });
        await_that(|| page.u64s()[0].load(SeqCst) == 1);
        kill([holder]);
        finish([waiter]);
        assert!(condition.try_lock().is_ok());
    });
}

#[test]
fn a_forked_child_cannot_wait_with_its_parents_guard() {
    guarded(|| {
        let condition = condition();
        let guard = std::cell::Cell::new(Some(condition.lock().unwrap()));
        Child::fork(|| {
            let outcome = condition.wait(guard.take().unwrap());
            assert!(matches!(outcome, Err(LockError::Failed(Error::Inherited { .. }))), "{outcome:?}");
            assert!(matches!(condition.try_lock(), Err(LockError::WouldBlock)), "the parent holds it");
        })
        .wait(LIMIT)
        .unwrap();
        drop(guard);
    });
}

#[test]
fn a_panic_in_the_condition_marks_the_lock() {
    let condition = condition();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        condition.wait_while(condition.lock().unwrap(), || std::panic::panic_any("no"))
    }));
    assert!(panic.is_err());
    match condition.lock() {
        Err(LockError::OwnerDied(outcome)) => assert_eq!(outcome.cause(), Cause::Panicked),
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_waiters_than_there_is_room_for_are_told() {
    guarded(|| {
        let condition = Condition::builder().anonymous_with(2).unwrap();
        let waiters = [(); 2].map(|()| sleeper(&condition, || ()));
        let full = condition.wait(condition.lock().unwrap());
        assert!(matches!(full, Err(LockError::Failed(Error::TooManyWaiters { limit: 2, .. }))), "{full:?}");
        drop(full);
        let [first, second] = waiters;
        kill([first]);
        // The dead make room.
        let (_, result) = condition.wait_timeout(condition.lock().unwrap(), SHORT).unwrap();
        assert!(result.timed_out());
        assert_eq!(condition.notify_all().unwrap(), 1);
        finish([second]);
        assert!(matches!(Condition::builder().anonymous_with(0), Err(Error::BadSize { .. })));
    });
}

#[test]
fn timeouts_and_notifications_at_once_are_exact() {
    const EACH: u64 = 300;
    guarded(|| {
        let condition = condition();
        let page = Page::new(4096);
        let [received, over] = [&page.u64s()[0], &page.u64s()[1]];
        let workers = [(); 3].map(|()| {
            Child::fork(|| {
                let mut guard = condition.lock().unwrap();
                while over.load(SeqCst) == 0 {
                    let result;
                    (guard, result) = condition.wait_timeout(guard, Duration::from_micros(300)).unwrap();
                    received.fetch_add(u64::from(!result.timed_out()), SeqCst);
                }
            })
        });
        let mut sent = 0;
        while sent < EACH {
            let guard = condition.lock().unwrap();
            sent += u64::from(condition.notify_one().unwrap());
            drop(guard);
        }
        await_that(|| received.load(SeqCst) == sent);
        over.store(1, SeqCst);
        finish(workers);
        assert_eq!(received.load(SeqCst), sent, "each notification woke one");
    });
}

#[test]
fn read_only_handles_and_handles_as_data() {
    guarded(|| {
        let test = TestSpace::new();
        let condition = Condition::builder().space(&test.space).create("c").unwrap();
        let reader = Condition::builder().space(&test.space).read_only(true).open("c").unwrap();
        assert!(matches!(reader.notify_one(), Err(Error::ReadOnly { .. })));
        assert!(matches!(reader.lock(), Err(LockError::Failed(Error::ReadOnly { .. }))));
        let outcome = reader.wait(condition.lock().unwrap());
        assert!(matches!(outcome, Err(LockError::Failed(Error::ReadOnly { .. }))));
        drop(outcome);
        assert_eq!(reader.n_waiting(), 0);
        let text = serde_json::to_string(&condition).unwrap();
        let same = serde_json::from_str::<Handle<Condition>>(&text).unwrap().attach().unwrap();
        let waiter = sleeper(&condition, || ());
        assert!(same.notify_one().unwrap());
        finish([waiter]);
        assert!(format!("{condition:?}").contains("n_waiting: 0"), "{condition:?}");
    });
}
