//! Tasks as futures.

use std::collections::BTreeSet;
use std::time::Duration;

use procshare::Event;
use procshare::process::{Executor, TaskError, WaitFor, as_completed, wait};

use crate::pool::{square, wait_for};
use crate::support::limited;

#[test]
fn jobs_come_as_they_are_done() {
    limited(|| {
        let (executor, go) = (Executor::new(2).unwrap(), Event::anonymous().unwrap());
        let blocked = executor.submit::<wait_for>((&go,)).unwrap();
        let quick = executor.submit::<wait_for>((&{
            let set = Event::anonymous().unwrap();
            set.set().unwrap();
            set
        },));
        let mut jobs = as_completed([blocked, quick.unwrap()]);
        jobs.next().unwrap().get().unwrap();
        go.set().unwrap();
        jobs.next().unwrap().get().unwrap();
        assert!(jobs.next().is_none());
        let squares: BTreeSet<u64> = as_completed((0..100).map(|n| executor.submit::<square>((n,)).unwrap()))
            .map(|job| job.get().unwrap())
            .collect();
        assert_eq!(squares, (0..100).map(|n| n * n).collect());
    });
}

#[test]
fn one_or_all_are_waited_for() {
    limited(|| {
        let (executor, go) = (Executor::new(2).unwrap(), Event::anonymous().unwrap());
        let jobs =
            [executor.submit::<wait_for>((&go,)).unwrap(), executor.submit::<wait_for>((&go,)).unwrap()];
        let soon = Some(Duration::from_millis(5));
        assert_eq!(wait(&jobs, WaitFor::First, soon), (vec![], vec![0, 1]));
        go.set().unwrap();
        assert!(!wait(&jobs, WaitFor::First, None).0.is_empty());
        assert_eq!(wait(&jobs, WaitFor::All, None), (vec![0, 1], vec![]));
        assert_eq!(wait::<u8>(&[], WaitFor::All, None), (vec![], vec![]));
    });
}

#[test]
fn dropping_finishes_and_shutting_down_may_cancel() {
    limited(|| {
        let executor = Executor::new(2).unwrap();
        let jobs: Vec<_> = (0..300).map(|n| executor.submit::<square>((n,)).unwrap()).collect();
        drop(executor);
        assert!(jobs.iter().all(|job| job.try_get().is_ok()));
        let (executor, never) = (Executor::new(1).unwrap(), Event::anonymous().unwrap());
        let job = executor.submit::<wait_for>((&never,)).unwrap();
        executor.terminate();
        assert!(matches!(job.get(), Err(TaskError::Cancelled)));
        executor.shutdown(false);
    });
}

#[test]
fn shutting_down_finishes_what_runs_and_takes_back_the_rest_if_that_is_wanted() {
    limited(|| {
        let (executor, go) = (Executor::new(1).unwrap(), Event::anonymous().unwrap());
        let jobs: Vec<_> = (0..10).map(|_| executor.submit::<wait_for>((&go,)).unwrap()).collect();
        while executor.progress().at_workers == 0 {
            std::thread::yield_now();
        }
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| executor.shutdown(true));
            assert!(matches!(jobs[9].get(), Err(TaskError::Cancelled)));
            assert!(matches!(executor.submit::<square>((1,)), Err(TaskError::Closed)));
            assert!(!ending.is_finished(), "one still runs");
            go.set().unwrap();
        });
        assert!(jobs[0].try_get().is_ok() && jobs.iter().all(|job| job.is_done()));
        let executor = Executor::new(2).unwrap();
        let jobs: Vec<_> = (0..100).map(|n| executor.submit::<square>((n,)).unwrap()).collect();
        executor.close();
        executor.close();
        assert!(jobs.iter().all(|job| job.get().is_ok()));
    });
}

#[procshare::task]
fn never_odd(n: u64) -> u64 {
    assert!(n.is_multiple_of(2), "odd");
    n
}

#[test]
fn the_first_error_ends_the_wait() {
    limited(|| {
        let (executor, go) = (Executor::new(2).unwrap(), Event::anonymous().unwrap());
        let even: Vec<_> = (0..10).map(|n| executor.submit::<never_odd>((2 * n,)).unwrap()).collect();
        assert_eq!(wait(&even, WaitFor::FirstError, None).0.len(), 10, "there is none");
        let blocked = executor.submit::<wait_for>((&go,)).unwrap();
        let mixed: Vec<_> = (0..10).map(|n| executor.submit::<never_odd>((n,)).unwrap()).collect();
        let (done, _) = wait(&mixed, WaitFor::FirstError, None);
        assert!(done.iter().any(|&index| mixed[index].try_get().is_err()));
        assert!(matches!(blocked.try_get(), Err(TaskError::Running)));
        let mut jobs = as_completed([blocked]);
        assert!(matches!(jobs.next_timeout(Duration::from_millis(5)), Some(Err(TaskError::TimedOut))));
        go.set().unwrap();
        assert!(jobs.next_timeout(Duration::from_secs(60)).unwrap().unwrap().get().is_ok());
        assert!(jobs.next_timeout(Duration::ZERO).is_none() && jobs.next().is_none());
    });
}

#[test]
fn jobs_are_futures() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    limited(|| {
        let executor = Executor::new(1).unwrap();
        let outcome = runtime.block_on(async {
            let jobs = [executor.submit::<square>((3,)).unwrap(), executor.submit::<square>((4,)).unwrap()];
            let mut sum = 0;
            for job in jobs {
                sum += job.await?;
            }
            Ok::<u64, TaskError>(sum)
        });
        assert_eq!(outcome.unwrap(), 25);
    });
}
