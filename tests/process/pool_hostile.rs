//! Pools whose tasks, callbacks, iterators and surroundings do what nobody meant them to.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use procshare::process::{Pool, Process, TaskError};
use procshare::{AtomicValue, Event, Handle};
use procshare_harness::{child, entered};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pool::square;
use crate::support::{
    LIMIT, Place, in_a_fresh_process, leave_a_trace, limit_descriptors, limited, until_gone,
};

/// Forks; both return.
#[procshare::task]
fn fork_and_return(n: u32) -> u32 {
    // SAFETY: a worker has one thread while it runs a task.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        return 1000 + n;
    }
    let mut status = 0;
    // SAFETY: a live word.
    unsafe { libc::waitpid(forked, &mut status, 0) };
    n
}

#[test]
fn a_fork_that_returns_from_a_task_says_nothing() {
    limited(|| {
        for chunk in [1, 3] {
            let pool = Pool::builder().workers(1).chunk(chunk).build().unwrap();
            let workers = pool.workers();
            assert_eq!(pool.map::<fork_and_return>(0..6u32).unwrap(), (0..6).collect::<Vec<_>>());
            assert_eq!(pool.workers(), workers);
        }
    });
}

#[procshare::task]
fn raise(how: u32) -> u32 {
    match how {
        0 => std::panic::panic_any(7u32),
        1 => {
            let _ = std::panic::catch_unwind(|| panic!("caught"));
            5
        }
        2 => std::panic::resume_unwind(Box::new("resumed")),
        3 => {
            std::panic::set_hook(Box::new(|_| ()));
            panic!("unheard")
        }
        _ => std::process::abort(),
    }
}

#[test]
fn a_panic_is_a_panic_whatever_it_carries() {
    limited(|| {
        let pool = Pool::builder().workers(1).chunk(5).build().unwrap();
        let outcomes = pool.try_map::<raise>(0..5u32).unwrap();
        let panicked = |outcome: &Result<u32, TaskError>, text: &str| {
            matches!(outcome, Err(TaskError::Panicked { message, .. })
                if message.contains(text) && !message.contains("caught"))
        };
        assert!(panicked(&outcomes[0], "no text"), "{outcomes:?}");
        assert!(matches!(outcomes[1], Ok(5)), "{outcomes:?}");
        assert!(panicked(&outcomes[2], "resumed"), "{outcomes:?}");
        assert!(panicked(&outcomes[3], "unheard"), "{outcomes:?}");
        assert!(matches!(outcomes[4], Err(TaskError::Died { .. })), "{outcomes:?}");
    });
}

/// Panics where its number says: read, called, written or dropped.
#[derive(Debug)]
struct Mined(u32);

impl Serialize for Mined {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 % 10 != 3, "written");
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Mined {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        assert!(number % 10 != 1, "read");
        Ok(Mined(number))
    }
}

impl Drop for Mined {
    fn drop(&mut self) {
        assert!(self.0 % 10 != 4 || std::thread::panicking(), "dropped");
    }
}

#[procshare::task]
fn lay(n: u32) -> Mined {
    assert!(n % 10 != 2, "called");
    Mined(n)
}

#[procshare::task]
fn lift(mine: Mined) -> u32 {
    mine.0
}

#[test]
fn a_panic_before_or_after_the_call_costs_that_task_only() {
    limited(|| {
        for chunk in [1, 4, 25] {
            let pool = Pool::builder().workers(2).chunk(chunk).build().unwrap();
            // What would panic here as it is read or dropped is not asked for.
            let numbers: Vec<u32> = (0..50).filter(|n| n % 10 != 1).collect();
            let laid = pool
                .imap::<lay>(numbers.iter().copied())
                .map(|outcome| outcome.map(|mine| std::mem::ManuallyDrop::new(mine).0));
            for (n, outcome) in numbers.iter().zip(laid) {
                let said = match n % 10 {
                    2 => "called",
                    3 => "written",
                    4 => "dropped",
                    _ => "",
                };
                let is_right = match &outcome {
                    Ok(back) => said.is_empty() && back == n,
                    Err(TaskError::Panicked { message, .. }) => !said.is_empty() && message.contains(said),
                    Err(_) => false,
                };
                assert!(is_right, "{n} in chunks of {chunk}: {outcome:?}");
            }
            let mines = (0..40).filter(|n| !matches!(n % 10, 3 | 4)).map(Mined);
            for (n, outcome) in (0..40).filter(|n| !matches!(n % 10, 3 | 4)).zip(pool.imap::<lift>(mines)) {
                match outcome {
                    Ok(back) => assert_eq!(back, n),
                    Err(TaskError::Panicked { message, .. }) if n % 10 == 1 => {
                        assert!(message.contains("read"))
                    }
                    Err(other) => panic!("{n} in chunks of {chunk}: {other}"),
                }
            }
        }
    });
}

#[test]
fn many_workers_of_one_task_each() {
    many_short_lives(60);
}

#[test]
#[ignore = "long: run by ci/long.sh"]
fn two_thousand_workers_of_one_task_each() {
    many_short_lives(2000);
}

#[procshare::task]
fn who_squares(n: u64) -> (u32, u64) {
    (std::process::id(), n * n)
}

fn many_short_lives(count: u64) {
    limited(|| {
        let place = Place::new(&format!("short-lives-{count}"));
        let pool = Pool::builder().workers(3).max_tasks_per_child(1).space(&place.space).build().unwrap();
        let outputs = pool.map::<who_squares>(0..count).unwrap();
        let mut pids: Vec<u32> = outputs.iter().map(|(pid, _)| *pid).collect();
        assert!(outputs.iter().zip(0..).all(|((_, square), n)| *square == n * n));
        pids.sort_unstable();
        pids.dedup();
        // A number may come again, in the long run.
        assert!(pids.len() as u64 > count / 2, "{} processes for {count} tasks", pids.len());
        drop(pool);
        pids.into_iter().for_each(until_gone);
        assert_eq!(place.objects(), Vec::<String>::new());
    });
}

#[procshare::task]
fn begin_by(how: u32, began: Handle<AtomicValue<u32>>) {
    began.attach().unwrap().fetch_add(1).unwrap();
    match how {
        0 => std::process::exit(0),
        1 => std::process::abort(),
        _ => loop {
            std::thread::park();
        },
    }
}

#[test]
fn an_initialiser_that_leaves_ends_the_pool_and_no_storm() {
    limited(|| {
        for how in 0..2 {
            let began = AtomicValue::anonymous(0u32).unwrap();
            let pool = Pool::builder().workers(2).initialiser::<begin_by>((how, &began)).build().unwrap();
            let error = pool.apply::<square>((2,)).unwrap_err();
            assert!(matches!(error, TaskError::InitialiserFailed { .. }), "{error}");
            drop(pool);
            assert!(began.load() < 50, "{} processes", began.load());
        }
    });
}

#[test]
fn an_initialiser_that_hangs_keeps_nobody_from_ending_the_pool() {
    limited(|| {
        let began = AtomicValue::anonymous(0u32).unwrap();
        let pool = Pool::builder().workers(2).initialiser::<begin_by>((2, &began)).build().unwrap();
        let job = pool.apply_async::<square>((2,)).unwrap();
        assert!(matches!(job.get_timeout(Duration::from_millis(5)), Err(TaskError::TimedOut)));
        let workers = pool.workers();
        drop(pool);
        assert!(matches!(job.get(), Err(TaskError::Cancelled)));
        workers.into_iter().for_each(until_gone);
    });
}

#[test]
fn a_callback_may_use_and_end_the_pool() {
    limited(|| {
        let pool = Arc::new(Pool::builder().workers(1).build().unwrap());
        let (sender, outcome) = mpsc::channel();
        let inner = Arc::clone(&pool);
        let job = pool.apply_async_with::<square>((3,), move |nine| {
            let again = inner.apply::<square>((nine.unwrap(),));
            inner.close();
            inner.join();
            // The last one of the two drops the pool, here or there.
            drop(inner);
            sender.send(again.unwrap()).unwrap();
        });
        drop(job.unwrap());
        drop(pool);
        // Ended by the drop, or used before that.
        assert!(outcome.recv().is_ok_and(|n| n == 81));
    });
}

#[test]
fn a_callback_that_blocks_holds_up_no_outcome() {
    limited(|| {
        let pool = Pool::builder().workers(1).build().unwrap();
        let (go, gate) = mpsc::channel::<()>();
        let blocked = pool
            .apply_async_with::<square>((3,), move |_| {
                let _ = gate.recv();
            })
            .unwrap();
        assert_eq!(blocked.get().unwrap(), 9);
        assert_eq!(pool.map::<square>(0..100u64).unwrap().len(), 100);
        pool.close();
        drop(go);
        pool.join();
    });
}

#[test]
fn all_may_end_a_pool_at_once() {
    limited(|| {
        for _ in 0..20 {
            let pool = Pool::builder().workers(2).build().unwrap();
            let jobs: Vec<_> = (0..50u64).map(|n| pool.apply_async::<square>((n,)).unwrap()).collect();
            std::thread::scope(|scope| {
                for how in 0..8 {
                    let (pool, jobs) = (&pool, &jobs);
                    scope.spawn(move || match how % 4 {
                        0 => pool.close(),
                        1 => pool.join(),
                        2 => pool.terminate(),
                        _ => {
                            jobs.iter().filter(|job| job.cancel()).count();
                        }
                    });
                }
            });
            for (job, n) in jobs.iter().zip(0u64..) {
                match job.get() {
                    Ok(output) => assert_eq!(output, n * n),
                    Err(TaskError::Cancelled) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            assert!(matches!(pool.apply::<square>((1,)), Err(TaskError::Closed | TaskError::Cancelled)));
        }
    });
}

#[test]
fn jobs_outlive_their_pool() {
    limited(|| {
        let pool = Pool::builder().workers(1).build().unwrap();
        let go = Event::anonymous().unwrap();
        let done = pool.apply_async::<square>((5,)).unwrap();
        done.wait();
        let never = pool.apply_async::<crate::pool::wait_for>((&go,)).unwrap();
        let mut outcomes = pool.imap::<square>(0..3u64);
        assert_eq!(outcomes.next_timeout(Duration::ZERO).map(|outcome| outcome.is_err()), Some(true));
        drop(outcomes);
        drop(pool);
        assert_eq!(done.get().unwrap(), 25);
        assert!(matches!(never.get(), Err(TaskError::Cancelled)));
        assert!(!never.cancel() && never.is_done());
    });
}

#[procshare::task]
fn pool_that_unwinds(workers: Handle<AtomicValue<u64>>) {
    let pool = Pool::builder().workers(1).finish_on_drop(true).build().unwrap();
    workers.attach().unwrap().store(u64::from(pool.workers()[0])).unwrap();
    let _job = pool.apply_async::<crate::pool::wait_for>((&Event::anonymous().unwrap(),)).unwrap();
    panic!("unwound");
}

#[test]
fn a_pool_within_a_task_that_panics_ends() {
    limited(|| {
        let inner = AtomicValue::anonymous(0u64).unwrap();
        let outer = Pool::builder().workers(1).build().unwrap();
        let error = outer.apply::<pool_that_unwinds>((&inner,)).unwrap_err();
        assert!(
            matches!(&error, TaskError::Panicked { message, .. } if message.contains("unwound")),
            "{error}"
        );
        until_gone(inner.load() as u32);
    });
}

#[procshare::task]
fn pool_within(workers: Handle<AtomicValue<u64>>) {
    let pool = Pool::builder().workers(1).build().unwrap();
    workers.attach().unwrap().store(u64::from(pool.workers()[0])).unwrap();
    pool.apply::<crate::pool::wait_for>((&Event::anonymous().unwrap(),)).unwrap();
}

#[test]
fn the_workers_of_a_killed_worker_end_with_it() {
    limited(|| {
        let inner = AtomicValue::anonymous(0u64).unwrap();
        let outer = Pool::builder().workers(1).build().unwrap();
        let job = outer.apply_async::<pool_within>((&inner,)).unwrap();
        while inner.load() == 0 {
            std::thread::yield_now();
        }
        outer.terminate();
        assert!(matches!(job.get(), Err(TaskError::Cancelled)));
        until_gone(inner.load() as u32);
    });
}

#[test]
fn a_forked_child_makes_pools_of_its_own() {
    limited(|| {
        let parents = Pool::builder().workers(1).build().unwrap();
        assert_eq!(parents.apply::<square>((2,)).unwrap(), 4);
        let outcome = child(LIMIT, || {
            let pool = Pool::builder().workers(2).build().map_err(|error| error.to_string())?;
            match pool.map::<square>(0..100u64) {
                Ok(outputs) if outputs.len() == 100 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        outcome.unwrap();
        assert_eq!(parents.apply::<square>((3,)).unwrap(), 9);
    });
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a live structure.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

#[test]
fn entry_without_descriptors() {
    let Some(argument) = entered("pool_hostile::entry_without_descriptors") else { return };
    let place = Place::new("few-descriptors");
    limit_descriptors(60);
    let build = |workers| Pool::builder().workers(workers).space(&place.space).build();
    assert!(matches!(build(64), Err(TaskError::System { .. })));
    assert_eq!(build(2).unwrap().apply::<square>((3,)).unwrap(), 9);
    assert_eq!(place.objects(), Vec::<String>::new());
    leave_a_trace(&argument);
}

#[test]
fn a_pool_without_descriptors_is_an_error_and_leaves_nothing() {
    in_a_fresh_process("pool_hostile::entry_without_descriptors");
}

/// Becomes a user who has no other process; says whether that is allowed.
fn become_nobody_else() -> bool {
    let uid = 60_000 + std::process::id() % 5_000;
    // SAFETY: no pointers are passed. The change takes back that the process ends with its parent.
    unsafe { libc::setresuid(uid, uid, uid) == 0 && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 }
}

#[test]
fn a_pool_without_threads_is_an_error_or_goes_without() {
    limited(|| {
        for most in 1..10 {
            let directory =
                std::env::temp_dir().join(format!("procshare-threads-{most}-{}", std::process::id()));
            let outcome = child(LIMIT / 4, || {
                if !become_nobody_else() {
                    return Ok(());
                }
                let space = procshare::Space::at(&directory).open_or_create().map_err(|e| e.to_string())?;
                limit(libc::RLIMIT_NPROC, most);
                match Pool::builder().workers(3).space(&space).build() {
                    Err(TaskError::System { .. }) => Ok(()),
                    Err(other) => Err(format!("{most}: {other}")),
                    Ok(pool) => match pool.apply::<square>((3,)) {
                        Ok(9) => Ok(()),
                        other => Err(format!("{most}: {other:?}")),
                    },
                }
            });
            let _ = std::fs::remove_dir_all(&directory);
            outcome.unwrap();
        }
    });
}

static DRAWN: AtomicU32 = AtomicU32::new(0);

#[test]
fn iterators_may_be_endless_panic_and_use_the_pool() {
    limited(|| {
        let pool = Pool::builder().workers(2).window(16).build().unwrap();
        let endless = (0u64..).inspect(|_| {
            DRAWN.fetch_add(1, Ordering::Relaxed);
        });
        let first: Vec<u64> = pool.imap::<square>(endless).take(5).map(Result::unwrap).collect();
        assert_eq!(first, [0, 1, 4, 9, 16]);
        assert!(DRAWN.load(Ordering::Relaxed) <= 16 + 5);
        // An input that is made of outcomes of the same pool.
        let squares = pool.imap::<square>(0..40u64).map(Result::unwrap);
        let fourth = pool.map::<square>(squares).unwrap();
        assert!(fourth.iter().zip(0u64..).all(|(output, n)| *output == n.pow(4)));
        let mut some = pool.imap_unordered::<square>((0..30u64).inspect(|n| assert!(*n < 20)));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| some.by_ref().count()));
        assert!(caught.is_err());
        drop(some);
        assert_eq!(pool.apply::<square>((7,)).unwrap(), 49);
    });
}

/// What wakes a future may drop the pool: on whatever thread it is woken.
#[test]
fn a_waker_may_drop_the_pool() {
    struct Dropper(Mutex<Option<Pool>>);
    impl std::task::Wake for Dropper {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            panic!("and panic");
        }
    }
    limited(|| {
        for round in 0..10 {
            let pool = Pool::builder().workers(1).build().unwrap();
            let go = Event::anonymous().unwrap();
            let other = pool.apply_async::<crate::pool::wait_for>((&go,)).unwrap();
            let mut job = pool.apply_async::<square>((3,)).unwrap();
            let dropper = Arc::new(Dropper(Mutex::new(Some(pool))));
            let waker = std::task::Waker::from(Arc::clone(&dropper));
            let mut context = std::task::Context::from_waker(&waker);
            assert!(std::pin::Pin::new(&mut job).poll(&mut context).is_pending());
            // Then it is that one's thread, if it comes in time.
            let leader = (round % 2 == 1).then(|| std::thread::spawn(move || other.get().is_ok()));
            for _ in 0..round * 100 {
                std::thread::yield_now();
            }
            go.set().unwrap();
            while dropper.0.lock().unwrap().is_some() {
                std::thread::yield_now();
            }
            assert_eq!(job.get().unwrap(), 9);
            drop(leader.map(std::thread::JoinHandle::join));
        }
    });
}

/// Nobody asks for the outcome of a process that is dropped.
#[test]
fn a_dropped_process_goes_on() {
    limited(|| {
        let (go, over) = (Event::anonymous().unwrap(), AtomicValue::anonymous(0u64).unwrap());
        #[procshare::task]
        fn note_after(go: Handle<Event>, over: Handle<AtomicValue<u64>>) {
            go.attach().unwrap().wait().unwrap();
            over.attach().unwrap().store(7).unwrap();
        }
        drop(Process::start::<note_after>((&go, &over)).unwrap());
        go.set().unwrap();
        while over.load() != 7 {
            std::thread::yield_now();
        }
    });
}
