//! Rust processes among themselves: the face of `Lock`, as far as the C library goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::inspect::{Fact, Inspector};
use procshare::{Cause, Error, Handle, Lock, LockError, PosixLock, PosixLockGuard, Trust};
use procshare_harness::{Child, Page};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, finish, guarded, kill};

const SHORT: Duration = Duration::from_millis(20);

/// A living process that holds the lock.
fn holder(lock: &PosixLock) -> Child {
    let page = Page::new(4096);
    let taken = &page.u64s()[0];
    let child = Child::fork(|| {
        std::mem::forget(lock.lock().or_else(LockError::into_guard).unwrap());
        taken.store(1, SeqCst);
        std::thread::sleep(LIMIT);
    });
    await_that(|| taken.load(SeqCst) == 1);
    child
}

type Outcome<'a> = Result<PosixLockGuard<'a>, LockError<PosixLockGuard<'a>>>;

/// One way to ask for the lock.
type Ask = for<'a> fn(&'a PosixLock) -> Outcome<'a>;

fn ask_for_long(lock: &PosixLock) -> Outcome<'_> {
    lock.lock_timeout(LIMIT)
}

fn cause(outcome: Outcome<'_>) -> Cause {
    match outcome {
        Err(LockError::OwnerDied(outcome)) => outcome.cause(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_holder_at_a_time_and_timeouts_are_kept() {
    guarded(|| {
        let lock = PosixLock::anonymous().unwrap();
        let same = lock.clone();
        let guard = lock.lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(same.try_lock(), Err(LockError::WouldBlock)));
                assert!(matches!(same.lock_timeout(Duration::ZERO), Err(LockError::TimedOut)));
                // Several, so that the nanoseconds of some deadline exceed a second's.
                for part in 1..=5 {
                    let timeout = Duration::from_millis(230) * part / 2;
                    let started = Instant::now();
                    assert!(matches!(same.lock_timeout(timeout), Err(LockError::TimedOut)));
                    assert!(started.elapsed() >= timeout);
                }
            });
        });
        drop(guard);
        drop(same.try_lock().unwrap());
        drop(same.lock_timeout(Duration::MAX).unwrap());
        drop(same.lock_timeout(SHORT).unwrap());
    });
}

#[test]
fn threads_and_processes_exclude_each_other() {
    guarded(|| {
        let (lock, page) = (PosixLock::anonymous().unwrap(), Page::new(4096));
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
    let lock = PosixLock::anonymous().unwrap();
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
        let lock = PosixLock::anonymous().unwrap();
        let child = holder(&lock);
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        let _ = child.kill();
        let ways: [Ask; 3] = [PosixLock::try_lock, PosixLock::lock, ask_for_long];
        for ask in ways {
            assert_eq!(cause(ask(&lock)), Cause::Died);
        }
        // Who repairs and dies meanwhile leaves it as it was.
        let _ = holder(&lock).kill();
        assert_eq!(cause(lock.lock()), Cause::Died);
        lock.lock().unwrap_err().into_guard().unwrap().make_consistent();
        drop(lock.lock().unwrap());
    });
}

#[test]
fn sleeping_waiters_inherit_from_a_killed_holder() {
    guarded(|| {
        let lock = PosixLock::anonymous().unwrap();
        let child = holder(&lock);
        let ways: [Ask; 2] = [PosixLock::lock, ask_for_long];
        let waiters = ways.map(|ask| {
            let waiter = Child::fork(|| match ask(&lock) {
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
    let lock = PosixLock::anonymous().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.lock().unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(cause(lock.lock()), Cause::Panicked);
    assert_eq!(cause(lock.try_lock()), Cause::Panicked);
    lock.lock().unwrap_err().into_guard().unwrap().make_consistent();
    drop(lock.lock().unwrap());
}

#[test]
fn a_lock_taken_while_unwinding_is_not_marked() {
    struct LocksOnDrop<'a>(&'a PosixLock);
    impl Drop for LocksOnDrop<'_> {
        fn drop(&mut self) {
            drop(self.0.lock().unwrap());
        }
    }
    let lock = PosixLock::anonymous().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _late = LocksOnDrop(&lock);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    drop(lock.lock().unwrap());
}

#[test]
fn a_forked_child_owns_nothing_of_its_parents() {
    guarded(|| {
        let lock = PosixLock::anonymous().unwrap();
        let _ = holder(&lock).kill();
        // Inconsistent in the C library's eyes: there a copy of the guard could do the most harm.
        let guard = lock.lock().unwrap_err().into_guard().unwrap();
        let mut guard = Some(guard);
        let child = Child::fork(|| {
            let copy = guard.take().unwrap();
            copy.make_consistent();
            drop(copy);
            assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        });
        child.wait(LIMIT).unwrap();
        drop(guard.take());
        assert_eq!(cause(lock.lock()), Cause::Died, "the child's copy declared it consistent");
    });
}

#[test]
fn a_forgotten_guard_keeps_the_mutex_mapped_and_its_threads_end_frees_it() {
    guarded(|| {
        let home = TestSpace::new();
        let lock = PosixLock::builder().space(&home.space).create("it").unwrap();
        let (forgetting, other) = (lock.clone(), PosixLock::anonymous().unwrap());
        std::thread::spawn(move || {
            std::mem::forget(forgetting.lock().unwrap());
            drop(forgetting);
            // The C library now writes into the forgotten mutex, to put the next one into its list beside it.
            drop(other.lock().unwrap());
        })
        .join()
        .unwrap();
        assert_eq!(cause(lock.lock()), Cause::Died);

        // The same in a process whose only other mapping goes.
        let child = Child::fork(|| {
            let (own, other) = (
                PosixLock::builder().space(&home.space).open("it").unwrap(),
                PosixLock::builder().space(&home.space).create("other").unwrap(),
            );
            std::mem::forget(own.lock().or_else(LockError::into_guard).unwrap());
            drop(own);
            for _ in 0..3 {
                drop(other.lock().unwrap());
            }
        });
        child.wait(LIMIT).unwrap();
        assert_eq!(cause(lock.lock()), Cause::Died);
    });
}

#[test]
fn names_and_handles_lead_to_one_lock() {
    let home = TestSpace::new();
    let builder = || PosixLock::builder().space(&home.space);
    let lock = builder().create("it").unwrap();
    let opened = builder().open_or_create("it").unwrap();
    assert!(matches!(builder().create("it"), Err(Error::AlreadyExists { .. })));
    assert!(matches!(Lock::builder().space(&home.space).open("it"), Err(Error::WrongKind { .. })));
    let handle: Handle<PosixLock> = serde_json::from_str(&serde_json::to_string(&lock).unwrap()).unwrap();
    let attached = handle.attach().unwrap();
    let reader = builder().read_only(true).open("it").unwrap();
    let guard = attached.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(opened.try_lock(), Err(LockError::WouldBlock))));
    });
    assert!(matches!(reader.try_lock(), Err(LockError::Failed(Error::ReadOnly { .. }))));
    assert!(!format!("{reader:?}").contains("thread: None"), "{reader:?}");
    drop(guard);
    drop(opened.lock().unwrap());
    assert!(format!("{lock:?}").contains("thread: None"), "{lock:?}");
}

#[test]
fn bytes_that_are_no_such_mutex_are_refused() {
    let home = TestSpace::new();
    let lock = PosixLock::builder().space(&home.space).create("it").unwrap();
    let file = home.directory.join("it");
    if std::fs::metadata(&file).unwrap().len() < 256 + 128 {
        // The portable backend keeps objects elsewhere.
        return;
    }
    drop(lock);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[PosixLock::MUTEX_OFFSET..][..64].fill(0);
    std::fs::write(&file, bytes).unwrap();
    let refused = PosixLock::builder().space(&home.space).open("it");
    assert!(matches!(refused, Err(Error::NotASegment { what: "mutex", .. })), "{refused:?}");
}

#[test]
fn show_tells_the_thread_its_death_and_the_mark() {
    guarded(|| {
        let home = TestSpace::new();
        let lock = PosixLock::builder().space(&home.space).create("it").unwrap();
        let inspector = Inspector::open(&home.directory, Trust::Owner).unwrap();
        let fact = |name| {
            let facts = inspector.detail("it").unwrap();
            facts.into_iter().find(|(found, _)| *found == name).unwrap().1
        };
        assert_eq!((fact("thread"), fact("inconsistent")), (Fact::Nothing, Fact::Nothing));
        let child = holder(&lock);
        assert_eq!(fact("thread"), Fact::Number(child.pid() as u64));
        assert_eq!(fact("waiters"), Fact::Flag(false));
        let waiter = Child::fork(|| drop(lock.lock()));
        await_that(|| fact("waiters") == Fact::Flag(true));
        kill([waiter, child]);
        assert_eq!(fact("inconsistent"), Fact::Text("died".into()));
        lock.lock().unwrap_err().into_guard().unwrap().make_consistent();
        assert_eq!((fact("thread"), fact("inconsistent")), (Fact::Nothing, Fact::Nothing));
    });
}
