//! A connection that many threads call through at once.
//!
//! There is no thread of its own. Of those who wait for a reply one is the **reader**: it reads what comes, gives each reply to
//! whom it belongs, and when its own has come, lets another one read. So a call alone costs one write and one read, and a call
//! that waits on the server delays nobody.

use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::channel::{Incoming, Outgoing, channel};
use super::hello::{self, Welcome};
use super::reference::{Reference, References};
use super::short::Short;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::numbered::Numbered;
use crate::manager::transport::Transport;
use crate::manager::wire::frame::{self, Frames};
use crate::manager::wire::message::{Reply, Request};
use crate::net::{Address, Key};
use crate::sys::Identity;
use crate::sys::sockets::{Shut, Stream};

/// The longest frame that is taken from a server: a reply is little longer than what somebody sent.
const LONGEST: usize = 1 << 30;

/// What a reply brought.
pub(crate) struct Received {
    pub(crate) bytes: Short,
    /// The objects that it refers to.
    pub(crate) references: Vec<Arc<Reference>>,
}

/// A reply and the number of the request that it is to.
pub(super) type Told = (u64, ManagerResult<Received>);

/// A call whose reply is waited for.
struct Slot {
    outcome: Option<ManagerResult<Received>>,
    /// Its waiter sleeps here, unless it is the reader or has not come yet.
    sleeper: Option<Arc<Condvar>>,
}

#[derive(Default)]
struct Inbox {
    slots: Numbered<Slot>,
    /// How many of them have a sleeper.
    sleepers: usize,
    somebody_reads: bool,
    /// Why nothing will come any more.
    dead: Option<String>,
}

impl Inbox {
    /// The reply to a request, if it has come.
    fn take(&mut self, id: u64) -> Option<ManagerResult<Received>> {
        match self.slots.entry(id) {
            Entry::Occupied(entry) if entry.get().outcome.is_some() => entry.remove().outcome,
            _ => None,
        }
    }
}

pub(crate) struct Link {
    pub(crate) address: Address,
    /// The number of the server's run.
    pub(crate) server: u64,
    longest: usize,
    /// Reads 0 in a forked child, whose connection this is not.
    process: Identity,
    pub(crate) transport: Transport,
    stream: Stream,
    /// Held while frames are written.
    outgoing: Mutex<Outgoing>,
    /// Held by the reader.
    incoming: Mutex<Incoming>,
    inbox: Mutex<Inbox>,
    /// The same as `inbox.dead`, to be asked without the lock.
    lost: AtomicBool,
    next: AtomicU64,
    pub(super) references: References,
}

impl Link {
    pub(crate) fn connect(
        address: &Address,
        key: Option<&Key>,
        timeout: Duration,
        transport: Transport,
    ) -> ManagerResult<Arc<Self>> {
        let welcome = hello::enter(address, key, timeout, transport)?;
        let Welcome { stream, frames, rings, server, longest } = welcome;
        let transport = if rings.is_some() { Transport::Ring } else { Transport::Socket };
        let (incoming, outgoing) = channel(frames, rings);
        let process = Identity::new().map_err(|source| ManagerError::Io {
            action: "prepare a connection to",
            address: address.to_string(),
            source,
        })?;
        process.set(1);
        Ok(Arc::new(Link {
            address: address.clone(),
            server,
            longest,
            process,
            transport,
            stream,
            outgoing: Mutex::new(outgoing),
            incoming: Mutex::new(incoming),
            inbox: Mutex::default(),
            lost: AtomicBool::new(false),
            next: AtomicU64::new(1),
            references: References::default(),
        }))
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_lost(&self) -> bool {
        // Acquire, with the Release of `die`.
        self.lost.load(Ordering::Acquire)
    }

    /// Whether this process was forked from the one whose connection it is.
    pub(crate) fn is_forked(&self) -> bool {
        self.process.get() == 0
    }

    fn forked(&self) -> ManagerError {
        ManagerError::Forked { address: self.address.to_string() }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self, reason: &str, maybe_done: bool) -> ManagerError {
        ManagerError::Disconnected { address: self.address.to_string(), reason: reason.into(), maybe_done }
    }

    /// Sends requests, and gives the numbers under which their replies will come.
    pub(crate) fn send<'a>(
        &self,
        requests: impl ExactSizeIterator<Item = Request<'a>>,
    ) -> ManagerResult<Range<u64>> {
        if self.is_forked() {
            return Err(self.forked());
        }
        let count = requests.len() as u64;
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let ids = first..first + count;
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        for (request, id) in requests.zip(ids.clone()) {
            let before = outgoing.buffer.len();
            frame::write(&mut outgoing.buffer, |out| Request { id, ..request }.write(out));
            let len = outgoing.buffer.len() - before - frame::PREFIX;
            if len > self.longest {
                outgoing.buffer.clear();
                let message = format!("a call of {len} bytes, where the server takes {}", self.longest);
                return Err(ManagerError::Limit { message });
            }
        }
        {
            let mut inbox = self.inbox();
            if let Some(reason) = &inbox.dead {
                outgoing.buffer.clear();
                return Err(self.gone(reason, false));
            }
            let slots = ids.clone().map(|id| (id, Slot { outcome: None, sleeper: None }));
            inbox.slots.extend(slots);
        }
        if let Err(error) = outgoing.send(&self.stream) {
            // What the server said last is worth more than the failure of our write: the reader will find it.
            self.stream.shut(Shut::Both);
            tracing::debug!(address = %self.address, %error, "a call could not be sent");
        }
        Ok(ids)
    }

    /// Sends a request to which no reply is wanted, if the connection still is.
    pub(crate) fn tell(&self, request: &Request<'_>) {
        if self.is_forked() || self.is_lost() {
            return;
        }
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write(&mut outgoing.buffer, |out| Request { id: 0, ..*request }.write(out));
        // If it cannot be sent, the server sees the end of the connection, which means the same.
        let _ = outgoing.send(&self.stream);
    }

    /// Waits for the reply to a request.
    pub(crate) fn wait(self: &Arc<Self>, id: u64) -> ManagerResult<Received> {
        // What comes is the parent's, and its threads may have left every lock as it was.
        if self.is_forked() { Err(self.forked()) } else { self.await_reply(id).1 }
    }

    /// Waits for the reply to the first of some requests, and gives it and those behind it that have come to `take`, with the lock of
    /// all replies held.
    pub(crate) fn wait_some(
        self: &Arc<Self>,
        mut ids: Range<u64>,
        mut take: impl FnMut(ManagerResult<Received>),
    ) {
        let Some(first) = ids.next() else { return };
        if self.is_forked() {
            return take(Err(self.forked()));
        }
        let (mut inbox, outcome) = self.await_reply(first);
        take(outcome);
        ids.map_while(|id| inbox.take(id)).for_each(take);
    }

    /// Waits for the reply to a request; all replies are locked when it has come.
    fn await_reply(self: &Arc<Self>, id: u64) -> (MutexGuard<'_, Inbox>, ManagerResult<Received>) {
        let mut inbox = self.inbox();
        loop {
            if let Some(outcome) = inbox.take(id) {
                return (inbox, outcome);
            }
            if !inbox.slots.contains_key(&id) {
                let taken = self.gone("the reply was taken already", true);
                return (inbox, Err(taken));
            }
            if let Some(reason) = inbox.dead.clone() {
                inbox.slots.remove(&id);
                let gone = self.gone(&reason, true);
                return (inbox, Err(gone));
            }
            if inbox.somebody_reads {
                inbox = self.sleep(inbox, id);
                continue;
            }
            inbox.somebody_reads = true;
            drop(inbox);
            let read = self.read_until(id);
            inbox = self.inbox();
            inbox.somebody_reads = false;
            match read {
                // Somebody else reads from now on.
                Ok(()) if inbox.sleepers > 0 => {
                    let mut waiting = inbox.slots.values().filter(|slot| slot.outcome.is_none());
                    if let Some(sleeper) = waiting.find_map(|slot| slot.sleeper.as_ref()) {
                        sleeper.notify_one();
                    }
                }
                Ok(()) => {}
                Err(reason) => {
                    self.lost.store(true, Ordering::Release);
                    inbox.dead.get_or_insert(reason);
                    inbox
                        .slots
                        .values()
                        .filter_map(|slot| slot.sleeper.as_ref())
                        .for_each(|s| s.notify_one());
                }
            }
        }
    }

    /// Sleeps until the reply to a request has come, or somebody has to read.
    fn sleep<'a>(&self, mut inbox: MutexGuard<'a, Inbox>, id: u64) -> MutexGuard<'a, Inbox> {
        let sleeper = Arc::new(Condvar::new());
        if let Some(slot) = inbox.slots.get_mut(&id) {
            slot.sleeper = Some(Arc::clone(&sleeper));
            inbox.sleepers += 1;
        }
        inbox = sleeper.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = inbox.slots.get_mut(&id)
            && slot.sleeper.take().is_some()
        {
            inbox.sleepers -= 1;
        }
        inbox
    }

    /// Nobody will ask for these replies.
    pub(crate) fn abandon(&self, ids: Range<u64>) {
        if self.is_forked() {
            return;
        }
        let abandoned: Vec<Slot> = {
            let mut inbox = self.inbox();
            ids.filter_map(|id| inbox.slots.remove(&id)).collect()
        };
        // Dropped without the lock: references in them send messages of their own.
        drop(abandoned);
    }

    /// Reads and hands out replies, until the one to `wanted` has come.
    fn read_until(self: &Arc<Self>, wanted: u64) -> Result<(), String> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // All that is here, also behind the wanted one: others need not read for that.
            let Incoming { frames, replies, .. } = &mut *incoming;
            let understood = self.understand(frames, replies);
            let found = self.hand_out(replies, wanted);
            understood?;
            if found {
                return Ok(());
            }
            incoming.receive(&self.stream).map_err(|error| error.to_string())?;
        }
    }

    /// Takes all whole frames apart.
    fn understand(self: &Arc<Self>, frames: &mut Frames, replies: &mut Vec<Told>) -> Result<(), String> {
        let bad = |_| "the server sent a frame that is too long".to_owned();
        while let Some(content) = frames.next(LONGEST).map_err(bad)? {
            let mut objects = Vec::new();
            let reply = Reply::read(content, |object| objects.push(object))
                .map_err(|malformed| format!("the server sent no reply: {malformed}"))?;
            replies.push(match reply {
                Reply::Failed { id: 0, kind, message } => return Err(format!("{kind}: {message}")),
                Reply::Failed { id, kind, message } => (id, Err(ManagerError::from_fault(kind, message))),
                Reply::Done { id, result } => {
                    // Taken note of in any case, so that the server learns when they are not wanted.
                    let references =
                        objects.iter().map(|&object| self.references.adopt(self, object)).collect();
                    (id, Ok(Received { bytes: result.into(), references }))
                }
            });
        }
        Ok(())
    }

    /// Gives replies to whom they belong, and says whether the one to `wanted` is among them.
    fn hand_out(&self, replies: &mut Vec<Told>, wanted: u64) -> bool {
        if replies.is_empty() {
            return false;
        }
        let (mut found, mut unwanted) = (false, Vec::new());
        {
            let mut inbox = self.inbox();
            for (id, outcome) in replies.drain(..) {
                found |= id == wanted;
                match inbox.slots.get_mut(&id) {
                    Some(slot) => {
                        unwanted.extend(slot.outcome.replace(outcome));
                        if let Some(sleeper) = &slot.sleeper {
                            sleeper.notify_one();
                        }
                    }
                    None => unwanted.push(outcome),
                }
            }
        }
        // What nobody waits for is dropped without the lock.
        drop(unwanted);
        found
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A forked child's copy says nothing: the connection is the parent's.
        let request = Request { id: 0, object: 0, method: "bye", arguments: &[], count: 0 };
        self.tell(&request);
    }
}
