//! `Semaphore` and `BoundedSemaphore`: permits are counted exactly, whatever their number and whoever dies.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{BoundedSemaphore, Error, Handle, PermitError, Semaphore, SemaphorePermit};
use procshare_harness::{Child, Page, Rng, Storm};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, guarded};

const SHORT: Duration = Duration::from_millis(20);

/// Sizes at which something changes: slots of their own lines, denser slots, the bank, its larger table.
const SIZES: [u32; 11] = [0, 1, 2, 15, 16, 17, 64, 65, 256, 257, 1_000];

/// What both semaphores have in common.
trait Permits {
    fn try_one(&self) -> Result<SemaphorePermit<'_>, Error>;
}

impl Permits for Semaphore {
    fn try_one(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.try_acquire()
    }
}

impl Permits for BoundedSemaphore {
    fn try_one(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.try_acquire()
    }
}

/// Takes all that can be had.
fn take_all(permits: &impl Permits) -> Vec<SemaphorePermit<'_>> {
    let mut taken = Vec::new();
    loop {
        match permits.try_one() {
            Ok(permit) => taken.push(permit),
            Err(Error::WouldBlock) => return taken,
            Err(other) => panic!("{other}"),
        }
    }
}

/// How many permits can be had, the dead's included.
fn count(permits: &impl Permits) -> usize {
    take_all(permits).len()
}

pub(crate) fn stay() {
    loop {
        std::thread::park();
    }
}

/// A child that runs `work` and then stays.
fn stays(work: impl FnOnce()) -> Child {
    let page = Page::new(4096);
    let child = Child::fork(|| {
        work();
        page.u64s()[0].store(1, SeqCst);
        stay();
    });
    await_that(|| page.u64s()[0].load(SeqCst) == 1);
    child
}

#[test]
fn there_are_as_many_permits_as_were_asked_for() {
    for size in SIZES {
        let plain = Semaphore::anonymous(size).unwrap();
        let bounded = BoundedSemaphore::anonymous(size).unwrap();
        assert_eq!((plain.available(), bounded.available(), bounded.bound()), (size, size, size));
        for round in 0..2 {
            let taken = (take_all(&plain), take_all(&bounded));
            assert_eq!((taken.0.len(), taken.1.len()), (size as usize, size as usize), "round {round}");
            assert_eq!((plain.available(), bounded.available()), (0, 0));
        }
        assert_eq!((plain.available(), bounded.available()), (size, size));
    }
}

#[test]
fn the_largest_number_of_permits_and_one_more() {
    const MOST: u32 = i32::MAX as u32;
    let semaphore = Semaphore::anonymous(MOST).unwrap();
    assert_eq!(semaphore.available(), MOST);
    assert!(matches!(semaphore.release(1), Err(PermitError::TooMany { asked: 1, most: 0 })));
    let permits: Vec<_> = (0..300).map(|_| semaphore.acquire().unwrap()).collect();
    assert_eq!(semaphore.available(), MOST - 300);
    for permit in permits {
        permit.forget();
    }
    assert!(matches!(semaphore.release(301), Err(PermitError::TooMany { asked: 301, most: 300 })));
    semaphore.release(300).unwrap();
    assert_eq!(semaphore.available(), MOST);
    assert!(matches!(Semaphore::anonymous(MOST + 1), Err(Error::BadSize { what: "permits", .. })));
    assert!(matches!(BoundedSemaphore::anonymous(u32::MAX), Err(Error::BadSize { .. })));
    assert_eq!(BoundedSemaphore::anonymous(MOST).unwrap().available(), MOST);
}

#[test]
fn timeouts_pass_and_zero_polls_once() {
    let semaphore = Semaphore::anonymous(1).unwrap();
    let permit = semaphore.acquire_timeout(SHORT).unwrap();
    let started = Instant::now();
    assert!(matches!(semaphore.acquire_timeout(SHORT), Err(Error::TimedOut)));
    assert!(started.elapsed() >= SHORT);
    assert!(matches!(semaphore.acquire_timeout(Duration::ZERO), Err(Error::TimedOut)));
    assert!(matches!(semaphore.try_acquire(), Err(Error::WouldBlock)));
    drop(permit);
    drop(semaphore.acquire_timeout(Duration::ZERO).unwrap());
    drop(semaphore.acquire_timeout(Duration::MAX).unwrap());
}

#[test]
fn released_permits_need_no_owner() {
    for size in SIZES {
        let semaphore = Semaphore::anonymous(size).unwrap();
        for (step, more) in [1, 0, 1, 5, 300, 1].into_iter().enumerate() {
            let before = semaphore.available();
            semaphore.release(more).unwrap();
            assert_eq!(semaphore.available(), before + more, "step {step}");
        }
        let total = size + 308;
        let taken = take_all(&semaphore);
        assert_eq!(taken.len(), total as usize);
        for permit in taken {
            permit.forget();
        }
        assert_eq!(count(&semaphore), 0);
        for _ in 0..20 {
            semaphore.release(1).unwrap();
        }
        assert_eq!(count(&semaphore), 20);
    }
}

#[test]
fn a_bounded_semaphore_takes_back_what_is_out_and_nothing_more() {
    for size in SIZES {
        let semaphore = BoundedSemaphore::anonymous(size).unwrap();
        for asked in [1, 2, 400] {
            match semaphore.release(asked) {
                Err(PermitError::TooMany { asked: a, most: 0 }) => assert_eq!(a, asked),
                other => panic!("{other:?}"),
            }
        }
        semaphore.release(0).unwrap();
        let mut owned = take_all(&semaphore);
        let out = owned.len() / 2;
        for permit in owned.drain(..out) {
            permit.forget();
        }
        let out = out as u32;
        assert!(
            matches!(semaphore.release(out + 1), Err(PermitError::TooMany { most, .. }) if most == out),
            "owned permits do not count"
        );
        assert_eq!(semaphore.available(), 0, "nothing changed");
        if out > 0 {
            semaphore.release(1).unwrap();
            assert_eq!(semaphore.available(), 1);
            semaphore.release(out - 1).unwrap();
        }
        assert!(matches!(semaphore.release(1), Err(PermitError::TooMany { most: 0, .. })));
        drop(owned);
        assert_eq!(count(&semaphore), size as usize);
    }
}

#[test]
fn threads_may_pass_permits_on() {
    let semaphore = Semaphore::anonymous(1).unwrap();
    let permit = semaphore.acquire().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(permit));
    });
    assert_eq!(count(&semaphore), 1);
}

#[test]
fn a_forked_child_owns_nothing_of_its_parents() {
    guarded(|| {
        for size in [1, 300] {
            let semaphore = Semaphore::anonymous(size).unwrap();
            let permits = take_all(&semaphore);
            let mut inherited = Some(permits);
            Child::fork(|| {
                let mut permits = inherited.take().unwrap();
                permits.pop().unwrap().forget();
                drop(permits);
                assert_eq!(count(&semaphore), 0);
            })
            .wait(LIMIT)
            .unwrap();
            assert_eq!(count(&semaphore), 0);
            drop(inherited);
            assert_eq!(count(&semaphore), size as usize);
        }
    });
}

#[test]
fn permits_of_the_dead_come_back_exactly() {
    guarded(|| {
        for size in SIZES {
            let plain = Semaphore::anonymous(size).unwrap();
            let bounded = BoundedSemaphore::anonymous(size).unwrap();
            let child = stays(|| {
                std::mem::forget(take_all(&plain));
                std::mem::forget(take_all(&bounded));
            });
            assert_eq!((count(&plain), count(&bounded)), (0, 0), "it lives");
            let _ = child.kill();
            assert_eq!((count(&plain), count(&bounded)), (size as usize, size as usize));
            assert!(matches!(bounded.release(1), Err(PermitError::TooMany { most: 0, .. })));
        }
    });
}

#[test]
fn forgotten_permits_outlive_their_owner_and_stay_out() {
    guarded(|| {
        for size in [2, 300] {
            let semaphore = BoundedSemaphore::anonymous(size).unwrap();
            let child = stays(|| {
                let mut taken = take_all(&semaphore);
                taken.pop().unwrap().forget();
                std::mem::forget(taken);
            });
            let _ = child.kill();
            assert_eq!(count(&semaphore), size as usize - 1);
            semaphore.release(1).unwrap();
            assert_eq!(count(&semaphore), size as usize);
        }
    });
}

#[test]
fn a_sleeping_waiter_gets_a_dead_owners_permit() {
    guarded(|| {
        for size in [1, 300] {
            let semaphore = Semaphore::anonymous(size).unwrap();
            let owner = stays(|| std::mem::forget(take_all(&semaphore)));
            let waiters = [(); 3].map(|()| {
                let waiter = Child::fork(|| drop(semaphore.acquire().unwrap()));
                await_asleep(&waiter);
                waiter
            });
            let _ = owner.kill();
            for waiter in waiters {
                waiter.wait(LIMIT).unwrap();
            }
            assert_eq!(count(&semaphore), size as usize);
        }
    });
}

#[test]
fn dead_waiters_eat_no_permit() {
    guarded(|| {
        let semaphore = Semaphore::anonymous(0).unwrap();
        let sleeper = |then: fn(SemaphorePermit<'_>)| {
            let waiter = Child::fork(|| then(semaphore.acquire().unwrap()));
            await_asleep(&waiter);
            waiter
        };
        for _ in 0..20 {
            // Whether it has got the permit or not, it is killed before it gives it back or forgets it.
            let victim = sleeper(|permit| {
                stay();
                drop(permit);
            });
            let waiter = sleeper(|permit| permit.forget());
            semaphore.release(1).unwrap();
            assert!(!victim.kill().is_clean());
            waiter.wait(LIMIT).unwrap();
            assert_eq!(count(&semaphore), 0);
        }
    });
}

#[test]
fn one_release_of_several_wakes_as_many() {
    guarded(|| {
        let semaphore = Semaphore::anonymous(0).unwrap();
        let waiters = [(); 4].map(|()| {
            let waiter = Child::fork(|| semaphore.acquire().unwrap().forget());
            await_asleep(&waiter);
            waiter
        });
        semaphore.release(4).unwrap();
        for waiter in waiters {
            waiter.wait(LIMIT).unwrap();
        }
        assert_eq!(count(&semaphore), 0);
    });
}

#[test]
fn a_stopped_owner_is_not_dead() {
    guarded(|| {
        let semaphore = Semaphore::anonymous(1).unwrap();
        let owner = stays(|| std::mem::forget(semaphore.acquire().unwrap()));
        owner.signal(libc::SIGSTOP);
        assert!(matches!(semaphore.acquire_timeout(SHORT * 5), Err(Error::TimedOut)));
        owner.signal(libc::SIGCONT);
        let _ = owner.kill();
        drop(semaphore.acquire().unwrap());
    });
}

#[test]
fn who_is_entitled_to_a_permit_always_finds_it() {
    guarded(|| {
        // As many users as permits, so that one is always free for whoever asks, wherever it moves to.
        for size in [2, 5, 260] {
            let semaphore = BoundedSemaphore::anonymous(size).unwrap();
            let spare = size as usize - 2;
            let parked: Vec<_> = take_all(&semaphore).into_iter().take(spare).collect();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for round in 0..30_000 {
                            let permit = semaphore.try_acquire().expect("there is one for each");
                            if round % 3 == 0 {
                                permit.forget();
                                semaphore.release(1).expect("one of mine is out");
                            }
                        }
                    });
                }
            });
            drop(parked);
            assert_eq!(count(&semaphore), size as usize);
        }
    });
}

#[test]
fn racing_over_releases_make_no_permit() {
    for size in [8u32, 270] {
        let semaphore = BoundedSemaphore::anonymous(size).unwrap();
        for _ in 0..50 {
            for permit in take_all(&semaphore) {
                permit.forget();
            }
            let accepted: u32 = std::thread::scope(|scope| {
                let releasers = [1, 2, 3].map(|many| {
                    let semaphore = &semaphore;
                    scope.spawn(move || {
                        (0..size).filter(|_| semaphore.release(many).is_ok()).count() as u32 * many
                    })
                });
                releasers.map(|releaser| releaser.join().unwrap()).iter().sum()
            });
            assert_eq!(accepted, size, "all that were out came home, none twice");
            assert_eq!(semaphore.available(), size);
        }
    }
}

#[test]
fn never_more_owners_than_permits() {
    guarded(|| {
        const PERMITS: u32 = 3;
        let semaphore = Semaphore::anonymous(PERMITS).unwrap();
        let page = Page::new(4096);
        let children = [(); 5].map(|()| {
            Child::fork(|| {
                let inside = &page.u64s()[0];
                for _ in 0..20_000 {
                    let permit = semaphore.acquire().unwrap();
                    assert!(inside.fetch_add(1, SeqCst) < u64::from(PERMITS), "too many inside");
                    inside.fetch_sub(1, SeqCst);
                    drop(permit);
                }
            })
        });
        for child in children {
            child.wait(LIMIT).unwrap();
        }
        assert_eq!(count(&semaphore), PERMITS as usize);
    });
}

/// Random deaths among processes that take, keep, give back and wait: in the end every permit is there, once.
fn storm(name: &str, permits: u32, in_use: usize) {
    let semaphore = BoundedSemaphore::anonymous(permits).unwrap();
    // Leaves only a few places, of whichever kind, to be fought for.
    let parked: Vec<_> = take_all(&semaphore).into_iter().take(permits as usize - in_use).collect();
    Storm::new(name, Rng::seed_from_env())
        .role("user", 4, |seat| {
            while seat.again() {
                let first = semaphore.acquire().map_err(|e| e.to_string())?;
                if seat.rng().below(4) == 0 {
                    let second = semaphore.acquire_timeout(Duration::from_millis(1));
                    if seat.rng().below(2) == 0 {
                        drop(first);
                        drop(second);
                        continue;
                    }
                }
                drop(first);
            }
            Ok::<(), String>(())
        })
        .kills(150)
        .stop_one_in(10)
        .check(|| {
            let found = count(&semaphore);
            if found != in_use {
                return Err(format!("{found} permits of {in_use} came back"));
            }
            match semaphore.release(1) {
                Err(PermitError::TooMany { most: 0, .. }) => Ok(()),
                other => Err(format!("nothing was forgotten: {other:?}")),
            }
        })
        .run()
        .assert_clean();
    drop(parked);
    assert_eq!(count(&semaphore), permits as usize);
}

#[test]
fn storm_over_slots() {
    guarded(|| storm("slots", 3, 3));
}

#[test]
fn storm_over_the_bank() {
    guarded(|| storm("bank", 260, 3));
}

#[test]
fn names_handles_and_kinds() {
    let test = TestSpace::new();
    let in_space = || Semaphore::builder().space(&test.space);
    let semaphore = in_space().create("it", 2).unwrap();
    assert!(matches!(in_space().create("it", 1), Err(Error::AlreadyExists { .. })));
    let same = in_space().open_or_create("it", 9).unwrap();
    let _one = same.acquire().unwrap();
    assert_eq!(semaphore.available(), 1);
    let text = serde_json::to_string(&semaphore).unwrap();
    let handle: Handle<Semaphore> = serde_json::from_str(&text).unwrap();
    assert_eq!(handle.attach().unwrap().available(), 1);
    assert!(matches!(
        BoundedSemaphore::builder().space(&test.space).open("it"),
        Err(Error::WrongKind { .. })
    ));
    assert!(format!("{semaphore:?}").contains("available: 1"), "{semaphore:?}");
    in_space().unlink("it").unwrap();
    assert!(matches!(in_space().open("it"), Err(Error::NotFound { .. })));
    assert!(matches!(handle.attach(), Err(Error::Gone { .. })));
}

#[test]
fn a_read_only_handle_looks_and_does_not_touch() {
    let test = TestSpace::new();
    let semaphore = BoundedSemaphore::builder().space(&test.space).create("it", 2).unwrap();
    let reader = BoundedSemaphore::builder().space(&test.space).read_only(true).open("it").unwrap();
    assert_eq!((reader.available(), reader.bound()), (2, 2));
    assert!(matches!(reader.acquire(), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.try_acquire(), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.release(1), Err(PermitError::Failed(Error::ReadOnly { .. }))));
    assert_eq!(count(&semaphore), 2);
}

#[test]
fn a_panic_gives_back_like_any_other_end() {
    let semaphore = Semaphore::anonymous(1).unwrap();
    let caught = std::panic::catch_unwind(|| {
        let _permit = semaphore.acquire().unwrap();
        std::panic::resume_unwind(Box::new("over"));
    });
    assert!(caught.is_err());
    assert_eq!(count(&semaphore), 1);
}
