use std::cell::Cell;
use std::rc::Rc;

use crate::model::{Guarded, Participant, explore, join, kill_at_every_step, step};
use crate::sync::lock_word::Entry;
use crate::sync::once::OnceWord;
use crate::time::Deadline;

/// Something to be done once: it makes two numbers 7. Each step is one of `Once::call`.
#[derive(Default)]
struct Task {
    word: OnceWord,
    first: Guarded<u32>,
    second: Guarded<u32>,
    /// How many began it.
    begun: Cell<u32>,
}

impl Task {
    /// Does it, or waits for whoever does; tells whether this call did.
    fn call(&self, by: &Participant) -> bool {
        let done = !self.word.is_done() && self.call_slow(by);
        assert_eq!((self.first.get(), self.second.get()), (7, 7), "returned before it was done");
        done
    }

    fn call_slow(&self, by: &Participant) -> bool {
        let lock = &self.word.lock;
        let entry = if lock.acquire_fast(by.owner()) {
            Entry::Clean
        } else {
            lock.acquire_slow(by, by.owner(), Deadline::Never).expect("waits as long as it takes")
        };
        let does = !self.word.is_done();
        if does {
            assert!(entry != Entry::Clean || self.begun.get() == 0, "begun again, and nobody was told");
            self.begun.set(self.begun.get() + 1);
            self.first.set(7);
            step();
            self.second.set(7);
            self.word.finish();
        }
        lock.make_consistent();
        assert!(lock.release(by, by.owner()));
        does
    }
}

#[test]
fn one_of_three_does_it_and_all_see_what_was_done() {
    explore(2, |world| {
        let task = Rc::new(Task::default());
        let others = [1, 2].map(|id| {
            let task = Rc::clone(&task);
            world.spawn(id, move |me| {
                task.call(me);
            })
        });
        task.call(&world.participant(3));
        join(others);
        assert_eq!(task.begun.get(), 1);
    });
}

#[test]
fn whenever_the_one_who_does_it_is_killed_another_does_it() {
    kill_at_every_step(1, |world, fated| {
        let task = Rc::new(Task::default());
        world.spawn_fated(1, fated, {
            let task = Rc::clone(&task);
            move |me| {
                task.call(me);
            }
        });
        let other = world.spawn(2, {
            let task = Rc::clone(&task);
            move |me| {
                task.call(me);
            }
        });
        assert!(!task.call(&world.participant(3)) || task.begun.get() <= 2);
        other.join();
        assert!(task.begun.get() <= 2, "done twice by those who live");
    });
}
