//! `Semaphore` and `BoundedSemaphore` in a storm: permits are conserved, in the slots and in the bank.

use std::time::Duration;

use procshare::{BoundedSemaphore, Error, PermitError, Semaphore, SemaphorePermit};
use procshare_harness::Seat;

use crate::crowd::enter;
use crate::support::{Scene, Size, dawdle, rage, storm, storm_tests};

storm_tests!(slots);
storm_tests!(bank, a_short_storm_at_the_bank, a_long_storm_at_the_bank);
storm_tests!(bounded, a_short_storm_of_bounded_ones, a_long_storm_of_bounded_ones);

/// Permits that are fought for, by one contender more than twice as many.
const PERMITS: usize = 2;
const CONTENDERS: usize = 5;
/// More than there are slots: the rest is in the bank.
const MANY: u32 = 300;

/// Acquires in one way or another, and uses the permit.
fn play<'a>(
    scene: &Scene,
    seat: &mut Seat<'_>,
    acquire: impl Fn(Option<Duration>) -> Result<SemaphorePermit<'a>, Error>,
    try_acquire: impl Fn() -> Result<SemaphorePermit<'a>, Error>,
) -> Result<(), String> {
    let outcome = match seat.rng().below(3) {
        0 => acquire(None),
        1 => acquire(Some(Duration::from_millis(3))),
        _ => try_acquire(),
    };
    match outcome {
        Ok(_permit) => {
            let _holding = enter(scene, PERMITS)?;
            dawdle(seat, 2_000);
            Ok(())
        }
        Err(Error::WouldBlock | Error::TimedOut) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

fn contend(scene: &Scene, semaphore: &Semaphore, seat: &mut Seat<'_>) -> Result<(), String> {
    let acquire = |timeout: Option<Duration>| match timeout {
        None => semaphore.acquire(),
        Some(timeout) => semaphore.acquire_timeout(timeout),
    };
    while seat.again() {
        play(scene, seat, acquire, || semaphore.try_acquire())?;
    }
    Ok(())
}

/// All permits can be had at once, and no more.
fn check(semaphore: &Semaphore, permits: u32) {
    let all: Vec<_> = (0..permits).map(|_| semaphore.try_acquire().unwrap()).collect();
    assert!(matches!(semaphore.try_acquire(), Err(Error::WouldBlock)));
    drop(all);
    assert_eq!(semaphore.available(), permits);
}

fn slots(size: Size) {
    let scene = Scene::new("semaphore");
    let semaphore = Semaphore::builder().space(&scene.space).create("it", PERMITS as u32).unwrap();
    let storm = storm("semaphore", size)
        .role("contender", CONTENDERS, |seat| contend(&scene, &semaphore, seat))
        .check(|| check(&semaphore, PERMITS as u32));
    rage(&storm, size);
}

fn bank(size: Size) {
    let scene = Scene::new("bank");
    let semaphore = Semaphore::builder().space(&scene.space).create("it", MANY).unwrap();
    // What lies in the slots is taken first; a living process keeps it.
    let kept: Vec<_> = (0..MANY - PERMITS as u32).map(|_| semaphore.acquire().unwrap()).collect();
    let storm = storm("bank", size)
        .role("contender", CONTENDERS, |seat| contend(&scene, &semaphore, seat))
        .check(|| check(&semaphore, PERMITS as u32));
    rage(&storm, size);
    drop(kept);
    check(&semaphore, MANY);
}

fn bounded(size: Size) {
    let scene = Scene::new("bounded");
    let semaphore = BoundedSemaphore::builder().space(&scene.space).create("it", PERMITS as u32).unwrap();
    let storm = storm("bounded semaphore", size)
        .role("contender", CONTENDERS, |seat| {
            let acquire = |timeout: Option<Duration>| match timeout {
                None => semaphore.acquire(),
                Some(timeout) => semaphore.acquire_timeout(timeout),
            };
            while seat.again() {
                play(&scene, seat, acquire, || semaphore.try_acquire())?;
                // Nobody has forgotten a permit.
                match semaphore.release(1) {
                    Err(PermitError::TooMany { .. }) => {}
                    other => return Err(format!("{other:?}, although no permit is out unowned")),
                }
            }
            Ok::<(), String>(())
        })
        .check(|| {
            let all: Vec<_> = (0..PERMITS).map(|_| semaphore.try_acquire().unwrap()).collect();
            assert!(matches!(semaphore.try_acquire(), Err(Error::WouldBlock)));
            drop(all);
            assert_eq!(semaphore.available(), PERMITS as u32);
            assert!(matches!(semaphore.release(1), Err(PermitError::TooMany { most: 0, .. })));
        });
    rage(&storm, size);
}
