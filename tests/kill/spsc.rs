//! Deaths inside `SpscQueue`: what was put is there or not, whole and in order; ends of the dead are taken over.

use procshare::{Space, SpscQueue};
use procshare_harness::{Fate, Scenario};

use crate::support::World;

kill_tests! {
    put: Chain;
    put_many: Chain;
    commit_in_place: Alone;
    get: Chain;
    get_many: Chain;
    release_in_place: Alone;
}

const CAPACITY: usize = 4;

/// One cache line and a bit: large enough to be torn.
type Item = [u64; 9];
type SpscWorld = World<SpscQueue<Item>>;

/// What a victim does with the end that it takes: how many items it puts (in one step), or takes.
#[derive(Clone, Copy)]
enum Op {
    Put,
    PutMany,
    Commit,
    Get,
    GetMany,
    Release,
}

/// In one step: all or nothing.
const AT_ONCE: usize = 2;

impl Op {
    fn run(self, queue: &SpscQueue<Item>) {
        let next = queue.counts().0;
        let items = [[next; 9], [next + 1; 9]];
        match self {
            Op::Put => queue.producer().unwrap().put(items[0]).unwrap(),
            Op::PutMany => queue.producer().unwrap().put_many(&items).unwrap(),
            Op::Commit => {
                let mut producer = queue.producer().unwrap();
                let mut chunk = producer.reserve_many(AT_ONCE).unwrap();
                assert_eq!(chunk.extend_from_slice(&items), AT_ONCE);
                chunk.commit();
            }
            Op::Get => drop(queue.consumer().unwrap().get().unwrap()),
            Op::GetMany => drop(queue.consumer().unwrap().get_many(AT_ONCE).unwrap()),
            Op::Release => queue.consumer().unwrap().peek_many(AT_ONCE).unwrap().release(),
        }
    }

    /// Items put and taken.
    fn moves(self) -> (u64, u64) {
        match self {
            Op::Put => (1, 0),
            Op::PutMany | Op::Commit => (AT_ONCE as u64, 0),
            Op::Get => (0, 1),
            Op::GetMany | Op::Release => (0, AT_ONCE as u64),
        }
    }
}

/// The number of an item is its position. Five have gone through: the ring's end is near.
fn queue_in(space: &Space, filled: u64) -> SpscQueue<Item> {
    let queue = SpscQueue::builder().space(space).create("it", CAPACITY).unwrap();
    let (mut producer, mut consumer) = queue.split().unwrap();
    for number in 0..5 + filled {
        producer.put([number; 9]).unwrap();
        if number < 5 {
            consumer.get().unwrap();
        }
    }
    drop((producer, consumer));
    queue
}

fn survive(world: &SpscWorld, (put, taken): (u64, u64), op: Op, fates: &[Fate]) -> Result<(), String> {
    let queue = &world.object;
    let (puts, takes) = op.moves();
    let now = queue.counts();
    // Each victim did all or nothing.
    let right = (0..=fates.len() as u64).any(|done| {
        let finished = fates.iter().filter(|fate| fate.finished).count() as u64;
        done >= finished && now == (put + done * puts, taken + done * takes)
    });
    if !right {
        return Err(format!("{now:?} moved, from {:?}", (put, taken)));
    }
    let (mut producer, mut consumer) = queue.split().map_err(|error| error.to_string())?;
    for number in now.1..now.0 {
        let item = consumer.try_get().map_err(|error| format!("item {number}: {error}"))?;
        if item != [number; 9] {
            return Err(format!("{item:?} instead of {number}"));
        }
    }
    for _ in 0..3 {
        assert_eq!(producer.try_put_many(&[[1; 9]; 9]).map_err(|error| error.to_string())?, CAPACITY);
        assert_eq!(consumer.try_get_many(9).map_err(|error| error.to_string())?, [[1; 9]; CAPACITY]);
    }
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(())
}

/// Two victims that do the same, one after the other, to a queue with so many items.
fn twice(name: &'static str, filled: u64, op: Op) -> Scenario<'static, SpscWorld> {
    let mut scenario = Scenario::new(name, move || World::new(name, |space| queue_in(space, filled)));
    for victim in ["first", "second"] {
        scenario = scenario.prepared(victim, move |world, stage| {
            world.space.join().unwrap();
            stage.run(|| op.run(&world.object))
        });
    }
    scenario
        .watch(|world| world.regions())
        .check(move |world, fates| survive(world, (5 + filled, 5), op, fates))
}

fn put() -> Scenario<'static, SpscWorld> {
    twice("spsc-put", 1, Op::Put)
}

fn put_many() -> Scenario<'static, SpscWorld> {
    twice("spsc-put-many", 0, Op::PutMany)
}

fn commit_in_place() -> Scenario<'static, SpscWorld> {
    twice("spsc-commit", 0, Op::Commit)
}

fn get() -> Scenario<'static, SpscWorld> {
    twice("spsc-get", 4, Op::Get)
}

fn get_many() -> Scenario<'static, SpscWorld> {
    twice("spsc-get-many", 4, Op::GetMany)
}

fn release_in_place() -> Scenario<'static, SpscWorld> {
    twice("spsc-release", 4, Op::Release)
}
