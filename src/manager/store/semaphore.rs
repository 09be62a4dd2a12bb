//! Semaphore and BoundedSemaphore: permits with owners, and permits without.

use std::collections::{BTreeMap, VecDeque};

use super::arguments::Timeout;
use super::body::{Behaviour, Call};
use super::datum::{Charge, Out};
use super::describe::{About, HOLDERS};
use super::fault::Fault;
use super::world::{Caller, ClientId, Departure, WaiterId, World};
use crate::manager::wire::pack;

/// Permits that a client owns.
struct Holding {
    client: ClientId,
    count: u64,
    _charge: Charge,
}

pub(crate) struct Semaphore {
    free: u64,
    /// As many permits as there may be.
    bound: u64,
    /// Permits that somebody owns, by the number of the holding.
    owned: BTreeMap<u64, Holding>,
    /// Permits of all of them.
    lent: u64,
    queue: VecDeque<(WaiterId, ClientId, u64)>,
}

impl Semaphore {
    pub(crate) fn new(free: u64, bounded: bool) -> Self {
        let bound = if bounded { free } else { u64::MAX };
        Semaphore { free, bound, owned: BTreeMap::new(), lent: 0, queue: VecDeque::new() }
    }

    /// Ends a holding; of how many permits.
    fn end(&mut self, fence: u64) -> Result<u64, Fault> {
        let gone = || Fault::new(Fault::NOT_HELD, format!("holding {fence} has ended"));
        let count = self.owned.remove(&fence).ok_or_else(gone)?.count;
        self.lent -= count;
        Ok(count)
    }

    fn acquire(
        &mut self,
        world: &mut World,
        who: Caller,
        count: u64,
        timeout: Timeout,
    ) -> Result<Option<Out>, Fault> {
        if count == 0 || count > self.bound {
            return Err(Fault::new(Fault::OUT_OF_RANGE, format!("1 to {} permits can be taken", self.bound)));
        }
        world.room_to_hold()?;
        // Whoever came before is served before, also where fewer permits would do now.
        if self.queue.is_empty() && self.free >= count {
            return Ok(Some(self.take(world, who.client, who.object, count)));
        }
        let waiter = world.park(who, timeout)?;
        self.queue.push_back((waiter, who.client, count));
        Ok(None)
    }

    fn take(&mut self, world: &mut World, client: ClientId, object: u64, count: u64) -> Out {
        self.free -= count;
        let fence = world.fence();
        self.lent += count;
        self.owned.insert(fence, Holding { client, count, _charge: world.holding() });
        world.note_holding(client, object);
        Out::with(|out| pack::uint(out, fence))
    }

    pub(crate) fn grant(&mut self, world: &mut World, object: u64) {
        while let Some(&(waiter, client, count)) = self.queue.front()
            && count <= self.free
        {
            self.queue.pop_front();
            let out = self.take(world, client, object, count);
            world.finish(waiter, Ok(out));
        }
    }
}

impl Behaviour for Semaphore {
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { world, who, method, arguments } = call;
        let who = *who;
        match *method {
            "acquire" => {
                let (count, timeout) = (arguments.uint()?, arguments.timeout()?);
                arguments.end()?;
                return self.acquire(world, who, count, timeout);
            }
            "release" => {
                let fence = arguments.uint()?;
                arguments.end()?;
                self.free += self.end(fence)?;
            }
            // The permits belong to nobody from now on: `add` gives them back.
            "forget" => {
                let fence = arguments.uint()?;
                arguments.end()?;
                self.end(fence)?;
            }
            "add" => {
                let count = arguments.uint()?;
                arguments.end()?;
                let sum = self.free.checked_add(self.lent).and_then(|sum| sum.checked_add(count));
                if sum.is_none_or(|sum| sum > self.bound) {
                    let message = format!("{count} permits more than {} are too many", self.bound);
                    return Err(Fault::new(Fault::OUT_OF_RANGE, message));
                }
                self.free += count;
            }
            "value" => return Ok(Some(Out::with(|out| pack::uint(out, self.free)))),
            _ => return Err(Fault::bad_call(format!("a semaphore has no method '{method}'"))),
        }
        self.grant(world, who.object);
        Ok(Some(Out::nil()))
    }

    fn forsake(&mut self, world: &mut World, waiter: WaiterId, object: u64, _why: &'static str) {
        self.queue.retain(|&(other, ..)| other != waiter);
        // The first in the queue may have been the one that all others waited behind.
        self.grant(world, object);
    }

    fn leave(&mut self, world: &mut World, client: ClientId, object: u64, _why: Departure) {
        let (free, lent) = (&mut self.free, &mut self.lent);
        self.owned.retain(|_, holding| {
            let back = if holding.client == client { holding.count } else { 0 };
            (*free, *lent) = (*free + back, *lent - back);
            holding.client != client
        });
        self.grant(world, object);
    }

    fn describe(&self, about: &mut About) {
        about.fact("free", self.free);
        about.fact("bound", Some(self.bound).filter(|&bound| bound != u64::MAX));
        for (&fence, holding) in self.owned.iter().take(HOLDERS) {
            about.holder(holding.client, vec![("permits", holding.count), ("fence", fence)]);
        }
    }
}
