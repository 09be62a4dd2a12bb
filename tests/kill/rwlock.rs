//! Deaths inside `RwLock`: readers are struck out, and only a writer that reached the data is told of.

use std::sync::atomic::Ordering::SeqCst;

use procshare::{Cause, Lifetime, LockError, RwLock, Space};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, await_word, die_after};

kill_tests! {
    read: Alone;
    read_in_a_forked_child: Alone;
    stop_reading: Alone;
    write: Alone;
    stop_writing: Alone;
    downgrade: Alone;
    repair: Alone;
    fail_to_write: Alone;
    fail_to_read: Alone;
    write_after_a_reader: Alone;
    read_after_a_writer: Alone;
    last_reader_wakes_the_writer: Alone;
    writer_wakes_readers: Alone;
    write_after_dead_readers: Chain;
    read_after_a_dead_writer: Chain;
    pairs: Pair;
}

type RwWorld = World<RwLock>;

/// Notes of victims.
const HELD: usize = 0;
const GO: usize = 1;
const FIRST: usize = 2;
const SECOND: usize = 3;

/// The event of the writer's word: the byte with the bit that says that somebody sleeps on it.
const WRITER_WAITERS: u64 = 3;

/// Where the words are that say who is on watch: writers for readers, readers for a writer, writers for a writer.
const WATCHES: [u64; 3] = [32, 36, 8];

fn world(name: &'static str) -> impl Fn() -> RwWorld {
    let make = |space: &Space| RwLock::builder().space(space).lifetime(Lifetime::Named).create("it").unwrap();
    move || World::new(name, make)
}

/// Whether the acquirer was told of a death, and its guard.
fn acquire<G>(outcome: Result<G, LockError<G>>) -> Result<(bool, G), String> {
    match outcome {
        Ok(guard) => Ok((false, guard)),
        Err(LockError::OwnerDied(outcome)) if outcome.cause() == Cause::Died => {
            Ok((true, outcome.into_guard()))
        }
        Err(other) => Err(format!("the lock is not to be had: {other}")),
    }
}

/// The contract after deaths: the lock is to be had at once, by readers together and by one writer; everybody is told until
/// one declares it consistent, and nobody afterwards. Tells whether the first one was told.
fn survive(world: &RwWorld) -> Result<bool, String> {
    let lock = &world.object;
    let (first, one) = acquire(lock.try_read())?;
    let (same, two) = acquire(lock.try_read())?;
    if !matches!(lock.try_write(), Err(LockError::WouldBlock)) {
        return Err("a writer beside readers".into());
    }
    drop((one, two));
    let (also, writer) = acquire(lock.try_write())?;
    if lock.readers() != 0 || !matches!(lock.try_read(), Err(LockError::WouldBlock)) {
        return Err(format!("{} readers beside a writer", lock.readers()));
    }
    drop(writer);
    let (again, writer) = acquire(lock.write())?;
    if [same, also, again] != [first; 3] {
        return Err(format!("told: {:?}, and nobody made it consistent", [first, same, also, again]));
    }
    writer.make_consistent();
    drop(writer.downgrade());
    let (last, _reader) = acquire(lock.read())?;
    if last {
        return Err("told of a death after make_consistent".into());
    }
    world.assert_slots();
    Ok(first)
}

fn nobody_is_told(world: &RwWorld, _: &[Fate]) -> Result<(), String> {
    if survive(world)? { Err("told, although no writer died in the data".into()) } else { Ok(()) }
}

/// Told for sure if the victim noted that it held the lock for writing.
fn told_if_held(world: &RwWorld, _: &[Fate]) -> Result<(), String> {
    let told = survive(world)?;
    if world.noted(HELD) && !told { Err("not told".into()) } else { Ok(()) }
}

fn not_told_if_finished(world: &RwWorld, fates: &[Fate]) -> Result<(), String> {
    let told = survive(world)?;
    let finished = fates.last().is_some_and(|fate| fate.finished);
    if finished && told { Err("told, although the writer left in good order".into()) } else { Ok(()) }
}

/// A victim that has used the lock before: joined, with an entry of its own.
fn used(world: &RwWorld) -> &RwLock {
    drop(world.object.read().unwrap());
    drop(world.object.write().unwrap());
    &world.object
}

fn read() -> Scenario<'static, RwWorld> {
    Scenario::new("read", world("rw-read"))
        .prepared("read", |world, stage| {
            let lock = used(world);
            stage.run(|| std::mem::forget((lock.read().unwrap(), lock.read().unwrap())))
        })
        .watch(|world| world.regions())
        .check(nobody_is_told)
}

fn read_in_a_forked_child() -> Scenario<'static, RwWorld> {
    Scenario::new("join and read", world("rw-join-and-read"))
        .victim("join and read", |world| std::mem::forget(world.object.read().unwrap()))
        .watch(|world| world.regions())
        .check(nobody_is_told)
}

fn stop_reading() -> Scenario<'static, RwWorld> {
    Scenario::new("stop reading", world("rw-stop-reading"))
        .prepared("stop", |world, stage| {
            let readers = (world.object.read().unwrap(), world.object.read().unwrap());
            stage.run(|| drop(readers))
        })
        .watch(|world| world.regions())
        .check(nobody_is_told)
}

fn write() -> Scenario<'static, RwWorld> {
    Scenario::new("write", world("rw-write"))
        .prepared("write", |world, stage| {
            let lock = used(world);
            stage.run(|| {
                std::mem::forget(lock.write().unwrap());
                world.note(HELD);
            })
        })
        .watch(|world| world.regions())
        .check(told_if_held)
}

fn stop_writing() -> Scenario<'static, RwWorld> {
    Scenario::new("stop writing", world("rw-stop-writing"))
        .prepared("stop", |world, stage| {
            let writer = world.object.write().unwrap();
            stage.run(|| drop(writer))
        })
        .watch(|world| world.regions())
        .check(not_told_if_finished)
}

fn downgrade() -> Scenario<'static, RwWorld> {
    Scenario::new("downgrade", world("rw-downgrade"))
        .prepared("downgrade", |world, stage| {
            let writer = world.object.write().unwrap();
            stage.run(|| std::mem::forget(writer.downgrade()))
        })
        .watch(|world| world.regions())
        .check(not_told_if_finished)
}

/// The repairer of a dead writer's data dies while it declares it consistent.
fn repair() -> Scenario<'static, RwWorld> {
    let make = world("rw-repair");
    let world = move || {
        let world = make();
        die_after(|| std::mem::forget(world.object.write().unwrap()));
        world
    };
    Scenario::new("repair", world)
        .prepared("repair", |world, stage| {
            let (told, writer) = acquire(world.object.write()).unwrap();
            assert!(told);
            stage.run(|| {
                writer.make_consistent();
                world.note(HELD);
                drop(writer);
            })
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            // As long as the repairer was inside, its own death counts; afterwards the repair does.
            match (survive(world)?, world.noted(HELD), fates[0].finished) {
                (false, false, _) => Err("not told of a repairer that died inside".to_owned()),
                (true, _, true) => Err("told, although the repairer left in good order".to_owned()),
                _ => Ok(()),
            }
        })
}

/// A world in which a living process holds the lock, for reading or writing, until it is told to [`GO`], and then says 2.
fn held_world(name: &'static str, writes: bool) -> impl Fn() -> RwWorld {
    let make = world(name);
    move || {
        let world = make().with_helper(|world| {
            let hold = || {
                world.note(HELD);
                await_word(world.word(GO), 1);
            };
            if writes {
                let _writer = world.object.write().unwrap();
                hold();
            } else {
                let _reader = world.object.read().unwrap();
                hold();
            }
            world.word(GO).store(2, SeqCst);
        });
        await_word(world.word(HELD), 1);
        world.word(HELD).store(0, SeqCst);
        for at in WATCHES {
            world.occupy_watch(at);
        }
        world
    }
}

fn let_go(world: &RwWorld) {
    if !world.noted(GO) {
        world.note(GO);
    }
    await_word(world.word(GO), 2);
}

fn fail_to_write() -> Scenario<'static, RwWorld> {
    Scenario::new("fail to write", held_world("rw-fail-to-write", false))
        .prepared("try", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert!(matches!(world.object.try_write(), Err(LockError::WouldBlock))))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            drop(world.object.try_read().map_err(|e| e.to_string())?);
            let_go(world);
            nobody_is_told(world, fates)
        })
}

fn fail_to_read() -> Scenario<'static, RwWorld> {
    Scenario::new("fail to read", held_world("rw-fail-to-read", true))
        .prepared("try", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| assert!(matches!(world.object.try_read(), Err(LockError::WouldBlock))))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let_go(world);
            nobody_is_told(world, fates)
        })
}

fn write_after_a_reader() -> Scenario<'static, RwWorld> {
    Scenario::new("write after a reader", held_world("rw-write-after", false))
        .prepared("write", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                std::mem::forget(world.object.write().unwrap());
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

fn read_after_a_writer() -> Scenario<'static, RwWorld> {
    Scenario::new("read after a writer", held_world("rw-read-after", true))
        .prepared("read", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| std::mem::forget(world.object.read().unwrap()))
        })
        .when_asleep(let_go)
        .watch(|world| world.regions())
        .check(|world, fates| {
            let_go(world);
            nobody_is_told(world, fates)
        })
}

/// The last reader dies while it wakes the writer, which gets the lock all the same.
fn last_reader_wakes_the_writer() -> Scenario<'static, RwWorld> {
    let make = world("rw-wakes-writer");
    let world = move || {
        make().with_helper(|world| {
            await_word(world.word(GO), 1);
            drop(world.object.write().unwrap());
            world.word(GO).store(2, SeqCst);
        })
    };
    Scenario::new("the last reader wakes the writer", world)
        .prepared("stop", |world, stage| {
            let reader = world.object.read().unwrap();
            world.note(GO);
            while !entry_has_waiter(world) {
                std::thread::yield_now();
            }
            stage.run(|| drop(reader))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            await_word(world.word(GO), 2);
            nobody_is_told(world, fates)
        })
}

/// Whether a writer says in some entry that it may sleep: bit 31 of the entry's low half.
fn entry_has_waiter(world: &RwWorld) -> bool {
    world.body(64, 56 * 64).chunks(64).any(|entry| entry[3] & 0x80 != 0)
}

/// The writer dies while it wakes a reader, which gets the lock all the same.
fn writer_wakes_readers() -> Scenario<'static, RwWorld> {
    let make = world("rw-wakes-readers");
    let world = move || {
        make().with_helper(|world| {
            await_word(world.word(GO), 1);
            drop(acquire(world.object.read()).unwrap());
            world.word(GO).store(2, SeqCst);
        })
    };
    Scenario::new("the writer wakes readers", world)
        .prepared("stop", |world, stage| {
            let writer = world.object.write().unwrap();
            world.note(GO);
            while world.body(WRITER_WAITERS, 1)[0] & 0x80 == 0 {
                std::thread::yield_now();
            }
            stage.run(|| drop(writer))
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            await_word(world.word(GO), 2);
            not_told_if_finished(world, fates)
        })
}

/// Writers strike out dead readers, and die over it.
fn write_after_dead_readers() -> Scenario<'static, RwWorld> {
    let make = world("rw-dead-readers");
    let world = move || {
        let world = make();
        die_after(|| std::mem::forget((world.object.read().unwrap(), world.object.read().unwrap())));
        world
    };
    let mut scenario = Scenario::new("write after dead readers", world);
    for heir in ["first heir", "second heir", "third heir"] {
        scenario = scenario.prepared(heir, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let (_, writer) = acquire(world.object.write()).unwrap();
                world.note(HELD);
                std::mem::forget(writer);
            })
        });
    }
    scenario.watch(|world| world.regions()).check(told_if_held)
}

/// Readers take over from a dead writer, and die over it: the next one is told, too.
fn read_after_a_dead_writer() -> Scenario<'static, RwWorld> {
    let make = world("rw-dead-writer");
    let world = move || {
        let world = make();
        die_after(|| std::mem::forget(world.object.write().unwrap()));
        world
    };
    let mut scenario = Scenario::new("read after a dead writer", world);
    for heir in ["first heir", "second heir", "third heir"] {
        scenario = scenario.prepared(heir, |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let (told, reader) = acquire(world.object.read()).unwrap();
                assert!(told, "not told");
                drop(reader);
            })
        });
    }
    scenario
        .watch(|world| world.regions())
        .check(|world, _| if survive(world)? { Ok(()) } else { Err("not told".to_owned()) })
}

/// A writer and a reader of two words that belong together, one frozen or dead anywhere.
fn pairs() -> Scenario<'static, RwWorld> {
    let make = world("rw-pairs");
    let world = move || {
        let world = make();
        for at in WATCHES {
            world.occupy_watch(at);
        }
        world
    };
    Scenario::new("pairs", world)
        .prepared("writer", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let (_, writer) = acquire(world.object.write()).unwrap();
                world.word(FIRST).fetch_add(1, SeqCst);
                world.word(SECOND).fetch_add(1, SeqCst);
                drop(writer);
            })
        })
        .prepared("reader", |world, stage| {
            world.space.join().unwrap();
            stage.run(|| {
                let (told, reader) = acquire(world.object.read()).unwrap();
                let pair = (world.word(FIRST).load(SeqCst), world.word(SECOND).load(SeqCst));
                assert!(told || pair.0 == pair.1, "{pair:?}, and not told");
                drop(reader);
            })
        })
        .watch(|world| world.regions())
        .check(|world, _| {
            let told = survive(world)?;
            let torn = world.word(FIRST).load(SeqCst) != world.word(SECOND).load(SeqCst);
            if torn && !told { Err("torn, and not told".to_owned()) } else { Ok(()) }
        })
}
