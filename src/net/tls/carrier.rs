//! The turns of tunnels, in one thread: as many as there are, and none is waited for.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::tunnel::{ROOM, Stand, Tunnel};

/// The token of whoever wakes a carrier.
pub(super) const WAKER: Token = Token(usize::MAX);

/// Tunnels, and the thread's place to wait for them.
pub(super) struct Carrier {
    poll: Poll,
    events: Events,
    tunnels: BTreeMap<usize, Tunnel>,
    next: usize,
    /// Those that can do something.
    busy: Vec<usize>,
    room: Vec<u8>,
}

impl Carrier {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Carrier {
            poll: Poll::new()?,
            events: Events::with_capacity(256),
            tunnels: BTreeMap::new(),
            next: 0,
            busy: Vec::new(),
            room: vec![0; ROOM],
        })
    }

    pub(super) fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tunnels.is_empty()
    }

    /// Takes a tunnel over.
    pub(super) fn add(&mut self, mut tunnel: Tunnel) -> io::Result<()> {
        let (number, both) = (self.next, Interest::READABLE | Interest::WRITABLE);
        self.next += 1;
        let (wire, near) = tunnel.sockets();
        self.poll.registry().register(wire, Token(number * 2), both)?;
        self.poll.registry().register(near, Token(number * 2 + 1), both)?;
        self.tunnels.insert(number, tunnel);
        self.busy.push(number);
        Ok(())
    }

    /// All tunnels end no later than then.
    pub(super) fn hurry(&mut self, until: Instant) {
        self.tunnels.values_mut().for_each(|tunnel| tunnel.hurry(until));
    }

    /// Waits until some tunnel can do something, and lets it.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let Token(token) = event.token();
            let Some(tunnel) = self.tunnels.get_mut(&(token / 2)) else { continue };
            if token % 2 == 0 {
                tunnel.hear_wire(event)
            } else {
                tunnel.hear_near(event)
            }
            self.busy.push(token / 2);
        }
        let now = Instant::now();
        let is_late = |tunnel: &Tunnel| tunnel.until().is_some_and(|until| now >= until);
        self.busy
            .extend(self.tunnels.iter().filter(|(_, tunnel)| is_late(tunnel)).map(|(&number, _)| number));
        self.busy.sort_unstable();
        self.busy.dedup();
        let (tunnels, room, registry) = (&mut self.tunnels, &mut self.room, self.poll.registry());
        self.busy.retain(|number| {
            let stand = tunnels.get_mut(number).map_or(Stand::Rests, |tunnel| tunnel.turn(room));
            if stand == Stand::Over
                && let Some(tunnel) = tunnels.remove(number)
            {
                tunnel.end(registry);
            }
            stand == Stand::More
        });
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.busy.is_empty() {
            return Some(Duration::ZERO);
        }
        let first = self.tunnels.values().filter_map(Tunnel::until).min()?;
        // Rounded up: the system counts milliseconds.
        Some(first.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }
}
