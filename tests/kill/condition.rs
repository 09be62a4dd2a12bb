//! Deaths inside `Condition`: the dead eat no notification, and none is made twice.

use std::time::Duration;

use procshare::{Condition, Lifetime, Lock, LockError, LockGuard, Space};
use procshare_harness::Scenario;

use crate::line::{SERVED, assert_passed_on_once, line};
use crate::support::{World, await_word};

kill_tests! {
    wait_timeout: Alone;
    notify_one: Alone;
    notify_all: Alone;
    pass_on: Alone;
    pass_on_and_take: Alone;
}

sleeper_tests! {
    wait;
    wait_under_the_lock;
}

type ConditionWorld = World<Condition>;

/// Notes.
const GO: usize = 0;
const NOTIFIED: usize = 1;
const WOKEN: [usize; 2] = [2, 3];
/// A waiter was told that the lock's holder died.
const TOLD: usize = 4;

/// Where the table of waiters begins, and the size of an entry.
const TABLE: u64 = 64;
const ENTRY: u64 = 16;
/// Who looks for the dead often, in the roll of waiters.
const WATCH: u64 = 32;

fn condition(space: &Space) -> Condition {
    Condition::builder().space(space).lifetime(Lifetime::Named).create("it").unwrap()
}

/// The guard, whatever happened to the last owner.
fn repaired<'a>(outcome: Result<LockGuard<'a>, LockError<LockGuard<'a>>>) -> LockGuard<'a> {
    match outcome {
        Ok(guard) => guard,
        Err(error) => {
            let guard = error.into_guard().unwrap();
            guard.make_consistent();
            guard
        }
    }
}

/// Waits for a notification; a wait that ends because the lock's holder died begins again.
fn wait_for_notification(condition: &Condition) {
    let mut guard = repaired(condition.lock());
    loop {
        match condition.wait(guard) {
            Ok(_) => return,
            Err(error) => guard = repaired(Err(error)),
        }
    }
}

/// A word of the table.
fn entry(world: &ConditionWorld, index: u64) -> u64 {
    u64::from_ne_bytes(world.body(TABLE + index * ENTRY, 8).try_into().unwrap())
}

/// Whether somebody waits in the entry and was not notified yet.
fn waits(world: &ConditionWorld, index: u64) -> bool {
    entry(world, index) >> 30 & 3 == 1
}

fn await_waiting(world: &ConditionWorld, index: u64) {
    while !waits(world, index) {
        std::thread::yield_now();
    }
}

/// The condition works: a waiter that comes is notified, and nobody else is left.
fn usable(world: &ConditionWorld) {
    let condition = &world.object;
    let guard = repaired(condition.lock());
    let (guard, result) = condition.wait_timeout(guard, Duration::from_millis(5)).unwrap();
    assert!(result.timed_out(), "a notification was left over");
    drop(guard);
    assert_eq!(condition.notify_all().unwrap(), 0, "waiters were left over");
    std::thread::scope(|scope| {
        scope.spawn(|| wait_for_notification(condition));
        while !condition.notify_one().unwrap() {
            std::thread::yield_now();
        }
    });
    world.assert_slots();
}

/// A world in which a living process waits once it is told to, behind the victim.
fn with_second_waiter(name: &str) -> ConditionWorld {
    let world = World::new(name, condition);
    world.occupy_watch(WATCH);
    world.with_helper(|world| {
        world.space.join().unwrap();
        await_word(world.word(GO), 1);
        let mut guard = repaired(world.object.lock());
        while let Err(error) = world.object.wait(guard) {
            guard = repaired(Err(error));
            world.note(TOLD);
        }
        world.note(WOKEN[0]);
    })
}

/// The second waiter comes, and a single notification.
fn notify_the_first(world: &ConditionWorld) {
    world.note(GO);
    await_waiting(world, 1);
    // Until it is seen whether the victim has used the notification up.
    world.freeze_helper();
    world.note(NOTIFIED);
    assert!(world.object.notify_one().unwrap());
}

/// Notifies until the second waiter, which may have to come yet, returns.
fn notify_the_second(world: &ConditionWorld) {
    world.note(GO);
    while !world.noted(WOKEN[0]) {
        world.object.notify_one().unwrap();
        std::thread::yield_now();
    }
}

/// The victim waits, another one waits behind it, and a single notification comes when the victim sleeps. The victim has a lock of its
/// own, so that its death is nothing to the other one but the grant that goes on.
fn wait() -> Scenario<'static, ConditionWorld> {
    Scenario::new("wait for a notification", || with_second_waiter("condition-wait"))
        .prepared("wait", |world, stage| {
            let lock = Lock::builder().space(&world.space).anonymous().unwrap();
            let guard = lock.lock().unwrap();
            stage.run(|| drop(world.object.wait(guard).unwrap()))
        })
        .when_asleep(notify_the_first)
        .watch(|world| world.regions())
        .check(|world, fates| {
            let used_up = entry(world, 0) == 0;
            world.thaw_helper();
            if !world.noted(NOTIFIED) {
                notify_the_second(world);
            } else if used_up {
                assert!(!world.noted(WOKEN[0]), "one notification woke two");
                assert!(world.object.notify_one().unwrap());
                await_word(world.word(WOKEN[0]), 1);
            } else {
                assert!(!fates[0].finished);
                await_word(world.word(WOKEN[0]), 1);
            }
            usable(world);
        })
}

/// The same under one lock: the other one is woken, or told that the lock's holder died.
fn wait_under_the_lock() -> Scenario<'static, ConditionWorld> {
    Scenario::new("wait under the lock", || with_second_waiter("condition-lock"))
        .prepared("wait", |world, stage| {
            let guard = world.object.lock().unwrap();
            stage.run(|| drop(world.object.wait(guard).unwrap()))
        })
        .when_asleep(notify_the_first)
        .watch(|world| world.regions())
        .check(|world, fates| {
            let used_up = entry(world, 0) == 0;
            world.thaw_helper();
            while world.noted(NOTIFIED) && !used_up && !world.noted(WOKEN[0]) && !world.noted(TOLD) {
                std::thread::yield_now();
            }
            assert!(!fates[0].finished || !world.noted(TOLD));
            notify_the_second(world);
            usable(world);
        })
}

/// The victim's timeout passes while another one waits.
fn wait_timeout() -> Scenario<'static, ConditionWorld> {
    Scenario::new("wait with a timeout that passes", || with_waiters("condition-timeout", 1))
        .prepared("wait", |world, stage| {
            let guard = world.object.lock().unwrap();
            stage.run(|| {
                let (_guard, result) = world.object.wait_timeout(guard, Duration::from_millis(1)).unwrap();
                assert!(result.timed_out());
            })
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            assert!(!world.noted(WOKEN[0]), "nobody has notified");
            // Nobody takes the lock over from the dead any more.
            drop(repaired(world.object.lock()));
            assert!(world.object.notify_one().unwrap());
            await_word(world.word(WOKEN[0]), 1);
            usable(world);
        })
}

/// A world in which so many living threads wait, in order.
fn with_waiters(name: &str, count: usize) -> ConditionWorld {
    let world = World::new(name, condition).with_helper(|world| {
        world.space.join().unwrap();
        std::thread::scope(|scope| {
            for note in WOKEN.into_iter().take(count) {
                scope.spawn(move || {
                    wait_for_notification(&world.object);
                    world.note(note);
                });
                // The next one comes later.
                await_waiting(world, (note - WOKEN[0]) as u64);
            }
        });
    });
    await_waiting(&world, count as u64 - 1);
    world
}

/// A notifier dies: its call has happened or it has not.
fn notifier(
    name: &'static str,
    notify: fn(&Condition),
    notified: usize,
) -> Scenario<'static, ConditionWorld> {
    Scenario::new(name, move || with_waiters(name, 2))
        .prepared("notify", move |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let guard = world.object.lock().unwrap();
                notify(&world.object);
                drop(guard);
            })
        })
        .watch(|world| world.regions())
        .check(move |world, fates| {
            // Nobody takes the lock over from the dead any more.
            drop(repaired(world.object.lock()));
            // Whoever was notified returns; whoever was not waits.
            let woken = loop {
                let woken = WOKEN.into_iter().filter(|note| world.noted(*note)).count();
                if world.object.n_waiting() + woken == 2 {
                    break woken;
                }
                std::thread::yield_now();
            };
            assert!(woken <= notified && (woken == notified || !fates[0].finished), "{woken} were woken");
            assert_eq!(world.object.notify_all().unwrap() as usize, 2 - woken);
            for note in WOKEN {
                await_word(world.word(note), 1);
            }
            usable(world);
        })
}

fn notify_one() -> Scenario<'static, ConditionWorld> {
    notifier("condition-notify-one", |condition| assert!(condition.notify_one().unwrap()), 1)
}

fn notify_all() -> Scenario<'static, ConditionWorld> {
    notifier("condition-notify-all", |condition| assert_eq!(condition.notify_all().unwrap(), 2), 2)
}

/// A waiter died with its notification; whoever passes it on dies as well, and again: it is passed on once.
fn pass_on() -> Scenario<'static, ConditionWorld> {
    passed_on("condition-pass-on", true)
}

/// The same, and the one it is passed to takes it before anybody else looks round.
fn pass_on_and_take() -> Scenario<'static, ConditionWorld> {
    passed_on("condition-pass-on-take", false)
}

fn passed_on(name: &'static str, early: bool) -> Scenario<'static, ConditionWorld> {
    let world = move || {
        let waiting = |world: &ConditionWorld| world.object.n_waiting();
        let notify = |condition: &Condition| assert!(condition.notify_one().unwrap());
        line(name, condition, wait_for_notification, waiting, notify)
    };
    Scenario::new(name, world)
        .prepared("pass on", |world, stage| {
            // Under a lock of its own: its death is nothing to the others.
            let lock = Lock::builder().space(&world.space).anonymous().unwrap();
            let guard = lock.lock().unwrap();
            stage.run(|| {
                // It came later than the notification.
                let (_guard, result) = world.object.wait_timeout(guard, Duration::from_millis(3)).unwrap();
                assert!(result.timed_out());
            })
        })
        .watch(|world| world.regions())
        .check(move |world, _| {
            let condition = &world.object;
            let look_round = || {
                let guard = repaired(condition.lock());
                let (_guard, result) = condition.wait_timeout(guard, Duration::from_millis(5)).unwrap();
                assert!(result.timed_out());
            };
            assert_passed_on_once(world, |world| waits(world, 2), early, look_round);
            while !world.noted(SERVED[1]) {
                condition.notify_one().unwrap();
                std::thread::yield_now();
            }
            usable(world);
        })
}
