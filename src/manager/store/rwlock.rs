//! RwLock: many readers or one writer, by client and thread.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::arguments::Timeout;
use super::body::{Behaviour, Call};
use super::datum::{Charge, Out};
use super::describe::{About, HOLDERS};
use super::fault::Fault;
use super::lock::{Actor, Mishap, write_mishap};
use super::world::{Caller, ClientId, Departure, WaiterId, World};
use crate::manager::wire::pack;

/// Who holds it: a thread of a client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Who {
    client: ClientId,
    actor: Actor,
}

/// A parked call that wants to read or to write.
struct Want {
    waiter: WaiterId,
    who: Who,
    writes: bool,
}

#[derive(Default)]
pub(crate) struct RwLock {
    /// By the numbers of their holdings; a thread may read more than once.
    readers: BTreeMap<u64, (Who, Charge)>,
    /// How often each of them reads.
    reading: HashMap<Who, u64>,
    writer: Option<(u64, Who)>,
    mishap: Option<Mishap>,
    queue: VecDeque<Want>,
}

impl RwLock {
    fn acquire(
        &mut self,
        world: &mut World,
        caller: Caller,
        (actor, timeout): (Actor, Timeout),
        writes: bool,
    ) -> Result<Option<Out>, Fault> {
        let who = Who { client: caller.client, actor };
        let reads = self.reading.contains_key(&who);
        if self.writer.is_some_and(|(_, writer)| writer == who) || (writes && reads) {
            return Err(Fault::new(Fault::DEADLOCK, "the calling thread holds the lock already"));
        }
        world.may_hold(caller)?;
        world.room_to_hold()?;
        // First come, first served; but who reads already would wait for itself behind a writer.
        let first = self.queue.is_empty() || reads;
        if first && self.is_open(writes) {
            world.note_holding(who.client, caller.object);
            return Ok(Some(self.hold(world, who, writes)));
        }
        let waiter = world.park(caller, timeout)?;
        self.queue.push_back(Want { waiter, who, writes });
        world.note_holding(who.client, caller.object);
        Ok(None)
    }

    fn is_open(&self, writes: bool) -> bool {
        self.writer.is_none() && (!writes || self.readers.is_empty())
    }

    /// `[fence, mishap]`
    fn hold(&mut self, world: &mut World, who: Who, writes: bool) -> Out {
        let fence = world.fence();
        if writes {
            self.writer = Some((fence, who));
        } else {
            self.read(world, fence, who);
        }
        Out::with(|out| {
            pack::array(out, 2);
            pack::uint(out, fence);
            write_mishap(out, self.mishap);
        })
    }

    fn read(&mut self, world: &World, fence: u64, who: Who) {
        self.readers.insert(fence, (who, world.holding()));
        *self.reading.entry(who).or_default() += 1;
    }

    /// Ends a reading; whether it was one.
    fn read_no_more(&mut self, fence: u64) -> bool {
        let Some((who, _)) = self.readers.remove(&fence) else { return false };
        let times = self.reading.entry(who).or_default();
        *times = times.saturating_sub(1);
        if *times == 0 {
            self.reading.remove(&who);
        }
        true
    }

    /// Lets in whoever is first, and all readers behind a reader.
    fn grant(&mut self, world: &mut World) {
        while let Some(&Want { waiter, who, writes }) = self.queue.front()
            && self.is_open(writes)
        {
            self.queue.pop_front();
            let out = self.hold(world, who, writes);
            world.finish(waiter, Ok(out));
        }
    }

    fn must_write(&self, fence: u64) -> Result<Who, Fault> {
        self.writer.filter(|&(number, _)| number == fence).map(|(_, who)| who).ok_or_else(|| ended(fence))
    }

    fn release(&mut self, world: &mut World, fence: u64, panicked: bool) -> Result<(), Fault> {
        if !self.read_no_more(fence) {
            self.must_write(fence)?;
            self.writer = None;
            if panicked {
                self.mishap = Some(Mishap::Panicked);
            }
        }
        self.grant(world);
        Ok(())
    }
}

impl Behaviour for RwLock {
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { world, who, method, arguments } = call;
        let who = *who;
        match *method {
            "read" | "write" => {
                let wish = (arguments.uint()?, arguments.timeout()?);
                arguments.end()?;
                return self.acquire(world, who, wish, *method == "write");
            }
            "release" => {
                let (fence, panicked) = (arguments.uint()?, arguments.flag()?);
                arguments.end()?;
                self.release(world, fence, panicked)?;
            }
            // The writer becomes a reader: nobody writes in between.
            "downgrade" => {
                let fence = arguments.uint()?;
                arguments.end()?;
                let reader = self.must_write(fence)?;
                self.writer = None;
                self.read(world, fence, reader);
                self.grant(world);
            }
            "make_consistent" => {
                let fence = arguments.uint()?;
                arguments.end()?;
                self.must_write(fence)?;
                self.mishap = None;
            }
            "status" => {
                return Ok(Some(Out::with(|out| {
                    pack::array(out, 4);
                    pack::uint(out, self.readers.len() as u64);
                    pack::boolean(out, self.writer.is_some());
                    pack::uint(out, self.queue.len() as u64);
                    write_mishap(out, self.mishap);
                })));
            }
            _ => return Err(Fault::bad_call(format!("an rwlock has no method '{method}'"))),
        }
        Ok(Some(Out::nil()))
    }

    fn forsake(&mut self, world: &mut World, waiter: WaiterId, _object: u64, _why: &'static str) {
        self.queue.retain(|want| want.waiter != waiter);
        // It may have been the writer that readers waited behind.
        self.grant(world);
    }

    fn leave(&mut self, world: &mut World, client: ClientId, _object: u64, departure: Departure) {
        // Who only read has left nothing half-done.
        self.readers.retain(|_, (reader, _)| reader.client != client);
        self.reading.retain(|reader, _| reader.client != client);
        if self.writer.is_some_and(|(_, writer)| writer.client == client) {
            self.writer = None;
            self.mishap = Some(departure.into());
        }
        self.grant(world);
    }

    fn describe(&self, about: &mut About) {
        about.fact("readers", self.readers.len() as u64);
        about.fact("written", self.writer.is_some());
        about.fact("mishap", self.mishap.map(Mishap::name));
        for (fence, who, name) in self
            .writer
            .iter()
            .map(|&(fence, who)| (fence, who, "writes"))
            .chain(self.readers.iter().take(HOLDERS).map(|(&fence, &(who, _))| (fence, who, "reads")))
        {
            about.holder(who.client, vec![("thread", who.actor), ("fence", fence), (name, 1)]);
        }
    }
}

fn ended(fence: u64) -> Fault {
    Fault::new(Fault::NOT_HELD, format!("holding {fence} has ended: somebody else may have the lock"))
}
