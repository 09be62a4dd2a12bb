//! Deaths on either side of the start of a process.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use procshare::process::TaskError;
use procshare::process::hidden::{BareStart, StartRehearsal};
use procshare::{AtomicValue, Handle, Lifetime};
use procshare_harness::{Fate, Scenario, child, lead_group, living_of_group, watchdog};

use crate::support::{World, park};

kill_tests! {
    run_a_task: Alone;
    run_a_task_that_panics: Far;
    start_a_process: Far;
}

/// The counter, and what the starter has ready for each world.
struct Prepared {
    counter: AtomicValue<u64>,
    start: StartRehearsal,
}

type StartWorld = World<Prepared>;

/// The notes of the world that this process works in, if it is a victim's.
static NOTES: AtomicUsize = AtomicUsize::new(0);

const CALLED: usize = 0;
const RETURNS: usize = 1;

fn note(which: usize) {
    // SAFETY: the victim set it to the words of a page that lives as long as the world.
    let notes = unsafe { &*(NOTES.load(SeqCst) as *const [std::sync::atomic::AtomicU64; 2]) };
    notes[which].fetch_add(1, SeqCst);
}

#[procshare::task]
fn counting(counter: Handle<AtomicValue<u64>>, panics: bool) -> u64 {
    note(CALLED);
    let before = counter.attach().unwrap().fetch_add(1).unwrap();
    note(RETURNS);
    assert!(!panics, "as it shall");
    before + 7
}

fn prepared(space: &procshare::Space, panics: bool) -> Prepared {
    let builder = AtomicValue::builder().space(space).lifetime(Lifetime::Named);
    let counter = builder.create("it", 0u64).unwrap();
    let start = StartRehearsal::new::<counting>((&counter, panics)).unwrap();
    Prepared { counter, start }
}

/// The started process dies: the starter finds all, or nothing and a death.
fn run(name: &'static str, panics: bool) -> Scenario<'static, StartWorld> {
    Scenario::new(name, move || World::new(name, |space| prepared(space, panics)))
        .prepared("started", move |world, stage| {
            NOTES.store(world.page.u64s().as_ptr() as usize, SeqCst);
            world.object.start.take_the_place();
            std::panic::set_hook(Box::new(|_| ()));
            stage.run(|| assert_eq!(world.object.start.run(), Some(if panics { 101 } else { 0 })));
        })
        .watch(|world| world.regions())
        .check(move |world, fates| check(world, fates, panics))
}

fn check(world: &StartWorld, fates: &[Fate], panics: bool) -> Result<(), String> {
    let (called, returns) = (world.word(CALLED).load(SeqCst), world.word(RETURNS).load(SeqCst));
    let counted = world.object.counter.load();
    let (greeted, outcome) = world.object.start.settle::<counting>().map_err(|error| error.to_string())?;
    let is_right = match &outcome {
        Ok(output) => !panics && *output == 7 && returns == 1,
        Err(TaskError::Panicked { message, .. }) => panics && message.contains("as it shall") && returns == 1,
        Err(TaskError::Died { .. }) => !fates[0].finished,
        Err(_) => false,
    };
    // Nothing of the task runs before the starter is told, and what it did is there, once.
    let in_order = called <= u64::from(greeted) && returns <= counted && counted <= called;
    if !is_right || !in_order {
        return Err(format!("greeted {greeted}, called {called}, counted {counted}: {outcome:?}"));
    }
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(())
}

fn run_a_task() -> Scenario<'static, StartWorld> {
    run("process-run", false)
}

fn run_a_task_that_panics() -> Scenario<'static, StartWorld> {
    run("process-run-panics", true)
}

/// Runs for ever, unless its starter dies.
#[procshare::task]
fn staying(counter: Handle<AtomicValue<u64>>) {
    counter.attach().unwrap().fetch_add(1).unwrap();
    park()
}

/// The starter dies: whatever it has started ends.
fn start_a_process() -> Scenario<'static, World<AtomicValue<u64>>> {
    const NAME: &str = "process-start";
    let make = |space: &procshare::Space| {
        AtomicValue::builder().space(space).lifetime(Lifetime::Named).create("it", 0u64).unwrap()
    };
    Scenario::new(NAME, move || World::new(NAME, make))
        .prepared("starter", |world, stage| {
            lead_group();
            world.space.join().unwrap();
            let mut start = BareStart::new::<staying>((&world.object,)).unwrap();
            stage.run(|| assert!(start.start().unwrap()));
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            // The deadline of the check bounds it.
            while !living_of_group(fates[0].pid).is_empty() {
                std::thread::yield_now();
            }
            let counted = world.object.load();
            world.assert_slots();
            world.assert_only(&["it"]);
            if counted <= 1 { Ok(()) } else { Err(format!("it ran {counted} times")) }
        })
}

/// The starter dies at the last moment: the started process may begin, and has not yet asked the kernel to end it.
#[test]
fn whoever_has_lost_its_starter_calls_nothing() {
    const CODE: usize = 2;
    watchdog(Duration::from_secs(60), || {
        let world = World::new("process-orphan", |space| prepared(space, false));
        child(Duration::from_secs(30), || {
            let parent = std::process::id();
            // SAFETY: this process has one thread.
            if unsafe { libc::fork() } != 0 {
                return;
            }
            while std::os::unix::process::parent_id() == parent {
                std::thread::yield_now();
            }
            NOTES.store(world.page.u64s().as_ptr() as usize, SeqCst);
            world.object.start.take_the_place();
            let code = world.object.start.run();
            world.word(CODE).store(1 + code.unwrap_or(0) as u64, SeqCst);
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) };
        })
        .unwrap();
        while world.word(CODE).load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        let (is_greeted, outcome) = world.object.start.settle::<counting>().unwrap();
        let said = (world.word(CODE).load(SeqCst), is_greeted, world.word(CALLED).load(SeqCst));
        assert_eq!(said, (71, false, 0), "{outcome:?}");
        assert!(matches!(outcome, Err(TaskError::Died { .. })), "{outcome:?}");
    });
}
