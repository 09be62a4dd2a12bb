//! Deaths inside `Value`: a reader gets a whole old or a whole new value, and only an edit in place can be torn.

use std::sync::atomic::Ordering::SeqCst;

use procshare::{Cause, Error, LockError, Space, Value, ValueInPlaceGuard};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, die_after};

kill_tests! {
    set: Pair;
    update: Chain;
    compare_exchange: Alone;
    guard: Chain;
    guard_discarded: Alone;
    edit_in_place: Alone;
    repair_in_place: Chain;
    set_heals: Chain;
    get_beside_a_dead_writer: Chain;
}

/// Two cache lines: large enough to be torn.
pub(crate) type Wide = [u64; 16];
type ValueWorld = World<Value<Wide>>;

pub(crate) const OLD: Wide = [1; 16];
const NEW: Wide = [2; 16];
const REPAIRED: Wide = [5; 16];

const REPAIRING: usize = 0;
const READ: usize = 1;

pub(crate) fn value_in(space: &Space) -> Value<Wide> {
    Value::builder().space(space).create("it", OLD).unwrap()
}

fn world(name: &'static str) -> impl Fn() -> ValueWorld {
    move || World::new(name, value_in)
}

/// A process that has joined, and takes no lock for it: another victim may be frozen with it.
fn used(world: &ValueWorld) -> &Value<Wide> {
    world.space.join().unwrap();
    &world.object
}

fn reader(world: &ValueWorld) -> Value<Wide> {
    Value::builder().space(&world.space).read_only(true).open("it").unwrap()
}

fn number(wide: &Wide) -> Result<u64, String> {
    if wide.iter().all(|word| *word == wide[0]) { Ok(wide[0]) } else { Err(format!("torn: {wide:?}")) }
}

/// What is left when nobody edits in place: one of `may`, in silence, and everything works. Tells which.
fn survive_whole(world: &ValueWorld, may: &[Wide]) -> Result<u64, String> {
    let value = &world.object;
    let say = |error: Error| error.to_string();
    let seen = reader(world).get().map_err(say)?;
    let left = number(&seen)?;
    if !may.contains(&seen) {
        return Err(format!("left {left}"));
    }
    if [value.get().map_err(say)?, value.try_get().map_err(say)?] != [seen; 2] {
        return Err("readers disagree".into());
    }
    drop(value.try_lock().map_err(|error| error.to_string())?);
    assert_works(world)?;
    Ok(left)
}

/// Every verb works, and no slot or file is lost.
fn assert_works(world: &ValueWorld) -> Result<(), String> {
    let value = &world.object;
    value.update(|wide| wide[3] += 1).map_err(|error| error.to_string())?;
    drop(value.lock_in_place().map_err(|error| error.to_string())?);
    value.set([9; 16]).map_err(|error| error.to_string())?;
    assert_eq!(value.replace([10; 16]).unwrap(), [9; 16]);
    assert_eq!(reader(world).get().unwrap(), [10; 16]);
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(())
}

/// What an editor in place leaves: torn for all until it is repaired, or one of `may`. Tells whether it was torn.
fn survive_in_place(world: &ValueWorld, may: &[Wide]) -> Result<bool, String> {
    let value = &world.object;
    let reader = reader(world);
    let torn = match reader.get() {
        Ok(_) => return survive_whole(world, may).map(|_| false),
        Err(Error::OwnerDied { cause: Cause::Died }) => true,
        Err(other) => return Err(other.to_string()),
    };
    assert!(matches!(value.get(), Err(Error::OwnerDied { .. })));
    assert!(matches!(value.try_get(), Err(Error::OwnerDied { .. })));
    assert!(matches!(value.update(|_| ()), Err(Error::OwnerDied { .. })));
    // Dropping the outcome repairs nothing.
    assert!(matches!(value.lock(), Err(LockError::OwnerDied(_))));
    let mut guard = died(value.try_lock_in_place())?;
    *guard = REPAIRED;
    guard.make_consistent();
    drop(guard);
    assert_eq!([reader.get().unwrap(), value.get().unwrap()], [REPAIRED; 2]);
    drop(value.lock().map_err(|error| error.to_string())?);
    assert_works(world)?;
    Ok(torn)
}

type InPlace<'a> = ValueInPlaceGuard<'a, Wide>;

fn died<'a>(outcome: Result<InPlace<'a>, LockError<InPlace<'a>>>) -> Result<InPlace<'a>, String> {
    match outcome {
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => Ok(outcome.into_guard()),
        other => Err(format!("not told of the death: {other:?}")),
    }
}

/// A scenario of operations that turn [`OLD`] into [`NEW`] at once, one victim after or beside the other.
fn commits(
    name: &'static str,
    victims: usize,
    operation: impl Fn(&Value<Wide>) + Copy + 'static,
) -> Scenario<'static, ValueWorld> {
    let mut scenario = Scenario::new(name, world(name));
    for _ in 0..victims {
        scenario = scenario.prepared(name, move |world, stage| {
            let value = used(world);
            stage.run(|| operation(value))
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        let finished = fates.iter().any(|fate| fate.finished);
        survive_whole(world, if finished { &[NEW] } else { &[OLD, NEW] }).map(drop)
    })
}

fn set() -> Scenario<'static, ValueWorld> {
    commits("set", 2, |value| value.set(NEW).unwrap())
}

fn update() -> Scenario<'static, ValueWorld> {
    commits("update", 2, |value| {
        value
            .update(|wide| {
                for word in wide.iter_mut() {
                    *word = 2;
                }
            })
            .unwrap();
    })
}

fn compare_exchange() -> Scenario<'static, ValueWorld> {
    commits("compare-exchange", 1, |value| assert_eq!(value.compare_exchange(&OLD, NEW).unwrap(), Ok(OLD)))
}

fn guard() -> Scenario<'static, ValueWorld> {
    commits("guard", 2, |value| *value.lock().unwrap() = NEW)
}

fn guard_discarded() -> Scenario<'static, ValueWorld> {
    Scenario::new("guard discarded", world("guard-discarded"))
        .prepared("discard", |world, stage| {
            let value = used(world);
            stage.run(|| {
                let mut guard = value.lock().unwrap();
                *guard = NEW;
                guard.discard();
            })
        })
        .watch(|world| world.regions())
        .check(|world, _| survive_whole(world, &[OLD]).map(drop))
}

fn edit(mut guard: InPlace<'_>, word: u64) -> InPlace<'_> {
    for place in guard.iter_mut() {
        *place = word;
    }
    guard
}

fn edit_in_place() -> Scenario<'static, ValueWorld> {
    Scenario::new("edit in place", world("edit-in-place"))
        .prepared("edit", |world, stage| {
            let value = used(world);
            stage.run(|| drop(edit(value.lock_in_place().unwrap(), 2)))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let torn = survive_in_place(world, if fates[0].finished { &[NEW] } else { &[OLD, NEW] })?;
            if torn && fates[0].finished { Err("torn by a finished edit".to_owned()) } else { Ok(()) }
        })
}

/// A world whose value a dead editor left half old, half new.
fn torn_world(name: &str) -> ValueWorld {
    let world = World::new(name, value_in);
    die_after(|| {
        let mut guard = world.object.lock_in_place().unwrap();
        guard[..8].fill(2);
        std::mem::forget(guard);
    });
    world
}

fn check_repair(world: &ValueWorld, fates: &[Fate]) -> Result<(), String> {
    let finished = fates.iter().any(|fate| fate.finished);
    let torn = survive_in_place(world, &[REPAIRED])?;
    match (torn, finished, world.noted(REPAIRING)) {
        (true, true, _) => Err("torn although it was repaired".into()),
        (false, _, false) => Err("whole although nobody began to repair it".into()),
        _ => Ok(()),
    }
}

fn repair_in_place() -> Scenario<'static, ValueWorld> {
    let mut scenario = Scenario::new("repair in place", || torn_world("repair-in-place"));
    for name in ["repair", "repair that", "repair that again"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let guard = match world.object.lock_in_place() {
                    Ok(guard) if world.noted(REPAIRING) => guard,
                    outcome => died(outcome).unwrap(),
                };
                let mut guard = edit(guard, 5);
                world.note(REPAIRING);
                guard.make_consistent();
                drop(guard);
            })
        });
    }
    // Who comes after a repair edits it anew, and may leave it torn anew.
    scenario
        .watch(|world| world.regions())
        .check(|world, fates: &[Fate]| check_repair(world, &fates[fates.len() - 1..]))
}

fn set_heals() -> Scenario<'static, ValueWorld> {
    let mut scenario = Scenario::new("set heals", || torn_world("set-heals"));
    for name in ["set", "set again"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                world.note(REPAIRING);
                world.object.set(REPAIRED).unwrap();
            })
        });
    }
    scenario.watch(|world| world.regions()).check(check_repair)
}

/// The writer dies anywhere, then a reader that may write dies anywhere while it reads.
fn get_beside_a_dead_writer() -> Scenario<'static, ValueWorld> {
    Scenario::new("get beside a dead writer", world("get-beside"))
        .prepared("set", |world, stage| {
            let value = used(world);
            stage.run(|| value.set(NEW).unwrap())
        })
        .prepared("get", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let seen = number(&world.object.get().unwrap()).unwrap();
                world.word(READ).store(seen, SeqCst);
            })
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let left = survive_whole(world, if fates[0].finished { &[NEW] } else { &[OLD, NEW] })?;
            let read = world.word(READ).load(SeqCst);
            if read == 0 || read == left { Ok(()) } else { Err(format!("read {read}, left {left}")) }
        })
}
