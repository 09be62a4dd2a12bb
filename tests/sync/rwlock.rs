//! `RwLock`: many readers or one writer, whoever dies.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{Cause, Error, Handle, LockError, RwLock};
use procshare_harness::{Child, Page, Rng, Storm};

use crate::semaphore::stay;
use crate::support::{LIMIT, TestSpace, await_asleep, await_that, guarded};

const SHORT: Duration = Duration::from_millis(20);

/// The guard inside an outcome that must tell `cause`.
fn told<G>(outcome: Result<G, LockError<G>>, cause: Cause) -> G {
    match outcome {
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == cause => outcome.into_guard(),
        Ok(_) => panic!("not told of {cause:?}"),
        Err(other) => panic!("{other}"),
    }
}

fn would_block<G>(outcome: Result<G, LockError<G>>) -> bool {
    matches!(outcome, Err(LockError::WouldBlock))
}

/// A child that does `work`, whose guards it keeps, and stays.
fn stays<G>(work: impl FnOnce() -> G) -> Child {
    let page = Page::new(4096);
    let child = Child::fork(|| {
        std::mem::forget(work());
        page.u64s()[0].store(1, SeqCst);
        stay();
    });
    await_that(|| page.u64s()[0].load(SeqCst) == 1);
    child
}

/// A child that does `work` and is asleep by now.
fn sleeper(work: impl FnOnce()) -> Child {
    let child = Child::fork(work);
    await_asleep(&child);
    child
}

#[test]
fn many_readers_or_one_writer() {
    let lock = RwLock::anonymous().unwrap();
    let (one, two) = (lock.read().unwrap(), lock.try_read().unwrap());
    assert_eq!((lock.readers(), lock.writer()), (2, None));
    assert!(would_block(lock.try_write()));
    assert!(matches!(lock.write_timeout(SHORT), Err(LockError::TimedOut)));
    drop((one, two));
    let writer = lock.write().unwrap();
    assert!(lock.writer().is_some());
    assert!(would_block(lock.try_read()) && would_block(lock.try_write()));
    drop(writer);
    assert_eq!((lock.readers(), lock.writer()), (0, None));
    drop(lock.try_write().unwrap());
    drop(lock.read_timeout(Duration::ZERO).unwrap());
}

#[test]
fn threads_read_together() {
    let lock = RwLock::anonymous().unwrap();
    let barrier = std::sync::Barrier::new(6);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let _guard = lock.read().unwrap();
                barrier.wait();
                assert_eq!(lock.readers(), 6);
                barrier.wait();
            });
        }
    });
    drop(lock.try_write().unwrap());
}

#[test]
fn a_thread_that_writes_is_told_of_its_deadlock() {
    let lock = RwLock::anonymous().unwrap();
    let _writer = lock.write().unwrap();
    assert!(matches!(lock.read(), Err(LockError::Deadlock)));
    assert!(matches!(lock.write(), Err(LockError::Deadlock)));
    assert!(matches!(lock.read_timeout(SHORT), Err(LockError::Deadlock)));
}

#[test]
fn timeouts_pass() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let writer = stays(|| lock.write().unwrap());
        for outcome in [lock.read_timeout(SHORT).map(drop), lock.read_timeout(Duration::ZERO).map(drop)] {
            assert!(outcome.is_err());
        }
        let started = Instant::now();
        assert!(matches!(lock.read_timeout(SHORT), Err(LockError::TimedOut)));
        assert!(matches!(lock.write_timeout(SHORT), Err(LockError::TimedOut)));
        assert!(started.elapsed() >= SHORT * 2);
        let _ = writer.kill();
    });
}

#[test]
fn a_writer_that_gives_up_lets_readers_in_again() {
    let lock = RwLock::anonymous().unwrap();
    let reader = lock.read().unwrap();
    assert!(matches!(lock.write_timeout(SHORT), Err(LockError::TimedOut)));
    drop(lock.try_read().unwrap());
    drop(reader);
    drop(lock.write().unwrap());
}

#[test]
fn a_waiting_writer_is_not_starved() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let page = Page::new(4096);
        let over = &page.u64s()[0];
        // Two readers that overlap all the time.
        let readers = [(); 2].map(|()| {
            Child::fork(|| {
                while over.load(SeqCst) == 0 {
                    drop(lock.read().unwrap());
                }
            })
        });
        for _ in 0..50 {
            drop(lock.write().unwrap());
        }
        over.store(1, SeqCst);
        for reader in readers {
            reader.wait(LIMIT).unwrap();
        }
        let reader = stays(|| lock.read().unwrap());
        let writer = sleeper(|| drop(lock.write().unwrap()));
        assert!(would_block(lock.try_read()), "the writer comes first");
        let _ = reader.kill();
        writer.wait(LIMIT).unwrap();
    });
}

#[test]
fn one_release_lets_all_readers_in() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let page = Page::new(4096);
        let inside = &page.u64s()[0];
        let writer = lock.write().unwrap();
        let readers = [(); 4].map(|()| {
            sleeper(|| {
                let _guard = lock.read().unwrap();
                inside.fetch_add(1, SeqCst);
                await_that(|| inside.load(SeqCst) == 4);
            })
        });
        drop(writer);
        for reader in readers {
            reader.wait(LIMIT).unwrap();
        }
    });
}

#[test]
fn downgrading_lets_nobody_write_in_between() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let writer = lock.write().unwrap();
        let other = sleeper(|| drop(lock.write().unwrap()));
        let reader = writer.downgrade();
        assert!(lock.readers() >= 1);
        assert!(would_block(lock.try_write()));
        drop(reader);
        other.wait(LIMIT).unwrap();
        let reader = lock.write().unwrap().downgrade();
        drop(lock.try_read().unwrap());
        assert_eq!(lock.writer(), None);
        drop(reader);
        drop(lock.try_write().unwrap());
    });
}

#[test]
fn a_forked_child_owns_nothing_of_its_parents() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let mut reader = Some(lock.read().unwrap());
        Child::fork(|| {
            drop(reader.take());
            assert_eq!(lock.readers(), 1);
            assert!(would_block(lock.try_write()));
        })
        .wait(LIMIT)
        .unwrap();
        drop(reader);
        let mut writer = Some(lock.write().unwrap());
        Child::fork(|| {
            drop(writer.take().unwrap().downgrade());
            assert!(would_block(lock.try_read()));
        })
        .wait(LIMIT)
        .unwrap();
        drop(writer);
        drop(lock.try_write().unwrap());
    });
}

#[test]
fn dead_readers_are_struck_out() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let _ = stays(|| [lock.read().unwrap(), lock.read().unwrap()]).kill();
        drop(lock.try_write().unwrap());
        assert_eq!(lock.readers(), 0);

        let reader = stays(|| lock.read().unwrap());
        let writer = sleeper(|| drop(lock.write().unwrap()));
        let _ = reader.kill();
        writer.wait(LIMIT).unwrap();
    });
}

#[test]
fn a_dead_writer_is_told_to_readers_and_writers_until_one_repairs() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let _ = stays(|| lock.write().unwrap()).kill();
        drop(told(lock.try_read(), Cause::Died));
        drop(told(lock.read(), Cause::Died));
        drop(told(lock.try_write(), Cause::Died));
        let writer = told(lock.write(), Cause::Died);
        writer.make_consistent();
        drop(writer);
        drop(lock.read().unwrap());
        drop(lock.write().unwrap());

        // Sleepers of both kinds.
        let writer = stays(|| lock.write().unwrap());
        let sleepers = [
            sleeper(|| drop(told(lock.read(), Cause::Died))),
            sleeper(|| drop(told(lock.write(), Cause::Died))),
            sleeper(|| drop(told(lock.read(), Cause::Died))),
        ];
        let _ = writer.kill();
        for sleeper in sleepers {
            sleeper.wait(LIMIT).unwrap();
        }
        told(lock.write(), Cause::Died).make_consistent();
    });
}

#[test]
fn a_writer_that_died_waiting_leaves_nothing() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        for told_before in [false, true] {
            let reader = lock.read().unwrap_or_else(|error| error.into_guard().unwrap());
            let writer = sleeper(|| drop(lock.write()));
            await_that(|| lock.writer().is_some());
            let _ = writer.kill();
            drop(reader);
            if told_before {
                // An older death must not be forgotten over it.
                drop(told(lock.read(), Cause::Died));
                told(lock.write(), Cause::Died).make_consistent();
            } else {
                drop(lock.read().unwrap());
                drop(lock.write().unwrap());
                let _ = stays(|| lock.write().unwrap()).kill();
                drop(told(lock.write(), Cause::Died));
            }
        }
        drop(lock.read().unwrap());
    });
}

#[test]
fn a_panicking_writer_marks_the_lock_and_a_panicking_reader_does_not() {
    let lock = RwLock::anonymous().unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _reader = lock.read().unwrap();
        resume_unwind(Box::new("over"));
    }));
    assert!(caught.is_err());
    drop(lock.write().unwrap());
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _writer = lock.write().unwrap();
        resume_unwind(Box::new("over"));
    }));
    assert!(caught.is_err());
    drop(told(lock.read(), Cause::Panicked));
    let writer = told(lock.write(), Cause::Panicked);
    writer.make_consistent();
    drop(writer.downgrade());
    drop(lock.read().unwrap());
}

#[test]
fn more_processes_than_entries_read_too() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let readers: Vec<_> = (0..56).map(|_| stays(|| lock.read().unwrap())).collect();
        assert_eq!(lock.readers(), 56);
        let page = Page::new(4096);
        let turns: Vec<_> = (0..3)
            .map(|_| {
                Child::fork(|| {
                    for _ in 0..50 {
                        let _guard = lock.read_timeout(LIMIT).unwrap();
                        assert_eq!(page.u64s()[0].load(SeqCst), 0, "a writer is inside");
                    }
                })
            })
            .collect();
        for child in turns {
            child.wait(LIMIT).unwrap();
        }
        // One that reads without an entry keeps writers out, and its death lets them in.
        let alone = stays(|| lock.read().unwrap());
        for reader in readers {
            let _ = reader.kill();
        }
        assert!(would_block(lock.try_write()));
        let _ = alone.kill();
        drop(lock.try_write().unwrap());
    });
}

#[test]
fn entries_of_the_dead_are_used_again() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        for _ in 0..60 {
            let _ = stays(|| lock.read().unwrap()).kill();
        }
        let (one, two) = (stays(|| lock.read().unwrap()), stays(|| lock.read().unwrap()));
        assert!(lock.try_read().is_ok(), "readers of three processes at once");
        assert!(would_block(lock.try_write()));
        let _ = (one.kill(), two.kill());
        drop(lock.try_write().unwrap());
    });
}

#[test]
fn names_handles_and_read_only_handles() {
    let test = TestSpace::new();
    let builder = || RwLock::builder().space(&test.space);
    let lock = builder().create("it").unwrap();
    let text = serde_json::to_string(&lock).unwrap();
    let same = serde_json::from_str::<Handle<RwLock>>(&text).unwrap().attach().unwrap();
    let _reader = same.read().unwrap();
    assert!(would_block(lock.try_write()));
    let looker = builder().read_only(true).open("it").unwrap();
    assert_eq!((looker.readers(), looker.writer()), (1, None));
    assert!(matches!(looker.read(), Err(LockError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(looker.try_read(), Err(LockError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(looker.try_write(), Err(LockError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(
        procshare::RLock::builder().space(&test.space).open("it"),
        Err(Error::WrongKind { .. })
    ));
    assert!(format!("{lock:?}").contains("readers: 1"), "{lock:?}");
}

/// Readers see whole pairs, writers are alone, and deaths are told: two words that must be equal, written one after the other.
#[test]
fn storm() {
    guarded(|| {
        let lock = RwLock::anonymous().unwrap();
        let page = Page::new(4096);
        let (first, second) = (&page.u64s()[0], &page.u64s()[1]);
        Storm::new("rwlock", Rng::seed_from_env())
            .role("writer", 2, |seat| {
                while seat.again() {
                    let guard = match lock.write() {
                        Ok(guard) => guard,
                        Err(LockError::OwnerDied(outcome)) => {
                            second.store(first.load(SeqCst), SeqCst);
                            let guard = outcome.into_guard();
                            guard.make_consistent();
                            guard
                        }
                        Err(other) => return Err(other.to_string()),
                    };
                    let value = first.load(SeqCst);
                    if second.load(SeqCst) != value {
                        return Err("a torn pair, and nobody was told".into());
                    }
                    first.store(value + 1, SeqCst);
                    second.store(value + 1, SeqCst);
                    if seat.rng().one_in(4) {
                        let _reader = guard.downgrade();
                        if first.load(SeqCst) != value + 1 {
                            return Err("somebody wrote between write and read".into());
                        }
                    }
                }
                Ok(())
            })
            .role("reader", 3, |seat| {
                while seat.again() {
                    match lock.read() {
                        Ok(_guard) if first.load(SeqCst) != second.load(SeqCst) => {
                            return Err("a reader beside a writer, or not told".into());
                        }
                        Ok(_) | Err(LockError::OwnerDied(_)) => {}
                        Err(other) => return Err(other.to_string()),
                    }
                }
                Ok(())
            })
            .kills(200)
            .stop_one_in(10)
            .check(|| match lock.try_write() {
                Ok(_) | Err(LockError::OwnerDied(_)) => Ok(()),
                Err(other) => Err(other.to_string()),
            })
            .run()
            .assert_clean();
    });
}
