//! Objects and their calls as a deterministic state machine: no clock, no input, no output, one thread.
//!
//! A call either is done at once or becomes a parked waiter, which some later call, a deadline or a client's end
//! finishes. So every call is atomic, and one thread serves everybody. What comes of calls is taken by
//! [`Store::take_answers`].

use std::collections::BTreeSet;

mod arguments;
mod barrier;
mod body;
mod condition;
mod datum;
mod describe;
mod dict;
mod event;
mod fault;
mod list;
mod lock;
mod number;
mod own;
mod queue;
mod root;
mod rwlock;
mod semaphore;
#[cfg(test)]
mod tests;
mod world;

use arguments::Arguments;
pub(crate) use body::{Glance, Look};
use datum::{Charge, Token};
pub(crate) use fault::Fault;
pub(crate) use own::Types;
pub use own::{CallArguments, CallError, Managed, Returned};
pub(crate) use world::{Answer, Bounds, ClientId, Departure, Outcome};
use world::{Caller, Client, World};

use super::numbered::Numbered;
use super::wire::message::Request;

/// A reference on its way from one client to another.
struct Ticket {
    token: Token,
    until: u64,
    _charge: Charge,
}

pub(crate) struct Store {
    world: World,
    types: Types,
    tickets: Numbered<Ticket>,
    /// When they expire.
    expiry: BTreeSet<(u64, u64)>,
}

impl Store {
    pub(crate) fn new(bounds: Bounds, types: Types) -> Self {
        Store { world: World::new(bounds), types, tickets: Numbered::default(), expiry: BTreeSet::new() }
    }

    /// A client has come. Numbers are never used again.
    pub(crate) fn enter(&mut self, client: ClientId, who: &str) {
        self.world.clients.insert(client, Client { who: who.into(), ..Client::default() });
    }

    /// A client calls through rings from now on.
    pub(crate) fn note_rings(&mut self, client: ClientId) {
        if let Some(client) = self.world.clients.get_mut(&client) {
            client.has_rings = true;
        }
    }

    /// A client's call, at `now` nanoseconds. What comes of it, for whomever, is in [`take_answers`](Self::take_answers).
    #[cfg(any(test, fuzzing))]
    pub(crate) fn call(&mut self, now: u64, client: ClientId, request: &Request<'_>) {
        if let Some(outcome) = self.call_for(now, client, request) {
            self.world.answers.push(Answer { client, request: request.id, outcome });
        }
    }

    /// An object, to be looked at.
    #[inline]
    pub(crate) fn look(&self, object: u64) -> Option<Look<'_>> {
        Some(Look(self.world.objects.get(&object)?.body.as_ref()?.inner()))
    }

    /// The same, but for the answer to this call: that is returned, if it is wanted and there at once.
    pub(crate) fn call_for(&mut self, now: u64, client: ClientId, request: &Request<'_>) -> Option<Outcome> {
        self.advance(now);
        self.world.begin_work();
        let who = Caller { client, request: request.id, object: request.object };
        let outcome = match request.object {
            0 => {
                let mut arguments = Arguments::new(request.arguments, request.count);
                self.root(who, request.method, &mut arguments)
            }
            _ => self.world.call(who, request),
        };
        let outcome = match outcome {
            Ok(None) => None,
            Ok(Some(out)) => self.world.settle(client, request.id, Ok(out)),
            Err(fault) => self.world.settle(client, request.id, Err(fault)),
        };
        self.world.bury();
        outcome
    }

    /// Ends waits whose deadline has come, and tickets that nobody claimed.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64) {
        self.world.now = self.world.now.max(now);
        if self.next_deadline().is_some_and(|next| next <= self.world.now) {
            self.expire();
        }
    }

    /// Ends what is overdue.
    fn expire(&mut self) {
        while let Some((waiter, object)) = self.world.overdue() {
            let done =
                self.world.with_body(object, |body, world| body.inner_mut().expire(world, waiter, object));
            if let Err(fault) = done {
                self.world.finish(waiter, Err(fault));
            }
        }
        while let Some(&(until, ticket)) = self.expiry.first().filter(|&&(until, _)| until <= self.world.now)
        {
            self.expiry.remove(&(until, ticket));
            self.tickets.remove(&ticket);
            self.world.bury();
        }
    }

    /// When [`advance`](Self::advance) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let ticket = self.expiry.first().map(|&(until, _)| until);
        [self.world.next_deadline(), ticket].into_iter().flatten().min()
    }

    /// A client will get no answer any more: its waits end. What it holds stays its own until it [leaves](Self::leave).
    pub(crate) fn cut(&mut self, now: u64, client: ClientId) {
        self.advance(now);
        let Some(left) = self.world.clients.get_mut(&client) else { return };
        let waiters: Vec<_> = left.waiters.iter().copied().collect();
        waiters.into_iter().for_each(|waiter| self.drop_waiter(waiter, "died"));
        self.world.bury();
    }

    /// A client is no longer there: its waits end, what it held comes back, its references go.
    pub(crate) fn leave(&mut self, now: u64, client: ClientId, why: Departure) {
        self.cut(now, client);
        let Some(left) = self.world.clients.get_mut(&client) else { return };
        let mut holds: Vec<u64> = left.holds.drain().map(|(object, _)| object).collect();
        holds.sort_unstable();
        for object in holds {
            // An object that is gone has nothing to give back.
            let _ = self
                .world
                .with_body(object, |body, world| body.inner_mut().leave(world, client, object, why));
        }
        self.world.clients.remove(&client);
        self.world.bury();
    }

    /// Ends a client's parked call.
    fn cancel(&mut self, who: Caller, request: u64) {
        let Some(client) = self.world.clients.get(&who.client) else { return };
        let waiter = client.waiters.iter().copied().find(|waiter| {
            self.world.waiters.get(waiter).is_some_and(|parked| parked.request == request && request != 0)
        });
        if let Some(waiter) = waiter {
            self.drop_waiter(waiter, "left");
            let fault = Fault::new(Fault::CANCELLED, "the client cancelled the call");
            self.world.answer(who.client, request, Err(fault));
        }
    }

    fn drop_waiter(&mut self, waiter: u64, why: &'static str) {
        if let Some(parked) = self.world.unpark(waiter) {
            let object = parked.object;
            let _ = self
                .world
                .with_body(object, |body, world| body.inner_mut().forsake(world, waiter, object, why));
        }
    }

    /// Whether there is anything to be sent.
    #[inline]
    pub(crate) fn has_answers(&self) -> bool {
        !self.world.answers.is_empty()
    }

    /// What is to be sent, in order.
    pub(crate) fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.world.answers)
    }

    /// Takes an answer back that was sent, for its memory.
    pub(crate) fn reuse(&self, outcome: Outcome) {
        if let Ok(bytes) = outcome {
            self.world.reuse(bytes);
        }
    }

    /// Takes the empty list back, for its memory.
    pub(crate) fn reuse_answers(&mut self, answers: Vec<Answer>) {
        if self.world.answers.is_empty() && answers.is_empty() && answers.capacity() < 1 << 10 {
            self.world.answers = answers;
        }
    }

    /// How many elements the last call has touched.
    #[inline]
    pub(crate) fn worked(&self) -> usize {
        self.world.worked()
    }

    /// Whether any call of a client waits.
    pub(crate) fn is_waiting(&self, client: ClientId) -> bool {
        self.world.clients.get(&client).is_some_and(|client| !client.waiters.is_empty())
    }

    /// How many objects there are.
    pub(crate) fn objects(&self) -> usize {
        self.world.objects.len()
    }

    /// How many bytes are stored.
    pub(crate) fn bytes(&self) -> usize {
        self.world.meter.used()
    }
}
