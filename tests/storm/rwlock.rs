//! `RwLock` in a storm: nothing changes under a reader, readers are told of dead writers, and the dead keep nobody out.

use std::time::Duration;

use procshare::{LockError, RwLock};
use procshare_harness::Seat;

use crate::sanctum::{assert_figures, look, note, outcome, visit};
use crate::support::{Scene, Size, rage, storm, storm_tests};

storm_tests!(rages);

const PATIENCE: Duration = Duration::from_millis(3);

fn write(scene: &Scene, lock: &RwLock, seat: &mut Seat<'_>) -> Result<(), String> {
    let asked = match seat.rng().below(3) {
        0 => lock.write(),
        1 => lock.try_write(),
        _ => lock.write_timeout(PATIENCE),
    };
    let Some((guard, told)) = outcome(asked)? else { return Ok(()) };
    let done = visit(scene, seat, told, || guard.make_consistent())?;
    if done && seat.rng().one_in(4) {
        let guard = guard.downgrade();
        look(scene, false)?;
        drop(guard);
    } else {
        drop(guard);
    }
    if done {
        note(scene, seat);
    }
    Ok(())
}

fn read(scene: &Scene, lock: &RwLock, seat: &mut Seat<'_>) -> Result<(), String> {
    let asked = match seat.rng().below(3) {
        0 => lock.read(),
        1 => lock.try_read(),
        _ => lock.read_timeout(PATIENCE),
    };
    let Some((_guard, told)) = outcome(asked)? else { return Ok(()) };
    look(scene, told)
}

fn rages(size: Size) {
    let scene = Scene::new("rwlock");
    let lock = RwLock::builder().space(&scene.space).create("it").unwrap();
    let storm = storm("rwlock", size)
        .role("contender", 4, |seat| {
            while seat.again() {
                if seat.rng().one_in(3) {
                    write(&scene, &lock, seat)?;
                } else {
                    read(&scene, &lock, seat)?;
                }
            }
            Ok::<(), String>(())
        })
        .check(|| {
            let guard = lock.write().or_else(LockError::into_guard).unwrap();
            guard.make_consistent();
            drop(guard);
            drop(lock.write().unwrap());
            drop((lock.read().unwrap(), lock.try_read().unwrap()));
            assert_eq!(lock.readers(), 0);
        });
    let report = rage(&storm, size);
    assert_figures(&scene, 4, &report);
}
