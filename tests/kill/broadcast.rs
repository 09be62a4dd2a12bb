//! Deaths inside `Broadcast`: an item is published whole or not at all, and dead subscribers hold up nobody.

use std::sync::Mutex;

use procshare::{Broadcast, BroadcastInit, PutError, RecvError, Space, Subscriber};
use procshare_harness::Scenario;

use crate::support::{World, await_word, die_after};

kill_tests! {
    publish: Chain;
    publish_beside_publish: Pair;
    publish_many: Alone;
    overwrite: Alone;
    close: Alone;
    take_a_seat: Alone;
    receive_from_a_seat: Alone;
    leave_a_seat: Alone;
    pass_the_dead: Chain;
}

sleeper_tests! {
    wait_for_news;
    wait_for_the_slowest;
}

/// One cache line and a bit: large enough to be torn.
type Item = [u64; 9];

/// A broadcast and a subscriber that was there from the start.
struct News {
    it: Broadcast<Item>,
    reader: Mutex<Option<Subscriber<Item>>>,
}

type NewsWorld = World<News>;

/// Notes.
const ROUSED: usize = 0;
const SEATED: usize = 1;
const LEFT: usize = 2;
const SEATS: usize = 2;

fn item(number: u64) -> Item {
    [number; 9]
}

fn number(item: Item) -> Result<u64, String> {
    if item.iter().all(|word| *word == item[0]) { Ok(item[0]) } else { Err(format!("torn: {item:?}")) }
}

fn news_in(capacity: usize, seats: usize, first: &'static [u64]) -> impl Fn(&Space) -> News + Copy {
    move |space| {
        let init = BroadcastInit::new(capacity).wait_for_subscribers(seats);
        let it = Broadcast::builder().space(space).create("it", init).unwrap();
        // A seat of the test process would hold up everybody.
        let reader = Mutex::new((seats == 0).then(|| it.subscribe().unwrap()));
        first.iter().for_each(|number| it.publish(item(*number)).unwrap());
        News { it, reader }
    }
}

fn used(world: &NewsWorld) -> &Broadcast<Item> {
    world.space.join().unwrap();
    &world.object.it
}

/// What the first subscriber receives: items, and how many it missed.
fn received(world: &NewsWorld) -> Result<(Vec<u64>, u64), String> {
    let mut reader = world.object.reader.lock().unwrap().take().unwrap();
    let mut items = Vec::new();
    loop {
        match reader.try_recv() {
            Ok(item) => items.push(number(item)?),
            Err(RecvError::Missed(_)) => {}
            Err(RecvError::Empty | RecvError::Closed) => return Ok((items, reader.missed())),
            Err(other) => return Err(other.to_string()),
        }
    }
}

/// New items reach new subscribers, and all seats can be taken and left.
fn assert_works(world: &NewsWorld) -> Result<(), String> {
    let news = &world.object.it;
    let say = |error: procshare::Error| error.to_string();
    let count = if news.waits_for_subscribers() { SEATS } else { 3 };
    let mut readers = (0..count).map(|_| news.subscribe()).collect::<Result<Vec<_>, _>>().map_err(say)?;
    for round in 100..100 + 2 * news.capacity() as u64 {
        news.publish(item(round)).map_err(|error| error.to_string())?;
        for reader in &mut readers {
            assert_eq!(number(reader.recv().map_err(|error| error.to_string())?)?, round);
        }
    }
    if news.waits_for_subscribers() {
        for round in 0..news.capacity() as u64 {
            news.try_publish(item(round)).map_err(|error| error.to_string())?;
        }
        assert!(matches!(news.try_publish(item(0)), Err(PutError::Full(_))), "a seat is not seen");
    }
    world.assert_slots();
    world.assert_only(&["it"]);
    Ok(())
}

/// Whether `items` are those of `first`, then those of some `sets`, each a prefix, in some order; all of those that finished.
fn permitted(items: &[u64], first: &[u64], sets: &[(&[u64], bool)]) -> bool {
    let Some(rest) = items.strip_prefix(first) else { return false };
    let mut known = 0;
    for (set, finished) in sets {
        let mine: Vec<u64> = rest.iter().copied().filter(|item| set.contains(item)).collect();
        known += mine.len();
        if !set.starts_with(&mine) || (*finished && mine.len() != set.len()) {
            return false;
        }
    }
    known == rest.len()
}

/// Victims that publish some items each, to a broadcast that keeps them all.
fn publishing(name: &'static str, sets: &'static [&'static [u64]]) -> Scenario<'static, NewsWorld> {
    let mut scenario = Scenario::new(name, move || World::new(name, news_in(9, 0, &[1])));
    for (index, set) in sets.iter().enumerate() {
        scenario = scenario.prepared(format!("victim {index}"), move |world, stage| {
            let news = used(world);
            let items: Vec<Item> = set.iter().copied().map(item).collect();
            stage.run(|| match items[..] {
                [only] => news.publish(only).unwrap(),
                _ => news.publish_many(&items).unwrap(),
            })
        });
    }
    scenario.watch(|world| world.regions()).check(move |world, fates| {
        let (items, missed) = received(world)?;
        let finished = |index: usize| fates.get(index).is_some_and(|fate| fate.finished);
        let sets: Vec<_> = sets.iter().enumerate().map(|(index, set)| (*set, finished(index))).collect();
        if missed != 0 || !permitted(&items, &[1], &sets) {
            return Err(format!("received {items:?} and missed {missed}"));
        }
        assert_works(world)
    })
}

fn publish() -> Scenario<'static, NewsWorld> {
    publishing("publish", &[&[2], &[3]])
}

fn publish_beside_publish() -> Scenario<'static, NewsWorld> {
    publishing("publish-publish", &[&[2], &[3]])
}

fn publish_many() -> Scenario<'static, NewsWorld> {
    publishing("publish-many", &[&[2, 3, 4]])
}

/// Publishing over an item that a subscriber has not received yet: it is received whole, or counted.
fn overwrite() -> Scenario<'static, NewsWorld> {
    let mut scenario = Scenario::new("overwrite", || World::new("overwrite", news_in(2, 0, &[1, 2])));
    for number in [3, 4] {
        scenario = scenario.prepared(format!("publish {number}"), move |world, stage| {
            let news = used(world);
            stage.run(|| news.publish(item(number)).unwrap())
        });
    }
    scenario.watch(|world| world.regions()).check(|world, fates| {
        let published = world.object.it.published();
        let (items, missed) = received(world)?;
        let least = 2 + fates.iter().filter(|fate| fate.finished).count();
        let all = items.len() as u64 + missed;
        let newest = items.last().copied();
        // One that died before its commit may have cost the oldest, and nothing else.
        if (all as usize) < least || all > 4 || missed > 2 || published > all || newest.is_none() {
            return Err(format!("received {items:?}, missed {missed} of {published}"));
        }
        let expected: Vec<u64> = match newest {
            Some(newest) => (newest + 1 - items.len() as u64..=newest).collect(),
            None => Vec::new(),
        };
        // 4 may have come without 3.
        if items != expected && items != [2, 4] {
            return Err(format!("received {items:?}"));
        }
        assert_works(world)
    })
}

fn close() -> Scenario<'static, NewsWorld> {
    Scenario::new("close-news", || World::new("close-news", news_in(4, 0, &[1])))
        .prepared("close", |world, stage| {
            let news = used(world);
            stage.run(|| news.close().unwrap())
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            let news = &world.object.it;
            assert_eq!(received(world)?, (vec![1], 0));
            if !news.is_closed() {
                assert!(!fates[0].finished);
                return assert_works(world);
            }
            assert!(matches!(news.publish(item(1)), Err(PutError::Closed(_))));
            assert!(matches!(news.subscribe().unwrap().recv(), Err(RecvError::Closed)));
            world.assert_slots();
            Ok(())
        })
}

/// Victims that take part in a broadcast whose publishers wait.
fn seated(
    name: &'static str,
    first: &'static [u64],
    prepare: fn(&Broadcast<Item>),
    victims: &'static [fn(&Broadcast<Item>)],
) -> Scenario<'static, NewsWorld> {
    let mut scenario = Scenario::new(name, move || {
        let world = World::new(name, news_in(2, SEATS, first));
        prepare(&world.object.it);
        world
    });
    for (index, act) in victims.iter().enumerate() {
        scenario = scenario.prepared(format!("victim {index}"), move |world, stage| {
            let news = used(world);
            stage.run(|| act(news))
        });
    }
    scenario.watch(|world| world.regions()).check(move |world, _| assert_works(world))
}

fn sit(news: &Broadcast<Item>) {
    std::mem::forget(news.subscribe().unwrap());
}

fn take_a_seat() -> Scenario<'static, NewsWorld> {
    seated("sit", &[1, 2], |_| {}, &[sit, sit, sit])
}

fn receive_from_a_seat() -> Scenario<'static, NewsWorld> {
    seated(
        "receive",
        &[1, 2],
        |_| {},
        &[|news| {
            let mut reader = news.subscribe().unwrap();
            news.publish_many(&[item(3), item(4)]).unwrap();
            assert_eq!(number(reader.recv().unwrap()).unwrap(), 3);
            news.publish(item(5)).unwrap();
            std::mem::forget(reader);
        }],
    )
}

fn leave_a_seat() -> Scenario<'static, NewsWorld> {
    seated("leave", &[], |_| {}, &[|news| drop(news.subscribe().unwrap())])
}

/// All seats belong to the dead, who hold up everybody; whoever passes them dies, too.
fn pass_the_dead() -> Scenario<'static, NewsWorld> {
    let prepare = |news: &Broadcast<Item>| {
        die_after(|| {
            sit(news);
            sit(news);
        });
        news.publish_many(&[item(1), item(2)]).unwrap();
    };
    seated(
        "pass",
        &[],
        prepare,
        &[|news| news.publish(item(3)).unwrap(), sit, |news| news.publish(item(4)).unwrap()],
    )
}

fn wait_for_news() -> Scenario<'static, NewsWorld> {
    Scenario::new("wait-news", || World::new("wait-news", news_in(4, 0, &[])))
        .prepared("sleeper", |world, stage| {
            used(world);
            let mut reader = world.object.reader.lock().unwrap().take().unwrap();
            stage.run(|| assert_eq!(number(reader.recv().unwrap()).unwrap(), 7))
        })
        .when_asleep(|world| {
            world.object.it.publish(item(7)).unwrap();
            world.note(ROUSED);
        })
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(world.noted(ROUSED) || !fates[0].finished);
            let expected = if world.noted(ROUSED) { vec![7] } else { vec![] };
            assert_eq!(received(world)?.0, expected, "another one's death takes nothing away");
            assert_works(world)
        })
}

fn wait_for_the_slowest() -> Scenario<'static, NewsWorld> {
    let setup = || {
        let world = World::new("wait-slowest", news_in(2, SEATS, &[])).with_helper(|world| {
            let mut slowest = used(world).subscribe().unwrap();
            world.note(SEATED);
            await_word(world.word(ROUSED), 1);
            assert_eq!(number(slowest.recv().unwrap()).unwrap(), 1);
            drop(slowest);
            world.note(LEFT);
        });
        await_word(world.word(SEATED), 1);
        world.object.it.publish_many(&[item(1), item(2)]).unwrap();
        world
    };
    fn rouse(world: &NewsWorld) {
        world.note(ROUSED);
        await_word(world.word(LEFT), 1);
    }
    Scenario::new("wait-slowest", setup)
        .prepared("sleeper", |world, stage| {
            let news = used(world);
            stage.run(|| news.publish(item(3)).unwrap())
        })
        .when_asleep(rouse)
        .watch(|world| world.regions())
        .check(|world, fates| {
            assert!(world.noted(ROUSED) || !fates[0].finished);
            rouse(world);
            let published = world.object.it.published();
            assert!(published == 3 || (published == 2 && !fates[0].finished), "{published}");
            assert_works(world)
        })
}
