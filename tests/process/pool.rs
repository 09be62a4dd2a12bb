//! What a pool of workers does while nobody dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use procshare::process::{Failure, Pool, TaskError, current_process};
use procshare::{Array, AtomicValue, Event, Handle};

use crate::support::{Place, limited, until_gone};

#[procshare::task]
pub(crate) fn square(n: u64) -> u64 {
    n * n
}

#[procshare::task]
fn subtract(a: i64, b: i64) -> i64 {
    a - b
}

#[procshare::task]
fn checked(n: u32) -> Result<u32, Failure> {
    if n.is_multiple_of(3) { Err(Failure::new(format!("{n} is no good"))) } else { Ok(n) }
}

#[procshare::task]
fn reversed(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().rev().collect()
}

#[procshare::task]
fn who() -> (u32, String) {
    (std::process::id(), current_process().name().to_owned())
}

#[procshare::task]
pub(crate) fn wait_for(go: Handle<Event>) {
    go.attach().unwrap().wait().unwrap();
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().unwrap()
}

#[test]
fn map_and_its_kin_keep_the_order() {
    limited(|| {
        let pool = pool(2);
        let expected: Vec<u64> = (0..5000).map(|n| n * n).collect();
        assert_eq!(pool.map::<square>(0..5000u64).unwrap(), expected);
        assert_eq!(pool.imap::<square>(0..5000u64).collect::<Result<Vec<_>, _>>().unwrap(), expected);
        let mut unordered = pool.imap_unordered::<square>(0..5000u64).collect::<Result<Vec<_>, _>>().unwrap();
        unordered.sort();
        assert_eq!(unordered, expected);
        assert_eq!(pool.starmap::<subtract>([(5, 3), (3, 5)]).unwrap(), [2, -2]);
        assert_eq!(pool.map::<square>(std::iter::empty::<u64>()).unwrap(), Vec::<u64>::new());
        assert_eq!(pool.apply::<square>((12,)).unwrap(), 144);
        let progress = pool.progress();
        assert_eq!((progress.submitted, progress.returned, progress.pending()), (15_003, 15_003, 0));
    });
}

#[test]
fn a_tasks_own_errors_are_its_output() {
    limited(|| {
        let outcomes = pool(2).map::<checked>(0..6u32).unwrap();
        let said: Vec<_> =
            outcomes.into_iter().map(|outcome| outcome.map_err(|failure| failure.to_string())).collect();
        assert_eq!(
            said,
            [Err("0 is no good".into()), Ok(1), Ok(2), Err("3 is no good".into()), Ok(4), Ok(5)]
        );
    });
}

#[test]
fn large_arguments_and_outputs_travel_among_small_ones() {
    limited(|| {
        let pool = pool(2);
        let items: Vec<Vec<u8>> =
            (0..12).map(|n| (0..n * 150_000u32).map(|byte| byte as u8).collect()).collect();
        let expected: Vec<Vec<u8>> = items.iter().map(|item| item.iter().rev().copied().collect()).collect();
        assert_eq!(pool.map::<reversed>(items).unwrap(), expected);
    });
}

#[test]
fn every_chunk_size_brings_the_same() {
    limited(|| {
        for chunk in [1, 7, 1000] {
            let pool = Pool::builder().workers(2).chunk(chunk).window(100).build().unwrap();
            assert_eq!(pool.map::<square>(0..300u64).unwrap(), (0..300).map(|n| n * n).collect::<Vec<u64>>());
        }
    });
}

#[test]
fn input_is_drawn_no_further_than_the_window() {
    limited(|| {
        let pool = Pool::builder().workers(1).window(10).build().unwrap();
        let drawn = AtomicU64::new(0);
        let mut outcomes = pool.imap::<square>((0u64..).inspect(|_| {
            drawn.fetch_add(1, Ordering::Relaxed);
        }));
        for n in 0..100 {
            assert_eq!(outcomes.next().unwrap().unwrap(), n * n);
            assert!(drawn.load(Ordering::Relaxed) <= n + 1 + 10);
        }
    });
}

#[test]
fn the_window_holds_up_who_submits_too_much() {
    limited(|| {
        let (pool, go) = (Pool::builder().workers(1).window(2).build().unwrap(), Event::anonymous().unwrap());
        let jobs =
            [pool.apply_async::<wait_for>((&go,)).unwrap(), pool.apply_async::<wait_for>((&go,)).unwrap()];
        let passed = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let third = scope.spawn(|| {
                let job = pool.apply_async::<square>((2,)).unwrap();
                passed.store(1, Ordering::SeqCst);
                job.get().unwrap()
            });
            assert!(matches!(jobs[0].get_timeout(Duration::from_millis(20)), Err(TaskError::TimedOut)));
            assert!(matches!(jobs[1].try_get(), Err(TaskError::Running)));
            assert_eq!(passed.load(Ordering::SeqCst), 0, "there was no room");
            go.set().unwrap();
            assert_eq!(third.join().unwrap(), 4);
        });
        jobs.iter().for_each(|job| job.get().unwrap());
    });
}

#[test]
fn callbacks_are_called_whatever_they_do() {
    limited(|| {
        let (pool, (sender, receiver)) = (pool(1), mpsc::channel());
        let bad = pool.apply_async_with::<square>((1,), |_| panic!("in a callback")).unwrap();
        let good = pool
            .apply_async_with::<square>((3,), move |outcome| sender.send(outcome.unwrap()).unwrap())
            .unwrap();
        assert_eq!(receiver.recv().unwrap(), 9);
        assert_eq!((bad.get().unwrap(), good.get().unwrap(), good.get().unwrap()), (1, 9, 9));
    });
}

#[procshare::task]
fn prepare(started: Handle<AtomicValue<u32>>) {
    started.attach().unwrap().fetch_add(1).unwrap();
}

#[test]
fn workers_are_initialised_and_replaced_after_their_quota() {
    limited(|| {
        let started = AtomicValue::anonymous(0u32).unwrap();
        let options = Pool::builder().workers(2).initialiser::<prepare>((&started,)).max_tasks_per_child(3);
        let pool = options.build().unwrap();
        let mut tasks = std::collections::BTreeMap::new();
        for outcome in pool.imap::<who_is>(0..20u32) {
            *tasks.entry(outcome.unwrap()).or_insert(0) += 1;
        }
        assert!(tasks.values().all(|&count| count <= 3) && tasks.len() >= 7, "{tasks:?}");
        pool.close();
        pool.join();
        assert!(started.load() >= 7);
    });
}

#[procshare::task]
fn who_is(_number: u32) -> u32 {
    std::process::id()
}

#[test]
fn what_was_submitted_before_the_close_is_done_and_nothing_after() {
    limited(|| {
        let pool = pool(2);
        let jobs: Vec<_> = (0..200).map(|n| pool.apply_async::<square>((n,)).unwrap()).collect();
        pool.close();
        assert!(matches!(pool.apply_async::<square>((1,)), Err(TaskError::Closed)));
        assert!(matches!(pool.map::<square>([1u64]), Err(TaskError::Closed)));
        pool.join();
        assert!(pool.workers().is_empty());
        assert!(jobs.iter().enumerate().all(|(n, job)| job.try_get().unwrap() == (n * n) as u64));
    });
}

#[test]
fn termination_ends_all_tasks_with_an_error_and_leaves_no_process() {
    limited(|| {
        let (pool, go) = (pool(2), Event::anonymous().unwrap());
        let jobs: Vec<_> = (0..10).map(|_| pool.apply_async::<wait_for>((&go,)).unwrap()).collect();
        let workers = pool.workers();
        pool.terminate();
        assert!(jobs.iter().all(|job| matches!(job.get(), Err(TaskError::Cancelled))));
        pool.join();
        workers.into_iter().for_each(until_gone);
        assert!(matches!(pool.apply::<square>((1,)), Err(TaskError::Cancelled)));
    });
}

#[test]
fn what_no_worker_has_can_be_taken_back() {
    limited(|| {
        let (pool, go) = (pool(1), Event::anonymous().unwrap());
        let jobs: Vec<_> = (0..20).map(|_| pool.apply_async::<wait_for>((&go,)).unwrap()).collect();
        let last = jobs.last().unwrap();
        assert!(last.cancel() && !last.cancel());
        assert!(matches!(last.get(), Err(TaskError::Cancelled)));
        go.set().unwrap();
        assert!(jobs[..19].iter().all(|job| job.get().is_ok()));
        assert!(!jobs[0].cancel());
    });
}

#[procshare::task]
fn fill(array: Handle<Array<u64>>, index: usize) -> u64 {
    array.attach().unwrap().set(index, index as u64 * 3).unwrap();
    index as u64
}

#[test]
fn workers_share_objects_and_leave_nothing() {
    let place = Place::new("pool");
    limited(|| {
        let array =
            Array::builder().space(&place.space).anonymous(procshare::ArrayInit::filled(64, 0u64)).unwrap();
        let pool = Pool::builder().workers(2).space(&place.space).build().unwrap();
        assert_eq!(pool.starmap::<fill>((0..64).map(|index| (&array, index))).unwrap().len(), 64);
        assert_eq!(array.to_vec().unwrap(), (0..64).map(|index| index * 3).collect::<Vec<u64>>());
    });
    assert_eq!(place.objects(), Vec::<String>::new());
}

#[test]
fn threads_share_a_pool() {
    limited(|| {
        let pool = Arc::new(pool(2));
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let pool = Arc::clone(&pool);
                std::thread::spawn(move || pool.map::<square>((0..500).map(|n| n + thread)).unwrap())
            })
            .collect();
        for (thread, outcome) in threads.into_iter().enumerate() {
            let expected: Vec<u64> = (0..500).map(|n| (n + thread as u64).pow(2)).collect();
            assert_eq!(outcome.join().unwrap(), expected);
        }
    });
}

#[test]
fn pools_nest() {
    #[procshare::task]
    fn sum_of_squares(until: u64) -> u64 {
        Pool::builder().workers(1).build().unwrap().map::<square>(0..until).unwrap().iter().sum()
    }
    assert_eq!(limited(|| pool(1).map::<sum_of_squares>([3u64, 4]).unwrap()), [5, 14]);
}

#[test]
fn workers_have_names() {
    let (pid, name) =
        limited(|| Pool::builder().workers(1).name("digger").build().unwrap().apply::<who>(()).unwrap());
    assert!(pid != std::process::id() && name == "digger-0", "{name}");
}

#[test]
fn absurd_options_are_errors() {
    for workers in [0, 5000] {
        assert!(matches!(Pool::builder().workers(workers).build(), Err(TaskError::System { .. })));
    }
}
