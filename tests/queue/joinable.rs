//! `JoinableQueue<T>`: all that was put is done before `join` returns, whoever dies.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Error, GetError, JoinableInit, JoinableQueue, PutError, Unfinished};
use procshare_harness::{Child, Exit, Page, child, watchdog};

use crate::{PATIENCE, kill_myself, killed};

fn queue(capacity: usize) -> JoinableQueue<u64> {
    JoinableQueue::anonymous(capacity).unwrap()
}

#[test]
fn joining_waits_until_all_tasks_are_done() {
    watchdog(PATIENCE, || {
        let jobs = queue(4);
        jobs.join().unwrap();
        jobs.put_many(&[1, 2]).unwrap();
        assert!(matches!(jobs.try_join(), Err(Error::WouldBlock)));
        let (one, two) = (jobs.get().unwrap(), jobs.get().unwrap());
        assert_eq!((*one, *two, jobs.unfinished(), jobs.len()), (1, 2, 2, 0));
        assert!(matches!(jobs.join_timeout(Duration::from_millis(3)), Err(Error::TimedOut)));
        std::thread::scope(|scope| {
            let joiners = [scope.spawn(|| jobs.join()), scope.spawn(|| jobs.join())];
            two.done();
            assert_eq!(jobs.unfinished(), 1);
            one.done();
            joiners.into_iter().for_each(|joiner| joiner.join().unwrap().unwrap());
        });
        assert_eq!((jobs.unfinished(), jobs.counts()), (0, (2, 2)));
    });
}

#[test]
fn a_dropped_task_is_handed_out_again_or_counts_as_done() {
    let jobs = queue(4);
    jobs.put_many(&[1, 2]).unwrap();
    drop(jobs.get().unwrap());
    assert_eq!(*jobs.try_get().unwrap(), 1, "before all others");
    jobs.get().unwrap().done();
    jobs.get().unwrap().give_back();
    assert!(jobs.try_join().is_err());
    jobs.get().unwrap().done();
    jobs.try_join().unwrap();

    let init = JoinableInit::new(4).when_dropped(Unfinished::CountedDone);
    let jobs = JoinableQueue::<u64>::anonymous(init).unwrap();
    jobs.put_many(&[1, 2]).unwrap();
    jobs.get().unwrap().give_back();
    drop(jobs.get().unwrap());
    drop(jobs.get().unwrap());
    jobs.try_join().unwrap();
}

#[test]
fn the_capacity_is_that_of_unfinished_tasks() {
    let jobs = queue(2);
    jobs.put_many(&[1, 2]).unwrap();
    let first = jobs.get().unwrap();
    assert!(matches!(jobs.try_put(3), Err(PutError::Full(3))));
    first.done();
    jobs.try_put(3).unwrap();
}

#[test]
fn tasks_of_the_dead_are_handed_out_again() {
    watchdog(PATIENCE, || {
        let jobs = queue(4);
        for round in 0..30 {
            jobs.put_many(&[round, round + 1, round + 2]).unwrap();
            killed(|| {
                std::mem::forget(jobs.get().unwrap());
                jobs.get().unwrap().detach();
                kill_myself()
            });
            assert_eq!(jobs.unfinished(), 3);
            let mut found: Vec<u64> = (0..3).map(|_| jobs.get().unwrap().detach()).collect();
            found.sort_unstable();
            assert_eq!(found, [round, round + 1, round + 2]);
            assert!(jobs.try_join().is_err());
            (0..3).for_each(|_| jobs.task_done().unwrap());
            jobs.join().unwrap();
        }
    });
}

#[test]
fn by_option_tasks_of_the_dead_count_as_done() {
    watchdog(PATIENCE, || {
        let init = JoinableInit::new(4).when_dead(Unfinished::CountedDone);
        let jobs = JoinableQueue::<u64>::anonymous(init).unwrap();
        for _ in 0..30 {
            jobs.put_many(&[1, 2, 3]).unwrap();
            killed(|| {
                std::mem::forget((jobs.get().unwrap(), jobs.get().unwrap()));
                kill_myself()
            });
            let last = jobs.get().unwrap();
            assert_eq!(*last, 3);
            std::thread::scope(|scope| {
                let joiner = scope.spawn(|| jobs.join());
                last.done();
                joiner.join().unwrap().unwrap();
            });
            assert!(matches!(jobs.try_get(), Err(GetError::Empty)));
        }
    });
}

#[test]
fn a_sleeping_joiner_notices_that_the_worker_was_killed() {
    watchdog(PATIENCE, || {
        let init = JoinableInit::new(2).when_dead(Unfinished::CountedDone);
        let (jobs, ready) = (JoinableQueue::<u64>::anonymous(init).unwrap(), Page::new(4096));
        jobs.put(1).unwrap();
        let worker = Child::fork(|| {
            let _task = jobs.get().unwrap();
            ready.u64s()[0].store(1, SeqCst);
            std::thread::sleep(PATIENCE);
        });
        while ready.u64s()[0].load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        std::thread::scope(|scope| {
            let joiner = scope.spawn(|| jobs.join());
            assert!(matches!(worker.kill(), Exit::Signalled(libc::SIGKILL)));
            joiner.join().unwrap().unwrap();
        });
    });
}

#[test]
fn one_done_too_many_is_an_error() {
    let jobs = queue(4);
    assert!(matches!(jobs.task_done(), Err(Error::TooManyDone { .. })));
    jobs.put_many(&[1, 2]).unwrap();
    assert_eq!(jobs.get().unwrap().detach(), 1);
    let held = jobs.get().unwrap();
    child(PATIENCE, || {
        assert!(matches!(jobs.task_done(), Err(Error::TooManyDone { .. })), "it is the parent's");
        assert!(jobs.try_join().is_err());
    })
    .unwrap();
    jobs.clone().task_done().unwrap();
    assert!(matches!(jobs.task_done(), Err(Error::TooManyDone { .. })), "the other one has a guard");
    held.done();
    jobs.try_join().unwrap();
}

#[test]
fn closing_lets_workers_finish() {
    watchdog(PATIENCE, || {
        let jobs = queue(4);
        jobs.put_many(&[1, 2]).unwrap();
        jobs.close().unwrap();
        let first = jobs.get().unwrap();
        jobs.get().unwrap().done();
        assert!(matches!(jobs.try_get(), Err(GetError::Empty)), "the first may come back");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| jobs.get().map(drop));
            first.done();
            assert!(matches!(waiter.join().unwrap(), Err(GetError::Closed)));
        });
        jobs.join().unwrap();
    });
}

#[test]
fn every_task_is_done_at_least_once_however_many_workers_die() {
    const TASKS: u64 = 300;
    watchdog(PATIENCE, || {
        let (jobs, done) = (queue(8), Page::new(4096));
        let work = || {
            for task in jobs.iter() {
                done.u64s()[*task as usize].fetch_add(1, SeqCst);
                task.done();
            }
        };
        let producer = Child::fork(|| (0..TASKS).for_each(|task| jobs.put(task).unwrap()));
        for _ in 0..20 {
            let (one, two) = (Child::fork(work), Child::fork(work));
            let _ = (one.kill(), two.kill());
        }
        let worker = Child::fork(work);
        producer.wait(PATIENCE).unwrap();
        jobs.join().unwrap();
        assert!((0..TASKS as usize).all(|task| done.u64s()[task].load(SeqCst) > 0));
        jobs.close().unwrap();
        worker.wait(PATIENCE).unwrap();
    });
}

#[test]
fn it_is_among_the_things_to_wait_for() {
    let jobs = queue(2);
    assert!(matches!(procshare::try_wait_any(&[&jobs]), Err(Error::WouldBlock)));
    jobs.put(1).unwrap();
    assert_eq!(procshare::wait_any(&[&jobs]).unwrap().0, 0);
    let text = serde_json::to_string(&jobs).unwrap();
    let same =
        serde_json::from_str::<procshare::Handle<JoinableQueue<u64>>>(&text).unwrap().attach().unwrap();
    same.get().unwrap().done();
    jobs.try_join().unwrap();
}
