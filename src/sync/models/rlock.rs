use std::rc::Rc;

use crate::cause::Cause;
use crate::model::{Guarded, Participant, explore, join, kill_at_every_step, step};
use crate::sync::lock_word::Entry;
use crate::sync::rlock_word::RLockWord;
use crate::time::Deadline;

/// A re-entrant lock and what it protects: two numbers that are equal in good order.
#[derive(Default)]
struct Locked {
    word: RLockWord,
    first: Guarded<u32>,
    second: Guarded<u32>,
}

impl Locked {
    fn enter(&self, by: &Participant) -> Entry {
        if self.word.enter_fast(by.owner()) {
            return Entry::Clean;
        }
        let entry = self.word.lock.acquire_slow(by, by.owner(), Deadline::Never);
        self.word.begin(by.owner());
        entry.expect("waits as long as it takes")
    }

    /// Enters twice and adds to the numbers, one on each level; nobody is let in before both are left.
    fn use_twice(&self, by: &Participant) {
        let entry = self.enter(by);
        assert_eq!(self.word.depth_of(by.owner()), 1, "somebody else's depth was inherited");
        match entry {
            Entry::Clean => assert_eq!(self.first.get(), self.second.get(), "torn, and nobody said so"),
            Entry::Inconsistent(cause) => {
                assert_eq!(cause, Cause::Died);
                self.second.set(self.first.get());
                self.word.make_consistent();
            }
        }
        self.first.set(self.first.get() + 1);
        assert_eq!(self.enter(by), Entry::Clean);
        assert_eq!(self.word.depth_of(by.owner()), 2);
        step();
        assert!(self.word.leave(by, by.owner(), false));
        self.second.set(self.second.get() + 1);
        assert!(self.word.leave(by, by.owner(), false));
        assert!(!self.word.leave(by, by.owner(), false), "left more often than entered");
    }
}

#[test]
fn two_owners_exclude_each_other_at_every_depth() {
    explore(3, |world| {
        let locked = Rc::new(Locked::default());
        let other = world.spawn(1, {
            let locked = Rc::clone(&locked);
            move |me| locked.use_twice(me)
        });
        locked.use_twice(&world.participant(2));
        other.join();
        assert_eq!(locked.first.get(), 2);
    });
}

#[test]
fn three_owners_wake_each_other() {
    explore(1, |world| {
        let locked = Rc::new(Locked::default());
        let others = [1, 2].map(|id| {
            let locked = Rc::clone(&locked);
            world.spawn(id, move |me| locked.use_twice(me))
        });
        locked.use_twice(&world.participant(3));
        join(others);
        assert_eq!(locked.second.get(), 3);
    });
}

#[test]
fn whenever_an_owner_is_killed_the_next_is_told_and_begins_at_depth_one() {
    kill_at_every_step(1, |world, fated| {
        let locked = Rc::new(Locked::default());
        world.spawn_fated(1, fated, {
            let locked = Rc::clone(&locked);
            move |me| locked.use_twice(me)
        });
        let other = world.spawn(2, {
            let locked = Rc::clone(&locked);
            move |me| locked.use_twice(me)
        });
        locked.use_twice(&world.participant(3));
        other.join();
    });
}
