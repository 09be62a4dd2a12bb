//! `JoinableQueue` in a storm: every task is done, and by the choice of its maker at least or at most once; `join` says so no sooner.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{GetError, JoinableInit, JoinableQueue, PutError, Unfinished};
use procshare_harness::Seat;

use crate::support::{BRIEF, Scene, Size, rage, storm, storm_tests};

const CAPACITY: usize = 6;
const WAIT: Duration = Duration::from_millis(20);

/// Notes: the next number; from [`TASKS`] on what became of each of the last numbers.
const NEXT: usize = 0;
/// Tasks that were put for certain and not done when their note was used again, and tasks that were done once more.
const LOST: usize = 1;
const TWICE: usize = 2;
const DONE_IN_ALL: usize = 3;
const TASKS: usize = 64;
const WINDOW: u64 = 16_384;

const PUT: u64 = 1;
const DONE: u64 = 2;
const NUMBER_SHIFT: u32 = 8;

/// The number, and a checksum.
type Work = [u64; 3];

fn work(number: u64) -> Work {
    [number, number.rotate_left(21) ^ 0x5bd1_e995, !number]
}

fn note(scene: &Scene, number: u64) -> usize {
    debug_assert!(number > 0 && scene.get(NEXT) + 1 >= number);
    TASKS + (number % WINDOW) as usize
}

fn is_lost(note: u64) -> bool {
    note & (PUT | DONE) == PUT
}

/// Puts a task that nobody else puts.
fn produce(scene: &Scene, jobs: &JoinableQueue<Work>, seat: &mut Seat<'_>) -> Result<(), String> {
    let number = scene.word(NEXT).fetch_add(1, SeqCst) + 1;
    let before = scene.word(note(scene, number)).swap(number << NUMBER_SHIFT, SeqCst);
    scene.word(LOST).fetch_add(u64::from(is_lost(before)), SeqCst);
    let outcome =
        if seat.rng().one_in(2) { jobs.put_timeout(work(number), WAIT) } else { jobs.try_put(work(number)) };
    match outcome {
        Ok(()) => drop(scene.word(note(scene, number)).fetch_or(PUT, SeqCst)),
        Err(PutError::Full(_) | PutError::TimedOut(_)) => {}
        Err(other) => return Err(other.to_string()),
    }
    Ok(())
}

/// Does a task or gives it back.
fn labour(scene: &Scene, jobs: &JoinableQueue<Work>, seat: &mut Seat<'_>) -> Result<(), String> {
    let task = match jobs.get_timeout(WAIT) {
        Ok(task) => task,
        Err(GetError::TimedOut) => return Ok(()),
        Err(other) => return Err(other.to_string()),
    };
    if seat.rng().one_in(5) {
        task.give_back();
        return Ok(());
    }
    finish(scene, *task)?;
    task.done();
    Ok(())
}

/// Notes that a task is done: before it says so itself, so that who dies in between is seen to have it done once more.
fn finish(scene: &Scene, found: Work) -> Result<(), String> {
    let number = found[0];
    if found != work(number) || number == 0 || number > scene.get(NEXT) {
        return Err(format!("torn: {found:?}"));
    }
    let note = scene.word(note(scene, number));
    // A worker that was stopped behind its `get` may come too late to note anything.
    if note.load(SeqCst) >> NUMBER_SHIFT == number && note.fetch_or(DONE, SeqCst) & DONE != 0 {
        scene.word(TWICE).fetch_add(1, SeqCst);
    }
    scene.word(DONE_IN_ALL).fetch_add(1, SeqCst);
    Ok(())
}

/// Joins now and then; by itself it changes nothing.
fn join(jobs: &JoinableQueue<Work>) -> Result<(), String> {
    match jobs.join_timeout(WAIT) {
        Ok(()) | Err(procshare::Error::TimedOut) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

/// A storm; tells how many died, how many tasks were not done, and how many twice.
fn storm_of(name: &str, dead: Unfinished, size: Size) -> (u64, u64, u64) {
    let scene = Scene::new(name);
    let init = JoinableInit::new(CAPACITY).when_dead(dead);
    let jobs = JoinableQueue::<Work>::builder().space(&scene.space).create("it", init).unwrap();
    let role = |act: fn(&Scene, &JoinableQueue<Work>, &mut Seat<'_>) -> Result<(), String>| {
        let (scene, jobs) = (&scene, &jobs);
        move |seat: &mut Seat<'_>| {
            while seat.again() {
                act(scene, jobs, seat)?;
            }
            Ok::<(), String>(())
        }
    };
    let storm = storm(name, size)
        .role("producer", 1, role(produce))
        .role("worker", 2, role(labour))
        .role("joiner", 1, role(|_, jobs, _| join(jobs)))
        .check(|| {
            while let Ok(task) = jobs.try_get() {
                finish(&scene, *task)?;
                task.done();
            }
            jobs.try_join()
                .map_err(|error| format!("drained, and {error}: {} unfinished", jobs.unfinished()))?;
            for number in 0..CAPACITY as u64 {
                jobs.try_put(work(number)).map_err(|error| format!("slot {number} is lost: {error}"))?;
            }
            (0..CAPACITY).for_each(|_| jobs.try_get().unwrap().done());
            jobs.try_join().map_err(|error| error.to_string())
        });
    let report = rage(&storm, size);
    let late = (0..WINDOW).filter(|number| is_lost(scene.get(TASKS + *number as usize))).count() as u64;
    assert!(scene.get(DONE_IN_ALL) > 3 * report.kills, "hardly anything was done");
    (report.kills, scene.get(LOST) + late, scene.get(TWICE))
}

mod handed_out {
    use super::*;

    fn rages(size: Size) {
        let (kills, lost, twice) = storm_of("joinable", Unfinished::HandedOut, size);
        assert!(lost == 0 && twice <= kills, "{lost} lost, {twice} twice, {kills} died");
    }

    storm_tests!(rages, BRIEF);
}

mod counted_done {
    use super::*;

    /// What a dead worker had is not done by anybody else.
    fn rages(size: Size) {
        let (kills, lost, twice) = storm_of("joinable-done", Unfinished::CountedDone, size);
        assert!(lost <= kills && twice == 0, "{lost} lost, {twice} twice, {kills} died");
    }

    storm_tests!(rages, BRIEF);
}
