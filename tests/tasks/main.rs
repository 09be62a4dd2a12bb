//! The blocking calls as futures: exact under cancellation, death and fork.
#![cfg(feature = "async")]

mod condition;
mod queues;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use procshare::{
    BoundedSemaphore, Cause, Event, Lock, LockArray, LockError, Queue, Reset, Semaphore, wait_any,
};
use procshare_harness::{Child, Page, Rng, watchdog};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

fn workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap()
}

/// Runs a test on several threads under a deadline.
fn run(test: impl Future<Output = ()>) {
    watchdog(LIMIT, || workers().block_on(test));
}

/// Runs a future in a process that has no executor.
fn alone<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn await_asleep(child: &Child) {
    let stat = format!("/proc/{}/stat", child.pid());
    loop {
        let stat = std::fs::read_to_string(&stat).unwrap();
        if stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S')) {
            return;
        }
        std::thread::yield_now();
    }
}

/// A future's patience in one round: often too short.
fn impatience(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.below(2_000))
}

async fn all(mut tasks: JoinSet<()>) {
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
}

#[test]
fn futures_and_guards_move_between_threads() {
    fn moves<T: Send>(value: T) -> T {
        value
    }
    let (lock, semaphore) = (Lock::anonymous().unwrap(), Semaphore::anonymous(1).unwrap());
    let (event, queue) = (Event::anonymous().unwrap(), Queue::<u64>::anonymous(1).unwrap());
    run(async {
        let guard = moves(moves(lock.lock_async()).await.unwrap());
        std::thread::scope(|scope| {
            scope.spawn(move || drop(guard)).join().unwrap();
        });
        drop(moves(lock.lock_async()).await.unwrap());
        drop(moves(moves(semaphore.acquire_async()).await.unwrap()));
        event.set().unwrap();
        moves(event.wait_async()).await.unwrap();
        moves(queue.put_async(1)).await.unwrap();
        assert_eq!(moves(queue.get_async()).await.unwrap(), 1);
    });
}

#[test]
fn tasks_threads_and_processes_exclude_each_other() {
    const ROUNDS: u64 = 1_000;
    let lock = Lock::anonymous().unwrap();
    let page = Page::new(4096);
    // Loads and stores of their own: only exclusion makes the sum exact.
    let count = |page: &Page| {
        let word = &page.u64s()[0];
        word.store(word.load(SeqCst) + 1, SeqCst);
    };
    let other = Child::fork(|| {
        alone(async {
            for _ in 0..ROUNDS {
                let _guard = lock.lock_async().await.unwrap();
                count(&page);
            }
        });
    });
    watchdog(LIMIT, || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let _guard = lock.lock().unwrap();
                    count(&page);
                }
            });
            alone(async {
                let task = || async {
                    for _ in 0..ROUNDS {
                        let _guard = lock.lock_async().await.unwrap();
                        tokio::task::yield_now().await;
                        count(&page);
                    }
                };
                tokio::join!(task(), task(), task());
            });
        });
        other.wait(LIMIT).unwrap();
    });
    assert_eq!(page.u64s()[0].load(SeqCst), 5 * ROUNDS);
}

#[test]
fn cancelled_tasks_take_no_lock_and_keep_nobody_waiting() {
    const ROUNDS: u64 = 300;
    let locks = LockArray::anonymous(2).unwrap();
    let page = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    // Another process that must be woken however many tasks leave.
    let other = Child::fork(|| {
        for _ in 0..ROUNDS {
            drop(wait_any(&[&locks.at(0).unwrap()]).unwrap());
        }
    });
    run(async {
        let mut tasks = JoinSet::new();
        for worker in 0..6 {
            let (locks, page) = (locks.clone(), Arc::clone(&page));
            tasks.spawn(async move {
                let mut rng = Rng::new(worker);
                let mut done = 0;
                while done < ROUNDS {
                    let patience = impatience(&mut rng);
                    tokio::select! {
                        guard = locks.at(0).unwrap().lock_async() => {
                            let _guard = guard.unwrap();
                            tokio::time::sleep(Duration::from_micros(rng.below(100))).await;
                            page[0].store(page[0].load(SeqCst) + 1, SeqCst);
                            done += 1;
                        }
                        () = tokio::time::sleep(patience) => {}
                    }
                }
            });
        }
        all(tasks).await;
        assert_eq!(page[0].load(SeqCst), 6 * ROUNDS);
        drop(locks.at(0).unwrap().try_lock().or_else(|_| locks.at(0).unwrap().lock()).unwrap());
        other.wait(LIMIT).unwrap();
        assert!(locks.at(0).unwrap().holder().is_none());
    });
}

#[test]
fn cancelled_tasks_take_no_permit() {
    let semaphore = BoundedSemaphore::anonymous(3).unwrap();
    run(async {
        let mut tasks = JoinSet::new();
        for worker in 0..8 {
            let semaphore = semaphore.clone();
            tasks.spawn(async move {
                let mut rng = Rng::new(worker);
                let mut done = 0;
                while done < 200 {
                    if let Ok(permit) = timeout(impatience(&mut rng), semaphore.acquire_async()).await {
                        let permit = permit.unwrap();
                        tokio::time::sleep(Duration::from_micros(rng.below(300))).await;
                        done += 1;
                        drop(permit);
                    }
                }
            });
        }
        all(tasks).await;
    });
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn each_signal_reaches_one_task_however_many_are_cancelled() {
    const SIGNALS: u64 = 1_000;
    let event = Event::builder().anonymous_with(Reset::Auto).unwrap();
    let (taken, acknowledged) =
        (Arc::new(AtomicU64::new(0)), Event::builder().anonymous_with(Reset::Auto).unwrap());
    run(async {
        let mut tasks = JoinSet::new();
        for worker in 0..4 {
            let (event, taken, acknowledged) = (event.clone(), Arc::clone(&taken), acknowledged.clone());
            tasks.spawn(async move {
                let mut rng = Rng::new(worker);
                loop {
                    if let Ok(outcome) = timeout(impatience(&mut rng), event.wait_async()).await {
                        outcome.unwrap();
                        taken.fetch_add(1, SeqCst);
                        acknowledged.set().unwrap();
                    }
                }
            });
        }
        for signal in 1..=SIGNALS {
            event.set().unwrap();
            acknowledged.wait_async().await.unwrap();
            assert_eq!(taken.load(SeqCst), signal);
        }
        tasks.shutdown().await;
    });
    assert!(!event.is_set() && !event.try_wait().unwrap());
}

#[test]
fn cancelled_gets_and_puts_lose_and_double_nothing() {
    const ITEMS: u64 = 1_000;
    let queue = Queue::<u64>::anonymous(2).unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    run(async {
        let mut producers = JoinSet::new();
        for worker in 0..2 {
            let queue = queue.clone();
            producers.spawn(async move {
                let mut rng = Rng::new(worker);
                for item in 1..=ITEMS {
                    // Dropped before it was ready: not put.
                    while timeout(impatience(&mut rng), queue.put_async(item))
                        .await
                        .map(|put| put.unwrap())
                        .is_err()
                    {}
                }
            });
        }
        let mut consumers = JoinSet::new();
        for worker in 2..5 {
            let (queue, seen) = (queue.clone(), Arc::clone(&seen));
            consumers.spawn(async move {
                let mut rng = Rng::new(worker);
                loop {
                    match timeout(impatience(&mut rng), queue.get_async()).await {
                        Ok(Ok(item)) => seen.fetch_add(item, SeqCst),
                        Ok(Err(procshare::GetError::Closed)) => return,
                        Ok(Err(error)) => panic!("{error}"),
                        Err(_) => continue,
                    };
                }
            });
        }
        all(producers).await;
        queue.close().unwrap();
        all(consumers).await;
    });
    assert_eq!(seen.load(SeqCst), ITEMS * (ITEMS + 1));
    assert_eq!(queue.counts(), (2 * ITEMS, 2 * ITEMS));
}

#[test]
fn a_manual_event_that_is_cleared_at_once_is_not_missed() {
    let event = Event::anonymous().unwrap();
    run(async {
        for _ in 0..50 {
            let mut tasks = JoinSet::new();
            let begun = Arc::new(tokio::sync::Barrier::new(4));
            for _ in 0..3 {
                let (event, begun) = (event.clone(), Arc::clone(&begun));
                tasks.spawn(async move {
                    let wait = std::pin::pin!(event.wait_async());
                    let mut wait = wait;
                    // Polled once before the others go on.
                    assert!(timeout(Duration::ZERO, &mut wait).await.is_err());
                    begun.wait().await;
                    wait.await.unwrap();
                });
            }
            begun.wait().await;
            event.set().unwrap();
            event.clear().unwrap();
            all(tasks).await;
        }
    });
}

#[test]
fn a_task_recovers_from_the_dead() {
    let (lock, semaphore) = (Lock::anonymous().unwrap(), Semaphore::anonymous(1).unwrap());
    let never = Event::anonymous().unwrap();
    for _ in 0..3 {
        let holder = Child::fork(|| {
            let _held = (lock.lock().unwrap(), semaphore.acquire().unwrap());
            never.wait().unwrap();
        });
        await_asleep(&holder);
        run(async {
            let (its, theirs) = (lock.clone(), semaphore.clone());
            let waiter = tokio::spawn(async move {
                match its.lock_async().await {
                    Err(LockError::OwnerDied(died)) => {
                        assert_eq!(died.cause(), Cause::Died);
                        died.into_guard().make_consistent();
                    }
                    other => panic!("{other:?}"),
                }
                drop(theirs.acquire_async().await.unwrap());
            });
            assert!(timeout(Duration::from_millis(20), lock.lock_async()).await.is_err(), "it lives");
            let _ = holder.kill();
            waiter.await.unwrap();
        });
    }
    drop(lock.lock().unwrap());
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_process_that_dies_with_a_tasks_guard_is_recovered_from() {
    let lock = Lock::anonymous().unwrap();
    let never = Event::anonymous().unwrap();
    watchdog(LIMIT, || {
        let holder = Child::fork(|| {
            alone(async {
                let _guard = lock.lock_async().await.unwrap();
                never.wait_async().await.unwrap();
            });
        });
        while lock.holder().is_none() {
            std::thread::yield_now();
        }
        let _ = holder.kill();
        match lock.lock() {
            Err(LockError::OwnerDied(died)) => died.into_guard().make_consistent(),
            other => panic!("{other:?}"),
        }
        drop(lock.lock().unwrap());
    });
}

#[test]
fn a_panic_in_a_task_is_told_and_a_handed_over_holding_stays() {
    let lock = Lock::anonymous().unwrap();
    run(async {
        let its = lock.clone();
        let task = tokio::spawn(async move {
            let _guard = its.lock_async().await.unwrap();
            panic!("on purpose");
        });
        assert!(task.await.is_err());
        match lock.lock_async().await {
            Err(LockError::OwnerDied(died)) => {
                assert_eq!(died.cause(), Cause::Panicked);
                died.into_guard().make_consistent();
            }
            other => panic!("{other:?}"),
        }
        lock.lock_async().await.unwrap().forget();
        assert!(timeout(Duration::from_millis(5), lock.lock_async()).await.is_err());
        lock.release().unwrap();
        drop(lock.lock_async().await.unwrap());
    });
}

#[test]
fn a_forked_child_waits_by_itself_and_leaves_its_parents_tasks_alone() {
    const CHILDREN: u64 = 20;
    let (lock, permits) = (Lock::anonymous().unwrap(), Semaphore::anonymous(0).unwrap());
    watchdog(LIMIT, || {
        let runtime = workers();
        let task = {
            let (lock, permits) = (lock.clone(), permits.clone());
            runtime.spawn(async move {
                for _ in 0..CHILDREN {
                    permits.acquire_async().await.unwrap().forget();
                    drop(lock.lock_async().await.unwrap());
                }
            })
        };
        for _ in 0..CHILDREN {
            // Whatever the bridge's thread and the task are doing at this moment.
            let child = Child::fork(|| {
                alone(async {
                    let guard = lock.lock_async().await.unwrap();
                    permits.release(1).unwrap();
                    assert!(timeout(Duration::from_micros(200), lock.lock_async()).await.is_err());
                    drop(guard);
                });
            });
            child.wait(LIMIT).unwrap();
        }
        runtime.block_on(task).unwrap();
    });
    assert_eq!((permits.available(), lock.holder()), (0, None));
}
