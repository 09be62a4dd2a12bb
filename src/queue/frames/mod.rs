//! The ring of frames: pieces of any length in one ring of bytes, a lock for each side, a stamp before each frame.
//!
//! ```text
//! put:  take the put lock; room at the tail?; frame head, bytes; tail + size (the commit); release; notify
//! get:  take the take lock; head < tail?; copy; head + size (the commit); free = head; release; notify
//! ```
//!
//! ```text
//!        free                 head                  tail
//!   ......|== held ==|== held ==|== put ==|== put ==|........
//! ```
//!
//! Only what lies between free and tail is ever looked at, so no byte of an old item can be taken for a stamp. A frame is
//! never cut in two: what does not fit before the ring's end goes to its beginning, behind PADDING.
//!
//! Whoever dies under a lock leaves the position where it was or where it shall be, and nothing to repair but the count of
//! items, which is journalled. In-place users hold a stamp, not a lock. Frames before the head are held in place, returned, or done
//! with; space is freed in order, so the oldest one that is held keeps what is behind it.
//!
//! Positions count bytes since the ring was made, always whole [`UNIT`]s; stamps name them in units.

mod frame;
mod glimpse;
mod put;
mod take;

use std::sync::Arc;

use frame::Frame;
pub(in crate::queue) use frame::FrameHead;
pub(in crate::queue) use glimpse::glimpse_at;

use super::ring::{KEPT_PATIENCE, Line, SIDE_PATIENCE, Waiting};
use super::stamp::{Stamp, State};
use crate::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};
use crate::error::{Error, Result};
use crate::participant::{Attached, Fact, PlanFault, RawFacts};
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, SharedSlice, Word};
use crate::sync::{Entry, LockWord, Owner, Parts};
use crate::time::Deadline;

/// Bytes of a frame's head, and what frames are aligned to.
pub(in crate::queue) const UNIT: u64 = 16;

#[cfg(not(loom))]
const _: () = assert!(UNIT == size_of::<FrameHead>() as u64);

/// The most bytes a ring can have: lengths have 32 bits.
pub(in crate::queue) const MAX_BYTES: u64 = (1 << 32) - 2 * UNIT;

/// Longer frames are copied outside the locks, so that several are copied at a time.
const COPY_HELD: usize = 4096;

/// The producers' side, on a line of its own.
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
struct PutSide {
    lock: LockWord,
    /// The tail.
    position: AtomicU64,
    /// The free position of the other side as it was last seen.
    freed: AtomicU64,
    /// Items put or reserved since the ring was made.
    items: AtomicU64,
    /// The next tail, and `items` once it is the tail.
    next_position: AtomicU64,
    next_items: AtomicU64,
    /// The most bytes that were seen in use.
    high_water: AtomicU64,
}

/// The consumers' side, on a line of its own.
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
struct TakeSide {
    lock: LockWord,
    /// The head.
    position: AtomicU64,
    /// What is before it may be written again.
    free: AtomicU64,
    /// The tail as it was last seen.
    filled: AtomicU64,
    /// Items taken or given up since the ring was made.
    items: AtomicU64,
    /// The next head, and `items` once it is the head.
    next_position: AtomicU64,
    next_items: AtomicU64,
}

/// The count that belongs to `position`, also if whoever moved it died before it could write that: the journal has it. A hint.
fn counted(
    position: &AtomicU64,
    items: &AtomicU64,
    next_position: &AtomicU64,
    next_items: &AtomicU64,
) -> u64 {
    // Acquire: the journal was written before the position that it belongs to. Relaxed: a figure of no one instant.
    let is_next = position.load(Acquire) == next_position.load(Relaxed);
    if is_next { next_items.load(Relaxed) } else { items.load(Relaxed) }
}

impl PutSide {
    /// Items put or reserved since the ring was made.
    fn count(&self) -> u64 {
        counted(&self.position, &self.items, &self.next_position, &self.next_items)
    }
}

impl TakeSide {
    /// Items taken or given up since the ring was made.
    fn count(&self) -> u64 {
        counted(&self.position, &self.items, &self.next_position, &self.next_items)
    }
}

/// What precedes the ring.
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
pub(in crate::queue) struct FrameRingHead {
    capacity: AtomicU64,
    closed: AtomicU32,
    /// Some frame may be RETURNED.
    returned: AtomicU32,
    reserved: [AtomicU64; 6],
    put: PutSide,
    take: TakeSide,
    not_empty: Line,
    not_full: Line,
}

// SAFETY: (S6) words and atomics only, all-zero is valid; positions are reduced before they index, lengths are checked.
unsafe impl Word for FrameRingHead {}

documented_layout!(FrameRingHead { capacity, closed, returned, reserved, put, take, not_empty, not_full });

#[cfg(test)]
mod put_side_layout {
    use super::PutSide;
    documented_layout!(PutSide { lock, position, freed, items, next_position, next_items, high_water });
}

#[cfg(test)]
mod take_side_layout {
    use super::TakeSide;
    documented_layout!(TakeSide { lock, position, free, filled, items, next_position, next_items });
}

/// Bytes of the body and of the ring in it, for frames of up to `capacity` bytes; nothing for sizes no ring can have.
pub(in crate::queue) fn body_bytes(capacity: u64) -> Result<u64, PlanFault> {
    if !(1..=MAX_BYTES).contains(&capacity) {
        let expected = format!("1 to {MAX_BYTES}");
        return Err(PlanFault { what: "bytes of capacity", found: capacity, expected });
    }
    Ok(size_of::<FrameRingHead>() as u64 + ring_bytes(capacity))
}

/// Room for one frame of the full capacity.
fn ring_bytes(capacity: u64) -> u64 {
    capacity.next_multiple_of(UNIT) + UNIT
}

/// A mapped ring of frames.
#[derive(Clone)]
pub(in crate::queue) struct FrameRing {
    head: Shared<FrameRingHead>,
    /// The ring as frame heads, one at each unit.
    frames: SharedSlice<FrameHead>,
    /// The ring as bytes.
    bytes: Bytes,
    attached: Attached,
    /// Bytes of the ring.
    size: u64,
    capacity: usize,
}

/// A frame that the caller holds in place.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct HeldFrame {
    pub(in crate::queue) position: u64,
    pub(in crate::queue) len: usize,
    pub(in crate::queue) id: u32,
}

impl FrameRing {
    /// Writes the size into a body that nobody else sees.
    pub(in crate::queue) fn initialise(segment: &Arc<Segment>, capacity: u64) -> Result<()> {
        Self::initialise_at(segment, 0, capacity)
    }

    /// As `initialise`, for a ring that begins at `at` of the body.
    pub(in crate::queue) fn initialise_at(segment: &Arc<Segment>, at: usize, capacity: u64) -> Result<()> {
        let head = Shared::<FrameRingHead>::new(segment, at)?;
        // Relaxed: publication by `link` orders everything before it.
        head.capacity.store(capacity, Relaxed);
        Ok(())
    }

    /// Checks the size against the body; from here on only the checked copy is used.
    pub(in crate::queue) fn attach(attached: Attached) -> Result<Self> {
        let body = attached.segment.body().1;
        Self::attach_at(attached, 0, body)
    }

    /// As `attach`, for a ring of `body` bytes, its head included, that begins at `at` of the body.
    pub(in crate::queue) fn attach_at(attached: Attached, at: usize, body: usize) -> Result<Self> {
        let segment = Arc::clone(&attached.segment);
        let head = Shared::<FrameRingHead>::new(&segment, at)?;
        // Relaxed: written before publication, and checked like any hostile number.
        let capacity = head.capacity.load(Relaxed);
        let body = body as u64;
        if !body_bytes(capacity).is_ok_and(|bytes| bytes == body) {
            return Err(Error::NotASegment {
                object: segment.object(),
                what: "queue size",
                expected: format!("a capacity that makes a body of {body} bytes"),
                found: format!("a capacity of {capacity} bytes"),
            });
        }
        let (first, size) = (at + size_of::<FrameRingHead>(), ring_bytes(capacity));
        Ok(FrameRing {
            frames: SharedSlice::new(&segment, first, (size / UNIT) as usize)?,
            bytes: Bytes::new(&segment, first, size as usize, 8)?,
            head,
            attached,
            size,
            capacity: capacity as usize,
        })
    }

    /// The state of the ring in `segment`, for whoever inspects it.
    pub(in crate::queue) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        Self::describe_at(segment, 0)
    }

    /// As `describe`, for a ring that begins at `at` of the body.
    pub(in crate::queue) fn describe_at(segment: &Arc<Segment>, at: usize) -> Result<RawFacts> {
        let head = Shared::<FrameRingHead>::new(segment, at)?;
        // Relaxed: figures that are no one instant anyway.
        let (put, taken) = (head.put.count(), head.take.count());
        let used = head.put.position.load(Relaxed).saturating_sub(head.take.free.load(Relaxed));
        Ok(vec![
            ("length", Fact::Number(put.saturating_sub(taken))),
            ("capacity", Fact::Number(head.capacity.load(Relaxed))),
            ("bytes", Fact::Number(used)),
            ("closed", Fact::Flag(head.closed.load(Relaxed) != 0)),
            ("put", Fact::Number(put)),
            ("taken", Fact::Number(taken)),
            ("high_water", Fact::Number(head.put.high_water.load(Relaxed))),
            ("put_side", Fact::Part(head.put.lock.facts())),
            ("take_side", Fact::Part(head.take.lock.facts())),
        ])
    }

    pub(in crate::queue) fn attached(&self) -> &Attached {
        &self.attached
    }

    /// Bytes of the longest frame.
    pub(in crate::queue) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Items that nobody has taken, those given back included. A hint: it may change at once.
    pub(in crate::queue) fn len(&self) -> u64 {
        let (put, taken) = self.counts();
        put.saturating_sub(taken) + self.given_back()
    }

    /// Items behind the head that were given back by who read them in place, or are a dead reader's that somebody noticed. A hint.
    fn given_back(&self) -> u64 {
        // Relaxed: it may change at once anyway.
        if self.head.returned.load(Relaxed) == 0 {
            return 0;
        }
        let free = || self.head.take.free.load(Acquire);
        // Acquire: what lies behind the head was there before the head was moved over it.
        let head = self.head.take.position.load(Acquire);
        let (mut at, mut count) = (free(), 0);
        while at < head {
            let Ok(frame) = self.frame(at, head) else { break };
            // Acquire: whoever wrote over the frame had seen the free position behind it.
            fence(Acquire);
            let freed = free();
            if freed > at {
                (at, count) = (freed, 0);
                continue;
            }
            count += u64::from(frame.stamp.state() == Some(State::Returned));
            at = frame.end();
        }
        count
    }

    /// Items put since the ring was made, and items taken.
    pub(in crate::queue) fn counts(&self) -> (u64, u64) {
        // Two figures read one after the other are no instant anyway. The taken first, so that the other is not less.
        let taken = self.head.take.count();
        (self.head.put.count().max(taken), taken)
    }

    /// Bytes in use, heads of frames included.
    pub(in crate::queue) fn used(&self) -> u64 {
        let free = self.head.take.free.load(Relaxed);
        self.head.put.position.load(Relaxed).saturating_sub(free).min(self.size)
    }

    /// The most bytes that were seen in use.
    pub(in crate::queue) fn high_water(&self) -> u64 {
        self.head.put.high_water.load(Relaxed).min(self.size)
    }

    pub(in crate::queue) fn is_closed(&self) -> bool {
        self.head.closed.load(SeqCst) != 0
    }

    /// Where a position lies in the ring.
    #[inline]
    fn unit(&self, position: u64) -> usize {
        (position / UNIT % (self.size / UNIT)) as usize
    }

    #[inline]
    fn frame_head(&self, position: u64) -> &FrameHead {
        &self.frames[self.unit(position)]
    }

    /// Where the bytes of the frame at `position` begin.
    #[inline]
    fn bytes_at(&self, position: u64) -> usize {
        (self.unit(position) + 1) * UNIT as usize
    }

    /// A stamp of `position`.
    #[inline]
    fn stamp(state: State, position: u64, id: u32) -> Stamp {
        Stamp::new(state, position / UNIT, id)
    }

    /// The frame at `position`, which ends at `end` or before; its numbers stay within the ring, whoever wrote them.
    #[inline]
    fn frame(&self, position: u64, end: u64) -> Result<Frame> {
        let head = self.frame_head(position);
        let stamp = head.stamp.load();
        // Relaxed: written before the tail was moved over them, which is what makes anybody look here.
        let (room, len) = (head.room.load(Relaxed), head.len.load(Relaxed));
        let frame = Frame { position, stamp, room, len };
        let most = (end.wrapping_sub(position)).min(self.size - self.unit(position) as u64 * UNIT);
        let fits = u64::from(room).is_multiple_of(UNIT) && UNIT + u64::from(room) <= most && len <= room;
        if fits && stamp.is_of(position / UNIT) { Ok(frame) } else { Err(self.corrupt_frame(frame, most)) }
    }

    /// Whether `later` can be reached from `earlier` within the ring: hostile positions are taken for what they are.
    #[inline]
    fn check_order(&self, earlier: u64, later: u64) -> Result<()> {
        let distance = later.wrapping_sub(earlier);
        let apart = distance <= self.size && distance.is_multiple_of(UNIT);
        if apart && earlier <= later && later <= u64::MAX / 2 {
            Ok(())
        } else {
            Err(self.corrupt_positions(earlier, later))
        }
    }

    /// Takes a lock. `false` beside the owner: its last holder died.
    #[inline]
    fn enter(&self, lock: &LockWord, deadline: Deadline, action: &'static str) -> Result<(Owner, bool)> {
        let patience = match deadline {
            Deadline::Now => Deadline::after(SIDE_PATIENCE),
            other => other,
        };
        let (owner, entry) = Parts { word: lock, attached: &self.attached }.own(patience, action)?;
        Ok((owner, entry == Entry::Clean))
    }

    #[inline]
    fn leave(&self, lock: &LockWord, owner: Owner) {
        lock.release_announcing(self.attached.member.host(), owner);
    }

    /// Lets consumers drain the ring and producers put no more.
    pub(in crate::queue) fn close(&self) -> Result<()> {
        let owner = self.enter_put(Deadline::after(KEPT_PATIENCE), "close it")?;
        self.head.closed.store(1, SeqCst);
        self.leave(&self.head.put.lock, owner);
        let host = self.attached.member.host();
        self.head.not_empty.events.notify_all(host);
        self.head.not_full.events.notify_all(host);
        Ok(())
    }

    /// What producers and consumers wait for, each with the lock whose release announces it.
    pub(in crate::queue) fn waiting(&self, for_items: bool) -> Waiting<'_> {
        let (line, publisher) = if for_items {
            (&self.head.not_empty, &self.head.put.lock)
        } else {
            (&self.head.not_full, &self.head.take.lock)
        };
        Waiting { events: &line.events, watch: &line.watch, publisher: Some(publisher) }
    }

    #[cold]
    fn corrupt_frame(&self, frame: Frame, most: u64) -> Error {
        Error::NotASegment {
            object: self.attached.object(),
            what: "frame",
            expected: format!("a frame of at most {most} bytes at position {}", frame.position),
            found: format!("{frame:?}"),
        }
    }

    #[cold]
    fn corrupt_positions(&self, earlier: u64, later: u64) -> Error {
        Error::NotASegment {
            object: self.attached.object(),
            what: "queue positions",
            expected: format!("{UNIT}-byte steps, at most {} bytes apart", self.size),
            found: format!("{earlier} and {later}"),
        }
    }
}
