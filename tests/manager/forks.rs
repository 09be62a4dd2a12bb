//! A forked child has its parent's proxies and guards in its memory, and none of them is its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use procshare::LockError;
use procshare::manager::*;
use procshare_harness::child;

use crate::support::{connect, eventually, over_both, watched};

/// How long a child may take that does little.
const SOON: Duration = Duration::from_secs(20);

fn is_forked<T>(result: ManagerResult<T>) -> bool {
    matches!(result, Err(ManagerError::Forked { .. }))
}

#[test]
fn a_forked_child_uses_nothing_of_its_parents_and_ends_nothing() {
    over_both(|| {
        let server = crate::support::local();
        let (manager, other) = (server.client(), server.client());
        let lock = Lock::create(&manager, "lock").unwrap();
        let permits = Semaphore::create(&manager, "permits", 1).unwrap();
        let tasks = JoinableQueue::<u8>::create(&manager, "tasks", None).unwrap();
        let list = List::<u64>::create(&manager, "list").unwrap();
        tasks.put(7).unwrap();
        let (guard, permit, task) = (lock.lock().unwrap(), permits.acquire().unwrap(), tasks.get().unwrap());
        let under_way = list.calls().push(&1).unwrap().send().unwrap();
        let mut owned = Some((guard, permit, task, under_way, list));
        let exit = child(SOON, || {
            let (guard, permit, task, under_way, list) = owned.take().unwrap();
            assert!(is_forked(list.len()) && is_forked(manager.stats()) && is_forked(under_way.wait()));
            assert!(guard.is_lost());
            assert!(matches!(lock.try_lock(), Err(LockError::Failed(_))));
            assert!(is_forked(guard.unlock()) && is_forked(task.give_back()));
            drop((permit, list));
            // A connection of its own is one of another client.
            let own = connect(&server.address).unwrap();
            assert!(matches!(Lock::open(&own, "lock").unwrap().try_lock(), Err(LockError::WouldBlock)));
            assert_eq!(Semaphore::open(&own, "permits").unwrap().available().unwrap(), 0);
            List::<u64>::open(&own, "list").unwrap().push(&2).unwrap();
            drop((manager.clone(), own));
        });
        exit.unwrap();
        eventually("it is gone", || other.stats().unwrap().clients == 2);
        let (guard, permit, task, under_way, list) = owned.unwrap();
        under_way.wait().unwrap();
        assert_eq!(list.snapshot().unwrap(), [1, 2]);
        let same = Lock::open(&other, "lock").unwrap();
        assert!(matches!(same.try_lock(), Err(LockError::WouldBlock)));
        guard.unlock().unwrap();
        task.done().unwrap();
        permit.forget().unwrap();
        assert_eq!(list.len().unwrap(), 2);
    });
}

/// Threads that hold every lock of the connection now and then, and a child that meets them as they were.
#[test]
fn a_child_of_a_busy_process_does_not_hang() {
    over_both(|| {
        let server = crate::support::local();
        let manager = server.client();
        let list = List::<u64>::anonymous(&manager).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // References come and go, answers are given up, batches are awaited.
                        drop(List::<u64>::anonymous(&manager).unwrap());
                        drop(list.calls().len().unwrap().send().unwrap());
                        list.calls().len().unwrap().run().unwrap();
                    }
                });
            }
            for _ in 0..300 {
                let mut owned = Some((
                    list.calls().len().unwrap().send().unwrap(),
                    List::<u64>::anonymous(&manager).unwrap(),
                ));
                child(SOON, || {
                    let (under_way, other) = owned.take().unwrap();
                    assert!(is_forked(other.len()) && is_forked(manager.ping()));
                    drop((under_way, other, manager.clone()));
                })
                .unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        manager.ping().unwrap();
    });
}

#[test]
fn a_forked_child_does_not_end_its_parents_server() {
    watched(|| {
        let mut manager = Some(Manager::start().unwrap());
        let pid = manager.as_ref().unwrap().pid();
        child(SOON, || drop(manager.take())).unwrap();
        let manager = manager.unwrap();
        manager.ping().unwrap();
        assert_eq!(manager.pid(), pid);
        let Address::Unix(path) = manager.address() else { unreachable!() };
        assert!(path.exists());
    });
}
