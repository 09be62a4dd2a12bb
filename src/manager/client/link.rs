//! A connection that many threads call through at once.
//!
//! There is no thread of its own. Of those who wait for a reply one is the **reader**: it reads what comes, gives each reply to
//! whom it belongs, and when its own has come, lets another one read. So a call alone costs one write and one read, and a call
//! that waits on the server delays nobody.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;

use super::channel::{Outgoing, channel};
use super::hello::{self, Welcome};
use super::inbox::Inbox;
use super::manager::Connector;
use super::pulse;
use super::reader::{One, Sink, Turn};
use super::reference::{Reference, References};
use super::short::Short;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::transport::Transport;
use crate::manager::wire::frame;
use crate::manager::wire::message::Request;
use crate::net::Address;
use crate::net::tls::Carried;
use crate::sys::Identity;
use crate::sys::sockets::{Shut, Stream};

/// What a reply brought.
pub(crate) struct Received {
    pub(crate) bytes: Short,
    /// The objects that it refers to.
    pub(crate) references: Vec<Arc<Reference>>,
}

pub(crate) struct Link {
    pub(crate) address: Address,
    /// The number of the server's run.
    pub(crate) server: u64,
    /// The longest frame that the server takes.
    pub(super) longest: usize,
    /// Reads 0 in a forked child, whose connection this is not.
    process: Identity,
    pub(crate) transport: Transport,
    pub(super) stream: Stream,
    /// What carries the stream, over TLS.
    carried: Option<Carried>,
    /// Held while frames are written; who holds it may lock the inbox, not the other way round.
    outgoing: Mutex<Outgoing>,
    inbox: Mutex<Inbox>,
    /// The same as `inbox.dead`, to be asked without the lock.
    pub(super) lost: AtomicBool,
    next: AtomicU64,
    pub(super) references: References,
    /// Who asks whether the server still answers, if anybody does.
    pulse: OnceLock<Thread>,
}

impl Link {
    pub(crate) fn connect(address: &Address, connector: &Connector) -> ManagerResult<Arc<Self>> {
        let patience = connector.patience;
        let welcome = hello::enter(address, connector)?;
        let Welcome { stream, carried, frames, rings, server, longest } = welcome;
        let transport = if rings.is_some() { Transport::Ring } else { Transport::Socket };
        let (incoming, outgoing) = channel(frames, rings, patience);
        let prepare = |source| ManagerError::Io {
            action: "prepare a connection to",
            address: address.to_string(),
            source,
        };
        let process = Identity::new().map_err(prepare)?;
        process.set(1);
        let link = Arc::new(Link {
            address: address.clone(),
            server,
            longest,
            process,
            transport,
            stream,
            carried,
            outgoing: Mutex::new(outgoing),
            inbox: Mutex::new(Inbox::new(incoming)),
            lost: AtomicBool::new(false),
            next: AtomicU64::new(1),
            references: References::default(),
            pulse: OnceLock::new(),
        });
        if let Some(patience) = patience {
            let thread = pulse::watch(&link, patience).map_err(prepare)?;
            // Nobody else has the connection yet.
            let _ = link.pulse.set(thread);
        }
        Ok(link)
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

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn gone(&self, reason: &str, maybe_done: bool) -> ManagerError {
        ManagerError::Disconnected { address: self.address.to_string(), reason: reason.into(), maybe_done }
    }

    /// The next `count` numbers of requests.
    pub(crate) fn numbers(&self, count: u64) -> Range<u64> {
        // Relaxed: nothing but that no number comes twice.
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }

    /// Sends a request, and gives the number under which its reply will come.
    pub(crate) fn send(&self, request: &Request<'_>) -> ManagerResult<u64> {
        self.check_process()?;
        let id = self.numbers(1).start;
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = std::mem::take(&mut outgoing.buffer);
        let sent = self.write(&mut bytes, &Request { id, ..*request }).and_then(|()| {
            let mut inbox = self.inbox();
            self.check_alive(&inbox)?;
            inbox.register(std::iter::once(id));
            drop(inbox);
            self.send_all(&mut outgoing, &bytes);
            Ok(id)
        });
        outgoing.keep(bytes);
        sent
    }

    /// Writes a request behind others, if the server takes one of its length.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>, request: &Request<'_>) -> ManagerResult<()> {
        let before = out.len();
        request.write_frame(out);
        let len = out.len() - before - frame::PREFIX;
        if len > self.longest {
            out.truncate(before);
            return Err(self.too_long(len));
        }
        Ok(())
    }

    #[cold]
    pub(super) fn too_long(&self, len: usize) -> ManagerError {
        let message = format!("a call of {len} bytes, where the server takes {}", self.longest);
        ManagerError::Limit { message }
    }

    /// Refuses a forked child, whose connection this is not.
    pub(super) fn check_process(&self) -> ManagerResult<()> {
        if self.is_forked() {
            return Err(ManagerError::Forked { address: self.address.to_string() });
        }
        Ok(())
    }

    /// Why nothing can be sent.
    pub(super) fn refusal(&self) -> ManagerError {
        let refused = self.check_process().and_then(|()| self.check_alive(&self.inbox()));
        refused.err().unwrap_or_else(|| self.lost_reply())
    }

    fn check_alive(&self, inbox: &Inbox) -> ManagerResult<()> {
        match &inbox.dead {
            None => Ok(()),
            Some(reason) => Err(self.gone(reason, false)),
        }
    }

    fn send_all(&self, outgoing: &mut Outgoing, bytes: &[u8]) {
        let sent = outgoing.send(&self.stream, bytes);
        self.note_failure(sent);
    }

    /// What the server said last is worth more than the failure of our write: the reader will find it.
    fn note_failure(&self, sent: io::Result<()>) {
        if let Err(error) = sent {
            if error.kind() == io::ErrorKind::TimedOut {
                self.die("the server has not taken anything for as long as it may".into());
            }
            self.stream.shut(Shut::Both);
            tracing::debug!(address = %self.address, %error, "a call could not be sent");
        }
    }

    /// Asks the server for a sign of life, unless somebody is sending; the number of the request.
    pub(super) fn knock(&self) -> Option<u64> {
        let mut outgoing = match self.outgoing.try_lock() {
            Ok(outgoing) => outgoing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Whoever sends is told if the server takes nothing.
            Err(TryLockError::WouldBlock) => return None,
        };
        let id = self.numbers(1).start;
        let mut bytes = std::mem::take(&mut outgoing.buffer);
        Request { id, object: 0, method: "ping", arguments: &[], count: 0 }.write_frame(&mut bytes);
        self.inbox().register(std::iter::once(id));
        self.send_all(&mut outgoing, &bytes);
        outgoing.keep(bytes);
        Some(id)
    }

    /// Ends the connection for a reason of this side's.
    pub(super) fn give_up(&self, reason: String) {
        tracing::debug!(address = %self.address, reason, "a connection is given up");
        self.die(reason);
        // The reader finds out by this.
        self.stream.shut(Shut::Both);
    }

    /// Does one call.
    pub(crate) fn run(self: &Arc<Self>, request: &Request<'_>) -> ManagerResult<Received> {
        let (Some(mut turn), ids) = (self.try_turn()?, self.numbers(1)) else {
            return self.wait(self.send(request)?);
        };
        let mut bytes = turn.take_scratch();
        let mut one = One::new(ids.start);
        let done = self
            .write(&mut bytes, &Request { id: ids.start, ..*request })
            .map(|()| self.converse(&mut turn, &bytes, ids, &mut one));
        turn.keep_scratch(bytes);
        done?;
        one.outcome.unwrap_or_else(|| Err(self.lost_reply()))
    }

    /// Sends requests, which are written one behind the other, and waits for their replies.
    pub(crate) fn exchange(
        self: &Arc<Self>,
        bytes: &[u8],
        ids: Range<u64>,
        sink: &mut impl Sink,
    ) -> ManagerResult<()> {
        if let Some(mut turn) = self.try_turn()? {
            self.converse(&mut turn, bytes, ids, sink);
            return Ok(());
        }
        {
            let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut inbox = self.inbox();
            self.check_alive(&inbox)?;
            inbox.register(ids.clone());
            drop(inbox);
            self.send_all(&mut outgoing, bytes);
        }
        self.wait_all(ids, sink);
        Ok(())
    }

    /// The reader's turn, if nobody has it.
    fn try_turn(self: &Arc<Self>) -> ManagerResult<Option<Turn<'_>>> {
        self.check_process()?;
        let mut inbox = self.inbox();
        self.check_alive(&inbox)?;
        Ok(inbox.incoming.take().map(|incoming| Turn::new(self, incoming)))
    }

    /// Sends as the reader, and reads what comes. So replies need not be put down for anybody to find: nobody else can read them. But the
    /// reader never waits for room, because it is who reads that makes room: if not all can be sent at once, it reads no longer.
    fn converse(self: &Arc<Self>, turn: &mut Turn<'_>, bytes: &[u8], ids: Range<u64>, sink: &mut impl Sink) {
        let mut sent = 0;
        let outgoing = match self.outgoing.try_lock() {
            Ok(outgoing) => Some(outgoing),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let outgoing = outgoing.and_then(|mut outgoing| {
            match outgoing.try_send(&self.stream, bytes) {
                Ok(len) => sent = len,
                Err(error) => {
                    sent = bytes.len();
                    self.note_failure(Err(error));
                }
            }
            // The rest goes before anybody else's bytes.
            (sent < bytes.len()).then_some(outgoing)
        });
        if sent == bytes.len() {
            return turn.read_for(sink);
        }
        self.inbox().register(ids.clone());
        turn.end();
        let mut outgoing =
            outgoing.unwrap_or_else(|| self.outgoing.lock().unwrap_or_else(PoisonError::into_inner));
        self.send_all(&mut outgoing, &bytes[sent..]);
        drop(outgoing);
        self.wait_all(ids, sink);
    }

    /// Sends a request to which no reply is wanted, if the connection still is.
    pub(crate) fn tell(&self, request: &Request<'_>) {
        if self.is_forked() || self.is_lost() {
            return;
        }
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = std::mem::take(&mut outgoing.buffer);
        Request { id: 0, ..*request }.write_frame(&mut bytes);
        // If it cannot be sent, the server sees the end of the connection, which means the same.
        self.send_all(&mut outgoing, &bytes);
        outgoing.keep(bytes);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A forked child's copy says nothing: the connection is the parent's.
        let request = Request { id: 0, object: 0, method: "bye", arguments: &[], count: 0 };
        self.tell(&request);
        if let Some(pulse) = self.pulse.get() {
            pulse.unpark();
        }
        if !self.is_forked()
            && let Some(carried) = &mut self.carried
        {
            self.stream.shut(Shut::Both);
            carried.drain();
        }
    }
}
