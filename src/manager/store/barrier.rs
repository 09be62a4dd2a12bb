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
    /// In the order of their arrival; without the leader that acts.
    waiting: Vec<WaiterId>,
    /// The number of the turn of a leader that acts for all: nobody leaves before it is over.
    acting: Option<u64>,
    /// Who comes meanwhile, for the next round.
    early: Vec<Early>,
    /// Why it is broken.
    broken: Option<&'static str>,
}

/// An arrival that waits for the round before to end.
struct Early {
    waiter: WaiterId,
    acts: bool,
    /// Its timeout has passed.
    late: bool,
}

impl Barrier {
    pub(crate) fn new(parties: u64) -> Self {
        Barrier {
            parties,
            seats: HashSet::new(),
            waiting: Vec::new(),
            acting: None,
            early: Vec::new(),
            broken: None,
        }
    }

    fn sit_down(&mut self, world: &mut World, who: Caller) {
        self.seats.insert(who.client);
        world.note_holding(who.client, who.object);
    }

    /// Indices are by arrival; the last to arrive leads. Who `acts` gets the number of its turn if it is the leader, and all others
    /// wait until the turn is over.
    fn wait(
        &mut self,
        world: &mut World,
        who: Caller,
        timeout: Timeout,
        acts: bool,
    ) -> Result<Option<Out>, Fault> {
        if let Some(reason) = self.broken {
            return Err(Fault::new(Fault::BROKEN, reason));
        }
        world.may_hold(who)?;
        if self.acting.is_some() {
            let waiter = world.park_anyway(who, timeout)?;
            self.sit_down(world, who);
            self.early.push(Early { waiter, acts, late: false });
            return Ok(None);
        }
        if self.is_last() {
            self.sit_down(world, who);
            return Ok(Some(self.lead(world, acts)));
        }
        let waiter = world.park_anyway(who, timeout)?;
        self.sit_down(world, who);
        self.waiting.push(waiter);
        Ok(None)
    }

    fn is_last(&self) -> bool {
        self.waiting.len() as u64 + 1 >= self.parties
    }

    /// What the last to arrive is told.
    fn lead(&mut self, world: &mut World, acts: bool) -> Out {
        let index = self.waiting.len() as u64;
        if acts {
            let turn = world.fence();
            self.acting = Some(turn);
            return Out::with(|out| {
                pack::array(out, 3);
                pack::uint(out, index);
                pack::boolean(out, true);
                pack::uint(out, turn);
            });
        }
        self.release(world);
        arrived(index, true)
    }

    /// Lets everybody go who waits.
    fn release(&mut self, world: &mut World) {
        for (index, waiter) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            world.finish(waiter, Ok(arrived(index as u64, false)));
        }
    }

    /// The leader has acted.
    fn proceed(&mut self, world: &mut World, turn: u64) -> Result<(), Fault> {
        if self.acting != Some(turn) {
            // Whatever ended the turn: it was reset meanwhile if nothing is broken now.
            return Err(Fault::new(Fault::BROKEN, self.broken.unwrap_or("reset")));
        }
        self.acting = None;
        self.release(world);
        let mut early = std::mem::take(&mut self.early).into_iter();
        let mut late = false;
        for arrival in early.by_ref() {
            if self.is_last() {
                late = false;
                let told = self.lead(world, arrival.acts);
                world.finish(arrival.waiter, Ok(told));
                if self.acting.is_some() {
                    break;
                }
            } else {
                late |= arrival.late;
                self.waiting.push(arrival.waiter);
            }
        }
        self.early = early.collect();
        if late {
            self.break_up(world, "timed-out");
        }
        Ok(())
    }

    fn break_up(&mut self, world: &mut World, reason: &'static str) {
        self.broken.get_or_insert(reason);
        self.acting = None;
        let early = std::mem::take(&mut self.early).into_iter().map(|early| early.waiter);
        for waiter in std::mem::take(&mut self.waiting).into_iter().chain(early) {
            world.finish(waiter, Err(Fault::new(Fault::BROKEN, reason)));
        }
    }
}

impl Behaviour for Barrier {
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { world, who, method, arguments } = call;
        let who = *who;
        match *method {
            "wait" | "arrive" => {
                let timeout = arguments.timeout()?;
                arguments.end()?;
                return self.wait(world, who, timeout, *method == "arrive");
            }
            "proceed" => {
                let turn = arguments.uint()?;
                arguments.end()?;
                self.proceed(world, turn)?;
            }
            "fail" => {
                let turn = arguments.uint()?;
                arguments.end()?;
                if self.acting == Some(turn) {
                    self.break_up(world, "failed");
                }
            }
            "join" => {
                world.may_hold(who)?;
                self.sit_down(world, who);
            }
            "leave" => {
                self.seats.remove(&who.client);
                if world.waits_in(who.client, who.object) {
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
                    pack::uint(out, (self.waiting.len() + self.early.len()) as u64);
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

    fn expire(&mut self, world: &mut World, waiter: WaiterId, _object: u64) {
        match self.early.iter_mut().find(|early| early.waiter == waiter) {
            Some(early) => early.late = true,
            // Everybody is there: the timeout does not interrupt the action.
            None if self.acting.is_some() => {}
            None => self.break_up(world, "timed-out"),
        }
    }

    fn forsake(&mut self, world: &mut World, waiter: WaiterId, _object: u64, why: &'static str) {
        let before = self.waiting.len();
        self.waiting.retain(|&other| other != waiter);
        self.early.retain(|early| early.waiter != waiter);
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
        about.fact("acting", self.acting.is_some());
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
