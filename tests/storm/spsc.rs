//! `SpscQueue` in a storm: an end has one holder at a time, also when holders die, and what was put comes out once and in order.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Consumer, Error, GetError, Producer, PutError, SpscQueue};
use procshare_harness::Seat;

use crate::support::{BRIEF, Scene, Size, dawdle, rage, runs, storm, storm_tests};

const CAPACITY: usize = 5;
const BATCH: usize = 3;
const WAIT: Duration = Duration::from_millis(2);

/// The number, and a checksum.
type Item = [u64; 9];

/// Notes: the next number, the number that came last plus one, who says it has which end.
const NEXT: usize = 0;
const LAST: usize = 1;
const HOLDERS: [usize; 2] = [2, 3];
/// Items that came, and numbers that were put for certain.
const CAME: usize = 4;
const PUT: usize = 5;

fn item(number: u64) -> Item {
    let mut item = [number.wrapping_mul(0x9e37_79b9_7f4a_7c15); 9];
    item[0] = number;
    item
}

/// Takes an end, if nobody has it, and notes who does.
fn hold<E>(
    scene: &Scene,
    which: usize,
    take: impl FnOnce() -> procshare::Result<E>,
    work: impl FnOnce(&mut E) -> Result<(), String>,
) -> Result<(), String> {
    let mut end = match take() {
        Ok(end) => end,
        Err(Error::EndTaken { .. }) => {
            std::thread::yield_now();
            return Ok(());
        }
        Err(other) => return Err(other.to_string()),
    };
    let me = u64::from(std::process::id());
    let before = scene.word(HOLDERS[which]).swap(me, SeqCst);
    if before != 0 && runs(before as u32) {
        return Err(format!("{before} had end {which}, alive, when {me} took it"));
    }
    work(&mut end)?;
    scene.set(HOLDERS[which], 0);
    Ok(())
}

/// Puts a number or a batch.
fn put(scene: &Scene, producer: &mut Producer<Item>, seat: &mut Seat<'_>) -> Result<(), String> {
    let count = if seat.rng().one_in(2) { 1 } else { BATCH as u64 };
    // Numbers that a killed producer had drawn are not put again: they may be there.
    let first = scene.word(NEXT).fetch_add(count, SeqCst);
    let items: Vec<Item> = (first..first + count).map(item).collect();
    let outcome = match seat.rng().below(3) {
        0 => producer.put_timeout(items[0], WAIT).map(|()| 1).map_err(crate::line::without),
        1 => producer.try_reserve_many(items.len()).map(|mut chunk| {
            chunk.extend_from_slice(&items);
            chunk.commit()
        }),
        _ => producer.try_put_many(&items),
    };
    match outcome {
        Ok(put) => {
            scene.word(PUT).fetch_add(put as u64, SeqCst);
            Ok(())
        }
        Err(PutError::Full(()) | PutError::TimedOut(())) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

fn get(scene: &Scene, consumer: &mut Consumer<Item>, seat: &mut Seat<'_>) -> Result<(), String> {
    let outcome = match seat.rng().below(3) {
        0 => consumer.get_timeout(WAIT).map(|item| vec![item]),
        1 => consumer.try_get_many(BATCH),
        _ => consumer.try_peek_many(BATCH).map(|chunk| {
            let items = chunk.iter().copied().collect();
            chunk.release();
            items
        }),
    };
    match outcome {
        Ok(items) => items.into_iter().try_for_each(|found| came(scene, found)),
        Err(GetError::Empty | GetError::TimedOut) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

fn came(scene: &Scene, found: Item) -> Result<(), String> {
    let number = found[0];
    if found != item(number) || number >= scene.get(NEXT) {
        return Err(format!("torn: {found:?}"));
    }
    let before = scene.word(LAST).swap(number + 1, SeqCst);
    if before > number {
        return Err(format!("{number} came behind {}", before - 1));
    }
    scene.word(CAME).fetch_add(1, SeqCst);
    Ok(())
}

fn rages(size: Size) {
    let scene = Scene::new("spsc");
    let queue = SpscQueue::<Item>::builder().space(&scene.space).create("it", CAPACITY).unwrap();
    let storm = storm("spsc", size)
        .role("producer", 2, |seat| {
            while seat.again() {
                hold(
                    &scene,
                    0,
                    || queue.producer(),
                    |end| {
                        dawdle(seat, 300);
                        (0..seat.rng().below(9)).try_for_each(|_| put(&scene, end, seat))
                    },
                )?;
            }
            Ok::<(), String>(())
        })
        .role("consumer", 2, |seat| {
            while seat.again() {
                hold(
                    &scene,
                    1,
                    || queue.consumer(),
                    |end| {
                        dawdle(seat, 300);
                        (0..seat.rng().below(9)).try_for_each(|_| get(&scene, end, seat))
                    },
                )?;
            }
            Ok::<(), String>(())
        })
        .check(|| {
            let (mut producer, mut consumer) = queue.split().map_err(|error| error.to_string())?;
            while let Ok(found) = consumer.try_get() {
                came(&scene, found)?;
            }
            let room = producer.try_put_many(&[item(0); CAPACITY + 1]).map_err(|error| error.to_string())?;
            let found = consumer.try_get_many(CAPACITY + 1).map_err(|error| error.to_string())?;
            if room == CAPACITY && found == [item(0); CAPACITY] {
                Ok(())
            } else {
                Err(format!("{room} slots"))
            }
        });
    let report = rage(&storm, size);
    let (put, came) = (scene.get(PUT), scene.get(CAME));
    // The killed may have put a batch that they did not note, or taken one along.
    let doubt = BATCH as u64 * report.kills;
    assert!(came <= put + doubt && put <= came + doubt, "{put} put, {came} came, {} died", report.kills);
    assert!(came > 3 * report.kills, "hardly anything came through");
}

storm_tests!(rages, BRIEF);
