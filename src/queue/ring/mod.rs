//! The ring: slots of equal size, a lock for each side, a stamp for each slot. Knows bytes only.
//!
//! ```text
//! put:   take the put lock; slot[tail] is EMPTY(tail)?; write; stamp COMMITTED (the commit); tail + 1; release; notify
//! get:   take the take lock; slot[head] is COMMITTED(head)?; copy; head + 1 (the commit); stamp EMPTY; release; notify
//! ```
//!
//! A producer that dies between its commit and `tail + 1` leaves a stamp ahead of the tail: the next one moves the tail. A consumer
//! that dies after `head + 1` leaves a stamp behind the head: it counts as empty. So a death at any instruction leaves the item
//! in the queue or out of it, and nothing to repair but what the stamps say.
//!
//! In-place users hold a stamp, not a lock. The dead among them are found by whoever would have to wait for them.

mod batch;
mod done;
mod glimpse;
mod put;
mod take;

pub use done::Unfinished;
pub(in crate::queue) use glimpse::glimpse;

use std::sync::Arc;
use std::time::Duration;

use super::stamp::{Stamp, StampWord, State};
use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::error::{Error, Result};
use crate::participant::{Attached, Fact, ParticipantId, PlanFault, RawFacts};
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, SharedSlice, Word};
use crate::sync::{Entry, EventCount, LockWord, Owner, Parts, Ticket};
use crate::time::Deadline;

/// How long a call that shall not wait waits for the lock of its side, which is held for the time of some copies unless its
/// holder is stopped there.
pub(in crate::queue) const SIDE_PATIENCE: Duration = Duration::from_millis(10);

/// How long closing and subscribing wait for such a lock before they say so: whoever keeps it is stopped, or no program of ours.
pub(in crate::queue) const KEPT_PATIENCE: Duration = Duration::from_secs(5);

/// The high-water mark is looked after once in so many items, and whenever the ring is full.
const HIGH_WATER_EVERY: u64 = 64;

/// The most slots a ring can have.
pub(in crate::queue) const MAX_CAPACITY: u64 = 1 << 28;

/// How many slots an inspector looks at for those who hold them in place.
const MOST_SHOWN: u64 = 1 << 16;

/// One side of the ring, on a line of its own.
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
pub(in crate::queue) struct Side {
    lock: LockWord,
    /// Items put, or taken, since the ring was made.
    position: AtomicU64,
    /// Put side: the most items that were ever in the ring. Take side: unused.
    high_water: AtomicU64,
    /// Take side: some slot may be RETURNED.
    returned: AtomicU32,
    /// Take side: somebody has read in place, so slots may be TAKEN.
    peeked: AtomicU32,
    reserved: [AtomicU64; 2],
}

// SAFETY: (S6) atomics only, all-zero is valid, every pattern harmless: positions are reduced before they index.
unsafe impl Word for Side {}

#[cfg(test)]
mod side_layout {
    use super::Side;
    documented_layout!(Side { lock, position, high_water, returned, peeked, reserved });
}

/// What precedes the slots.
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
pub(in crate::queue) struct RingHead {
    capacity: AtomicU64,
    stride: AtomicU64,
    closed: AtomicU32,
    /// What becomes of items whose reader in place dies or gives up; see [`Unfinished`].
    policy: AtomicU32,
    /// Who waits until no item is left and nobody reads one in place.
    done: EventCount,
    done_watch: AtomicU32,
    reserved: [AtomicU32; 8],
    put: Side,
    take: Side,
    not_empty: Line,
    not_full: Line,
}

// SAFETY: (S6) words and atomics only; sizes are checked once at attach.
unsafe impl Word for RingHead {}

documented_layout!(RingHead {
    capacity,
    stride,
    closed,
    policy,
    done,
    done_watch,
    reserved,
    put,
    take,
    not_empty,
    not_full
});

/// An event count on a line of its own: it is polled by one side and written by the other.
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
pub(in crate::queue) struct Line {
    pub(in crate::queue) events: EventCount,
    pub(in crate::queue) watch: AtomicU32,
    reserved: [AtomicU32; 14],
}

/// Where head, stamps and items lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Layout {
    pub(in crate::queue) capacity: u64,
    pub(in crate::queue) stride: usize,
    items_at: usize,
    pub(in crate::queue) total: usize,
}

impl Layout {
    /// The layout for `capacity` items of `size` bytes; stamp and item lie side by side.
    pub(in crate::queue) fn new(capacity: u64, size: usize, align: usize) -> Result<Self, PlanFault> {
        let fault = |what, found, expected: String| Err(PlanFault { what, found, expected });
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return fault("slots", capacity, format!("1 to {MAX_CAPACITY}"));
        }
        if align > 64 {
            return fault("bytes of alignment", align as u64, "at most 64".into());
        }
        let offset = 8usize.next_multiple_of(align);
        let stride = (offset + size).next_multiple_of(align.max(8));
        let total = stride
            .checked_mul(capacity as usize)
            .and_then(|slots| slots.checked_add(size_of::<RingHead>()))
            .filter(|&total| total <= isize::MAX as usize);
        match total {
            Some(total) => Ok(Layout { capacity, stride, items_at: offset, total }),
            None => fault("slots", capacity, "less than the address space holds".into()),
        }
    }
}

/// A mapped ring.
#[derive(Clone)]
pub(in crate::queue) struct Ring {
    head: Shared<RingHead>,
    /// All slots as words; the stamp of slot i is at i * stride / 8.
    stamps: SharedSlice<StampWord>,
    items: Bytes,
    attached: Attached,
    layout: Layout,
    size: usize,
    /// `capacity - 1` if that is a mask.
    mask: Option<u64>,
}

/// Why nothing was put.
#[derive(Debug)]
pub(in crate::queue) enum NotPut {
    Full,
    Closed,
    Failed(Error),
}

/// Why nothing was taken.
#[derive(Debug)]
pub(in crate::queue) enum NotTaken {
    Empty,
    Closed,
    Failed(Error),
}

/// A slot that the caller holds in place.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Slot {
    pub(in crate::queue) position: u64,
    pub(in crate::queue) id: u32,
}

impl Ring {
    /// Writes the sizes into a body that nobody else sees.
    pub(in crate::queue) fn initialise(segment: &Arc<Segment>, layout: &Layout) -> Result<()> {
        let head = Shared::<RingHead>::new(segment, 0)?;
        // Relaxed: publication by `link` orders everything before it.
        head.capacity.store(layout.capacity, Relaxed);
        head.stride.store(layout.stride as u64, Relaxed);
        let stamps = Self::stamps(segment, layout)?;
        for slot in 0..layout.capacity {
            stamps[slot as usize * (layout.stride / 8)].store(Stamp::new(State::Empty, slot, 0));
        }
        Ok(())
    }

    /// Checks the sizes against the body; from here on only the checked copies are used.
    pub(in crate::queue) fn attach(attached: Attached, size: usize, align: usize) -> Result<Self> {
        let segment = Arc::clone(&attached.segment);
        let head = Shared::<RingHead>::new(&segment, 0)?;
        // Relaxed: written before publication, and checked like any hostile numbers.
        let (capacity, stride) = (head.capacity.load(Relaxed), head.stride.load(Relaxed));
        let layout = Layout::new(capacity, size, align)
            .ok()
            .filter(|layout| layout.total == segment.body().1 && layout.stride as u64 == stride)
            .ok_or_else(|| Error::NotASegment {
                object: segment.object(),
                what: "queue sizes",
                expected: format!("sizes that make a body of {} bytes", segment.body().1),
                found: format!("{capacity} slots of {stride} bytes"),
            })?;
        let first = size_of::<RingHead>();
        Ok(Ring {
            stamps: Self::stamps(&segment, &layout)?,
            items: Bytes::new(&segment, first, layout.total - first, 8)?,
            mask: capacity.is_power_of_two().then(|| capacity - 1),
            head,
            attached,
            layout,
            size,
        })
    }

    fn stamps(segment: &Arc<Segment>, layout: &Layout) -> Result<SharedSlice<StampWord>> {
        let words = layout.capacity as usize * (layout.stride / 8);
        SharedSlice::new(segment, size_of::<RingHead>(), words)
    }

    /// The state of the ring in `segment`, for whoever inspects it.
    pub(in crate::queue) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        let head = Shared::<RingHead>::new(segment, 0)?;
        // Relaxed: figures that are no one instant anyway.
        let (put, taken) = (head.put.position.load(Relaxed), head.take.position.load(Relaxed));
        let capacity = head.capacity.load(Relaxed);
        let mut facts = vec![
            ("length", Fact::Number(put.saturating_sub(taken).min(capacity))),
            ("capacity", Fact::Number(capacity)),
            ("closed", Fact::Flag(head.closed.load(Relaxed) != 0)),
            ("put", Fact::Number(put)),
            ("taken", Fact::Number(taken)),
            ("high_water", Fact::Number(head.put.high_water.load(Relaxed))),
            ("put_side", Fact::Part(head.put.lock.facts())),
            ("take_side", Fact::Part(head.take.lock.facts())),
        ];
        let header = segment.header();
        let layout = Layout::new(capacity, header.type_size as usize, header.type_align as usize);
        if let Ok(layout) = layout
            && layout.total == segment.body().1
        {
            facts.push(("in_place", Fact::List(Self::in_place(segment, &layout)?)));
        }
        Ok(facts)
    }

    /// Who holds slots for writing or reading in place, as far as a quick look tells.
    fn in_place(segment: &Arc<Segment>, layout: &Layout) -> Result<Vec<Fact<ParticipantId>>> {
        let stamps = Self::stamps(segment, layout)?;
        let slots = (0..layout.capacity.min(MOST_SHOWN)).map(|slot| {
            let stamp = stamps[slot as usize * (layout.stride / 8)].load();
            let action = match stamp.state()? {
                State::Reserved if stamp.id() != 0 => "writes",
                State::Taken => "reads",
                _ => return None,
            };
            Some(Fact::Part(vec![
                ("participant", Fact::participant(stamp.id())),
                ("does", Fact::Text(action.into())),
                ("slot", Fact::Number(slot)),
            ]))
        });
        Ok(slots.flatten().take(64).collect())
    }

    pub(in crate::queue) fn attached(&self) -> &Attached {
        &self.attached
    }

    pub(in crate::queue) fn capacity(&self) -> u64 {
        self.layout.capacity
    }

    /// Items that nobody has taken, those given back included. A hint: it may change at once.
    pub(in crate::queue) fn len(&self) -> u64 {
        // Relaxed: two positions read one after the other are no instant anyway.
        let head = self.head.take.position.load(Relaxed);
        let ahead = self.tail().saturating_sub(head);
        ahead.saturating_add(self.given_back()).min(self.layout.capacity)
    }

    /// Where the next item will be put, also if the producer of the last one died before it could say so. A hint.
    fn tail(&self) -> u64 {
        // Acquire: a tail that is seen is one whose stamps are seen.
        let tail = self.head.put.position.load(Acquire);
        if self.is_behind(tail, self.stamp(tail).load()) { tail.wrapping_add(1) } else { tail }
    }

    /// Items behind the head that were given back by who read them in place, or are a dead reader's that somebody noticed.
    fn given_back(&self) -> u64 {
        // Relaxed: as in `len`.
        if self.head.take.returned.load(Relaxed) == 0 {
            return 0;
        }
        let stamp = |slot| self.stamps[slot as usize * (self.layout.stride / 8)].load();
        (0..self.layout.capacity).filter(|&slot| stamp(slot).state() == Some(State::Returned)).count() as u64
    }

    /// Whether the next item has no slot: the ring has as many items as slots, or somebody still reads in place what lay there a
    /// lap ago. A hint.
    pub(in crate::queue) fn is_full(&self) -> bool {
        let (put, tail) = (self.head.put.position.load(Acquire), self.tail());
        let before = tail.wrapping_sub(self.layout.capacity);
        let stamp = self.stamp(tail).load();
        let occupied = match stamp.state() {
            Some(State::Committed) => self.head.take.position.load(Relaxed) <= before,
            // Nobody's, who gave it up: a producer passes over it.
            Some(State::Empty | State::Skipped) => false,
            _ => true,
        };
        // A tail that moved meanwhile had room.
        occupied && stamp.is_of(before) && self.head.put.position.load(Acquire) == put
    }

    /// The most items that were ever in the ring.
    pub(in crate::queue) fn high_water(&self) -> u64 {
        self.head.put.high_water.load(Relaxed).min(self.layout.capacity)
    }

    /// Items put since the ring was made, and items taken.
    pub(in crate::queue) fn counts(&self) -> (u64, u64) {
        // Relaxed: two figures read one after the other are no instant anyway. An item may be taken before its producer has moved
        // the tail.
        let taken = self.head.take.position.load(Relaxed);
        (self.tail().max(taken), taken)
    }

    pub(in crate::queue) fn is_closed(&self) -> bool {
        self.head.closed.load(SeqCst) != 0
    }

    #[inline]
    fn slot(&self, position: u64) -> usize {
        (match self.mask {
            Some(mask) => position & mask,
            None => position % self.layout.capacity,
        }) as usize
    }

    #[inline]
    pub(in crate::queue) fn stamp(&self, position: u64) -> &StampWord {
        &self.stamps[self.slot(position) * (self.layout.stride / 8)]
    }

    /// Where the item of `position` begins, in `items`.
    #[inline]
    pub(in crate::queue) fn item_at(&self, position: u64) -> usize {
        self.slot(position) * self.layout.stride + self.layout.items_at
    }

    pub(in crate::queue) fn items(&self) -> &Bytes {
        &self.items
    }

    /// Takes the lock of a side. `false` beside the owner: its last holder died.
    #[inline]
    fn enter(&self, side: &Side, deadline: Deadline, action: &'static str) -> Result<(Owner, bool)> {
        let patience = match deadline {
            Deadline::Now => Deadline::after(SIDE_PATIENCE),
            other => other,
        };
        let (owner, entry) = Parts { word: &side.lock, attached: &self.attached }.own(patience, action)?;
        if entry == Entry::Clean {
            return Ok((owner, true));
        }
        if std::ptr::eq(side, &self.head.put) {
            self.mend_tail();
        }
        side.lock.make_consistent();
        Ok((owner, false))
    }

    #[inline]
    fn leave(&self, side: &Side, owner: Owner) {
        side.lock.release_announcing(self.attached.member.host(), owner);
    }

    /// Lets consumers drain the ring and producers put no more.
    pub(in crate::queue) fn close(&self) -> Result<()> {
        let put = &self.head.put;
        let (owner, _) = self.enter(put, Deadline::after(KEPT_PATIENCE), "close it")?;
        self.head.closed.store(1, SeqCst);
        self.leave(put, owner);
        let host = self.attached.member.host();
        self.head.not_empty.events.notify_all(host);
        self.head.not_full.events.notify_all(host);
        Ok(())
    }

    #[cold]
    fn corrupt(&self, position: u64, stamp: Stamp) -> Error {
        Error::NotASegment {
            object: self.attached.object(),
            what: "slot stamp",
            expected: format!("a stamp of position {position}"),
            found: format!("{stamp:?}"),
        }
    }

    /// What producers and consumers wait for, each with the lock whose release announces it.
    pub(in crate::queue) fn waiting(&self, for_items: bool) -> Waiting<'_> {
        let (line, side) = if for_items {
            (&self.head.not_empty, &self.head.put)
        } else {
            (&self.head.not_full, &self.head.take)
        };
        Waiting { events: &line.events, watch: &line.watch, publisher: Some(&side.lock) }
    }
}

/// What a waiter sleeps on.
#[derive(Clone, Copy)]
pub(in crate::queue) struct Waiting<'a> {
    pub(in crate::queue) events: &'a EventCount,
    pub(in crate::queue) watch: &'a AtomicU32,
    /// Its release publishes what the waiter waits for; `None`: a plain store does.
    pub(in crate::queue) publisher: Option<&'a LockWord>,
}

/// Looks after an announcement to a publisher that does not look back, ten nanoseconds each: many times what a store buffer
/// holds back.
const LAST_LOOKS: u32 = if cfg!(loom) { 1 } else { 64 };

impl Waiting<'_> {
    /// Announces a sleeper.
    pub(in crate::queue) fn prepare(&self) -> Ticket {
        let ticket = self.events.prepare();
        if let Some(publisher) = self.publisher {
            publisher.look_announced();
        }
        ticket
    }

    /// How often an announced sleeper looks before it sleeps.
    pub(in crate::queue) fn last_looks(&self) -> u32 {
        if self.publisher.is_some() { 1 } else { LAST_LOOKS }
    }
}

impl From<Error> for NotPut {
    fn from(error: Error) -> Self {
        match error {
            Error::TimedOut | Error::WouldBlock => NotPut::Full,
            other => NotPut::Failed(other),
        }
    }
}

impl From<Error> for NotTaken {
    fn from(error: Error) -> Self {
        match error {
            Error::TimedOut | Error::WouldBlock => NotTaken::Empty,
            other => NotTaken::Failed(other),
        }
    }
}
