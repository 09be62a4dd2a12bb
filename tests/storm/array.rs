//! `Array` in a storm: blocks are whole or named as torn, and every element's counter is exact.

use procshare::{Array, ArrayInit, Cause, Error, LockError};
use procshare_harness::Seat;

use crate::support::{LONG, SHORT, Scene, Size, exact, rage, storm};

/// Elements that several stores write.
type Wide = [u64; 3];

const BLOCK: usize = 8;
const BLOCKS: usize = 6;
/// Behind the blocks each seat has an element of its own.
const OWN: usize = BLOCK * BLOCKS;
const NOTED: usize = 32;

/// All equal, or it is told why not.
fn whole(block: usize, outcome: Result<(), Error>, copy: &[Wide]) -> Result<(), String> {
    match outcome {
        Ok(()) if copy.iter().all(|element| *element == [copy[0][0]; 3]) => Ok(()),
        Ok(()) => Err(format!("torn in silence: {copy:?}")),
        Err(Error::RangeOwnerDied { start, end, cause: Cause::Died, .. })
            if start < (block + 1) * BLOCK && end > block * BLOCK =>
        {
            Ok(())
        }
        Err(other) => Err(other.to_string()),
    }
}

fn read(array: &Array<Wide>, block: usize) -> Result<(), String> {
    let mut copy = [[0; 3]; BLOCK];
    let outcome = array.read(block * BLOCK, &mut copy);
    whole(block, outcome, &copy)
}

fn write(array: &Array<Wide>, block: usize, word: u64) -> Result<(), String> {
    whole(block, array.write(block * BLOCK, &[[word; 3]; BLOCK]), &[[0; 3]])
}

/// Locks one block or two neighbours, repairs what is torn, and writes through the guard.
fn edit(array: &Array<Wide>, block: usize, word: u64) -> Result<(), String> {
    let blocks = 1 + usize::from(word.is_multiple_of(3) && block + 1 < BLOCKS);
    let range = block * BLOCK..(block + blocks) * BLOCK;
    let guard = match array.lock(range.clone()) {
        Ok(guard) => Ok(guard),
        Err(LockError::OwnerDied(outcome)) => {
            // What is torn may reach beyond; then all of it is repaired.
            let torn = outcome.into_guard().torn().ok_or("told of a death that tore nothing")?;
            array.lock(range.start.min(torn.start)..range.end.max(torn.end))
        }
        Err(other) => Err(other),
    };
    let (mut guard, torn) = match guard {
        Ok(guard) => (guard, false),
        Err(LockError::OwnerDied(outcome)) => (outcome.into_guard(), true),
        Err(other) => return Err(other.to_string()),
    };
    for element in guard.iter_mut() {
        *element = [word; 3];
    }
    match guard.make_consistent() {
        Err(Error::RangeOwnerDied { .. }) if torn => Ok(()),
        outcome => outcome.map_err(|error| error.to_string()),
    }
}

/// Raises the seat's own element: nobody else writes it, so a torn one is this seat's own.
fn count(scene: &Scene, array: &Array<Wide>, seat: &Seat<'_>) -> Result<(), String> {
    let (own, noted) = (OWN + seat.index(), NOTED + 8 * seat.index());
    match array.get(own) {
        Ok([a, b, c]) if a == b && b == c => {
            array.set(own, [a + 1; 3]).map_err(|error| error.to_string())?;
            scene.set(noted, scene.get(noted) + 1);
            Ok(())
        }
        Ok(torn) => Err(format!("torn in silence: {torn:?}")),
        Err(Error::RangeOwnerDied { start, end, .. }) if (start, end) == (own, own + 1) => {
            let outcome = array.lock(own..own + 1);
            let mut guard = outcome.or_else(LockError::into_guard).map_err(|error| error.to_string())?;
            guard[0] = [scene.get(noted); 3];
            guard.make_consistent().map_err(|error| error.to_string())
        }
        Err(other) => Err(other.to_string()),
    }
}

fn rages(size: Size) {
    let scene = Scene::new("array");
    let init = ArrayInit::filled(OWN + 3, [0; 3]).guards(16);
    let array = Array::<Wide>::builder().space(&scene.space).create("it", init).unwrap();
    let reader = Array::<Wide>::builder().space(&scene.space).read_only(true).open("it").unwrap();
    let storm = storm("array", size)
        .role("contender", 3, |seat| {
            while seat.again() {
                let (verb, block) = (seat.rng().below(4), seat.rng().below(BLOCKS as u64) as usize);
                let word = seat.rng().next_u64();
                match verb {
                    0 => read(&array, block)?,
                    1 => write(&array, block, word)?,
                    2 => edit(&array, block, word)?,
                    _ => count(&scene, &array, seat)?,
                }
            }
            Ok::<(), String>(())
        })
        .role("reader", 1, |seat| {
            while seat.again() {
                read(&reader, seat.rng().below(BLOCKS as u64) as usize)?;
            }
            Ok::<(), String>(())
        })
        .spared()
        .check(|| {
            let mut guard = array.lock(..).or_else(LockError::into_guard).unwrap();
            guard.make_consistent().unwrap();
            drop(guard);
            // Every guard there is can be held at once.
            let _all: Vec<_> = (0..16).map(|index| array.try_lock(index..=index).unwrap()).collect();
        });
    let report = rage(&storm, size);
    for seat in 0..3 {
        let noted = scene.get(NOTED + 8 * seat);
        // A seat repairs its element to what it had noted; a death can only have raised it since.
        exact("a seat's count", array.get(OWN + seat).unwrap()[0], noted, report.kills);
    }
}

#[test]
fn a_short_storm() {
    rages(SHORT);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm() {
    rages(LONG);
}
