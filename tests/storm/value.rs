//! `Value` in a storm: never torn in silence, and no update is lost.

use procshare::{Cause, Error, LockError, Value};
use procshare_harness::Seat;

use crate::support::{LONG, SHORT, Scene, Size, exact, rage, storm};

type Wide = [u64; 40];

const NOTED: usize = 32;

fn number(wide: &Wide) -> Result<u64, String> {
    if wide.iter().all(|word| *word == wide[0]) { Ok(wide[0]) } else { Err(format!("torn: {wide:?}")) }
}

fn note(scene: &Scene, seat: &Seat<'_>) {
    let noted = NOTED + 8 * seat.index();
    scene.set(noted, scene.get(noted) + 1);
}

fn whole(outcome: Result<Wide, Error>) -> Result<Option<u64>, String> {
    match outcome {
        Ok(wide) => number(&wide).map(Some),
        Err(Error::OwnerDied { cause: Cause::Died }) => Ok(None),
        Err(other) => Err(other.to_string()),
    }
}

/// Counts by one, in some way that no death can tear.
fn count(scene: &Scene, value: &Value<Wide>, seat: &mut Seat<'_>) -> Result<(), String> {
    let before = whole(value.get())?.ok_or("told of a death that could tear nothing")?;
    let text = |error: Error| error.to_string();
    match seat.rng().below(3) {
        0 => value.update(|wide| wide.iter_mut().for_each(|word| *word += 1)).map_err(text)?,
        1 => {
            let mut guard = value.lock().map_err(|error| error.to_string())?;
            guard.iter_mut().for_each(|word| *word += 1);
        }
        _ => {
            let seen = value.get().map_err(text)?;
            if value.compare_exchange(&seen, [seen[0] + 1; 40]).map_err(text)?.is_err() {
                return Ok(());
            }
        }
    }
    note(scene, seat);
    if whole(value.get())? <= Some(before) { Err("the count did not rise".into()) } else { Ok(()) }
}

fn counts(size: Size) {
    let scene = Scene::new("value");
    let value = Value::builder().space(&scene.space).create("it", [0; 40]).unwrap();
    let reader = Value::<Wide>::builder().space(&scene.space).read_only(true).open("it").unwrap();
    let storm = storm("value", size)
        .role("counter", 3, |seat| {
            while seat.again() {
                count(&scene, &value, seat)?;
            }
            Ok::<(), String>(())
        })
        .role("reader", 1, |seat| {
            let mut last = Some(0);
            while seat.again() {
                let seen = whole(reader.get())?;
                if seen < last {
                    return Err(format!("{seen:?} after {last:?}"));
                }
                last = seen;
            }
            Ok(())
        })
        .spared();
    let report = rage(&storm, size);
    let noted = (0..3).map(|seat| scene.get(NOTED + 8 * seat)).sum();
    exact("counts", value.get().unwrap()[0], noted, report.kills);
}

/// Edits the value itself; whoever finds it torn repairs it, or leaves it to the next.
fn edit(value: &Value<Wide>, seat: &mut Seat<'_>) -> Result<(), String> {
    let mut guard = match value.lock_in_place() {
        Ok(guard) => {
            number(&guard)?;
            guard
        }
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => {
            let mut guard = outcome.into_guard();
            if seat.rng().one_in(3) {
                return Ok(());
            }
            guard.fill(7);
            guard.make_consistent();
            guard
        }
        Err(other) => return Err(other.to_string()),
    };
    let next = guard[0] + 1;
    for word in guard.iter_mut() {
        *word = next;
    }
    Ok(())
}

fn edits(size: Size) {
    let scene = Scene::new("value-in-place");
    let value = Value::builder().space(&scene.space).create("it", [0; 40]).unwrap();
    let reader = Value::<Wide>::builder().space(&scene.space).read_only(true).open("it").unwrap();
    let storm = storm("value in place", size)
        .role("editor", 3, |seat| {
            while seat.again() {
                edit(&value, seat)?;
                if seat.rng().one_in(50) {
                    value.set([3; 40]).map_err(|error| error.to_string())?;
                }
                whole(value.get())?;
            }
            Ok::<(), String>(())
        })
        .role("reader", 1, |seat| {
            while seat.again() {
                whole(reader.get())?;
            }
            Ok::<(), String>(())
        })
        .spared();
    rage(&storm, size);
}

#[test]
fn a_short_storm_of_counts() {
    counts(SHORT);
}

#[test]
fn a_short_storm_of_edits_in_place() {
    edits(SHORT);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm_of_counts() {
    counts(LONG);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm_of_edits_in_place() {
    edits(LONG);
}
