//! Models of the two ways to an element; see `crate::model`. Each step here is one of `claims`.

use std::ops::Range;
use std::rc::Rc;

use super::stripe::Stripe;
use super::table::{Entry, Table};
use crate::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};
use crate::model::{Guarded, Participant, explore, join, kill_at_every_step, step};
use crate::participant::Host;
use crate::sync::{LockWord, Patience, Turn};
use crate::time::Deadline;

/// An array of two elements that share a stripe.
struct Pair {
    gate: LockWord,
    epoch: AtomicU64,
    stripe: Stripe,
    table: Table<Vec<Entry>, Vec<AtomicU64>>,
    /// What only one thread at a time may touch.
    elements: [Guarded<u32>; 2],
    /// What readers copy meanwhile: each element as two words that are equal unless it is torn.
    bytes: [[AtomicU32; 2]; 2],
}

/// A held range, and whether it is torn.
struct Held<'a> {
    entry: &'a Entry,
    torn: bool,
}

impl Pair {
    fn new() -> Rc<Self> {
        Rc::new(Pair {
            gate: LockWord::default(),
            epoch: AtomicU64::default(),
            stripe: Stripe::default(),
            table: Table {
                entries: (0..2).map(|_| Entry::default()).collect(),
                used: vec![AtomicU64::default()],
            },
            elements: Default::default(),
            bytes: Default::default(),
        })
    }

    /// As the holder of the element: adds to it, and can be killed in the middle.
    fn add(&self, index: usize) {
        let value = self.elements[index].get() + 1;
        self.elements[index].set(value);
        step();
        // Relaxed, as copies of shared bytes are.
        self.bytes[index][0].store(value, Relaxed);
        self.bytes[index][1].store(value, Relaxed);
    }

    /// The short way, as `Core::write_short` goes it.
    fn add_short(&self, by: &Participant, index: usize) -> bool {
        let Some(taken) = self.stripe.take(by.owner().id(), index) else { return false };
        if !self.table.is_empty() && self.table.overlapping(index..index + 1).next().is_some() {
            self.stripe.back_out(taken, by);
            return false;
        }
        fence(Release);
        self.add(index);
        self.stripe.give_back(taken, by);
        true
    }

    /// Runs `work` with the gate held, as `Core::under_gate` does.
    fn under_gate<R>(&self, by: &Participant, work: impl FnOnce() -> R) -> R {
        if !self.gate.acquire_fast(by.owner()) {
            self.gate.acquire_slow(by, by.owner(), Deadline::Never).expect("waits as long as it takes");
            self.gate.make_consistent();
        }
        self.table.sweep();
        let result = work();
        assert!(self.gate.release(by, by.owner()));
        result
    }

    /// The long way, as `Core::claim` goes it.
    fn claim(&self, by: &Participant, range: Range<usize>) -> Held<'_> {
        self.claim_for(by, range, false)
    }

    fn claim_for(&self, by: &Participant, range: Range<usize>, reading: bool) -> Held<'_> {
        let entry = loop {
            let obstacle = self.under_gate(by, || {
                let mut overlapping = self.table.overlapping(range.clone());
                if let Some(held) = overlapping.find(|(_, seen)| seen.torn().is_none()) {
                    return Err(held);
                }
                let entry = self.table.prepare(&range).expect("an entry for each");
                if reading {
                    entry.mark_reading();
                }
                entry.enter(by.owner(), &self.epoch);
                Ok(entry)
            });
            match obstacle {
                Ok(entry) => break entry,
                Err((entry, seen)) => {
                    let mut patience = Patience::new(by, &entry.watch, by.owner().id(), Deadline::Never);
                    let Some(announced) = entry.announce(seen) else { continue };
                    match patience.sleep(&entry.futex(), announced.bits(), seen.holder()) {
                        Turn::HolderGone if entry.is_reading() => entry.free_dead(seen, by),
                        Turn::HolderGone => entry.tear(seen, by),
                        _ => {}
                    }
                }
            }
        };
        self.await_stripe(by, &range);
        let torn = self.table.overlapping(range).any(|(_, seen)| seen.torn().is_some());
        Held { entry, torn }
    }

    fn await_stripe(&self, by: &Participant, range: &Range<usize>) {
        let mut patience = Patience::new(by, &self.stripe.watch, by.owner().id(), Deadline::Never);
        while let Some(taken) = self.stripe.taken().filter(|taken| range.contains(&taken.index())) {
            let Some(announced) = self.stripe.announce(taken) else { continue };
            let turn = patience.sleep(&self.stripe.futex(), announced.bits(), taken.id());
            if turn != Turn::HolderGone {
                continue;
            }
            let element = taken.index()..taken.index() + 1;
            self.under_gate(by, || {
                let same =
                    |now: &super::stripe::Taken| now.id() == taken.id() && now.index() == taken.index();
                if self.stripe.taken().as_ref().is_some_and(same) {
                    self.table.prepare(&element).expect("an entry for each").enter_torn();
                }
            });
            let now = self.stripe.taken().filter(|now| now.id() == taken.id());
            if let Some(now) = now {
                self.stripe.clear_dead(now, by);
            }
        }
    }

    fn add_claimed(&self, by: &Participant, range: Range<usize>) -> bool {
        let held = self.claim(by, range.clone());
        if held.torn {
            self.under_gate(by, || self.table.mend(&range)).expect("nothing is torn outside");
        }
        range.for_each(|index| self.add(index));
        held.entry.leave(by.owner(), false, by);
        held.torn
    }

    /// Reads an element as its claimer; may be killed in the middle.
    fn read_claimed(&self, by: &Participant, index: usize) {
        let held = self.claim_for(by, index..index + 1, true);
        let [first, second] = self.bytes[index].each_ref().map(|word| word.load(Relaxed));
        assert!(held.torn || first == second, "torn, and nobody said so");
        held.entry.leave(by.owner(), false, by);
    }

    /// One look at both elements, as `Core::look` has it; `None`: somebody is, or was, writing.
    fn look(&self, index: usize) -> Option<[u32; 2]> {
        let range = index..index + 1;
        let epoch = self.epoch.load(Acquire);
        if !self.table.is_empty()
            && self.table.overlapping(range.clone()).any(|(entry, seen)| seen.may_change(entry))
        {
            return None;
        }
        let sequence = self.stripe.sequence();
        let busy = || self.stripe.taken().is_some_and(|taken| range.contains(&taken.index()));
        if busy() {
            return None;
        }
        let read = [self.bytes[index][0].load(Relaxed), self.bytes[index][1].load(Relaxed)];
        fence(Acquire);
        let whole = self.epoch.load(Relaxed) == epoch && !busy() && self.stripe.sequence() == sequence;
        whole.then_some(read)
    }

    fn assert_whole(&self) {
        if let Some([first, second]) = self.look(0) {
            assert_eq!(first, second, "torn");
        }
    }
}

#[test]
fn a_writer_of_an_element_and_a_claimer_are_never_both_inside() {
    explore(4, |world| {
        let pair = Pair::new();
        let writer = world.spawn(1, {
            let pair = Rc::clone(&pair);
            move |me| {
                pair.add_short(me, 0);
                pair.add_short(me, 0);
            }
        });
        assert!(!pair.add_claimed(&world.participant(2), 0..2));
        writer.join();
        assert!((1..=3).contains(&pair.elements[0].get()));
    });
}

#[test]
fn two_writers_of_an_element_exclude_each_other() {
    explore(5, |world| {
        let pair = Pair::new();
        let writer = world.spawn(1, {
            let pair = Rc::clone(&pair);
            move |me| {
                pair.add_short(me, 0);
            }
        });
        let mine = pair.add_short(&world.participant(2), 0);
        writer.join();
        assert!(mine || pair.elements[0].get() == 1);
    });
}

#[test]
fn claims_that_overlap_wait_for_each_other() {
    explore(4, |world| {
        let pair = Pair::new();
        let other = world.spawn(1, {
            let pair = Rc::clone(&pair);
            move |me| {
                pair.add_claimed(me, 0..1);
            }
        });
        pair.add_claimed(&world.participant(2), 0..2);
        other.join();
        assert_eq!(pair.elements[0].get(), 2);
    });
}

#[test]
fn a_reader_sees_whole_elements_beside_a_writer() {
    explore(4, |world| {
        let pair = Pair::new();
        let writer = world.spawn(1, {
            let pair = Rc::clone(&pair);
            move |me| {
                pair.add_short(me, 0);
                pair.add_short(me, 0);
            }
        });
        pair.assert_whole();
        writer.join();
    });
}

#[test]
fn a_reader_sees_whole_elements_beside_a_claimer() {
    explore(4, |world| {
        let pair = Pair::new();
        let claimer = world.spawn(1, {
            let pair = Rc::clone(&pair);
            move |me| {
                pair.add_claimed(me, 0..1);
                pair.add_claimed(me, 0..1);
            }
        });
        pair.assert_whole();
        claimer.join();
    });
}

#[test]
fn a_reader_sees_whole_elements_beside_one_who_claimed_to_write_and_then_to_read() {
    explore(4, |world| {
        let pair = Pair::new();
        let claimer = world.spawn(1, {
            let pair = Rc::clone(&pair);
            move |me| {
                pair.add_claimed(me, 0..1);
                pair.read_claimed(me, 0);
            }
        });
        pair.assert_whole();
        pair.assert_whole();
        claimer.join();
    });
}

#[test]
fn whenever_one_who_only_reads_is_killed_nothing_is_torn() {
    kill_at_every_step(2, |world, fated| {
        let pair = Pair::new();
        world.spawn_fated(1, fated, {
            let pair = Rc::clone(&pair);
            move |me| pair.read_claimed(me, 0)
        });
        let me = world.participant(2);
        assert!(!pair.add_claimed(&me, 0..2), "told of a death that tore nothing");
        pair.assert_whole();
    });
}

#[test]
fn whenever_a_writer_of_an_element_is_killed_a_claimer_is_told_or_finds_it_whole() {
    kill_at_every_step(3, |world, fated| {
        let pair = Pair::new();
        world.spawn_fated(1, fated, {
            let pair = Rc::clone(&pair);
            move |me| {
                pair.add_short(me, 0);
            }
        });
        let me = world.participant(2);
        let held = pair.claim(&me, 0..2);
        let [first, second] = pair.bytes[0].each_ref().map(|word| word.load(Relaxed));
        assert!(held.torn || first == second && first == pair.elements[0].get(), "torn, and nobody said so");
        held.entry.leave(me.owner(), false, &me);
    });
}

#[test]
fn whenever_a_claimer_is_killed_the_next_is_told_or_finds_it_whole() {
    kill_at_every_step(3, |world, fated| {
        let pair = Pair::new();
        world.spawn_fated(1, fated, {
            let pair = Rc::clone(&pair);
            move |me| {
                pair.add_claimed(me, 0..1);
            }
        });
        let me = world.participant(2);
        let held = pair.claim(&me, 0..2);
        let [first, second] = pair.bytes[0].each_ref().map(|word| word.load(Relaxed));
        assert!(held.torn || first == second && first == pair.elements[0].get(), "torn, and nobody said so");
        held.entry.leave(me.owner(), false, &me);
    });
}

#[test]
fn two_claimers_and_a_writer_exclude_each_other() {
    explore(3, |world| {
        let pair = Pair::new();
        let others = [1, 2].map(|id| {
            let pair = Rc::clone(&pair);
            world.spawn(id, move |me| {
                pair.add_claimed(me, 0..1);
            })
        });
        pair.add_short(&world.participant(3), 0);
        join(others);
    });
}
