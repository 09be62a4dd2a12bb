//! Collections against their models, references, transactions, limits.

use super::*;

#[test]
fn dict_keys_are_one_if_their_values_are() {
    let mut bench = Bench::new();
    let dict = bench.make(1, "dict", None, args());
    assert!(bench.call::<Vec<i32>>(1, dict, "insert", args().and(1).and(10)).is_empty());
    assert_eq!(bench.call::<Vec<i32>>(2, dict, "insert", args().and(1.0).and(11)), [10]);
    assert_eq!(bench.call::<Vec<i32>>(1, dict, "get", args().and(1.0f32)), [11]);
    assert!(bench.call::<Vec<i32>>(1, dict, "get", args().and("1")).is_empty());
    assert_eq!(bench.try_call(1, dict, "set", args().and(f64::NAN).and(1)), Err("bad-key"));
    assert_eq!(bench.call::<u64>(1, dict, "len", args()), 1);
}

#[test]
fn a_namespace_takes_names_only() {
    let mut bench = Bench::new();
    let space = bench.make(1, "namespace", None, args());
    assert_eq!(bench.try_call(1, space, "set", args().and(1).and(1)), Err("bad-key"));
    assert_eq!(bench.try_call(1, space, "extend", args().and([("a", 1)])), Ok(vec![0xc0]));
    assert_eq!(bench.try_call(1, space, "extend", args().and(vec![(2, 2)])), Err("bad-key"));
    assert_eq!(bench.call::<u64>(1, space, "len", args()), 1);
}

#[test]
fn pages_show_all_that_stays_exactly_once() {
    let mut bench = Bench::new();
    let dict = bench.make(1, "dict", None, args());
    for key in 0..100 {
        bench.try_call(1, dict, "set", args().and(key).and(key)).unwrap();
    }
    let (mut cursor, mut seen) = (Some(0u64), Vec::new());
    while let Some(at) = cursor {
        let (next, page): (Option<u64>, Vec<(i32, i32)>) = bench.call(1, dict, "page", args().and(at).and(7));
        assert!(page.len() <= 7);
        seen.extend(page.into_iter().map(|(key, _)| key));
        // Odd ones go, and new ones come, between the pages.
        bench.try_call(2, dict, "remove", args().and(2 * seen.len() + 1)).unwrap();
        bench.try_call(2, dict, "set", args().and(1000 + seen.len()).and(0)).unwrap();
        cursor = next;
    }
    for key in (0..100).step_by(2) {
        assert_eq!(seen.iter().filter(|&&found| found == key).count(), 1, "{key}");
    }
}

#[test]
fn a_list_is_a_vec() {
    let mut bench = Bench::new();
    let list = bench.make(1, "list", None, args());
    let mut model: Vec<i64> = Vec::new();
    let mut state = 7u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for step in 0..3000 {
        let (at, value, which) = (random(model.len() + 1), random(50) as i64, random(12));
        let (end, count) = (at + random(model.len() - at + 1), random(4) as i64);
        one_step(&mut bench, list, &mut model, which, (at, end), (value, count));
        if model.len() > 60 {
            bench.try_call(1, list, "truncate", args().and(20)).unwrap();
            model.truncate(20);
        }
        assert_eq!(bench.call::<Vec<i64>>(1, list, "slice", args().and(0).and(())), model, "step {step}");
    }
}

fn one_step(
    bench: &mut Bench,
    list: u64,
    model: &mut Vec<i64>,
    which: usize,
    (at, end): (usize, usize),
    (value, count): (i64, i64),
) {
    let len = model.len();
    match which {
        0 | 1 => {
            model.push(value);
            bench.try_call(1, list, "push", args().and(value)).unwrap();
        }
        2 => {
            model.insert(at, value);
            bench.try_call(1, list, "insert", args().and(at).and(value)).unwrap();
        }
        3 => assert_eq!(bench.call::<Vec<i64>>(1, list, "pop", args()).pop(), model.pop()),
        4 => {
            let first = (len > 0).then(|| model.remove(0));
            assert_eq!(bench.call::<Vec<i64>>(1, list, "pop_front", args()).pop(), first);
        }
        5 if at < len => {
            assert_eq!(bench.call::<i64>(1, list, "set", args().and(at).and(value)), model[at]);
            model[at] = value;
        }
        6 if at < len => {
            assert_eq!(bench.call::<i64>(1, list, "remove", args().and(at)), model.remove(at));
        }
        7 => {
            let found = model.iter().position(|&item| item == value);
            assert_eq!(bench.call::<Option<usize>>(1, list, "index_of", args().and(value)), found);
        }
        8 => {
            let new: Vec<i64> = (0..count).collect();
            bench.try_call(1, list, "set_slice", args().and(at).and(end).and(&new)).unwrap();
            model.splice(at..end, new);
        }
        9 => {
            bench.try_call(1, list, "sort", args().and(value % 2 == 0)).unwrap();
            model.sort_unstable();
            if value % 2 == 0 {
                model.reverse();
            }
        }
        10 => {
            bench.try_call(1, list, "reverse", args()).unwrap();
            model.reverse();
        }
        _ => {
            bench.try_call(1, list, "extend", args().and([value; 3])).unwrap();
            model.extend([value; 3]);
        }
    }
}

#[test]
fn arrays_and_values_keep_their_length() {
    let mut bench = Bench::new();
    let array = bench.make(1, "array", None, args().and([1, 2, 3]));
    for (method, given) in [("push", args().and(1)), ("pop", args()), ("clear", args())] {
        assert_eq!(bench.try_call(1, array, method, given), Err("bad-call"), "{method}");
    }
    assert_eq!(bench.try_call(1, array, "set_slice", args().and(0).and(2).and([1])), Err("bad-call"));
    assert_eq!(bench.try_call(1, array, "set", args().and(3).and(1)), Err("out-of-range"));
    assert_eq!(bench.call::<f64>(1, array, "add", args().and(-1).and(0.5)), 3.5);
}

#[test]
fn sums_do_not_wrap_and_leave_no_trace_if_they_fail() {
    let mut bench = Bench::new();
    let dict = bench.make(1, "dict", None, args());
    assert_eq!(bench.call::<u64>(1, dict, "add", args().and("n").and(u64::MAX)), u64::MAX);
    assert_eq!(bench.try_call(1, dict, "add", args().and("n").and(1)), Err("arithmetic"));
    assert_eq!(bench.try_call(1, dict, "add", args().and("t").and("x")), Err("arithmetic"));
    assert_eq!(bench.call::<Vec<(String, u64)>>(1, dict, "snapshot", args()), [("n".into(), u64::MAX)]);
}

#[test]
fn an_object_goes_with_its_last_reference() {
    let mut bench = Bench::new();
    let outer = bench.make(1, "dict", Some("outer"), args());
    let inner = bench.make(1, "list", None, args());
    bench.try_call(1, outer, "set", args().and("inner").reference(inner)).unwrap();
    bench.try_call(1, 0, "release", args().and(inner).and(1)).unwrap();
    assert_eq!(bench.call::<u64>(1, inner, "len", args()), 0, "the dict keeps it");
    // Client 2 gets a reference by reading; then the dict lets go.
    let request = bench.begin(2, outer, "get", args().and("inner"));
    assert!(bench.answer(request).unwrap().is_ok());
    bench.try_call(1, outer, "clear", args()).unwrap();
    assert_eq!(bench.call::<u64>(2, inner, "len", args()), 0, "client 2 keeps it");
    bench.kill(2);
    assert_eq!(bench.try_call(1, inner, "len", args()), Err("gone"));
    bench.kill(1);
    assert_eq!(bench.store.objects(), 1, "the named one stays");
    bench.try_call(3, 0, "unlink", args().and("outer")).unwrap();
    assert_eq!((bench.store.objects(), bench.store.bytes()), (0, 0));
}

#[test]
fn a_ticket_keeps_its_object_until_it_expires() {
    let mut bench = Bench::new();
    let list = bench.make(1, "list", None, args());
    let ticket: u64 = bench.call(1, 0, "ticket", args().and(list).and(5000));
    bench.kill(1);
    bench.pass(4 * SECOND);
    let claimed = bench.try_call(2, 0, "claim", args().and(ticket)).unwrap();
    assert_eq!(number_in(&claimed), list);
    assert_eq!(bench.try_call(3, 0, "claim", args().and(ticket)), Err("gone"), "once");
    let late: u64 = bench.call(2, 0, "ticket", args().and(list).and(5000));
    bench.kill(2);
    assert_eq!(bench.store.next_deadline(), Some(9 * SECOND));
    bench.pass(6 * SECOND);
    assert_eq!(bench.try_call(3, 0, "claim", args().and(late)), Err("gone"), "late");
    assert_eq!(bench.store.objects(), 0);
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let mut bench = Bench::new();
    let dict = bench.make(1, "dict", None, args());
    let list = bench.make(1, "list", None, args().and([1, 2, 3]));
    bench.try_call(1, dict, "extend", args().and([("a", 1), ("b", 2)])).unwrap();
    type Call = (u64, &'static str, Vec<i64>);
    let transact = |bench: &mut Bench, checks: Vec<(u64, u64)>, calls: Vec<Call>| {
        bench.try_call(1, 0, "transaction", args().and(checks).and(calls))
    };
    // The last call fails: everything before is undone, down to the order.
    let calls = vec![
        (list, "reverse", vec![]),
        (list, "push", vec![4]),
        (dict, "clear", vec![]),
        (dict, "set", vec![7, 7]),
        (list, "remove", vec![99]),
    ];
    assert_eq!(transact(&mut bench, vec![], calls), Err("out-of-range"));
    assert_eq!(bench.call::<Vec<i32>>(1, list, "slice", args().and(0).and(())), [1, 2, 3]);
    let pairs: Vec<(String, i32)> = bench.call(1, dict, "snapshot", args());
    assert_eq!(pairs, [("a".into(), 1), ("b".into(), 2)]);

    let observe = |bench: &mut Bench, object: u64| -> u64 {
        let bytes = bench.try_call(1, 0, "observe", args().and((object, "len", Vec::<u8>::new()))).unwrap();
        read::<(u64, u64)>(&bytes).0
    };
    let version = observe(&mut bench, list);
    bench.try_call(2, list, "push", args().and(9)).unwrap();
    let call = || vec![(dict, "set", vec![1, 1])];
    assert_eq!(transact(&mut bench, vec![(list, version)], call()), Err("conflict"));
    assert_eq!(bench.call::<u64>(1, dict, "len", args()), 2);
    let version = observe(&mut bench, list);
    assert!(transact(&mut bench, vec![(list, version)], call()).is_ok());
    assert_eq!(bench.call::<u64>(1, dict, "len", args()), 3);
    let lock = bench.make(1, "lock", None, args());
    assert_eq!(transact(&mut bench, vec![], vec![(lock, "acquire", vec![1, 0])]), Err("bad-call"));
}

#[test]
fn a_transaction_whose_results_are_too_long_is_undone() {
    let mut bench = Bench::new();
    let list = bench.make(1, "list", None, args());
    bench.try_call(1, list, "push", args().and("x".repeat(20_000))).unwrap();
    let calls =
        [(list, "push", vec![1]), (list, "get", vec![0]), (list, "get", vec![0]), (list, "get", vec![0])];
    let more = [calls[1].clone()];
    let all: Vec<_> = calls.into_iter().chain(more).collect();
    let refused = bench.try_call(1, 0, "transaction", args().and(Vec::<(u64, u64)>::new()).and(all));
    assert_eq!(refused, Err("limit"));
    assert_eq!(bench.call::<u64>(1, list, "len", args()), 1);
}

#[test]
fn limits_are_kept_and_said() {
    let mut bench = Bench::new();
    let event = bench.make(1, "event", None, args());
    (0..8).for_each(|_| {
        bench.begin(1, event, "wait", args().and(()));
    });
    assert_eq!(bench.try_call(1, event, "wait", args().and(())), Err("limit"), "waiters");
    let list = bench.make(1, "list", None, args());
    let big = "x".repeat(60_000);
    let filled = (0..100).find(|_| bench.try_call(1, list, "push", args().and(&big)) == Err("limit"));
    assert_eq!(filled, Some(17), "memory: 17 times 60,000 is near a mebibyte");
    assert_eq!(bench.try_call(1, list, "slice", args().and(0).and(())), Err("limit"), "one result");
    bench.try_call(1, list, "clear", args()).unwrap();
    let made = (0..200).take_while(|_| bench.try_call(1, 0, "create", args().and("list").and(())).is_ok());
    assert_eq!(made.count(), 98, "objects");
}

#[test]
fn bad_calls_change_nothing() {
    let mut bench = Bench::new();
    let list = bench.make(1, "list", Some("list"), args().and([1]));
    let before = bench.store.bytes();
    for (object, method, given) in [
        (list, "push", args()),
        (list, "push", args().and(1).and(2)),
        (list, "no_such", args()),
        (list, "insert", args().and("x").and(1)),
        (list, "insert", args().and(-1).and(1)),
        (list, "extend", args().and(1)),
        (list, "push", args().reference(999)),
        (999, "push", args().and(1)),
        (0, "no_such", args()),
        (0, "create", args().and("no_such_kind").and(())),
        (0, "create", args().and("list").and("")),
        (0, "create", args().and("list").and("list")),
        (0, "open", args().and("dict").and("list")),
        (0, "create", args().and("condition").and(()).reference(list)),
        (0, "create", args().and("barrier").and(()).and(0)),
    ] {
        assert!(bench.try_call(1, object, method, given).is_err(), "{method}");
    }
    assert_eq!((bench.store.bytes(), bench.store.objects()), (before, 1));
    assert_eq!(bench.call::<u64>(1, list, "len", args()), 1);
}
