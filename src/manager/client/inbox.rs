//! Who waits for which reply, and who reads them.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};

use super::channel::Incoming;
use super::link::Received;
use crate::manager::error::ManagerResult;
use crate::manager::numbered::Numbered;

/// A reply and the number of the request that it is to.
pub(super) type Told = (u64, ManagerResult<Received>);

/// A call whose reply somebody may read for somebody else.
#[derive(Default)]
struct Slot {
    outcome: Option<ManagerResult<Received>>,
    /// Its waiter sleeps here, unless it is the reader or has not come yet.
    sleeper: Option<Arc<Condvar>>,
}

/// What the threads of a connection share.
pub(super) struct Inbox {
    slots: Numbered<Slot>,
    /// How many of them have a sleeper.
    sleepers: usize,
    /// The end that is read from; whoever has taken it is the reader.
    pub(super) incoming: Option<Box<Incoming>>,
    /// How many readers there have been.
    pub(super) turn: u64,
    /// Why nothing will come any more.
    pub(super) dead: Option<String>,
}

/// How far the reply to a request has come.
pub(super) enum Stand {
    Here(ManagerResult<Received>),
    Awaited,
    /// Nobody has registered for it, or it was taken.
    Unknown,
}

impl Inbox {
    pub(super) fn new(incoming: Incoming) -> Self {
        let incoming = Some(Box::new(incoming));
        Inbox { slots: Numbered::default(), sleepers: 0, incoming, turn: 0, dead: None }
    }

    /// Replies to these requests are kept until they are taken.
    pub(super) fn register(&mut self, ids: impl Iterator<Item = u64>) {
        self.slots.extend(ids.map(|id| (id, Slot::default())));
    }

    /// Takes the reply to a request, if it has come.
    pub(super) fn take(&mut self, id: u64) -> Stand {
        match self.slots.entry(id) {
            Entry::Occupied(entry) if entry.get().outcome.is_some() => match entry.remove().outcome {
                Some(outcome) => Stand::Here(outcome),
                None => Stand::Unknown,
            },
            Entry::Occupied(_) => Stand::Awaited,
            Entry::Vacant(_) => Stand::Unknown,
        }
    }

    /// Nobody will ask for this reply; what there was of it.
    pub(super) fn forget(&mut self, id: u64) -> Option<ManagerResult<Received>> {
        self.slots.remove(&id).and_then(|slot| slot.outcome)
    }

    /// Puts a reply where its waiter finds it; what nobody wants is given back, to be dropped without the lock.
    pub(super) fn hand_out(&mut self, (id, outcome): Told) -> Option<ManagerResult<Received>> {
        let Some(slot) = self.slots.get_mut(&id) else { return Some(outcome) };
        let before = slot.outcome.replace(outcome);
        if let Some(sleeper) = &slot.sleeper {
            sleeper.notify_one();
        }
        before
    }

    /// Somebody has to read from now on, if anybody waits.
    pub(super) fn wake_a_reader(&self) {
        if self.sleepers > 0 {
            let mut waiting = self.slots.values().filter(|slot| slot.outcome.is_none());
            if let Some(sleeper) = waiting.find_map(|slot| slot.sleeper.as_ref()) {
                sleeper.notify_one();
            }
        }
    }

    /// Nothing will come any more: all who wait find out.
    pub(super) fn die(&mut self, reason: String) {
        self.dead.get_or_insert(reason);
        self.slots.values().filter_map(|slot| slot.sleeper.as_ref()).for_each(|s| s.notify_one());
    }
}

/// Sleeps until the reply to a request has come, or somebody has to read.
pub(super) fn sleep(mut inbox: MutexGuard<'_, Inbox>, id: u64) -> MutexGuard<'_, Inbox> {
    let sleeper = Arc::new(Condvar::new());
    if let Some(slot) = inbox.slots.get_mut(&id) {
        slot.sleeper = Some(Arc::clone(&sleeper));
        inbox.sleepers += 1;
    }
    inbox = sleeper.wait(inbox).unwrap_or_else(PoisonError::into_inner);
    if let Some(slot) = inbox.slots.get_mut(&id)
        && slot.sleeper.take().is_some()
    {
        inbox.sleepers -= 1;
    }
    inbox
}
