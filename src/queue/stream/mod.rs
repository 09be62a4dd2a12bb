//! Two streams of bytes between two processes, one each way, in pages that only these two have.
//!
//! Unlike the other queues it has no participants: the two know each other by a connection, which also tells that one is gone. And
//! neither believes the other: positions are checked whenever they are read, bytes are copied out before anybody looks at them, and
//! who is asleep is only a hint of when to ring.

use std::os::fd::OwnedFd;
use std::sync::Arc;

mod word;

use self::word::{End, StreamWord};
use crate::shm::paged::{Paged, bytes};
use crate::shm::view::{Bytes, Word};
use crate::sys::pages::Pages;
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// Where the bytes of the first ring begin; those of the second follow them.
const DATA: usize = 4096;

/// The least and the most bytes of one ring.
pub(crate) const LEAST: usize = 4096;
pub(crate) const MOST: usize = 1 << 26;

/// What precedes the bytes.
#[repr(C, align(128))]
struct StreamHead {
    /// From who joined the pages to who made them.
    to_maker: StreamWord,
    /// The other way.
    to_joiner: StreamWord,
}

// SAFETY: (S6) words only, all-zero is valid; see (S19) for who else writes them.
unsafe impl Word for StreamHead {}

documented_layout!(StreamHead { to_maker, to_joiner });

/// The other end has written what cannot be: positions that are further apart than the ring is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonsense;

/// Where one may read.
pub(crate) struct Inlet(Side);

/// Where one may write.
pub(crate) struct Outlet(Side);

/// One end of one direction.
struct Side {
    head: Paged<StreamHead>,
    to_maker: bool,
    data: Bytes,
    /// How far this end has come.
    mine: u64,
    /// How far the other one had come when it was looked at last.
    theirs: u64,
}

/// Wakes the other end, which sleeps on the connection.
pub(crate) fn ring(stream: &Stream) {
    // A connection that is full has bytes that nobody has taken: it wakes without this one. Who is gone needs no waking.
    let _ = stream.send(&[1], Deadline::Now);
}

/// Whether a ring may have so many bytes: a power of two, so that positions may overflow.
pub(crate) fn is_size(size: usize) -> bool {
    size.is_power_of_two() && (LEAST..=MOST).contains(&size)
}

/// Makes a pair of rings of `size` bytes each; the descriptor is for the one who joins.
pub(crate) fn make(size: usize) -> std::io::Result<(Inlet, Outlet, OwnedFd)> {
    if !is_size(size) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let (pages, file) = Pages::new(DATA + 2 * size)?;
    let (inlet, outlet) = ends(pages, size, true)?;
    // Nobody watches yet: the first bytes ring.
    inlet.0.word().fall_asleep(End::Reader);
    Ok((inlet, outlet, file))
}

/// Takes part in a pair of rings that somebody else made, if it is one.
pub(crate) fn join(file: &OwnedFd, size: usize) -> std::io::Result<(Inlet, Outlet)> {
    if !is_size(size) {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "rings of no size that there is"));
    }
    ends(Pages::of(file, DATA + 2 * size)?, size, false)
}

fn ends(pages: Pages, size: usize, maker: bool) -> std::io::Result<(Inlet, Outlet)> {
    let pages = Arc::new(pages);
    let side = |to_maker: bool| {
        let at = if to_maker { DATA } else { DATA + size };
        let (head, data) = (Paged::first(&pages)?, bytes(&pages, at, size)?);
        Some(Side { head, to_maker, data, mine: 0, theirs: 0 })
    };
    let short = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let (inlet, outlet) = (side(maker).ok_or_else(short)?, side(!maker).ok_or_else(short)?);
    Ok((Inlet(inlet), Outlet(outlet)))
}

impl Side {
    #[inline]
    fn word(&self) -> &StreamWord {
        if self.to_maker { &self.head.to_maker } else { &self.head.to_joiner }
    }

    fn size(&self) -> usize {
        self.data.len()
    }

    /// How many bytes are between the ends, by the other one's position as it is now.
    #[inline]
    fn look(&mut self, other: End) -> Result<usize, Nonsense> {
        let theirs = self.word().position(other);
        let between = match other {
            End::Writer => theirs.wrapping_sub(self.mine),
            End::Reader => self.mine.wrapping_sub(theirs),
        };
        if between > self.size() as u64 {
            return Err(Nonsense);
        }
        self.theirs = theirs;
        Ok(between as usize)
    }

    /// The next `len` bytes of this end: where they are, and how many of them before the ring begins anew.
    #[inline]
    fn place(&self, len: usize) -> (usize, usize) {
        let at = self.mine as usize & (self.size() - 1);
        (at, len.min(self.size() - at))
    }
}

impl Inlet {
    /// Whether anything has come, or the other end's position makes no sense.
    #[inline]
    pub(crate) fn has_come(&self) -> bool {
        self.0.word().glimpse(End::Writer) != self.0.mine
    }

    /// Copies out what has come, at most `to.len()` bytes: how many, and whether the writer waits for room and is to be told.
    pub(crate) fn take(&mut self, to: &mut [u8]) -> Result<(usize, bool), Nonsense> {
        let side = &mut self.0;
        let there = side.look(End::Writer)?;
        let len = there.min(to.len());
        if len == 0 {
            return Ok((0, false));
        }
        let (at, front) = side.place(len);
        side.data.read(at, &mut to[..front]);
        side.data.read(0, &mut to[front..len]);
        side.mine = side.mine.wrapping_add(len as u64);
        // A writer sleeps only when the ring is full. Then this or an earlier step finds it at least half full.
        if there >= side.size() / 2 {
            return Ok((len, side.word().advance(End::Reader, side.mine)));
        }
        side.word().advance_unheard(End::Reader, side.mine);
        Ok((len, false))
    }

    /// Says that the next bytes shall ring; `false` if some have come already.
    pub(crate) fn fall_asleep(&self) -> bool {
        let word = self.0.word();
        word.fall_asleep(End::Reader);
        let nothing = word.position(End::Writer) == self.0.mine;
        if !nothing {
            word.wake_up(End::Reader);
        }
        nothing
    }

    /// Says that the next bytes will be found without ringing.
    pub(crate) fn wake_up(&self) {
        self.0.word().wake_up(End::Reader);
    }
}

impl Outlet {
    /// Copies in as much as there is room for: how many bytes, and whether the reader sleeps and is to be woken.
    pub(crate) fn put(&mut self, from: &[u8]) -> Result<(usize, bool), Nonsense> {
        let side = &mut self.0;
        let mut room = side.size() - side.mine.wrapping_sub(side.theirs) as usize;
        if room < from.len() {
            room = side.size() - side.look(End::Reader)?;
        }
        let len = room.min(from.len());
        if len == 0 {
            return Ok((0, false));
        }
        let (at, front) = side.place(len);
        side.data.store(at, &from[..front]);
        side.data.store(0, &from[front..len]);
        side.mine = side.mine.wrapping_add(len as u64);
        Ok((len, side.word().advance(End::Writer, side.mine)))
    }

    /// Says that room shall ring; `false` if there is some already.
    pub(crate) fn fall_asleep(&mut self) -> Result<bool, Nonsense> {
        self.0.word().fall_asleep(End::Writer);
        let full = self.0.look(End::Reader)? == self.0.size();
        if !full {
            self.0.word().wake_up(End::Writer);
        }
        Ok(full)
    }
}
