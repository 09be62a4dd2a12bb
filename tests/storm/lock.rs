//! `Lock` in a storm: mutual exclusion, and everybody is told of a death until one declares the lock consistent.

use std::time::Duration;

use procshare::{Cause, Lock, LockError, LockGuard};
use procshare_harness::Seat;

use crate::support::{LONG, SHORT, Scene, Size, exact, rage, storm};

const INSIDE: usize = 0;
/// Two counters, raised one after the other: different only after a death between.
const LEFT: usize = 8;
const RIGHT: usize = 9;
/// Somebody was told of a death and left the lock inconsistent.
const DIRTY: usize = 16;
/// How often somebody was told, and nobody had been told of that death before.
const NEWS: usize = 17;
const NOTED: usize = 32;

/// One way or another to ask for the lock; `None` if it was not to be had.
fn ask<'a>(lock: &'a Lock, seat: &mut Seat<'_>) -> Option<Result<LockGuard<'a>, LockError<LockGuard<'a>>>> {
    let outcome = match seat.rng().below(3) {
        0 => lock.lock(),
        1 => lock.try_lock(),
        _ => lock.lock_timeout(Duration::from_millis(3)),
    };
    match outcome {
        Err(LockError::WouldBlock | LockError::TimedOut) => None,
        other => Some(other),
    }
}

fn play(scene: &Scene, lock: &Lock, seat: &mut Seat<'_>) -> Result<(), String> {
    let Some(outcome) = ask(lock, seat) else { return Ok(()) };
    let guard = match outcome {
        Ok(guard) => {
            if scene.get(DIRTY) != 0 {
                return Err("not told although nobody had made it consistent".into());
            }
            guard
        }
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => {
            scene.set(NEWS, scene.get(NEWS) + u64::from(scene.get(DIRTY) == 0));
            scene.set(INSIDE, 0);
            scene.set(DIRTY, 1);
            let guard = outcome.into_guard();
            if seat.rng().one_in(3) {
                drop(guard);
                return Ok(());
            }
            scene.set(RIGHT, scene.get(LEFT));
            scene.set(DIRTY, 0);
            guard.make_consistent();
            guard
        }
        Err(other) => return Err(other.to_string()),
    };
    if scene.word(INSIDE).swap(1, std::sync::atomic::Ordering::SeqCst) != 0 {
        return Err("two inside".into());
    }
    if scene.get(LEFT) != scene.get(RIGHT) {
        return Err("a death between the counters was not told".into());
    }
    scene.set(LEFT, scene.get(LEFT) + 1);
    scene.set(RIGHT, scene.get(RIGHT) + 1);
    scene.set(INSIDE, 0);
    drop(guard);
    let noted = NOTED + 8 * seat.index();
    scene.set(noted, scene.get(noted) + 1);
    Ok(())
}

fn rages(size: Size) {
    let scene = Scene::new("lock");
    let lock = Lock::builder().space(&scene.space).create("it").unwrap();
    let storm = storm("lock", size)
        .role("contender", 3, |seat| {
            while seat.again() {
                play(&scene, &lock, seat)?;
            }
            Ok::<(), String>(())
        })
        .check(|| {
            let guard = lock.lock().or_else(LockError::into_guard).unwrap();
            guard.make_consistent();
            drop(guard);
            drop(lock.lock().unwrap());
        });
    let report = rage(&storm, size);
    let noted = (0..3).map(|seat| scene.get(NOTED + 8 * seat)).sum();
    exact("turns", scene.get(LEFT), noted, report.kills);
    let news = scene.get(NEWS);
    assert!(news <= report.kills, "told of {news} deaths, {} died", report.kills);
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
