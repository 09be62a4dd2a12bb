use std::rc::Rc;

use crate::atomic::{AtomicU32, AtomicU64};
use crate::model::{Guarded, Participant, explore, join, kill_at_every_step};
use crate::participant::{Fate, Host};
use crate::sync::event_count::EventCount;
use crate::sync::semaphore_bank::{Bank, BankWord, Books, holding};
use crate::sync::semaphore_slots::{Layout, Slots};
use crate::sync::wait::Patience;
use crate::time::Deadline;

/// One permit in a slot, as `Pool` uses it, and what it protects.
struct Single {
    slots: Vec<AtomicU32>,
    events: EventCount,
    data: Guarded<u32>,
}

impl Single {
    fn new() -> Rc<Self> {
        let single = Single {
            slots: (0..1).map(|_| AtomicU32::default()).collect(),
            events: EventCount::default(),
            data: Guarded::default(),
        };
        single.slots().fill(1);
        Rc::new(single)
    }

    fn slots(&self) -> Slots<'_> {
        Slots { words: &self.slots, layout: Layout::new(1, true) }
    }

    fn acquire(&self, me: &Participant) -> u32 {
        let id = me.owner().id();
        let mut patience = Patience::without_watch(me, Deadline::Never);
        loop {
            let ticket = self.events.prepare();
            if let Some(index) = self.slots().take(id, 0) {
                return index;
            }
            self.events.wait(&mut patience, ticket);
            let owner = self.slots().owner(0);
            if owner != 0 && me.fate(owner) == Fate::Gone && self.slots().reclaim(0, owner) {
                self.events.notify(me, 1);
            }
        }
    }

    fn use_once(&self, me: &Participant) {
        let index = self.acquire(me);
        self.data.set(self.data.get() + 1);
        assert!(self.slots().give(index, me.owner().id()));
        self.events.notify(me, 1);
    }
}

#[test]
fn a_permit_goes_round_among_three() {
    explore(2, |world| {
        let single = Single::new();
        let others = [1, 2].map(|id| {
            let single = Rc::clone(&single);
            world.spawn(id, move |me| single.use_once(me))
        });
        single.use_once(&world.participant(3));
        join(others);
        assert_eq!(single.data.get(), 3);
        assert_eq!(single.slots().free(), 1);
    });
}

#[test]
fn whenever_an_owner_is_killed_its_permit_comes_back() {
    kill_at_every_step(2, |world, fated| {
        let single = Single::new();
        world.spawn_fated(1, fated, {
            let single = Rc::clone(&single);
            move |me| single.use_once(me)
        });
        let other = world.spawn(2, {
            let single = Rc::clone(&single);
            move |me| single.use_once(me)
        });
        single.use_once(&world.participant(3));
        other.join();
    });
}

/// Permits in a bank, as `Pool` uses it.
#[derive(Default)]
struct Vault {
    word: BankWord,
    accounts: [AtomicU64; 2],
    slots: [AtomicU32; 16],
}

impl Vault {
    fn open<'a>(&'a self, me: &'a Participant) -> Books<'a, Participant> {
        let slots = Slots { words: &self.slots, layout: Layout::new(0, true) };
        let bank = Bank { word: &self.word, accounts: &self.accounts, slots, host: me };
        bank.open(me.owner(), Deadline::Never).ok().expect("waits as long as it takes")
    }

    /// Takes a permit and gives it back.
    fn use_once(&self, me: &Participant) {
        let id = me.owner().id();
        let index = self.open(me).take(id).expect("a permit for each");
        assert!(self.open(me).give(index, id));
    }

    /// Permits that are free, and permits that somebody owns.
    fn total(&self) -> u64 {
        self.word.free() + self.accounts.iter().map(|account| holding(account).1).sum::<u64>()
    }
}

#[test]
fn two_users_of_a_bank_lose_no_permit() {
    explore(2, |world| {
        let vault = Rc::new(Vault::default());
        vault.word.fill(2);
        let other = world.spawn(1, {
            let vault = Rc::clone(&vault);
            move |me| vault.use_once(me)
        });
        vault.use_once(&world.participant(2));
        other.join();
        assert_eq!(vault.word.free(), 2);
    });
}

#[test]
fn whenever_a_user_of_a_bank_is_killed_no_permit_is_lost_or_doubled() {
    kill_at_every_step(1, |world, fated| {
        let vault = Rc::new(Vault::default());
        vault.word.fill(2);
        world.spawn_fated(1, fated, {
            let vault = Rc::clone(&vault);
            move |me| vault.use_once(me)
        });
        let me = world.participant(2);
        vault.use_once(&me);
        let books = vault.open(&me);
        assert_eq!(vault.total(), 2);
        for (index, account) in vault.accounts.iter().enumerate() {
            if holding(account).0 == 1 && me.fate(1) == Fate::Gone {
                books.bury(index, 1);
                assert_eq!(vault.word.free(), 2);
            }
        }
    });
}
