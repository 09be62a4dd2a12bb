//! Two creators and eight openers race for each name while they are killed: one winner, complete or absent.

use std::sync::atomic::Ordering::SeqCst;

use procshare::{Error, Lifetime, Value};
use procshare_harness::Seat;

use crate::support::{LONG, SHORT, Scene, Size, rage, storm};

type Wide = [u64; 24];

/// The name that everybody races for.
const ROUND: usize = 0;
/// What the first reader of each name saw.
const SEEN: usize = 64;
const ROUNDS: u64 = 30_000;

fn name(round: u64) -> String {
    format!("made-{round}")
}

/// Whatever is there is complete, and the same for all who ever saw it.
fn inspect(scene: &Scene, round: u64, value: &Value<Wide>) -> Result<(), String> {
    let wide = value.get().map_err(|error| error.to_string())?;
    if wide[0] == 0 || wide.iter().any(|word| *word != wide[0]) {
        return Err(format!("incomplete: {wide:?}"));
    }
    match scene.word(SEEN + round as usize).compare_exchange(0, wide[0], SeqCst, SeqCst) {
        Err(first) if first != wide[0] => {
            Err(format!("two winners of round {round}: {first:x} and {:x}", wide[0]))
        }
        _ => Ok(()),
    }
}

fn create(scene: &Scene, round: u64, seat: &mut Seat<'_>) -> Result<(), String> {
    let content = [seat.rng().next_u64() | 1; 24];
    let builder = || Value::builder().space(&scene.space);
    let made = if seat.rng().one_in(2) {
        builder().create(&name(round), content)
    } else {
        builder().open_or_create(&name(round), content)
    };
    match made {
        Ok(value) => inspect(scene, round, &value)?,
        Err(Error::AlreadyExists { .. }) => {
            let value = builder().open(&name(round)).map_err(|error| error.to_string())?;
            inspect(scene, round, &value)?;
        }
        Err(other) => return Err(other.to_string()),
    }
    // Scoped neighbours die with their creators.
    if seat.rng().one_in(4) {
        let scoped = builder().lifetime(Lifetime::Scoped).anonymous(content);
        drop(scoped.map_err(|error| error.to_string())?);
    }
    let _ = scene.word(ROUND).compare_exchange(round, round + 1, SeqCst, SeqCst);
    Ok(())
}

fn open(scene: &Scene, round: u64) -> Result<(), String> {
    match Value::<Wide>::builder().space(&scene.space).open(&name(round)) {
        Ok(value) => inspect(scene, round, &value),
        Err(Error::NotFound { .. }) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

/// Only complete named objects are left, one for each round that was won.
fn check(scene: &Scene) -> Result<(), String> {
    scene.space.collect().map_err(|error| error.to_string())?;
    for entry in std::fs::read_dir(scene.space.directory()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if file == ".registry" {
            continue;
        }
        let round = file.strip_prefix("made-").and_then(|round| round.parse().ok());
        let round = round.ok_or_else(|| format!("left behind: {file}"))?;
        let value =
            Value::<Wide>::builder().space(&scene.space).open(&file).map_err(|error| error.to_string())?;
        inspect(scene, round, &value)?;
    }
    for round in 0..scene.get(ROUND) {
        if !scene.space.directory().join(name(round)).exists() {
            return Err(format!("round {round} has no winner"));
        }
    }
    Ok(())
}

fn rages(size: Size, at_least: u64) {
    let scene = Scene::new("creation");
    let storm = storm("creation", size)
        .role("creator", 2, |seat| {
            while seat.again() {
                let round = scene.get(ROUND);
                if round < ROUNDS {
                    create(&scene, round, seat)?;
                }
            }
            Ok::<(), String>(())
        })
        .role("opener", 8, |seat| {
            while seat.again() {
                open(&scene, scene.get(ROUND).min(ROUNDS - 1))?;
            }
            Ok::<(), String>(())
        })
        .check(|| check(&scene));
    rage(&storm, size);
    let rounds = scene.get(ROUND);
    println!("creation: {rounds} rounds");
    assert!(rounds >= at_least, "only {rounds} rounds");
}

#[test]
fn a_short_storm() {
    rages(SHORT, 100);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm() {
    rages(LONG, 5_000);
}
