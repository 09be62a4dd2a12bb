//! What a pool does in places, and with data, that nobody meant for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procshare::process::{Pool, TaskError, active_children};
use procshare::{AtomicValue, Event, Handle};
use procshare_harness::{Reexec, child, entered, watchdog};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pool::{square, wait_for};
use crate::support::{LIMIT, Place, limited, until_gone};

/// Written as a number that it cannot be read from.
#[derive(Debug)]
struct OneWay;

impl Serialize for OneWay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(7)
    }
}

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Err(serde::de::Error::custom(format!("{number} is no way back")))
    }
}

/// Refuses to be written.
#[derive(Debug, Deserialize)]
struct NoWay;

impl Serialize for NoWay {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no way"))
    }
}

#[procshare::task]
fn take_one_way(_what: OneWay) {}

#[procshare::task]
fn give_one_way(_n: u32) -> OneWay {
    OneWay
}

#[procshare::task]
fn give_no_way(_n: u32) -> NoWay {
    NoWay
}

#[procshare::task]
fn take_no_way(_what: NoWay) {}

#[test]
fn what_cannot_travel_costs_that_task_and_no_worker() {
    limited(|| {
        let pool = Pool::builder().workers(1).build().unwrap();
        let codec = |error: TaskError, what: &str| match error {
            TaskError::Codec { what: found, .. } => assert_eq!(found, what),
            other => panic!("{other}"),
        };
        let worker = pool.workers();
        for _ in 0..3 {
            codec(pool.apply::<take_one_way>((OneWay,)).unwrap_err(), "the arguments");
            codec(pool.apply::<give_one_way>((1,)).unwrap_err(), "the output");
            codec(pool.apply::<give_no_way>((1,)).unwrap_err(), "the output");
            codec(pool.apply_async::<take_no_way>((NoWay,)).unwrap_err(), "the arguments");
            for outcome in pool.try_map::<take_no_way>([NoWay, NoWay]).unwrap() {
                codec(outcome.unwrap_err(), "the arguments");
            }
            codec(pool.map_async::<take_no_way>([NoWay, NoWay]).unwrap().get().unwrap_err(), "the arguments");
            assert_eq!(pool.apply::<square>((3,)).unwrap(), 9);
        }
        assert_eq!((pool.workers(), pool.progress().replaced), (worker, 0));
    });
}

#[procshare::task]
fn length_and_back(text: String) -> (usize, String) {
    (text.len(), text)
}

fn there_and_back(bytes: usize) {
    let pool = Pool::builder().workers(1).build().unwrap();
    let text = "x".repeat(bytes);
    let (length, back) = pool.apply::<length_and_back>((text.as_str(),)).unwrap();
    assert!(length == bytes && back == text);
    assert_eq!(pool.apply::<square>((4,)).unwrap(), 16);
}

#[test]
fn arguments_and_outputs_may_be_longer_than_all_queues() {
    limited(|| there_and_back(4 << 20));
}

#[test]
#[ignore = "long: run by ci/long.sh"]
fn arguments_and_outputs_may_have_a_hundred_megabytes() {
    limited(|| there_and_back(100_000_000));
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// In a process of its own, whose descriptors and threads are nobody else's.
#[test]
fn entry_pools() {
    let Some(argument) = entered("pool_attack::entry_pools") else { return };
    let (count, done): (u32, Handle<AtomicValue<u32>>) = serde_json::from_str(&argument).unwrap();
    watchdog(10 * LIMIT, || make_pools(count, &done.attach().unwrap()));
}

fn make_pools(count: u32, done: &AtomicValue<u32>) {
    let place = Place::new("pools");
    let make = || {
        let pool = Pool::builder().workers(1).space(&place.space).build().unwrap();
        assert_eq!(pool.map::<square>(0..3u64).unwrap(), [0, 1, 4]);
        pool.workers()
    };
    make().into_iter().for_each(until_gone);
    let before = (descriptors(), threads());
    for _ in 0..count {
        make().into_iter().for_each(until_gone);
        done.fetch_add(1).unwrap();
    }
    assert_eq!(place.objects(), Vec::<String>::new());
    // Another thread lets go of the last process, in a moment.
    while !active_children().is_empty() || descriptors() > before.0 || threads() > before.1 {
        std::thread::yield_now();
    }
}

fn one_after_the_other(count: u32) {
    let done = AtomicValue::anonymous(0u32).unwrap();
    let argument = serde_json::to_string(&(count, done.handle())).unwrap();
    Reexec::new("pool_attack::entry_pools").argument(argument).spawn().unwrap().wait(10 * LIMIT).unwrap();
    assert_eq!(done.load(), count);
}

#[test]
fn pools_one_after_the_other_leave_nothing() {
    one_after_the_other(20);
}

#[test]
#[ignore = "long: run by ci/long.sh"]
fn a_thousand_pools_one_after_the_other_leave_nothing() {
    one_after_the_other(1000);
}

#[test]
fn a_forked_child_can_do_nothing_with_its_parents_pool() {
    limited(|| {
        let (pool, go) = (Pool::builder().workers(1).build().unwrap(), Event::anonymous().unwrap());
        let job = pool.apply_async::<wait_for>((&go,)).unwrap();
        let foreign =
            |error: TaskError| matches!(error, TaskError::NotAChild { pid } if pid != std::process::id());
        child(LIMIT, || {
            assert!(foreign(pool.apply::<square>((2,)).unwrap_err()));
            assert!(foreign(pool.map::<square>(0..10u64).unwrap_err()));
            assert!(foreign(pool.map_async::<square>(0..10u64).unwrap_err()));
            assert!(foreign(pool.imap::<square>(0..10u64).next().unwrap().unwrap_err()));
            assert!(foreign(job.get().unwrap_err()) && foreign(job.get_timeout(LIMIT).unwrap_err()));
            assert!(!job.cancel() && pool.cancel_all() == 0);
            pool.close();
            pool.terminate();
            pool.join();
            drop(pool.try_map::<square>([1u64]));
        })
        .unwrap();
        assert!(matches!(job.try_get(), Err(TaskError::Running)));
        go.set().unwrap();
        job.get().unwrap();
        assert_eq!(pool.apply::<square>((5,)).unwrap(), 25);
    });
}

#[test]
fn the_thread_that_made_a_pool_may_end() {
    limited(|| {
        let made = std::thread::spawn(|| {
            let pool = Pool::builder().workers(2).build().unwrap();
            let job = pool.apply_async::<square>((3,)).unwrap();
            (pool, job)
        });
        let (pool, job) = made.join().unwrap();
        let workers = pool.workers();
        assert_eq!(job.get().unwrap(), 9);
        assert_eq!(pool.map::<square>(0..100u64).unwrap().len(), 100);
        assert_eq!(pool.workers(), workers, "nobody died");
    });
}

#[test]
fn an_input_that_panics_costs_the_call_and_nothing_else() {
    limited(|| {
        let pool = Pool::builder().workers(2).build().unwrap();
        let input = (0..5000u64).inspect(|n| assert!(*n < 3000, "no more"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.map::<square>(input)));
        assert!(caught.is_err());
        assert_eq!(pool.map::<square>(0..2000u64).unwrap().len(), 2000);
        pool.close();
        pool.join();
        assert_eq!(pool.progress().pending(), 0);
    });
}

#[test]
fn an_input_that_waits_for_outcomes_gets_them() {
    limited(|| {
        let pool = Pool::builder().workers(2).build().unwrap();
        let (count, seen) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Nobody waits in the pool while its input does.
                while seen.load(Ordering::SeqCst) == 0 {
                    seen.store(pool.progress().returned, Ordering::SeqCst);
                    std::thread::yield_now();
                }
            });
            let input = (0..100u64).inspect(|n| {
                count.fetch_add(1, Ordering::SeqCst);
                while *n == 50 && seen.load(Ordering::SeqCst) == 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
            assert_eq!(pool.map::<square>(input).unwrap().len(), 100);
        });
        assert_eq!(count.into_inner(), 100);
    });
}
