//! Deaths inside `Barrier`: all are released, or all are told, and a reset heals.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use procshare::{Barrier, BarrierError, Breakage, Lifetime, Space};
use procshare_harness::Scenario;

use crate::support::{World, await_word, die_after};

kill_tests! {
    arrive_last: Alone;
    arrive_first: Alone;
    wait_with: Alone;
    join_and_leave: Alone;
    abort: Alone;
    reset: Chain;
    time_out: Alone;
}

type BarrierWorld = World<Barrier>;

/// Notes of the living party: it may wait, how its waits ended, it may wait again.
const GO: usize = 0;
const OUTCOME: usize = 1;
const AGAIN: usize = 2;
const SECOND: usize = 3;
/// The action ran.
const ACTION: usize = 4;

const RELEASED: u64 = 1;
const BROKEN: u64 = 2;

fn barrier(space: &Space) -> Barrier {
    Barrier::builder().space(space).lifetime(Lifetime::Named).create("it", 2).unwrap()
}

fn outcome<T>(result: Result<T, BarrierError>) -> u64 {
    match result {
        Ok(_) => RELEASED,
        Err(BarrierError::Broken(_)) => BROKEN,
        Err(other) => panic!("{other:?}"),
    }
}

/// A world with a living party that waits when it is told to, and once more.
fn with_party(name: &str) -> BarrierWorld {
    World::new(name, barrier).with_helper(|world| {
        world.space.join().unwrap();
        for (go, note) in [(GO, OUTCOME), (AGAIN, SECOND)] {
            await_word(world.word(go), 1);
            world.word(note).store(outcome(world.object.wait()), SeqCst);
        }
    })
}

fn with_waiting_party(name: &str) -> BarrierWorld {
    let world = with_party(name);
    world.note(GO);
    while world.object.n_waiting() != 1 {
        std::thread::yield_now();
    }
    world
}

/// How the living party's first wait ended.
fn first_outcome(world: &BarrierWorld) -> u64 {
    world.note(GO);
    while !world.noted(OUTCOME) {
        std::thread::yield_now();
    }
    world.word(OUTCOME).load(SeqCst)
}

/// After a reset the living party and this survivor meet, whatever happened before.
fn usable(world: &BarrierWorld) {
    first_outcome(world);
    world.object.reset().unwrap();
    assert!(!world.object.is_broken());
    world.note(AGAIN);
    assert_eq!(outcome(world.object.wait()), RELEASED);
    await_word(world.word(SECOND), RELEASED);
    world.assert_slots();
}

fn arrive_last() -> Scenario<'static, BarrierWorld> {
    Scenario::new("arrive last", || with_waiting_party("barrier-last"))
        .prepared("arrive", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert_eq!(outcome(world.object.wait()), RELEASED))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            // It died at the barrier or, without a seat, before it: the other one is released, told, or still waits.
            if fates[0].finished || world.object.is_broken() {
                assert!(first_outcome(world) == RELEASED || !fates[0].finished);
            } else if !world.noted(OUTCOME) {
                world.object.abort().unwrap();
            }
            usable(world);
        })
}

fn arrive_first() -> Scenario<'static, BarrierWorld> {
    Scenario::new("arrive first", || with_party("barrier-first"))
        .prepared("arrive", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert_eq!(outcome(world.object.wait()), RELEASED))
        })
        .when_asleep(|world| world.note(GO))
        .watch(|world| world.regions())
        .check(|world, fates| {
            let sits = world.object.is_broken() && !world.noted(GO);
            if fates[0].finished {
                assert_eq!(first_outcome(world), RELEASED);
            } else if sits {
                // It died with a seat before the other one came, which must not be released with the dead.
                // Unless it did so within the last tenth of a millisecond.
                let died = Instant::now();
                while died.elapsed() < Duration::from_micros(200) {
                    std::thread::yield_now();
                }
                assert_eq!(first_outcome(world), BROKEN);
            } else if !world.object.is_broken() && !world.noted(OUTCOME) {
                world.object.abort().unwrap();
            }
            usable(world);
        })
}

/// The victim comes last and runs the action.
fn wait_with() -> Scenario<'static, BarrierWorld> {
    Scenario::new("arrive last, with an action", || with_waiting_party("barrier-action"))
        .prepared("arrive", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let action = || {
                    world.note(ACTION);
                    Ok::<(), ()>(())
                };
                assert!(world.object.wait_with(action).is_ok());
            })
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(!fates[0].finished || world.noted(ACTION));
            if fates[0].finished || world.object.is_broken() {
                let released = first_outcome(world) == RELEASED;
                assert!(released || !fates[0].finished);
                assert!(!released || world.noted(ACTION), "released before the action");
            } else if !world.noted(OUTCOME) {
                world.object.abort().unwrap();
            }
            usable(world);
        })
}

fn join_and_leave() -> Scenario<'static, BarrierWorld> {
    Scenario::new("join and leave", || with_waiting_party("barrier-join"))
        .prepared("join", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| drop(world.object.join().unwrap()))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            if fates[0].finished || world.object.is_broken() {
                assert_eq!(first_outcome(world), BROKEN);
            } else {
                world.object.abort().unwrap();
            }
            usable(world);
        })
}

fn abort() -> Scenario<'static, BarrierWorld> {
    Scenario::new("abort", || with_waiting_party("barrier-abort"))
        .prepared("abort", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.abort().unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(world.object.is_broken() || !fates[0].finished);
            world.object.abort().unwrap();
            assert_eq!(first_outcome(world), BROKEN);
            usable(world);
        })
}

/// The barrier is broken and a seat is a dead one's; whoever heals it dies as well, and again.
fn reset() -> Scenario<'static, BarrierWorld> {
    let world = || {
        let world = with_waiting_party("barrier-reset");
        die_after(|| std::mem::forget(world.object.join().unwrap()));
        assert_eq!(first_outcome(&world), BROKEN);
        world
    };
    let mut scenario = Scenario::new("reset", world);
    for name in ["reset", "reset in its place", "reset in its place again"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.reset().unwrap())
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        let finished = fates.iter().any(|fate| fate.finished);
        assert!(!(finished && world.object.is_broken()));
        if !finished && world.object.is_broken() {
            assert!(matches!(world.object.wait(), Err(BarrierError::Broken(Breakage::Died))));
        }
        usable(world);
    })
}

fn time_out() -> Scenario<'static, BarrierWorld> {
    Scenario::new("time out", || with_party("barrier-timeout"))
        .prepared("wait", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let outcome = world.object.wait_timeout(Duration::from_millis(1));
                assert!(matches!(outcome, Err(BarrierError::TimedOut)), "{outcome:?}");
            })
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            if fates[0].finished || world.object.is_broken() {
                assert_eq!(first_outcome(world), BROKEN);
            } else {
                world.object.abort().unwrap();
            }
            usable(world);
        })
}
