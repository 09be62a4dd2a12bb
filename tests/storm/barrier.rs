//! `Barrier` in a storm: nobody passes without the others, a death breaks it, a reset heals it.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Barrier, BarrierError, BarrierSeat, BarrierWaitResult, Error};
use procshare_harness::Seat;

use crate::support::{Scene, Size, rage, storm, storm_tests};

storm_tests!(rages);

const PARTIES: usize = 3;
/// How many rounds were completed.
const TRIPS: usize = 0;
/// Who passed in a round, a bit for each seat, and how many led it; two rounds are remembered.
const PASSED: [usize; 2] = [8, 16];
const LEADERS: [usize; 2] = [24, 32];
/// Rounds that somebody came through.
const THROUGH: usize = 40;

/// At the end the others leave one by one: nobody waits for them for ever.
const PATIENCE: Duration = Duration::from_millis(300);

fn heal(barrier: &Barrier) -> Result<(), String> {
    if barrier.is_broken() { barrier.reset().map_err(|error| error.to_string()) } else { Ok(()) }
}

/// A seat, which a dead one may still have.
fn sit(barrier: &Barrier) -> Result<Option<BarrierSeat>, String> {
    match barrier.join() {
        Ok(place) => Ok(Some(place)),
        Err(Error::BarrierBroken { .. }) => heal(barrier).map(|()| None),
        Err(other) => Err(other.to_string()),
    }
}

/// The leader counts, before anybody leaves.
fn count(scene: &Scene) {
    let trip = scene.get(TRIPS) + 1;
    let next = (trip + 1) as usize % 2;
    scene.set(PASSED[next], 0);
    scene.set(LEADERS[next], 0);
    scene.set(TRIPS, trip);
}

/// What must be so after a wait that succeeded, when `before` rounds were complete at its beginning.
fn look(scene: &Scene, before: u64, result: BarrierWaitResult) -> Result<(), String> {
    let trips = scene.get(TRIPS);
    if trips != before + 1 {
        return Err(format!("{} rounds were completed while one waited for one", trips - before));
    }
    let place = trips as usize % 2;
    let bit = 1 << result.index();
    if result.index() >= PARTIES || scene.word(PASSED[place]).fetch_or(bit, SeqCst) & bit != 0 {
        return Err(format!("passed with the number {}, as another did", result.index()));
    }
    if result.is_leader() && scene.word(LEADERS[place]).fetch_add(1, SeqCst) != 0 {
        return Err("two leaders".into());
    }
    scene.word(THROUGH).fetch_add(1, SeqCst);
    Ok(())
}

fn pass(scene: &Scene, barrier: &Barrier, place: &BarrierSeat) -> Result<(), String> {
    let before = scene.get(TRIPS);
    let outcome = place.wait_with_timeout(PATIENCE, || {
        count(scene);
        Ok::<(), String>(())
    });
    match outcome {
        Ok(result) => look(scene, before, result),
        Err(BarrierError::Broken(_) | BarrierError::TimedOut) => heal(barrier),
        Err(other) => Err(other.to_string()),
    }
}

fn play(scene: &Scene, barrier: &Barrier, seat: &mut Seat<'_>) -> Result<(), String> {
    let mut place = None;
    while seat.again() {
        match &place {
            None => place = sit(barrier)?,
            Some(_) if seat.rng().one_in(200) => place = None,
            Some(place) => pass(scene, barrier, place)?,
        }
    }
    Ok(())
}

fn rages(size: Size) {
    let scene = Scene::new("barrier");
    let barrier = Barrier::builder().space(&scene.space).create("it", PARTIES as u32).unwrap();
    let storm =
        storm("barrier", size).role("party", PARTIES, |seat| play(&scene, &barrier, seat)).check(|| {
            barrier.reset().unwrap();
            assert!(!barrier.is_broken());
            assert_eq!(barrier.n_waiting(), 0);
            // Every seat is to be had again, one for each thread.
            std::thread::scope(|scope| {
                for _ in 0..PARTIES {
                    scope.spawn(|| assert!(barrier.wait().unwrap().index() < PARTIES));
                }
            });
        });
    rage(&storm, size);
    assert!(scene.get(THROUGH) > 0, "nobody ever came through");
}
