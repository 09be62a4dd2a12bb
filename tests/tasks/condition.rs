//! Conditions and latches waited for by tasks: one line with the threads, and nothing lost with who is cancelled or dies.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use procshare::{Cause, Condition, Latch, Lock, LockError, Taken, wait_any};
use procshare_harness::{Child, Page, Rng, watchdog};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{LIMIT, all, alone, await_asleep, impatience, run};

/// Polls a future once; it must not be ready.
async fn begin(future: &mut (impl Future + Unpin)) {
    assert!(timeout(Duration::ZERO, future).await.is_err(), "it has nothing to return for");
}

#[test]
fn futures_move_between_threads() {
    fn moves<T: Send>(value: T) -> T {
        value
    }
    let (condition, latch) = (Condition::anonymous().unwrap(), Latch::anonymous(0).unwrap());
    run(async {
        let guard = moves(condition.lock_async()).await.unwrap();
        let guard = moves(condition.wait_while_async(guard, || false)).await.unwrap();
        let mut wait = Box::pin(moves(condition.wait_async(guard)));
        begin(&mut wait).await;
        condition.notify_one().unwrap();
        drop(wait.await.unwrap());
        moves(latch.wait_async()).await.unwrap();
    });
}

#[test]
fn tasks_threads_and_processes_hand_a_turn_around() {
    const PLAYERS: u64 = 4;
    const ROUNDS: u64 = 200;
    let (condition, page) = (Condition::anonymous().unwrap(), Page::new(4096));
    let turn = &page.u64s()[0];
    let pass = |player: u64| {
        // Not one step: only the lock makes it exact.
        assert_eq!(turn.load(SeqCst) % PLAYERS, player);
        turn.store(turn.load(SeqCst) + 1, SeqCst);
        condition.notify_all().unwrap();
    };
    let is_over = || turn.load(SeqCst) >= PLAYERS * ROUNDS;
    let as_thread = |player: u64| {
        for _ in 0..ROUNDS {
            let guard = condition.lock().unwrap();
            let _guard = condition.wait_while(guard, || turn.load(SeqCst) % PLAYERS != player).unwrap();
            pass(player);
        }
    };
    let as_task = async |player: u64| {
        for _ in 0..ROUNDS {
            let guard = condition.lock_async().await.unwrap();
            let waiting = condition.wait_while_async(guard, || turn.load(SeqCst) % PLAYERS != player);
            let _guard = waiting.await.unwrap();
            pass(player);
        }
    };
    let other = Child::fork(|| alone(as_task(3)));
    watchdog(LIMIT, || {
        std::thread::scope(|scope| {
            scope.spawn(|| as_thread(2));
            alone(async { tokio::join!(as_task(0), as_task(1)) });
        });
        other.wait(LIMIT).unwrap();
    });
    assert!(is_over());
    assert_eq!(turn.load(SeqCst), PLAYERS * ROUNDS);
    assert_eq!(condition.n_waiting(), 0);
}

#[test]
fn each_notification_reaches_one_task_however_many_are_cancelled() {
    const NOTIFICATIONS: u64 = 600;
    let condition = Condition::anonymous().unwrap();
    let (woken, patient) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    run(async {
        let mut tasks = JoinSet::new();
        for worker in 0..4 {
            let (condition, woken) = (condition.clone(), Arc::clone(&woken));
            tasks.spawn(async move {
                let mut rng = Rng::new(worker);
                loop {
                    let waiting = async {
                        let guard = condition.lock_async().await.unwrap();
                        let _guard = condition.wait_async(guard).await.unwrap();
                        woken.fetch_add(1, SeqCst);
                    };
                    let _ = timeout(impatience(&mut rng), waiting).await;
                }
            });
        }
        // One that is never cancelled, so that there is always somebody left to pass a notification on to.
        let (its, counted, waits) = (condition.clone(), Arc::clone(&woken), Arc::clone(&patient));
        tasks.spawn(async move {
            loop {
                let guard = its.lock_async().await.unwrap();
                waits.store(true, SeqCst);
                let _guard = its.wait_async(guard).await.unwrap();
                waits.store(false, SeqCst);
                counted.fetch_add(1, SeqCst);
            }
        });
        let mut sent = 0;
        while sent < NOTIFICATIONS {
            let guard = condition.lock_async().await.unwrap();
            if patient.load(SeqCst) {
                // In line for certain: it took its place before it released the lock.
                assert!(condition.notify_one().unwrap());
                sent += 1;
            }
            drop(guard);
            while woken.load(SeqCst) < sent {
                tokio::task::yield_now().await;
            }
            assert_eq!(woken.load(SeqCst), sent, "one notification woke two");
        }
        tasks.shutdown().await;
    });
    assert_eq!(woken.load(SeqCst), NOTIFICATIONS);
    assert_eq!(condition.n_waiting(), 0);
    drop(condition.try_lock().unwrap());
}

#[test]
fn a_dropped_wait_leaves_the_line_and_passes_its_notification_on() {
    let condition = Condition::anonymous().unwrap();
    run(async {
        let mut first = Box::pin(condition.wait_async(condition.lock_async().await.unwrap()));
        begin(&mut first).await;
        let mut second = Box::pin(condition.wait_async(condition.lock_async().await.unwrap()));
        begin(&mut second).await;
        assert_eq!(condition.n_waiting(), 2);
        assert!(condition.notify_one().unwrap());
        drop(first);
        drop(second.await.unwrap());
        assert_eq!(condition.n_waiting(), 0);

        // The same while it waits for the lock only.
        let mut first = Box::pin(condition.wait_async(condition.lock_async().await.unwrap()));
        begin(&mut first).await;
        let mut second = Box::pin(condition.wait_async(condition.lock_async().await.unwrap()));
        begin(&mut second).await;
        let guard = condition.lock().unwrap();
        assert!(condition.notify_one().unwrap());
        begin(&mut first).await;
        drop(first);
        drop(guard);
        drop(second.await.unwrap());
        drop(condition.try_lock().unwrap());
    });
}

#[test]
fn a_task_waits_under_a_given_lock() {
    let (condition, lock) = (Condition::anonymous().unwrap(), Lock::anonymous().unwrap());
    run(async {
        let mut wait = pin!(condition.wait_async(lock.lock_async().await.unwrap()));
        begin(&mut wait).await;
        let guard = lock.lock().unwrap();
        condition.notify_all().unwrap();
        begin(&mut wait).await;
        drop(guard);
        drop(wait.await.unwrap());
        assert!(lock.holder().is_none());
    });
}

#[test]
fn a_dead_waiters_notification_reaches_a_task() {
    let condition = Condition::anonymous().unwrap();
    watchdog(LIMIT, || {
        let first = Child::fork(|| drop(condition.wait(condition.lock().unwrap()).unwrap()));
        await_asleep(&first);
        // It cannot use the notification, and dies with it.
        first.signal(libc::SIGSTOP);
        alone(async {
            let guard = condition.lock_async().await.unwrap();
            let mut wait = pin!(condition.wait_async(guard));
            begin(&mut wait).await;
            assert!(condition.notify_one().unwrap());
            begin(&mut wait).await;
            let _ = first.kill();
            drop(wait.await.unwrap());
        });
    });
}

#[test]
fn a_task_is_told_that_the_locks_holder_died() {
    let condition = Condition::anonymous().unwrap();
    watchdog(LIMIT, || {
        alone(async {
            let guard = condition.lock_async().await.unwrap();
            let mut wait = pin!(condition.wait_async(guard));
            begin(&mut wait).await;
            let holder = Child::fork(|| {
                let _guard = condition.lock().unwrap();
                std::thread::sleep(LIMIT);
            });
            await_asleep(&holder);
            begin(&mut wait).await;
            let _ = holder.kill();
            match wait.await {
                Err(LockError::OwnerDied(died)) => {
                    assert_eq!(died.cause(), Cause::Died);
                    died.into_guard().make_consistent();
                }
                other => panic!("{other:?}"),
            }
            drop(condition.lock_async().await.unwrap());
        });
    });
}

#[test]
fn a_forked_child_does_not_wait_in_its_parents_place() {
    let condition = Condition::anonymous().unwrap();
    watchdog(LIMIT, || {
        alone(async {
            let guard = condition.lock_async().await.unwrap();
            let mut wait = Some(Box::pin(condition.wait_async(guard)));
            begin(wait.as_mut().unwrap()).await;
            let child = Child::fork(|| drop(wait.take()));
            child.wait(LIMIT).unwrap();
            assert_eq!(condition.n_waiting(), 1, "the child's copy left for its parent");
            condition.notify_one().unwrap();
            drop(wait.take().unwrap().await.unwrap());
        });
    });
}

#[test]
fn the_last_count_wakes_all_tasks_and_waiters() {
    let latch = Latch::anonymous(2).unwrap();
    run(async {
        let mut tasks = JoinSet::new();
        for _ in 0..3 {
            let latch = latch.clone();
            tasks.spawn(async move { latch.wait_async().await.unwrap() });
        }
        let threads = latch.clone();
        let (never, own) = (Lock::anonymous().unwrap(), latch.clone());
        let thread = std::thread::spawn(move || {
            let guard = never.lock().unwrap();
            let outcome = wait_any(&[&never, &own]);
            assert!(matches!(outcome, Ok((1, Taken::Ready))), "{outcome:?}");
            drop(outcome);
            drop(guard);
        });
        threads.count_down(1).unwrap();
        let mut early = pin!(latch.wait_async());
        begin(&mut early).await;
        let child = Child::fork(|| latch.count_down(1).map(|_| ()));
        child.wait(LIMIT).unwrap();
        early.await.unwrap();
        all(tasks).await;
        thread.join().unwrap();
    });
}
