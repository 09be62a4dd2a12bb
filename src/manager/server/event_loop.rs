//! One thread for all clients: it reads, lets the store do it, and writes; nothing in it waits for one client.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tracing::{debug, info, warn};

use super::Limits;
use super::connection::{Arrived, Connection};
use super::handle::Shared;
use super::rings::Watch;
use crate::manager::store::{ClientId, Departure, Fault, Store};
use crate::manager::wire::PROTOCOL;
use crate::manager::wire::message::{Reply, Request};
use crate::net::handshake::Terms;
use crate::net::{Address, Key};
use crate::sys::sockets::{Listener, Shut};

/// The waker's token; the listeners' follow, then the clients'.
pub(super) const WAKER: Token = Token(0);

/// Set in the token of a client's process; the rest is the client's own.
const PROCESS: usize = 1 << (usize::BITS - 1);

/// How many frames of one client are looked at before the others get their turn.
const TURN: usize = 256;

/// How long a client that is thrown out is given to read why.
const FAREWELL: u64 = 1_000_000_000;

pub(super) struct EventLoop {
    pub(super) poll: Poll,
    pub(super) listeners: Vec<(Listener, Address)>,
    pub(super) key: Option<Key>,
    pub(super) limits: Limits,
    pub(super) server: u64,
    pub(super) store: Store,
    pub(super) shared: std::sync::Arc<Shared>,
    /// Whether a client may end the server.
    pub(super) ends_on_request: bool,
    started: Instant,
    pub(super) connections: HashMap<ClientId, Connection>,
    next: ClientId,
    /// Clients with bytes or frames that have not been looked at.
    pub(super) ready: Vec<ClientId>,
    /// Clients with bytes to be sent.
    dirty: Vec<ClientId>,
    pub(super) watch: Watch,
    /// Clients whose connection was cut, until what they hold comes back.
    lost: BTreeMap<(u64, ClientId), ()>,
    /// Whether the time has come to look at everybody's clocks again.
    looked: u64,
}

/// How often the clients' clocks are looked at.
const LOOK: u64 = 100_000_000;

impl EventLoop {
    pub(super) fn new(
        poll: Poll,
        listeners: Vec<(Listener, Address)>,
        (key, limits, server): (Option<Key>, Limits, u64),
        store: Store,
        shared: std::sync::Arc<Shared>,
    ) -> Self {
        EventLoop {
            next: 1 + listeners.len() as u64,
            poll,
            listeners,
            key,
            limits,
            server,
            store,
            shared,
            ends_on_request: false,
            started: Instant::now(),
            connections: HashMap::new(),
            ready: Vec::new(),
            dirty: Vec::new(),
            watch: Watch::new(),
            lost: BTreeMap::new(),
            looked: 0,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Serves until it is told to stop.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        // Acquire, with the Release of `shutdown`: what was done before the request is seen after it.
        while !self.shared.stop.load(Ordering::Acquire) {
            let now = self.now();
            if self.watch(now) {
                self.turn();
                continue;
            }
            self.watch.asks(now);
            let timeout = self.timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(at) if at <= self.listeners.len() => self.accept(at - 1),
                    Token(at) if at & PROCESS != 0 => {
                        let client = (at & !PROCESS) as ClientId;
                        if let Some(connection) = self.connections.get_mut(&client) {
                            connection.ended = true;
                            self.mark_ready(client);
                        }
                    }
                    Token(client) => {
                        let client = client as ClientId;
                        if let Some(connection) = self.connections.get_mut(&client) {
                            connection.readable |= event.is_readable() || event.is_error();
                            self.mark_ready(client);
                            self.mark_dirty(client);
                        }
                    }
                }
            }
            self.turn();
        }
        self.farewell();
        Ok(())
    }

    /// The next turn looks at what a client has sent.
    pub(super) fn mark_ready(&mut self, client: ClientId) {
        if let Some(connection) = self.connections.get_mut(&client)
            && !std::mem::replace(&mut connection.is_ready, true)
        {
            self.ready.push(client);
        }
    }

    /// The end of the turn sends what there is for a client.
    pub(super) fn mark_dirty(&mut self, client: ClientId) {
        if let Some(connection) = self.connections.get_mut(&client)
            && !std::mem::replace(&mut connection.is_dirty, true)
        {
            self.dirty.push(client);
        }
    }

    /// How long nothing will happen by itself.
    fn timeout(&self) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let now = self.now();
        let look = (!self.connections.is_empty()).then_some(self.looked + LOOK);
        let lost = self.lost.first_key_value().map(|(&(at, _), ())| at);
        let next = [self.store.next_deadline(), look, lost].into_iter().flatten().min();
        // Rounded up: the system counts milliseconds, and waking early would spin.
        next.map_or(Duration::from_secs(1), |next| {
            Duration::from_millis(next.saturating_sub(now).div_ceil(1_000_000).min(1000))
        })
    }

    fn turn(&mut self) {
        let now = self.now();
        self.store.advance(now);
        let mut ready = std::mem::take(&mut self.ready);
        for client in ready.drain(..) {
            if let Some(connection) = self.connections.get_mut(&client) {
                connection.is_ready = false;
                self.hear(client, now);
            }
        }
        // Those that have more to be looked at were noted meanwhile.
        ready.append(&mut self.ready);
        self.ready = ready;
        while let Some((&(at, client), ())) = self.lost.first_key_value()
            && at <= now
        {
            self.lost.remove(&(at, client));
            self.store.leave(now, client, Departure::Lost);
        }
        if now >= self.looked + LOOK {
            self.looked = now;
            self.look_at_clocks(now);
            self.unwatch_quiet(now);
        }
        self.deliver();
        let mut dirty = std::mem::take(&mut self.dirty);
        for client in dirty.drain(..) {
            if let Some(connection) = self.connections.get_mut(&client) {
                connection.is_dirty = false;
                self.send(client, now);
            }
        }
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        self.shared.objects.store(self.store.objects(), Ordering::Relaxed);
        self.shared.bytes.store(self.store.bytes(), Ordering::Relaxed);
        self.shared.clients.store(self.connections.len(), Ordering::Relaxed);
    }

    fn accept(&mut self, at: usize) {
        loop {
            let stream = match self.listeners[at].0.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // One client's failure, or too many open files: the others go on, and the next event tries again.
                Err(error) => {
                    warn!(%error, "a client could not come in");
                    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
                    {
                        return;
                    }
                    continue;
                }
            };
            let (client, now, who) = (self.next, self.now(), stream.peer());
            self.next += 1;
            let (token, fd) = (Token(client as usize), stream.as_fd().as_raw_fd());
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = self.poll.registry().register(&mut SourceFd(&fd), token, interest) {
                warn!(%error, %who, "a client could not be watched");
                continue;
            }
            let mut connection = Connection::new(stream, who, now);
            if self.connections.len() >= self.limits.clients {
                let message =
                    format!("{} clients are connected, and no more are let in", self.limits.clients);
                warn!(who = connection.who, "{message}");
                connection.throw_out(&Fault::new(Fault::LIMIT, message), now);
                // Told as far as it goes at once: nothing is kept of it.
                let _ = connection.flush();
                connection.stream.shut(Shut::Sending);
                continue;
            }
            connection.process = connection.stream.peer_end().filter(|process| {
                let (token, fd) = (Token(client as usize | PROCESS), process.as_raw_fd());
                self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE).is_ok()
            });
            debug!(client, who = connection.who, "a client connects");
            self.connections.insert(client, connection);
            self.mark_ready(client);
        }
    }

    /// Looks at what a client has sent.
    fn hear(&mut self, client: ClientId, now: u64) {
        for _ in 0..TURN {
            let Some(connection) = self.connections.get_mut(&client) else { return };
            if connection.unread() > self.limits.unread {
                // Looked at again when it has read.
                connection.stalled.get_or_insert(now);
                return;
            }
            match self.next_frame(client, now) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(fault) => return self.throw_out(client, &fault, now),
            }
            let Some(connection) = self.connections.get_mut(&client) else { return };
            if !connection.readable && !connection.has_come() {
                // What it had sent has been done.
                if connection.ended {
                    self.close(client, now, "its process has ended");
                }
                return;
            }
            match connection.receive(now) {
                Ok(Arrived::Some) => self.watch_client(client, now),
                Ok(Arrived::Nothing) => {}
                Ok(Arrived::End) => return self.close(client, now, "it closed the connection"),
                Err(error) if error.kind() == io::ErrorKind::InvalidData && !connection.is_leaving() => {
                    let fault = Fault::new(Fault::PROTOCOL, error.to_string());
                    return self.throw_out(client, &fault, now);
                }
                Err(error) => return self.close(client, now, &error.to_string()),
            }
        }
        self.mark_ready(client);
    }

    /// Does what a client's next whole frame asks, if there is one.
    fn next_frame(&mut self, client: ClientId, now: u64) -> Result<bool, Fault> {
        let Some(connection) = self.connections.get_mut(&client) else { return Ok(false) };
        if connection.is_leaving() {
            return Ok(false);
        }
        let longest = connection.longest(&self.limits);
        let inside = connection.is_inside();
        let mut frames = std::mem::take(&mut connection.frames);
        let taken = match frames.next(longest) {
            Ok(Some(content)) if inside => {
                // The store answers; nothing of the connection is needed meanwhile.
                self.call(client, content, now)
            }
            Ok(Some(content)) => {
                let (key, longest) = (self.key.as_ref(), self.limits.frame as u64);
                let terms = Terms { protocol: PROTOCOL, key, number: self.server, longest };
                let let_in = connection.let_in(content, &terms);
                self.mark_dirty(client);
                let_in.map(|()| true)
            }
            Ok(None) => Ok(false),
            Err(bad) => Err(Fault::new(Fault::PROTOCOL, bad.told(longest))),
        };
        let Some(connection) = self.connections.get_mut(&client) else { return taken };
        connection.frames = frames;
        let taken = taken?;
        if !inside && connection.is_inside() {
            info!(client, who = connection.who, "a client is let in");
            self.store.enter(client, &connection.who);
        }
        connection.frame_began = match (connection.frames.is_inside(), taken) {
            (true, false) => connection.frame_began.or(Some(now)),
            _ => None,
        };
        Ok(taken)
    }

    fn call(&mut self, client: ClientId, content: &[u8], now: u64) -> Result<bool, Fault> {
        let bad = |malformed| Fault::new(Fault::PROTOCOL, format!("no request: {malformed}"));
        let request = Request::read(content).map_err(bad)?;
        if request.object == 0 && request.method == "bye" {
            self.store.leave(now, client, Departure::Died);
            return Err(Fault::new(Fault::SHUTDOWN, "good bye"));
        }
        if request.object == 0 && request.method == "ring" {
            return self.hand_out_rings(client, request.id, now);
        }
        if request.object == 0 && request.method == "shutdown" && self.ends_on_request {
            self.shared.stop.store(true, Ordering::Release);
            return Err(Fault::new(Fault::SHUTDOWN, "the server was shut down"));
        }
        self.store.call(now, client, &request);
        // Answers are spread at once, so that how much a client leaves unread is known before its next call.
        self.deliver();
        Ok(true)
    }

    /// Gives the store's answers to the connections.
    fn deliver(&mut self) {
        for answer in self.store.take_answers() {
            let Some(connection) = self.connections.get_mut(&answer.client) else { continue };
            if connection.is_leaving() {
                continue;
            }
            let id = answer.request;
            match &answer.outcome {
                Ok(result) => connection.reply(&Reply::Done { id, result }),
                Err(Fault { kind, message }) => connection.reply(&Reply::Failed { id, kind, message }),
            }
            self.mark_dirty(answer.client);
        }
    }

    fn send(&mut self, client: ClientId, now: u64) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        match connection.flush() {
            Ok(true) if connection.is_leaving() => connection.stream.shut(Shut::Sending),
            Ok(_) => {}
            Err(error) => return self.close(client, now, &error.to_string()),
        }
        if connection.unread() <= self.limits.unread && connection.stalled.take().is_some() {
            self.mark_ready(client);
        }
    }

    /// Ends whoever has taken too long.
    fn look_at_clocks(&mut self, now: u64) {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let over = |since: u64, limit: Duration| now.saturating_sub(since) > ns(limit);
        let mut late: Vec<(ClientId, Fault)> = Vec::new();
        let mut gone = Vec::new();
        for (&client, connection) in &self.connections {
            let limits = &self.limits;
            if connection.is_leaving() {
                if now.saturating_sub(connection.since) > FAREWELL {
                    gone.push(client);
                }
            } else if !connection.is_inside() && over(connection.since, limits.handshake) {
                late.push((client, Fault::new(Fault::LIMIT, "it took too long to be let in")));
            } else if connection.frame_began.is_some_and(|began| over(began, limits.slow_frame)) {
                late.push((client, Fault::new(Fault::LIMIT, "a frame took too long to come")));
            } else if connection.stalled.is_some_and(|since| over(since, limits.stall)) {
                late.push((client, Fault::new(Fault::LIMIT, "it does not read its answers")));
            } else if limits.idle.is_some_and(|idle| over(connection.heard, idle))
                && !self.store.is_waiting(client)
            {
                late.push((client, Fault::new(Fault::LIMIT, "it was silent for too long")));
            }
        }
        late.into_iter().for_each(|(client, fault)| self.throw_out(client, &fault, now));
        gone.into_iter().for_each(|client| self.close(client, now, "it was thrown out"));
    }

    fn throw_out(&mut self, client: ClientId, fault: &Fault, now: u64) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        if fault.kind == Fault::SHUTDOWN {
            debug!(client, "a client says good bye");
        } else {
            warn!(
                client,
                who = connection.who,
                kind = fault.kind,
                reason = fault.message,
                "a client is thrown out"
            );
        }
        connection.throw_out(fault, now);
        self.store.leave(now, client, Departure::Died);
        self.mark_dirty(client);
        self.mark_ready(client);
    }

    fn close(&mut self, client: ClientId, now: u64, reason: &str) {
        let Some(connection) = self.connections.remove(&client) else { return };
        debug!(client, who = connection.who, reason, "a client is gone");
        if connection.is_inside() && connection.stream.is_remote() {
            // It may live: its guards get the time to notice the loss before others get what it holds.
            let grace = u64::try_from(self.limits.lost.as_nanos()).unwrap_or(u64::MAX);
            self.lost.insert((now.saturating_add(grace), client), ());
            return;
        }
        self.store.leave(now, client, Departure::Died);
    }

    /// Tells everybody that the server ends.
    fn farewell(&mut self) {
        info!(clients = self.connections.len(), "the server ends");
        let (now, fault) = (self.now(), Fault::new(Fault::SHUTDOWN, "the server was shut down"));
        for connection in self.connections.values_mut() {
            connection.throw_out(&fault, now);
            let _ = connection.flush();
            connection.stream.shut(Shut::Sending);
        }
    }
}
