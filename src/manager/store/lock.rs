//! Lock and RLock: one holder at a time, by client and thread.

use std::collections::VecDeque;

use super::arguments::Timeout;
use super::body::{Behaviour, Call};
use super::datum::Out;
use super::describe::About;
use super::fault::Fault;
use super::world::{Caller, ClientId, Departure, WaiterId, World};
use crate::manager::wire::pack;

/// A thread of a client: the number is the client's own business.
pub(crate) type Actor = u64;

/// What happened to the last holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    Died,
    Panicked,
    Lost,
}

impl Mishap {
    pub(super) fn name(self) -> &'static str {
        match self {
            Mishap::Died => "died",
            Mishap::Panicked => "panicked",
            Mishap::Lost => "lost",
        }
    }
}

impl From<Departure> for Mishap {
    fn from(departure: Departure) -> Self {
        match departure {
            Departure::Died => Mishap::Died,
            Departure::Lost => Mishap::Lost,
        }
    }
}

struct Holder {
    client: ClientId,
    actor: Actor,
    /// The number of the holding.
    fence: u64,
    count: u64,
}

/// A parked call that wants the lock.
pub(crate) struct Want {
    pub(crate) waiter: WaiterId,
    pub(crate) client: ClientId,
    pub(crate) actor: Actor,
    /// How many times the lock shall be held.
    pub(crate) count: u64,
    /// For a call of a condition: whether it was notified.
    pub(crate) notified: Option<bool>,
}

/// | holder | handed | state |
/// |---|---|---|
/// | none | no | free |
/// | some | no | held |
/// | none | yes | handed over: exactly one `release`, by anyone, ends it |
#[derive(Default)]
pub(crate) struct Lock {
    reentrant: bool,
    holder: Option<Holder>,
    handed: bool,
    mishap: Option<Mishap>,
    queue: VecDeque<Want>,
}

impl Lock {
    pub(crate) fn new(reentrant: bool) -> Self {
        Lock { reentrant, ..Lock::default() }
    }

    pub(crate) fn is_held_by(&self, client: ClientId, actor: Actor) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.client == client && holder.actor == actor)
    }

    pub(crate) fn is_holding(&self, fence: u64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.fence == fence)
    }

    fn acquire(
        &mut self,
        world: &mut World,
        who: Caller,
        actor: Actor,
        timeout: Timeout,
    ) -> Result<Option<Out>, Fault> {
        if self.is_held_by(who.client, actor) {
            let Some(holder) = self.holder.as_mut().filter(|_| self.reentrant) else {
                return Err(Fault::new(Fault::DEADLOCK, "the calling thread holds the lock already"));
            };
            holder.count += 1;
            return Ok(Some(granted(holder.fence, self.mishap, None)));
        }
        world.may_hold(who)?;
        let free = self.holder.is_none() && !self.handed;
        if free {
            world.note_holding(who.client, who.object);
            let fence = world.fence();
            self.holder = Some(Holder { client: who.client, actor, fence, count: 1 });
            return Ok(Some(granted(fence, self.mishap, None)));
        }
        let waiter = world.park(who, timeout)?;
        self.queue.push_back(Want { waiter, client: who.client, actor, count: 1, notified: None });
        world.note_holding(who.client, who.object);
        Ok(None)
    }

    fn holding(&mut self, fence: u64) -> Result<&mut Holder, Fault> {
        self.holder.as_mut().filter(|holder| holder.fence == fence).ok_or_else(|| {
            Fault::new(Fault::NOT_HELD, format!("holding {fence} has ended: somebody else may have the lock"))
        })
    }

    /// Ends one holding: the one with this number, or the one that was handed over.
    fn release(&mut self, world: &mut World, fence: Option<u64>, panicked: bool) -> Result<(), Fault> {
        let Some(fence) = fence else {
            if !self.handed {
                return Err(Fault::new(Fault::NOT_HELD, "the lock has not been handed over by forget"));
            }
            self.handed = false;
            self.grant(world);
            return Ok(());
        };
        let holder = self.holding(fence)?;
        holder.count -= 1;
        let over = holder.count == 0;
        if panicked {
            self.mishap = Some(Mishap::Panicked);
        }
        if over {
            self.holder = None;
            self.grant(world);
        }
        Ok(())
    }

    /// Ends all holdings of a thread, for a condition to wait; how many they were.
    pub(crate) fn let_go(&mut self, world: &mut World, client: ClientId, actor: Actor) -> Result<u64, Fault> {
        if !self.is_held_by(client, actor) {
            return Err(Fault::new(Fault::NOT_HELD, "the calling thread does not hold the condition's lock"));
        }
        let count = self.holder.take().map_or(0, |holder| holder.count);
        self.grant(world);
        Ok(count)
    }

    /// Lets a call that is parked already want the lock.
    pub(crate) fn want(&mut self, world: &mut World, want: Want) {
        self.queue.push_back(want);
        self.grant(world);
    }

    /// Gives the lock to the first that wants it, if it is free.
    fn grant(&mut self, world: &mut World) {
        if self.holder.is_some() || self.handed {
            return;
        }
        if let Some(want) = self.queue.pop_front() {
            let fence = world.fence();
            self.holder = Some(Holder { client: want.client, actor: want.actor, fence, count: want.count });
            world.finish(want.waiter, Ok(granted(fence, self.mishap, want.notified)));
        }
    }
}

impl Behaviour for Lock {
    /// The call's answer, or `None` if it waits.
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { world, who, method, arguments } = call;
        let who = *who;
        match *method {
            "acquire" => {
                let (actor, timeout) = (arguments.uint()?, arguments.timeout()?);
                arguments.end()?;
                return self.acquire(world, who, actor, timeout);
            }
            "release" => {
                let (fence, panicked) = (arguments.optional_uint()?, arguments.flag()?);
                arguments.end()?;
                self.release(world, fence, panicked)?;
            }
            "forget" => {
                let fence = arguments.uint()?;
                arguments.end()?;
                self.holding(fence)?;
                self.holder = None;
                self.handed = true;
            }
            "make_consistent" => {
                let fence = arguments.uint()?;
                arguments.end()?;
                self.holding(fence)?;
                self.mishap = None;
            }
            "status" => {
                return Ok(Some(Out::with(|out| {
                    pack::array(out, 4);
                    pack::boolean(out, self.holder.is_some());
                    pack::boolean(out, self.handed);
                    pack::uint(out, self.queue.len() as u64);
                    write_mishap(out, self.mishap);
                })));
            }
            _ => return Err(Fault::bad_call(format!("a lock has no method '{method}'"))),
        }
        Ok(Some(Out::nil()))
    }

    /// A parked call gives up.
    fn forsake(&mut self, _world: &mut World, waiter: WaiterId, _object: u64, _why: &'static str) {
        self.queue.retain(|want| want.waiter != waiter);
    }

    fn leave(&mut self, world: &mut World, client: ClientId, _object: u64, departure: Departure) {
        if self.holder.as_ref().is_some_and(|holder| holder.client == client) {
            self.holder = None;
            self.mishap = Some(departure.into());
            self.grant(world);
        }
    }

    fn describe(&self, about: &mut About) {
        about.fact("held", self.holder.is_some());
        about.fact("handed over", self.handed);
        about.fact("mishap", self.mishap.map(Mishap::name));
        if let Some(Holder { client, actor, fence, count }) = self.holder {
            about.holder(client, vec![("thread", actor), ("fence", fence), ("times", count)]);
        }
    }
}

/// `[fence, mishap]`, and whether a condition's waiter was notified in front.
fn granted(fence: u64, mishap: Option<Mishap>, notified: Option<bool>) -> Out {
    Out::with(|out| {
        pack::array(out, 2 + notified.iter().len());
        notified.into_iter().for_each(|notified| pack::boolean(out, notified));
        pack::uint(out, fence);
        write_mishap(out, mishap);
    })
}

/// A mishap's name, or nil.
pub(super) fn write_mishap(out: &mut Vec<u8>, mishap: Option<Mishap>) {
    match mishap {
        Some(mishap) => pack::text(out, mishap.name()),
        None => pack::nil(out),
    }
}
