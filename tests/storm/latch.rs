//! `Latch` in a storm: each counted down once or not at all, and it opens when all have.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Error, Latch};
use procshare_harness::Seat;

use crate::support::{Scene, Size, exact, rage, storm, storm_tests};

storm_tests!(rages);

/// Steps of one latch.
const STEPS: u32 = 500;
const PATIENCE: Duration = Duration::from_millis(200);
/// The most latches.
const ROUNDS: u64 = 20_000;

/// The latch that is counted down.
const ROUND: usize = 0;
/// Steps that a counter knows it made, by seat.
const NOTED: usize = 64;

fn latch(scene: &Scene, round: u64) -> Result<Latch, String> {
    let made = Latch::builder().space(&scene.space).open_or_create(&format!("latch-{round}"), STEPS);
    made.map_err(|error| error.to_string())
}

/// Counts one latch after the other down.
fn count(scene: &Scene, seat: &mut Seat<'_>) -> Result<(), String> {
    let mut current = None;
    while seat.again() {
        let round = scene.get(ROUND).min(ROUNDS);
        if current.as_ref().is_none_or(|(known, _)| *known != round) {
            current = Some((round, latch(scene, round)?));
        }
        let Some((_, latch)) = &current else { continue };
        match latch.count_down(1) {
            Ok(left) => {
                let noted = NOTED + 8 * seat.index();
                scene.set(noted, scene.get(noted) + 1);
                if left == 0 && latch.count() != 0 {
                    return Err("opened, and is not open".into());
                }
            }
            Err(Error::CountedTooFar { left: 0, .. }) => {
                if !latch.try_wait() || latch.count() != 0 {
                    return Err("counted to zero, and is not open".into());
                }
                if round < ROUNDS {
                    let _ = scene.word(ROUND).compare_exchange(round, round + 1, SeqCst, SeqCst);
                }
            }
            Err(other) => return Err(other.to_string()),
        }
    }
    Ok(())
}

/// Waits for one latch after the other.
fn wait(scene: &Scene, seat: &mut Seat<'_>) -> Result<(), String> {
    while seat.again() {
        let round = scene.get(ROUND);
        if round >= ROUNDS {
            continue;
        }
        let latch = latch(scene, round)?;
        // As long as it takes, with a word to the conductor now and then: at the end nobody counts down.
        let mut is_over = false;
        while !latch.wait_timeout(PATIENCE).map_err(|error| error.to_string())? {
            if is_over {
                return Err("a waiter slept on at an open latch".into());
            }
            is_over = scene.get(ROUND) != round;
            if !seat.again() {
                return Ok(());
            }
        }
        if latch.count() != 0 {
            return Err("let through with steps left".into());
        }
        let _ = scene.word(ROUND).compare_exchange(round, round + 1, SeqCst, SeqCst);
    }
    Ok(())
}

fn rages(size: Size) {
    let scene = Scene::new("latch");
    let storm = storm("latch", size)
        .role("counter", 3, |seat| count(&scene, seat))
        .role("waiter", 2, |seat| wait(&scene, seat))
        .check(|| {
            for round in 0..scene.get(ROUND) {
                assert!(latch(&scene, round).unwrap().try_wait(), "round {round} is not over");
            }
        });
    let report = rage(&storm, size);
    let rounds = scene.get(ROUND);
    println!("latch: {rounds} rounds");
    assert!(rounds > 0);
    let noted: u64 = (0..3).map(|seat| scene.get(NOTED + 8 * seat)).sum();
    let left = u64::from(latch(&scene, rounds).unwrap().count());
    let made = (rounds + 1) * u64::from(STEPS) - left;
    exact("steps", made, noted, report.kills);
}
