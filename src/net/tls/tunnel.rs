//! One connection: bytes in clear at the near end, TLS on the wire.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, Shutdown};
use std::os::unix;
use std::time::{Duration, Instant};

use mio::Registry;
use mio::event::Event;
use mio::net::{TcpStream, UnixStream};
use rustls::Connection;

use crate::net::frame;
use crate::net::greeting::write_refusal;

/// How many bytes go through at once; about what one record of TLS has.
pub(super) const ROOM: usize = 16 << 10;

/// How often bytes go through before other tunnels get their turn.
const ROUNDS: usize = 16;

/// How long whoever is sent away is given to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long the last bytes from the near end may take to get away when nobody is there any more.
const LINGER: Duration = Duration::from_secs(10);

/// The first byte of a handshake of TLS, and that of a greeting in clear: the highest of its length.
const HANDSHAKE: u8 = 0x16;
const GREETING: u8 = 0;

const SPEAK_TLS: &str =
    "TLS is spoken at this address: connect to tls:HOST:PORT, and say who vouches for the server";

/// What may be tried without waiting. Events set it, an empty socket or a full one takes it back.
#[derive(Clone, Copy, Debug)]
struct Ready {
    read: bool,
    write: bool,
}

/// What the turn of a tunnel has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// There is more to be done.
    More,
    /// Until an event.
    Rests,
    /// It has ended.
    Over,
}

/// Why a tunnel ends before its time.
enum Failure {
    /// A client that speaks in clear.
    Plain,
    /// Bytes that are not what TLS says now.
    Tls(rustls::Error),
}

/// One connection; nothing in it waits.
///
/// What goes inward is read only when the near end has taken what came before, and what goes outward when the wire has: so it holds at most a
/// record or two in each direction, however fast the one side and slow the other.
pub(super) struct Tunnel {
    tls: Connection,
    wire: TcpStream,
    near: UnixStream,
    who: String,
    wire_ready: Ready,
    near_ready: Ready,
    /// Whether nobody has said anything.
    fresh: bool,
    /// What has come, and the near end has not taken.
    came: Vec<u8>,
    /// Whether the near end has said all it will.
    said_all: bool,
    inward_over: bool,
    outward_over: bool,
    /// Whether the near end says nothing more to somebody to whom nothing has been said yet.
    dismissed: bool,
    /// Whether nobody is at the near end any more.
    deserted: bool,
    /// Whether it is being sent away: what comes is not looked at.
    leaving: bool,
    /// When it ends in any case.
    until: Option<Instant>,
}

impl Tunnel {
    /// Carries between the two, neither of which may let a call wait.
    pub(super) fn new(
        tls: Connection,
        wire: net::TcpStream,
        near: unix::net::UnixStream,
        who: String,
    ) -> Self {
        let ready = Ready { read: true, write: true };
        Tunnel {
            fresh: matches!(tls, Connection::Server(_)),
            tls,
            wire: TcpStream::from_std(wire),
            near: UnixStream::from_std(near),
            who,
            wire_ready: ready,
            near_ready: ready,
            came: Vec::new(),
            said_all: false,
            inward_over: false,
            outward_over: false,
            dismissed: false,
            deserted: false,
            leaving: false,
            until: None,
        }
    }

    pub(super) fn sockets(&mut self) -> (&mut TcpStream, &mut UnixStream) {
        (&mut self.wire, &mut self.near)
    }

    /// Closes both ends, also if a forked child has copies of them.
    pub(super) fn end(mut self, registry: &Registry) {
        // What is closed already needs none of this.
        let _ = (registry.deregister(&mut self.wire), registry.deregister(&mut self.near));
        let _ = (self.wire.shutdown(Shutdown::Both), self.near.shutdown(Shutdown::Both));
    }

    /// When it ends in any case.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Ends it no later than then.
    pub(super) fn hurry(&mut self, until: Instant) {
        self.until = Some(self.until.map_or(until, |other| other.min(until)));
    }

    pub(super) fn hear_wire(&mut self, event: &Event) {
        hear(&mut self.wire_ready, event);
    }

    pub(super) fn hear_near(&mut self, event: &Event) {
        hear(&mut self.near_ready, event);
        self.dismissed |= event.is_read_closed() && self.tls.is_handshaking();
        if event.is_write_closed() && !self.deserted {
            self.deserted = true;
            self.hurry(Instant::now() + LINGER);
        }
    }

    /// Carries what can be carried. `room` is for bytes on their way, and has nothing to keep.
    pub(super) fn turn(&mut self, room: &mut [u8]) -> Stand {
        for _ in 0..ROUNDS {
            let moved = self.inward(room).map(|moved| moved | self.outward(room));
            let moved = moved.unwrap_or_else(|failure| self.fail(&failure));
            if self.is_over() {
                return Stand::Over;
            }
            if !moved {
                return Stand::Rests;
            }
        }
        Stand::More
    }

    fn is_over(&self) -> bool {
        let no_use = self.deserted && self.leaving || self.dismissed && self.tls.is_handshaking();
        no_use
            || self.outward_over && (self.inward_over || self.deserted)
            || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// One step from the wire to the near end; whether there was one.
    fn inward(&mut self, room: &mut [u8]) -> Result<bool, Failure> {
        if self.inward_over {
            return Ok(false);
        }
        if self.leaving {
            return Ok(self.throw_away(room));
        }
        if !self.came.is_empty() {
            return Ok(self.hand_in());
        }
        match self.tls.reader().read(room) {
            // Whoever says good bye in TLS and whose wire is just cut are told apart by what they said before, as over TCP.
            Ok(0) => return Ok(self.end_inward()),
            Ok(len) => {
                self.came.extend_from_slice(&room[..len]);
                return Ok(self.hand_in());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Ok(self.end_inward()),
        }
        if !self.wire_ready.read || self.fresh && !self.look_at_first_byte()? {
            return Ok(false);
        }
        match self.tls.read_tls(&mut self.wire) {
            Ok(_) => {
                self.tls.process_new_packets().map_err(Failure::Tls)?;
                Ok(true)
            }
            Err(error) => Ok(match error.kind() {
                ErrorKind::WouldBlock => {
                    self.wire_ready.read = false;
                    false
                }
                ErrorKind::Interrupted => true,
                // Cut: nothing gets out either.
                _ => self.end_outward() | self.end_inward(),
            }),
        }
    }

    /// Whether anything has come from a client; TLS it must be.
    fn look_at_first_byte(&mut self) -> Result<bool, Failure> {
        let mut first = [HANDSHAKE];
        match self.wire.peek(&mut first) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.wire_ready.read = false;
                Ok(false)
            }
            // Whatever else there is, reading finds it as well.
            _ if first == [GREETING] => Err(Failure::Plain),
            _ => {
                self.fresh = false;
                Ok(true)
            }
        }
    }

    /// Gives the near end what has come; whether it took any.
    fn hand_in(&mut self) -> bool {
        if !self.near_ready.write {
            return false;
        }
        match self.near.write(&self.came) {
            Ok(len) => {
                self.came.drain(..len);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.near_ready.write = false;
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            // Nobody wants it.
            Err(_) => {
                self.came = Vec::new();
                self.inward_over = true;
                true
            }
        }
    }

    /// One step from the near end to the wire; whether there was one.
    fn outward(&mut self, room: &mut [u8]) -> bool {
        if self.outward_over {
            return false;
        }
        if self.tls.wants_write() {
            return self.hand_out();
        }
        if self.said_all || self.leaving {
            let _ = self.wire.shutdown(Shutdown::Write);
            self.outward_over = true;
            return true;
        }
        if self.tls.is_handshaking() || !self.near_ready.read {
            return false;
        }
        match self.near.read(room) {
            Ok(len @ 1..) => {
                // There is room for it: nothing waits to be written.
                let written = self.tls.writer().write_all(&room[..len]);
                written.is_ok() || self.end_outward()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.near_ready.read = false;
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            _ => {
                self.tls.send_close_notify();
                self.said_all = true;
                true
            }
        }
    }

    /// Gives the wire records; whether it took any.
    fn hand_out(&mut self) -> bool {
        if !self.wire_ready.write {
            return false;
        }
        match self.tls.write_tls(&mut self.wire) {
            Ok(1..) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.wire_ready.write = false;
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            // What the other end said before it closed may still be here: only this way ends.
            _ => self.end_outward(),
        }
    }

    /// Nothing more comes: that is the end of the near end's stream, too.
    fn end_inward(&mut self) -> bool {
        let _ = self.near.shutdown(Shutdown::Write);
        // Before they know each other there is nothing to be said to somebody who has gone.
        self.outward_over |= self.tls.is_handshaking();
        self.inward_over = true;
        true
    }

    /// Nothing more gets out: who writes at the near end finds that out.
    fn end_outward(&mut self) -> bool {
        let _ = self.near.shutdown(Shutdown::Read);
        self.outward_over = true;
        true
    }

    /// Ends it for what came, and tells both sides.
    fn fail(&mut self, failure: &Failure) -> bool {
        let (who, is_inside) = (&self.who, !self.tls.is_handshaking());
        let reason = match failure {
            Failure::Plain => "it does not speak TLS, but calls in clear".into(),
            Failure::Tls(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                "it does not speak TLS".into()
            }
            Failure::Tls(error) => error.to_string(),
        };
        if is_inside {
            tracing::warn!(who, reason, "a TLS connection is cut");
            let _ = self.tls.write_tls(&mut self.wire);
            return self.end_outward() | self.end_inward();
        }
        tracing::warn!(who, reason, "a TLS handshake failed");
        if let Failure::Plain = failure {
            let _ = self.wire.write(&spoken_in_clear());
        }
        // Its words are taken from the wire until it has gone: closing at once would take ours away with them.
        self.leaving = true;
        self.hurry(Instant::now() + FAREWELL);
        true
    }

    /// Takes what comes from somebody who is sent away; whether something did.
    fn throw_away(&mut self, room: &mut [u8]) -> bool {
        if !self.wire_ready.read {
            return false;
        }
        match self.wire.read(room) {
            Ok(1..) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.wire_ready.read = false;
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            _ => self.end_outward() | self.end_inward(),
        }
    }
}

fn hear(ready: &mut Ready, event: &Event) {
    ready.read |= event.is_readable() || event.is_read_closed() || event.is_error();
    ready.write |= event.is_writable() || event.is_write_closed() || event.is_error();
}

/// What a client is told that speaks our protocol, but no TLS.
fn spoken_in_clear() -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, |out| write_refusal(out, "refused", SPEAK_TLS));
    bytes
}

/// A connection as its end says: whatever is wrong with it.
pub(super) fn refused(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
