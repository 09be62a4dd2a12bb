//! Deaths of a pool's worker: each task has one fate, that of its calls.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use procshare::Space;
use procshare::process::TaskError;
use procshare::process::hidden::{Fate, Rehearsal};
use procshare_harness::Scenario;

use crate::support::World;

kill_tests! {
    work: Alone;
    work_alone: Alone;
    work_long: Alone;
}

type PoolWorld = World<Rehearsal>;

/// The notes of the world that this process works in, if it is a victim's.
static NOTES: AtomicUsize = AtomicUsize::new(0);

/// The most tasks of a scenario.
const MOST: usize = 64;

/// An output of so many bytes is a quarter of all that a worker can say before somebody hears it.
const LONG: usize = 1000;

/// Notes that it was called, does something, and notes that it comes back.
#[procshare::task]
fn noting(n: u64) -> u64 {
    note(n);
    3 * n
}

/// As `noting`; but the first three have long outputs, behind which there is little room.
#[procshare::task]
fn noting_long(n: u64) -> Vec<u8> {
    note(n);
    long(n)
}

fn long(n: u64) -> Vec<u8> {
    vec![n as u8; if n < 3 { LONG } else { 100 }]
}

fn note(n: u64) {
    // SAFETY: the victim set it to the words of a page that lives as long as the world, and of which all tasks are smaller.
    let notes = unsafe { std::slice::from_raw_parts(NOTES.load(SeqCst) as *const AtomicU64, 2 * MOST) };
    notes[n as usize].fetch_add(1, SeqCst);
    notes[MOST + n as usize].fetch_add(1, SeqCst);
}

/// What became of each task.
type Fates = Vec<Vec<Fate>>;

/// What a scenario's tasks are.
struct Work {
    name: &'static str,
    chunks: &'static [&'static [u64]],
    give: fn(&Rehearsal, &[&[u64]]) -> procshare::Result<()>,
    settle: fn(&Rehearsal, &[&[u64]]) -> procshare::Result<Fates>,
    /// The bytes of the output.
    output: fn(u64) -> Vec<u8>,
}

fn rehearsal_in(space: &Space) -> Rehearsal {
    Rehearsal::new(space).unwrap()
}

fn check(world: &PoolWorld, work: &Work, finished: bool) -> Result<(), String> {
    let fates = (work.settle)(&world.object, work.chunks).map_err(|error| error.to_string())?;
    let mut died = 0;
    for (n, fates) in fates.iter().enumerate() {
        let (called, returned) = (world.word(n).load(SeqCst), world.word(MOST + n).load(SeqCst));
        match &fates[..] {
            [Fate::Ended(Ok(output))]
                if *output == (work.output)(n as u64) && (called, returned) == (1, 1) => {}
            [Fate::Ended(Err(TaskError::Died { .. }))] if called <= 1 => died += 1,
            // Whoever gets it calls it for the first time.
            [Fate::Left] if called == 0 => {}
            other => {
                return Err(format!("task {n} was called {called} times and returned {returned}: {other:?}"));
            }
        }
        if finished && called == 0 {
            return Err(format!("task {n} was forgotten"));
        }
    }
    world.assert_slots();
    if died > u32::from(!finished) as usize { Err(format!("{died} tasks for one death")) } else { Ok(()) }
}

fn scenario(work: Work) -> Scenario<'static, PoolWorld> {
    let (name, chunks, give) = (work.name, work.chunks, work.give);
    Scenario::new(name, move || {
        let world = World::new(name, rehearsal_in);
        give(&world.object, chunks).unwrap();
        world
    })
    .prepared("worker", |world, stage| {
        NOTES.store(world.page.u64s().as_ptr() as usize, SeqCst);
        world.space.join().unwrap();
        stage.run(|| world.object.work().unwrap())
    })
    .watch(|world| world.regions())
    .check(move |world, fates| check(world, &work, fates[0].finished))
}

fn short(name: &'static str, chunks: &'static [&'static [u64]]) -> Scenario<'static, PoolWorld> {
    scenario(Work {
        name,
        chunks,
        give: Rehearsal::give::<noting, u64>,
        settle: Rehearsal::settle::<noting, u64>,
        output: |n| vec![3 * n as u8],
    })
}

/// Chunks of several.
fn work() -> Scenario<'static, PoolWorld> {
    short("pool-work", &[&[0, 1, 2], &[3, 4], &[5]])
}

/// Each alone.
fn work_alone() -> Scenario<'static, PoolWorld> {
    short("pool-work-alone", &[&[0], &[1]])
}

/// Outputs that are not written in place: long ones, and the last short one, for which there is little room.
fn work_long() -> Scenario<'static, PoolWorld> {
    scenario(Work {
        name: "pool-work-long",
        chunks: &[&[0, 1, 2], &[3, 4, 5, 6, 7, 8, 9, 10, 11]],
        give: Rehearsal::give::<noting_long, u64>,
        settle: Rehearsal::settle::<noting_long, u64>,
        output: |n| [&[if n < 3 { 0xe8 } else { 100 }, 7][..if n < 3 { 2 } else { 1 }], &long(n)].concat(),
    })
}
