//! `LockArray`: thousands of locks in one segment.

use std::time::Duration;

use procshare::{Cause, Error, Handle, Lock, LockArray, LockError, ReleaseError};

use crate::support::{Signal, TestSpace, fork, sleep_for_ever, watchdog};

const MANY: usize = 10_000;

#[test]
fn ten_thousand_locks_take_one_file_of_sixteen_bytes_each() {
    let home = TestSpace::new();
    let locks = LockArray::create(&home.path("many"), MANY).unwrap();
    assert_eq!(locks.len(), MANY);
    assert_eq!(home.size("many"), 256 + 64 + 16 * MANY as u64);

    let same = LockArray::open(&home.path("many")).unwrap();
    assert_eq!(same.len(), MANY);
    let me = home.space.join().unwrap();
    let mut guards: Vec<_> = (0..MANY).map(|index| Some(locks.lock(index).unwrap())).collect();
    for index in 0..MANY {
        assert_eq!(same.holder(index).unwrap(), Some(me));
        assert!(matches!(same.try_lock(index), Err(LockError::WouldBlock)), "{index}");
    }
    for index in (0..MANY).step_by(2) {
        guards[index] = None;
    }
    for index in 0..MANY {
        assert_eq!(same.try_lock(index).is_ok(), index % 2 == 0, "{index}");
    }
}

#[test]
fn a_killed_holder_leaves_its_own_locks_and_no_other() {
    let _watchdog = watchdog();
    let home = TestSpace::new();
    let locks = LockArray::create(&home.path("many"), MANY).unwrap();
    for round in 0..20 {
        let mine: Vec<usize> = (0..50).map(|step| (round * 7919 + step * 211) % MANY).collect();
        let ready = Signal::new();
        let child = fork(|| {
            for &index in &mine {
                std::mem::forget(locks.lock(index).unwrap());
            }
            ready.send();
            sleep_for_ever();
        });
        ready.wait();
        for &index in &mine {
            assert!(matches!(locks.try_lock(index), Err(LockError::WouldBlock)));
        }
        child.kill();
        for &index in &mine {
            match locks.lock(index) {
                Err(LockError::OwnerDied(outcome)) => {
                    assert_eq!(outcome.cause(), Cause::Died);
                    outcome.into_guard().make_consistent();
                }
                other => panic!("lock {index}: {other:?}"),
            }
        }
        // What was recovered is in order again, and so is everything else.
        for index in 0..MANY {
            drop(locks.try_lock(index).unwrap());
        }
    }
}

#[test]
fn a_waiter_gets_the_lock_of_a_holder_that_is_killed_meanwhile() {
    let _watchdog = watchdog();
    let home = TestSpace::new();
    let locks = LockArray::create(&home.path("locks"), 3).unwrap();
    let (held, waiting) = (Signal::new(), Signal::new());
    let holder = fork(|| {
        std::mem::forget(locks.lock(1).unwrap());
        held.send();
        sleep_for_ever();
    });
    held.wait();
    let waiter = fork(|| {
        assert!(matches!(locks.lock_timeout(1, Duration::from_millis(1)), Err(LockError::TimedOut)));
        waiting.send();
        assert!(matches!(locks.lock(1), Err(LockError::OwnerDied(_))));
    });
    waiting.wait();
    holder.kill();
    waiter.join();
}

#[test]
fn a_childs_copy_of_a_guard_releases_nothing() {
    let home = TestSpace::new();
    let locks = LockArray::create(&home.path("locks"), 2).unwrap();
    let mut guard = Some(locks.lock(1).unwrap());
    fork(|| guard = None).join();
    let me = home.space.join().unwrap();
    assert_eq!(locks.holder(1).unwrap(), Some(me), "the child gave its parent's lock away");
    drop(guard);
}

#[test]
fn a_holding_can_be_handed_over_to_another_process() {
    let _watchdog = watchdog();
    let home = TestSpace::new();
    let locks = LockArray::builder().space(&home.space).anonymous(8).unwrap();
    let text = serde_json::to_string(&locks).unwrap();
    fork(|| {
        let handle: Handle<LockArray> = serde_json::from_str(&text).unwrap();
        let same = handle.attach().unwrap();
        assert_eq!(same.len(), 8);
        same.lock(5).unwrap().forget();
    })
    .join();
    assert!(matches!(locks.try_lock(5), Err(LockError::WouldBlock)), "no death ends it");
    assert!(matches!(locks.release(4), Err(ReleaseError::NotHeld)));
    locks.release(5).unwrap();
    let guard = locks.at(5).unwrap().lock().unwrap();
    assert!(matches!(locks.release(5), Err(ReleaseError::HeldByGuard)));
    assert!(matches!(locks.lock(5), Err(LockError::Deadlock)));
    drop(guard);
}

#[test]
fn indices_and_lengths_are_checked() {
    let home = TestSpace::new();
    let locks = LockArray::create(&home.path("locks"), 3).unwrap();
    assert!(matches!(locks.at(3), Err(Error::OutOfRange { start: 3, end: 4, len: 3, .. })));
    assert!(matches!(locks.lock(usize::MAX), Err(LockError::Failed(Error::OutOfRange { .. }))));
    assert!(matches!(locks.holder(4), Err(Error::OutOfRange { .. })));
    assert!(matches!(locks.release(4), Err(ReleaseError::Failed(Error::OutOfRange { .. }))));
    for len in [0, usize::MAX, usize::MAX / 16, isize::MAX as usize / 16] {
        let error = LockArray::create(&home.path("x"), len).unwrap_err();
        assert!(
            matches!(error, Error::BadSize { what: "locks", found, .. } if found == len as u64),
            "{error}"
        );
    }
    let error = LockArray::create(&home.path("x"), 1 << 44).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert!(
        matches!(LockArray::open(&home.path("x")), Err(Error::NotFound { .. })),
        "nothing is left behind"
    );
}

#[test]
fn an_existing_array_keeps_its_length() {
    let home = TestSpace::new();
    let first = LockArray::open_or_create(&home.path("locks"), 3).unwrap();
    let second = LockArray::open_or_create(&home.path("locks"), 5).unwrap();
    assert_eq!((first.len(), second.len()), (3, 3));
    assert!(matches!(LockArray::create(&home.path("locks"), 3), Err(Error::AlreadyExists { .. })));
    LockArray::unlink(&home.path("locks")).unwrap();
    assert!(matches!(LockArray::open(&home.path("locks")), Err(Error::NotFound { .. })));
    drop(first.lock(2).unwrap());
}

#[test]
fn other_kinds_and_hostile_counts_are_refused() {
    let home = TestSpace::new();
    let _lock = Lock::create(&home.path("lock")).unwrap();
    assert!(matches!(LockArray::open(&home.path("lock")), Err(Error::WrongKind { .. })));
    let locks = LockArray::create(&home.path("locks"), 3).unwrap();
    assert!(matches!(Lock::open(&home.path("locks")), Err(Error::WrongKind { .. })));
    for count in [0, 4, 1 << 60, u64::MAX] {
        home.scribble("locks", 0, &u64::to_ne_bytes(count));
        let error = LockArray::open(&home.path("locks")).unwrap_err();
        assert!(matches!(error, Error::NotASegment { what: "number of locks", .. }), "{error}");
        // Whoever attached before uses the number that was checked then.
        assert_eq!(locks.len(), 3);
        assert!(locks.at(3).is_err());
    }
}

#[test]
fn any_bytes_in_the_locks_are_some_state() {
    let home = TestSpace::new();
    let locks = LockArray::create(&home.path("locks"), 256).unwrap();
    for seed in 0..256u64 {
        let word = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        home.scribble("locks", 64 + 16 * seed, &word.to_ne_bytes());
        home.scribble("locks", 72 + 16 * seed, &word.rotate_left(17).to_ne_bytes());
    }
    for index in 0..locks.len() {
        // Nobody with such an id ever lived, so whatever is not handed over is taken over.
        match locks.try_lock(index) {
            Ok(_) | Err(LockError::OwnerDied(_) | LockError::WouldBlock) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_read_only_handle_looks_and_takes_nothing() {
    let home = TestSpace::new();
    let locks = LockArray::create(&home.path("locks"), 3).unwrap();
    let reader = LockArray::builder().read_only(true).open(&home.path("locks")).unwrap();
    assert_eq!((reader.len(), reader.holder(1).unwrap()), (3, None));
    assert!(matches!(reader.lock(1), Err(LockError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(reader.try_lock(1), Err(LockError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(reader.release(1), Err(ReleaseError::Failed(Error::ReadOnly { .. }))));
    let guard = locks.lock(1).unwrap();
    assert_eq!(reader.holder(1).unwrap(), Some(home.space.join().unwrap()));
    drop(guard);
}
