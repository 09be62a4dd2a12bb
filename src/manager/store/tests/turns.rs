//! Locks and their kin, and queues: who gets what, in which order, and what deaths give back.

use super::*;

#[test]
fn a_lock_goes_to_the_next_in_order_and_tells_of_deaths() {
    let mut bench = Bench::new();
    let lock = bench.make(1, "lock", Some("lock"), args());
    let (first, mishap): (u64, Option<String>) = bench.call(1, lock, "acquire", args().and(7).and(()));
    assert_eq!(mishap, None);
    assert_eq!(bench.try_call(1, lock, "acquire", args().and(7).and(())), Err("deadlock"));
    assert_eq!(bench.try_call(2, lock, "acquire", args().and(7).and(0)), Err("would-block"));
    let second = bench.begin(2, lock, "acquire", args().and(7).and(()));
    let third = bench.begin(3, lock, "acquire", args().and(7).and(1000));
    assert!(bench.waits(second) && bench.waits(third));
    bench.kill(1);
    let (fence, mishap): (u64, Option<String>) = read(&bench.answer(second).unwrap().unwrap());
    assert!(fence > first && mishap.as_deref() == Some("died"));
    assert_eq!(bench.try_call(2, lock, "release", args().and(first).and(false)), Err("not-held"), "late");
    bench.pass(SECOND);
    assert_eq!(bench.answer(third), Some(Err("timed-out")));
    bench.try_call(2, lock, "make_consistent", args().and(fence)).unwrap();
    bench.try_call(2, lock, "release", args().and(fence).and(false)).unwrap();
    let (_, mishap): (u64, Option<String>) = bench.call(3, lock, "acquire", args().and(1).and(()));
    assert_eq!(mishap, None);
}

#[test]
fn a_dead_waiter_gets_no_lock() {
    let mut bench = Bench::new();
    let lock = bench.make(1, "lock", Some("lock"), args());
    let (fence, _): (u64, Option<String>) = bench.call(1, lock, "acquire", args().and(1).and(()));
    bench.begin(2, lock, "acquire", args().and(1).and(()));
    let third = bench.begin(3, lock, "acquire", args().and(1).and(()));
    bench.kill(2);
    bench.try_call(1, lock, "release", args().and(fence).and(false)).unwrap();
    assert!(!bench.waits(third));
}

#[test]
fn a_forgotten_holding_survives_its_holder_and_is_released_once() {
    let mut bench = Bench::new();
    let lock = bench.make(1, "lock", Some("lock"), args());
    let (fence, _): (u64, Option<String>) = bench.call(1, lock, "acquire", args().and(1).and(()));
    bench.try_call(1, lock, "forget", args().and(fence)).unwrap();
    bench.kill(1);
    let second = bench.begin(2, lock, "acquire", args().and(1).and(()));
    assert!(bench.waits(second));
    bench.try_call(3, lock, "release", args().and(()).and(false)).unwrap();
    let (_, mishap): (u64, Option<String>) = read(&bench.answer(second).unwrap().unwrap());
    assert_eq!(mishap, None);
    assert_eq!(bench.try_call(3, lock, "release", args().and(()).and(false)), Err("not-held"));
}

#[test]
fn an_rlock_is_free_after_as_many_releases() {
    let mut bench = Bench::new();
    let lock = bench.make(1, "rlock", None, args());
    let (fence, _): (u64, Option<String>) = bench.call(1, lock, "acquire", args().and(1).and(()));
    let (again, _): (u64, Option<String>) = bench.call(1, lock, "acquire", args().and(1).and(()));
    assert_eq!(fence, again);
    let other_thread = bench.begin(1, lock, "acquire", args().and(2).and(()));
    bench.try_call(1, lock, "release", args().and(fence).and(false)).unwrap();
    assert!(bench.waits(other_thread));
    bench.try_call(1, lock, "release", args().and(fence).and(false)).unwrap();
    assert!(!bench.waits(other_thread));
}

#[test]
fn a_condition_wakes_in_order_and_only_who_lives() {
    let mut bench = Bench::new();
    let condition = bench.make(1, "condition", Some("condition"), args());
    let reference = bench.try_call(1, condition, "lock", args()).unwrap();
    let lock = u64::from_be_bytes(reference[2..10].try_into().unwrap());
    assert_eq!(bench.try_call(2, condition, "notify", args().and(1).and(1)), Err("not-held"));
    assert_eq!(bench.try_call(2, condition, "wait", args().and(1).and(())), Err("not-held"));
    let mut sleepers = Vec::new();
    for client in [2, 3, 4] {
        let _: (u64, Option<String>) = bench.call(client, lock, "acquire", args().and(1).and(()));
        sleepers.push(bench.begin(client, condition, "wait", args().and(1).and(())));
    }
    bench.kill(2);
    let (fence, _): (u64, Option<String>) = bench.call(1, lock, "acquire", args().and(1).and(()));
    assert_eq!(bench.call::<u64>(1, condition, "notify", args().and(1).and(1)), 1);
    assert!(bench.waits(sleepers[1]), "the lock is not free yet");
    bench.try_call(1, lock, "release", args().and(fence).and(false)).unwrap();
    let (notified, fence, _): (bool, u64, Option<String>) =
        read(&bench.answer(sleepers[1]).unwrap().unwrap());
    assert!(notified && bench.waits(sleepers[2]));
    bench.try_call(3, lock, "release", args().and(fence).and(false)).unwrap();
    // Client 4 wakes by its own timeout only.
    let (_, _): (u64, Option<String>) = bench.call(3, lock, "acquire", args().and(1).and(()));
    let late = bench.begin(3, condition, "wait", args().and(1).and(100));
    bench.pass(SECOND);
    let (notified, _, _): (bool, u64, Option<String>) = read(&bench.answer(late).unwrap().unwrap());
    assert!(!notified && bench.waits(sleepers[2]));
}

#[test]
fn permits_of_the_dead_come_back_exactly() {
    let mut bench = Bench::new();
    let semaphore = bench.make(1, "bounded_semaphore", Some("permits"), args().and(3));
    let _: u64 = bench.call(1, semaphore, "acquire", args().and(2).and(()));
    let kept: u64 = bench.call(2, semaphore, "acquire", args().and(1).and(()));
    let waiting = bench.begin(3, semaphore, "acquire", args().and(2).and(()));
    // A single one must not overtake.
    bench.try_call(2, semaphore, "release", args().and(kept)).unwrap();
    let behind = bench.begin(4, semaphore, "acquire", args().and(1).and(()));
    assert!(bench.waits(waiting) && bench.waits(behind));
    bench.kill(1);
    assert!(!bench.waits(waiting) && !bench.waits(behind));
    assert_eq!(bench.call::<u64>(2, semaphore, "value", args()), 0);
    assert_eq!(bench.try_call(2, semaphore, "add", args().and(1)), Err("out-of-range"));
    bench.kill(3);
    bench.kill(4);
    assert_eq!(bench.call::<u64>(2, semaphore, "value", args()), 3);
    let forgotten: u64 = bench.call(2, semaphore, "acquire", args().and(1).and(()));
    bench.try_call(2, semaphore, "forget", args().and(forgotten)).unwrap();
    assert_eq!(bench.call::<u64>(2, semaphore, "value", args()), 2);
    bench.try_call(2, semaphore, "add", args().and(1)).unwrap();
    assert_eq!(bench.try_call(2, semaphore, "add", args().and(1)), Err("out-of-range"));
}

#[test]
fn a_cancelled_giant_lets_the_small_ones_pass() {
    let mut bench = Bench::new();
    let semaphore = bench.make(1, "semaphore", None, args().and(1));
    let giant = bench.begin(1, semaphore, "acquire", args().and(5).and(()));
    let small = bench.begin(2, semaphore, "acquire", args().and(1).and(()));
    assert!(bench.waits(small));
    bench.try_call(1, 0, "cancel", args().and(giant)).unwrap();
    assert_eq!(bench.answer(giant), Some(Err("cancelled")));
    assert!(!bench.waits(small));
}

#[test]
fn an_event_wakes_all_also_if_it_is_cleared_at_once() {
    let mut bench = Bench::new();
    let event = bench.make(1, "event", None, args());
    let waits = [2, 3].map(|client| bench.begin(client, event, "wait", args().and(())));
    let late = bench.begin(4, event, "wait", args().and(10));
    bench.pass(SECOND);
    assert!(!read::<bool>(&bench.answer(late).unwrap().unwrap()));
    bench.try_call(1, event, "set", args()).unwrap();
    bench.try_call(1, event, "clear", args()).unwrap();
    for wait in waits {
        assert!(read::<bool>(&bench.answer(wait).unwrap().unwrap()));
    }
    assert!(!bench.call::<bool>(1, event, "wait", args().and(0)));
}

#[test]
fn a_barrier_counts_and_breaks_for_all() {
    let mut bench = Bench::new();
    let barrier = bench.make(1, "barrier", Some("barrier"), args().and(3));
    let first = bench.begin(1, barrier, "wait", args().and(()));
    let second = bench.begin(2, barrier, "wait", args().and(()));
    assert_eq!(bench.call::<(u64, bool)>(3, barrier, "wait", args().and(())), (2, true));
    assert_eq!(read::<(u64, bool)>(&bench.answer(first).unwrap().unwrap()), (0, false));
    assert_eq!(read::<(u64, bool)>(&bench.answer(second).unwrap().unwrap()), (1, false));
    // A member that does not even wait dies.
    let waiting = bench.begin(1, barrier, "wait", args().and(()));
    bench.kill(3);
    assert_eq!(bench.answer(waiting), Some(Err("broken")));
    assert_eq!(bench.try_call(1, barrier, "wait", args().and(())), Err("broken"));
    bench.try_call(1, barrier, "reset", args()).unwrap();
    // A member dies while it waits: that is the reason, too.
    bench.begin(2, barrier, "wait", args().and(()));
    bench.kill(2);
    let (_, _, reason): (u64, u64, Option<String>) = bench.call(1, barrier, "status", args());
    assert_eq!(reason.as_deref(), Some("died"));
    bench.try_call(1, barrier, "reset", args()).unwrap();
    let late = bench.begin(1, barrier, "wait", args().and(10));
    let other = bench.begin(4, barrier, "wait", args().and(()));
    bench.pass(SECOND);
    assert_eq!((bench.answer(late), bench.answer(other)), (Some(Err("broken")), Some(Err("broken"))));
}

#[test]
fn items_of_the_dead_come_back_to_their_place() {
    let mut bench = Bench::new();
    let queue = bench.make(1, "queue", Some("queue"), args().and(3));
    for item in 0..3 {
        bench.try_call(1, queue, "put", args().and(item).and(())).unwrap();
    }
    assert_eq!(bench.try_call(1, queue, "put", args().and(3).and(0)), Err("would-block"));
    let putter = bench.begin(1, queue, "put", args().and(3).and(()));
    let (_, item): (u64, i32) = bench.call(2, queue, "get", args().and(()));
    assert!(item == 0 && !bench.waits(putter));
    let (tag, item): (u64, i32) = bench.call(3, queue, "get", args().and(()));
    assert_eq!(item, 1);
    bench.try_call(3, queue, "ack", args().and(tag)).unwrap();
    assert_eq!(bench.try_call(3, queue, "ack", args().and(tag)), Err("not-held"));
    bench.kill(2);
    let order: Vec<i32> =
        (0..3).map(|_| bench.call::<(u64, i32)>(3, queue, "get", args().and(())).1).collect();
    assert_eq!(order, [0, 2, 3]);
}

#[test]
fn a_dead_getter_eats_nothing_and_close_drains() {
    let mut bench = Bench::new();
    let queue = bench.make(1, "queue", Some("queue"), args());
    bench.begin(2, queue, "get", args().and(()));
    let living = bench.begin(3, queue, "get", args().and(()));
    bench.kill(2);
    bench.try_call(1, queue, "put", args().and(5).and(())).unwrap();
    let (tag, item): (u64, i32) = read(&bench.answer(living).unwrap().unwrap());
    assert_eq!(item, 5);
    let waiting = bench.begin(4, queue, "get", args().and(()));
    bench.try_call(1, queue, "close", args()).unwrap();
    assert_eq!(bench.try_call(1, queue, "put", args().and(1).and(())), Err("closed"));
    assert!(bench.waits(waiting), "item 5 may still come back");
    assert_eq!(bench.try_call(3, queue, "get", args().and(())), Err("closed"), "its own does not");
    bench.try_call(3, queue, "ack", args().and(tag)).unwrap();
    assert_eq!(bench.answer(waiting), Some(Err("closed")));
}

#[test]
fn join_waits_for_every_task_also_of_the_dead() {
    let mut bench = Bench::new();
    let queue = bench.make(1, "joinable_queue", Some("tasks"), args());
    assert_eq!(bench.try_call(1, queue, "join", args().and(())), Ok(vec![0xc0]));
    bench.try_call(1, queue, "put", args().and(1).and(())).unwrap();
    let joiner = bench.begin(1, queue, "join", args().and(()));
    let _: (u64, i32) = bench.call(2, queue, "get", args().and(()));
    bench.kill(2);
    assert!(bench.waits(joiner));
    let (tag, _): (u64, i32) = bench.call(3, queue, "get", args().and(()));
    bench.try_call(3, queue, "ack", args().and(tag)).unwrap();
    assert!(!bench.waits(joiner));
}

#[derive(serde::Deserialize)]
struct Described {
    number: u64,
    kind: String,
    name: Option<String>,
    references: u64,
    clients: Vec<(u64, String, u64)>,
    waiting: Vec<u64>,
    holders: Vec<(u64, std::collections::BTreeMap<String, u64>)>,
    state: std::collections::BTreeMap<String, crate::manager::Any>,
    first: Vec<crate::manager::Any>,
}

fn described(bench: &mut Bench, object: u64) -> Described {
    bench.call(4, 0, "describe", args().and(()).and(object).and(2))
}

#[test]
fn an_object_tells_who_uses_it_holds_it_and_waits_for_it() {
    let mut bench = Bench::new();
    let lock = bench.make(1, "lock", Some("turn"), args());
    let (fence, _): (u64, Option<String>) = bench.call(1, lock, "acquire", args().and(7).and(()));
    bench.begin(3, lock, "acquire", args().and(8).and(()));
    bench.begin(2, lock, "acquire", args().and(9).and(()));
    let seen = described(&mut bench, lock);
    assert_eq!((seen.number, seen.kind.as_str(), seen.name.as_deref()), (lock, "lock", Some("turn")));
    assert_eq!((seen.references, &seen.waiting[..]), (2, &[3, 2][..]), "its name, and who made it");
    assert_eq!(seen.clients[0], (1, "tester 1".into(), 1));
    assert_eq!(seen.clients.iter().map(|client| client.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((seen.holders[0].0, seen.holders[0].1["fence"], seen.holders[0].1["thread"]), (1, fence, 7));
    bench.kill(1);
    let seen = described(&mut bench, lock);
    assert_eq!((seen.holders[0].0, &seen.waiting[..]), (3, &[2][..]));
    assert_eq!(seen.state["mishap"], "died".into());
}

#[test]
fn permits_seats_and_items_have_holders_and_collections_show_their_first_elements() {
    let mut bench = Bench::new();
    let semaphore = bench.make(1, "bounded_semaphore", Some("s"), args().and(5));
    bench.call::<u64>(2, semaphore, "acquire", args().and(3).and(()));
    let seen = described(&mut bench, semaphore);
    assert_eq!((seen.holders[0].0, seen.holders[0].1["permits"]), (2, 3));
    assert_eq!((&seen.state["free"], &seen.state["bound"]), (&2.into(), &5.into()));

    let barrier = bench.make(1, "barrier", Some("b"), args().and(2));
    bench.try_call(3, barrier, "join", args()).unwrap();
    assert_eq!(described(&mut bench, barrier).holders[0].0, 3);

    let queue = bench.make(1, "joinable_queue", Some("q"), args());
    for item in ["a", "b", "c", "d"] {
        bench.try_call(1, queue, "put", args().and(item).and(())).unwrap();
    }
    bench.try_call(2, queue, "get", args().and(())).unwrap();
    let seen = described(&mut bench, queue);
    assert_eq!(
        (seen.holders[0].0, &seen.state["unfinished"], &seen.state["elements"]),
        (2, &4.into(), &3.into())
    );
    assert_eq!(seen.first, ["b".into(), "c".into()], "as many as were asked for");

    // What is too long is left out, and so is what comes behind it.
    let list = bench.make(1, "list", Some("l"), args().and(["x", &"long".repeat(20_000)]));
    assert_eq!(described(&mut bench, list).first, ["x".into()]);
    let dict = bench.make(1, "dict", Some("d"), args().and([(1, "one")]));
    let pair: Vec<crate::manager::Any> = vec![1.into(), "one".into()];
    assert_eq!(described(&mut bench, dict).first, [pair.into()]);
    let empty = args().and(()).and(()).and(0);
    assert_eq!(bench.try_call(1, 0, "describe", empty), Err("bad-call"));
    assert_eq!(bench.try_call(1, 0, "describe", args().and("none").and(()).and(0)), Err("not-found"));
    assert_eq!(bench.try_call(1, 0, "describe", args().and(()).and(99).and(0)), Err("gone"));
}

type Held = (u64, Option<String>);

#[test]
fn an_rwlock_lets_readers_in_together_and_writers_alone_in_order() {
    let mut bench = Bench::new();
    let lock = bench.make(1, "rwlock", Some("lock"), args());
    let (one, _): Held = bench.call(1, lock, "read", args().and(7).and(()));
    let (two, _): Held = bench.call(2, lock, "read", args().and(7).and(()));
    assert_eq!(bench.try_call(1, lock, "write", args().and(7).and(())), Err("deadlock"));
    assert_eq!(bench.try_call(3, lock, "write", args().and(7).and(0)), Err("would-block"));
    let writer = bench.begin(3, lock, "write", args().and(7).and(()));
    let behind = bench.begin(4, lock, "read", args().and(7).and(()));
    assert!(bench.waits(writer) && bench.waits(behind), "no reader overtakes a writer");
    // Who reads already would wait for itself.
    let (again, _): Held = bench.call(2, lock, "read", args().and(7).and(()));
    for (client, fence) in [(1, one), (2, two)] {
        bench.try_call(client, lock, "release", args().and(fence).and(false)).unwrap();
    }
    assert!(bench.waits(writer));
    bench.try_call(2, lock, "release", args().and(again).and(false)).unwrap();
    let (fence, _): Held = read(&bench.answer(writer).unwrap().unwrap());
    assert!(fence > again && bench.waits(behind));
    assert_eq!(bench.try_call(3, lock, "read", args().and(7).and(())), Err("deadlock"));
    let late = bench.begin(1, lock, "write", args().and(7).and(100));
    bench.try_call(3, lock, "downgrade", args().and(fence)).unwrap();
    assert!(!bench.waits(behind) && bench.waits(late));
    let last = bench.begin(2, lock, "read", args().and(7).and(()));
    assert!(bench.waits(last));
    bench.pass(SECOND);
    assert_eq!(bench.answer(late), Some(Err("timed-out")));
    assert!(!bench.waits(last), "the writer in front has given up");
    assert_eq!(
        bench.try_call(3, lock, "make_consistent", args().and(fence)),
        Err("not-held"),
        "it only reads"
    );
}

#[test]
fn an_rwlock_tells_of_dead_writers_and_of_no_dead_readers() {
    let mut bench = Bench::new();
    let lock = bench.make(4, "rwlock", Some("lock"), args());
    bench.call::<Held>(1, lock, "read", args().and(1).and(()));
    let writer = bench.begin(2, lock, "write", args().and(1).and(()));
    bench.kill(1);
    let (fence, mishap): Held = read(&bench.answer(writer).unwrap().unwrap());
    assert_eq!(mishap, None);
    let reader = bench.begin(3, lock, "read", args().and(1).and(()));
    bench.kill(2);
    let (read_fence, mishap): Held = read(&bench.answer(reader).unwrap().unwrap());
    assert_eq!((mishap.as_deref(), read_fence > fence), (Some("died"), true));
    let seen = described(&mut bench, lock);
    assert_eq!((&seen.state["readers"], seen.holders[0].1["reads"]), (&1.into(), 1));
    bench.try_call(3, lock, "release", args().and(read_fence).and(true)).unwrap();
    let (fence, mishap): Held = bench.call(4, lock, "write", args().and(1).and(()));
    assert_eq!(mishap.as_deref(), Some("died"), "nobody has repaired anything");
    bench.try_call(4, lock, "make_consistent", args().and(fence)).unwrap();
    bench.try_call(4, lock, "release", args().and(fence).and(false)).unwrap();
    assert_eq!(bench.call::<Held>(3, lock, "read", args().and(1).and(())).1, None);
}

#[test]
fn a_barriers_leader_acts_before_anybody_leaves() {
    let mut bench = Bench::new();
    let barrier = bench.make(4, "barrier", Some("barrier"), args().and(2));
    let first = bench.begin(1, barrier, "arrive", args().and(10));
    let (index, leads, turn): (u64, bool, u64) = bench.call(2, barrier, "arrive", args().and(()));
    assert!((index, leads) == (1, true) && bench.waits(first));
    // Neither a timeout nor somebody who is early disturbs the turn.
    bench.pass(SECOND);
    let early = bench.begin(3, barrier, "wait", args().and(()));
    assert!(bench.waits(first) && bench.waits(early));
    assert_eq!(bench.try_call(2, barrier, "proceed", args().and(turn + 1)), Err("broken"), "not its turn");
    bench.try_call(2, barrier, "proceed", args().and(turn)).unwrap();
    assert_eq!(read::<(u64, bool)>(&bench.answer(first).unwrap().unwrap()), (0, false));
    assert!(bench.waits(early), "it waits in the next round");
    assert_eq!(bench.call::<(u64, bool)>(1, barrier, "wait", args().and(())), (1, true));
    assert_eq!(read::<(u64, bool)>(&bench.answer(early).unwrap().unwrap()), (0, false));
}

#[test]
fn a_leader_that_fails_or_dies_breaks_its_barrier() {
    let mut bench = Bench::new();
    let barrier = bench.make(4, "barrier", Some("barrier"), args().and(2));
    for (leader, dies) in [(2, false), (3, true)] {
        let first = bench.begin(1, barrier, "wait", args().and(()));
        let (_, _, turn): (u64, bool, u64) = bench.call(leader, barrier, "arrive", args().and(()));
        let early = bench.begin(4, barrier, "arrive", args().and(()));
        match dies {
            true => bench.kill(leader),
            false => drop(bench.try_call(leader, barrier, "fail", args().and(turn)).unwrap()),
        }
        assert_eq!((bench.answer(first), bench.answer(early)), (Some(Err("broken")), Some(Err("broken"))));
        let (_, _, reason): (u64, u64, Option<String>) = bench.call(1, barrier, "status", args());
        assert_eq!(reason.as_deref(), Some(if dies { "died" } else { "failed" }));
        bench.try_call(1, barrier, "reset", args()).unwrap();
    }
}

#[test]
fn who_was_early_and_late_breaks_the_next_round_only() {
    let mut bench = Bench::new();
    let barrier = bench.make(4, "barrier", Some("barrier"), args().and(2));
    let first = bench.begin(1, barrier, "wait", args().and(()));
    let (_, _, turn): (u64, bool, u64) = bench.call(2, barrier, "arrive", args().and(()));
    let early = bench.begin(3, barrier, "wait", args().and(10));
    bench.pass(SECOND);
    assert!(bench.waits(early));
    bench.try_call(2, barrier, "proceed", args().and(turn)).unwrap();
    assert!(bench.answer(first).unwrap().is_ok());
    assert_eq!(bench.answer(early), Some(Err("broken")));
    // Two that are early make a round by themselves, and the second of them acts.
    bench.try_call(1, barrier, "reset", args()).unwrap();
    let first = bench.begin(1, barrier, "wait", args().and(()));
    let (_, _, turn): (u64, bool, u64) = bench.call(2, barrier, "arrive", args().and(()));
    let (one, two) = (
        bench.begin(3, barrier, "arrive", args().and(10)),
        bench.begin(4, barrier, "arrive", args().and(())),
    );
    bench.pass(SECOND);
    bench.try_call(2, barrier, "proceed", args().and(turn)).unwrap();
    assert!(bench.answer(first).unwrap().is_ok() && bench.waits(one));
    let (_, leads, turn): (u64, bool, u64) = read(&bench.answer(two).unwrap().unwrap());
    bench.try_call(4, barrier, "proceed", args().and(turn)).unwrap();
    assert!(leads && bench.answer(one).unwrap().is_ok());
}
