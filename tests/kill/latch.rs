//! Deaths inside `Latch`: it was counted down, or it was not.

use procshare::{Error, Latch, Lifetime, Space};
use procshare_harness::Scenario;

use crate::support::{World, await_word};

kill_tests! {
    count_down: Alone;
    count_down_to_zero: Alone;
    wait: Alone;
}

type LatchWorld = World<Latch>;

/// Notes.
const WAITING: usize = 0;
const RELEASED: usize = 1;

fn latch(count: u32) -> impl Fn(&Space) -> Latch {
    move |space| Latch::builder().space(space).lifetime(Lifetime::Named).create("it", count).unwrap()
}

/// A world with a living process that waits, or is about to.
fn with_waiter(name: &str, count: u32) -> LatchWorld {
    let world = World::new(name, latch(count)).with_helper(|world| {
        world.space.join().unwrap();
        world.note(WAITING);
        world.object.wait().unwrap();
        world.note(RELEASED);
    });
    await_word(world.word(WAITING), 1);
    world
}

/// Counts the rest down, and finds the latch open.
fn finish(world: &LatchWorld) {
    let latch = &world.object;
    assert!(latch.count() == 0 || !world.noted(RELEASED), "released too early");
    while latch.count() != 0 {
        latch.count_down(1).unwrap();
    }
    await_word(world.word(RELEASED), 1);
    assert!(latch.try_wait());
    assert!(matches!(latch.count_down(1), Err(Error::CountedTooFar { left: 0, .. })));
    world.assert_slots();
}

fn counts(name: &'static str, before: u32, by: u32) -> Scenario<'static, LatchWorld> {
    Scenario::new(name, move || with_waiter(name, before))
        .prepared("count down", move |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert_eq!(world.object.count_down(by).unwrap(), before - by))
        })
        .watch(|world| world.regions())
        .check(move |world, fates| {
            let left = world.object.count();
            assert!(left == before - by || (left == before && !fates[0].finished), "{left} left");
            finish(world);
        })
}

fn count_down() -> Scenario<'static, LatchWorld> {
    counts("latch-count-down", 3, 2)
}

fn count_down_to_zero() -> Scenario<'static, LatchWorld> {
    counts("latch-to-zero", 2, 2)
}

fn wait() -> Scenario<'static, LatchWorld> {
    Scenario::new("wait at a latch", || with_waiter("latch-wait", 2))
        .prepared("arrive", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.arrive_and_wait().unwrap())
        })
        .when_asleep(|world| drop(world.object.count_down(1)))
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(world.object.count() == 0 || !fates[0].finished);
            finish(world);
        })
}
