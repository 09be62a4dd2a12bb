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
}

type PoolWorld = World<Rehearsal>;

/// The notes of the world that this process works in, if it is a victim's.
static NOTES: AtomicUsize = AtomicUsize::new(0);

/// The most tasks of a scenario.
const MOST: usize = 64;

/// Notes that it was called, does something, and notes that it comes back.
#[procshare::task]
fn noting(n: u64) -> u64 {
    // SAFETY: the victim set it to the words of a page that lives as long as the world, and of which all tasks are smaller.
    let notes = unsafe { std::slice::from_raw_parts(NOTES.load(SeqCst) as *const AtomicU64, 2 * MOST) };
    notes[n as usize].fetch_add(1, SeqCst);
    notes[MOST + n as usize].fetch_add(1, SeqCst);
    3 * n
}

fn rehearsal_in(space: &Space) -> Rehearsal {
    Rehearsal::new(space).unwrap()
}

fn check(world: &PoolWorld, chunks: &[&[u64]], finished: bool) -> Result<(), String> {
    let fates = world.object.settle::<noting, u64>(chunks).map_err(|error| error.to_string())?;
    let mut died = 0;
    for (n, fates) in fates.iter().enumerate() {
        let (called, returned) = (world.word(n).load(SeqCst), world.word(MOST + n).load(SeqCst));
        match &fates[..] {
            [Fate::Ended(Ok(output))] if output[..] == [3 * n as u8] && (called, returned) == (1, 1) => {}
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

fn scenario(name: &'static str, chunks: &'static [&'static [u64]]) -> Scenario<'static, PoolWorld> {
    Scenario::new(name, move || {
        let world = World::new(name, rehearsal_in);
        world.object.give::<noting, u64>(chunks).unwrap();
        world
    })
    .prepared("worker", |world, stage| {
        NOTES.store(world.page.u64s().as_ptr() as usize, SeqCst);
        world.space.join().unwrap();
        stage.run(|| world.object.work().unwrap())
    })
    .watch(|world| world.regions())
    .check(move |world, fates| check(world, chunks, fates[0].finished))
}

/// Chunks of several.
fn work() -> Scenario<'static, PoolWorld> {
    scenario("pool-work", &[&[0, 1, 2], &[3, 4], &[5]])
}

/// Each alone.
fn work_alone() -> Scenario<'static, PoolWorld> {
    scenario("pool-work-alone", &[&[0], &[1]])
}
