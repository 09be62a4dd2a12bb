//! Deaths inside `Array`: a torn range is named, all others stay usable, and no room for guards is lost.

use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;

use procshare::{Array, ArrayGuard, ArrayInit, Cause, Error, LockError, Plain, Space};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, await_word, die_after};

kill_tests! {
    set: Pair;
    set_wide: Chain;
    update: Chain;
    write_range: Pair;
    guard: Pair;
    read_after_a_writer: Alone;
    take_over: Chain;
    set_then_take_over: Chain;
    grow: Chain;
}

const LEN: usize = 32;
/// What the victims write.
const RANGE: Range<usize> = 4..12;
const GUARDS: usize = 2;
const REPAIRING: usize = 0;
const INSIDE: usize = 1;
const GO: usize = 2;

/// Elements that one store writes.
type Narrow = u64;
/// Elements that take several.
type Wide = [u64; 3];

trait Element: Plain + PartialEq + std::fmt::Debug {
    fn all(word: u64) -> Self;
}

impl Element for Narrow {
    fn all(word: u64) -> Self {
        word
    }
}

impl Element for Wide {
    fn all(word: u64) -> Self {
        [word; 3]
    }
}

type ArrayWorld<T> = World<Array<T>>;

fn array_in<T: Element>(space: &Space) -> Array<T> {
    let init = ArrayInit::filled(LEN, T::all(1)).max_len(2 * LEN).guards(GUARDS);
    Array::builder().space(space).create("it", init).unwrap()
}

fn world<T: Element>(name: &'static str) -> impl Fn() -> ArrayWorld<T> {
    move || World::new(name, array_in)
}

/// A process that has joined, and takes no lock for it: another victim may be frozen with it.
fn used<T: Element>(world: &ArrayWorld<T>) -> &Array<T> {
    world.space.join().unwrap();
    &world.object
}

/// What is left: `range` wholly old (1) or wholly new (2), or torn and named as `range`; everything else untouched and
/// usable meanwhile. Tells what it was: `None` for torn.
fn survive<T: Element>(world: &ArrayWorld<T>, range: Range<usize>) -> Result<Option<u64>, String> {
    let array = &world.object;
    let reader = Array::<T>::builder().space(&world.space).read_only(true).open("it").unwrap();
    let left = content(&reader, &range)?;
    if content(array, &range)? != left {
        return Err("readers disagree".into());
    }
    // The neighbours, before anybody repairs.
    for index in [range.start - 1, range.end, LEN - 1] {
        assert_eq!(array.get(index).unwrap(), T::all(1), "element {index}");
        array.set(index, T::all(1)).unwrap();
        assert_eq!(array.lock(index..=index).unwrap()[0], T::all(1));
    }
    if left.is_none() {
        assert!(matches!(array.set(range.start, T::all(7)), Err(Error::RangeOwnerDied { .. })));
        // Dropping the outcome repairs nothing.
        drop(died(array.try_lock(range.clone()), &range)?);
        let mut guard = died(array.lock(range.clone()), &range)?;
        guard.fill(T::all(7));
        guard.make_consistent().unwrap();
        drop(guard);
        assert_eq!([content(array, &range)?, content(&reader, &range)?], [Some(7); 2]);
    }
    assert_works(world)?;
    Ok(left)
}

fn content<T: Element>(array: &Array<T>, range: &Range<usize>) -> Result<Option<u64>, String> {
    let mut copy = vec![T::all(0); range.len()];
    match array.read(range.start, &mut copy) {
        Ok(()) => {}
        Err(Error::RangeOwnerDied { start, end, cause: Cause::Died, .. }) if (start..end) == *range => {
            return Ok(None);
        }
        Err(other) => return Err(other.to_string()),
    }
    let is = |word: u64| copy.iter().all(|element| *element == T::all(word));
    [1, 2, 5, 7]
        .into_iter()
        .find(|&word| is(word))
        .map(Some)
        .ok_or_else(|| format!("torn in silence: {copy:?}"))
}

fn died<'a, T: Element>(
    outcome: Result<ArrayGuard<'a, T>, LockError<ArrayGuard<'a, T>>>,
    range: &Range<usize>,
) -> Result<ArrayGuard<'a, T>, String> {
    match outcome {
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => {
            let guard = outcome.into_guard();
            assert_eq!(guard.torn().as_ref(), Some(range));
            Ok(guard)
        }
        other => Err(format!("not told of the death: {other:?}")),
    }
}

/// As many guards as ever can be held at once, and no slot or file is lost.
fn assert_works<T: Element>(world: &ArrayWorld<T>) -> Result<(), String> {
    let array = &world.object;
    let mut held = Vec::new();
    for index in 0..GUARDS {
        let quarter = LEN / GUARDS;
        held.push(array.try_lock(index * quarter..(index + 1) * quarter).map_err(|error| error.to_string())?);
    }
    drop(held);
    let mut guard = array.lock(..).map_err(|error| error.to_string())?;
    guard.fill(T::all(9));
    drop(guard);
    array.set(0, T::all(9)).unwrap();
    assert_eq!(array.to_vec().unwrap(), vec![T::all(9); array.len()]);
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(())
}

/// A scenario of operations that write 2 over `range`; a victim that meets a torn range may be refused.
fn writes<T: Element>(
    name: &'static str,
    range: Range<usize>,
    operation: impl Fn(&Array<T>) -> Result<(), Error> + Copy + 'static,
) -> Scenario<'static, ArrayWorld<T>> {
    let mut scenario = Scenario::new(name, world(name));
    for victim in 0..2 {
        scenario = scenario.prepared(name, move |world, stage| {
            let array = used(world);
            stage.run(|| match operation(array) {
                Ok(()) => world.note(victim),
                Err(Error::RangeOwnerDied { .. } | Error::OwnerDied { .. }) => {}
                Err(other) => panic!("{other}"),
            })
        });
    }
    scenario.watch(|world| world.regions()).check(move |world, fates| {
        let wrote = (0..2).filter(|&victim| world.noted(victim)).count();
        match survive(world, range.clone())? {
            Some(1) if wrote > 0 => Err("a write that returned is lost".to_owned()),
            None if wrote == fates.len() => Err("torn, although all writes returned".into()),
            _ => Ok(()),
        }
    })
}

fn set() -> Scenario<'static, ArrayWorld<Narrow>> {
    writes("array set", 4..5, |array| array.set(4, 2))
}

fn set_wide() -> Scenario<'static, ArrayWorld<Wide>> {
    writes("array set wide", 4..5, |array| array.set(4, Wide::all(2)))
}

fn update() -> Scenario<'static, ArrayWorld<Wide>> {
    writes("array update", 4..5, |array| array.update(4, |element: &mut Wide| element.fill(2)))
}

fn write_range() -> Scenario<'static, ArrayWorld<Narrow>> {
    writes("array write", RANGE, |array| array.write(RANGE.start, &[2; RANGE.end - RANGE.start]))
}

fn guard() -> Scenario<'static, ArrayWorld<Narrow>> {
    writes("array guard", RANGE, |array| {
        let mut guard = array.lock(RANGE)?;
        for element in guard.iter_mut() {
            *element = 2;
        }
        Ok(())
    })
}

/// Where the table of claims begins: behind the head, the stripes, and a bit for each entry.
fn first_entry<T: Element>(world: &ArrayWorld<T>) -> u64 {
    let [stripes, entries] =
        [40, 44].map(|at| u64::from(u32::from_ne_bytes(world.body(at, 4).try_into().unwrap())));
    64 + 64 * stripes + 8 * entries.div_ceil(64)
}

/// A reader waits for a writer who lives, claims the range and dies: it has torn nothing.
fn read_after_a_writer() -> Scenario<'static, ArrayWorld<Wide>> {
    let world = || {
        let world = World::new("array-read-after", array_in::<Wide>).with_helper(|world| {
            let guard = world.object.lock(RANGE).unwrap();
            world.note(INSIDE);
            await_word(world.word(GO), 1);
            drop(guard);
            world.word(GO).store(2, SeqCst);
        });
        await_word(world.word(INSIDE), 1);
        world.occupy_watch(first_entry(&world) + 24);
        world
    };
    fn let_go(world: &ArrayWorld<Wide>) {
        if !world.noted(GO) {
            world.note(GO);
        }
        await_word(world.word(GO), 2);
    }
    Scenario::new("array read after a writer", world)
        .prepared("read", |world, stage| {
            let array = used(world);
            stage.run(|| assert_eq!(array.get(RANGE.start).unwrap(), Wide::all(1)))
        })
        .when_asleep(let_go)
        .watch(|world| world.regions())
        .check(|world, _| {
            let_go(world);
            match survive(world, RANGE.start..RANGE.start + 1)? {
                Some(1) => Ok(()),
                left => Err(format!("{left:?}, although nobody wrote")),
            }
        })
}

/// Locks the range, repairs it if need be, and gives it back.
fn repair<T: Element>(world: &ArrayWorld<T>, range: Range<usize>) {
    let mut guard = match world.object.lock(range.clone()) {
        Ok(guard) => guard,
        outcome => died(outcome, &range).unwrap(),
    };
    for element in guard.iter_mut() {
        *element = T::all(5);
    }
    world.note(REPAIRING);
    guard.make_consistent().unwrap();
    drop(guard);
}

fn take_over() -> Scenario<'static, ArrayWorld<Narrow>> {
    let torn = || {
        let world = World::new("array-take-over", array_in::<Narrow>);
        die_after(|| {
            let mut guard = world.object.lock(RANGE).unwrap();
            guard[..3].fill(2);
            std::mem::forget(guard);
        });
        world
    };
    let mut scenario = Scenario::new("array take over", torn);
    for name in ["repair", "repair that", "repair that again"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let repaired = world.noted(REPAIRING);
                if !repaired {
                    assert!(matches!(world.object.try_get(RANGE.start), Err(Error::RangeOwnerDied { .. })));
                }
                repair(world, RANGE);
            })
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        let finished = fates.iter().any(|fate| fate.finished);
        let last = &fates[fates.len() - 1];
        match (survive(world, RANGE)?, world.noted(REPAIRING)) {
            (None, _) if last.finished => Err("torn after its repair".into()),
            (Some(5), true) | (None, _) => Ok(()),
            (left, _) => Err(format!("{left:?}, finished: {finished}")),
        }
    })
}

/// A writer of one element dies anywhere; whoever locks a range around it waits for nobody.
fn set_then_take_over() -> Scenario<'static, ArrayWorld<Wide>> {
    Scenario::new("array set, then take over", world::<Wide>("array-set-then"))
        .prepared("set", |world, stage| {
            let array = used(world);
            stage.run(|| array.set(4, Wide::all(2)).unwrap())
        })
        .prepared("lock", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| repair(world, 4..5))
        })
        .watch(|world| world.regions())
        .check(|world, fates: &[Fate]| {
            let left = survive(world, 4..5)?;
            let repaired = fates.get(1).is_some_and(|fate| fate.finished);
            match left {
                Some(5) if world.noted(REPAIRING) => Ok(()),
                _ if repaired => Err(format!("{left:?} after a repair")),
                Some(1) if fates[0].finished => Err("a set that returned is lost".into()),
                None if fates.len() == 1 && fates[0].finished => Err("torn by a set that returned".into()),
                _ => Ok(()),
            }
        })
}

fn grow() -> Scenario<'static, ArrayWorld<Narrow>> {
    let mut scenario = Scenario::new("array grow", world::<Narrow>("array-grow"));
    for name in ["grow", "grow again"] {
        scenario = scenario.prepared(name, |world, stage| {
            let array = used(world);
            stage.run(|| array.grow(LEN + 8, 2).unwrap())
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        let array = &world.object;
        let len = array.len();
        // Not even a dead grower's claim is in anybody's way.
        assert_eq!(array.to_vec().unwrap().len(), len);
        drop(array.lock(..).unwrap());
        let finished = fates.iter().any(|fate| fate.finished);
        assert!(len == LEN + 8 || (len == LEN && !finished), "{len}");
        array.grow(LEN + 8, 2).unwrap();
        let mut expected = vec![1; LEN];
        expected.extend([2; 8]);
        assert_eq!(array.to_vec().unwrap(), expected);
        array.grow(2 * LEN, 3).unwrap();
        assert_eq!(array.get(2 * LEN - 1).unwrap(), 3);
        assert_works(world)
    })
}
