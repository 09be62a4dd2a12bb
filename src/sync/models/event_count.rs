use std::rc::Rc;
use std::sync::Arc;

use crate::atomic::{AtomicU32, Ordering::*};
use crate::model::{Fated, Participant, Running, World, explore, join, kill_at_every_step};
use crate::sync::event_count::EventCount;
use crate::sync::wait::Patience;
use crate::time::Deadline;

/// Tokens to take, and the word that those sleep on who find none.
#[derive(Default)]
struct Tokens {
    left: AtomicU32,
    events: EventCount,
}

impl Tokens {
    fn put(&self, by: &Participant, count: u32) {
        // SeqCst: pair ANNOUNCE of the event count.
        self.left.fetch_add(count, SeqCst);
        self.events.notify(by, count);
    }

    fn try_take(&self) -> bool {
        let mut left = self.left.load(SeqCst);
        while left > 0 {
            match self.left.compare_exchange(left, left - 1, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(found) => left = found,
            }
        }
        false
    }

    fn take(&self, by: &Participant) {
        let mut patience = Patience::without_watch(by, Deadline::Never);
        while !self.try_take() {
            let ticket = self.events.prepare();
            if self.try_take() {
                return;
            }
            self.events.wait(&mut patience, ticket);
        }
    }
}

fn takers(world: &Arc<World>, tokens: &Rc<Tokens>) -> [Running; 2] {
    [1, 2].map(|id| {
        let tokens = Rc::clone(tokens);
        world.spawn(id, move |me| tokens.take(me))
    })
}

#[test]
fn one_token_at_a_time_wakes_everybody_who_is_needed() {
    explore(3, |world| {
        let tokens = Rc::new(Tokens::default());
        let takers = takers(world, &tokens);
        let me = world.participant(3);
        tokens.put(&me, 1);
        tokens.put(&me, 1);
        join(takers);
    });
}

#[test]
fn two_tokens_at_once_wake_two() {
    explore(3, |world| {
        let tokens = Rc::new(Tokens::default());
        let takers = takers(world, &tokens);
        tokens.put(&world.participant(3), 2);
        join(takers);
    });
}

#[test]
fn a_flag_wakes_all() {
    explore(3, |world| {
        let flag = Rc::new((AtomicU32::new(0), EventCount::default()));
        let waiters = [1, 2].map(|id| {
            let flag = Rc::clone(&flag);
            world.spawn(id, move |me| await_flag(&flag, me))
        });
        flag.0.store(1, SeqCst);
        flag.1.notify_all(&world.participant(3));
        join(waiters);
    });
}

fn await_flag((flag, events): &(AtomicU32, EventCount), me: &Participant) {
    let mut patience = Patience::without_watch(me, Deadline::Never);
    while flag.load(SeqCst) == 0 {
        let ticket = events.prepare();
        if flag.load(SeqCst) != 0 {
            return;
        }
        events.wait(&mut patience, ticket);
    }
}

#[test]
fn two_notifiers_do_not_lose_each_others_wake_ups() {
    explore(3, |world| {
        let tokens = Rc::new(Tokens::default());
        let puts = [1, 2].map(|id| {
            let tokens = Rc::clone(&tokens);
            world.spawn(id, move |me| tokens.put(me, 1))
        });
        let me = world.participant(3);
        tokens.take(&me);
        tokens.take(&me);
        join(puts);
    });
}

#[test]
fn whenever_a_notifier_is_killed_slices_find_what_it_published() {
    kill_at_every_step(3, notify_or_die);
}

fn notify_or_die(world: &Arc<World>, fated: Fated) {
    let tokens = Rc::new(Tokens::default());
    world.spawn_fated(1, fated, {
        let tokens = Rc::clone(&tokens);
        move |me| tokens.put(me, 1)
    });
    let taker = world.spawn(2, {
        let tokens = Rc::clone(&tokens);
        move |me| tokens.take(me)
    });
    // A second token: were the first one published or not, the taker gets one of them.
    tokens.put(&world.participant(3), 1);
    taker.join();
}

#[test]
fn whenever_a_sleeper_is_killed_the_others_are_woken() {
    kill_at_every_step(2, |world, fated| {
        let tokens = Rc::new(Tokens::default());
        world.spawn_fated(1, fated, {
            let tokens = Rc::clone(&tokens);
            move |me| tokens.take(me)
        });
        let taker = world.spawn(2, {
            let tokens = Rc::clone(&tokens);
            move |me| tokens.take(me)
        });
        let me = world.participant(3);
        tokens.put(&me, 1);
        tokens.put(&me, 1);
        taker.join();
    });
}
