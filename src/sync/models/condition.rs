use std::rc::Rc;

use crate::model::{Guarded, Participant, explore, join, kill_at_every_step};
use crate::participant::{Fate, Host};
use crate::sync::condition::wait_in_line;
use crate::sync::lock_word::{Entry, LockWord};
use crate::sync::wait::Patience;
use crate::sync::waiters::{Roll, Unclaimed, WaiterEntry, Waiters};
use crate::time::Deadline;

/// Items under a condition's lock. Each step is one of `Condition`.
#[derive(Default)]
struct Store {
    lock: LockWord,
    roll: Roll,
    entries: [WaiterEntry; 3],
    items: Guarded<u32>,
}

impl Store {
    fn waiters<'a>(&'a self, me: &'a Participant) -> Waiters<'a, Participant> {
        let Store { roll, entries, .. } = self;
        Waiters { roll, entries, unclaimed: Unclaimed::Dropped, host: me, me: me.owner().id() }
    }

    /// Takes the lock; whoever takes it over from the dead tells everybody to look.
    fn lock(&self, by: &Participant) -> bool {
        let entry = if self.lock.acquire_fast(by.owner()) {
            Entry::Clean
        } else {
            self.lock.acquire_slow(by, by.owner(), Deadline::Never).expect("waits as long as it takes")
        };
        let told = entry != Entry::Clean;
        if told {
            self.lock.make_consistent();
            self.waiters(by).grant(u32::MAX);
        }
        told
    }

    fn unlock(&self, by: &Participant) {
        assert!(self.lock.release(by, by.owner()));
    }

    /// One wait, with the lock held; as `Condition::wait_until`.
    fn wait(&self, by: &Participant) {
        let waiters = self.waiters(by);
        let place = waiters.register().expect("there is room");
        self.unlock(by);
        let mut patience = Patience::new(by, &self.roll.watch, by.owner().id(), Deadline::Never);
        loop {
            let holder_is_gone = || {
                let holder = self.lock.snapshot().holder;
                holder != 0 && by.fate(holder) == Fate::Gone
            };
            let is_over = wait_in_line(&waiters, place, &mut patience, Deadline::Never, holder_is_gone);
            let told = self.lock(by);
            if told {
                waiters.abandon(place);
                return;
            }
            if !is_over && waiters.is_waiting(place) {
                self.unlock(by);
                continue;
            }
            waiters.leave(place);
            return;
        }
    }

    fn take(&self, by: &Participant) {
        self.lock(by);
        while self.items.get() == 0 {
            self.wait(by);
        }
        self.items.set(self.items.get() - 1);
        self.unlock(by);
    }

    fn put(&self, by: &Participant) {
        self.lock(by);
        self.items.set(self.items.get() + 1);
        self.waiters(by).grant(1);
        self.unlock(by);
    }
}

#[test]
fn a_notification_under_the_lock_is_not_missed() {
    explore(3, |world| {
        let store = Rc::new(Store::default());
        let taker = world.spawn(1, {
            let store = Rc::clone(&store);
            move |me| store.take(me)
        });
        store.put(&world.participant(2));
        taker.join();
        assert_eq!(store.items.get(), 0);
    });
}

#[test]
fn two_notifications_serve_two() {
    explore(1, |world| {
        let store = Rc::new(Store::default());
        let takers = [1, 2].map(|id| {
            let store = Rc::clone(&store);
            world.spawn(id, move |me| store.take(me))
        });
        let me = world.participant(3);
        store.put(&me);
        store.put(&me);
        join(takers);
        assert_eq!(store.items.get(), 0);
    });
}

#[test]
fn whenever_a_waiter_is_killed_its_notification_goes_to_the_other() {
    kill_at_every_step(1, |world, fated| {
        let store = Rc::new(Store::default());
        world.spawn_fated(1, fated, {
            let store = Rc::clone(&store);
            move |me| store.take(me)
        });
        let me = world.participant(3);
        let others_wait = |count| {
            while WaiterEntry::count_waiting(&store.entries) < count && me.fate(1) == Fate::Alive {
                loom::thread::yield_now();
            }
        };
        others_wait(1);
        let other = world.spawn(2, {
            let store = Rc::clone(&store);
            move |me| store.take(me)
        });
        others_wait(2);
        // For the first, while both wait.
        store.put(&me);
        world.await_end(1);
        // Instead of the other's later slices, which the model has not.
        store.waiters(&me).sweep(true);
        // Who was killed, or is done, may have taken the item; if not, it was notified of for the other.
        store.lock(&me);
        let taken = store.items.get() == 0;
        store.unlock(&me);
        if taken {
            store.put(&me);
        }
        other.join();
    });
}
