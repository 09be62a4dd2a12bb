//! Deaths inside `Semaphore` and `BoundedSemaphore`: permits are neither lost nor made.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{BoundedSemaphore, Error, Lifetime, Semaphore, SemaphorePermit, Space};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, await_word, die_after};

kill_tests! {
    acquire: Alone;
    acquire_in_a_forked_child: Alone;
    give: Alone;
    forget: Alone;
    release_one: Alone;
    release_two_at_once: Alone;
    add_one: Alone;
    add_three_at_once: Alone;
    fail_to_acquire: Alone;
    fail_to_release: Alone;
    wait_until_released: Alone;
    wait_until_the_timeout: Alone;
    give_wakes: Alone;
    reclaim: Chain;
    take_turns: Pair;
    acquire_from_the_bank: Alone;
    give_to_the_bank: Alone;
    forget_from_the_bank: Alone;
    release_to_slots_and_bank: Alone;
    reclaim_from_the_bank: Chain;
    take_turns_at_the_bank: Alone;
}

#[test]
#[ignore = "takes minutes"]
fn take_turns_at_the_bank_in_pairs() {
    crate::support::at_every_instruction(&take_turns_at_the_bank(), crate::support::Together::Pair);
}

type BoundedWorld = World<BoundedSemaphore>;
type PlainWorld = World<Semaphore>;

/// Notes of victims.
const GO: usize = 0;
const INSIDE: usize = 1;

const SOON: Duration = Duration::from_secs(5);

/// Where the word is that says who is on watch.
const WATCH: u64 = 4;

/// Permits in slots; the others lie in the bank.
const SLOTTED: u32 = 256;

fn bounded(name: &'static str, permits: u32) -> impl Fn() -> BoundedWorld {
    let make = move |space: &Space| {
        BoundedSemaphore::builder().space(space).lifetime(Lifetime::Named).create("it", permits).unwrap()
    };
    move || World::new(name, make)
}

fn plain(name: &'static str, permits: u32) -> impl Fn() -> PlainWorld {
    let make = move |space: &Space| {
        Semaphore::builder().space(space).lifetime(Lifetime::Named).create("it", permits).unwrap()
    };
    move || World::new(name, make)
}

/// A plain world whose slots are empty: `permits` lie in the bank.
fn banked(name: &'static str, permits: u32) -> impl Fn() -> PlainWorld {
    let make = plain(name, 0);
    move || {
        let world = make();
        // One is put into a slot, several go to the bank: one of these is left out.
        world.object.release(permits + 1).unwrap();
        world.object.acquire().unwrap().forget();
        world
    }
}

/// A world whose test process has left `permits` of the bounded semaphore's out.
fn all_out(name: &'static str, permits: u32) -> impl Fn() -> BoundedWorld {
    let make = bounded(name, permits);
    move || {
        let world = make();
        for _ in 0..permits {
            world.object.acquire().unwrap().forget();
        }
        world.occupy_watch(WATCH);
        world
    }
}

/// What both semaphores have in common.
trait Permits {
    fn try_one(&self) -> Result<SemaphorePermit<'_>, Error>;
    fn one_soon(&self) -> Result<SemaphorePermit<'_>, Error>;
    fn one(&self) -> Result<SemaphorePermit<'_>, Error>;
    fn free(&self) -> u32;
    /// Brings home all that are out, where that is known; how many those were.
    fn bring_home(&self) -> u32;
}

macro_rules! permits {
    ($semaphore:ty, $bring_home:expr) => {
        impl Permits for $semaphore {
            fn try_one(&self) -> Result<SemaphorePermit<'_>, Error> {
                self.try_acquire()
            }
            fn one_soon(&self) -> Result<SemaphorePermit<'_>, Error> {
                self.acquire_timeout(SOON)
            }
            fn one(&self) -> Result<SemaphorePermit<'_>, Error> {
                self.acquire()
            }
            fn free(&self) -> u32 {
                self.available()
            }
            fn bring_home(&self) -> u32 {
                $bring_home(self)
            }
        }
    };
}

permits!(Semaphore, |_: &Semaphore| 0);
permits!(BoundedSemaphore, |semaphore: &BoundedSemaphore| {
    (0..).take_while(|_| semaphore.release(1).is_ok()).count() as u32
});

/// How many permits can be had, without giving them back before all are counted.
fn count(permits: &impl Permits) -> Result<u32, String> {
    let mut taken = Vec::new();
    loop {
        match permits.try_one() {
            Ok(permit) => taken.push(permit),
            Err(Error::WouldBlock) => return Ok(taken.len() as u32),
            Err(other) => return Err(other.to_string()),
        }
    }
}

/// The contract after deaths: so many permits can be had, so many brought home, and none beyond; twice the same.
fn survive<P: Permits>(world: &World<P>) -> Result<(u32, u32), String> {
    let semaphore = &world.object;
    let free = count(semaphore)?;
    let out = semaphore.bring_home();
    let all = count(semaphore)?;
    if all != free + out {
        return Err(format!("{free} were free and {out} out, but {all} in all"));
    }
    if semaphore.free() != all {
        return Err(format!("{} available, {all} there", semaphore.free()));
    }
    if all > 0 {
        drop(semaphore.one_soon().map_err(|e| e.to_string())?);
    }
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok((free, out))
}

fn expect<T: PartialEq + std::fmt::Debug>(found: T, allowed: &[T]) -> Result<(), String> {
    if allowed.contains(&found) { Ok(()) } else { Err(format!("found {found:?}, allowed: {allowed:?}")) }
}

/// All the permits are free: those of the dead came back.
fn all_free<P: Permits>(permits: u32) -> impl Fn(&World<P>, &[Fate]) -> Result<(), String> {
    move |world, _| expect(survive(world)?, &[(permits, 0)])
}

/// A victim that has joined and used the semaphore before.
fn used<P: Permits>(world: &World<P>) -> &P {
    drop(world.object.one().unwrap());
    &world.object
}

fn acquire() -> Scenario<'static, BoundedWorld> {
    Scenario::new("acquire", bounded("acquire", 1))
        .prepared("acquire", |world, stage| {
            let semaphore = used(world);
            stage.run(|| std::mem::forget(semaphore.acquire().unwrap()))
        })
        .watch(|world| world.regions())
        .check(all_free(1))
}

fn acquire_in_a_forked_child() -> Scenario<'static, BoundedWorld> {
    Scenario::new("join and acquire", bounded("join-and-acquire", 2))
        .victim("join and acquire", |world| std::mem::forget(world.object.acquire().unwrap()))
        .watch(|world| world.regions())
        .check(all_free(2))
}

fn give() -> Scenario<'static, BoundedWorld> {
    Scenario::new("give", bounded("give", 2))
        .prepared("give", |world, stage| {
            let permits = [world.object.acquire().unwrap(), world.object.acquire().unwrap()];
            stage.run(|| drop(permits))
        })
        .watch(|world| world.regions())
        .check(all_free(2))
}

/// The dead one's permit came back, or it is out; it is certainly out once `forget` has returned.
fn free_or_out(world: &BoundedWorld, fates: &[Fate]) -> Result<(), String> {
    let out: &[(u32, u32)] = if fates[0].finished { &[(0, 1)] } else { &[(1, 0), (0, 1)] };
    expect(survive(world)?, out)
}

fn forget() -> Scenario<'static, BoundedWorld> {
    Scenario::new("forget", bounded("forget", 1))
        .prepared("forget", |world, stage| {
            let permit = world.object.acquire().unwrap();
            stage.run(|| permit.forget())
        })
        .watch(|world| world.regions())
        .check(free_or_out)
}

fn release_one() -> Scenario<'static, BoundedWorld> {
    Scenario::new("release one", all_out("release-one", 2))
        .prepared("release", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.release(1).unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let done: &[(u32, u32)] = if fates[0].finished { &[(1, 1)] } else { &[(0, 2), (1, 1)] };
            expect(survive(world)?, done)
        })
}

fn release_two_at_once() -> Scenario<'static, BoundedWorld> {
    Scenario::new("release two at once", all_out("release-two", 3))
        .prepared("release", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.release(2).unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let done: &[(u32, u32)] = if fates[0].finished { &[(2, 1)] } else { &[(0, 3), (2, 1)] };
            expect(survive(world)?, done)
        })
}

/// A plain semaphore got `more` permits, or none.
fn added(more: u32) -> impl Fn(&PlainWorld, &[Fate]) -> Result<(), String> {
    move |world, fates| {
        let done: &[(u32, u32)] = if fates[0].finished { &[(more, 0)] } else { &[(0, 0), (more, 0)] };
        expect(survive(world)?, done)
    }
}

fn add_one() -> Scenario<'static, PlainWorld> {
    Scenario::new("add one", plain("add-one", 0))
        .prepared("release", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.release(1).unwrap())
        })
        .watch(|world| world.regions())
        .check(added(1))
}

fn add_three_at_once() -> Scenario<'static, PlainWorld> {
    Scenario::new("add three at once", plain("add-three", 0))
        .prepared("release", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.release(3).unwrap())
        })
        .watch(|world| world.regions())
        .check(added(3))
}

fn fail_to_acquire() -> Scenario<'static, BoundedWorld> {
    Scenario::new("fail to acquire", all_out("fail-to-acquire", 1))
        .prepared("try", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert!(matches!(world.object.try_acquire(), Err(Error::WouldBlock))))
        })
        .watch(|world| world.regions())
        .check(|world, _| expect(survive(world)?, &[(0, 1)]))
}

fn fail_to_release() -> Scenario<'static, BoundedWorld> {
    Scenario::new("fail to release", all_out("fail-to-release", 2))
        .prepared("release too many", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert!(world.object.release(3).is_err()))
        })
        .watch(|world| world.regions())
        .check(|world, _| expect(survive(world)?, &[(0, 2)]))
}

fn release_once(world: &BoundedWorld) {
    if !world.noted(GO) {
        world.note(GO);
        world.object.release(1).unwrap();
    }
}

fn wait_until_released() -> Scenario<'static, BoundedWorld> {
    Scenario::new("wait until released", all_out("wait", 1))
        .prepared("wait", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| std::mem::forget(world.object.acquire().unwrap()))
        })
        .when_asleep(release_once)
        .watch(|world| world.regions())
        .check(|world, _| {
            release_once(world);
            expect(survive(world)?, &[(1, 0)])
        })
}

fn wait_until_the_timeout() -> Scenario<'static, BoundedWorld> {
    Scenario::new("wait until the timeout", all_out("wait-timeout", 1))
        .prepared("wait", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let outcome = world.object.acquire_timeout(Duration::from_millis(2));
                assert!(matches!(outcome, Err(Error::TimedOut)));
            })
        })
        .watch(|world| world.regions())
        .check(|world, _| expect(survive(world)?, &[(0, 1)]))
}

/// The owner dies while it wakes a waiter: the waiter gets the permit all the same.
fn give_wakes() -> Scenario<'static, BoundedWorld> {
    let make = bounded("give-wakes", 1);
    let world = move || {
        make().with_helper(|world| {
            await_word(world.word(GO), 1);
            drop(world.object.acquire().unwrap());
            world.word(GO).store(2, SeqCst);
        })
    };
    Scenario::new("give with a waiter", world)
        .prepared("give", |world, stage| {
            let permit = world.object.acquire().unwrap();
            world.note(GO);
            // Somebody sleeps once the event count says so: its lowest bit.
            while world.body(0, 1)[0] & 1 == 0 {
                std::thread::yield_now();
            }
            stage.run(|| drop(permit))
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            await_word(world.word(GO), 2);
            expect(survive(world)?, &[(1, 0)])
        })
}

/// Three victims take over, one from the other, what a dead owner left.
fn reclaimed<P: Permits + 'static>(
    name: &'static str,
    world: impl Fn() -> World<P> + 'static,
    permits: u32,
) -> Scenario<'static, World<P>> {
    let world = move || {
        let world = world();
        die_after(|| {
            for _ in 0..permits {
                std::mem::forget(world.object.one().unwrap());
            }
        });
        world
    };
    let mut scenario = Scenario::new(name, world);
    for heir in ["first heir", "second heir", "third heir"] {
        scenario = scenario.prepared(heir, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| std::mem::forget(world.object.try_one().unwrap()))
        });
    }
    scenario.watch(|world| world.regions()).check(all_free(permits))
}

fn reclaim() -> Scenario<'static, BoundedWorld> {
    reclaimed("reclaim", bounded("reclaim", 2), 2)
}

/// Two contenders for one permit, one frozen or dead anywhere: never two of them inside.
fn turns<P: Permits + 'static>(
    name: &'static str,
    world: impl Fn() -> World<P> + 'static,
) -> Scenario<'static, World<P>> {
    let world = move || {
        let world = world();
        world.occupy_watch(WATCH);
        world
    };
    let mut scenario = Scenario::new(name, world);
    for (who, contender) in [(1, "first"), (2, "second")] {
        scenario = scenario.prepared(contender, move |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let permit = world.object.one().unwrap();
                // The first lives as long as the second runs; when it goes on, the second is dead and may have left its mark.
                let other = world.word(INSIDE).swap(who, SeqCst);
                assert!(other == 0 || who == 1, "two inside");
                world.word(INSIDE).store(0, SeqCst);
                drop(permit);
            })
        });
    }
    scenario.watch(|world| world.regions()).check(all_free(1))
}

fn take_turns() -> Scenario<'static, BoundedWorld> {
    turns("take turns", bounded("turns", 1))
}

fn acquire_from_the_bank() -> Scenario<'static, PlainWorld> {
    Scenario::new("acquire from the bank", banked("bank-acquire", 2))
        .prepared("acquire", |world, stage| {
            let semaphore = used(world);
            stage.run(|| std::mem::forget(semaphore.acquire().unwrap()))
        })
        .watch(|world| world.regions())
        .check(all_free(2))
}

fn give_to_the_bank() -> Scenario<'static, PlainWorld> {
    Scenario::new("give to the bank", banked("bank-give", 2))
        .prepared("give", |world, stage| {
            let permits = [world.object.acquire().unwrap(), world.object.acquire().unwrap()];
            stage.run(|| drop(permits))
        })
        .watch(|world| world.regions())
        .check(all_free(2))
}

fn forget_from_the_bank() -> Scenario<'static, BoundedWorld> {
    let make = bounded("bank-forget", SLOTTED + 1);
    let world = move || {
        let world = make();
        for _ in 0..SLOTTED {
            std::mem::forget(world.object.acquire().unwrap());
        }
        world
    };
    Scenario::new("forget from the bank", world)
        .prepared("forget", |world, stage| {
            let permit = world.object.acquire().unwrap();
            stage.run(|| permit.forget())
        })
        .watch(|world| world.regions())
        .check(free_or_out)
}

/// Two permits out of slots and one out of the bank come home together, or none of them.
fn release_to_slots_and_bank() -> Scenario<'static, BoundedWorld> {
    let make = bounded("bank-release", SLOTTED + 1);
    let world = move || {
        let world = make();
        let mut permits: Vec<_> = (0..=SLOTTED).map(|_| world.object.acquire().unwrap()).collect();
        permits.pop().unwrap().forget();
        permits.pop().unwrap().forget();
        permits.pop().unwrap().forget();
        std::mem::forget(permits);
        world
    };
    Scenario::new("release to slots and bank", world)
        .prepared("release", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| world.object.release(3).unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let done: &[(u32, u32)] = if fates[0].finished { &[(3, 0)] } else { &[(0, 3), (3, 0)] };
            expect(survive(world)?, done)
        })
}

fn reclaim_from_the_bank() -> Scenario<'static, PlainWorld> {
    reclaimed("reclaim from the bank", banked("bank-reclaim", 2), 2)
}

fn take_turns_at_the_bank() -> Scenario<'static, PlainWorld> {
    turns("take turns at the bank", banked("bank-turns", 1))
}
