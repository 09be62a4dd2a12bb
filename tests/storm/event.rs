//! `Event` in a storm: one auto-reset signal goes round as a baton; it is never with two, and does not go down with a sleeper.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Event, Reset};
use procshare_harness::Seat;

use crate::support::{Scene, Size, dawdle, rage, storm, storm_tests};

storm_tests!(rages);

const CONTENDERS: usize = 4;

/// Where a contender is, by seat.
const STATES: usize = 64;
const IDLE: u64 = 0;
/// It waits, or has the baton since an instant ago.
const WAITS: u64 = 1;
const HAS: u64 = 2;
/// It is about to pass the baton on, or has just done so.
const PASSES: u64 = 3;

/// Signals that were set, counted before, and taken, counted after.
const SET: usize = 0;
const TAKEN: usize = 8;
/// Batons that were made because there was none any more.
const MADE: usize = 16;
/// Deaths of those who waited, and of those who were passing it on.
const DIED_WAITING: usize = 24;
const DIED_PASSING: usize = 32;

/// So long without a signal means that there is none.
const SILENCE: Duration = Duration::from_millis(400);

fn state(seat: usize) -> usize {
    STATES + 8 * seat
}

fn pass(scene: &Scene, event: &Event, seat: &Seat<'_>) -> Result<(), String> {
    scene.set(state(seat.index()), PASSES);
    scene.word(SET).fetch_add(1, SeqCst);
    event.set().map_err(|error| error.to_string())?;
    scene.set(state(seat.index()), IDLE);
    Ok(())
}

/// Does what the last one on this seat cannot do any more.
fn succeed(scene: &Scene, event: &Event, seat: &Seat<'_>) -> Result<(), String> {
    match scene.get(state(seat.index())) {
        HAS => pass(scene, event, seat)?,
        WAITS => drop(scene.word(DIED_WAITING).fetch_add(1, SeqCst)),
        PASSES => drop(scene.word(DIED_PASSING).fetch_add(1, SeqCst)),
        _ => {}
    }
    scene.set(state(seat.index()), IDLE);
    Ok(())
}

fn wait(event: &Event, seat: &mut Seat<'_>) -> Result<bool, String> {
    let outcome = match seat.rng().below(4) {
        0 => event.try_wait(),
        1 => event.wait_timeout(Duration::from_micros(50)),
        _ => event.wait_timeout(SILENCE),
    };
    outcome.map_err(|error| error.to_string())
}

/// The baton went down with somebody who had it for certain or almost: another one is made, once.
fn make(scene: &Scene, event: &Event, seat: &Seat<'_>, silent_since: u64) -> Result<(), String> {
    let others = (0..CONTENDERS).map(|other| scene.get(state(other)));
    if others.into_iter().any(|state| state == HAS || state == PASSES) {
        return Ok(());
    }
    if scene.word(SET).compare_exchange(silent_since, silent_since + 1, SeqCst, SeqCst).is_ok() {
        scene.word(MADE).fetch_add(1, SeqCst);
        scene.set(state(seat.index()), PASSES);
        event.set().map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn play(scene: &Scene, event: &Event, seat: &mut Seat<'_>) -> Result<(), String> {
    succeed(scene, event, seat)?;
    while seat.again() {
        let (before, began) = (scene.get(SET), std::time::Instant::now());
        scene.set(state(seat.index()), WAITS);
        if wait(event, seat)? {
            scene.set(state(seat.index()), HAS);
            scene.word(TAKEN).fetch_add(1, SeqCst);
            let having = (0..CONTENDERS).filter(|&other| scene.get(state(other)) == HAS).count();
            if having > 1 && scene.get(MADE) == 1 {
                return Err(format!("{having} got one signal"));
            }
            dawdle(seat, 2_000);
            pass(scene, event, seat)?;
        } else if began.elapsed() >= SILENCE && scene.get(SET) == before {
            make(scene, event, seat, before)?;
        }
        scene.set(state(seat.index()), IDLE);
    }
    Ok(())
}

fn rages(size: Size) {
    let scene = Scene::new("event");
    let event = Event::builder().space(&scene.space).create_with("it", Reset::Auto).unwrap();
    // The first baton.
    scene.set(SET, 1);
    scene.set(MADE, 1);
    event.set().unwrap();
    let storm =
        storm("event", size).role("runner", CONTENDERS, |seat| play(&scene, &event, seat)).check(|| {
            event.clear().unwrap();
            assert!(!event.try_wait().unwrap());
            event.set().unwrap();
            assert!(event.try_wait().unwrap());
            assert!(!event.try_wait().unwrap(), "one signal was taken twice");
        });
    rage(&storm, size);
    let [set, taken, made] = [SET, TAKEN, MADE].map(|word| scene.get(word));
    let [waiting, passing] = [DIED_WAITING, DIED_PASSING].map(|word| scene.get(word));
    println!(
        "event: {set} set, {taken} taken, {made} batons, {waiting} died waiting, {passing} passing it on"
    );
    assert!(taken <= set, "{taken} were taken, {set} set");
    // Of those who die waiting hardly anybody has just got it.
    let most = 2 + passing + waiting / 20;
    assert!(made <= most, "{made} batons were needed, at most {most} can have gone down with their holders");
}
