//! `RLock` in a storm: as `Lock`, at any depth, and nobody inherits a dead owner's depth.

use std::time::Duration;

use procshare::{LockError, RLock};
use procshare_harness::Seat;

use crate::sanctum::{assert_figures, note, outcome, visit};
use crate::support::{Scene, Size, rage, storm, storm_tests};

storm_tests!(rages);

fn play(scene: &Scene, lock: &RLock, seat: &mut Seat<'_>) -> Result<(), String> {
    let asked = match seat.rng().below(3) {
        0 => lock.lock(),
        1 => lock.try_lock(),
        _ => lock.lock_timeout(Duration::from_millis(3)),
    };
    let Some((guard, told)) = outcome(asked)? else { return Ok(()) };
    let mut deeper = Vec::new();
    for depth in 1..=1 + seat.rng().below(3) as u32 {
        if lock.depth() != depth {
            return Err(format!("at depth {} after entering {depth} times", lock.depth()));
        }
        let (guard, _) = outcome(lock.try_lock())?.ok_or("its own lock was refused")?;
        deeper.push(guard);
    }
    let done = visit(scene, seat, told, || guard.make_consistent())?;
    // In any order: only the last one lets go.
    drop(guard);
    drop(deeper);
    if lock.depth() != 0 {
        return Err(format!("at depth {} after leaving", lock.depth()));
    }
    if done {
        note(scene, seat);
    }
    Ok(())
}

fn rages(size: Size) {
    let scene = Scene::new("rlock");
    let lock = RLock::builder().space(&scene.space).create("it").unwrap();
    let storm = storm("rlock", size)
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
            assert_eq!((lock.depth(), lock.holder()), (0, None));
        });
    let report = rage(&storm, size);
    assert_figures(&scene, 3, &report);
}
