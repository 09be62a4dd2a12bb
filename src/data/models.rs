//! Models of two slots and a version; see `crate::model`.

use std::rc::Rc;

use super::slots::{Look, ValueHead, Version};
use crate::atomic::{AtomicU32, Ordering::Relaxed};
use crate::cause::Cause;
use crate::model::{Participant, explore, kill_at_every_step};
use crate::sync::Entry;
use crate::time::Deadline;

/// A value of two words that are equal unless it is torn.
#[derive(Default)]
struct Twin {
    head: ValueHead,
    slots: [[AtomicU32; 2]; 2],
}

impl Twin {
    fn copy(&self, slot: usize) -> [u32; 2] {
        // Relaxed, as copies of shared bytes are.
        [self.slots[slot][0].load(Relaxed), self.slots[slot][1].load(Relaxed)]
    }

    fn fill(&self, slot: usize, value: u32) {
        self.slots[slot][0].store(value, Relaxed);
        self.slots[slot][1].store(value, Relaxed);
    }

    /// Commits `value`; the caller holds the lock.
    fn commit(&self, seen: Version, value: u32) {
        self.head.begin();
        self.fill(seen.spare(), value);
        self.head.commit(seen, true);
    }

    /// Edits the committed slot; the caller holds the lock.
    fn edit(&self, value: u32) {
        let seen = self.head.version();
        self.head.begin_in_place(seen);
        self.fill(1 - seen.spare(), value);
        self.head.end_in_place(seen);
    }

    fn look(&self) -> Look<u32> {
        match self.head.look_unless_edited(|slot| self.copy(slot)) {
            Look::Whole([first, second]) => {
                assert_eq!(first, second, "torn");
                Look::Whole(first)
            }
            Look::Disturbed => Look::Disturbed,
            Look::InPlace => Look::InPlace,
        }
    }

    /// Looks twice and checks that the value does not go back.
    fn look_twice(&self) {
        let first = self.look();
        let second = self.look();
        if let (Look::Whole(first), Look::Whole(second)) = (first, second) {
            assert!(first <= second, "went back from {first} to {second}");
        }
    }

    fn lock(&self, by: &Participant) -> Entry {
        let word = &self.head.lock;
        if word.acquire_fast(by.owner()) {
            return Entry::Clean;
        }
        word.acquire_slow(by, by.owner(), Deadline::Never).expect("waits as long as it takes")
    }

    fn unlock(&self, by: &Participant) {
        assert!(self.head.lock.release(by, by.owner()));
    }

    /// Adds one under the lock, by a commit.
    fn add(&self, by: &Participant) -> Entry {
        let entry = self.lock(by);
        let seen = self.head.version();
        let [first, second] = self.copy(1 - seen.spare());
        assert!(seen.in_place() || first == second, "the committed slot is torn");
        self.commit(seen, first.max(second) + 1);
        if entry != Entry::Clean {
            self.head.lock.make_consistent();
        }
        self.unlock(by);
        entry
    }
}

#[test]
fn a_reader_sees_whole_commits_that_never_go_back() {
    explore(4, |world| {
        let twin = Rc::new(Twin::default());
        let writer = world.spawn(1, {
            let twin = Rc::clone(&twin);
            move |_| (1..=3).for_each(|value| twin.commit(twin.head.version(), value))
        });
        twin.look_twice();
        writer.join();
        assert!(matches!(twin.look(), Look::Whole(3)));
    });
}

#[test]
fn a_reader_sees_nothing_of_an_edit_in_place_before_its_end() {
    explore(4, |world| {
        let twin = Rc::new(Twin::default());
        let writer = world.spawn(1, {
            let twin = Rc::clone(&twin);
            move |_| (1..=2).for_each(|value| twin.edit(value))
        });
        twin.look_twice();
        writer.join();
        assert!(matches!(twin.look(), Look::Whole(2)));
    });
}

#[test]
fn two_writers_lose_nothing_of_each_other() {
    explore(3, |world| {
        let twin = Rc::new(Twin::default());
        let writers = [1, 2].map(|id| {
            let twin = Rc::clone(&twin);
            world.spawn(id, move |me| {
                twin.add(me);
            })
        });
        twin.look_twice();
        crate::model::join(writers);
        assert!(matches!(twin.look(), Look::Whole(2)));
    });
}

#[test]
fn whenever_a_writer_is_killed_readers_and_the_next_writer_find_a_whole_value() {
    kill_at_every_step(3, |world, fated| {
        let twin = Rc::new(Twin::default());
        world.spawn_fated(1, fated, {
            let twin = Rc::clone(&twin);
            move |me| {
                twin.add(me);
            }
        });
        twin.look_twice();
        twin.add(&world.participant(2));
        assert!(matches!(twin.look(), Look::Whole(1 | 2) | Look::Disturbed));
    });
}

#[test]
fn whenever_an_editor_in_place_is_killed_the_next_is_told() {
    kill_at_every_step(3, |world, fated| {
        let twin = Rc::new(Twin::default());
        world.spawn_fated(1, fated, {
            let twin = Rc::clone(&twin);
            move |me| {
                twin.lock(me);
                twin.edit(1);
                twin.unlock(me);
            }
        });
        twin.look_twice();
        let me = world.participant(2);
        let entry = twin.lock(&me);
        if twin.head.version().in_place() {
            assert_eq!(entry, Entry::Inconsistent(Cause::Died));
        }
        twin.commit(twin.head.version(), 2);
        twin.head.lock.make_consistent();
        assert!(matches!(twin.look(), Look::Whole(2)), "healed");
        twin.unlock(&me);
    });
}
