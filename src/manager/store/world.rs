//! What all objects share: who is there, who waits for what, and what is to be answered.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::arguments::Timeout;
use super::body::Body;
use super::datum::{Datum, Graveyard, Meter, Out, Token, WeakToken};
use super::fault::Fault;

/// A client's number.
pub(crate) type ClientId = u64;

/// A parked call's number.
pub(crate) type WaiterId = u64;

/// An answer for a client.
pub(crate) struct Answer {
    pub(crate) client: ClientId,
    pub(crate) request: u64,
    pub(crate) outcome: Result<Vec<u8>, Fault>,
}

/// One object; its body is out while it is called.
pub(crate) struct Slot {
    pub(crate) body: Option<Body>,
    pub(crate) kind: Box<str>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) token: WeakToken,
}

/// What belongs to a client.
#[derive(Default)]
pub(crate) struct Client {
    /// In words, for display.
    pub(crate) who: Box<str>,
    /// The objects that it has references to, and how many of them were sent to it.
    pub(crate) references: HashMap<u64, (Token, u64)>,
    pub(crate) waiters: BTreeSet<WaiterId>,
    /// Objects in which it may hold something.
    pub(crate) holds: HashSet<u64>,
    /// Whether it calls through rings, for display.
    pub(crate) has_rings: bool,
}

/// A parked call.
pub(crate) struct Waiter {
    pub(crate) client: ClientId,
    pub(crate) request: u64,
    /// In which object it waits.
    pub(crate) object: u64,
    deadline: Option<u64>,
}

/// What a store may grow to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of stored values, with what they cost beside.
    pub(crate) memory: usize,
    /// Bytes of one result.
    pub(crate) result: usize,
    /// Calls of one client that wait at once.
    pub(crate) waiters: usize,
    /// Objects.
    pub(crate) objects: usize,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) bounds: Bounds,
    pub(crate) meter: Meter,
    pub(crate) objects: HashMap<u64, Slot>,
    pub(crate) names: HashMap<Box<str>, Token>,
    pub(crate) clients: HashMap<ClientId, Client>,
    pub(crate) waiters: HashMap<WaiterId, Waiter>,
    pub(crate) answers: Vec<Answer>,
    deadlines: BTreeSet<(u64, WaiterId)>,
    graveyard: Graveyard,
    last_object: u64,
    last_waiter: WaiterId,
    last_fence: u64,
}

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        World {
            now: 0,
            bounds,
            meter: Meter::new(bounds.memory),
            objects: HashMap::new(),
            names: HashMap::new(),
            clients: HashMap::new(),
            waiters: HashMap::new(),
            answers: Vec::new(),
            deadlines: BTreeSet::new(),
            graveyard: Graveyard::default(),
            last_object: 0,
            last_waiter: 0,
            last_fence: 0,
        }
    }

    /// A number that is greater than all before: of a holding, so that a late holder can be told from its successor.
    pub(crate) fn fence(&mut self) -> u64 {
        self.last_fence += 1;
        self.last_fence
    }

    /// A value to be stored.
    pub(crate) fn datum(&self, bytes: &[u8], objects: &[u64]) -> Result<Datum, Fault> {
        if self.meter.lacks(bytes.len() + super::datum::OVERHEAD) {
            let message = format!(
                "the manager stores {} bytes and may store {}: remove something, or start it with a higher limit",
                self.meter.used(),
                self.meter.most()
            );
            return Err(Fault::new(Fault::LIMIT, message));
        }
        let references = objects.iter().map(|&object| self.token(object)).collect::<Result<_, _>>()?;
        Ok(Datum::new(bytes, references, &self.meter))
    }

    /// A reference that keeps `object`.
    pub(crate) fn token(&self, object: u64) -> Result<Token, Fault> {
        let slot = self.objects.get(&object);
        slot.and_then(|slot| slot.token.upgrade()).ok_or_else(|| Fault::gone(object))
    }

    /// Refuses a result that cannot be sent, while it is being made: it shall not fill the memory.
    pub(crate) fn fits(&self, out: &Out) -> Result<(), Fault> {
        if out.bytes.len() <= self.bounds.result {
            return Ok(());
        }
        let message = format!("a result may have {} bytes: ask for less at once", self.bounds.result);
        Err(Fault::new(Fault::LIMIT, message))
    }

    pub(crate) fn add(&mut self, kind: &str, name: Option<&str>, body: Body) -> Result<Token, Fault> {
        if self.objects.len() >= self.bounds.objects {
            let message = format!("the manager has {} objects and may have no more", self.bounds.objects);
            return Err(Fault::new(Fault::LIMIT, message));
        }
        self.last_object += 1;
        let token = Token::new(self.last_object, &self.graveyard);
        let slot = Slot {
            body: Some(body),
            kind: kind.into(),
            name: name.map(Into::into),
            token: token.downgrade(),
        };
        self.objects.insert(self.last_object, slot);
        if let Some(name) = name {
            self.names.insert(name.into(), token.clone());
        }
        Ok(token)
    }

    /// Removes what nobody refers to any more, and what only that referred to.
    pub(crate) fn bury(&mut self) {
        loop {
            let dead = self.graveyard.take();
            if dead.is_empty() {
                return;
            }
            for object in dead {
                self.objects.remove(&object);
                let stranded: Vec<WaiterId> =
                    self.waiters.iter().filter(|(_, w)| w.object == object).map(|(&id, _)| id).collect();
                stranded.into_iter().for_each(|waiter| self.finish(waiter, Err(Fault::gone(object))));
                self.clients.values_mut().for_each(|client| {
                    client.holds.remove(&object);
                });
            }
        }
    }

    /// Remembers that `client` may hold something of `object`.
    pub(crate) fn note_holding(&mut self, client: ClientId, object: u64) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.holds.insert(object);
        }
    }

    /// Lets a call wait.
    pub(crate) fn park(&mut self, who: Caller, timeout: Timeout) -> Result<WaiterId, Fault> {
        let most = self.bounds.waiters;
        let client = self.clients.get_mut(&who.client).ok_or_else(|| Fault::gone(who.object))?;
        if client.waiters.len() >= most {
            return Err(Fault::new(Fault::LIMIT, format!("{most} calls of this client wait already")));
        }
        self.last_waiter += 1;
        let id = self.last_waiter;
        client.waiters.insert(id);
        let deadline = match timeout {
            Timeout::Never => None,
            Timeout::After(ns) => self.now.checked_add(ns),
        };
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        let waiter = Waiter { client: who.client, request: who.request, object: who.object, deadline };
        self.waiters.insert(id, waiter);
        Ok(id)
    }

    /// Lets a parked call wait for another object, as long as it takes.
    pub(crate) fn repark(&mut self, id: WaiterId, object: u64) {
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.object = object;
            if let Some(deadline) = waiter.deadline.take() {
                self.deadlines.remove(&(deadline, id));
            }
        }
    }

    /// Ends a parked call with its answer.
    pub(crate) fn finish(&mut self, id: WaiterId, outcome: Result<Out, Fault>) {
        if let Some(waiter) = self.unpark(id) {
            self.answer(waiter.client, waiter.request, outcome);
        }
    }

    /// Forgets a parked call.
    pub(crate) fn unpark(&mut self, id: WaiterId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(client) = self.clients.get_mut(&waiter.client) {
            client.waiters.remove(&id);
        }
        Some(waiter)
    }

    /// Answers a call: from now on the client has the references in it.
    pub(crate) fn answer(&mut self, client: ClientId, request: u64, outcome: Result<Out, Fault>) {
        let most = self.bounds.result;
        // Nobody waits for an answer to request 0.
        let Some(entry) = self.clients.get_mut(&client).filter(|_| request != 0) else { return };
        let outcome = outcome.and_then(|out| {
            if out.bytes.len() > most {
                return Err(Fault::new(Fault::LIMIT, format!("the result has more than {most} bytes")));
            }
            for token in out.references {
                entry.references.entry(token.object()).or_insert((token, 0)).1 += 1;
            }
            Ok(out.bytes)
        });
        self.answers.push(Answer { client, request, outcome });
    }

    /// When the first parked call gives up.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// A parked call whose deadline has passed; it is given once.
    pub(crate) fn overdue(&mut self) -> Option<(WaiterId, u64)> {
        let &(deadline, id) = self.deadlines.first().filter(|&&(deadline, _)| deadline <= self.now)?;
        self.deadlines.remove(&(deadline, id));
        let waiter = self.waiters.get_mut(&id)?;
        waiter.deadline = None;
        Some((id, waiter.object))
    }

    /// Runs `work` with an object's body, which is out of the world meanwhile.
    pub(crate) fn with_body<R>(
        &mut self,
        object: u64,
        work: impl FnOnce(&mut Body, &mut World) -> R,
    ) -> Result<R, Fault> {
        let slot = self.objects.get_mut(&object).ok_or_else(|| Fault::gone(object))?;
        let mut body =
            slot.body.take().ok_or_else(|| Fault::bad_call("an object cannot be used inside itself"))?;
        let result = work(&mut body, self);
        if let Some(slot) = self.objects.get_mut(&object) {
            slot.body = Some(body);
        }
        Ok(result)
    }
}

/// Whose call it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) client: ClientId,
    pub(crate) request: u64,
    pub(crate) object: u64,
}

/// Why a client is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Its process ended, or closed the connection.
    Died,
    /// Its connection was cut; it may live.
    Lost,
}
