//! Deaths inside `BytesQueue`: each item is there or not, whole and in order; no room is lost, counts are right, and nobody waits for
//! the dead.

use std::collections::BTreeSet;

use procshare::{BytesQueue, GetError, PutError, Space};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, die_after};

kill_tests! {
    put: Chain;
    put_behind_padding: Chain;
    put_as_much_as_there_is: Chain;
    put_many: Alone;
    put_outside_the_lock: Alone;
    get: Chain;
    get_many: Alone;
    put_beside_get: Pair;
    commit: Alone;
    give_up_a_reservation: Alone;
    release: Alone;
    give_back: Alone;
    close: Alone;
    skip_dead_reservations: Alone;
    hand_out_what_the_dead_held: Chain;
    reclaim_what_the_dead_reserved: Chain;
}

type BytesWorld = World<BytesQueue>;

/// Bytes of the longest item; the ring has 16 more.
const CAPACITY: usize = 208;

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
}

/// An item that tells its number and whether it is whole; 100 is as long as an item can be, 200 longer than is copied under a
/// lock (in queues that have room for it).
fn item(number: u64) -> Vec<u8> {
    let len = match number {
        100 => CAPACITY,
        200.. => 4500,
        _ => 9 + number as usize * 5,
    };
    vec![number as u8; len]
}

fn number(bytes: &[u8]) -> Result<u64, String> {
    let number = u64::from(bytes.first().copied().unwrap_or_default());
    if bytes == item(number) { Ok(number) } else { Err(format!("torn: {bytes:?}")) }
}

/// Whatever one that was closed meanwhile says is an outcome, too.
fn unless_closed<T>(outcome: Result<(), PutError<T>>) {
    assert!(matches!(outcome, Ok(()) | Err(PutError::Closed(_))), "{outcome:?}");
}

impl Op {
    fn run(self, queue: &BytesQueue) {
        match self {
            Op::Put(it) => unless_closed(queue.put(&item(it))),
            Op::PutMany(items) => {
                unless_closed(queue.put_many(&items.iter().copied().map(item).collect::<Vec<_>>()));
            }
            Op::Get => drop(number(&queue.get().unwrap()).unwrap()),
            Op::GetMany(most) => assert_eq!(queue.get_many(most).unwrap().len(), most),
            Op::Commit(it) => {
                let whole = item(it);
                let mut room = queue.reserve(whole.len()).unwrap();
                room.write(&whole);
                room.commit();
            }
            Op::GiveUp => drop(queue.reserve(20).unwrap()),
            Op::Release => queue.peek().unwrap().release(),
            Op::GiveBack => drop(queue.peek().unwrap()),
            Op::Close => queue.close().unwrap(),
        }
    }

    /// What may be left of `before`, if it came to its end or died on the way.
    fn outcomes(self, before: &State, finished: bool) -> Vec<State> {
        let (most, gives) = match self {
            Op::Put(it) | Op::Commit(it) => (1, vec![it]),
            Op::PutMany(items) => (items.len(), items.to_vec()),
            Op::Get | Op::Release | Op::Close => (1, vec![]),
            Op::GetMany(most) => (most, vec![]),
            Op::GiveUp | Op::GiveBack => (0, vec![]),
        };
        let most = if before.closed && !gives.is_empty() { 0 } else { most };
        let least = if finished { most } else { 0 };
        let after = |count: usize| {
            let mut state = before.clone();
            match self {
                Op::Close => state.closed |= count > 0,
                _ if gives.is_empty() => drop(state.items.drain(..count.min(state.items.len()))),
                _ => state.items.extend(&gives[..count]),
            }
            state
        };
        (least..=most).map(after).collect()
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

/// A queue whose next item begins so many units of 16 bytes behind the ring's beginning, not on the first lap.
fn queue_at(space: &Space, capacity: usize, units: usize) -> BytesQueue {
    let queue = BytesQueue::builder().space(space).create("it", capacity).unwrap();
    queue.put(&vec![0; capacity]).unwrap();
    queue.get().unwrap();
    for _ in 0..units {
        queue.put(b"").unwrap();
        queue.get().unwrap();
    }
    queue
}

/// What is in the queue, taken out.
fn drain(queue: &BytesQueue) -> Result<Vec<u64>, String> {
    let mut items = Vec::new();
    loop {
        match queue.try_get() {
            Ok(item) => items.push(number(&item)?),
            Err(GetError::Empty | GetError::Closed) => return Ok(items),
            Err(other) => return Err(other.to_string()),
        }
    }
}

/// The queue holds something permitted, its figures are right, and all its room is there.
fn survive(world: &BytesWorld, ops: &[Op], permitted: &BTreeSet<State>) -> Result<(), String> {
    let queue = &world.object;
    let closed = queue.is_closed();
    let left = State { items: drain(queue)?, closed };
    // What the dead were reading comes back when their death is noticed, not before all others.
    let in_place = ops.iter().any(|op| matches!(op, Op::Release | Op::GiveBack));
    let alike = |state: &State| {
        let distinct: BTreeSet<_> = left.items.iter().collect();
        in_place && state.items.len() == left.items.len() && distinct.len() == left.items.len()
    };
    if !permitted.contains(&left) && !permitted.iter().any(alike) {
        return Err(format!("left {left:?}, permitted {permitted:?}"));
    }
    let figures = || (queue.len(), queue.counts().0 - queue.counts().1);
    if closed {
        assert!(matches!(queue.get(), Err(GetError::Closed)));
        assert!(matches!(queue.put(b""), Err(PutError::Closed(()))));
    } else {
        for lap in 0..3 {
            let whole = vec![lap; queue.capacity()];
            queue.try_put(&whole).map_err(|error| format!("room is lost: {error}: {queue:?}"))?;
            if figures() != (1, 1) {
                return Err(format!("one item, and {:?}", figures()));
            }
            assert_eq!(queue.try_get().map_err(|error| error.to_string())?, whole);
        }
        // Room that was released in place is freed by whoever looks next.
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
        if queue.bytes() != 0 {
            return Err(format!("empty, and {} bytes", queue.bytes()));
        }
    }
    if figures() != (0, 0) {
        return Err(format!("empty, and {:?}", figures()));
    }
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(())
}

/// Victims that each do one thing to a queue that stands at `units` and that `prepare` filled with `first`.
fn prepared(
    name: &'static str,
    (capacity, units): (usize, usize),
    first: &'static [u64],
    ops: &'static [Op],
    prepare: impl Fn(&BytesQueue) + Copy + 'static,
) -> Scenario<'static, BytesWorld> {
    let mut scenario = Scenario::new(name, move || {
        let world = World::new(name, |space| queue_at(space, capacity, units));
        prepare(&world.object);
        world
    });
    for (index, op) in ops.iter().enumerate() {
        scenario = scenario.prepared(format!("victim {index}"), move |world, stage| {
            // A process that has joined takes no lock for it: another victim may be frozen with it.
            world.space.join().unwrap();
            stage.run(|| op.run(&world.object))
        });
    }
    scenario
        .watch(|world| world.regions())
        .check(move |world, fates| survive(world, ops, &permitted(first, ops, fates)))
}

/// The items that a world begins with.
fn fill(items: &'static [u64]) -> impl Fn(&BytesQueue) + Copy {
    move |queue| items.iter().for_each(|it| queue.put(&item(*it)).unwrap())
}

fn put() -> Scenario<'static, BytesWorld> {
    prepared("bytes-put", (CAPACITY, 1), &[1], &[Op::Put(2), Op::Put(3)], fill(&[1]))
}

fn put_behind_padding() -> Scenario<'static, BytesWorld> {
    prepared("bytes-padding", (CAPACITY, 10), &[1], &[Op::Put(8), Op::Put(3)], fill(&[1]))
}

/// The producer itself removes the padding that it needs.
fn put_as_much_as_there_is() -> Scenario<'static, BytesWorld> {
    prepared("bytes-whole", (CAPACITY, 5), &[], &[Op::Put(100), Op::Get], fill(&[]))
}

fn put_many() -> Scenario<'static, BytesWorld> {
    let ops = &[Op::PutMany(&[2, 3]), Op::PutMany(&[4])];
    prepared("bytes-put-many", (CAPACITY, 8), &[1], ops, fill(&[1]))
}

fn put_outside_the_lock() -> Scenario<'static, BytesWorld> {
    prepared("bytes-large", (10_000, 1), &[1], &[Op::Put(200), Op::Get, Op::Get], fill(&[1]))
}

fn get() -> Scenario<'static, BytesWorld> {
    prepared("bytes-get", (CAPACITY, 9), &[1, 2, 3], &[Op::Get, Op::Get], fill(&[1, 2, 3]))
}

fn get_many() -> Scenario<'static, BytesWorld> {
    let first = &[1, 2, 3];
    prepared("bytes-get-many", (CAPACITY, 9), first, &[Op::GetMany(2), Op::GetMany(1)], fill(first))
}

fn put_beside_get() -> Scenario<'static, BytesWorld> {
    prepared("bytes-put-get", (CAPACITY, 9), &[1, 2, 3], &[Op::Get, Op::Put(6)], fill(&[1, 2, 3]))
}

fn commit() -> Scenario<'static, BytesWorld> {
    let ops = &[Op::Commit(2), Op::Commit(3), Op::Put(4)];
    prepared("bytes-commit", (CAPACITY, 11), &[1], ops, fill(&[1]))
}

fn give_up_a_reservation() -> Scenario<'static, BytesWorld> {
    prepared("bytes-give-up", (CAPACITY, 2), &[1], &[Op::GiveUp, Op::Put(2), Op::Get], fill(&[1]))
}

fn release() -> Scenario<'static, BytesWorld> {
    let ops = &[Op::Release, Op::Release, Op::Get];
    prepared("bytes-release", (CAPACITY, 9), &[1, 2, 3], ops, fill(&[1, 2, 3]))
}

fn give_back() -> Scenario<'static, BytesWorld> {
    let ops = &[Op::GiveBack, Op::GiveBack, Op::Get];
    prepared("bytes-give-back", (CAPACITY, 9), &[1, 2, 3], ops, fill(&[1, 2, 3]))
}

fn close() -> Scenario<'static, BytesWorld> {
    prepared("bytes-close", (CAPACITY, 2), &[1], &[Op::Close, Op::Put(2), Op::Close], fill(&[1]))
}

/// Room was reserved twice by somebody who is dead; whoever skips it dies, too.
fn skip_dead_reservations() -> Scenario<'static, BytesWorld> {
    prepared("bytes-skip", (CAPACITY, 8), &[1, 2], &[Op::Get, Op::Put(3), Op::Get], |queue| {
        die_after(|| {
            std::mem::forget(queue.reserve(5).unwrap());
            queue.put(&item(1)).unwrap();
            std::mem::forget(queue.reserve(5).unwrap());
            queue.put(&item(2)).unwrap();
        });
    })
}

/// Two items were being read by somebody who is dead; whoever gets them dies, too.
fn hand_out_what_the_dead_held() -> Scenario<'static, BytesWorld> {
    prepared("bytes-hand-out", (CAPACITY, 9), &[1, 2, 3], &[Op::Release, Op::Get], |queue| {
        fill(&[1, 2, 3])(queue);
        die_after(|| {
            std::mem::forget(queue.peek().unwrap());
            std::mem::forget(queue.peek().unwrap());
        });
    })
}

/// The ring is full of what the dead had reserved, and nobody gets.
fn reclaim_what_the_dead_reserved() -> Scenario<'static, BytesWorld> {
    prepared("bytes-reclaim", (CAPACITY, 3), &[], &[Op::Put(100), Op::Get], |queue| {
        die_after(|| {
            while let Ok(room) = queue.try_reserve(30) {
                std::mem::forget(room);
            }
        });
    })
}
