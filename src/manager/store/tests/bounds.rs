//! What one client can cost: memory that is counted, and work that is bounded.

use super::*;

/// Bytes of the store, with `count` of something made by `make` inside.
fn cost(bench: &mut Bench, count: usize, mut make: impl FnMut(&mut Bench)) -> usize {
    let before = bench.store.bytes();
    (0..count).for_each(|_| make(bench));
    (bench.store.bytes() - before) / count
}

#[test]
fn objects_references_and_tickets_are_counted_and_given_back() {
    let mut bench = Bench::new();
    let shared = bench.make(1, "list", Some("shared"), args());
    let empty = bench.store.bytes();
    // An object, and the reference to it.
    let object = cost(&mut bench, 20, |bench| {
        bench.make(2, "lock", None, args());
    });
    assert!(object >= 256, "{object}");
    let ticket = cost(&mut bench, 20, |bench| {
        bench.try_call(2, 0, "ticket", args().and(shared).and(u64::MAX)).unwrap();
    });
    assert!(ticket >= 64, "{ticket}");
    let open = |bench: &mut Bench| drop(bench.try_call(3, 0, "open", args().and(()).and("shared")).unwrap());
    let before = bench.store.bytes();
    open(&mut bench);
    let reference = bench.store.bytes() - before;
    assert!(reference >= 64, "{reference}");
    open(&mut bench);
    assert_eq!(bench.store.bytes(), before + reference, "the same again costs nothing");
    bench.kill(2);
    bench.kill(3);
    // Tickets are nobody's: they go when they expire, which they do even if they were said to last for ever.
    bench.pass(25 * 3600 * SECOND);
    assert_eq!((bench.store.bytes(), bench.store.objects()), (empty, 1));
    assert_eq!(bench.store.next_deadline(), None);
}

#[test]
fn nothing_can_be_made_without_end() {
    for (method, given) in [
        ("ticket", args().and(1).and(1000)),
        ("create", args().and("lock").and(())),
        ("create", args().and("event").and(())),
    ] {
        let mut bench = Bench::new();
        bench.make(1, "list", None, args());
        let fits = (0..100_000).take_while(|_| bench.try_call(1, 0, method, given.clone()).is_ok()).count();
        assert!((50..20_000).contains(&fits), "{method}: {fits}");
        assert_eq!(bench.try_call(1, 0, method, given), Err("limit"));
        assert!(bench.store.bytes() <= 1 << 20);
    }
}

#[test]
fn who_was_cut_off_keeps_what_it_holds_and_gets_nothing_more() {
    let mut bench = Bench::new();
    let held = bench.make(1, "lock", Some("held"), args());
    let wanted = bench.make(1, "lock", Some("wanted"), args());
    let queue = bench.make(1, "queue", Some("queue"), args());
    let (fence, _): (u64, Option<String>) = bench.call(1, wanted, "acquire", args().and(1).and(()));
    let _: (u64, Option<String>) = bench.call(2, held, "acquire", args().and(1).and(()));
    bench.begin(2, wanted, "acquire", args().and(1).and(()));
    bench.begin(2, queue, "get", args().and(()));
    bench.store.cut(bench.now, 2);
    // What it waited for goes to others at once,
    let next = bench.begin(3, wanted, "acquire", args().and(1).and(()));
    bench.try_call(1, wanted, "release", args().and(fence).and(false)).unwrap();
    let (_, mishap): (u64, Option<String>) = read(&bench.answer(next).unwrap().unwrap());
    assert_eq!(mishap, None);
    bench.try_call(1, queue, "put", args().and("item").and(())).unwrap();
    let (_, item): (u64, String) = bench.call(3, queue, "get", args().and(0));
    assert_eq!(item, "item");
    // and what it holds when it is given up.
    assert_eq!(bench.try_call(3, held, "acquire", args().and(1).and(0)), Err("would-block"));
    bench.store.leave(bench.now, 2, Departure::Lost);
    let (_, mishap): (u64, Option<String>) = bench.call(3, held, "acquire", args().and(1).and(()));
    assert_eq!(mishap.as_deref(), Some("lost"));
}

#[test]
fn one_call_cannot_hold_everybody_up() {
    let mut bench = Bench::new();
    let list = bench.make(1, "list", None, args().and((0..1500).rev().collect::<Vec<u32>>()));
    let is_as_it_was = |bench: &mut Bench| {
        let items: Vec<u32> = bench.call(1, list, "slice", args().and(0).and(()));
        assert!(items.into_iter().eq((0..1500).rev()));
    };
    // 1,500 elements times 10 binary digits are more than the 10,000 that may be touched.
    assert_eq!(bench.try_call(1, list, "sort", args().and(false)), Err("limit"));
    is_as_it_was(&mut bench);
    // Each of these is little, all of them are too much, and then none is done.
    let calls: Vec<_> = (0..20).map(|_| (list, "reverse", Vec::<u8>::new())).collect();
    let nothing = Vec::<(u64, u64)>::new();
    assert_eq!(bench.try_call(1, 0, "transaction", args().and(&nothing).and(&calls)), Err("limit"));
    is_as_it_was(&mut bench);
    bench.try_call(1, 0, "transaction", args().and(&nothing).and(&calls[..2])).unwrap();
    is_as_it_was(&mut bench);
    // The next call begins anew.
    (0..20).for_each(|_| drop(bench.try_call(1, list, "reverse", args()).unwrap()));
    bench.try_call(1, list, "truncate", args().and(900)).unwrap();
    bench.try_call(1, list, "sort", args().and(false)).unwrap();
    assert_eq!(bench.call::<Vec<u32>>(1, list, "slice", args().and(0).and(3)), [600, 601, 602]);
}

#[test]
fn both_ends_of_a_list_are_near() {
    let mut bench = Bench::new();
    let list = bench.make(1, "list", None, args().and((0..2000).collect::<Vec<u32>>()));
    // In the middle so many of these would be too much for a transaction.
    let mut calls: Vec<(u64, &str, Vec<u32>)> = Vec::new();
    for _ in 0..500 {
        calls.push((list, "pop_front", vec![]));
        calls.push((list, "push_front", vec![7]));
        calls.push((list, "pop", vec![]));
        calls.push((list, "push", vec![8]));
    }
    bench.try_call(1, 0, "transaction", args().and(Vec::<(u64, u64)>::new()).and(&calls)).unwrap();
    let ends = |bench: &mut Bench, from: u64| -> Vec<u32> {
        bench.call(1, list, "slice", args().and(from).and(from + 2))
    };
    assert_eq!((ends(&mut bench, 0), ends(&mut bench, 1998)), (vec![7, 1], vec![1998, 8]));
    let middle: Vec<_> = (0..100).map(|_| (list, "insert", vec![1000, 1])).collect();
    let refused = bench.try_call(1, 0, "transaction", args().and(Vec::<(u64, u64)>::new()).and(&middle));
    assert_eq!(refused, Err("limit"));
    assert_eq!(bench.call::<u64>(1, list, "len", args()), 2000);
}

#[test]
fn an_object_that_goes_tells_those_who_wait_in_it() {
    let mut bench = Bench::new();
    let event = bench.make(1, "event", None, args());
    let other = bench.make(1, "event", None, args());
    let waits = bench.begin(1, event, "wait", args().and(()));
    let stays = bench.begin(1, other, "wait", args().and(()));
    bench.try_call(1, 0, "release", args().and(event).and(1)).unwrap();
    assert_eq!(bench.answer(waits), Some(Err("gone")));
    assert!(bench.waits(stays));
    // A condition's sleeper that is woken waits in the lock, and no longer in the condition.
    let condition = bench.make(2, "condition", None, args());
    let lock = number_in(&[&[0x92][..], &bench.try_call(2, condition, "lock", args()).unwrap()].concat());
    let _: (u64, Option<String>) = bench.call(2, lock, "acquire", args().and(1).and(()));
    let sleeper = bench.begin(2, condition, "wait", args().and(1).and(()));
    let (fence, _): (u64, Option<String>) = bench.call(2, lock, "acquire", args().and(2).and(()));
    let woken: u64 = bench.call(2, condition, "notify", args().and(2).and(()));
    assert_eq!(woken, 1);
    bench.try_call(2, 0, "release", args().and(condition).and(1)).unwrap();
    assert!(bench.waits(sleeper), "for the lock, which is there");
    bench.try_call(2, lock, "release", args().and(fence).and(false)).unwrap();
    assert!(bench.answer(sleeper).unwrap().is_ok());
}
