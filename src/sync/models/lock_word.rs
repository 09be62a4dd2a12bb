use std::rc::Rc;

use crate::cause::Cause;
use crate::model::{Guarded, Participant, explore, join, kill_at_every_step, step};
use crate::sync::lock_word::{Entry, Fault, LockWord};
use crate::time::Deadline;

/// A word and what it protects: two numbers that are equal in good order.
#[derive(Default)]
struct Locked {
    word: LockWord,
    first: Guarded<u32>,
    second: Guarded<u32>,
}

impl Locked {
    fn acquire(&self, by: &Participant, deadline: Deadline) -> Result<Entry, Fault> {
        if self.word.acquire_fast(by.owner()) {
            return Ok(Entry::Clean);
        }
        self.word.acquire_slow(by, by.owner(), deadline)
    }

    fn release(&self, by: &Participant) {
        assert!(self.word.release(by, by.owner()), "the owner could not release");
    }

    /// Adds one to both numbers; may be killed in the middle.
    fn add(&self) {
        self.first.set(self.first.get() + 1);
        step();
        self.second.set(self.second.get() + 1);
    }

    /// Acquires, checks that it was told the truth, repairs if `repair`, adds and releases.
    fn use_once(&self, by: &Participant, repair: bool) -> Entry {
        let entry = self.acquire(by, Deadline::Never).expect("waits as long as it takes");
        match entry {
            Entry::Clean => assert_eq!(self.first.get(), self.second.get(), "torn, and nobody said so"),
            Entry::Inconsistent(cause) => {
                assert_eq!(cause, Cause::Died);
                self.second.set(self.first.get());
                if repair {
                    self.word.make_consistent();
                }
            }
        }
        self.add();
        self.release(by);
        entry
    }
}

#[test]
fn two_owners_exclude_each_other_and_see_each_others_data() {
    explore(5, |world| {
        let locked = Rc::new(Locked::default());
        let other = world.spawn(1, {
            let locked = Rc::clone(&locked);
            move |me| {
                locked.use_once(me, true);
                locked.use_once(me, true);
            }
        });
        let me = world.participant(2);
        locked.use_once(&me, true);
        locked.use_once(&me, true);
        other.join();
        assert_eq!(locked.first.get(), 4);
        assert_eq!(locked.word.snapshot().bits, 0, "free and forgotten");
    });
}

#[test]
fn no_wake_up_is_lost_among_three() {
    explore(3, |world| {
        let locked = Rc::new(Locked::default());
        let others = [1, 2].map(|id| {
            let locked = Rc::clone(&locked);
            world.spawn(id, move |me| {
                locked.use_once(me, true);
            })
        });
        locked.use_once(&world.participant(3), true);
        join(others);
        assert_eq!(locked.first.get(), 3);
    });
}

#[test]
fn a_waiter_that_gives_up_takes_nobodys_wake_up_along() {
    explore(3, |world| {
        let locked = Rc::new(Locked::default());
        let owner = world.participant(3);
        locked.acquire(&owner, Deadline::Now).expect("nobody else is there");
        let hasty = world.spawn(1, {
            let locked = Rc::clone(&locked);
            move |me| match locked.acquire(me, Deadline::At(0)) {
                Ok(_) => locked.release(me),
                Err(fault) => assert_eq!(fault, Fault::TimedOut),
            }
        });
        let patient = world.spawn(2, {
            let locked = Rc::clone(&locked);
            move |me| {
                locked.use_once(me, true);
            }
        });
        locked.release(&owner);
        hasty.join();
        patient.join();
    });
}

#[test]
fn a_try_never_waits_and_never_gets_what_is_held() {
    explore(5, |world| {
        let locked = Rc::new(Locked::default());
        let other = world.spawn(1, {
            let locked = Rc::clone(&locked);
            move |me| {
                locked.use_once(me, true);
            }
        });
        let me = world.participant(2);
        match locked.acquire(&me, Deadline::Now) {
            Ok(_) => {
                locked.add();
                locked.release(&me);
            }
            Err(fault) => assert_eq!(fault, Fault::TimedOut),
        }
        other.join();
        assert_eq!(locked.first.get(), locked.second.get());
    });
}

#[test]
fn a_handed_over_lock_is_released_by_another_and_what_its_owner_wrote_is_seen() {
    explore(3, |world| {
        let locked = Rc::new(Locked::default());
        let owner = world.participant(3);
        locked.acquire(&owner, Deadline::Now).expect("nobody else is there");
        let waiter = world.spawn(1, {
            let locked = Rc::clone(&locked);
            move |me| {
                assert_eq!(locked.use_once(me, true), Entry::Clean);
                assert_eq!(locked.first.get(), 2);
            }
        });
        let releaser = world.spawn(2, {
            let locked = Rc::clone(&locked);
            move |me| {
                while locked.word.release_handed_over(me).is_err() {
                    loom::thread::yield_now();
                }
            }
        });
        locked.add();
        assert!(locked.word.hand_over(owner.owner()));
        assert!(!locked.word.release(&owner, owner.owner()), "it is nobody's any more");
        waiter.join();
        releaser.join();
    });
}

#[test]
fn a_panicked_owners_lock_is_told_until_repaired() {
    explore(3, |world| {
        let locked = Rc::new(Locked::default());
        let owner = world.participant(3);
        locked.acquire(&owner, Deadline::Now).expect("nobody else is there");
        let others = [1, 2].map(|id| {
            let locked = Rc::clone(&locked);
            world.spawn(id, move |me| {
                let entry = locked.acquire(me, Deadline::Never);
                assert_eq!(entry, Ok(Entry::Inconsistent(Cause::Panicked)));
                locked.release(me);
            })
        });
        assert!(locked.word.release_panicked(&owner, owner.owner()));
        join(others);
    });
}

#[test]
fn whenever_an_owner_is_killed_one_waiter_takes_over_and_both_are_told() {
    kill_at_every_step(2, |world, fated| {
        let locked = Rc::new(Locked::default());
        world.spawn_fated(1, fated, {
            let locked = Rc::clone(&locked);
            move |me| {
                locked.use_once(me, false);
            }
        });
        let other = world.spawn(2, {
            let locked = Rc::clone(&locked);
            move |me| {
                locked.use_once(me, false);
            }
        });
        let me = world.participant(3);
        let mine = locked.use_once(&me, false);
        other.join();
        let last = locked.use_once(&me, true);
        assert!(mine == Entry::Clean || last == mine, "nobody has made it consistent");
    });
}

#[test]
fn whenever_a_repairer_is_killed_the_next_is_told() {
    kill_at_every_step(3, |world, fated| {
        let locked = Rc::new(Locked::default());
        world.spawn_fated(1, fated, {
            let locked = Rc::clone(&locked);
            move |me| {
                // A panic before, so that there is something to repair.
                locked.acquire(me, Deadline::Never).expect("waits as long as it takes");
                locked.word.release_panicked(me, me.owner());
                locked.use_once_panicked(me);
            }
        });
        locked.use_once_panicked(&world.participant(2));
    });
}

impl Locked {
    /// As `use_once`, where somebody may have panicked.
    fn use_once_panicked(&self, by: &Participant) {
        match self.acquire(by, Deadline::Never).expect("waits as long as it takes") {
            Entry::Clean => assert_eq!(self.first.get(), self.second.get(), "torn, and nobody said so"),
            Entry::Inconsistent(_) => {
                self.second.set(self.first.get());
                self.word.make_consistent();
            }
        }
        self.add();
        self.release(by);
    }
}
