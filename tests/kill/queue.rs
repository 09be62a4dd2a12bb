//! Deaths inside `Queue`: each item is there or not, whole and in order; no slot is lost, and nobody waits for the dead.

use std::collections::BTreeSet;

use procshare::{GetError, PutError, Queue, Space};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, die_after};

kill_tests! {
    put: Chain;
    put_beside_put: Pair;
    put_many: Alone;
    get: Chain;
    get_beside_get: Pair;
    get_many: Alone;
    put_beside_get: Pair;
    commit: Alone;
    give_up_a_reservation: Alone;
    release: Alone;
    give_back: Alone;
    close: Alone;
    skip_dead_reservations: Alone;
    hand_out_what_the_dead_held: Chain;
    put_behind_dead_readers: Alone;
    commit_a_batch: Chain;
    commit_a_batch_beside_get: Pair;
    give_up_a_batch: Alone;
    release_a_batch: Chain;
    give_back_a_batch: Alone;
    unpack_a_batch: Chain;
    skip_dead_batches: Chain;
}

sleeper_tests! {
    wait_for_an_item;
    wait_for_room;
}

const CAPACITY: usize = 5;

/// One cache line and a bit: large enough to be torn.
type Item = [u64; 9];
type QueueWorld = World<Queue<Item>>;

/// A note: the sleeper was roused.
const ROUSED: usize = 0;

/// What a victim does.
#[derive(Clone, Copy)]
enum Op {
    Put(u64),
    PutMany(&'static [u64]),
    Get,
    GetMany(usize),
    Commit(u64),
    GiveUp,
    Release,
    GiveBack,
    Close,
    /// So many slots are reserved for these items, which come all at once.
    CommitMany(usize, &'static [u64]),
    GiveUpMany(usize),
    ReleaseMany(usize),
    GiveBackMany(usize),
}

fn item(number: u64) -> Item {
    [number; 9]
}

fn number(item: Item) -> Result<u64, String> {
    if item.iter().all(|word| *word == item[0]) { Ok(item[0]) } else { Err(format!("torn: {item:?}")) }
}

/// Whatever one that was closed meanwhile says is an outcome, too.
fn unless_closed<T>(outcome: Result<(), PutError<T>>) {
    assert!(matches!(outcome, Ok(()) | Err(PutError::Closed(_))), "{outcome:?}");
}

impl Op {
    fn run(self, queue: &Queue<Item>) {
        match self {
            Op::Put(it) => unless_closed(queue.put(item(it))),
            Op::PutMany(items) => {
                unless_closed(queue.put_many(&items.iter().copied().map(item).collect::<Vec<_>>()));
            }
            Op::Get => drop(number(queue.get().unwrap()).unwrap()),
            Op::GetMany(most) => assert_eq!(queue.get_many(most).unwrap().len(), most),
            Op::Commit(it) => queue.reserve().unwrap().commit(item(it)),
            Op::GiveUp => drop(queue.reserve().unwrap()),
            Op::Release => queue.peek().unwrap().release(),
            Op::GiveBack => drop(queue.peek().unwrap()),
            Op::Close => queue.close().unwrap(),
            Op::CommitMany(slots, items) => {
                let mut batch = queue.try_reserve_exact(slots).unwrap();
                items.iter().for_each(|it| batch.push(item(*it)).unwrap());
                assert_eq!(batch.commit(), items.len());
            }
            Op::GiveUpMany(slots) => drop(queue.reserve_many(slots).unwrap()),
            Op::ReleaseMany(most) => queue.peek_many(most).unwrap().release(),
            Op::GiveBackMany(most) => drop(queue.peek_many(most).unwrap()),
        }
    }

    fn reads_in_place(self) -> bool {
        matches!(self, Op::Release | Op::GiveBack | Op::ReleaseMany(_) | Op::GiveBackMany(_))
    }

    /// What may be left of `before`, if it came to its end or died on the way.
    fn outcomes(self, before: &State, finished: bool) -> Vec<State> {
        let (most, gives) = match self {
            Op::Put(it) | Op::Commit(it) => (1, vec![it]),
            Op::PutMany(items) | Op::CommitMany(_, items) => (items.len(), items.to_vec()),
            Op::Get | Op::Release => (1, vec![]),
            Op::GetMany(most) | Op::ReleaseMany(most) => (most, vec![]),
            Op::Close => (1, vec![]),
            Op::GiveUp | Op::GiveBack | Op::GiveUpMany(_) | Op::GiveBackMany(_) => (0, vec![]),
        };
        let most = if before.closed && !gives.is_empty() { 0 } else { most };
        let least = match self {
            // What comes back from the dead comes alone.
            Op::ReleaseMany(_) if finished => 1,
            _ if finished => most,
            _ => 0,
        };
        let part = |count: &usize| !matches!(self, Op::CommitMany(..)) || *count == 0 || *count == most;
        let after = |count: usize| {
            let mut state = before.clone();
            match self {
                Op::Close => state.closed |= count > 0,
                _ if gives.is_empty() => drop(state.items.drain(..count.min(state.items.len()))),
                _ => state.items.extend(&gives[..count]),
            }
            state
        };
        (least..=most).filter(part).map(after).collect()
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct State {
    items: Vec<u64>,
    closed: bool,
}

/// Everything that `ops` may leave, in whatever order they came.
fn permitted(first: &[u64], ops: &[Op], fates: &[Fate]) -> BTreeSet<State> {
    fn go(state: &State, rest: &[(Op, bool)], found: &mut BTreeSet<State>) {
        if rest.is_empty() {
            found.insert(state.clone());
        }
        for index in 0..rest.len() {
            let mut others = rest.to_vec();
            let (op, finished) = others.remove(index);
            for after in op.outcomes(state, finished) {
                go(&after, &others, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    // A victim that never began did nothing.
    let ops: Vec<_> = ops.iter().zip(fates).map(|(op, fate)| (*op, fate.finished)).collect();
    go(&State { items: first.to_vec(), closed: false }, &ops, &mut found);
    found
}

fn queue_in(space: &Space) -> Queue<Item> {
    let queue = Queue::builder().space(space).create("it", CAPACITY).unwrap();
    // Not the first lap.
    for lap in 0..7 {
        queue.put(item(lap)).unwrap();
        queue.get().unwrap();
    }
    queue
}

/// A process that has joined, and takes no lock for it: another victim may be frozen with it.
fn used(world: &QueueWorld) -> &Queue<Item> {
    world.space.join().unwrap();
    &world.object
}

/// What is in the queue, taken out.
fn drain(queue: &Queue<Item>) -> Result<Vec<u64>, String> {
    let mut items = Vec::new();
    loop {
        match queue.try_get() {
            Ok(item) => items.push(number(item)?),
            Err(GetError::Empty | GetError::Closed) => return Ok(items),
            Err(other) => return Err(other.to_string()),
        }
    }
}

/// Everything works, twice round, with all its slots.
fn assert_works(world: &QueueWorld) -> Result<(), String> {
    let queue = &world.object;
    for lap in 0..3 {
        let mut batch = None;
        if lap == 2 {
            batch =
                Some(queue.try_reserve_exact(CAPACITY).map_err(|error| format!("a slot is lost: {error}"))?);
        }
        for place in 0..CAPACITY as u64 {
            match (&mut batch, lap) {
                (Some(batch), _) => batch.push(item(place)).unwrap(),
                (None, 0) => {
                    queue.try_put(item(place)).map_err(|error| format!("slot {place} is lost: {error}"))?;
                }
                _ => queue.try_reserve().map_err(|error| error.to_string())?.commit(item(place)),
            }
        }
        if let Some(batch) = batch {
            batch.commit();
        }
        if !matches!(queue.try_put(item(99)), Err(PutError::Full(_))) || queue.len() != CAPACITY {
            return Err("one slot too many".into());
        }
        let first = queue.try_peek().map_err(|error| error.to_string())?;
        assert_eq!(number(*first)?, 0);
        first.release();
        assert_eq!(drain(queue)?, (1..CAPACITY as u64).collect::<Vec<_>>());
    }
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(())
}

/// The queue holds something permitted, and works.
fn survive(world: &QueueWorld, ops: &[Op], permitted: &BTreeSet<State>) -> Result<(), String> {
    let queue = &world.object;
    let closed = queue.is_closed();
    let left = State { items: drain(queue)?, closed };
    // What the dead were reading comes back when their death is noticed, not before all others.
    let in_place = ops.iter().any(|op| op.reads_in_place());
    let alike = |state: &State| {
        let distinct: BTreeSet<_> = left.items.iter().collect();
        in_place && state.items.len() == left.items.len() && distinct.len() == left.items.len()
    };
    if !permitted.contains(&left) && !permitted.iter().any(alike) {
        return Err(format!("left {left:?}, permitted {permitted:?}"));
    }
    if closed {
        assert!(matches!(queue.get(), Err(GetError::Closed)));
        assert!(matches!(queue.put(item(1)), Err(PutError::Closed(_))));
        world.assert_slots();
        return Ok(());
    }
    assert_works(world)
}

/// Victims that each do one thing to a queue that `prepare` filled with `first`.
fn prepared(
    name: &'static str,
    first: &'static [u64],
    ops: &'static [Op],
    prepare: impl Fn(&Queue<Item>) + Copy + 'static,
) -> Scenario<'static, QueueWorld> {
    let mut scenario = Scenario::new(name, move || {
        let world = World::new(name, queue_in);
        prepare(&world.object);
        world
    });
    for (index, op) in ops.iter().enumerate() {
        scenario = scenario.prepared(format!("victim {index}"), move |world, stage| {
            let queue = used(world);
            stage.run(|| op.run(queue))
        });
    }
    scenario
        .watch(|world| world.regions())
        .check(move |world, fates| survive(world, ops, &permitted(first, ops, fates)))
}

/// The items that a world begins with.
fn fill(items: &'static [u64]) -> impl Fn(&Queue<Item>) + Copy {
    move |queue| items.iter().for_each(|it| queue.put(item(*it)).unwrap())
}

fn put() -> Scenario<'static, QueueWorld> {
    prepared("put", &[1], &[Op::Put(2), Op::Put(3)], fill(&[1]))
}

fn put_beside_put() -> Scenario<'static, QueueWorld> {
    prepared("put-put", &[1], &[Op::Put(2), Op::Put(3)], fill(&[1]))
}

fn put_many() -> Scenario<'static, QueueWorld> {
    prepared("put-many", &[1], &[Op::PutMany(&[2, 3]), Op::PutMany(&[4, 5])], fill(&[1]))
}

fn get() -> Scenario<'static, QueueWorld> {
    prepared("get", &[1, 2, 3, 4], &[Op::Get, Op::Get], fill(&[1, 2, 3, 4]))
}

fn get_beside_get() -> Scenario<'static, QueueWorld> {
    prepared("get-get", &[1, 2, 3, 4], &[Op::Get, Op::Get], fill(&[1, 2, 3, 4]))
}

fn get_many() -> Scenario<'static, QueueWorld> {
    prepared("get-many", &[1, 2, 3, 4, 5], &[Op::GetMany(2), Op::GetMany(2)], fill(&[1, 2, 3, 4, 5]))
}

fn put_beside_get() -> Scenario<'static, QueueWorld> {
    // Full: the consumer's slot is what the producer needs, and it waits for it.
    prepared("put-get", &[1, 2, 3, 4], &[Op::Get, Op::Put(6)], fill(&[1, 2, 3, 4]))
}

fn commit() -> Scenario<'static, QueueWorld> {
    prepared("commit", &[1], &[Op::Commit(2), Op::Commit(3), Op::Put(4)], fill(&[1]))
}

fn give_up_a_reservation() -> Scenario<'static, QueueWorld> {
    prepared("give-up", &[1], &[Op::GiveUp, Op::Put(2), Op::Get], fill(&[1]))
}

fn release() -> Scenario<'static, QueueWorld> {
    prepared("release", &[1, 2, 3], &[Op::Release, Op::Release, Op::Get], fill(&[1, 2, 3]))
}

fn give_back() -> Scenario<'static, QueueWorld> {
    prepared("give-back", &[1, 2, 3], &[Op::GiveBack, Op::GiveBack, Op::Get], fill(&[1, 2, 3]))
}

fn close() -> Scenario<'static, QueueWorld> {
    prepared("close", &[1], &[Op::Close, Op::Put(2), Op::Close], fill(&[1]))
}

/// Two slots were reserved by somebody who is dead; whoever skips them dies, too.
fn skip_dead_reservations() -> Scenario<'static, QueueWorld> {
    prepared("skip", &[1, 2], &[Op::Get, Op::Put(3), Op::Get], |queue| {
        die_after(|| {
            std::mem::forget(queue.reserve().unwrap());
            queue.put(item(1)).unwrap();
            std::mem::forget(queue.reserve().unwrap());
            queue.put(item(2)).unwrap();
        });
    })
}

/// Two items were being read by somebody who is dead; whoever gets them dies, too.
fn hand_out_what_the_dead_held() -> Scenario<'static, QueueWorld> {
    prepared("hand-out", &[1, 2, 3], &[Op::Release, Op::Get], |queue| {
        fill(&[1, 2, 3])(queue);
        die_after(|| {
            std::mem::forget(queue.peek().unwrap());
            std::mem::forget(queue.peek().unwrap());
        });
    })
}

/// The ring is full of what the dead were reading.
fn put_behind_dead_readers() -> Scenario<'static, QueueWorld> {
    prepared("full-of-dead", &[1, 2, 3, 4, 5], &[Op::Release, Op::Put(6), Op::Release], |queue| {
        fill(&[1, 2, 3, 4, 5])(queue);
        die_after(|| (0..5).for_each(|_| std::mem::forget(queue.peek().unwrap())));
    })
}

fn commit_a_batch() -> Scenario<'static, QueueWorld> {
    let ops = &[Op::CommitMany(2, &[2, 3]), Op::CommitMany(2, &[4])];
    prepared("commit-batch", &[1], ops, fill(&[1]))
}

fn commit_a_batch_beside_get() -> Scenario<'static, QueueWorld> {
    prepared("batch-get", &[1], &[Op::CommitMany(3, &[2, 3, 4]), Op::Get], fill(&[1]))
}

fn give_up_a_batch() -> Scenario<'static, QueueWorld> {
    prepared("give-up-batch", &[1], &[Op::GiveUpMany(3), Op::Put(2), Op::Get], fill(&[1]))
}

fn release_a_batch() -> Scenario<'static, QueueWorld> {
    let first = &[1, 2, 3, 4];
    prepared("release-batch", first, &[Op::ReleaseMany(2), Op::ReleaseMany(2)], fill(first))
}

fn give_back_a_batch() -> Scenario<'static, QueueWorld> {
    let first = &[1, 2, 3, 4];
    prepared("give-back-batch", first, &[Op::GiveBackMany(3), Op::ReleaseMany(3), Op::Get], fill(first))
}

/// A batch that nobody has looked at yet; whoever gets its first item makes single ones of it.
fn unpack_a_batch() -> Scenario<'static, QueueWorld> {
    prepared("unpack", &[1, 2, 3], &[Op::Get, Op::Get], |queue| Op::CommitMany(4, &[1, 2, 3]).run(queue))
}

/// Slots were reserved by somebody who is dead; whoever skips them dies, too.
fn skip_dead_batches() -> Scenario<'static, QueueWorld> {
    prepared("skip-batch", &[1], &[Op::Get, Op::Put(3)], |queue| {
        die_after(|| std::mem::forget(queue.try_reserve_exact(3).unwrap()));
        queue.put(item(1)).unwrap();
    })
}

fn asleep(name: &'static str, first: &'static [u64], op: Op, rouse: Op) -> Scenario<'static, QueueWorld> {
    Scenario::new(name, move || {
        let world = World::new(name, queue_in);
        fill(first)(&world.object);
        world
    })
    .prepared("sleeper", move |world, stage| {
        let queue = used(world);
        stage.run(|| op.run(queue))
    })
    .when_asleep(move |world| {
        rouse.run(&world.object);
        world.note(ROUSED);
    })
    .watch(|world| world.regions())
    .check(move |world, fates| {
        let roused =
            if world.noted(ROUSED) { rouse.outcomes(&start(first), true) } else { vec![start(first)] };
        let left = roused.iter().flat_map(|state| op.outcomes(state, fates[0].finished));
        survive(world, &[op, rouse], &left.collect())
    })
}

fn start(first: &[u64]) -> State {
    State { items: first.to_vec(), closed: false }
}

fn wait_for_an_item() -> Scenario<'static, QueueWorld> {
    asleep("wait-item", &[], Op::Get, Op::Put(7))
}

fn wait_for_room() -> Scenario<'static, QueueWorld> {
    asleep("wait-room", &[1, 2, 3, 4, 5], Op::Put(6), Op::Get)
}
