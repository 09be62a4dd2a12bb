//! Deaths inside `RLock`: the depth confuses nobody.

use procshare::{Cause, Lifetime, LockError, RLock, RLockGuard, Space};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, die_after};

kill_tests! {
    enter_twice: Alone;
    leave_twice: Alone;
    release_twice: Alone;
    take_over: Chain;
}

type RLockWorld = World<RLock>;

/// Notes of victims.
const HELD: usize = 0;
const REPAIRING: usize = 1;

fn world(name: &'static str) -> impl Fn() -> RLockWorld {
    let make = |space: &Space| RLock::builder().space(space).lifetime(Lifetime::Named).create("it").unwrap();
    move || World::new(name, make)
}

/// Whether the acquirer was told of a death, and its guard.
fn acquire<'a>(
    outcome: Result<RLockGuard<'a>, LockError<RLockGuard<'a>>>,
) -> Result<(bool, RLockGuard<'a>), String> {
    match outcome {
        Ok(guard) => Ok((false, guard)),
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => {
            Ok((true, outcome.into_guard()))
        }
        Err(other) => Err(format!("the lock is not to be had: {other:?}")),
    }
}

/// The contract after deaths: the lock is to be had at once, at depth one, and free after as many leaves as entries;
/// everybody is told until one declares it consistent. Tells whether the first one was told.
fn survive(world: &RLockWorld) -> Result<bool, String> {
    let lock = &world.object;
    let (first, outer) = acquire(lock.try_lock())?;
    let (_, inner) = acquire(lock.lock())?;
    if lock.depth() != 2 {
        return Err(format!("depth {} after two entries", lock.depth()));
    }
    drop((outer, inner));
    if lock.depth() != 0 || lock.holder().is_some() {
        return Err("held after all guards were dropped".into());
    }
    let (again, guard) = acquire(lock.lock())?;
    if again != first {
        return Err(format!("told first: {first}, then: {again}, and nobody made it consistent"));
    }
    guard.make_consistent();
    drop(guard);
    let (last, _guard) = acquire(lock.lock())?;
    if last {
        return Err("told of a death after make_consistent".into());
    }
    world.assert_slots();
    Ok(first)
}

fn enter_twice() -> Scenario<'static, RLockWorld> {
    Scenario::new("enter twice", world("rlock-enter"))
        .prepared("enter", |world, stage| {
            drop(world.object.lock().unwrap());
            stage.run(|| {
                world.object.lock().unwrap().forget();
                world.note(HELD);
                world.object.lock().unwrap().forget();
            })
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            let told = survive(world)?;
            if world.noted(HELD) && !told { Err("not told".to_owned()) } else { Ok(()) }
        })
}

fn free_if_finished(world: &RLockWorld, fates: &[Fate]) -> Result<(), String> {
    let told = survive(world)?;
    if fates[0].finished && told { Err("told although it left in good order".into()) } else { Ok(()) }
}

fn leave_twice() -> Scenario<'static, RLockWorld> {
    Scenario::new("leave twice", world("rlock-leave"))
        .prepared("leave", |world, stage| {
            let guards = (world.object.lock().unwrap(), world.object.lock().unwrap());
            stage.run(|| drop(guards))
        })
        .watch(|world| world.regions())
        .check(free_if_finished)
}

fn release_twice() -> Scenario<'static, RLockWorld> {
    Scenario::new("release twice", world("rlock-release"))
        .prepared("release", |world, stage| {
            world.object.lock().unwrap().forget();
            world.object.lock().unwrap().forget();
            stage.run(|| {
                world.object.release().unwrap();
                world.object.release().unwrap();
            })
        })
        .watch(|world| world.regions())
        .check(free_if_finished)
}

/// Recovery of a lock whose owner died three levels deep; the next victim recovers from the death of the one that recovers.
fn take_over() -> Scenario<'static, RLockWorld> {
    let make = world("rlock-take-over");
    let world = move || {
        let world = make();
        die_after(|| {
            for _ in 0..3 {
                world.object.lock().unwrap().forget();
            }
        });
        world
    };
    let mut scenario = Scenario::new("take over", world);
    for heir in ["first heir", "second heir", "third heir"] {
        scenario = scenario.prepared(heir, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let (told, outer) = acquire(world.object.lock()).unwrap();
                assert!(told || world.noted(REPAIRING), "not told of the death");
                let inner = world.object.lock().unwrap();
                assert_eq!(world.object.depth(), 2);
                world.note(REPAIRING);
                inner.make_consistent();
                drop((inner, outer));
            })
        });
    }
    scenario.watch(|world| world.regions()).check(free_if_finished_last)
}

fn free_if_finished_last(world: &RLockWorld, fates: &[Fate]) -> Result<(), String> {
    let told = survive(world)?;
    let last = fates.last().is_some_and(|fate| fate.finished);
    if last && told { Err("told although the last one left in good order".into()) } else { Ok(()) }
}
