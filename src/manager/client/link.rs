//! A connection that many threads call through at once.
//!
//! There is no thread of its own. Of those who wait for a reply one is the **reader**: it reads what comes, gives each reply to
//! whom it belongs, and when its own has come, lets another one read. So a call alone costs one write and one read, and a call
//! that waits on the server delays nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::channel::{Incoming, Outgoing, channel};
use super::hello::{self, Welcome};
use super::reference::{Reference, References};
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::numbered::Numbered;
use crate::manager::transport::Transport;
use crate::manager::wire::frame;
use crate::manager::wire::message::{Reply, Request};
use crate::net::{Address, Key};
use crate::sys::Identity;
use crate::sys::sockets::{Shut, Stream};

/// The longest frame that is taken from a server: a reply is little longer than what somebody sent.
const LONGEST: usize = 1 << 30;

/// What a reply brought.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// The objects that it refers to.
    pub(crate) references: Vec<Arc<Reference>>,
}

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

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self, reason: &str, maybe_done: bool) -> ManagerError {
        ManagerError::Disconnected { address: self.address.to_string(), reason: reason.into(), maybe_done }
    }

    /// Sends requests, and gives the numbers under which their replies will come.
    pub(crate) fn send(&self, requests: &[Request<'_>]) -> ManagerResult<Vec<u64>> {
        if self.process.get() == 0 {
            return Err(ManagerError::Forked { address: self.address.to_string() });
        }
        let first = self.next.fetch_add(requests.len() as u64, Ordering::Relaxed);
        let ids: Vec<u64> = (first..).take(requests.len()).collect();
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        for (request, &id) in requests.iter().zip(&ids) {
            let before = outgoing.buffer.len();
            frame::write(&mut outgoing.buffer, |out| Request { id, ..*request }.write(out));
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
            for &id in &ids {
                let slot = Slot { outcome: None, sleeper: None };
                inbox.slots.insert(id, slot);
            }
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
        if self.process.get() == 0 || self.is_lost() {
            return;
        }
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write(&mut outgoing.buffer, |out| Request { id: 0, ..*request }.write(out));
        // If it cannot be sent, the server sees the end of the connection, which means the same.
        let _ = outgoing.send(&self.stream);
    }

    /// Waits for the reply to a request.
    pub(crate) fn wait(self: &Arc<Self>, id: u64) -> ManagerResult<Received> {
        let mut inbox = self.inbox();
        loop {
            let Some(slot) = inbox.slots.get_mut(&id) else {
                return Err(self.gone("the reply was taken already", true));
            };
            if let Some(outcome) = slot.outcome.take() {
                inbox.slots.remove(&id);
                return outcome;
            }
            if let Some(reason) = inbox.dead.clone() {
                inbox.slots.remove(&id);
                return Err(self.gone(&reason, true));
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

    /// Nobody will ask for this reply.
    pub(crate) fn abandon(&self, id: u64) {
        let abandoned = self.inbox().slots.remove(&id);
        // Dropped without the lock: references in it send messages of their own.
        drop(abandoned);
    }

    /// Reads and hands out replies, until the one to `wanted` has come.
    fn read_until(self: &Arc<Self>, wanted: u64) -> Result<(), String> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let bad = |_| "the server sent a frame that is too long".to_owned();
            // All that is here, also behind the wanted one: others need not read for that.
            let mut found = false;
            while let Some(content) = incoming.frames.next(LONGEST).map_err(bad)? {
                found |= self.hand_out(content)? == wanted;
            }
            if found {
                return Ok(());
            }
            incoming.receive(&self.stream).map_err(|error| error.to_string())?;
        }
    }

    /// Gives a reply to whom it belongs, and says to which request it was.
    fn hand_out(self: &Arc<Self>, content: &[u8]) -> Result<u64, String> {
        let mut objects = Vec::new();
        let reply = Reply::read(content, |object| objects.push(object))
            .map_err(|malformed| format!("the server sent no reply: {malformed}"))?;
        let (id, outcome) = match reply {
            Reply::Failed { id: 0, kind, message } => return Err(format!("{kind}: {message}")),
            Reply::Failed { id, kind, message } => (id, Err(ManagerError::from_fault(kind, message))),
            Reply::Done { id, result } => {
                // Taken note of in any case, so that the server learns when they are not wanted.
                let references = objects.iter().map(|&object| self.references.adopt(self, object)).collect();
                (id, Ok(Received { bytes: result.to_vec(), references }))
            }
        };
        let mut outcome = Some(outcome);
        {
            let mut inbox = self.inbox();
            if let Some(slot) = inbox.slots.get_mut(&id) {
                slot.outcome = outcome.take();
                if let Some(sleeper) = &slot.sleeper {
                    sleeper.notify_one();
                }
            }
        }
        // What nobody waits for is dropped without the lock.
        drop(outcome);
        Ok(id)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A forked child's copy says nothing: the connection is the parent's.
        let request = Request { id: 0, object: 0, method: "bye", arguments: &[], count: 0 };
        self.tell(&request);
    }
}
