use std::rc::Rc;

use crate::cause::Cause;
use crate::model::{Guarded, Participant, explore, join, kill_at_every_step, step};
use crate::sync::lock_word::{Entry, Fault};
use crate::sync::rwlock_word::RwWord;
use crate::sync::wait::Turn;
use crate::time::Deadline;

/// A lock and what it protects: two numbers that are equal in good order. Each step is one of `RwLock`.
#[derive(Default)]
struct Locked {
    word: RwWord,
    first: Guarded<u32>,
    second: Guarded<u32>,
}

impl Locked {
    fn own(&self, by: &Participant, deadline: Deadline) -> Result<Entry, Fault> {
        if self.word.writer().acquire_fast(by.owner()) {
            return Ok(Entry::Clean);
        }
        self.word.writer().acquire_slow(by, by.owner(), deadline)
    }

    fn disown(&self, by: &Participant) {
        assert!(self.word.writer().release(by, by.owner()));
    }

    /// Counts the caller in; the entry, and what it is told.
    fn enter(&self, by: &Participant) -> (usize, Option<Cause>) {
        let id = by.owner().id();
        let home = id as usize % 2;
        if self.word.enter_at(home, id) {
            if self.word.is_open() {
                return (home, None);
            }
            self.word.leave(by, home);
        }
        let mut patience = self.word.reader_patience(by, id, Deadline::Never);
        loop {
            if self.word.look_in().is_some() {
                let entry = self.word.enter(by, id, home).expect("an entry for each");
                if let Some(told) = self.word.look_in() {
                    if patience.has_slept() {
                        self.word.pass_on(by);
                    }
                    return (entry, told);
                }
                self.word.leave(by, entry);
            }
            let turn = self.word.wait_for_writer(&mut patience, by.owner(), Deadline::Never);
            if turn.expect("waits as long as it takes") == Turn::HolderGone
                && let Ok(entry) = self.own(by, Deadline::Now)
            {
                self.word.settle(entry);
                self.disown(by);
            }
        }
    }

    fn read(&self, by: &Participant) -> u32 {
        let (entry, told) = self.enter(by);
        let (first, second) = (self.first.get(), self.second.get());
        assert!(told.is_some() || first == second, "torn, and nobody said so");
        self.word.leave(by, entry);
        first
    }

    fn write(&self, by: &Participant) {
        let entry = self.own(by, Deadline::Never).expect("waits as long as it takes");
        let told = self.word.settle(entry);
        self.word.drain(by, by.owner().id(), Deadline::Never).expect("waits as long as it takes");
        self.word.begin(by.owner().id());
        match told {
            None => assert_eq!(self.first.get(), self.second.get(), "torn, and nobody said so"),
            Some(cause) => {
                assert_eq!(cause, Cause::Died);
                self.second.set(self.first.get());
                self.word.make_consistent();
            }
        }
        self.first.set(self.first.get() + 1);
        step();
        self.second.set(self.second.get() + 1);
        self.word.end();
        self.disown(by);
    }
}

#[test]
fn a_reader_and_a_writer_are_never_both_inside() {
    explore(4, |world| {
        let locked = Rc::new(Locked::default());
        let writer = world.spawn(1, {
            let locked = Rc::clone(&locked);
            move |me| locked.write(me)
        });
        let me = world.participant(2);
        assert!(locked.read(&me) <= locked.read(&me));
        writer.join();
        assert_eq!(locked.read(&me), 1);
    });
}

#[test]
fn two_writers_and_a_reader_wake_each_other() {
    explore(2, |world| {
        let locked = Rc::new(Locked::default());
        let writers = [1, 2].map(|id| {
            let locked = Rc::clone(&locked);
            world.spawn(id, move |me| locked.write(me))
        });
        locked.read(&world.participant(3));
        join(writers);
        assert_eq!(locked.first.get(), 2);
    });
}

#[test]
fn two_readers_and_a_writer_wake_each_other() {
    explore(2, |world| {
        let locked = Rc::new(Locked::default());
        let readers = [1, 2].map(|id| {
            let locked = Rc::clone(&locked);
            world.spawn(id, move |me| {
                locked.read(me);
            })
        });
        locked.write(&world.participant(3));
        join(readers);
        assert_eq!(locked.word.readers(), 0);
    });
}

#[test]
fn whenever_a_writer_is_killed_the_others_are_told_if_it_was_inside() {
    kill_at_every_step(1, |world, fated| {
        let locked = Rc::new(Locked::default());
        world.spawn_fated(1, fated, {
            let locked = Rc::clone(&locked);
            move |me| locked.write(me)
        });
        let reader = world.spawn(2, {
            let locked = Rc::clone(&locked);
            move |me| {
                locked.read(me);
            }
        });
        locked.write(&world.participant(3));
        reader.join();
    });
}

#[test]
fn whenever_a_reader_is_killed_the_writer_gets_in() {
    kill_at_every_step(2, |world, fated| {
        let locked = Rc::new(Locked::default());
        world.spawn_fated(1, fated, {
            let locked = Rc::clone(&locked);
            move |me| {
                locked.read(me);
            }
        });
        let me = world.participant(2);
        locked.write(&me);
        locked.write(&me);
    });
}
