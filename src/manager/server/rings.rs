//! Rings of clients on this machine: handed out on request, looked at without asking the system while they are in use.
//!
//! A client's ring is **watched** or not. Who writes into one that is not watched rings over the socket, and the event loop wakes. From
//! then on the ring is watched, until nothing has come through any of them for some fifty microseconds, or for some
//! milliseconds through this one. While rings are watched the system is asked for events only now and then.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use tracing::debug;

use super::event_loop::EventLoop;
use crate::manager::store::{ClientId, Fault};
use crate::manager::wire::frame;
use crate::manager::wire::message::Reply;
use crate::manager::wire::pack;
use crate::park::{Courtesy, Keen};
use crate::queue::stream::{self, Inlet, Nonsense, Outlet};
use crate::sys::pages;
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// The two rings of a client.
pub(super) struct Rings {
    inlet: Inlet,
    outlet: Outlet,
    /// Whether the loop looks at it by itself.
    watched: bool,
    /// When something came last, as far as it was looked at.
    used: u64,
}

/// How long a ring is watched that is not used while others are.
const QUIET: u64 = 2_000_000;

/// How often the system is asked for events while rings are in use.
const ASK: u64 = 50_000;

/// So many sockets are looked at without asking the system which of them.
const FEW_SOCKETS: usize = 2;

/// What is watched.
pub(super) struct Watch {
    clients: Vec<ClientId>,
    keen: Keen,
    /// Clients without rings of which something came in the last turn, unless they are many.
    sockets: Vec<ClientId>,
    courtesy: Courtesy,
    /// Whether these were looked at without anything having come of it.
    in_vain: bool,
    /// When the system was asked for events.
    asked: u64,
}

fn nonsense(_: Nonsense) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it wrote nonsense into its rings")
}

impl Rings {
    /// Makes rings of so many bytes each, and a descriptor of them for the client.
    fn new(size: usize, now: u64) -> io::Result<(Self, OwnedFd)> {
        let (inlet, outlet, file) = stream::make(size)?;
        Ok((Rings { inlet, outlet, watched: false, used: now }, file))
    }

    pub(super) fn has_come(&self) -> bool {
        self.inlet.has_come()
    }

    /// Takes what has come.
    pub(super) fn take(&mut self, socket: &Stream, to: &mut [u8]) -> io::Result<usize> {
        let (len, writer_sleeps) = self.inlet.take(to).map_err(nonsense)?;
        if writer_sleeps {
            stream::ring(socket);
        }
        Ok(len)
    }

    /// Puts what there is room for; `WouldBlock` if there is none: then the client rings when there is.
    pub(super) fn put(&mut self, socket: &Stream, from: &[u8]) -> io::Result<usize> {
        loop {
            let (len, reader_sleeps) = self.outlet.put(from).map_err(nonsense)?;
            if reader_sleeps {
                stream::ring(socket);
            }
            if len > 0 {
                return Ok(len);
            }
            if self.outlet.fall_asleep().map_err(nonsense)? {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
    }
}

impl Watch {
    pub(super) fn new() -> Self {
        Watch {
            clients: Vec::new(),
            keen: Keen::new(),
            sockets: Vec::new(),
            courtesy: Courtesy::new(),
            in_vain: false,
            asked: 0,
        }
    }

    /// The system is being asked for events.
    pub(super) fn asks(&mut self, now: u64) {
        self.asked = now;
    }
}

impl EventLoop {
    /// Looks at the watched rings, for a while if nothing has come; whether the system needs not be asked for events yet.
    pub(super) fn watch(&mut self, now: u64) -> bool {
        let mut sockets = std::mem::take(&mut self.watch.sockets);
        let look = self.watch.clients.is_empty()
            && now.saturating_sub(self.watch.asked) < ASK
            && self.look_at_sockets(&sockets);
        sockets.clear();
        self.watch.sockets = sockets;
        if self.watch.clients.is_empty() {
            return look;
        }
        loop {
            let (connections, ready) = (&mut self.connections, &mut self.ready);
            for client in &self.watch.clients {
                if let Some(connection) = connections.get_mut(client)
                    && connection.has_come()
                    && !std::mem::replace(&mut connection.is_ready, true)
                {
                    ready.push(*client);
                }
            }
            if !self.ready.is_empty() {
                self.watch.keen.begin();
                return now.saturating_sub(self.watch.asked) < ASK;
            }
            if !self.watch.keen.snooze() {
                self.watch.keen.begin();
                self.unwatch(u64::MAX);
                return false;
            }
        }
    }

    /// Lets those run who have just called through sockets, if their next calls have come by then as a rule; whether to look.
    fn look_at_sockets(&mut self, sockets: &[ClientId]) -> bool {
        if std::mem::take(&mut self.watch.in_vain) {
            self.watch.courtesy.was_in_vain();
        }
        if sockets.is_empty() || sockets.len() > FEW_SOCKETS || !self.ready.is_empty() {
            return false;
        }
        if !self.watch.courtesy.offer() {
            return false;
        }
        self.watch.in_vain = true;
        for &client in sockets {
            if let Some(connection) = self.connections.get_mut(&client) {
                connection.readable = true;
                self.mark_ready(client);
            }
        }
        true
    }

    /// Something has come through a client's socket.
    fn note_socket(&mut self, client: ClientId) {
        self.watch.in_vain = false;
        let sockets = &mut self.watch.sockets;
        if sockets.len() <= FEW_SOCKETS && sockets.last() != Some(&client) {
            sockets.push(client);
        }
    }

    /// Stops watching rings that have not been used since; their next bytes ring.
    pub(super) fn unwatch(&mut self, since: u64) {
        let (connections, ready) = (&mut self.connections, &mut self.ready);
        self.watch.clients.retain(|client| {
            let Some(connection) = connections.get_mut(client) else { return false };
            let Some(rings) = &mut connection.rings else { return false };
            if rings.used >= since || !rings.inlet.fall_asleep() {
                if rings.used < since && !std::mem::replace(&mut connection.is_ready, true) {
                    ready.push(*client);
                }
                return true;
            }
            rings.watched = false;
            false
        });
    }

    /// Stops watching rings that others have outrun.
    pub(super) fn unwatch_quiet(&mut self, now: u64) {
        self.unwatch(now.saturating_sub(QUIET));
    }

    /// Something has come from a client: its ring is watched.
    pub(super) fn watch_client(&mut self, client: ClientId, now: u64) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        let Some(rings) = &mut connection.rings else { return self.note_socket(client) };
        rings.used = now;
        if !std::mem::replace(&mut rings.watched, true) {
            rings.inlet.wake_up();
            self.watch.clients.push(client);
        }
    }

    /// Gives a client rings, if it can have some: from its next byte on everything travels through them.
    pub(super) fn hand_out_rings(&mut self, client: ClientId, request: u64, now: u64) -> Result<(), Fault> {
        let size = self.limits.ring;
        let Some(connection) = self.connections.get_mut(&client) else { return Ok(()) };
        let made = match connection.flush() {
            _ if connection.stream.is_remote() => Err("there are no rings over TCP".into()),
            _ if connection.rings.is_some() => Err("it has rings".into()),
            _ if size == 0 => Err("this server gives out no rings".into()),
            Ok(true) => Rings::new(size, now).map_err(|error| format!("no rings could be made: {error}")),
            _ => Err("it has answers to read first".into()),
        };
        let reply = |reply: &Reply<'_>| {
            let mut bytes = Vec::new();
            frame::write(&mut bytes, |out| reply.write(out));
            bytes
        };
        let sent = match made {
            Err(reason) => Err(reason),
            Ok((rings, file)) => {
                let mut result = Vec::new();
                pack::uint(&mut result, size as u64);
                let bytes = reply(&Reply::Done { id: request, result: &result });
                match pages::send(&connection.stream, &bytes, &file, Deadline::Now) {
                    Ok(len) if len == bytes.len() => Ok(rings),
                    // It cannot be taken back.
                    Ok(_) => return Err(Fault::new(Fault::LIMIT, "it does not read its answers")),
                    Err(error) => Err(format!("no rings could be sent: {error}")),
                }
            }
        };
        match sent {
            Ok(rings) => {
                debug!(client, size, "a client gets rings");
                connection.rings = Some(rings);
                self.store.note_rings(client);
                self.watch_client(client, now);
            }
            Err(message) => {
                debug!(client, message, "a client gets no rings");
                connection.reply(&Reply::Failed { id: request, kind: Fault::REFUSED, message: &message });
                self.mark_dirty(client);
            }
        }
        Ok(())
    }
}
