//! Deaths inside `wait_any`: one thing is taken, which comes back, and nothing of the others is lost.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{
    BoundedSemaphore, Error, Event, Lifetime, Lock, LockError, Reset, Space, Taken, Waitable, try_wait_any,
    wait_any,
};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, await_word};

kill_tests! {
    take_the_first: Alone;
    take_the_second: Alone;
    take_nothing: Alone;
}

sleeper_tests! {
    wait_for_the_lock;
    wait_for_the_permit;
    wait_for_the_signal;
}

/// A lock, one permit and an auto-reset event, whose file is `it`.
struct Things {
    lock: Lock,
    permit: BoundedSemaphore,
    signal: Event,
}

type ThingsWorld = World<Things>;

/// Notes: what the victim took, by its place in the list.
const TOOK: [usize; 3] = [0, 1, 2];
/// The helper holds the lock; it shall let go of it, and has when this is 2.
const HELD: usize = 3;
const GO: usize = 4;
/// The helper's threads shall wait; they were served.
const WAIT: usize = 5;
const HAS_PERMIT: usize = 6;
const HAS_SIGNAL: usize = 7;
/// What the victim waits for has come.
const CAME: usize = 8;

const SOON: Duration = Duration::from_secs(5);

/// Where the event's table of waiters begins, and the size of an entry; the first holds the signal.
const TABLE: u64 = 48;
const ENTRY: u64 = 16;

impl Things {
    /// All that is there is there.
    fn new(space: &Space) -> Self {
        Things {
            lock: Lock::builder().space(space).lifetime(Lifetime::Named).create("lock").unwrap(),
            permit: BoundedSemaphore::builder().space(space).create("permit", 1).unwrap(),
            signal: Event::builder().space(space).create_with("it", Reset::Auto).unwrap(),
        }
    }

    fn all(&self) -> [&dyn Waitable; 3] {
        [&self.lock, &self.permit, &self.signal]
    }
}

/// A word of the event's table.
fn entry(world: &ThingsWorld, index: u64) -> u64 {
    u64::from_ne_bytes(world.body(TABLE + index * ENTRY, 8).try_into().unwrap())
}

/// How many wait for the signal and have not got it.
fn waiting(world: &ThingsWorld) -> usize {
    (1..4).filter(|index| entry(world, *index) >> 30 & 3 == 1).count()
}

/// Notes what the victim got, and keeps it.
fn keep(world: &ThingsWorld, (index, taken): (usize, Taken<'_>)) {
    world.note(TOOK[index]);
    std::mem::forget(taken);
}

/// The lock is to be had, and it is told if the dead victim had it.
fn lock_survives(world: &ThingsWorld, must: bool, may: bool) -> Result<(), String> {
    match world.object.lock.lock_timeout(SOON) {
        Ok(_) if must => Err("not told that the holder died".into()),
        Ok(_) => Ok(()),
        Err(LockError::OwnerDied(outcome)) if may => {
            outcome.into_guard().make_consistent();
            Ok(())
        }
        Err(other) => Err(other.to_string()),
    }
}

/// There is one permit, whoever had it, and no more.
fn permit_survives(world: &ThingsWorld) -> Result<(), String> {
    let permit = world.object.permit.acquire_timeout(SOON).map_err(|error| error.to_string())?;
    let another = world.object.permit.try_acquire();
    assert!(matches!(another, Err(Error::WouldBlock)), "two permits of one");
    drop(permit);
    Ok(())
}

/// There is one signal.
fn signal_survives(world: &ThingsWorld) {
    assert!(world.object.signal.try_wait().unwrap(), "the signal was taken as well");
    assert!(!world.object.signal.try_wait().unwrap());
}

/// All is there: the first is taken, and nothing else.
fn take_the_first() -> Scenario<'static, ThingsWorld> {
    let world = || {
        let world = World::new("any-first", Things::new);
        world.object.signal.set().unwrap();
        world
    };
    Scenario::new("wait_any takes the first", world)
        .prepared("take", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| keep(world, wait_any(&world.object.all()).unwrap()))
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            assert!(!world.noted(TOOK[1]) && !world.noted(TOOK[2]));
            signal_survives(world);
            permit_survives(world)?;
            lock_survives(world, world.noted(TOOK[0]), true)?;
            world.assert_slots();
            Ok::<(), String>(())
        })
}

/// A world whose helper holds the lock, and waits for the permit and the signal once it is told to.
fn helped(name: &'static str) -> ThingsWorld {
    let world = World::new(name, Things::new).with_helper(|world| {
        let things = &world.object;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let guard = things.lock.lock().unwrap();
                world.note(HELD);
                await_word(world.word(GO), 1);
                drop(guard);
                world.word(GO).store(2, SeqCst);
            });
            scope.spawn(|| {
                await_word(world.word(WAIT), 1);
                std::mem::forget(things.permit.acquire().unwrap());
                world.note(HAS_PERMIT);
            });
            scope.spawn(|| {
                await_word(world.word(WAIT), 1);
                things.signal.wait().unwrap();
                world.note(HAS_SIGNAL);
            });
        });
    });
    await_word(world.word(HELD), 1);
    world
}

fn let_go(world: &ThingsWorld) {
    if !world.noted(GO) {
        world.note(GO);
    }
    await_word(world.word(GO), 2);
}

/// Somebody alive holds the lock; the permit is taken, and the signal is not.
fn take_the_second() -> Scenario<'static, ThingsWorld> {
    let world = || {
        let world = helped("any-second");
        world.object.signal.set().unwrap();
        world
    };
    Scenario::new("wait_any takes the second", world)
        .prepared("take", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| keep(world, wait_any(&world.object.all()).unwrap()))
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            assert!(!world.noted(TOOK[0]) && !world.noted(TOOK[2]));
            signal_survives(world);
            permit_survives(world)?;
            assert!(matches!(world.object.lock.try_lock(), Err(LockError::WouldBlock)));
            let_go(world);
            lock_survives(world, false, false)
        })
}

/// Nothing is there.
fn take_nothing() -> Scenario<'static, ThingsWorld> {
    let world = || {
        let world = helped("any-nothing");
        world.object.permit.acquire().unwrap().forget();
        world
    };
    Scenario::new("try_wait_any takes nothing", world)
        .prepared("try", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert!(matches!(try_wait_any(&world.object.all()), Err(Error::WouldBlock))))
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            world.object.permit.release(1).unwrap();
            permit_survives(world)?;
            let_go(world);
            lock_survives(world, false, false)?;
            world.object.signal.set().unwrap();
            signal_survives(world);
            Ok::<(), String>(())
        })
}

/// The others begin to wait, behind the victim.
fn others_wait(world: &ThingsWorld, victims: usize) {
    world.note(WAIT);
    while waiting(world) < 1 + victims {
        std::thread::yield_now();
    }
}

/// A victim waits for all of them; others wait behind it; `come` lets one thing come. The dead one keeps nothing from anybody.
fn sleeper(
    name: &'static str,
    come: fn(&ThingsWorld),
    check: fn(&ThingsWorld, &Fate, bool) -> Result<(), String>,
) -> Scenario<'static, ThingsWorld> {
    let world = move || {
        let world = helped(name);
        world.object.permit.acquire().unwrap().forget();
        world
    };
    Scenario::new(name, world)
        .prepared("wait", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| keep(world, wait_any(&world.object.all()).unwrap()))
        })
        .when_asleep(move |world| {
            if !world.noted(CAME) {
                others_wait(world, 1);
                // Until it is seen what the victim has used up.
                world.freeze_helper();
                world.note(CAME);
                come(world);
            }
        })
        .watch(|world| world.regions())
        .check(move |world, fates| {
            let signal_used_up = entry(world, 1) == 0;
            world.thaw_helper();
            if !world.noted(CAME) {
                others_wait(world, 0);
                come(world);
            }
            check(world, &fates[0], signal_used_up && world.noted(CAME))?;
            assert!(!world.object.signal.try_wait().unwrap(), "a signal was made");
            assert!(world.object.permit.try_acquire().is_err(), "a permit was made");
            world.assert_slots();
            Ok::<(), String>(())
        })
}

/// Who waits for the permit gets it, whether it was released before or comes now.
fn serve_permit(world: &ThingsWorld) {
    world.object.permit.release(1).unwrap();
    await_word(world.word(HAS_PERMIT), 1);
}

fn serve_signal(world: &ThingsWorld) {
    world.object.signal.set().unwrap();
    await_word(world.word(HAS_SIGNAL), 1);
}

fn wait_for_the_lock() -> Scenario<'static, ThingsWorld> {
    // The helper is stopped: it lets go when the world is checked, or when it goes on for that here.
    fn come(world: &ThingsWorld) {
        world.thaw_helper();
        let_go(world);
    }
    sleeper("any-lock", come, |world, fate, _| {
        assert!(!world.noted(TOOK[1]) && !world.noted(TOOK[2]));
        lock_survives(world, fate.finished, true)?;
        serve_permit(world);
        serve_signal(world);
        Ok(())
    })
}

fn wait_for_the_permit() -> Scenario<'static, ThingsWorld> {
    sleeper(
        "any-permit",
        |world| world.object.permit.release(1).unwrap(),
        |world, _, _| {
            assert!(!world.noted(TOOK[0]) && !world.noted(TOOK[2]));
            // From the dead one, or past it.
            await_word(world.word(HAS_PERMIT), 1);
            serve_signal(world);
            let_go(world);
            lock_survives(world, false, false)
        },
    )
}

fn wait_for_the_signal() -> Scenario<'static, ThingsWorld> {
    sleeper(
        "any-signal",
        |world| world.object.signal.set().unwrap(),
        |world, fate, used_up| {
            assert!(!world.noted(TOOK[0]) && !world.noted(TOOK[1]));
            if used_up {
                assert!(!world.noted(HAS_SIGNAL), "one set released two");
                serve_signal(world);
            } else {
                assert!(!fate.finished);
                await_word(world.word(HAS_SIGNAL), 1);
            }
            serve_permit(world);
            let_go(world);
            lock_survives(world, false, false)
        },
    )
}
