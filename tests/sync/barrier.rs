//! `Barrier`: everybody or nobody, also when members time out, leave, fail or die.

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{Barrier, BarrierError, BarrierWaitResult, Breakage, Error, Handle};
use procshare_harness::{Child, Page};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, finish, guarded, kill};

const SHORT: Duration = Duration::from_millis(20);

fn barrier(parties: u32) -> Barrier {
    Barrier::anonymous(parties).unwrap()
}

fn broken<T: std::fmt::Debug>(outcome: Result<T, BarrierError>, why: Breakage) {
    assert!(matches!(outcome, Err(BarrierError::Broken(found)) if found == why), "{outcome:?}, not {why:?}");
}

/// Waits at the barrier, and must get through.
fn pass(barrier: &Barrier) {
    let _: BarrierWaitResult = barrier.wait().unwrap();
}

/// A forked child that waits at the barrier, is asleep by now, and expects this breakage.
fn victim(barrier: &Barrier, why: Breakage) -> Child {
    let before = barrier.n_waiting();
    let child = Child::fork(|| broken(barrier.wait(), why));
    await_that(|| barrier.n_waiting() == before + 1);
    await_asleep(&child);
    child
}

#[test]
fn rounds_of_processes_and_threads() {
    const ROUNDS: u64 = 300;
    const PARTIES: u64 = 4;
    guarded(|| {
        let barrier = barrier(PARTIES as u32);
        let page = Page::new(4096);
        let party = || {
            for round in 0..ROUNDS {
                page.u64s()[0].fetch_add(1, SeqCst);
                let result = barrier.wait().unwrap();
                assert!(page.u64s()[0].load(SeqCst) >= (round + 1) * PARTIES, "released too early");
                page.u64s()[1].fetch_add(result.index() as u64, SeqCst);
                page.u64s()[2].fetch_add(u64::from(result.is_leader()), SeqCst);
                barrier.wait().unwrap();
                assert_eq!(page.u64s()[1].load(SeqCst), (round + 1) * 6, "each index once");
                assert_eq!(page.u64s()[2].load(SeqCst), round + 1, "one leader");
            }
        };
        let pair = Child::fork(|| {
            std::thread::scope(|scope| {
                scope.spawn(party);
                party();
            });
        });
        let singles = [(); 2].map(|()| Child::fork(party));
        finish(singles.into_iter().chain([pair]));
    });
}

#[test]
fn one_party_never_waits_and_none_is_refused() {
    let one = barrier(1);
    for _ in 0..3 {
        let result = one.wait_timeout(Duration::ZERO).unwrap();
        assert!(result.is_leader() && result.index() == 0);
    }
    assert!(matches!(Barrier::anonymous(0), Err(Error::BadSize { found: 0, .. })));
    assert!(matches!(Barrier::anonymous(u32::MAX), Err(Error::BadSize { .. })));
}

#[test]
fn a_timeout_breaks_it_for_all() {
    guarded(|| {
        let barrier = barrier(3);
        let other = victim(&barrier, Breakage::TimedOut);
        let started = Instant::now();
        assert!(matches!(barrier.wait_timeout(SHORT), Err(BarrierError::TimedOut)));
        assert!(started.elapsed() >= SHORT);
        finish([other]);
        assert!(barrier.is_broken());
        assert_eq!(barrier.n_waiting(), 0);
        broken(barrier.wait(), Breakage::TimedOut);
        assert!(matches!(barrier.wait_timeout(Duration::ZERO), Err(BarrierError::Broken(_))));
    });
}

#[test]
fn abort_and_reset() {
    guarded(|| {
        let barrier = barrier(2);
        let waiter = victim(&barrier, Breakage::Aborted);
        barrier.abort().unwrap();
        finish([waiter]);
        broken(barrier.wait(), Breakage::Aborted);
        barrier.reset().unwrap();
        assert!(!barrier.is_broken());
        let waiter = victim(&barrier, Breakage::Reset);
        barrier.reset().unwrap();
        finish([waiter]);
        // The dead have lost their seats, this thread has one.
        barrier.reset().unwrap();
        let waiter = Child::fork(|| pass(&barrier));
        barrier.wait().unwrap();
        finish([waiter]);
    });
}

#[test]
fn a_dead_waiter_breaks_it_for_all_who_wait_and_come() {
    guarded(|| {
        let barrier = barrier(3);
        let dead = victim(&barrier, Breakage::Died);
        let other = victim(&barrier, Breakage::Died);
        assert_eq!(barrier.n_waiting(), 2);
        kill([dead]);
        finish([other]);
        assert!(barrier.is_broken());
        assert_eq!(barrier.n_waiting(), 0);
        broken(barrier.wait(), Breakage::Died);
        barrier.reset().unwrap();
        let others = [(); 2].map(|()| Child::fork(|| pass(&barrier)));
        barrier.wait().unwrap();
        finish(others);
    });
}

#[test]
fn the_last_to_come_does_not_trip_it_with_the_dead() {
    guarded(|| {
        let barrier = barrier(2);
        let dead = victim(&barrier, Breakage::Died);
        kill([dead]);
        assert_eq!(barrier.n_waiting(), 0);
        assert!(barrier.is_broken());
        broken(barrier.wait(), Breakage::Died);
    });
}

#[test]
fn a_member_that_dies_between_rounds_breaks_it() {
    guarded(|| {
        let barrier = barrier(2);
        let member = Child::fork(|| pass(&barrier));
        barrier.wait().unwrap();
        finish([member]);
        assert!(barrier.is_broken());
        let started = Instant::now();
        broken(barrier.wait_timeout(LIMIT), Breakage::Died);
        assert!(started.elapsed() < LIMIT);
    });
}

#[test]
fn who_has_no_seat_may_die() {
    guarded(|| {
        let barrier = barrier(2);
        // Attached, joined to the space, and no member.
        Child::fork(|| assert!(!barrier.is_broken() && barrier.reset().is_ok())).wait(LIMIT).unwrap();
        let peer = Child::fork(|| pass(&barrier));
        barrier.wait().unwrap();
        finish([peer]);
    });
}

#[test]
fn seats_are_taken_left_and_limited() {
    guarded(|| {
        let barrier = barrier(2);
        let seat = barrier.join().unwrap();
        let first = seat.index();
        assert!(matches!(barrier.join(), Err(Error::AlreadySeated { .. })));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let other = barrier.join().unwrap();
                assert_ne!(other.index(), first);
                std::thread::scope(|scope| {
                    let third = scope.spawn(|| {
                        let full = barrier.join();
                        assert!(matches!(full, Err(Error::BarrierFull { parties: 2, .. })), "{full:?}");
                        let full = barrier.wait();
                        assert!(matches!(full, Err(BarrierError::Failed(Error::BarrierFull { .. }))));
                    });
                    third.join().unwrap();
                });
                // The thread's wait is that of its seat.
                assert_eq!(barrier.wait().unwrap().index(), other.index());
                broken(other.wait(), Breakage::Left);
            });
            assert_eq!(seat.wait().unwrap().index(), seat.index());
            drop(seat);
        });
        // The other one has left as well; the barrier is nobody's.
        assert!(barrier.is_broken());
        barrier.reset().unwrap();
        let _seat = barrier.join().unwrap();
    });
}

#[test]
fn a_seat_taken_by_waiting_serves_later_threads_of_the_process() {
    guarded(|| {
        let barrier = barrier(2);
        for _ in 0..5 {
            std::thread::scope(|scope| {
                scope.spawn(|| barrier.wait().unwrap());
                scope.spawn(|| barrier.wait().unwrap());
            });
        }
        std::thread::scope(|scope| {
            let other = scope.spawn(|| barrier.wait());
            let seat = barrier.join().unwrap();
            seat.wait().unwrap();
            other.join().unwrap().unwrap();
        });
    });
}

#[test]
fn the_last_clone_of_a_handle_leaves_the_seats_it_took() {
    guarded(|| {
        let test = TestSpace::new();
        let barrier = Barrier::builder().space(&test.space).create("b", 2).unwrap();
        let (other, clone) = {
            let other = Barrier::builder().space(&test.space).open("b").unwrap();
            (other.clone(), other)
        };
        std::thread::scope(|scope| {
            scope.spawn(|| other.wait().unwrap());
            barrier.wait().unwrap();
        });
        drop(other);
        assert!(!barrier.is_broken());
        drop(clone);
        broken(barrier.wait(), Breakage::Left);
    });
}

#[test]
fn a_forked_child_has_nothing_of_its_parents_seats() {
    guarded(|| {
        let barrier = barrier(2);
        let seat = Cell::new(Some(barrier.join().unwrap()));
        let child = Child::fork(|| {
            let seat = seat.take().unwrap();
            let inherited = seat.wait();
            assert!(matches!(inherited, Err(BarrierError::Failed(Error::Inherited { .. }))), "{inherited:?}");
            drop(seat);
            assert_eq!(barrier.wait().unwrap().index(), 1);
        });
        barrier.wait().unwrap();
        finish([child]);
    });
}

#[test]
fn the_action_runs_once_before_anybody_leaves() {
    const ROUNDS: u64 = 100;
    guarded(|| {
        let barrier = barrier(3);
        let page = Page::new(4096);
        let party = || {
            for round in 1..=ROUNDS {
                let action = || {
                    page.u64s()[0].fetch_add(1, SeqCst);
                    Ok::<(), BarrierError>(())
                };
                assert!(barrier.wait_with(action).is_ok());
                assert_eq!(page.u64s()[0].load(SeqCst), round);
                barrier.wait().unwrap();
            }
            // Nobody leaves before all are through.
            page.u64s()[1].fetch_add(1, SeqCst);
            await_that(|| page.u64s()[1].load(SeqCst) == 3);
        };
        let parties = [(); 3].map(|()| Child::fork(party));
        finish(parties);
    });
}

#[test]
fn an_action_that_fails_or_panics_breaks_it() {
    guarded(|| {
        let barrier = barrier(2);
        let waiter = victim(&barrier, Breakage::ActionFailed);
        assert!(matches!(barrier.wait_with(|| Err("no")), Err(BarrierError::Action("no"))));
        finish([waiter]);
        barrier.reset().unwrap();
        let waiter = victim(&barrier, Breakage::ActionFailed);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            barrier.wait_with(|| -> Result<(), ()> { std::panic::resume_unwind(Box::new("no")) })
        }));
        assert!(panic.is_err());
        finish([waiter]);
        barrier.reset().unwrap();
        let waiter = Child::fork(|| pass(&barrier));
        barrier.wait().unwrap();
        finish([waiter]);
    });
}

#[test]
fn who_dies_in_the_action_breaks_it() {
    guarded(|| {
        let barrier = barrier(2);
        let page = Page::new(4096);
        let waiter = victim(&barrier, Breakage::Died);
        let runner = Child::fork(|| {
            let _ = barrier.wait_with(|| {
                page.u64s()[0].store(1, SeqCst);
                loop {
                    std::thread::park();
                }
                #[allow(unreachable_code, reason = "the action's type")]
                Ok::<(), ()>(())
            });
        });
        await_that(|| page.u64s()[0].load(SeqCst) == 1);
        kill([runner]);
        finish([waiter]);
    });
}

#[test]
fn the_action_cannot_wait_at_its_own_barrier() {
    let one = barrier(1);
    let outcome = one.wait_with(|| one.wait().map(drop));
    assert!(
        matches!(outcome, Err(BarrierError::Action(BarrierError::Failed(Error::Deadlock)))),
        "{outcome:?}"
    );
}

#[test]
fn a_timeout_is_not_taken_from_those_who_were_released() {
    guarded(|| {
        // Parties whose timeouts pass as the last one comes: all are released, or none.
        for round in 0..40u64 {
            let barrier = barrier(2);
            let timeout = Duration::from_micros(900 + round * 20);
            std::thread::scope(|scope| {
                let hasty = scope.spawn(|| barrier.wait_timeout(timeout).is_ok());
                let started = Instant::now();
                await_that(|| started.elapsed() >= Duration::from_millis(1));
                let slow = barrier.wait_timeout(LIMIT).is_ok();
                assert_eq!(hasty.join().unwrap(), slow);
            });
        }
    });
}

#[test]
fn read_only_handles_and_handles_as_data() {
    let test = TestSpace::new();
    let barrier = Barrier::builder().space(&test.space).create("b", 2).unwrap();
    let reader = Barrier::builder().space(&test.space).read_only(true).open("b").unwrap();
    assert_eq!((reader.parties(), reader.n_waiting(), reader.is_broken()), (2, 0, false));
    assert!(matches!(reader.wait(), Err(BarrierError::Failed(Error::ReadOnly { .. }))));
    assert!(matches!(reader.join(), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.abort(), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.reset(), Err(Error::ReadOnly { .. })));
    drop(reader);
    let text = serde_json::to_string(&barrier).unwrap();
    let same = serde_json::from_str::<Handle<Barrier>>(&text).unwrap().attach().unwrap();
    same.abort().unwrap();
    assert!(barrier.is_broken());
    assert_eq!(Barrier::builder().space(&test.space).open_or_create("b", 7).unwrap().parties(), 2);
    assert!(format!("{barrier:?}").contains("Aborted"), "{barrier:?}");
}
