//! Deaths inside `Lock`: whoever asks next gets it, and is told.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Cause, Lock, LockError, LockGuard, ReleaseError};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, await_word, die_after, lock_in};

kill_tests! {
    lock: Alone;
    lock_in_a_forked_child: Alone;
    unlock: Alone;
    lock_timeout: Alone;
    unlock_wakes: Alone;
    wait_for_a_live_holder: Alone;
    take_over: Chain;
    hand_over: Alone;
    release: Alone;
    critical_sections: Pair;
    critical_sections_after_a_death: Pair;
}

type LockWorld = World<Lock>;

/// Notes of victims.
const HELD: usize = 0;
const REPAIRING: usize = 1;
const INSIDE: usize = 2;
const GO: usize = 3;
const TURNS: usize = 4;
const DEATHS: usize = 5;
const TOLD: usize = 6;

const SOON: Duration = Duration::from_secs(5);

/// What an acquirer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    Clean,
    Died,
}

fn acquire<'a>(
    outcome: Result<LockGuard<'a>, LockError<LockGuard<'a>>>,
) -> Result<(Got, LockGuard<'a>), String> {
    match outcome {
        Ok(guard) => Ok((Got::Clean, guard)),
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => {
            Ok((Got::Died, outcome.into_guard()))
        }
        Err(other) => Err(format!("the lock is not to be had: {other:?}")),
    }
}

/// The contract after deaths: the lock is to be had at once, by polling, too; everybody is told until one declares it
/// consistent, and nobody afterwards. Tells what the first acquirer got.
fn survive(world: &LockWorld) -> Result<Got, String> {
    let lock = &world.object;
    let (first, guard) = acquire(lock.try_lock())?;
    if !matches!(lock.try_lock(), Err(LockError::WouldBlock)) {
        return Err("two holders at once".into());
    }
    drop(guard);
    for _ in 0..2 {
        let (again, guard) = acquire(lock.lock_timeout(SOON))?;
        if again != first {
            return Err(format!("first {first:?}, then {again:?}, and nobody made it consistent"));
        }
        drop(guard);
    }
    let (_, guard) = acquire(lock.lock())?;
    guard.make_consistent();
    drop(guard);
    let (last, _guard) = acquire(lock.lock())?;
    if last != Got::Clean {
        return Err("told of a death after make_consistent".into());
    }
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(first)
}

fn expect(got: Got, must: Option<Got>, why: &str) -> Result<(), String> {
    if must.is_none_or(|must| must == got) { Ok(()) } else { Err(format!("{got:?}, although {why}")) }
}

fn world(name: &'static str) -> impl Fn() -> LockWorld {
    move || World::new(name, lock_in)
}

/// A process that has used the lock before: joined, with a token for its thread.
fn used(world: &LockWorld) -> &Lock {
    drop(world.object.lock().unwrap());
    &world.object
}

fn told_if_held(world: &LockWorld, fates: &[Fate]) -> Result<(), String> {
    let held = world.noted(HELD) || fates[0].finished;
    expect(survive(world)?, held.then_some(Got::Died), "it died holding the lock")
}

fn lock() -> Scenario<'static, LockWorld> {
    Scenario::new("lock", world("lock"))
        .prepared("lock", |world, stage| {
            let lock = used(world);
            stage.run(|| {
                std::mem::forget(lock.lock().unwrap());
                world.note(HELD);
            })
        })
        .watch(|world| world.regions())
        .check(told_if_held)
}

fn lock_in_a_forked_child() -> Scenario<'static, LockWorld> {
    Scenario::new("join and lock", world("join-and-lock"))
        .victim("join and lock", |world| {
            std::mem::forget(world.object.lock().unwrap());
            world.note(HELD);
        })
        .watch(|world| world.regions())
        .check(told_if_held)
}

fn unlock() -> Scenario<'static, LockWorld> {
    Scenario::new("unlock", world("unlock"))
        .prepared("unlock", |world, stage| {
            let guard = world.object.lock().unwrap();
            stage.run(|| drop(guard))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            expect(survive(world)?, fates[0].finished.then_some(Got::Clean), "it died after the release")
        })
}

fn lock_timeout() -> Scenario<'static, LockWorld> {
    Scenario::new("lock with a timeout that passes", || held_world("lock-timeout"))
        .prepared("wait", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let outcome = world.object.lock_timeout(Duration::from_millis(2));
                assert!(matches!(outcome, Err(LockError::TimedOut)), "{outcome:?}");
            })
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            // The holder lives: not even a dead waiter's traces let anybody in.
            assert!(matches!(world.object.try_lock(), Err(LockError::WouldBlock)));
            let_go(world);
            expect(survive(world)?, Some(Got::Clean), "only a waiter died")
        })
}

/// A world in which a living process holds the lock until it is told to [`GO`], and then says 2.
fn held_world(name: &str) -> LockWorld {
    let world = World::new(name, lock_in).with_helper(|world| {
        let guard = world.object.lock().unwrap();
        world.note(INSIDE);
        await_word(world.word(GO), 1);
        drop(guard);
        world.word(GO).store(2, SeqCst);
    });
    await_word(world.word(INSIDE), 1);
    world
}

fn let_go(world: &LockWorld) {
    if !world.noted(GO) {
        world.note(GO);
    }
    await_word(world.word(GO), 2);
}

fn wait_for_a_live_holder() -> Scenario<'static, LockWorld> {
    Scenario::new("wait for a live holder", || held_world("wait"))
        .prepared("wait", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                std::mem::forget(world.object.lock().unwrap());
                world.note(HELD);
            })
        })
        .when_asleep(let_go)
        .watch(|world| world.regions())
        .check(|world, fates| {
            let_go(world);
            told_if_held(world, fates)
        })
}

/// The holder dies while it wakes a waiter: the waiter gets the lock all the same.
fn unlock_wakes() -> Scenario<'static, LockWorld> {
    let world = || {
        World::new("unlock-wakes", lock_in).with_helper(|world| {
            await_word(world.word(GO), 1);
            let (_, guard) = acquire(world.object.lock()).unwrap();
            world.note(HELD);
            drop(guard);
            world.word(GO).store(2, SeqCst);
        })
    };
    Scenario::new("unlock with a waiter", world)
        .prepared("unlock", |world, stage| {
            let guard = world.object.lock().unwrap();
            world.note(GO);
            // Somebody sleeps once the word says so: bit 31 of its low half.
            while world.body(0, 4)[3] & 0x80 == 0 {
                std::thread::yield_now();
            }
            stage.run(|| drop(guard))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            await_word(world.word(GO), 2);
            expect(survive(world)?, fates[0].finished.then_some(Got::Clean), "it died after the release")
        })
}

/// Recovery of a dead owner's lock; the next victim recovers from the death of the one that recovers.
fn take_over() -> Scenario<'static, LockWorld> {
    let world = || {
        let world = World::new("take-over", lock_in);
        die_after(|| std::mem::forget(world.object.lock().unwrap()));
        world
    };
    let recover = |world: &LockWorld| {
        let (got, guard) = acquire(world.object.lock()).unwrap();
        // Whoever repairs notes it first: from here on it is open who is told.
        assert!(got == Got::Died || world.noted(REPAIRING), "not told of the death");
        world.note(REPAIRING);
        guard.make_consistent();
        drop(guard);
    };
    let mut scenario = Scenario::new("take over", world);
    for name in ["recover", "recover from that", "recover from that again"] {
        scenario = scenario.prepared(name, move |world, stage| {
            world.space.join().unwrap();
            stage.run(|| recover(world))
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        let last = &fates[fates.len() - 1];
        let must = match (last.finished, world.noted(REPAIRING)) {
            (true, _) => Some(Got::Clean),
            (false, false) => Some(Got::Died),
            (false, true) => None,
        };
        expect(survive(world)?, must, "it was, or was not, made consistent")
    })
}

fn hand_over() -> Scenario<'static, LockWorld> {
    Scenario::new("hand over", world("hand-over"))
        .prepared("forget", |world, stage| {
            let guard = world.object.lock().unwrap();
            stage.run(|| guard.forget())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let lock = &world.object;
            let handed_over = matches!(lock.try_lock(), Err(LockError::WouldBlock));
            if handed_over {
                assert_eq!(lock.holder(), None);
                lock.release().unwrap();
            } else if fates[0].finished {
                return Err("the holding ended with its process, although it was handed over".into());
            }
            assert!(matches!(lock.release(), Err(ReleaseError::NotHeld)));
            let must = if handed_over { Got::Clean } else { Got::Died };
            expect(survive(world)?, Some(must), "of how it was left")
        })
}

fn release() -> Scenario<'static, LockWorld> {
    let world = || {
        let world = World::new("release", lock_in);
        world.object.lock().unwrap().forget();
        world
    };
    Scenario::new("release", world)
        .prepared("release", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.release().unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            match world.object.release() {
                Err(ReleaseError::NotHeld) => {}
                Ok(()) if !fates[0].finished => {}
                other => return Err(format!("the second release: {other:?}")),
            }
            expect(survive(world)?, Some(Got::Clean), "a hand-over has no owner that could die")
        })
}

/// Two contenders, one frozen or dead anywhere: never two of them inside.
fn critical_sections() -> Scenario<'static, LockWorld> {
    sections("critical sections", world("sections"))
}

/// The same when both begin with the recovery of a dead owner's lock: only one of them recovers.
fn critical_sections_after_a_death() -> Scenario<'static, LockWorld> {
    sections("critical sections after a death", || {
        let world = World::new("sections-after", lock_in);
        die_after(|| std::mem::forget(world.object.lock().unwrap()));
        world.word(DEATHS).store(1, SeqCst);
        world
    })
}

fn sections(name: &'static str, world: impl Fn() -> LockWorld + 'static) -> Scenario<'static, LockWorld> {
    let mut scenario = Scenario::new(name, world);
    for name in ["first", "second"] {
        scenario = scenario.prepared(name, move |world, stage| {
            world.space.join().unwrap();
            stage.run(|| turn(world))
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        let finished = fates.iter().filter(|fate| fate.finished).count() as u64;
        let turns = world.word(TURNS).load(SeqCst);
        if turns < finished || turns > fates.len() as u64 {
            return Err(format!("{turns} turns, {finished} finished"));
        }
        let deaths = world.word(DEATHS).load(SeqCst) + fates.len() as u64 - finished;
        let told = world.word(TOLD).load(SeqCst);
        if told > deaths {
            return Err(format!("told of {told} deaths, and {deaths} held the lock"));
        }
        survive(world).map(drop)
    })
}

fn turn(world: &LockWorld) {
    let (got, guard) = acquire(world.object.lock()).unwrap();
    if got == Got::Died {
        world.word(TOLD).fetch_add(1, SeqCst);
        world.word(INSIDE).store(0, SeqCst);
        guard.make_consistent();
    }
    assert_eq!(world.word(INSIDE).swap(1, SeqCst), 0, "two inside");
    let turns = world.word(TURNS).load(SeqCst);
    world.word(TURNS).store(turns + 1, SeqCst);
    world.word(INSIDE).store(0, SeqCst);
    drop(guard);
}
