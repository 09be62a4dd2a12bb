//! Deaths inside `Once`: who dies has not done it, unless it was done.

use procshare::{Cause, Lifetime, Once, Space};
use procshare_harness::Scenario;

use crate::support::{World, await_word};

kill_tests! {
    call_once: Chain;
    call_once_beside_a_waiter: Alone;
}

type OnceWorld = World<Once>;

/// Notes.
const BEGUN: usize = 0;
const ENDED: usize = 1;
const READY: usize = 2;
const SEEN: usize = 3;
const GO: usize = 4;

fn once(space: &Space) -> Once {
    Once::builder().space(space).lifetime(Lifetime::Named).create("it").unwrap()
}

/// Does it, or finds it done.
fn call(world: &OnceWorld) {
    let did_it = world.object.call_once(|state| {
        assert!(!world.noted(ENDED) || state.predecessor().is_some(), "it was done before, it seems");
        // Who begins it anew must be told that somebody did before.
        assert!(!world.noted(BEGUN) || state.predecessor() == Some(Cause::Died));
        world.note(BEGUN);
        world.note(GO);
        world.note(ENDED);
    });
    did_it.unwrap();
    assert!(world.object.is_completed() && world.noted(ENDED));
}

/// Done once at the end, and never again.
fn survive(world: &OnceWorld, finished: bool) {
    let completed = world.object.is_completed();
    assert!(completed || !finished);
    assert!(!completed || world.noted(ENDED), "done before it was done");
    call(world);
    assert!(!world.object.call_once(|_| unreachable!("it is done")).unwrap());
    world.assert_slots();
}

fn call_once() -> Scenario<'static, OnceWorld> {
    let mut scenario = Scenario::new("call once", || World::new("call-once", once));
    for name in ["do it", "do it in its place", "do it in its place again"] {
        scenario = scenario.prepared(name, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| call(world))
        });
    }
    scenario
        .watch(|world| world.regions())
        .check(|world, fates| survive(world, fates.iter().any(|fate| fate.finished)))
}

fn call_once_beside_a_waiter() -> Scenario<'static, OnceWorld> {
    let world = || {
        let world = World::new("call-once-beside", once).with_helper(|world| {
            world.space.join().unwrap();
            world.note(READY);
            await_word(world.word(GO), 1);
            call(world);
            world.note(SEEN);
        });
        await_word(world.word(READY), 1);
        world
    };
    Scenario::new("call once beside a waiter", world)
        .prepared("do it", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| call(world))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            world.note(GO);
            await_word(world.word(SEEN), 1);
            survive(world, fates[0].finished);
        })
}
