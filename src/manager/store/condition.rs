//! Condition: sleepers over a lock, woken in the order they came.

use std::collections::VecDeque;

use super::body::{Behaviour, Body, Call};
use super::datum::{Out, Token};
use super::describe::About;
use super::fault::Fault;
use super::lock::{Actor, Lock, Want};
use super::world::{Caller, ClientId, WaiterId, World};
use crate::manager::wire::pack;

struct Sleeper {
    waiter: WaiterId,
    client: ClientId,
    actor: Actor,
    count: u64,
}

pub(crate) struct Condition {
    lock: Token,
    sleepers: VecDeque<Sleeper>,
}

impl Condition {
    pub(crate) fn new(lock: Token) -> Self {
        Condition { lock, sleepers: VecDeque::new() }
    }

    /// The calling thread must hold the lock, by the holding of this number if one is stated.
    fn must_hold(&self, lock: &Lock, who: Caller, actor: Actor, fence: Option<u64>) -> Result<(), Fault> {
        if lock.is_held_by(who.client, actor) && fence.is_none_or(|fence| lock.is_holding(fence)) {
            return Ok(());
        }
        Err(Fault::new(Fault::NOT_HELD, "the calling thread does not hold the condition's lock"))
    }

    fn with_lock<R>(
        &self,
        world: &mut World,
        work: impl FnOnce(&mut Lock, &mut World) -> R,
    ) -> Result<R, Fault> {
        world.with_body(self.lock.object(), |body, world| match body {
            Body::Lock(lock) => Ok(work(lock, world)),
            _ => Err(Fault::new(Fault::WRONG_KIND, "a condition is over a lock")),
        })?
    }

    /// Lets a sleeper want the lock back.
    fn wake(&self, world: &mut World, sleeper: Sleeper, notified: bool) {
        let Sleeper { waiter, client, actor, count } = sleeper;
        world.repark(waiter, self.lock.object());
        let want = Want { waiter, client, actor, count, notified: Some(notified) };
        let woken = self.with_lock(world, |lock, world| lock.want(world, want));
        if let Err(fault) = woken {
            world.finish(waiter, Err(fault));
        }
    }
}

impl Behaviour for Condition {
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { world, who, method, arguments } = call;
        let who = *who;
        match *method {
            "wait" => {
                let (actor, timeout) = (arguments.uint()?, arguments.timeout()?);
                let fence = if arguments.left() > 0 { arguments.optional_uint()? } else { None };
                arguments.end()?;
                self.with_lock(world, |lock, _| self.must_hold(lock, who, actor, fence))??;
                // Parked first: if that is refused, the lock is still held.
                let waiter = world.park_anyway(who, timeout)?;
                let count = self.with_lock(world, |lock, world| lock.let_go(world, who.client, actor))??;
                self.sleepers.push_back(Sleeper { waiter, client: who.client, actor, count });
                Ok(None)
            }
            "notify" => {
                let (actor, most) = (arguments.uint()?, arguments.optional_uint()?);
                arguments.end()?;
                self.with_lock(world, |lock, _| self.must_hold(lock, who, actor, None))??;
                let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
                let woken: Vec<Sleeper> = self.sleepers.drain(..most.min(self.sleepers.len())).collect();
                let count = woken.len() as u64;
                woken.into_iter().for_each(|sleeper| self.wake(world, sleeper, true));
                Ok(Some(Out::with(|out| pack::uint(out, count))))
            }
            "lock" => {
                let mut out = Out::with(|out| pack::reference(out, self.lock.object()));
                out.references.push(self.lock.clone());
                Ok(Some(out))
            }
            "waiting" => Ok(Some(Out::with(|out| pack::uint(out, self.sleepers.len() as u64)))),
            _ => Err(Fault::bad_call(format!("a condition has no method '{method}'"))),
        }
    }

    /// A sleeper's timeout passed: it leaves with the lock, as if notified, and is told.
    fn expire(&mut self, world: &mut World, waiter: WaiterId, _object: u64) {
        if let Some(at) = self.sleepers.iter().position(|sleeper| sleeper.waiter == waiter)
            && let Some(sleeper) = self.sleepers.remove(at)
        {
            self.wake(world, sleeper, false);
        }
    }

    fn forsake(&mut self, _world: &mut World, waiter: WaiterId, _object: u64, _why: &'static str) {
        self.sleepers.retain(|sleeper| sleeper.waiter != waiter);
    }

    fn describe(&self, about: &mut About) {
        about.fact("lock", self.lock.object());
    }
}
