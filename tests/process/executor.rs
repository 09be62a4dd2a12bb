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
        executor.shutdown(true);
        assert!(matches!(job.get(), Err(TaskError::Cancelled)));
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
