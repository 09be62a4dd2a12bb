use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::model::{Participant, World, explore, join, kill_at_every_step};
use crate::sync::event::wait_for_signal;
use crate::sync::wait::Patience;
use crate::sync::waiters::{Place, Roll, Round, Unclaimed, WaiterEntry, Waiters};
use crate::time::Deadline;

/// A list of waiters.
struct List {
    roll: Roll,
    entries: [WaiterEntry; 3],
    unclaimed: Unclaimed,
}

impl List {
    fn new(unclaimed: Unclaimed) -> Rc<Self> {
        Rc::new(List { roll: Roll::default(), entries: Default::default(), unclaimed })
    }

    fn of<'a>(&'a self, me: &'a Participant) -> Waiters<'a, Participant> {
        Waiters {
            roll: &self.roll,
            entries: &self.entries,
            unclaimed: self.unclaimed,
            host: me,
            me: me.owner().id(),
        }
    }

    /// A place for a participant whose thread comes later.
    fn place(&self, world: &Arc<World>, id: u32) -> Place {
        self.of(&world.participant(id)).register().expect("there is room")
    }

    fn wait(&self, me: &Participant, place: Place) {
        let waiters = self.of(me);
        let mut patience = Patience::in_line(me, &self.roll.watch, me.owner().id(), Deadline::Never);
        while waiters.wait(place, &mut patience, Deadline::Never) != Round::Granted {}
    }

    /// Whether the place was granted; gives it up.
    fn was_granted(&self, world: &Arc<World>, id: u32, place: Place) -> bool {
        self.of(&world.participant(id)).leave(place)
    }
}

#[test]
fn each_grant_reaches_a_waiter() {
    explore(2, |world| {
        let list = List::new(Unclaimed::Dropped);
        let waiters = [1, 2].map(|id| {
            let (place, list) = (list.place(world, id), Rc::clone(&list));
            world.spawn(id, move |me| {
                list.wait(me, place);
                assert!(list.of(me).leave(place));
            })
        });
        let me = world.participant(3);
        assert_eq!(list.of(&me).grant(1), 1);
        assert_eq!(list.of(&me).grant(1), 1);
        join(waiters);
    });
}

#[test]
fn two_grants_at_once_reach_two_waiters() {
    explore(2, |world| {
        let list = List::new(Unclaimed::Dropped);
        let waiters = [1, 2].map(|id| {
            let (place, list) = (list.place(world, id), Rc::clone(&list));
            world.spawn(id, move |me| {
                list.wait(me, place);
                assert!(list.of(me).leave(place));
            })
        });
        assert_eq!(list.of(&world.participant(3)).grant(2), 2);
        join(waiters);
    });
}

#[test]
fn a_waiter_that_gives_up_passes_its_grant_on() {
    explore(2, |world| {
        let list = List::new(Unclaimed::Dropped);
        let hasty = {
            let (place, list) = (list.place(world, 1), Rc::clone(&list));
            world.spawn(1, move |me| list.of(me).abandon(place))
        };
        let patient = {
            let (place, list) = (list.place(world, 2), Rc::clone(&list));
            world.spawn(2, move |me| {
                list.wait(me, place);
                assert!(list.of(me).leave(place));
            })
        };
        assert_eq!(list.of(&world.participant(3)).grant(1), 1);
        join([hasty, patient]);
    });
}

#[test]
fn a_sleeper_that_gives_up_while_it_is_woken_passes_its_grant_on() {
    explore(2, |world| {
        let list = List::new(Unclaimed::Dropped);
        let (asleep, patient) = (list.place(world, 1), list.place(world, 2));
        assert!(list.of(&world.participant(1)).park(asleep).is_some());
        let hasty = {
            let list = Rc::clone(&list);
            world.spawn(1, move |me| list.of(me).abandon(asleep))
        };
        assert_eq!(list.of(&world.participant(3)).grant(1), 1);
        hasty.join();
        assert!(list.was_granted(world, 2, patient), "the grant got lost");
    });
}

#[test]
fn whenever_a_granted_waiter_is_killed_two_sweepers_pass_its_grant_on_once() {
    kill_at_every_step(2, |world, fated| {
        let list = List::new(Unclaimed::Dropped);
        let places = [1, 2, 3].map(|id| list.place(world, id));
        assert_eq!(list.of(&world.participant(3)).grant(1), 1);
        let consumed = Rc::new(Cell::new(false));
        world.spawn_fated(1, fated, {
            let (list, consumed) = (Rc::clone(&list), Rc::clone(&consumed));
            move |me| {
                list.wait(me, places[0]);
                consumed.set(list.of(me).leave(places[0]));
            }
        });
        world.await_end(1);
        // Nobody but the waiter has acted: its place is free if and only if it consumed the grant.
        let free = !list.entries[0].is_signal() && !list.is_waiting(0);
        assert!(free || !consumed.get());
        let sweeper = world.spawn(2, {
            let list = Rc::clone(&list);
            move |me| list.of(me).sweep(true)
        });
        list.of(&world.participant(3)).sweep(true);
        sweeper.join();
        assert_eq!(list.was_granted(world, 2, places[1]), !free);
        assert!(!list.was_granted(world, 3, places[2]), "doubled");
    });
}

#[test]
fn whenever_an_adopter_is_killed_the_grant_is_passed_on_once() {
    kill_at_every_step(2, |world, fated| {
        let list = List::new(Unclaimed::Dropped);
        let dead = list.place(world, 1);
        let places = [3, 3].map(|id| list.place(world, id));
        assert_eq!(list.of(&world.participant(3)).grant(1), 1);
        world.kill(1);
        let _ = dead;
        world.spawn_fated(2, fated, {
            let list = Rc::clone(&list);
            move |me| list.of(me).sweep(true)
        });
        list.of(&world.participant(3)).sweep(true);
        world.await_end(2);
        list.of(&world.participant(3)).sweep(true);
        assert!(list.was_granted(world, 3, places[0]), "lost");
        assert!(!list.was_granted(world, 3, places[1]), "doubled");
    });
}

#[test]
fn whenever_a_granter_is_killed_the_next_grant_still_wakes() {
    kill_at_every_step(1, |world, fated| {
        let list = List::new(Unclaimed::Dropped);
        let waiter = {
            let (place, list) = (list.place(world, 2), Rc::clone(&list));
            world.spawn(2, move |me| {
                list.wait(me, place);
                assert!(list.of(me).leave(place));
            })
        };
        world.spawn_fated(1, fated, {
            let list = Rc::clone(&list);
            move |me| {
                list.of(me).grant(1);
            }
        });
        list.of(&world.participant(3)).grant(1);
        waiter.join();
    });
}

#[test]
fn a_signal_and_a_waiter_find_each_other() {
    explore(3, |world| {
        let list = List::new(Unclaimed::Kept);
        let waiter = world.spawn(1, {
            let list = Rc::clone(&list);
            move |me| assert_eq!(wait_for_signal(&list.of(me), Deadline::Never), Ok(true))
        });
        list.of(&world.participant(2)).signal();
        waiter.join();
        assert!(!list.of(&world.participant(2)).take_signal(), "doubled");
    });
}

#[test]
fn a_signal_reaches_one_of_two_waiters_and_the_next_the_other() {
    explore(2, |world| {
        let list = List::new(Unclaimed::Kept);
        let waiters = [1, 2].map(|id| {
            let list = Rc::clone(&list);
            world.spawn(id, move |me| assert_eq!(wait_for_signal(&list.of(me), Deadline::Never), Ok(true)))
        });
        let me = world.participant(3);
        list.of(&me).signal();
        while list.entries[0].is_signal() {
            loom::thread::yield_now();
        }
        list.of(&me).signal();
        join(waiters);
    });
}

impl List {
    fn is_waiting(&self, index: usize) -> bool {
        WaiterEntry::count_waiting(&self.entries[index..=index]) == 1
    }
}
