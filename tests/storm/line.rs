//! Queues of many producers and consumers in a storm: every item that was put arrives, whole, once, and in its producer's order;
//! nothing wedges.
//!
//! A producer notes each number before it puts it and after. When it is killed in between, nobody can know whether the item is there:
//! its successor goes on with the next number, and the one in doubt may arrive or not.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use procshare::{GetError, PutError};
use procshare_harness::Seat;

use crate::support::{Scene, Size, rage, storm};

const PRODUCERS: usize = 2;

/// Notes of each producer: its next number.
const NEXT: usize = 0;
/// Notes of the only consumer: each producer's next number.
const EXPECTED: usize = 8;
/// Numbers that were put for certain and had not been seen when their note was used again.
const LOST: usize = 16;
/// Numbers that were seen once more.
const TWICE: usize = 17;
const SEEN_IN_ALL: usize = 18;
/// Where the notes on single numbers begin: the number, how often it was seen, whether it was put for certain.
const NOTES: usize = 64;
const WINDOW: u64 = 8192;

const PUT: u64 = 1;
const SEEN: u64 = 1 << 8;
const NUMBER_SHIFT: u32 = 24;

/// How long an operation waits.
pub(crate) const WAIT: Duration = Duration::from_millis(20);
/// The most items of a batch.
pub(crate) const BATCH: usize = 3;

/// Who put an item, and its number; or how it is torn.
pub(crate) type Found = Result<(u64, u64), String>;

/// A queue in a storm.
pub(crate) trait Line {
    fn make(scene: &Scene) -> Self;

    /// Puts one item, one way or another.
    fn put(&self, who: u64, number: u64, seat: &mut Seat<'_>) -> Result<(), PutError<()>>;

    /// Puts some items in one step, with the numbers that `begin` gives; none where there are no such batches.
    fn put_batch(
        &self,
        _who: u64,
        _seat: &mut Seat<'_>,
        _begin: impl FnMut() -> u64,
    ) -> Result<(), PutError<()>> {
        Err(PutError::Full(()))
    }

    /// Takes an item or some, up to [`BATCH`].
    fn get(&self, seat: &mut Seat<'_>) -> Result<Vec<Found>, GetError>;

    fn get_one(&self, wait: Duration) -> Result<Found, GetError>;

    /// Reads one in place, or some, and releases behind `look` what it has looked at.
    fn peek(
        &self,
        seat: &mut Seat<'_>,
        look: impl FnMut(Found) -> Result<(), String>,
    ) -> Result<Result<(), String>, GetError>;

    /// Whether as much goes in as ever; what is there is there afterwards, too.
    fn capacity_is_intact(&self) -> Result<(), String>;
}

fn seen(note: u64) -> u64 {
    note >> 8 & 0xffff
}

/// Who put it, and the number; or what is wrong.
fn check(scene: &Scene, found: Found) -> Result<(usize, u64), String> {
    let (who, number) = found?;
    if who >= PRODUCERS as u64 || number >= scene.get(NEXT + who as usize) {
        return Err(format!("{who}'s number {number} was never put"));
    }
    Ok((who as usize, number))
}

fn note(scene: &Scene, who: usize, number: u64) -> &AtomicU64 {
    scene.word(NOTES + who * WINDOW as usize + (number % WINDOW) as usize)
}

/// Uses the note of a number that was put long ago for another one.
fn begin(scene: &Scene, who: usize, number: u64) {
    let note = note(scene, who, number);
    if lost(note.load(SeqCst)) {
        scene.word(LOST).fetch_add(1, SeqCst);
    }
    note.store(number << NUMBER_SHIFT, SeqCst);
    scene.set(NEXT + who, number + 1);
}

fn lost(note: u64) -> bool {
    note & PUT != 0 && seen(note) == 0
}

fn see(scene: &Scene, found: Found) -> Result<(), String> {
    let (who, number) = check(scene, found)?;
    let note = note(scene, who, number);
    // A consumer that was stopped behind its `get` may come too late to note anything.
    if note.load(SeqCst) >> NUMBER_SHIFT == number && seen(note.fetch_add(SEEN, SeqCst)) > 0 {
        scene.word(TWICE).fetch_add(1, SeqCst);
    }
    scene.word(SEEN_IN_ALL).fetch_add(1, SeqCst);
    Ok(())
}

/// Puts the next numbers in one step.
fn produce_batch(scene: &Scene, queue: &impl Line, seat: &mut Seat<'_>) -> Result<(), String> {
    let who = seat.index();
    let first = scene.get(NEXT + who);
    let mut next = first;
    let outcome = queue.put_batch(who as u64, seat, || {
        begin(scene, who, next);
        next += 1;
        next - 1
    });
    match outcome {
        Ok(()) => (first..next).for_each(|number| {
            note(scene, who, number).fetch_or(PUT, SeqCst);
        }),
        Err(PutError::Full(()) | PutError::TimedOut(())) => {}
        Err(other) => return Err(other.to_string()),
    }
    Ok(())
}

/// Puts the next number, or some.
fn produce(scene: &Scene, queue: &impl Line, seat: &mut Seat<'_>) -> Result<(), String> {
    if seat.rng().one_in(4) {
        return produce_batch(scene, queue, seat);
    }
    let who = seat.index();
    let number = scene.get(NEXT + who);
    // From here on the number is in doubt, until it is noted as put.
    begin(scene, who, number);
    match queue.put(who as u64, number, seat) {
        Ok(()) => drop(note(scene, who, number).fetch_or(PUT, SeqCst)),
        // Not put for certain: the same number again.
        Err(PutError::Full(()) | PutError::TimedOut(())) => scene.set(NEXT + who, number),
        Err(other) => return Err(other.to_string()),
    }
    Ok(())
}

/// The error without the item.
pub(crate) fn without<T>(error: PutError<T>) -> PutError<()> {
    match error {
        PutError::Full(_) => PutError::Full(()),
        PutError::TimedOut(_) => PutError::TimedOut(()),
        PutError::Failed(_, error) => PutError::Failed((), error),
        _ => PutError::Closed(()),
    }
}

/// Receives by copy: what is seen is noted afterwards.
fn get<L: Line>(scene: &Scene, queue: &L, seat: &mut Seat<'_>) -> Result<(), String> {
    unless_empty(queue.get(seat).map(|items| items.into_iter().try_for_each(|item| see(scene, item))))
}

/// Receives in place: what is seen is noted before it is released.
fn peek<L: Line>(scene: &Scene, queue: &L, seat: &mut Seat<'_>) -> Result<(), String> {
    unless_empty(queue.peek(seat, |item| see(scene, item)))
}

fn unless_empty(outcome: Result<Result<(), String>, GetError>) -> Result<(), String> {
    match outcome {
        Ok(seen) => seen,
        Err(GetError::TimedOut) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

/// Sees what is left, then looks at all notes: how many were lost, and how many came twice.
fn account(scene: &Scene, queue: &impl Line, kills: u64) -> (u64, u64) {
    while let Ok(item) = queue.get_one(Duration::ZERO) {
        see(scene, item).unwrap();
    }
    let noted = |who: usize| (0..WINDOW).filter(move |number| lost(note(scene, who, *number).load(SeqCst)));
    let late: usize = (0..PRODUCERS).map(|who| noted(who).count()).sum();
    assert!(scene.get(SEEN_IN_ALL) > 5 * kills, "hardly anything came through");
    (scene.get(LOST) + late as u64, scene.get(TWICE))
}

/// Who receives, and how.
struct Receivers<L> {
    count: usize,
    spared: bool,
    /// Plays one round.
    round: fn(&Scene, &L, &mut Seat<'_>) -> Result<(), String>,
}

/// A storm of producers and receivers; tells how many died, how many items were lost and how many came twice.
fn rages<L: Line>(name: &str, size: Size, receivers: &Receivers<L>) -> (u64, u64, u64) {
    let scene = Scene::new(name);
    let queue = L::make(&scene);
    let storm = storm(name, size)
        .role("producer", PRODUCERS, |seat| {
            while seat.again() {
                produce(&scene, &queue, seat)?;
            }
            Ok::<(), String>(())
        })
        .role("receiver", receivers.count, |seat| {
            while seat.again() {
                (receivers.round)(&scene, &queue, seat)?;
            }
            Ok::<(), String>(())
        })
        .check(|| queue.capacity_is_intact());
    let storm = if receivers.spared { storm.spared() } else { storm };
    let report = rage(&storm, size);
    let (lost, twice) = account(&scene, &queue, report.kills);
    (report.kills, lost, twice)
}

/// Who reads in place loses nothing to death: an item comes again rather than not at all.
pub(crate) fn readers_in_place<L: Line>(name: &str, size: Size) {
    let readers = Receivers { count: 2, spared: false, round: peek::<L> };
    let (kills, lost, twice) = rages(name, size, &readers);
    assert!(lost == 0 && twice <= BATCH as u64 * kills, "{lost} lost, {twice} twice, {kills} died");
}

/// A consumer that is killed behind its commit takes along what it was about to note: a batch at most.
pub(crate) fn consumers<L: Line>(name: &str, size: Size) {
    let (kills, lost, twice) = rages(name, size, &Receivers { count: 2, spared: false, round: get::<L> });
    assert!(lost <= BATCH as u64 * kills && twice == 0, "{lost} lost, {twice} twice, {kills} died");
}

/// Only producers die: nothing is lost, nothing comes twice, and each producer's order is kept.
pub(crate) fn producers<L: Line>(name: &str, size: Size) {
    let (kills, lost, twice) = rages(name, size, &Receivers { count: 1, spared: true, round: in_order::<L> });
    assert!(lost == 0 && twice == 0, "{lost} lost, {twice} twice, {kills} died");
}

/// By the only consumer, which lives through the storm and notes what it expects.
fn in_order<L: Line>(scene: &Scene, queue: &L, _: &mut Seat<'_>) -> Result<(), String> {
    let Ok(found) = queue.get_one(WAIT) else { return Ok(()) };
    let (who, number) = check(scene, found.clone())?;
    let expected = scene.get(EXPECTED + who);
    if number < expected {
        return Err(format!("{who}'s number {number} came behind {}", expected - 1));
    }
    if let Some(missing) = (expected..number).find(|it| note(scene, who, *it).load(SeqCst) & PUT != 0) {
        return Err(format!("{who}'s number {missing} was put, and {number} came in its place"));
    }
    scene.set(EXPECTED + who, number + 1);
    see(scene, found)
}

/// Makes the storms of a queue, short and long.
macro_rules! line_storms {
    ($line:ty, $name:literal, $short:expr) => {
        mod in_place {
            use super::*;
            fn rages(size: crate::support::Size) {
                crate::line::readers_in_place::<$line>(concat!($name, "-peek"), size);
            }
            crate::support::storm_tests!(rages, $short);
        }

        mod consumers {
            use super::*;
            fn rages(size: crate::support::Size) {
                crate::line::consumers::<$line>(concat!($name, "-get"), size);
            }
            crate::support::storm_tests!(rages, $short);
        }

        mod producers {
            use super::*;
            fn rages(size: crate::support::Size) {
                crate::line::producers::<$line>(concat!($name, "-put"), size);
            }
            crate::support::storm_tests!(rages, $short);
        }
    };
}
pub(crate) use line_storms;
