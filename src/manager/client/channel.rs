//! What goes to the server and what comes from it: through rings, or through the socket.

use std::io;
use std::time::Duration;

use super::inbox::Told;
use crate::manager::wire::frame::Frames;
use crate::park::{Courtesy, Keen};
use crate::queue::stream::{Inlet, Nonsense, Outlet, ring};
use crate::sys::pages;
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// How long a sender whose ring is full sleeps at first; then twice as long, up to the last.
const FIRST_NAP: Duration = Duration::from_millis(1);
const LAST_NAP: Duration = Duration::from_millis(16);

/// What comes, used by one thread at a time.
pub(super) struct Incoming {
    pub(super) frames: Frames,
    /// What the frames said for others than the reader: empty, kept for its memory.
    pub(super) others: Vec<Told>,
    /// Where the reader writes its own request: empty, kept for its memory.
    pub(super) scratch: Vec<u8>,
    inlet: Option<Inlet>,
    keen: Keen,
    courtesy: Courtesy,
}

/// What goes, used by one thread at a time.
pub(super) struct Outgoing {
    /// How long the server may take nothing.
    patience: Option<Duration>,
    outlet: Option<Outlet>,
    keen: Keen,
    /// Where frames are written before they are sent, kept for its memory.
    pub(super) buffer: Vec<u8>,
}

/// Both directions of a connection.
pub(super) fn channel(
    frames: Frames,
    rings: Option<(Inlet, Outlet)>,
    patience: Option<Duration>,
) -> (Incoming, Outgoing) {
    let (inlet, outlet) = rings.unzip();
    (
        Incoming {
            frames,
            others: Vec::new(),
            scratch: Vec::new(),
            inlet,
            keen: Keen::new(),
            courtesy: Courtesy::new(),
        },
        Outgoing { patience, outlet, keen: Keen::new(), buffer: Vec::new() },
    )
}

fn nonsense(_: Nonsense) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server wrote nonsense into the rings")
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

impl Incoming {
    /// Waits for bytes, and takes them.
    pub(super) fn receive(&mut self, stream: &Stream) -> io::Result<()> {
        let Some(inlet) = &mut self.inlet else {
            let len = self.frames.read(|room| {
                if self.courtesy.offer() {
                    match stream.recv(room, Deadline::Now) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            self.courtesy.was_in_vain()
                        }
                        other => return other,
                    }
                }
                stream.recv(room, Deadline::Never)
            })?;
            return if len > 0 { Ok(()) } else { Err(closed()) };
        };
        wait(inlet, &mut self.keen, stream)?;
        let mut writer_sleeps = false;
        let taken = self.frames.read(|room| {
            let (len, sleeps) = inlet.take(room)?;
            writer_sleeps = sleeps;
            Ok(len)
        });
        taken.map_err(nonsense)?;
        if writer_sleeps {
            ring(stream);
        }
        Ok(())
    }
}

/// Waits until something has come through a ring: spins, lets others run, then sleeps on the socket, which also tells that the
/// server is gone.
fn wait(inlet: &Inlet, keen: &mut Keen, stream: &Stream) -> io::Result<()> {
    keen.begin();
    let mut ended = false;
    while !inlet.has_come() {
        if ended {
            // What the server wrote before it ended has been taken.
            return Err(closed());
        }
        if keen.snooze() || !inlet.fall_asleep() {
            continue;
        }
        let heard = stream.recv(&mut [0; 64], Deadline::Never);
        inlet.wake_up();
        ended = match heard {
            Ok(bells) => bells == 0,
            // It was killed with unread bells on its side.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
            Err(error) => return Err(error),
        };
        keen.begin();
    }
    Ok(())
}

impl Outgoing {
    /// Sends all of it; `TimedOut` if nothing of it is taken for too long.
    pub(super) fn send(&mut self, stream: &Stream, mut bytes: &[u8]) -> io::Result<()> {
        if let Some(outlet) = &mut self.outlet {
            return put_all(outlet, &mut self.keen, stream, bytes, self.patience);
        }
        while !bytes.is_empty() {
            let deadline = self.patience.map_or(Deadline::Never, Deadline::after);
            bytes = &bytes[stream.send(bytes, deadline)?..];
        }
        Ok(())
    }

    /// Sends what can be sent without waiting; how much that was.
    pub(super) fn try_send(&mut self, stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            let rest = &bytes[sent..];
            let len = match &mut self.outlet {
                None => match stream.send(rest, Deadline::Now) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    other => other?,
                },
                Some(outlet) => {
                    let (len, reader_sleeps) = outlet.put(rest).map_err(nonsense)?;
                    if reader_sleeps {
                        ring(stream);
                    }
                    len
                }
            };
            if len == 0 {
                break;
            }
            sent += len;
        }
        Ok(sent)
    }

    /// Keeps a buffer for the next frame, unless it is large.
    pub(super) fn keep(&mut self, buffer: Vec<u8>) {
        self.buffer = recycled(buffer);
    }
}

/// The buffer, empty, or another one if it is large.
pub(super) fn recycled(mut buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > 1 << 20 {
        return Vec::new();
    }
    buffer.clear();
    buffer
}

/// Puts all bytes into a ring, and waits for room as often as it takes.
fn put_all(
    outlet: &mut Outlet,
    keen: &mut Keen,
    stream: &Stream,
    mut bytes: &[u8],
    patience: Option<Duration>,
) -> io::Result<()> {
    let (mut nap, mut late) = (FIRST_NAP, None);
    keen.begin();
    while !bytes.is_empty() {
        let (len, reader_sleeps) = outlet.put(bytes).map_err(nonsense)?;
        if reader_sleeps {
            ring(stream);
        }
        bytes = &bytes[len..];
        if len > 0 {
            (nap, late) = (FIRST_NAP, None);
            keen.begin();
        } else if !keen.snooze() {
            let late = late.get_or_insert_with(|| patience.map_or(Deadline::Never, Deadline::after));
            if late.is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Bells are left for whoever waits for answers, so there is none for room.
            if pages::has_ended(stream, Deadline::after(nap))? {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            nap = (nap * 2).min(LAST_NAP);
        }
    }
    Ok(())
}
