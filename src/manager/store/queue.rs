//! Queue and JoinableQueue: items in order, and items that were given out and not yet acknowledged.

use std::collections::{BTreeMap, VecDeque};

use super::arguments::{Arguments, Timeout};
use super::body::{Behaviour, Call};
use super::datum::{Datum, Out};
use super::describe::{About, HOLDERS};
use super::fault::Fault;
use super::world::{Caller, ClientId, Departure, WaiterId, World};
use crate::manager::wire::pack;

struct Taken {
    client: ClientId,
    place: u64,
    item: Datum,
}

pub(crate) struct Queue {
    /// As many items as fit; none given out counts.
    most: u64,
    joinable: bool,
    closed: bool,
    /// By the order in which they came: what comes back comes back to its place.
    items: BTreeMap<u64, Datum>,
    next: u64,
    taken: BTreeMap<u64, Taken>,
    /// Items put and not yet done.
    unfinished: u64,
    getters: VecDeque<(WaiterId, ClientId)>,
    putters: VecDeque<(WaiterId, Datum)>,
    joiners: Vec<WaiterId>,
}

impl Queue {
    pub(crate) fn new(most: Option<u64>, joinable: bool) -> Self {
        Queue {
            most: most.unwrap_or(u64::MAX),
            joinable,
            closed: false,
            items: BTreeMap::new(),
            next: 0,
            taken: BTreeMap::new(),
            unfinished: 0,
            getters: VecDeque::new(),
            putters: VecDeque::new(),
            joiners: Vec::new(),
        }
    }

    /// `[items, given out, unfinished, most or nil, closed]`
    fn status(&self) -> Out {
        Out::with(|out| {
            pack::array(out, 5);
            pack::uint(out, self.items.len() as u64);
            pack::uint(out, self.taken.len() as u64);
            pack::uint(out, self.unfinished);
            match self.most {
                u64::MAX => pack::nil(out),
                most => pack::uint(out, most),
            }
            pack::boolean(out, self.closed);
        })
    }

    fn put(
        &mut self,
        world: &mut World,
        who: Caller,
        arguments: &mut Arguments<'_>,
    ) -> Result<Option<Out>, Fault> {
        let (item, timeout) = (arguments.datum(world)?, arguments.timeout()?);
        arguments.end()?;
        if self.closed {
            return Err(closed());
        }
        if self.putters.is_empty() && (self.items.len() as u64) < self.most {
            self.append(item);
            self.serve(world, who.object);
            return Ok(Some(Out::nil()));
        }
        let waiter = world.park(who, timeout)?;
        self.putters.push_back((waiter, item));
        Ok(None)
    }

    fn append(&mut self, item: Datum) {
        self.items.insert(self.next, item);
        self.next += 1;
        self.unfinished += 1;
    }

    fn get(&mut self, world: &mut World, who: Caller, timeout: Timeout) -> Result<Option<Out>, Fault> {
        if let Some(out) = self.give(world, who.client, who.object) {
            self.serve(world, who.object);
            return Ok(Some(out));
        }
        if self.is_over(who.client) {
            return Err(closed());
        }
        let waiter = world.park(who, timeout)?;
        self.getters.push_back((waiter, who.client));
        Ok(None)
    }

    /// Whether nothing will come any more: closed and drained, and nobody else has anything that may come back.
    fn is_over(&self, client: ClientId) -> bool {
        self.closed && self.items.is_empty() && self.taken.values().all(|taken| taken.client == client)
    }

    /// Gives out the first item, as `[tag, item]`.
    fn give(&mut self, world: &mut World, client: ClientId, object: u64) -> Option<Out> {
        let (place, item) = self.items.pop_first()?;
        let tag = world.fence();
        let mut out = Out::with(|out| pack::array(out, 2));
        pack::uint(&mut out.bytes, tag);
        let out = out.datum(&item);
        self.taken.insert(tag, Taken { client, place, item });
        world.note_holding(client, object);
        Some(out)
    }

    fn done(&mut self, world: &mut World) {
        self.unfinished -= 1;
        if self.unfinished == 0 {
            self.joiners.drain(..).for_each(|waiter| world.finish(waiter, Ok(Out::nil())));
        }
    }

    /// Brings items and those who wait for them together, until one of them runs out.
    pub(crate) fn serve(&mut self, world: &mut World, object: u64) {
        if self.closed {
            self.putters.drain(..).for_each(|(waiter, _)| world.finish(waiter, Err(closed())));
        }
        loop {
            let mut moved = false;
            while let Some(&(waiter, client)) = self.getters.front()
                && let Some(out) = self.give(world, client, object)
            {
                self.getters.pop_front();
                world.finish(waiter, Ok(out));
                moved = true;
            }
            while (self.items.len() as u64) < self.most
                && let Some((waiter, item)) = self.putters.pop_front()
            {
                self.append(item);
                world.finish(waiter, Ok(Out::nil()));
                moved = true;
            }
            if !moved {
                break;
            }
        }
        if self.closed && self.items.is_empty() {
            let getters = std::mem::take(&mut self.getters);
            for (waiter, client) in getters {
                match self.is_over(client) {
                    true => world.finish(waiter, Err(closed())),
                    false => self.getters.push_back((waiter, client)),
                }
            }
        }
    }
}

impl Behaviour for Queue {
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { world, who, method, arguments } = call;
        let who = *who;
        match *method {
            "put" => return self.put(world, who, arguments),
            "get" => {
                let timeout = arguments.timeout()?;
                arguments.end()?;
                return self.get(world, who, timeout);
            }
            "ack" => {
                let tag = arguments.uint()?;
                arguments.end()?;
                self.taken.remove(&tag).ok_or_else(|| no_tag(tag))?;
                self.done(world);
            }
            "give_back" => {
                let tag = arguments.uint()?;
                arguments.end()?;
                let taken = self.taken.remove(&tag).ok_or_else(|| no_tag(tag))?;
                self.items.insert(taken.place, taken.item);
            }
            "join" => {
                let timeout = arguments.timeout()?;
                arguments.end()?;
                if !self.joinable {
                    return Err(Fault::bad_call("only a joinable queue can be joined"));
                }
                if self.unfinished > 0 {
                    self.joiners.push(world.park(who, timeout)?);
                    return Ok(None);
                }
            }
            "close" => self.closed = true,
            "status" => return Ok(Some(self.status())),
            "len" => return Ok(Some(Out::with(|out| pack::uint(out, self.items.len() as u64)))),
            _ => return Err(Fault::bad_call(format!("a queue has no method '{method}'"))),
        }
        self.serve(world, who.object);
        Ok(Some(Out::nil()))
    }

    fn forsake(&mut self, world: &mut World, waiter: WaiterId, object: u64, _why: &'static str) {
        self.getters.retain(|&(other, _)| other != waiter);
        self.putters.retain(|&(other, _)| other != waiter);
        self.joiners.retain(|&other| other != waiter);
        self.serve(world, object);
    }

    fn leave(&mut self, world: &mut World, client: ClientId, object: u64, _why: Departure) {
        let tags: Vec<u64> =
            self.taken.iter().filter(|(_, taken)| taken.client == client).map(|(&tag, _)| tag).collect();
        for taken in tags.into_iter().filter_map(|tag| self.taken.remove(&tag)) {
            self.items.insert(taken.place, taken.item);
        }
        self.serve(world, object);
    }

    fn len(&self) -> Option<usize> {
        Some(self.items.len())
    }

    fn describe(&self, about: &mut About) {
        about.fact("room", Some(self.most).filter(|&most| most != u64::MAX));
        about.fact("closed", self.closed);
        about.fact("given out", self.taken.len() as u64);
        about.fact("unfinished", Some(self.unfinished).filter(|_| self.joinable));
        for (&tag, taken) in self.taken.iter().take(HOLDERS) {
            about.holder(taken.client, vec![("item", taken.place), ("tag", tag)]);
        }
        about.elements(self.items.values(), |item, out| out.push(item));
    }
}

fn closed() -> Fault {
    Fault::new(Fault::CLOSED, "the queue is closed")
}

fn no_tag(tag: u64) -> Fault {
    Fault::new(Fault::NOT_HELD, format!("item {tag} has been acknowledged, or was given to somebody else"))
}
