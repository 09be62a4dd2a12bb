//! Deaths inside `Event`: a set has happened or it has not, and a signal of the dead goes to the living.

use std::time::Duration;

use procshare::{Event, Lifetime, Reset, Space};
use procshare_harness::Scenario;

use crate::line::{SERVED, assert_passed_on_once, line};
use crate::support::{World, await_word};

kill_tests! {
    set: Alone;
    clear: Alone;
    auto_set: Alone;
    auto_set_without_waiters: Alone;
    auto_take: Alone;
    auto_pass_on: Chain;
    auto_pass_on_and_take: Alone;
}

sleeper_tests! {
    wait;
    auto_wait;
}

type EventWorld = World<Event>;

/// Who looks for the dead often, in the roll of waiters.
const WATCH: u64 = 32;

/// Notes.
const WAITING: usize = 0;
const RELEASED: usize = 1;
const SET: usize = 2;

const SOON: Duration = Duration::from_secs(5);

/// Where an auto-reset event's table begins, and the size of an entry; the first holds the signal.
const TABLE: u64 = 48;
const ENTRY: u64 = 16;

fn event(reset: Reset) -> impl Fn(&Space) -> Event {
    move |space| Event::builder().space(space).lifetime(Lifetime::Named).create_with("it", reset).unwrap()
}

/// A world with a living process that is about to wait.
fn with_waiter(name: &str, reset: Reset) -> EventWorld {
    let world = World::new(name, event(reset)).with_helper(|world| {
        world.space.join().unwrap();
        world.note(WAITING);
        world.object.wait().unwrap();
        world.note(RELEASED);
    });
    await_word(world.word(WAITING), 1);
    world
}

/// A word of the table.
fn entry(world: &EventWorld, index: u64) -> u64 {
    u64::from_ne_bytes(world.body(TABLE + index * ENTRY, 8).try_into().unwrap())
}

/// Whether somebody waits in the entry who was not granted yet.
fn waits(world: &EventWorld, index: u64) -> bool {
    entry(world, index) >> 30 & 3 == 1
}

/// Waits until somebody waits in the entry.
fn await_entry(world: &EventWorld, index: u64) {
    while !waits(world, index) {
        std::thread::yield_now();
    }
}

/// The event works, manual or not, and nobody's slot is lost.
fn usable(world: &EventWorld) {
    let event = &world.object;
    event.clear().unwrap();
    assert!(!event.wait_timeout(Duration::from_millis(2)).unwrap());
    event.set().unwrap();
    // An auto-reset event's signal may be granted to a dead waiter until somebody looks.
    assert!(event.is_set() || event.reset() == Reset::Auto);
    assert!(event.wait_timeout(SOON).unwrap());
    world.assert_slots();
}

fn set() -> Scenario<'static, EventWorld> {
    Scenario::new("set", || with_waiter("set", Reset::Manual))
        .prepared("set", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.set().unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(world.object.is_set() || !fates[0].finished);
            if !world.object.is_set() {
                world.object.set().unwrap();
            }
            await_word(world.word(RELEASED), 1);
            usable(world);
        })
}

fn clear() -> Scenario<'static, EventWorld> {
    Scenario::new("clear", || World::new("clear", event(Reset::Manual)))
        .prepared("clear", |world, stage| {
            world.object.set().unwrap();
            world.space.join().unwrap();
            stage.run(|| world.object.clear().unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(!(world.object.is_set() && fates[0].finished));
            usable(world);
        })
}

fn wait() -> Scenario<'static, EventWorld> {
    Scenario::new("wait", || World::new("wait-event", event(Reset::Manual)))
        .prepared("wait", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.wait().unwrap())
        })
        .when_asleep(|world| world.object.set().unwrap())
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(world.object.is_set() || !fates[0].finished);
            usable(world);
        })
}

fn auto_set() -> Scenario<'static, EventWorld> {
    Scenario::new("auto-reset set", || {
        let world = with_waiter("auto-set", Reset::Auto);
        await_entry(&world, 1);
        world
    })
    .prepared("set", |world, stage| {
        world.space.join().unwrap();
        stage.run(|| world.object.set().unwrap())
    })
    .watch(|world| world.regions())
    .check(|world, fates| {
        // One set for one waiter; a second one is left over only if the first was made.
        let granted = !waits(world, 1);
        assert!(granted || !fates[0].finished, "the set released nobody");
        if !granted {
            world.object.set().unwrap();
        }
        await_word(world.word(RELEASED), 1);
        assert!(!world.object.try_wait().unwrap(), "one set released two");
        usable(world);
    })
}

fn auto_set_without_waiters() -> Scenario<'static, EventWorld> {
    Scenario::new("auto-reset set, nobody waits", || World::new("auto-set-alone", event(Reset::Auto)))
        .prepared("set", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.set().unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let was_set = world.object.is_set();
            assert!(was_set || !fates[0].finished);
            assert_eq!(world.object.wait_timeout(Duration::from_millis(2)).unwrap(), was_set);
            assert!(!world.object.try_wait().unwrap(), "one set released two");
            usable(world);
        })
}

fn auto_take() -> Scenario<'static, EventWorld> {
    Scenario::new("auto-reset wait, set", || {
        let world = World::new("auto-take", event(Reset::Auto));
        world.object.set().unwrap();
        world
    })
    .prepared("take", |world, stage| {
        world.space.join().unwrap();
        stage.run(|| world.object.wait().unwrap())
    })
    .watch(|world| world.regions())
    .check(|world, fates| {
        // The commit: the entry is free.
        let left = entry(world, 0) != 0;
        assert!(!(left && fates[0].finished));
        assert_eq!(world.object.try_wait().unwrap(), left);
        assert!(!world.object.try_wait().unwrap());
        usable(world);
    })
}

/// The victim waits, another one waits behind it, and a single set comes when the victim sleeps: whoever is alive gets it.
fn auto_wait() -> Scenario<'static, EventWorld> {
    let world = || {
        let world = World::new("auto-wait", event(Reset::Auto));
        world.occupy_watch(WATCH);
        world.with_helper(|world| {
            world.space.join().unwrap();
            await_word(world.word(WAITING), 1);
            world.object.wait().unwrap();
            world.note(RELEASED);
        })
    };
    fn rouse(world: &EventWorld) {
        world.note(WAITING);
        await_entry(world, 2);
        // Until it is seen whether the victim has used the signal up.
        world.freeze_helper();
        world.note(SET);
        world.object.set().unwrap();
    }
    Scenario::new("auto-reset wait", world)
        .prepared("wait", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.wait().unwrap())
        })
        .when_asleep(rouse)
        .watch(|world| world.regions())
        .check(|world, fates| {
            let used_up = entry(world, 1) == 0;
            world.thaw_helper();
            if !world.noted(SET) {
                // It died before it slept: the one behind it is served.
                world.note(WAITING);
                world.object.set().unwrap();
                await_word(world.word(RELEASED), 1);
            } else if used_up {
                assert!(!world.noted(RELEASED), "one set released two");
                world.object.set().unwrap();
                await_word(world.word(RELEASED), 1);
            } else {
                assert!(!fates[0].finished);
                await_word(world.word(RELEASED), 1);
            }
            assert!(!world.object.try_wait().unwrap(), "one set released two");
            usable(world);
        })
}

/// How many wait in the table.
fn waiting(world: &EventWorld) -> usize {
    (1..4).filter(|index| waits(world, *index)).count()
}

/// A waiter died with its signal; whoever passes it on dies as well, and again: it is passed on once.
fn auto_pass_on() -> Scenario<'static, EventWorld> {
    passed_on("auto-pass-on", true)
}

/// The same, and the one it is passed to takes it before anybody else looks round.
fn auto_pass_on_and_take() -> Scenario<'static, EventWorld> {
    passed_on("auto-pass-on-take", false)
}

fn passed_on(name: &'static str, early: bool) -> Scenario<'static, EventWorld> {
    let world = move || {
        let wait = |event: &Event| event.wait().unwrap();
        line(name, event(Reset::Auto), wait, waiting, |event| event.set().unwrap())
    };
    let mut scenario = Scenario::new(name, world);
    for name in ["pass on", "pass on in its place", "pass on in its place again"] {
        scenario = scenario.prepared(name, move |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert!(!world.object.try_wait().unwrap(), "it is another one's signal"))
        });
    }
    scenario.watch(|world| world.regions()).check(move |world, _| {
        let look_round = || assert!(!world.object.try_wait().unwrap(), "a signal is left over");
        assert_passed_on_once(world, |world| waits(world, 3), early, look_round);
        world.object.set().unwrap();
        await_word(world.word(SERVED[1]), 1);
        usable(world);
    })
}
