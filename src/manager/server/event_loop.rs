//! One thread for all clients: it reads, lets the store do it, and writes; nothing in it waits for one client.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::Limits;
use super::connection::Connection;
use super::handle::Shared;
use super::rings::Watch;
use crate::manager::numbered::Numbered;
use crate::manager::store::{ClientId, Departure, Store};
use crate::net::tls::Tunnels;
use crate::net::{Address, Key};
use crate::sys::sockets::{Listener, Shut};

/// The waker's token; the listeners' follow, then the clients'.
pub(super) const WAKER: Token = Token(0);

/// Set in the token of a client's process; the rest is the client's own.
pub(super) const PROCESS: usize = 1 << (usize::BITS - 1);

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
    pub(super) connections: Numbered<Connection>,
    /// Carries those that come to `tls:` addresses. Behind the connections: when it goes, it waits for their last words.
    pub(super) tunnels: Option<Tunnels>,
    pub(super) next: ClientId,
    /// Clients with bytes or frames that have not been looked at.
    pub(super) ready: Vec<ClientId>,
    /// Clients with bytes to be sent.
    pub(super) dirty: Vec<ClientId>,
    pub(super) watch: Watch,
    /// Clients that may live but are not connected any more, until what they hold comes back.
    pub(super) lost: BTreeSet<(u64, ClientId)>,
    /// Those of the connections that are not inside, or no longer.
    pub(super) outside: BTreeSet<ClientId>,
    /// Listeners where somebody may wait.
    pub(super) knocked: BTreeSet<usize>,
    /// When a crowd was reported last.
    pub(super) crowded: Option<u64>,
    /// Listeners where somebody waits whom the system would not let in.
    pub(super) jammed: BTreeSet<usize>,
    /// Whether the time has come to look at everybody's clocks again.
    looked: u64,
}

/// How often the clients' clocks are looked at.
pub(super) const LOOK: u64 = 100_000_000;

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
            connections: Numbered::default(),
            tunnels: None,
            ready: Vec::new(),
            dirty: Vec::new(),
            watch: Watch::new(),
            lost: BTreeSet::new(),
            outside: BTreeSet::new(),
            knocked: BTreeSet::new(),
            crowded: None,
            jammed: BTreeSet::new(),
            looked: 0,
        }
    }

    pub(super) fn now(&self) -> u64 {
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
                    Token(at) if at <= self.listeners.len() => _ = self.knocked.insert(at - 1),
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
                            connection.is_ending |= event.is_read_closed() || event.is_error();
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
        if !self.ready.is_empty() || !self.knocked.is_empty() {
            return Duration::ZERO;
        }
        let now = self.now();
        let is_quiet = self.connections.is_empty() && self.jammed.is_empty();
        let look = (!is_quiet).then_some(self.looked + LOOK);
        let lost = self.lost.first().map(|&(at, _)| at);
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
        while let Some(&(at, client)) = self.lost.first()
            && at <= now
        {
            self.lost.remove(&(at, client));
            self.store.leave(now, client, Departure::Lost);
        }
        if now >= self.looked + LOOK {
            self.looked = now;
            self.look_at_clocks(now);
            self.look_at_buffers(now);
            self.knocked.append(&mut self.jammed);
            self.unwatch_quiet(now);
        }
        // Behind those who are inside, and few at a time.
        std::mem::take(&mut self.knocked).into_iter().for_each(|at| self.accept(at));
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
}
