//! What a pool does while the caller does something else: jobs of many tasks, callbacks, iterators with timeouts, cancelling.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use procshare::process::{Exit, OnDeath, Pool, TaskError};
use procshare::{Event, Handle};

use crate::pool::{square, wait_for};
use crate::support::limited;

/// Longer than nothing, for what shall not happen.
const SOON: Duration = Duration::from_millis(20);

#[procshare::task]
fn quotient(a: i64, b: i64) -> i64 {
    a / b
}

#[procshare::task]
fn leave_or_return(n: u64) -> u64 {
    if n == 77 { std::process::exit(7) } else { n }
}

/// Waits for the event if there is one.
#[procshare::task]
fn perhaps_wait(go: Option<Handle<Event>>, n: u64) -> u64 {
    if let Some(go) = go {
        go.attach().unwrap().wait().unwrap();
    }
    n
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().unwrap()
}

#[test]
fn many_tasks_are_one_job() {
    limited(|| {
        let pool = pool(2);
        let squares: Vec<u64> = (0..3000).map(|n| n * n).collect();
        let job = pool.map_async::<square>(0..3000u64).unwrap();
        let none = pool.map_async::<square>(std::iter::empty::<u64>()).unwrap();
        let quotients = pool.starmap_async::<quotient>((1..500i64).map(|n| (n * n, n))).unwrap();
        assert_eq!(job.get().unwrap(), squares);
        assert_eq!(job.get().unwrap(), squares, "as often as one likes");
        assert!(job.is_done() && none.get().unwrap().is_empty());
        assert_eq!(quotients.get().unwrap(), (1..500).collect::<Vec<i64>>());
        let failing = pool.starmap_async::<quotient>([(6, 3), (1, 0), (8, 2), (i64::MIN, 0)]).unwrap();
        assert!(matches!(failing.get(), Err(TaskError::Panicked { .. })));
        let outcomes = pool.try_starmap::<quotient>([(6, 3), (1, 0), (8, 2)]).unwrap();
        assert!(matches!(&outcomes[..], [Ok(2), Err(TaskError::Panicked { .. }), Ok(4)]), "{outcomes:?}");
    });
}

#[test]
fn callbacks_hear_of_all_tasks_at_once_and_of_errors() {
    limited(|| {
        let (pool, (sender, heard)) = (pool(2), mpsc::channel());
        let tell = |what: &'static str| {
            let sender = sender.clone();
            move |outcome: Result<Vec<u64>, TaskError>| sender.send((what, outcome)).unwrap()
        };
        let job = pool.map_async_with::<square>(0..100u64, tell("squares")).unwrap();
        let (what, outcome) = heard.recv().unwrap();
        assert_eq!((what, outcome.unwrap().len()), ("squares", 100));
        assert!(job.is_done());
        job.on_done(tell("later"));
        assert_eq!(heard.try_recv().unwrap().0, "later", "at once if it is done");
        let (sender, errors) = mpsc::channel();
        let bad = pool.starmap_async_with::<quotient>([(1, 1), (1, 0)], move |outcome| {
            sender.send(outcome.map_err(|error| error.to_string())).unwrap();
        });
        assert!(errors.recv().unwrap().unwrap_err().contains("divide by zero"));
        assert!(bad.unwrap().get().is_err());
        let go = Event::anonymous().unwrap();
        let waiting = pool.apply_async::<wait_for>((&go,)).unwrap();
        let (sender, done) = mpsc::channel();
        waiting.on_done(move |outcome| sender.send(outcome.is_ok()).unwrap());
        assert!(done.recv_timeout(SOON).is_err());
        go.set().unwrap();
        assert!(done.recv().unwrap());
    });
}

#[test]
fn an_iterator_waits_no_longer_than_it_may_and_goes_on() {
    limited(|| {
        let (pool, go) = (pool(2), Event::anonymous().unwrap());
        let items = (0..10u64).map(|n| ((n == 1).then(|| go.handle()), n));
        let items: Vec<(Option<Handle<Event>>, u64)> = items.collect();
        #[procshare::task]
        fn perhaps((go, n): (Option<Handle<Event>>, u64)) -> u64 {
            perhaps_wait(go, n)
        }
        let mut outcomes = pool.imap::<perhaps>(items);
        assert_eq!(outcomes.next().unwrap().unwrap(), 0);
        assert!(matches!(outcomes.next_timeout(SOON), Some(Err(TaskError::TimedOut))));
        go.set().unwrap();
        for n in 1..10 {
            assert_eq!(outcomes.next().unwrap().unwrap(), n);
        }
        assert!(outcomes.next_timeout(SOON).is_none() && outcomes.next().is_none());
    });
}

#[test]
fn a_slow_first_task_lets_no_iterator_run_ahead() {
    limited(|| {
        let (pool, go, drawn) = (
            Pool::builder().workers(2).window(8).build().unwrap(),
            Event::anonymous().unwrap(),
            AtomicU64::new(0),
        );
        #[procshare::task]
        fn first_waits((go, n): (Handle<Event>, u64)) -> u64 {
            perhaps_wait((n == 0).then_some(go), n)
        }
        let items = (0..1000u64).map(|n| (go.handle(), n)).inspect(|_| {
            drawn.fetch_add(1, Ordering::Relaxed);
        });
        let mut outcomes = pool.imap::<first_waits>(items);
        for _ in 0..3 {
            assert!(matches!(outcomes.next_timeout(SOON), Some(Err(TaskError::TimedOut))));
        }
        assert!(drawn.load(Ordering::Relaxed) <= 8, "{drawn:?} of 1000 were drawn behind a task that waits");
        go.set().unwrap();
        assert!(outcomes.map(Result::unwrap).eq(0..1000));
    });
}

#[test]
fn what_was_given_ahead_can_be_taken_back_too() {
    limited(|| {
        let (pool, go) = (pool(1), Event::anonymous().unwrap());
        let jobs: Vec<_> = (0..4).map(|_| pool.apply_async::<wait_for>((&go,)).unwrap()).collect();
        while pool.progress().at_workers < 2 {
            std::thread::yield_now();
        }
        // The worker has taken the first out of its queue, or is about to.
        while !jobs[1].cancel() && !jobs[1].is_done() {
            std::thread::yield_now();
        }
        assert!(matches!(jobs[1].get(), Err(TaskError::Cancelled)));
        assert_eq!(pool.cancel_all(), 2);
        go.set().unwrap();
        assert!(jobs[0].get().is_ok() && jobs[2..].iter().all(|job| job.get().is_err()));
        assert_eq!(pool.apply::<square>((9,)).unwrap(), 81);
    });
}

#[test]
fn a_job_of_many_is_taken_back_as_far_as_nobody_has_begun() {
    limited(|| {
        let (pool, go) = (pool(1), Event::anonymous().unwrap());
        let job = pool.map_async::<wait_for>((0..50).map(|_| &go)).unwrap();
        let called = job.cancel();
        go.set().unwrap();
        assert!(called && matches!(job.get(), Err(TaskError::Cancelled)));
        let progress = pool.progress();
        assert_eq!((progress.pending(), progress.returned + progress.failed), (0, 50));
        assert!(progress.failed >= 48, "{progress:?}");
    });
}

#[test]
fn finished_tasks_of_a_chunk_keep_their_outcomes() {
    limited(|| {
        let pool = Pool::builder().workers(1).chunk(100).build().unwrap();
        let outcomes = pool.try_map::<leave_or_return>(0..100u64).unwrap();
        for (n, outcome) in (0u64..).zip(outcomes) {
            match outcome {
                Err(TaskError::Died { exit: Exit::Code(7), .. }) if n == 77 => {}
                Ok(back) if n != 77 => assert_eq!(back, n),
                other => panic!("{n}: {other:?}"),
            }
        }
        assert_eq!(pool.progress().replaced, 1);
    });
}

#[test]
fn a_pool_that_shall_break_breaks_with_its_first_death_only() {
    limited(|| {
        let options = Pool::builder().workers(2).on_death(OnDeath::BreakAll).max_tasks_per_child(20);
        let pool = options.build().unwrap();
        assert!(pool.map::<square>(0..200u64).is_ok(), "a quota is no death");
        assert!(matches!(pool.apply::<quotient>((1, 0)), Err(TaskError::Panicked { .. })), "nor is a panic");
        assert_eq!(pool.apply::<quotient>((6, 3)).unwrap(), 2);
        let go = Event::anonymous().unwrap();
        let waiting = pool.apply_async::<wait_for>((&go,)).unwrap();
        let dying = pool.apply_async::<leave_or_return>((77,)).unwrap();
        assert!(matches!(dying.get(), Err(TaskError::Died { .. })));
        assert!(matches!(waiting.get(), Err(TaskError::Broken { exit: Exit::Code(7), .. })));
        assert!(matches!(pool.apply::<square>((1,)), Err(TaskError::Broken { .. })));
        pool.join();
        assert!(pool.workers().is_empty());
    });
}

#[test]
fn who_waits_for_one_job_hears_for_all() {
    limited(|| {
        let (pool, go) = (pool(2), Event::anonymous().unwrap());
        let blocked = pool.apply_async::<wait_for>((&go,)).unwrap();
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| blocked.get());
            // Others are served by whoever leads, and lead themselves once that one is gone.
            for n in 0..200 {
                assert_eq!(pool.apply::<square>((n,)).unwrap(), n * n);
            }
            go.set().unwrap();
            leader.join().unwrap().unwrap();
        });
        let (sender, heard) = mpsc::channel();
        for n in 0..50 {
            let sender = sender.clone();
            let _ =
                pool.apply_async_with::<square>((n,), move |outcome| sender.send(outcome.unwrap()).unwrap());
        }
        // Nobody waits in the pool: its own thread hears.
        let mut squares: Vec<u64> = heard.iter().take(50).collect();
        squares.sort();
        assert!(squares.into_iter().eq((0..50).map(|n| n * n)));
    });
}

#[test]
fn a_pool_is_joined_when_its_callbacks_were_called() {
    limited(|| {
        for round in 0..20u64 {
            let pool = Pool::builder().workers(2).finish_on_drop(round % 3 == 0).build().unwrap();
            let called = Arc::new(AtomicU64::new(0));
            for n in 0..10 {
                let called = Arc::clone(&called);
                let slowly = move |outcome: Result<u64, TaskError>| {
                    std::thread::yield_now();
                    called.fetch_add(u64::from(outcome.is_ok()), Ordering::SeqCst);
                    assert!(n != 3, "a callback that panics is called, too");
                };
                drop(pool.apply_async_with::<square>((n,), slowly).unwrap());
            }
            if round % 2 == 0 {
                pool.close();
            }
            if round % 3 == 0 {
                drop(pool);
            } else {
                pool.join();
            }
            assert_eq!(called.load(Ordering::SeqCst), 10);
        }
    });
}

#[test]
fn no_tasks_are_done_at_once_and_said_to_be() {
    limited(|| {
        let pool = Pool::builder().workers(1).build().unwrap();
        let (sender, outcome) = mpsc::channel();
        let job = pool
            .map_async_with::<square>(Vec::<u64>::new(), move |outcome| {
                sender.send(outcome.unwrap()).unwrap()
            })
            .unwrap();
        assert_eq!(outcome.recv().unwrap(), Vec::<u64>::new());
        assert!(job.is_done() && job.get().unwrap().is_empty());
        assert!(pool.map::<square>(Vec::<u64>::new()).unwrap().is_empty());
        assert!(pool.imap::<square>(Vec::<u64>::new()).next().is_none());
    });
}

#[test]
fn workers_go_on_while_who_iterates_does_something_else() {
    limited(|| {
        let pool = Pool::builder().workers(2).chunk(1).window(64).build().unwrap();
        for round in 0..3 {
            let before = pool.progress().returned;
            let mut squares = pool.imap::<square>(0..1000u64);
            assert_eq!(squares.next().unwrap().unwrap(), 0);
            // More than workers have ahead; looking at the progress hears nobody.
            while pool.progress().returned < before + 64 {
                std::thread::yield_now();
            }
            assert_eq!(squares.next().unwrap().unwrap(), 1, "round {round}");
        }
    });
}
