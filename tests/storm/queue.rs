//! `Queue` in a storm: every item that was put arrives, whole, once, and in its producer's order; nothing wedges.
//!
//! A producer notes each number before it puts it and after. When it is killed in between, nobody can know whether the item is there:
//! its successor goes on with the next number, and the one in doubt may arrive or not.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use procshare::{GetError, PutError, Queue};
use procshare_harness::Seat;

use crate::support::{LONG, SHORT, Scene, Size, rage, storm};

const PRODUCERS: usize = 2;
const CAPACITY: usize = 7;

/// Who put it, the number, and a checksum over both, many times.
type Item = [u64; 12];

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

fn seen(note: u64) -> u64 {
    note >> 8 & 0xffff
}

fn item(who: u64, number: u64) -> Item {
    let mut item = [who.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.rotate_left(17); 12];
    (item[0], item[1]) = (who, number);
    item
}

/// Who put it, and the number; or what is wrong.
fn check(scene: &Scene, found: &Item) -> Result<(usize, u64), String> {
    let [who, number, ..] = *found;
    if *found != item(who, number) || who >= PRODUCERS as u64 {
        return Err(format!("torn: {found:?}"));
    }
    if number >= scene.get(NEXT + who as usize) {
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

fn see(scene: &Scene, found: &Item) -> Result<(), String> {
    let (who, number) = check(scene, found)?;
    let note = note(scene, who, number);
    // A consumer that was stopped behind its `get` may come too late to note anything.
    if note.load(SeqCst) >> NUMBER_SHIFT == number && seen(note.fetch_add(SEEN, SeqCst)) > 0 {
        scene.word(TWICE).fetch_add(1, SeqCst);
    }
    scene.word(SEEN_IN_ALL).fetch_add(1, SeqCst);
    Ok(())
}

const WAIT: Duration = Duration::from_millis(20);

/// The most items of a batch.
const BATCH: u64 = 3;

/// Puts the next numbers in one step.
fn produce_batch(scene: &Scene, queue: &Queue<Item>, seat: &mut Seat<'_>) -> Result<(), String> {
    let (who, most) = (seat.index(), 1 + seat.rng().below(BATCH));
    let mut batch = match queue.reserve_many_timeout(most as usize, WAIT) {
        Ok(batch) => batch,
        Err(PutError::TimedOut(())) => return Ok(()),
        Err(other) => return Err(other.to_string()),
    };
    let first = scene.get(NEXT + who);
    let numbers = first..first + seat.rng().below(batch.len() as u64 + 1);
    for number in numbers.clone() {
        begin(scene, who, number);
        batch.push(item(who as u64, number)).map_err(|_| "a slot is missing")?;
    }
    batch.commit();
    for number in numbers {
        note(scene, who, number).fetch_or(PUT, SeqCst);
    }
    Ok(())
}

/// Puts the next number, one way or another.
fn produce(scene: &Scene, queue: &Queue<Item>, seat: &mut Seat<'_>) -> Result<(), String> {
    if seat.rng().one_in(4) {
        return produce_batch(scene, queue, seat);
    }
    let who = seat.index();
    let number = scene.get(NEXT + who);
    // From here on the number is in doubt, until it is noted as put.
    begin(scene, who, number);
    let it = item(who as u64, number);
    let outcome = match seat.rng().below(3) {
        0 => queue.put_timeout(it, WAIT).map_err(without),
        1 => queue.try_put(it).map_err(without),
        _ => queue.reserve_timeout(WAIT).map(|mut slot| {
            if seat.rng().one_in(2) {
                slot.write(it);
                slot.commit_in_place();
            } else {
                slot.commit(it);
            }
        }),
    };
    match outcome {
        Ok(()) => drop(note(scene, who, number).fetch_or(PUT, SeqCst)),
        // Not put for certain: the same number again.
        Err(PutError::Full(()) | PutError::TimedOut(())) => scene.set(NEXT + who, number),
        Err(other) => return Err(other.to_string()),
    }
    Ok(())
}

/// The error without the item.
fn without(error: PutError<Item>) -> PutError<()> {
    match error {
        PutError::Full(_) => PutError::Full(()),
        PutError::TimedOut(_) => PutError::TimedOut(()),
        PutError::Failed(_, error) => PutError::Failed((), error),
        _ => PutError::Closed(()),
    }
}

/// Receives by copy: what is seen is noted afterwards.
fn get(scene: &Scene, queue: &Queue<Item>, seat: &mut Seat<'_>) -> Result<(), String> {
    let outcome = if seat.rng().one_in(2) {
        queue.get_timeout(WAIT).map(|item| see(scene, &item))
    } else {
        queue.get_many_timeout(3, WAIT).map(|items| items.iter().try_for_each(|item| see(scene, item)))
    };
    unless_empty(outcome)
}

/// Receives in place: what is seen is noted before it is released.
fn peek(scene: &Scene, queue: &Queue<Item>, seat: &mut Seat<'_>) -> Result<(), String> {
    if seat.rng().one_in(3) {
        return unless_empty(queue.peek_many_timeout(BATCH as usize, WAIT).map(|items| {
            let some = seat.rng().below(items.len() as u64 + 1) as usize;
            let seen = items.iter().take(some).try_for_each(|item| see(scene, item));
            items.release_some(some);
            seen
        }));
    }
    unless_empty(queue.peek_timeout(WAIT).map(|item| {
        let seen = see(scene, &item);
        item.release();
        seen
    }))
}

fn unless_empty(outcome: Result<Result<(), String>, GetError>) -> Result<(), String> {
    match outcome {
        Ok(seen) => seen,
        Err(GetError::TimedOut) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

/// Sees what is left, then looks at all notes: how many were lost, and how many came twice.
fn account(scene: &Scene, queue: &Queue<Item>, kills: u64) -> (u64, u64) {
    while let Ok(item) = queue.try_get() {
        see(scene, &item).unwrap();
    }
    let noted = |who: usize| (0..WINDOW).filter(move |number| lost(note(scene, who, *number).load(SeqCst)));
    let late: usize = (0..PRODUCERS).map(|who| noted(who).count()).sum();
    assert!(scene.get(SEEN_IN_ALL) > 5 * kills, "hardly anything came through");
    (scene.get(LOST) + late as u64, scene.get(TWICE))
}

/// Who receives, and how.
struct Receivers {
    count: usize,
    spared: bool,
    /// Plays one round.
    round: fn(&Scene, &Queue<Item>, &mut Seat<'_>) -> Result<(), String>,
}

/// A storm of producers and receivers; tells how many died, how many items were lost and how many came twice.
fn rages(name: &str, size: Size, receivers: &Receivers) -> (u64, u64, u64) {
    let scene = Scene::new(name);
    let queue = Queue::<Item>::builder().space(&scene.space).create("it", CAPACITY).unwrap();
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
        .check(|| capacity_is_intact(&queue));
    let storm = if receivers.spared { storm.spared() } else { storm };
    let report = rage(&storm, size);
    let (lost, twice) = account(&scene, &queue, report.kills);
    (report.kills, lost, twice)
}

/// As many items as there are slots go in, and come out in order.
fn capacity_is_intact(queue: &Queue<Item>) -> Result<(), String> {
    let left: Vec<Item> = queue.try_iter().collect();
    for number in 0..CAPACITY as u64 {
        queue.try_put(item(0, number)).map_err(|error| format!("slot {number} is lost: {error}"))?;
    }
    for number in 0..CAPACITY as u64 {
        let found = queue.try_get().map_err(|error| error.to_string())?;
        if found != item(0, number) {
            return Err(format!("out of order: {found:?}"));
        }
    }
    // What the storm left is accounted for afterwards.
    queue.put_many(&left).map_err(|error| error.to_string())
}

/// Who reads in place loses nothing to death: an item comes again rather than not at all.
fn readers_in_place(size: Size) {
    let readers = Receivers { count: 2, spared: false, round: peek };
    let (kills, lost, twice) = rages("queue-peek", size, &readers);
    assert!(lost == 0 && twice <= BATCH * kills, "{lost} lost, {twice} twice, {kills} died");
}

/// A consumer that is killed behind its commit takes along what it was about to note: a batch at most.
fn consumers(size: Size) {
    let (kills, lost, twice) = rages("queue-get", size, &Receivers { count: 2, spared: false, round: get });
    assert!(lost <= 3 * kills && twice == 0, "{lost} lost, {twice} twice, {kills} died");
}

/// Only producers die: nothing is lost, nothing comes twice, and each producer's order is kept.
fn producers(size: Size) {
    let (kills, lost, twice) =
        rages("queue-put", size, &Receivers { count: 1, spared: true, round: in_order });
    assert!(lost == 0 && twice == 0, "{lost} lost, {twice} twice, {kills} died");
}

/// By the only consumer, which lives through the storm and notes what it expects.
fn in_order(scene: &Scene, queue: &Queue<Item>, _: &mut Seat<'_>) -> Result<(), String> {
    let Ok(found) = queue.get_timeout(WAIT) else { return Ok(()) };
    let (who, number) = check(scene, &found)?;
    let expected = scene.get(EXPECTED + who);
    if number < expected {
        return Err(format!("{who}'s number {number} came behind {}", expected - 1));
    }
    if let Some(missing) = (expected..number).find(|it| note(scene, who, *it).load(SeqCst) & PUT != 0) {
        return Err(format!("{who}'s number {missing} was put, and {number} came in its place"));
    }
    scene.set(EXPECTED + who, number + 1);
    see(scene, &found)
}

#[test]
fn a_short_storm_of_readers_in_place() {
    readers_in_place(SHORT);
}

#[test]
fn a_short_storm_of_consumers() {
    consumers(SHORT);
}

#[test]
fn a_short_storm_of_producers() {
    producers(SHORT);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm_of_readers_in_place() {
    readers_in_place(LONG);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm_of_consumers() {
    consumers(LONG);
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm_of_producers() {
    producers(LONG);
}
