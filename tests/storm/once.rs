//! `Once` in a storm: exactly one does it, and whoever does it after a dead one is told.

use std::sync::atomic::Ordering::SeqCst;

use procshare::{Cause, Once};
use procshare_harness::Seat;

use crate::support::{Scene, Size, dawdle, rage, storm, storm_tests};

storm_tests!(rages);

/// The most rounds.
const ROUNDS: u64 = 9_000;
/// Words of a round: begun, done, seen to be done.
const WORDS: usize = 3;
const FIRST: usize = 64;

const ROUND: usize = 0;
/// How often somebody was told of a death.
const NEWS: usize = 8;

fn once(scene: &Scene, round: u64) -> Result<Once, String> {
    let made = Once::builder().space(&scene.space).open_or_create(&format!("once-{round}"));
    made.map_err(|error| error.to_string())
}

fn play(scene: &Scene, round: u64, seat: &mut Seat<'_>) -> Result<(), String> {
    let [begun, done, seen] = [0, 1, 2].map(|word| FIRST + WORDS * round as usize + word);
    let mut wrong = None;
    let outcome = once(scene, round)?.call_once(|state| {
        let told = state.predecessor() == Some(Cause::Died);
        if scene.get(seen) != 0 {
            wrong = Some("done again after it was done");
        } else if !told && scene.get(begun) != 0 {
            wrong = Some("begun again, and not told that the one before died");
        }
        if told {
            scene.word(NEWS).fetch_add(1, SeqCst);
        }
        scene.set(begun, 1);
        dawdle(seat, 20_000);
        scene.set(done, 1);
    });
    outcome.map_err(|error| error.to_string())?;
    if let Some(wrong) = wrong {
        return Err(format!("round {round}: {wrong}"));
    }
    if scene.get(done) != 1 {
        return Err(format!("round {round}: returned before it was done"));
    }
    scene.set(seen, 1);
    let _ = scene.word(ROUND).compare_exchange(round, round + 1, SeqCst, SeqCst);
    Ok(())
}

fn rages(size: Size) {
    let scene = Scene::new("once");
    let storm = storm("once", size)
        .role("contender", 4, |seat| {
            while seat.again() {
                let round = scene.get(ROUND);
                if round < ROUNDS {
                    play(&scene, round, seat)?;
                }
            }
            Ok::<(), String>(())
        })
        .check(|| {
            for round in 0..scene.get(ROUND) {
                assert!(once(&scene, round).unwrap().is_completed(), "round {round} is not over");
            }
        });
    let report = rage(&storm, size);
    let (rounds, news) = (scene.get(ROUND), scene.get(NEWS));
    println!("once: {rounds} rounds, {news} deaths in the middle");
    assert!(rounds > 0 && news <= report.kills);
}
