//! What all objects share: who is there, who waits for what, and what is to be answered.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::arguments::{Arguments, Timeout};
use super::body::{Body, Call};
use super::datum::{Charge, Datum, Graveyard, Meter, OVERHEAD, Out, Token, WeakToken};
use super::fault::Fault;
use crate::manager::numbered::Numbered;
use crate::manager::wire::message::Request;

/// A client's number.
pub(crate) type ClientId = u64;

/// A parked call's number.
pub(crate) type WaiterId = u64;

/// What becomes of a call: a value's bytes, or why there is none.
pub(crate) type Outcome = Result<Vec<u8>, Fault>;

/// An answer for a client.
pub(crate) struct Answer {
    pub(crate) client: ClientId,
    pub(crate) request: u64,
    pub(crate) outcome: Outcome,
}

/// One object; its body is out while it is called.
pub(crate) struct Slot {
    pub(crate) body: Option<Box<Body>>,
    pub(crate) kind: Box<str>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) token: WeakToken,
    /// Parked calls that wait in it.
    pub(crate) waiters: BTreeSet<WaiterId>,
    /// Clients that may hold something of it.
    holders: HashSet<ClientId>,
    _charge: Charge,
}

/// What an object costs beside its values.
const OBJECT: usize = 4 * OVERHEAD;

/// The most memory that is kept for the next answer.
const SPARE: usize = 4 << 10;

/// What belongs to a client.
#[derive(Default)]
pub(crate) struct Client {
    /// In words, for display.
    pub(crate) who: Box<str>,
    /// The objects that it has references to, and how many of them were sent to it.
    pub(crate) references: Numbered<Reference>,
    pub(crate) waiters: BTreeSet<WaiterId>,
    /// Objects in which it may hold something.
    pub(crate) holds: HashMap<u64, Charge>,
    /// Whether it calls through rings, for display.
    pub(crate) has_rings: bool,
}

/// An object that a client has.
pub(crate) struct Reference {
    /// How many times it was sent.
    pub(crate) count: u64,
    _token: Token,
    _charge: Charge,
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
    /// Elements that one call, or all of a transaction, may touch: as long as that takes, nobody else is served.
    pub(crate) work: u64,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) bounds: Bounds,
    pub(crate) meter: Meter,
    pub(crate) objects: Numbered<Slot>,
    /// Their numbers, in order.
    pub(crate) numbers: BTreeSet<u64>,
    pub(crate) names: HashMap<Box<str>, Token>,
    pub(crate) clients: Numbered<Client>,
    pub(crate) waiters: Numbered<Waiter>,
    pub(crate) answers: Vec<Answer>,
    deadlines: BTreeSet<(u64, WaiterId)>,
    graveyard: Graveyard,
    last_object: u64,
    last_waiter: WaiterId,
    last_fence: u64,
    /// What the present call may still do.
    work_left: Cell<u64>,
    /// The buffer of the last answer that was sent, for the next one.
    spare: Cell<Vec<u8>>,
}

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        World {
            now: 0,
            bounds,
            meter: Meter::new(bounds.memory),
            objects: Numbered::default(),
            numbers: BTreeSet::new(),
            names: HashMap::new(),
            clients: Numbered::default(),
            waiters: Numbered::default(),
            answers: Vec::new(),
            deadlines: BTreeSet::new(),
            graveyard: Graveyard::default(),
            last_object: 0,
            last_waiter: 0,
            last_fence: 0,
            work_left: Cell::new(bounds.work),
            spare: Cell::default(),
        }
    }

    /// A number that is greater than all before: of a holding, so that a late holder can be told from its successor.
    pub(crate) fn fence(&mut self) -> u64 {
        self.last_fence += 1;
        self.last_fence
    }

    /// An empty buffer for a result, with memory if some is at hand.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.spare.take()
    }

    /// Takes a buffer back, unless its memory is much.
    pub(crate) fn reuse(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= SPARE {
            buffer.clear();
            self.spare.set(buffer);
        }
    }

    /// Begins to count what a call does.
    pub(crate) fn begin_work(&self) {
        self.work_left.set(self.bounds.work);
    }

    /// How much has been done since.
    #[inline]
    pub(crate) fn worked(&self) -> usize {
        usize::try_from(self.bounds.work - self.work_left.get()).unwrap_or(usize::MAX)
    }

    /// Touches so many elements, unless that takes too long.
    pub(crate) fn work(&self, elements: usize) -> Result<(), Fault> {
        let left = self.work_left.get().checked_sub(elements as u64).ok_or_else(|| {
            let message = format!(
                "a call, or all of a transaction, may touch {} elements, because everybody else waits: do it in parts",
                self.bounds.work
            );
            Fault::new(Fault::LIMIT, message)
        })?;
        self.work_left.set(left);
        Ok(())
    }

    /// Room for so many bytes.
    pub(crate) fn room(&self, bytes: usize) -> Result<Charge, Fault> {
        if self.meter.lacks(bytes) {
            let message = format!(
                "the manager stores {} bytes and may store {}: remove something, or start it with a higher limit",
                self.meter.used(),
                self.meter.most()
            );
            return Err(Fault::new(Fault::LIMIT, message));
        }
        Ok(self.meter.charge(bytes))
    }

    /// A value to be stored.
    pub(crate) fn datum(&self, bytes: &[u8], objects: &[u64]) -> Result<Datum, Fault> {
        let charge = self.room(bytes.len() + OVERHEAD)?;
        let references = objects.iter().map(|&object| self.token(object)).collect::<Result<_, _>>()?;
        Ok(Datum::new(bytes, references, charge))
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
        let charge = self.room(OBJECT + name.map_or(0, str::len))?;
        self.last_object += 1;
        let token = Token::new(self.last_object, &self.graveyard);
        let slot = Slot {
            body: Some(Box::new(body)),
            kind: kind.into(),
            name: name.map(Into::into),
            token: token.downgrade(),
            waiters: BTreeSet::new(),
            holders: HashSet::new(),
            _charge: charge,
        };
        self.objects.insert(self.last_object, slot);
        self.numbers.insert(self.last_object);
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
                let Some(slot) = self.objects.remove(&object) else { continue };
                self.numbers.remove(&object);
                slot.waiters.into_iter().for_each(|waiter| self.finish(waiter, Err(Fault::gone(object))));
                for client in slot.holders {
                    if let Some(client) = self.clients.get_mut(&client) {
                        client.holds.remove(&object);
                    }
                }
            }
        }
    }

    /// Remembers that `client` may hold something of `object`.
    pub(crate) fn note_holding(&mut self, client: ClientId, object: u64) {
        if let (Some(entry), Some(slot)) = (self.clients.get_mut(&client), self.objects.get_mut(&object)) {
            entry.holds.entry(object).or_insert_with(|| self.meter.charge(OVERHEAD));
            slot.holders.insert(client);
        }
    }

    /// Refuses a client's first holding in an object where there is no memory to remember it.
    pub(crate) fn may_hold(&self, who: Caller) -> Result<(), Fault> {
        match self.clients.get(&who.client) {
            Some(client) if !client.holds.contains_key(&who.object) => self.room_to_hold(),
            _ => Ok(()),
        }
    }

    /// Whether there is room for one more holding. What values leave is not all: locks work also where those have filled the memory.
    pub(crate) fn room_to_hold(&self) -> Result<(), Fault> {
        if self.meter.lacks_beside(OVERHEAD) {
            let message = format!(
                "so much is held that it has {} bytes together: release something",
                self.meter.used()
            );
            return Err(Fault::new(Fault::LIMIT, message));
        }
        Ok(())
    }

    /// What one more holding costs, as long as it lasts.
    pub(crate) fn holding(&self) -> Charge {
        self.meter.charge(OVERHEAD)
    }

    /// Lets a call wait, unless it does not want to.
    pub(crate) fn park(&mut self, who: Caller, timeout: Timeout) -> Result<WaiterId, Fault> {
        if timeout == Timeout::After(0) {
            return Err(Fault::would_block());
        }
        self.park_anyway(who, timeout)
    }

    /// Lets a call wait; one that does not want to expires at once.
    pub(crate) fn park_anyway(&mut self, who: Caller, timeout: Timeout) -> Result<WaiterId, Fault> {
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
        self.wait_in(id, who.object);
        Ok(id)
    }

    fn wait_in(&mut self, id: WaiterId, object: u64) {
        if let Some(slot) = self.objects.get_mut(&object) {
            slot.waiters.insert(id);
        }
    }

    fn wait_no_more_in(&mut self, id: WaiterId, object: u64) {
        if let Some(slot) = self.objects.get_mut(&object) {
            slot.waiters.remove(&id);
        }
    }

    /// Lets a parked call wait for another object, as long as it takes.
    pub(crate) fn repark(&mut self, id: WaiterId, object: u64) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        let before = std::mem::replace(&mut waiter.object, object);
        if let Some(deadline) = waiter.deadline.take() {
            self.deadlines.remove(&(deadline, id));
        }
        self.wait_no_more_in(id, before);
        self.wait_in(id, object);
    }

    /// Whether a call of `client` waits in `object`.
    pub(crate) fn waits_in(&self, client: ClientId, object: u64) -> bool {
        let waiters = self.objects.get(&object).map(|slot| &slot.waiters);
        let is_its = |waiter| self.waiters.get(waiter).is_some_and(|waiter| waiter.client == client);
        waiters.is_some_and(|waiters| waiters.iter().any(is_its))
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
        self.wait_no_more_in(id, waiter.object);
        Some(waiter)
    }

    /// Answers a call: from now on the client has the references in it.
    pub(crate) fn answer(&mut self, client: ClientId, request: u64, outcome: Result<Out, Fault>) {
        if self.clients.contains_key(&client)
            && let Some(outcome) = self.settle(client, request, outcome)
        {
            self.answers.push(Answer { client, request, outcome });
        }
    }

    /// What a client is to be told of a call, if anything: from now on it has the references in it.
    pub(crate) fn settle(
        &mut self,
        client: ClientId,
        request: u64,
        outcome: Result<Out, Fault>,
    ) -> Option<Outcome> {
        // Nobody waits for an answer to request 0.
        if request == 0 {
            return None;
        }
        Some(outcome.and_then(|out| {
            self.fits(&out)?;
            if !out.references.is_empty() {
                self.give(client, out.references)?;
            }
            Ok(out.bytes)
        }))
    }

    /// Counts references that a client receives: all, or none.
    fn give(&mut self, client: ClientId, tokens: Vec<Token>) -> Result<(), Fault> {
        let Some(entry) = self.clients.get(&client) else { return Ok(()) };
        let new = tokens.iter().filter(|token| !entry.references.contains_key(&token.object())).count();
        // For all of them at once, so that none is given if not all can be.
        drop(self.room(new * OVERHEAD)?);
        for token in tokens {
            let object = token.object();
            let meter = &self.meter;
            let Some(entry) = self.clients.get_mut(&client) else { continue };
            let charged = || Reference { count: 0, _token: token, _charge: meter.charge(OVERHEAD) };
            entry.references.entry(object).or_insert_with(charged).count += 1;
        }
        Ok(())
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

    /// Calls a method of an object; `None` if the call waits.
    pub(crate) fn call(&mut self, who: Caller, request: &Request<'_>) -> Result<Option<Out>, Fault> {
        self.with_body(who.object, |body, world| {
            let arguments = Arguments::new(request.arguments, request.count);
            body.inner_mut().call(&mut Call { world, who, method: request.method, arguments })
        })?
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
