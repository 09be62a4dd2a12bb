//! Who comes in, and who has to go.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use tracing::{debug, info, warn};

use super::Limits;
use super::connection::Connection;
use super::event_loop::{EventLoop, LOOK, PROCESS};
use crate::manager::store::{ClientId, Departure, Fault};
use crate::sys::sockets::{Shut, Stream};

/// How long a client that is thrown out is given to read why.
const FAREWELL: u64 = 1_000_000_000;

/// How many are accepted at a listener before the clients get their turn: they may come faster than that.
const AT_ONCE: usize = 16;

/// Who leaves more than this unread is not told why it is thrown out: it would not read that either.
const HOPELESS: usize = 64 << 10;

impl EventLoop {
    /// Accepts some of those who have come to a listener; if there may be more, the next turn does.
    pub(super) fn accept(&mut self, at: usize) {
        for _ in 0..AT_ONCE {
            let stream = match self.accept_one(at) {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It came and went.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                // Too many open files, or no memory. No event will tell when that is over, so it is tried again.
                Err(error) => {
                    warn!(%error, "clients cannot come in");
                    self.jammed.insert(at);
                    return;
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
            connection.process = connection.stream.peer_end().filter(|process| {
                let (token, fd) = (Token(client as usize | PROCESS), process.as_raw_fd());
                self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE).is_ok()
            });
            debug!(client, who = connection.who, "somebody connects");
            self.connections.insert(client, connection);
            self.outside.insert(client);
            self.mark_ready(client);
            self.make_room(now);
        }
        self.knocked.insert(at);
    }

    /// Accepts somebody; one that speaks TLS is carried from now on, before it has said anything.
    fn accept_one(&self, at: usize) -> io::Result<Stream> {
        let (listener, address) = &self.listeners[at];
        let stream = listener.accept()?;
        match &self.tunnels {
            Some(tunnels) if address.is_tls() => tunnels.carry(stream),
            _ => Ok(stream),
        }
    }

    /// Ends the oldest of too many strangers: who is honest is inside sooner than that.
    fn make_room(&mut self, now: u64) {
        while self.outside.len() > self.limits.strangers.max(1)
            && let Some(&oldest) = self.outside.first()
        {
            if let Some(connection) = self.connections.get_mut(&oldest) {
                let message = format!("more than {} wait to be let in", self.limits.strangers);
                connection.throw_out(&Fault::new(Fault::LIMIT, message), now);
                // Told as far as it goes at once.
                let _ = connection.flush();
            }
            // Once for many: a crowd shall not fill the log.
            if self.crowded.is_none_or(|reported| now >= reported + LOOK) {
                self.crowded = Some(now);
                warn!("more than {} wait to be let in: the oldest are ended", self.limits.strangers);
            }
            self.close(oldest, now, "too many strangers");
        }
    }

    /// Takes note of a client that has shown who it is.
    pub(super) fn welcome(&mut self, client: ClientId) {
        self.outside.remove(&client);
        if let Some(connection) = self.connections.get(&client) {
            info!(client, who = connection.who, "a client is let in");
            self.store.enter(client, &connection.who);
        }
    }

    /// Ends whoever has taken too long.
    pub(super) fn look_at_clocks(&mut self, now: u64) {
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

    /// Ends those who have the most bytes under way, as long as all have too many together.
    ///
    /// Buffers that nobody uses are given back, so that many clients that once sent much do not cost much for ever.
    pub(super) fn look_at_buffers(&mut self, now: u64) {
        self.connections.values_mut().for_each(|connection| connection.rest(now));
        let held = |connection: &Connection| connection.unread() + connection.frames.len();
        let mut total: usize = self.connections.values().map(held).sum();
        while total > self.limits.buffers {
            let most = self.connections.iter().map(|(&client, connection)| (held(connection), client)).max();
            let Some((bytes, client)) = most else { return };
            total -= bytes;
            let message = format!("{bytes} bytes under way are too many, now that others have many, too");
            let unread = self.connections.get(&client).map_or(0, Connection::unread);
            self.throw_out(client, &Fault::new(Fault::LIMIT, message), now);
            if unread > HOPELESS {
                self.close(client, now, "too many bytes under way");
            }
        }
    }

    /// Tells a client why it has to go.
    pub(super) fn throw_out(&mut self, client: ClientId, fault: &Fault, now: u64) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        if fault.kind == Fault::SHUTDOWN {
            debug!(client, "a client says good bye");
        } else {
            let (kind, reason) = (fault.kind, &fault.message);
            warn!(client, who = connection.who, kind, reason, "a client is thrown out");
        }
        connection.throw_out(fault, now);
        if self.outside.insert(client) {
            self.lose(client, now);
        }
        self.mark_dirty(client);
        self.mark_ready(client);
    }

    /// Ends a connection whose other end has gone, or has been told why.
    pub(super) fn close(&mut self, client: ClientId, now: u64, reason: &str) {
        let Some(connection) = self.connections.remove(&client) else { return };
        debug!(client, who = connection.who, reason, "a client is gone");
        if self.outside.remove(&client) {
            return;
        }
        if connection.stream.is_remote() {
            self.lose(client, now);
        } else {
            self.store.leave(now, client, Departure::Died);
        }
    }

    /// A client that may live is not connected any more: its guards get the time to notice before others get what it holds.
    fn lose(&mut self, client: ClientId, now: u64) {
        self.store.cut(now, client);
        self.lost.insert((now.saturating_add(ns(self.limits.lost)), client));
    }

    /// Tells everybody that the server ends.
    pub(super) fn farewell(&mut self) {
        info!(clients = self.connections.len(), "the server ends");
        let (now, fault) = (self.now(), Fault::new(Fault::SHUTDOWN, "the server was shut down"));
        for connection in self.connections.values_mut() {
            connection.throw_out(&fault, now);
            let _ = connection.flush();
            connection.stream.shut(Shut::Sending);
        }
    }
}

/// Whether one more than `inside` may be let in.
pub(super) fn has_room(inside: usize, limits: &Limits) -> Result<(), Fault> {
    if inside < limits.clients {
        return Ok(());
    }
    let message = format!("{} clients are connected, and no more are let in", limits.clients);
    Err(Fault::new(Fault::LIMIT, message))
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
