//! `RLock`: its thread may take it again, nobody else may, and a dead owner's depth is forgotten.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{Cause, Error, Handle, LockError, RLock, RLockGuard, ReleaseError};
use procshare_harness::{Child, Page, Rng, Storm};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, guarded};

const SHORT: Duration = Duration::from_millis(20);

fn is_taken(lock: &RLock) -> bool {
    std::thread::scope(|scope| scope.spawn(|| matches!(lock.try_lock(), Err(LockError::WouldBlock))).join())
        .unwrap()
}

/// The guard of a lock whose owner ended as `cause` says.
fn told<'a>(outcome: Result<RLockGuard<'a>, LockError<RLockGuard<'a>>>, cause: Cause) -> RLockGuard<'a> {
    match outcome {
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == cause => outcome.into_guard(),
        other => panic!("not told of {cause:?}: {other:?}"),
    }
}

/// A child that takes the lock `levels` deep and stays.
fn holder(lock: &RLock, levels: u32) -> Child {
    let page = Page::new(4096);
    let child = Child::fork(|| {
        for _ in 0..levels {
            lock.lock().unwrap().forget();
        }
        page.u64s()[0].store(1, SeqCst);
        crate::semaphore::stay();
    });
    await_that(|| page.u64s()[0].load(SeqCst) == 1);
    child
}

#[test]
fn one_thread_enters_again_and_others_wait_for_the_last_guard() {
    let lock = RLock::anonymous().unwrap();
    let outer = lock.lock().unwrap();
    let middle = lock.try_lock().unwrap();
    let inner = lock.lock_timeout(Duration::ZERO).unwrap();
    assert_eq!(lock.depth(), 3);
    assert!(is_taken(&lock));
    // Guards may go in any order.
    drop(outer);
    drop(inner);
    assert_eq!(lock.depth(), 1);
    assert!(is_taken(&lock));
    drop(middle);
    assert_eq!((lock.depth(), lock.holder()), (0, None));
    assert!(!is_taken(&lock));
}

#[test]
fn all_handles_of_a_process_know_the_owner() {
    let test = TestSpace::new();
    let builder = || RLock::builder().space(&test.space);
    let lock = builder().create("it").unwrap();
    let opened = builder().open("it").unwrap();
    let attached: RLock = serde_json::from_str::<Handle<RLock>>(&serde_json::to_string(&lock).unwrap())
        .unwrap()
        .attach()
        .unwrap();
    let guards = [lock.lock().unwrap(), opened.lock().unwrap(), attached.lock().unwrap()];
    assert_eq!((lock.depth(), opened.depth(), attached.depth()), (3, 3, 3));
    assert_eq!(opened.holder(), Some(test.space.join().unwrap()));
    drop(guards);
    assert_eq!(attached.holder(), None);
    assert!(matches!(procshare::Lock::builder().space(&test.space).open("it"), Err(Error::WrongKind { .. })));
    assert!(format!("{lock:?}").contains("holder: None"), "{lock:?}");
}

#[test]
fn timeouts_pass() {
    guarded(|| {
        let lock = RLock::anonymous().unwrap();
        let owner = holder(&lock, 1);
        let started = Instant::now();
        assert!(matches!(lock.lock_timeout(SHORT), Err(LockError::TimedOut)));
        assert!(started.elapsed() >= SHORT);
        assert!(matches!(lock.lock_timeout(Duration::ZERO), Err(LockError::TimedOut)));
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        let _ = owner.kill();
        drop(told(lock.lock_timeout(LIMIT), Cause::Died));
    });
}

#[test]
fn forgotten_levels_are_released_by_their_thread_only() {
    let lock = RLock::anonymous().unwrap();
    assert!(matches!(lock.release(), Err(ReleaseError::NotHeld)));
    lock.lock().unwrap().forget();
    lock.lock().unwrap().forget();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(lock.release(), Err(ReleaseError::NotHeld))));
    });
    lock.release().unwrap();
    assert_eq!(lock.depth(), 1);
    lock.release().unwrap();
    assert!(!is_taken(&lock));
    assert!(matches!(lock.release(), Err(ReleaseError::NotHeld)));
}

#[test]
fn a_forked_child_is_not_the_owner() {
    guarded(|| {
        let lock = RLock::anonymous().unwrap();
        let mut guards = Some((lock.lock().unwrap(), lock.lock().unwrap()));
        Child::fork(|| {
            assert_eq!(lock.depth(), 0);
            assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
            assert!(matches!(lock.release(), Err(ReleaseError::NotHeld)));
            drop(guards.take());
        })
        .wait(LIMIT)
        .unwrap();
        assert_eq!(lock.depth(), 2);
        assert!(is_taken(&lock));
        drop(guards);
        assert!(!is_taken(&lock));
    });
}

#[test]
fn a_dead_owners_depth_is_forgotten() {
    guarded(|| {
        let lock = RLock::anonymous().unwrap();
        let _ = holder(&lock, 3).kill();
        drop(told(lock.try_lock(), Cause::Died));
        let guard = told(lock.lock(), Cause::Died);
        assert_eq!(lock.depth(), 1);
        drop(lock.lock().expect("the thread that was told is not told again"));
        guard.make_consistent();
        drop(guard);
        assert!(!is_taken(&lock));
        drop(lock.lock().unwrap());
    });
}

#[test]
fn sleepers_get_a_dead_owners_lock_one_after_the_other() {
    guarded(|| {
        let lock = RLock::anonymous().unwrap();
        let owner = holder(&lock, 2);
        let waiters = [(); 3].map(|()| {
            let waiter = Child::fork(|| drop(told(lock.lock(), Cause::Died)));
            await_asleep(&waiter);
            waiter
        });
        let _ = owner.kill();
        for waiter in waiters {
            waiter.wait(LIMIT).unwrap();
        }
        told(lock.lock(), Cause::Died).make_consistent();
    });
}

#[test]
fn a_panic_through_any_level_marks_the_lock() {
    let lock = RLock::anonymous().unwrap();
    let panic_inside = || {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _inner = lock.lock().unwrap();
            resume_unwind(Box::new("over"));
        }));
        assert!(caught.is_err());
    };
    let outer = lock.lock().unwrap();
    panic_inside();
    drop(lock.lock().unwrap());
    drop(outer);
    let guard = told(lock.lock(), Cause::Panicked);
    guard.make_consistent();
    drop(guard);
    drop(lock.lock().unwrap());

    let outer = lock.lock().unwrap();
    panic_inside();
    outer.make_consistent();
    drop(outer);
    drop(lock.lock().expect("repaired before it was given back"));

    panic_inside();
    drop(told(lock.lock(), Cause::Panicked));
}

#[test]
fn a_guard_taken_while_unwinding_marks_nothing() {
    struct LocksOnDrop<'a>(&'a RLock);
    impl Drop for LocksOnDrop<'_> {
        fn drop(&mut self) {
            drop(self.0.lock().unwrap());
        }
    }
    let lock = RLock::anonymous().unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _late = LocksOnDrop(&lock);
        resume_unwind(Box::new("over"));
    }));
    assert!(caught.is_err());
    drop(lock.lock().unwrap());
}

#[test]
fn a_read_only_handle_looks_and_does_not_touch() {
    let test = TestSpace::new();
    let lock = RLock::builder().space(&test.space).create("it").unwrap();
    let reader = RLock::builder().space(&test.space).read_only(true).open("it").unwrap();
    let _guard = lock.lock().unwrap();
    assert_eq!(reader.holder(), lock.holder());
    assert_eq!(reader.depth(), 0);
    assert!(matches!(reader.lock(), Err(LockError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(reader.release(), Err(ReleaseError::Failed(Error::ReadOnly { .. }))));
}

/// Random deaths among processes that enter one to three levels: never two inside, and told whenever the last one died inside.
#[test]
fn storm() {
    guarded(|| {
        let lock = RLock::anonymous().unwrap();
        let page = Page::new(4096);
        let inside = &page.u64s()[0];
        Storm::new("rlock", Rng::seed_from_env())
            .role("user", 4, |seat| {
                while seat.again() {
                    let levels = 1 + seat.rng().below(3);
                    let outer = match lock.lock() {
                        Ok(guard) => guard,
                        Err(LockError::OwnerDied(outcome)) => {
                            inside.store(0, SeqCst);
                            let guard = outcome.into_guard();
                            guard.make_consistent();
                            guard
                        }
                        Err(other) => return Err(other.to_string()),
                    };
                    if inside.swap(1, SeqCst) != 0 {
                        return Err("two inside, or not told of a death".into());
                    }
                    let inner: Vec<_> = (1..levels).map(|_| lock.lock().unwrap()).collect();
                    if u64::from(lock.depth()) != levels {
                        return Err(format!("depth {} after {levels} levels", lock.depth()));
                    }
                    drop(inner);
                    inside.store(0, SeqCst);
                    drop(outer);
                }
                Ok(())
            })
            .kills(150)
            .stop_one_in(10)
            .check(|| match lock.try_lock() {
                Ok(_) | Err(LockError::OwnerDied(_)) => Ok(()),
                Err(other) => Err(other.to_string()),
            })
            .run()
            .assert_clean();
    });
}
