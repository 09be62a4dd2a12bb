//! One client's connection: bytes in, bytes out, and how far it has been let in.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

use super::Limits;
use super::listener::Stream;
use crate::manager::auth::{self, Key, Role};
use crate::manager::store::Fault;
use crate::manager::wire::frame::{self, BadLength, Frames};
use crate::manager::wire::message::{
    BadGreeting, Greeting, LONGEST_GREETING, Method, Reply, VERSION, read_proof, write_proof,
};

/// How far a client has been let in.
pub(super) enum Phase {
    /// Nothing has come.
    Stranger,
    /// Its greeting has come, ours has gone.
    Greeted { client_hello: Vec<u8>, server_hello: Vec<u8> },
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

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

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
    out: Vec<u8>,
    sent: usize,
}

impl Connection {
    pub(super) fn new(stream: Stream, who: String, now: u64) -> Self {
        Connection {
            stream,
            who,
            phase: Phase::Stranger,
            frames: Frames::default(),
            process: None,
            ended: false,
            readable: true,
            since: now,
            heard: now,
            frame_began: None,
            stalled: None,
            out: Vec::new(),
            sent: 0,
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
        self.out.len() - self.sent
    }

    /// The longest frame that is taken now.
    pub(super) fn longest(&self, limits: &Limits) -> usize {
        if self.is_inside() { limits.frame } else { LONGEST_GREETING }
    }

    /// Reads what is there, at most one chunk.
    pub(super) fn receive(&mut self, now: u64) -> std::io::Result<Arrived> {
        let mut chunk = [0; CHUNK];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(Arrived::End),
                Ok(len) => {
                    self.heard = now;
                    if !self.is_leaving() {
                        self.frames.push(&chunk[..len]);
                    }
                    return Ok(Arrived::Some);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(Arrived::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what can be sent; whether nothing is left.
    pub(super) fn flush(&mut self) -> std::io::Result<bool> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // What has been sent is forgotten once it is half of the buffer.
                    if self.sent * 2 > self.out.len() {
                        self.out.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.out.clear();
        if self.out.capacity() > 1 << 20 {
            self.out = Vec::new();
        }
        Ok(true)
    }

    pub(super) fn reply(&mut self, reply: &Reply<'_>) {
        frame::write(&mut self.out, |out| reply.write(out));
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
    pub(super) fn let_in(
        &mut self,
        content: &[u8],
        key: Option<&Key>,
        server: u64,
        limits: &Limits,
    ) -> Result<(), Fault> {
        let refused = |reason: String| Fault::new(Fault::REFUSED, reason);
        match &self.phase {
            Phase::Stranger => {
                let greeting = Greeting::read(content).map_err(|bad| match bad {
                    BadGreeting::Foreign => refused("this is a procshare manager: no greeting came".into()),
                    BadGreeting::Version(found) => {
                        refused(format!("this server speaks version {VERSION}, the client version {found}"))
                    }
                })?;
                let method = if key.is_some() { Method::Key } else { Method::Peer };
                match (method, greeting.method) {
                    (Method::Key, Method::Peer) => return Err(refused("this server needs a key".into())),
                    (Method::Peer, Method::Key) => {
                        return Err(refused("this server has no key: connect without one".into()));
                    }
                    (Method::Peer, _) if !self.stream.is_own_user() => {
                        return Err(refused(format!("{} is not the user this server runs as", self.who)));
                    }
                    _ => {}
                }
                let nonce = nonce().map_err(|error| refused(format!("no random numbers: {error}")))?;
                let mut server_hello = Vec::new();
                Greeting { method, nonce, server, longest: limits.frame as u64 }.write(&mut server_hello);
                frame::write(&mut self.out, |out| out.extend_from_slice(&server_hello));
                self.phase = Phase::Greeted { client_hello: content.to_vec(), server_hello };
                Ok(())
            }
            Phase::Greeted { client_hello, server_hello } => {
                let found = read_proof(content).map_err(|bad| refused(format!("no proof came: {bad}")))?;
                let ours = match key {
                    None => Vec::new(),
                    Some(key) if auth::is_proof(key, Role::Client, client_hello, server_hello, found) => {
                        auth::proof(key, Role::Server, client_hello, server_hello).to_vec()
                    }
                    Some(_) => return Err(refused("wrong key".into())),
                };
                frame::write(&mut self.out, |out| write_proof(out, &ours));
                self.phase = Phase::Inside;
                Ok(())
            }
            Phase::Inside | Phase::Leaving => Ok(()),
        }
    }
}

/// Random bytes that nobody has seen.
pub(crate) fn nonce<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// What a frame of a length that is not taken means.
pub(super) fn bad_length(BadLength { announced }: BadLength, most: usize) -> Fault {
    Fault::new(Fault::PROTOCOL, format!("a frame of {announced} bytes: 1 to {most} are taken"))
}
