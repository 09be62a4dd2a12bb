//! What clients have sent: their frames are taken apart, and the store does what they ask.

use std::io;
use std::sync::atomic::Ordering;

use super::connection::Arrived;
use super::door::has_room;
use super::event_loop::EventLoop;
use super::outbox::Outbox;
use crate::manager::store::{ClientId, Departure, Fault};
use crate::manager::wire::PROTOCOL;
use crate::manager::wire::frame::{BadLength, Frames};
use crate::manager::wire::message::{Request, Run};
use crate::manager::wire::read::Malformed;
use crate::net::handshake::Terms;

/// How many frames of one client are looked at before the others get their turn.
const TURN: usize = 256;

/// A call that touches so many elements counts as two.
const LONG: usize = 1024;

fn bad_frame(bad: BadLength, most: usize) -> Fault {
    Fault::new(Fault::PROTOCOL, bad.told(most))
}

fn no_request(malformed: Malformed) -> Fault {
    Fault::new(Fault::PROTOCOL, format!("no request: {malformed}"))
}

/// What became of a client's frames.
struct Looked {
    /// How many were looked at.
    taken: usize,
    /// Whether no whole one is left.
    all: bool,
}

impl EventLoop {
    /// Looks at what a client has sent.
    pub(super) fn hear(&mut self, client: ClientId, now: u64) {
        let mut left = TURN;
        while left > 0 {
            let Some(connection) = self.connections.get_mut(&client) else { return };
            if connection.unread() > self.limits.unread {
                // Looked at again when it has read.
                connection.stalled.get_or_insert(now);
                return;
            }
            if connection.frames.is_inside() {
                match self.next_frames(client, left, now) {
                    Ok(Looked { taken, all }) => {
                        left -= taken;
                        if !all {
                            continue;
                        }
                    }
                    Err(fault) => return self.throw_out(client, &fault, now),
                }
            }
            left = left.saturating_sub(1);
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

    /// Does what a client's next whole frames ask, at most so many: one while the client is let in, and none behind the one whose
    /// answer is too much to be unread.
    fn next_frames(&mut self, client: ClientId, most: usize, now: u64) -> Result<Looked, Fault> {
        let Some(connection) = self.connections.get_mut(&client) else {
            return Ok(Looked { taken: 0, all: true });
        };
        if connection.is_leaving() {
            return Ok(Looked { taken: 0, all: true });
        }
        let longest = connection.longest(&self.limits);
        let inside = connection.is_inside();
        let mut frames = std::mem::take(&mut connection.frames);
        let looked = if inside {
            // The store answers; nothing else of the connection is needed meanwhile.
            let mut out = std::mem::take(&mut connection.out);
            let looked = self.calls(client, &mut frames, &mut out, (most, longest), now);
            self.give_back(client, &mut out);
            looked
        } else {
            self.let_in(client, &mut frames, longest)
        };
        let Some(connection) = self.connections.get_mut(&client) else { return looked };
        connection.frames = frames;
        let looked = looked?;
        connection.frame_began = match (looked.all && connection.frames.is_inside(), looked.taken) {
            (true, 0) => connection.frame_began.or(Some(now)),
            (true, _) => Some(now),
            _ => None,
        };
        Ok(looked)
    }

    /// Takes a frame of somebody who is not inside.
    fn let_in(&mut self, client: ClientId, frames: &mut Frames, longest: usize) -> Result<Looked, Fault> {
        let inside_all = self.connections.len() - self.outside.len();
        let Some(content) = frames.next(longest).map_err(|bad| bad_frame(bad, longest))? else {
            return Ok(Looked { taken: 0, all: true });
        };
        let (key, takes) = (self.key.as_ref(), self.limits.frame as u64);
        let terms = Terms { protocol: PROTOCOL, key, number: self.server, longest: takes };
        let Some(connection) = self.connections.get_mut(&client) else {
            return Ok(Looked { taken: 1, all: true });
        };
        let let_in = connection.let_in(content, &terms, || has_room(inside_all, &self.limits));
        let is_inside = connection.is_inside();
        self.mark_dirty(client);
        let_in?;
        if is_inside {
            self.welcome(client);
        }
        Ok(Looked { taken: 1, all: false })
    }

    /// Does calls, as many as there are up to the most. A request of several may be done in parts.
    fn calls(
        &mut self,
        client: ClientId,
        frames: &mut Frames,
        out: &mut Outbox,
        (most, longest): (usize, usize),
        now: u64,
    ) -> Result<Looked, Fault> {
        let mut left = most;
        while left > 0 && out.unread() <= self.limits.unread {
            let Some(content) = frames.next(longest).map_err(|bad| bad_frame(bad, longest))? else {
                return Ok(Looked { taken: most - left, all: true });
            };
            let len = content.len();
            let mut run = Run::read(content).map_err(no_request)?;
            let all = run.left();
            out.begin(all > 1);
            for _ in 0..std::mem::take(&mut out.done) {
                run.next().map_err(no_request)?;
            }
            while run.left() > 0 && left > 0 && out.unread() <= self.limits.unread {
                if let Some(request) = self.glances(&mut run, out, &mut left)? {
                    self.call(client, &request, out, now)?;
                    left = left.saturating_sub(self.store.worked() / LONG);
                }
            }
            out.end();
            if run.left() > 0 {
                out.done = all - run.left();
                frames.put_back(len);
            }
        }
        Ok(Looked { taken: most - left, all: false })
    }

    /// Answers calls that only look at their object; the first that does more.
    #[inline]
    fn glances<'a>(
        &self,
        run: &mut Run<'a>,
        out: &mut Outbox,
        left: &mut usize,
    ) -> Result<Option<Request<'a>>, Fault> {
        let look = self.store.look(run.object);
        while *left > 0 && out.unread() <= self.limits.unread {
            let Some(request) = run.next().map_err(no_request)? else { return Ok(None) };
            *left -= 1;
            let shown = request.id != 0
                && look
                    .and_then(|look| look.answer(&request))
                    .is_some_and(|glance| out.show(request.id, glance));
            if !shown {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// Does a call.
    fn call(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        out: &mut Outbox,
        now: u64,
    ) -> Result<(), Fault> {
        if request.object == 0 && matches!(request.method, "bye" | "ring" | "shutdown") {
            out.end();
            self.give_back(client, out);
            let done = self.of_connections(client, request, now);
            self.lend(client, out);
            return done;
        }
        if let Some(outcome) = self.store.call_for(now, client, request) {
            out.answer(request.id, &outcome);
            self.store.reuse(outcome);
        }
        if self.store.has_answers() {
            // Spread at once, so that how much a client leaves unread is known before its next call.
            out.end();
            self.give_back(client, out);
            self.deliver();
            self.lend(client, out);
        }
        Ok(())
    }

    /// Takes what is to be sent to a client out of its connection, for a while.
    fn lend(&mut self, client: ClientId, out: &mut Outbox) {
        if let Some(connection) = self.connections.get_mut(&client) {
            std::mem::swap(&mut connection.out, out);
        }
    }

    /// Puts it back.
    fn give_back(&mut self, client: ClientId, out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        std::mem::swap(&mut connection.out, out);
        if connection.unread() > 0 {
            self.mark_dirty(client);
        }
    }

    /// Does a call that is about the connection, or the server.
    fn of_connections(&mut self, client: ClientId, request: &Request<'_>, now: u64) -> Result<(), Fault> {
        match request.method {
            "bye" => {
                self.store.leave(now, client, Departure::Died);
                return Err(Fault::new(Fault::SHUTDOWN, "good bye"));
            }
            "ring" => return self.hand_out_rings(client, request.id, now),
            _ if self.ends_on_request => {
                self.shared.stop.store(true, Ordering::Release);
                return Err(Fault::new(Fault::SHUTDOWN, "the server was shut down"));
            }
            _ => {}
        }
        let outcome = self.store.call_for(now, client, request);
        if let Some(outcome) = outcome
            && let Some(connection) = self.connections.get_mut(&client)
        {
            connection.out.answer(request.id, &outcome);
            self.mark_dirty(client);
        }
        Ok(())
    }

    /// Gives the store's answers to the connections.
    pub(super) fn deliver(&mut self) {
        let mut answers = self.store.take_answers();
        for answer in answers.drain(..) {
            let Some(connection) = self.connections.get_mut(&answer.client) else { continue };
            if connection.is_leaving() {
                continue;
            }
            connection.out.answer(answer.request, &answer.outcome);
            if !std::mem::replace(&mut connection.is_dirty, true) {
                self.dirty.push(answer.client);
            }
            self.store.reuse(answer.outcome);
        }
        self.store.reuse_answers(answers);
    }
}
