use std::rc::Rc;

use crate::atomic::Ordering::{Acquire, Relaxed};
use crate::model::{Guarded, explore, join, kill_at_every_step};
use crate::sync::event_word::EventWord;
use crate::sync::latch::LatchWord;
use crate::time::Deadline;

#[test]
fn a_set_releases_all_who_wait_and_they_see_what_was_done_before() {
    explore(3, |world| {
        let event = Rc::new((EventWord::default(), Guarded::new(0)));
        let waiters = [1, 2].map(|id| {
            let event = Rc::clone(&event);
            world.spawn(id, move |me| {
                let before = event.0.look();
                assert!(before.is_set() || event.0.wait(me, before, Deadline::Never));
                assert_eq!(event.1.get(), 7);
            })
        });
        event.1.set(7);
        event.0.set(&world.participant(3));
        join(waiters);
    });
}

#[test]
fn a_set_that_is_cleared_at_once_still_releases_who_waited() {
    explore(4, |world| {
        let event = Rc::new(EventWord::default());
        let before = event.look();
        let waiter = world.spawn(1, {
            let event = Rc::clone(&event);
            move |me| assert!(event.wait(me, before, Deadline::Never))
        });
        event.set(&world.participant(2));
        event.clear();
        waiter.join();
        assert!(!event.look().is_set());
    });
}

#[test]
fn whenever_a_setter_is_killed_the_next_set_releases_all() {
    kill_at_every_step(2, |world, fated| {
        let event = Rc::new(EventWord::default());
        let before = event.look();
        let waiter = world.spawn(2, {
            let event = Rc::clone(&event);
            move |me| assert!(event.wait(me, before, Deadline::Never))
        });
        world.spawn_fated(1, fated, {
            let event = Rc::clone(&event);
            move |me| event.set(me)
        });
        event.set(&world.participant(3));
        waiter.join();
    });
}

#[test]
fn a_latch_opens_with_the_last_and_shows_what_all_did() {
    explore(3, |world| {
        let latch = Rc::new((LatchWord::default(), [Guarded::new(0), Guarded::new(0)]));
        latch.0.count.store(2, Relaxed);
        let workers = [1, 2].map(|id| {
            let latch = Rc::clone(&latch);
            world.spawn(id, move |me| {
                latch.1[id as usize - 1].set(1);
                latch.0.count_down(me, 1).expect("two in all");
            })
        });
        assert!(latch.0.wait(&world.participant(3), Deadline::Never));
        assert_eq!(latch.1[0].get() + latch.1[1].get(), 2);
        join(workers);
    });
}

#[test]
fn whenever_one_who_counts_down_is_killed_it_has_counted_or_it_has_not() {
    kill_at_every_step(2, |world, fated| {
        let latch = Rc::new((LatchWord::default(), Guarded::new(0)));
        latch.0.count.store(2, Relaxed);
        world.spawn_fated(1, fated, {
            let latch = Rc::clone(&latch);
            move |me| {
                latch.1.set(1);
                latch.0.count_down(me, 1).expect("two in all");
            }
        });
        let waiter = world.spawn(2, {
            let latch = Rc::clone(&latch);
            move |me| assert!(latch.0.wait(me, Deadline::Never))
        });
        world.await_end(1);
        let me = world.participant(3);
        let left = latch.0.count.load(Acquire);
        assert!((1..=2).contains(&left));
        latch.0.count_down(&me, left).expect("nobody else counts");
        waiter.join();
        assert!(left == 2 || latch.1.get() == 1, "counted, and what was done before is not seen");
    });
}
