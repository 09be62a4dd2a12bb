//! One client's connection: bytes in, bytes out, and how far it has been let in.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use super::Limits;
use super::rings::Rings;
use crate::manager::store::{Fault, Glance, Outcome};
use crate::manager::wire::frame::{self, Frames};
use crate::manager::wire::message::{Reply, write_done, write_found};
use crate::manager::wire::pack;
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

/// A longer result is looked at as any other.
const PLAIN: usize = 1 << 10;

/// What is to be sent to a client.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them have been.
    sent: usize,
    /// The longest result it takes.
    pub(super) takes: usize,
}

impl Outbox {
    /// How many bytes wait to be sent.
    #[inline]
    pub(super) fn unread(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn reply(&mut self, reply: &Reply<'_>) {
        frame::write(&mut self.bytes, |out| reply.write(out));
    }

    /// Answers a call.
    #[inline]
    pub(super) fn answer(&mut self, id: u64, outcome: &Outcome) {
        match outcome {
            Ok(result) if result.len() <= self.takes => write_done(&mut self.bytes, id, result),
            Ok(result) => {
                let message = format!("the result has {} bytes, more than the client takes", result.len());
                self.reply(&Reply::Failed { id, kind: Fault::LIMIT, message: &message });
            }
            Err(Fault { kind, message }) => self.reply(&Reply::Failed { id, kind, message }),
        }
    }

    /// Answers a call by what was found at a glance; `false` if that is no plain result.
    #[inline]
    pub(super) fn show(&mut self, id: u64, glance: Glance<'_>) -> bool {
        match glance {
            Glance::Maybe(None) => write_done(&mut self.bytes, id, &[0x90]),
            Glance::Maybe(Some(datum)) => {
                if !datum.references().is_empty() || datum.bytes().len() >= self.takes.min(PLAIN) {
                    return false;
                }
                write_found(&mut self.bytes, id, datum.bytes());
            }
            Glance::Bool(value) => write_done(&mut self.bytes, id, &[if value { 0xc3 } else { 0xc2 }]),
            Glance::Number(number) => {
                let (digits, width) = pack::uint_in(number);
                write_done(&mut self.bytes, id, &digits[..width]);
            }
        }
        true
    }

    /// Keeps no more memory than that, if nothing is here.
    fn shrink(&mut self, most: usize) {
        if self.bytes.is_empty() && self.bytes.capacity() > most {
            self.bytes = Vec::new();
        }
    }

    /// Lets `send` send what there is; whether nothing is left.
    fn send(&mut self, mut send: impl FnMut(&[u8]) -> std::io::Result<usize>) -> std::io::Result<bool> {
        while self.sent < self.bytes.len() {
            match send(&self.bytes[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // What has been sent is forgotten once it is half of the buffer.
                    if self.sent * 2 > self.bytes.len() {
                        self.bytes.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.bytes.clear();
        if self.bytes.capacity() > 1 << 20 {
            self.bytes = Vec::new();
        }
        Ok(true)
    }
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
            (Some(_), _) | (_, Phase::Leaving) => self.stream.recv(&mut [0; CHUNK], Deadline::Now),
            _ => self.frames.read(|room| self.stream.recv(room, Deadline::Now)),
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
        frame::write(&mut self.out.bytes, |out| out.extend_from_slice(&step.say));
        Ok(())
    }
}
