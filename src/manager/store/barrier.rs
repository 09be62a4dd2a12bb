//! Barrier: everybody waits until all are there, or it breaks for all.

use std::collections::HashSet;

use super::arguments::Timeout;
use super::body::{Behaviour, Call};
use super::datum::Out;
use super::describe::About;
use super::fault::Fault;
use super::world::{Caller, ClientId, Departure, WaiterId, World};
use crate::manager::wire::pack;

pub(crate) struct Barrier {
    parties: u64,
    /// Clients that have taken a seat, by waiting or by `join`: the death of one breaks the barrier.
    seats: HashSet<ClientId>,
    waiting: Vec<(WaiterId, ClientId)>,
    /// Why it is broken.
    broken: Option<&'static str>,
}

impl Barrier {
    pub(crate) fn new(parties: u64) -> Self {
        Barrier { parties, seats: HashSet::new(), waiting: Vec::new(), broken: None }
    }

    fn sit_down(&mut self, world: &mut World, who: Caller) {
        self.seats.insert(who.client);
        world.note_holding(who.client, who.object);
    }

    /// `[index, is_leader]`: indices by arrival; the last to arrive leads.
    fn wait(&mut self, world: &mut World, who: Caller, timeout: Timeout) -> Result<Option<Out>, Fault> {
        if let Some(reason) = self.broken {
            return Err(Fault::new(Fault::BROKEN, reason));
        }
        let index = self.waiting.len() as u64;
        if index + 1 < self.parties {
            let waiter = world.park_anyway(who, timeout)?;
            self.sit_down(world, who);
            self.waiting.push((waiter, who.client));
            return Ok(None);
        }
        self.sit_down(world, who);
        for (index, (waiter, _)) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            world.finish(waiter, Ok(arrived(index as u64, false)));
        }
        Ok(Some(arrived(index, true)))
    }

    fn break_up(&mut self, world: &mut World, reason: &'static str) {
        self.broken.get_or_insert(reason);
        for (waiter, _) in std::mem::take(&mut self.waiting) {
            world.finish(waiter, Err(Fault::new(Fault::BROKEN, reason)));
        }
    }
}

impl Behaviour for Barrier {
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { world, who, method, arguments } = call;
        let who = *who;
        match *method {
            "wait" => {
                let timeout = arguments.timeout()?;
                arguments.end()?;
                return self.wait(world, who, timeout);
            }
            "join" => self.sit_down(world, who),
            "leave" => {
                self.seats.remove(&who.client);
                if self.waiting.iter().any(|&(_, client)| client == who.client) {
                    self.break_up(world, "left");
                }
            }
            "abort" => self.break_up(world, "aborted"),
            "reset" => {
                self.break_up(world, "reset");
                self.broken = None;
                self.seats.clear();
            }
            "status" => {
                return Ok(Some(Out::with(|out| {
                    pack::array(out, 3);
                    pack::uint(out, self.parties);
                    pack::uint(out, self.waiting.len() as u64);
                    match self.broken {
                        Some(reason) => pack::text(out, reason),
                        None => pack::nil(out),
                    }
                })));
            }
            _ => return Err(Fault::bad_call(format!("a barrier has no method '{method}'"))),
        }
        Ok(Some(Out::nil()))
    }

    fn expire(&mut self, world: &mut World, _waiter: WaiterId, _object: u64) {
        self.break_up(world, "timed-out");
    }

    fn forsake(&mut self, world: &mut World, waiter: WaiterId, _object: u64, why: &'static str) {
        let before = self.waiting.len();
        self.waiting.retain(|&(other, _)| other != waiter);
        if self.waiting.len() < before {
            self.break_up(world, why);
        }
    }

    fn leave(&mut self, world: &mut World, client: ClientId, _object: u64, _why: Departure) {
        if self.seats.remove(&client) {
            self.break_up(world, "died");
        }
    }

    fn describe(&self, about: &mut About) {
        about.fact("parties", self.parties);
        about.fact("broken", self.broken);
        let mut seats: Vec<ClientId> = self.seats.iter().copied().collect();
        seats.sort_unstable();
        seats.into_iter().for_each(|client| about.holder(client, Vec::new()));
    }
}

fn arrived(index: u64, leads: bool) -> Out {
    Out::with(|out| {
        pack::array(out, 2);
        pack::uint(out, index);
        pack::boolean(out, leads);
    })
}
