//! One client's connection: bytes in, bytes out, and how far it has been let in.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use super::Limits;
use super::outbox::Outbox;
use super::rings::Rings;
use crate::manager::store::Fault;
use crate::manager::wire::frame::Frames;
use crate::manager::wire::message::Reply;
use crate::net::greeting::LONGEST_GREETING;
use crate::net::handshake::{Door, Doubt, Terms};
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// How far a client has been let in.
pub(super) enum Phase {
    /// It shows who it is.
    Outside(Door),
    /// It calls.
    Inside,
    /// It is being thrown out: what it sends is not looked at.
    Leaving,
}

/// What reading has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Some,
    Nothing,
    /// The other end will send no more.
    End,
}

/// How long a client is silent until its buffers are given back, and how large those are that stay.
const REST: u64 = 1_000_000_000;
const SMALL: usize = 8 << 10;

/// Bells that are heard at once.
const BELLS: usize = 64;

/// Bytes that are thrown away at once.
const CHUNK: usize = 4 << 10;

/// What a frame has at most beside its result.
const BESIDE: usize = 16;

pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) who: String,
    pub(super) phase: Phase,
    pub(super) frames: Frames,
    /// Tells when the client's process has ended, also if a forked child keeps the connection open.
    pub(super) process: Option<OwnedFd>,
    /// Whether it has.
    pub(super) ended: bool,
    /// Whether the system may have more bytes for us.
    pub(super) readable: bool,
    /// Whether the system has said that the other end will send no more.
    pub(super) is_ending: bool,
    /// When it came, or began to leave.
    pub(super) since: u64,
    /// When the last byte came.
    pub(super) heard: u64,
    /// When the frame began that is not complete.
    pub(super) frame_began: Option<u64>,
    /// Since when too much is unread.
    pub(super) stalled: Option<u64>,
    /// Through which calls and answers travel, instead of the stream.
    pub(super) rings: Option<Rings>,
    /// Whether it is among those that the next turn looks at.
    pub(super) is_ready: bool,
    /// Whether it is among those to which the turn's end sends.
    pub(super) is_dirty: bool,
    pub(super) out: Outbox,
}

impl Connection {
    pub(super) fn new(stream: Stream, who: String, now: u64) -> Self {
        Connection {
            stream,
            who,
            phase: Phase::Outside(Door::default()),
            frames: Frames::default(),
            process: None,
            ended: false,
            readable: true,
            is_ending: false,
            since: now,
            heard: now,
            frame_began: None,
            stalled: None,
            rings: None,
            is_ready: false,
            is_dirty: false,
            out: Outbox::default(),
        }
    }

    pub(super) fn is_inside(&self) -> bool {
        matches!(self.phase, Phase::Inside)
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving)
    }

    /// How many bytes wait to be sent.
    pub(super) fn unread(&self) -> usize {
        self.out.unread()
    }

    /// The longest frame that is taken now.
    pub(super) fn longest(&self, limits: &Limits) -> usize {
        if self.is_inside() { limits.frame } else { LONGEST_GREETING }
    }

    /// Reads what is there, at most as much as there is room for.
    pub(super) fn receive(&mut self, now: u64) -> std::io::Result<Arrived> {
        if let Some(rings) = &mut self.rings {
            let taken = match self.phase {
                Phase::Leaving => rings.take(&self.stream, &mut [0; CHUNK])?,
                _ => self.frames.read(|room| rings.take(&self.stream, room))?,
            };
            if taken > 0 {
                self.heard = now;
                return Ok(Arrived::Some);
            }
            if !self.readable {
                return Ok(Arrived::Nothing);
            }
        }
        let read = match (&self.rings, &self.phase) {
            // Bells: they have been heard.
            (Some(_), _) => self.stream.recv(&mut [0; BELLS], Deadline::Now),
            (_, Phase::Leaving) => self.stream.recv(&mut [0; CHUNK], Deadline::Now),
            _ => self.frames.read(|room| {
                let len = self.stream.recv(room, Deadline::Now)?;
                // That was all. What comes from now on makes another event, but not the end that this event told of.
                self.readable = self.is_ending || len == room.len() || len == 0;
                Ok(len)
            }),
        };
        match read {
            // What it wrote before it closed the connection.
            Ok(0) if self.has_come() => Ok(Arrived::Some),
            Ok(0) => Ok(Arrived::End),
            Ok(_) => {
                self.heard = now;
                Ok(Arrived::Some)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Arrived::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what can be sent; whether nothing is left.
    pub(super) fn flush(&mut self) -> std::io::Result<bool> {
        let (rings, stream) = (&mut self.rings, &self.stream);
        self.out.send(|bytes| match rings {
            Some(rings) => rings.put(stream, bytes),
            None => stream.send(bytes, Deadline::Now),
        })
    }

    /// Gives large buffers back if nothing has come for a while.
    pub(super) fn rest(&mut self, now: u64) {
        if now.saturating_sub(self.heard) > REST {
            self.frames.shrink(SMALL);
            self.out.shrink(SMALL);
        }
    }

    /// Whether something has come that can be seen without asking the system.
    pub(super) fn has_come(&self) -> bool {
        self.rings.as_ref().is_some_and(Rings::has_come)
    }

    pub(super) fn reply(&mut self, reply: &Reply<'_>) {
        self.out.reply(reply);
    }

    /// Says why, and looks at nothing any more.
    pub(super) fn throw_out(&mut self, fault: &Fault, now: u64) {
        if !self.is_leaving() {
            self.reply(&Reply::Failed { id: 0, kind: fault.kind, message: &fault.message });
            self.phase = Phase::Leaving;
            self.since = now;
            self.frames = Frames::default();
            self.frame_began = None;
        }
    }

    /// Takes one frame of somebody who is not inside.
    ///
    /// `room` says no if there are as many clients as there may be: that is told to those who may know.
    pub(super) fn let_in(
        &mut self,
        content: &[u8],
        terms: &Terms<'_>,
        room: impl FnOnce() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Phase::Outside(door) = &mut self.phase else { return Ok(()) };
        let step = door.hear(terms, &self.stream, content);
        let step = step.map_err(|Doubt(reason)| Fault::new(Fault::REFUSED, reason))?;
        if let Some(other) = step.inside {
            room()?;
            self.phase = Phase::Inside;
            self.out.takes = usize::try_from(other.longest).unwrap_or(usize::MAX).saturating_sub(BESIDE);
        }
        self.out.say(&step.say);
        Ok(())
    }
}
