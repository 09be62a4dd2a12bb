//! The judge itself: it knows bad histories, and no good one is bad.

use procshare_harness::Rng;

use super::check::{Model, check};
use super::history::{Call, Mishap, Op, Outcome, Outcome::*};
use super::models::{Bank, Dict, List, Permits, Queue};
use super::shared::Shared;

fn is_fine<M: Model>(initial: M, ops: &[Op]) -> bool {
    check(initial, ops).is_ok()
}

/// Of process 1, 2 and so on, one after the other.
fn in_a_row(calls: &[(Call, Outcome)]) -> Vec<Op> {
    let one = |(at, (call, outcome)): (usize, &(Call, Outcome))| {
        let moment = 10 * at as u64;
        Op::done(at as u32 + 1, (moment, moment + 5), call.clone(), outcome.clone())
    };
    calls.iter().enumerate().map(one).collect()
}

fn held(fence: u64, mishap: Option<Mishap>) -> Outcome {
    Held { fence, mishap }
}

#[test]
fn a_lost_update_is_seen() {
    // Both added to nothing.
    let lost =
        [Op::done(1, (1, 4), Call::Add(7, 1), Number(1)), Op::done(2, (2, 5), Call::Add(7, 1), Number(1))];
    assert!(!is_fine(Dict::default(), &lost));
    let kept = [lost[0].clone(), Op { outcome: Some(Number(2)), ..lost[1].clone() }];
    assert!(is_fine(Dict::default(), &kept));
    // An acknowledged write that nobody finds.
    let gone = in_a_row(&[(Call::Set(7, 1), Nothing), (Call::Get(7), Maybe(None))]);
    assert!(!is_fine(Dict::default(), &gone));
}

#[test]
fn a_stale_read_is_seen() {
    let reads = |began, seen| {
        vec![
            Op::done(1, (0, 5), Call::Set(7, 1), Nothing),
            Op::done(1, (6, 20), Call::Set(7, 2), Nothing),
            Op::done(2, (began, began + 3), Call::Get(7), Maybe(Some(seen))),
        ]
    };
    assert!(is_fine(Dict::default(), &reads(10, 1)), "before the second write");
    assert!(is_fine(Dict::default(), &reads(10, 2)), "behind it");
    assert!(!is_fine(Dict::default(), &reads(21, 1)));
    // Once it was seen, it is there for all.
    let mut back = reads(10, 2);
    back.push(Op::done(3, (14, 16), Call::Get(7), Maybe(Some(1))));
    assert!(!is_fine(Dict::default(), &back));
}

#[test]
fn a_write_that_is_done_twice_is_seen() {
    let twice = in_a_row(&[(Call::Push(1), Nothing), (Call::Snapshot, Items(vec![1, 1]))]);
    assert!(!is_fine(List::default(), &twice));
    // Also one whose client was killed: once or never.
    for (seen, fine) in [(vec![], true), (vec![1], true), (vec![1, 1], false)] {
        let ops = [Op::pending(1, 0, Call::Push(1)), Op::done(2, (5, 6), Call::Snapshot, Items(seen))];
        assert_eq!(is_fine(List::default(), &ops), fine);
    }
}

#[test]
fn a_queue_out_of_order_is_seen() {
    let row = |first, second| {
        in_a_row(&[
            (Call::Put(1), Nothing),
            (Call::Put(2), Nothing),
            (Call::Take, Number(first)),
            (Call::Take, Number(second)),
        ])
    };
    assert!(is_fine(Queue::new(9), &row(1, 2)));
    assert!(!is_fine(Queue::new(9), &row(2, 1)));
    assert!(!is_fine(Queue::new(9), &row(1, 1)), "one item to two");
    assert!(!is_fine(Queue::new(1), &row(1, 2)), "more than there is room for");
    let mut empty = row(1, 2);
    empty.push(Op::done(9, (100, 101), Call::Take, Number(1)));
    assert!(!is_fine(Queue::new(9), &empty), "once more");
}

#[test]
fn what_the_dead_had_taken_comes_back_once_and_to_its_place() {
    let story = |seen: &[Outcome]| {
        let mut ops = in_a_row(&[
            (Call::Put(1), Nothing),
            (Call::Put(2), Nothing),
            (Call::Take, Number(1)),
            (Call::Death(Mishap::Died), Nothing),
        ]);
        ops[3].who.process = ops[2].who.process;
        ops[3].after = vec![2];
        let takes = seen.iter().enumerate();
        ops.extend(takes.map(|(at, seen)| {
            let moment = 100 + 2 * at as u64;
            Op::done(9, (moment, moment + 1), Call::Take, seen.clone())
        }));
        ops
    };
    assert!(is_fine(Queue::new(9), &story(&[Number(1), Number(2), Blocked])));
    assert!(!is_fine(Queue::new(9), &story(&[Number(2), Blocked])), "it is lost");
    assert!(!is_fine(Queue::new(9), &story(&[Number(2), Number(1)])), "it came back to the end");
    assert!(!is_fine(Queue::new(9), &story(&[Number(1), Number(1)])), "twice");
}

#[test]
fn a_lock_with_two_holders_or_with_none_for_ever_is_seen() {
    let two = in_a_row(&[(Call::Acquire, held(1, None)), (Call::Acquire, held(2, None))]);
    assert!(!is_fine(Permits::lock(), &two));
    assert!(is_fine(Permits::semaphore(2), &two));
    let old = in_a_row(&[
        (Call::Acquire, held(2, None)),
        (Call::Release(2), Nothing),
        (Call::Acquire, held(1, None)),
    ]);
    assert!(!is_fine(Permits::lock(), &old), "a fence that does not grow");
    let death = |before: Option<Mishap>, told: Option<Mishap>| {
        let mut ops = in_a_row(&[
            (Call::Acquire, held(1, before)),
            (Call::Death(Mishap::Died), Nothing),
            (Call::Acquire, held(2, told)),
        ]);
        ops[1].who.process = 1;
        ops
    };
    assert!(is_fine(Permits::lock(), &death(None, Some(Mishap::Died))));
    assert!(!is_fine(Permits::lock(), &death(None, None)), "nobody was told");
    assert!(!is_fine(Permits::lock(), &death(None, Some(Mishap::Lost))), "it died");
    // Released while its holder lives.
    let mut stolen = death(None, Some(Mishap::Died));
    stolen.remove(1);
    assert!(!is_fine(Permits::lock(), &stolen));
    let stuck =
        in_a_row(&[(Call::Acquire, held(1, None)), (Call::Release(1), Nothing), (Call::Acquire, Blocked)]);
    assert!(!is_fine(Permits::lock(), &stuck));
}

#[test]
fn a_writer_beside_readers_is_seen() {
    let both = |first: Call, second: Call| in_a_row(&[(first, held(1, None)), (second, held(2, None))]);
    assert!(is_fine(Shared::default(), &both(Call::Read, Call::Read)));
    assert!(!is_fine(Shared::default(), &both(Call::Read, Call::Acquire)));
    assert!(!is_fine(Shared::default(), &both(Call::Acquire, Call::Read)));
    assert!(!is_fine(Shared::default(), &both(Call::Acquire, Call::Acquire)));
    // Of one that became a reader others read beside it, and nobody writes.
    let mut downgraded = both(Call::Acquire, Call::Read);
    downgraded[1].began = 20;
    downgraded[1].came = Some(21);
    downgraded.insert(1, Op::done(1, (10, 11), Call::Downgrade(1), Nothing));
    assert!(is_fine(Shared::default(), &downgraded));
    downgraded[2].call = Call::Acquire;
    assert!(!is_fine(Shared::default(), &downgraded));
    let death = |first: Call, told: Option<Mishap>| {
        let death = (Call::Death(Mishap::Died), Nothing);
        let mut ops = in_a_row(&[(first, held(1, None)), death, (Call::Acquire, held(2, told))]);
        ops[1].who.process = 1;
        ops
    };
    assert!(is_fine(Shared::default(), &death(Call::Acquire, Some(Mishap::Died))));
    assert!(!is_fine(Shared::default(), &death(Call::Acquire, None)), "nobody was told");
    assert!(is_fine(Shared::default(), &death(Call::Read, None)));
    assert!(!is_fine(Shared::default(), &death(Call::Read, Some(Mishap::Died))), "it only read");
}

#[test]
fn half_a_transaction_is_seen() {
    let transfer = Call::Transfer { from: 0, to: 1, amount: 5, number: 77 };
    let story =
        |audit: Vec<u64>| in_a_row(&[(transfer.clone(), Items(vec![10, 20])), (Call::Audit, Items(audit))]);
    let bank = || Bank::new(&[10, 20]);
    assert!(is_fine(bank(), &story(vec![5, 25, 1, 1])));
    for half in [vec![5, 20, 1, 1], vec![5, 25, 0, 1], vec![5, 25, 1, 0], vec![10, 20, 0, 0]] {
        assert!(!is_fine(bank(), &story(half.clone())), "{half:?}");
    }
    // One that failed has done nothing.
    let spoiled = in_a_row(&[(Call::Spoil, OutOfRange), (Call::Audit, Items(vec![10, 20, 0, 1000]))]);
    assert!(!is_fine(bank(), &spoiled));
}

#[test]
fn what_was_sent_in_an_order_is_done_in_it() {
    let story = |in_order: bool| {
        let mut ops = vec![
            Op::done(1, (0, 9), Call::Push(1), Nothing),
            Op::done(1, (0, 9), Call::Push(2), Nothing),
            Op::done(2, (10, 11), Call::Snapshot, Items(vec![2, 1])),
        ];
        if in_order {
            ops[1].after = vec![0];
        }
        ops
    };
    assert!(is_fine(List::default(), &story(false)));
    assert!(!is_fine(List::default(), &story(true)));
}

#[test]
fn nothing_is_done_by_somebody_who_has_gone() {
    let put = Op { until: 10, ..Op::pending(1, 0, Call::Push(1)) };
    let story = |second: u64| {
        [
            put.clone(),
            Op::done(2, (second, second + 2), Call::Len, Number(0)),
            Op::done(2, (second + 4, second + 6), Call::Len, Number(1)),
        ]
    };
    assert!(is_fine(List::default(), &story(4)));
    assert!(!is_fine(List::default(), &story(14)));
}

/// Any call of a dict or list of few keys.
fn any(random: &mut Rng, of_list: bool, value: u64) -> Call {
    let key = random.below(2);
    match (random.below(6), of_list) {
        (0, _) => Call::Set(key, value),
        (1, _) => Call::Get(key),
        (2, _) => Call::Snapshot,
        (3, true) => Call::PopFirst,
        (3, false) => Call::Remove(key),
        (4, true) => Call::PushFront(value),
        (4, false) => Call::Insert(key, value),
        (_, true) => Call::Push(value),
        (_, false) => Call::Swap(key, None, Some(value)),
    }
}

/// A history that was made one after the other, seen as if it had been at once; then one answer is another one.
fn good_and_bad<M: Model>(initial: &M, of_list: bool, answer: impl Fn(&mut M, &Call) -> Option<Outcome>) {
    let mut random = Rng::new(5);
    let mut found = 0;
    for _ in 0..200 {
        let mut state = initial.clone();
        let mut ops: Vec<Op> = (0..60u64)
            .map(|at| {
                let call = any(&mut random, of_list, 100 + at);
                let outcome = answer(&mut state, &call).unwrap();
                let (before, behind) = (random.below(300), 1 + random.below(300));
                let moments = ((1000 + 100 * at) - before, 1000 + 100 * at + behind);
                Op::done(at as u32, moments, call, outcome)
            })
            .collect();
        ops.sort_by_key(|op| op.began);
        assert!(is_fine(initial.clone(), &ops));
        let at = random.below(60) as usize;
        // A value that nobody has made.
        let wrong = match &ops[at].outcome {
            Some(Maybe(_)) => Maybe(Some(1)),
            Some(Items(_)) => Items(vec![1]),
            Some(Pairs(_)) => Pairs(vec![(0, 1)]),
            _ => continue,
        };
        ops[at].outcome = Some(wrong);
        assert!(!is_fine(initial.clone(), &ops));
        found += 1;
    }
    assert!(found > 20, "{found}");
}

#[test]
fn overlapping_histories_that_can_be_are_fine_and_one_wrong_answer_is_not() {
    good_and_bad(&Dict::default(), false, Dict::answer);
    good_and_bad(&List::default(), true, List::answer);
}
