//! `Lock`: one holder, told of deaths and panics, handed over on request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{Cause, Error, Handle, Lock, LockError, ReleaseError};
use procshare_harness::{Child, Page};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, finish, guarded};

const SHORT: Duration = Duration::from_millis(20);

/// A living process that holds the lock.
fn holder(lock: &Lock) -> Child {
    let child = Child::fork(|| {
        std::mem::forget(lock.lock().unwrap());
        std::thread::sleep(LIMIT);
    });
    await_that(|| lock.holder().is_some());
    child
}

#[test]
fn one_holder_at_a_time() {
    let lock = Lock::anonymous().unwrap();
    let same = lock.clone();
    let guard = lock.lock().unwrap();
    assert!(lock.holder().is_some());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(same.try_lock(), Err(LockError::WouldBlock)));
            let started = Instant::now();
            assert!(matches!(same.lock_timeout(SHORT), Err(LockError::TimedOut)));
            assert!(started.elapsed() >= SHORT);
            assert!(matches!(same.lock_timeout(Duration::ZERO), Err(LockError::TimedOut)));
        });
    });
    drop(guard);
    assert_eq!(lock.holder(), None);
    drop(same.try_lock().unwrap());
}

#[test]
fn threads_and_processes_exclude_each_other() {
    guarded(|| {
        let (lock, page) = (Lock::anonymous().unwrap(), Page::new(4096));
        let word = &page.u64s()[0];
        const TURNS: u64 = 3_000;
        let count = || {
            for _ in 0..TURNS {
                let _guard = lock.lock().unwrap();
                // Not one step: a second one inside would be seen.
                word.store(word.load(SeqCst) + 1, SeqCst);
            }
        };
        let children = [(); 2].map(|()| Child::fork(count));
        std::thread::scope(|scope| {
            scope.spawn(count);
            scope.spawn(count);
        });
        finish(children);
        assert_eq!(word.load(SeqCst), 4 * TURNS);
    });
}

#[test]
fn the_calling_thread_cannot_wait_for_itself() {
    let lock = Lock::anonymous().unwrap();
    let guard = lock.lock().unwrap();
    assert!(matches!(lock.lock(), Err(LockError::Deadlock)));
    assert!(matches!(lock.lock_timeout(LIMIT), Err(LockError::Deadlock)));
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
    drop(guard);
    drop(lock.lock().unwrap());
}

#[test]
fn a_killed_holder_is_recovered_and_told_until_somebody_repairs() {
    guarded(|| {
        let lock = Lock::anonymous().unwrap();
        let child = holder(&lock);
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(lock.lock_timeout(SHORT), Err(LockError::TimedOut)));
        let _ = child.kill();
        for _ in 0..3 {
            match lock.try_lock() {
                Err(LockError::OwnerDied(outcome)) => assert_eq!(outcome.cause(), Cause::Died),
                other => panic!("{other:?}"),
            }
        }
        lock.lock().unwrap_err().into_guard().unwrap().make_consistent();
        drop(lock.lock().unwrap());
    });
}

#[test]
fn a_sleeping_waiter_inherits_from_a_killed_holder() {
    guarded(|| {
        let lock = Lock::anonymous().unwrap();
        let child = holder(&lock);
        let waiters = [(); 3].map(|()| {
            let waiter = Child::fork(|| match lock.lock() {
                Ok(_) => {}
                Err(LockError::OwnerDied(outcome)) => outcome.into_guard().make_consistent(),
                Err(other) => panic!("{other}"),
            });
            await_asleep(&waiter);
            waiter
        });
        let _ = child.kill();
        finish(waiters);
        drop(lock.lock().unwrap());
    });
}

#[test]
fn a_panic_under_the_guard_is_told_like_a_death() {
    let lock = Lock::anonymous().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.lock().unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    for _ in 0..2 {
        match lock.lock() {
            Err(LockError::OwnerDied(outcome)) => assert_eq!(outcome.cause(), Cause::Panicked),
            other => panic!("{other:?}"),
        }
    }
    // Passed on with `?`, the outcome says what to do.
    let passed_on: Error = lock.lock().unwrap_err().into();
    assert!(passed_on.to_string().contains("panicked"), "{passed_on}");
    lock.lock().unwrap_err().into_guard().unwrap().make_consistent();
    drop(lock.lock().unwrap());
}

#[test]
fn a_lock_taken_while_unwinding_is_not_marked() {
    struct LocksOnDrop<'a>(&'a Lock);
    impl Drop for LocksOnDrop<'_> {
        fn drop(&mut self) {
            drop(self.0.lock().unwrap());
        }
    }
    let lock = Lock::anonymous().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _late = LocksOnDrop(&lock);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    drop(lock.lock().unwrap());
}

#[test]
fn a_hand_over_is_ended_by_anybody_once_and_by_no_death() {
    guarded(|| {
        let lock = Lock::anonymous().unwrap();
        assert!(matches!(lock.release(), Err(ReleaseError::NotHeld)));
        let guard = lock.lock().unwrap();
        assert!(matches!(lock.release(), Err(ReleaseError::HeldByGuard)));
        drop(guard);
        Child::fork(|| lock.lock().unwrap().forget()).wait(LIMIT).unwrap();
        // Whoever handed it over is dead by now, and nobody takes it from nobody.
        assert_eq!(lock.holder(), None);
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(lock.lock_timeout(SHORT), Err(LockError::TimedOut)));
        let waiter = Child::fork(|| drop(lock.lock().unwrap()));
        await_asleep(&waiter);
        Child::fork(|| lock.release().unwrap()).wait(LIMIT).unwrap();
        finish([waiter]);
        assert!(matches!(lock.release(), Err(ReleaseError::NotHeld)));
        // A thread that handed its holding over may ask again: it holds nothing.
        lock.lock().unwrap().forget();
        assert!(matches!(lock.lock_timeout(SHORT), Err(LockError::TimedOut)));
        lock.release().unwrap();
        drop(lock.lock().unwrap());
    });
}

#[test]
fn a_hand_over_carries_the_news_of_a_death_along() {
    guarded(|| {
        let lock = Lock::anonymous().unwrap();
        let _ = holder(&lock).kill();
        lock.lock().unwrap_err().into_guard().unwrap().forget();
        lock.release().unwrap();
        let guard = lock.lock().unwrap_err().into_guard().unwrap();
        guard.make_consistent();
        guard.forget();
        lock.release().unwrap();
        drop(lock.lock().unwrap());
    });
}

#[test]
fn names_and_handles_lead_to_one_lock() {
    let home = TestSpace::new();
    let lock = Lock::builder().space(&home.space).create("it").unwrap();
    let opened = Lock::builder().space(&home.space).open("it").unwrap();
    let handle: Handle<Lock> = serde_json::from_str(&serde_json::to_string(&lock).unwrap()).unwrap();
    let attached = handle.attach().unwrap();
    let reader = Lock::builder().space(&home.space).read_only(true).open("it").unwrap();
    let guard = attached.lock().unwrap();
    assert!(matches!(opened.try_lock(), Err(LockError::WouldBlock)));
    assert_eq!(reader.holder(), Some(home.space.join().unwrap()));
    assert!(matches!(reader.try_lock(), Err(LockError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(reader.release(), Err(ReleaseError::Failed(Error::ReadOnly { .. }))));
    drop(guard);
    drop(opened.lock().unwrap());
    assert!(format!("{lock:?}").contains("holder: None"), "{lock:?}");
}
