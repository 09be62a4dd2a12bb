//! Deaths inside `CodecQueue`, while items are encoded and decoded as well: each item is there or not, and what was being decoded
//! goes to the next.

use procshare::{Codec, CodecFault, CodecQueue, GetError, Space};
use procshare_harness::{Fate, Scenario};

use crate::support::{World, die_after};

kill_tests! {
    put: Chain;
    put_many: Chain;
    get: Chain;
    peek_and_release: Chain;
    give_back: Alone;
    get_what_cannot_be_decoded: Chain;
    get_what_a_dead_one_decoded: Chain;
}

/// Numbers, each as often as it says.
struct Unary;

impl Codec<u8> for Unary {
    const NAME: &'static str = "unary";

    fn encode(item: &u8, to: &mut Vec<u8>) -> Result<(), CodecFault> {
        to.extend(std::iter::repeat_n(*item, usize::from(*item)));
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<u8, CodecFault> {
        match bytes {
            [first, ..] if bytes.len() == usize::from(*first) && bytes.iter().all(|byte| byte == first) => {
                Ok(*first)
            }
            _ => Err("no number".into()),
        }
    }
}

/// The same bytes without a meaning.
struct Raw;

impl Codec<Vec<u8>> for Raw {
    const NAME: &'static str = "unary";

    fn encode(item: &Vec<u8>, to: &mut Vec<u8>) -> Result<(), CodecFault> {
        to.extend_from_slice(item);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, CodecFault> {
        Ok(bytes.to_vec())
    }
}

type Numbers = CodecQueue<u8, Unary>;
type CodecWorld = World<Numbers>;

const CAPACITY: usize = 100;

fn queue_in(space: &Space) -> Numbers {
    CodecQueue::builder().space(space).create("it", CAPACITY).unwrap()
}

/// What each victim may take away from the front or add at the end.
#[derive(Clone, Copy)]
enum Does {
    Puts(&'static [u8]),
    /// So many. What is decoded is read in place; what the dead had comes back when their death is noticed, not before all others.
    Takes(usize),
}

/// Whether `left` is what so many victims may leave of `first`: each did all, or, where it died, some or nothing.
fn permitted(left: &[u8], first: &[u8], does: Does, fates: &[Fate]) -> bool {
    let finished = fates.iter().filter(|fate| fate.finished).count();
    match does {
        Does::Takes(count) => {
            let taken = first.len() - left.len().min(first.len());
            let distinct = left.iter().enumerate().all(|(at, item)| !left[..at].contains(item));
            let known = distinct && left.iter().all(|item| first.contains(item));
            known && (finished * count..=fates.len() * count).contains(&taken)
        }
        Does::Puts(items) => {
            let Some(mut added) = left.strip_prefix(first) else { return false };
            let mut whole = 0;
            // Each victim leaves a prefix of its items behind those of the ones before.
            for _ in fates {
                let same = added.iter().zip(items).take_while(|(found, item)| found == item).count();
                whole += usize::from(same == items.len());
                added = &added[same..];
            }
            added.is_empty() && whole >= finished
        }
    }
}

fn survive(world: &CodecWorld, first: &[u8], does: Does, fates: &[Fate]) -> Result<(), String> {
    let queue = &world.object;
    let mut left = Vec::new();
    loop {
        match queue.try_get() {
            Ok(number) => left.push(number),
            Err(GetError::Empty) => break,
            Err(other) => return Err(other.to_string()),
        }
    }
    if !permitted(&left, first, does, fates) {
        return Err(format!("left {left:?} of {first:?}"));
    }
    for _ in 0..3 {
        queue.try_put(&(CAPACITY as u8)).map_err(|error| format!("room is lost: {error}: {queue:?}"))?;
        assert_eq!(queue.try_get().map_err(|error| error.to_string())?, CAPACITY as u8);
    }
    if !queue.is_empty() {
        return Err(format!("empty, and {queue:?}"));
    }
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(())
}

/// Two victims that do the same, one after the other.
fn twice(
    name: &'static str,
    first: &'static [u8],
    does: Does,
    prepare: impl Fn(&CodecWorld) + Copy + 'static,
    act: fn(&Numbers),
) -> Scenario<'static, CodecWorld> {
    let mut scenario = Scenario::new(name, move || {
        let world = World::new(name, queue_in);
        prepare(&world);
        first.iter().for_each(|number| world.object.put(number).unwrap());
        world
    });
    for victim in ["first", "second"] {
        scenario = scenario.prepared(victim, move |world, stage| {
            world.space.join().unwrap();
            stage.run(|| act(&world.object))
        });
    }
    scenario.watch(|world| world.regions()).check(move |world, fates| survive(world, first, does, fates))
}

fn nothing(_: &CodecWorld) {}

fn put() -> Scenario<'static, CodecWorld> {
    twice("codec-put", &[1], Does::Puts(&[5]), nothing, |queue| queue.put(&5).unwrap())
}

fn put_many() -> Scenario<'static, CodecWorld> {
    twice("codec-put-many", &[1], Does::Puts(&[5, 6]), nothing, |queue| queue.put_many(&[5, 6]).unwrap())
}

fn get() -> Scenario<'static, CodecWorld> {
    twice("codec-get", &[3, 4, 5], Does::Takes(1), nothing, |queue| drop(queue.get()))
}

fn peek_and_release() -> Scenario<'static, CodecWorld> {
    let act = |queue: &Numbers| drop(queue.peek().map(|item| item.release()));
    twice("codec-release", &[3, 4, 5], Does::Takes(1), nothing, act)
}

fn give_back() -> Scenario<'static, CodecWorld> {
    twice("codec-give-back", &[3, 4, 5], Does::Takes(0), nothing, |queue| drop(queue.peek().unwrap()))
}

/// What is no number is an error once, for whoever gets it; a death in between leaves it to the next.
fn get_what_cannot_be_decoded() -> Scenario<'static, CodecWorld> {
    let prepare = |world: &CodecWorld| {
        let raw = CodecQueue::<Vec<u8>, Raw>::builder().space(&world.space).open("it").unwrap();
        raw.put(&vec![9; 3]).unwrap();
    };
    let act = |queue: &Numbers| drop(queue.get());
    let mut scenario = Scenario::new("codec-no-number", move || {
        let world = World::new("codec-no-number", queue_in);
        prepare(&world);
        world.object.put(&4).unwrap();
        world
    });
    for victim in ["first", "second"] {
        scenario = scenario.prepared(victim, move |world: &CodecWorld, stage| {
            world.space.join().unwrap();
            stage.run(|| act(&world.object))
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        let queue = &world.object;
        let finished = fates.iter().filter(|fate| fate.finished).count();
        let mut found = Vec::new();
        loop {
            match queue.try_get() {
                Ok(number) => found.push(Some(number)),
                Err(GetError::Empty) => break,
                Err(_) => found.push(None),
            }
        }
        // Each of both once at most; which of them the victims had is theirs to know.
        let each_once = found.iter().filter(|item| item.is_none()).count() < 2
            && found.iter().filter(|item| **item == Some(4)).count() < 2
            && found.iter().flatten().all(|number| *number == 4);
        if !each_once || !(finished..=fates.len()).contains(&(2 - found.len())) {
            return Err(format!("left {found:?}"));
        }
        world.assert_slots();
        Ok(())
    })
}

/// Somebody died while it decoded the first item; whoever gets it next dies, too.
fn get_what_a_dead_one_decoded() -> Scenario<'static, CodecWorld> {
    let scenario = Scenario::new("codec-dead", || {
        let world = World::new("codec-dead", queue_in);
        [3, 4].iter().for_each(|number| world.object.put(number).unwrap());
        die_after(|| std::mem::forget(world.object.peek().unwrap()));
        world
    });
    let victim = |world: &CodecWorld, stage: procshare_harness::Stage| {
        world.space.join().unwrap();
        stage.run(|| drop(world.object.get()))
    };
    scenario
        .prepared("first", victim)
        .prepared("second", victim)
        .watch(|world| world.regions())
        .check(|world, fates| survive(world, &[3, 4], Does::Takes(1), fates))
}
