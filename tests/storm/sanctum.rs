//! What a lock protects in a storm: one at a time is inside, and whoever comes after a dead one is told.

use std::sync::atomic::Ordering::SeqCst;

use procshare::{Cause, LockError};
use procshare_harness::{Seat, StormReport};

use crate::support::{Scene, exact};

const INSIDE: usize = 0;
/// Two counters, raised one after the other: different only after a death between.
const LEFT: usize = 8;
const RIGHT: usize = 9;
/// Somebody was told of a death and left the lock inconsistent.
const DIRTY: usize = 16;
/// How often somebody was told, and nobody had been told of that death before.
const NEWS: usize = 17;
const NOTED: usize = 32;

/// The guard, and whether its last owner died; `None` if it was not to be had.
pub(crate) fn outcome<G>(result: Result<G, LockError<G>>) -> Result<Option<(G, bool)>, String> {
    match result {
        Ok(guard) => Ok(Some((guard, false))),
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => {
            Ok(Some((outcome.into_guard(), true)))
        }
        Err(LockError::WouldBlock | LockError::TimedOut) => Ok(None),
        Err(other) => Err(other.to_string()),
    }
}

/// One visit under the lock. Who was told heals it, or leaves that to the next one; `false` then.
pub(crate) fn visit(
    scene: &Scene,
    seat: &mut Seat<'_>,
    told: bool,
    heal: impl FnOnce(),
) -> Result<bool, String> {
    if told {
        scene.set(NEWS, scene.get(NEWS) + u64::from(scene.get(DIRTY) == 0));
        scene.set(INSIDE, 0);
        scene.set(DIRTY, 1);
        if seat.rng().one_in(3) {
            return Ok(false);
        }
        scene.set(RIGHT, scene.get(LEFT));
        scene.set(DIRTY, 0);
        heal();
    } else if scene.get(DIRTY) != 0 {
        return Err("not told although nobody had made it consistent".into());
    }
    if scene.word(INSIDE).swap(1, SeqCst) != 0 {
        return Err("two inside".into());
    }
    if scene.get(LEFT) != scene.get(RIGHT) {
        return Err("a death between the counters was not told".into());
    }
    scene.set(LEFT, scene.get(LEFT) + 1);
    scene.set(RIGHT, scene.get(RIGHT) + 1);
    scene.set(INSIDE, 0);
    Ok(true)
}

/// A look at what is protected, beside others who only look: it stands still, and is whole unless `told`.
pub(crate) fn look(scene: &Scene, told: bool) -> Result<(), String> {
    let (left, right, inside) = (scene.get(LEFT), scene.get(RIGHT), scene.get(INSIDE));
    if !told && (left != right || inside != 0 || scene.get(DIRTY) != 0) {
        return Err(format!("not told: {left} and {right}, {inside} inside"));
    }
    std::hint::spin_loop();
    if [LEFT, RIGHT, INSIDE].map(|word| scene.get(word)) != [left, right, inside] {
        return Err("it changed under a reader".into());
    }
    Ok(())
}

/// Notes a visit whose guard is gone.
pub(crate) fn note(scene: &Scene, seat: &Seat<'_>) {
    let noted = NOTED + 8 * seat.index();
    scene.set(noted, scene.get(noted) + 1);
}

/// The figures agree with what `seats` seats noted, and with the deaths.
pub(crate) fn assert_figures(scene: &Scene, seats: usize, report: &StormReport) {
    let noted = (0..seats).map(|seat| scene.get(NOTED + 8 * seat)).sum();
    exact("turns", scene.get(LEFT), noted, report.kills);
    let news = scene.get(NEWS);
    assert!(news <= report.kills, "told of {news} deaths, {} died", report.kills);
}
