//! `Lock` in a storm: mutual exclusion, and everybody is told of a death until one declares the lock consistent.

use std::time::Duration;

use procshare::{Lock, LockError};
use procshare_harness::Seat;

use crate::sanctum::{assert_figures, note, outcome, visit};
use crate::support::{Scene, Size, rage, storm, storm_tests};

storm_tests!(rages);

fn play(scene: &Scene, lock: &Lock, seat: &mut Seat<'_>) -> Result<(), String> {
    let asked = match seat.rng().below(3) {
        0 => lock.lock(),
        1 => lock.try_lock(),
        _ => lock.lock_timeout(Duration::from_millis(3)),
    };
    let Some((guard, told)) = outcome(asked)? else { return Ok(()) };
    let done = visit(scene, seat, told, || guard.make_consistent())?;
    drop(guard);
    if done {
        note(scene, seat);
    }
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
    assert_figures(&scene, 3, &report);
}
