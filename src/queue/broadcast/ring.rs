//! The ring behind a broadcast: slots with stamps, one lock for publishers, none for subscribers. Knows bytes only.
//!
//! ```text
//! publish:  take the lock; stamp WRITING(tail); write; stamp WRITTEN(tail) (the commit); tail + 1; release; notify all
//! receive:  stamp is WRITTEN(mine)? copy; look again: still WRITTEN(mine)? mine + 1
//! ```
//!
//! A stamp is `2 * (position + 1)`, plus 1 once the item is written; 0 is a slot that was never used. The stamps of a slot only grow.
//! A publisher that dies before its commit leaves a stamp WRITING(tail), which the next publisher writes again; one that dies
//! between its commit and `tail + 1` leaves a stamp ahead of the tail, and the next one moves the tail.
//!
//! Orderings. Promise: who sees WRITTEN sees the item; who copied bytes of a later item sees its WRITING when it looks again. The
//! commit stores with Release, the first look loads with Acquire (pair ITEM). WRITING is stored before a Release fence, the copy
//! is followed by an Acquire fence (pair OVERWRITE), as in `data::slots`.

use core::mem::MaybeUninit;
use std::sync::Arc;

use super::super::ring::{KEPT_PATIENCE, Line, MAX_CAPACITY, NotPut, SIDE_PATIENCE, Waiting};
use super::seats::SubscriberWord;
use crate::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};
use crate::error::{Error, Result};
use crate::participant::{Attached, Fact, Fate, Host, PlanFault, RawFacts};
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, SharedSlice, Word};
use crate::sync::{Entry, LockWord, Owner, Parts};
use crate::time::Deadline;

/// How often a look that is disturbed looks again, before it takes the stamps for garbage.
const MOST_LOOKS: u32 = 10_000;

/// The most subscribers that publishers can be made to wait for.
pub(super) const MAX_SEATS: u64 = 1 << 16;

/// What precedes the seats and the slots.
#[repr(C, align(64))]
#[cfg_attr(loom, derive(Default))]
pub(in crate::queue) struct BroadcastHead {
    capacity: AtomicU64,
    stride: AtomicU64,
    /// Entries for subscribers that publishers wait for; 0: the slow are outrun.
    seats: AtomicU64,
    pub(super) closed: AtomicU32,
    reserved: [AtomicU32; 9],
    lock: LockWord,
    /// Items published since the broadcast was made.
    pub(super) position: AtomicU64,
    /// No seat is behind it. Changed under the lock.
    slowest: AtomicU64,
    padding: [AtomicU64; 4],
    news: Line,
    room: Line,
}

// SAFETY: (S6) words and atomics only; sizes are checked once at attach, positions are reduced before they index.
unsafe impl Word for BroadcastHead {}

documented_layout!(BroadcastHead {
    capacity,
    stride,
    seats,
    closed,
    reserved,
    lock,
    position,
    slowest,
    padding,
    news,
    room
});

/// Where head, seats, stamps and items lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) capacity: u64,
    seats: u64,
    pub(super) stride: usize,
    pub(super) item_at: usize,
    pub(super) slots_at: usize,
    pub(super) total: usize,
}

impl Layout {
    /// The layout for `capacity` items of `size` bytes; stamp and item lie side by side.
    pub(super) fn new(capacity: u64, seats: u64, size: usize, align: usize) -> Result<Self, PlanFault> {
        let fault = |what, found, expected: String| Err(PlanFault { what, found, expected });
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return fault("slots", capacity, format!("1 to {MAX_CAPACITY}"));
        }
        if seats > MAX_SEATS {
            return fault("subscribers to wait for", seats, format!("at most {MAX_SEATS}"));
        }
        if align > 64 {
            return fault("bytes of alignment", align as u64, "at most 64".into());
        }
        if size == 0 {
            return fault("bytes per item", 0, "an item has at least one byte".into());
        }
        let item_at = 8usize.next_multiple_of(align);
        let stride = (item_at + size).next_multiple_of(align.max(8));
        let slots_at = size_of::<BroadcastHead>() + seats as usize * size_of::<SubscriberWord>();
        let total = stride
            .checked_mul(capacity as usize)
            .and_then(|slots| slots.checked_add(slots_at))
            .filter(|&total| total <= isize::MAX as usize);
        match total {
            Some(total) => Ok(Layout { capacity, seats, stride, item_at, slots_at, total }),
            None => fault("slots", capacity, "less than the address space holds".into()),
        }
    }

    /// The layout that the head says, checked against the body.
    pub(super) fn checked(
        segment: &Arc<Segment>,
        head: &BroadcastHead,
        size: usize,
        align: usize,
    ) -> Result<Self> {
        // Relaxed: written before publication, and checked like any hostile numbers.
        let (capacity, stride) = (head.capacity.load(Relaxed), head.stride.load(Relaxed));
        let seats = head.seats.load(Relaxed);
        Layout::new(capacity, seats, size, align)
            .ok()
            .filter(|layout| layout.total == segment.body().1 && layout.stride as u64 == stride)
            .ok_or_else(|| Error::NotASegment {
                object: segment.object(),
                what: "broadcast sizes",
                expected: format!("sizes that make a body of {} bytes", segment.body().1),
                found: format!("{capacity} slots of {stride} bytes and {seats} seats"),
            })
    }
}

/// The stamp of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp(pub(super) u64);

impl Stamp {
    fn writing(position: u64) -> Self {
        Stamp(position.wrapping_add(1) << 1)
    }

    pub(super) fn written(position: u64) -> Self {
        Stamp(position.wrapping_add(1) << 1 | 1)
    }

    /// How many positions it is ahead of `position`; negative if it is of an earlier lap, or the slot was never used.
    fn ahead_of(self, position: u64) -> i64 {
        // Both sides are doubled, so that the difference keeps its sign; what a program of ours counts never comes near the end.
        ((self.0 | 1).wrapping_sub(Stamp::written(position).0) as i64) / 2
    }
}

/// What a look at one position brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// The item is there.
    Item,
    /// It is not there yet.
    NotYet,
    /// It never will be: the ring is closed.
    Closed,
    /// It was overwritten, and so were the ones behind it: so many in all.
    Missed(u64),
}

/// A mapped broadcast.
#[derive(Clone)]
pub(in crate::queue) struct BroadcastRing {
    pub(super) head: Shared<BroadcastHead>,
    pub(super) seats: SharedSlice<SubscriberWord>,
    /// All slots as words; the stamp of slot i is at i * stride / 8.
    stamps: SharedSlice<AtomicU64>,
    items: Bytes,
    attached: Attached,
    layout: Layout,
    size: usize,
}

impl BroadcastRing {
    /// Writes the sizes into a body that nobody else sees.
    pub(super) fn initialise(segment: &Arc<Segment>, layout: &Layout) -> Result<()> {
        let head = Shared::<BroadcastHead>::new(segment, 0)?;
        // Relaxed: publication by `link` orders everything before it.
        head.capacity.store(layout.capacity, Relaxed);
        head.stride.store(layout.stride as u64, Relaxed);
        head.seats.store(layout.seats, Relaxed);
        Ok(())
    }

    /// Checks the sizes against the body; from here on only the checked copies are used.
    pub(super) fn attach(attached: Attached, size: usize, align: usize) -> Result<Self> {
        let segment = Arc::clone(&attached.segment);
        let head = Shared::<BroadcastHead>::new(&segment, 0)?;
        let layout = Layout::checked(&segment, &head, size, align)?;
        let first = layout.slots_at;
        Ok(BroadcastRing {
            seats: SharedSlice::new(&segment, size_of::<BroadcastHead>(), layout.seats as usize)?,
            stamps: SharedSlice::new(&segment, first, (layout.total - first) / 8)?,
            items: Bytes::new(&segment, first, layout.total - first, 8)?,
            head,
            attached,
            layout,
            size,
        })
    }

    /// The state of the broadcast in `segment`, for whoever inspects it.
    pub(super) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        let head = Shared::<BroadcastHead>::new(segment, 0)?;
        // Relaxed: figures that are no one instant anyway.
        let (published, seats) = (head.position.load(Relaxed), head.seats.load(Relaxed));
        let mut facts = vec![
            ("capacity", Fact::Number(head.capacity.load(Relaxed))),
            ("closed", Fact::Flag(head.closed.load(Relaxed) != 0)),
            ("published", Fact::Number(published)),
            ("waits_for_subscribers", Fact::Flag(seats != 0)),
        ];
        if let Ok(seats) = SharedSlice::<SubscriberWord>::new(
            segment,
            size_of::<BroadcastHead>(),
            seats.min(MAX_SEATS) as usize,
        ) && !seats.is_empty()
        {
            let taken = seats.iter().filter(|seat| seat.owner() != 0).take(64);
            let subscribers = taken.map(|seat| {
                Fact::Part(vec![
                    ("participant", Fact::participant(seat.owner())),
                    ("behind", Fact::Number(published.saturating_sub(seat.position()))),
                ])
            });
            facts.push(("subscribers", Fact::List(subscribers.collect())));
        }
        facts.push(("publishers", Fact::Part(head.lock.facts())));
        Ok(facts)
    }

    pub(in crate::queue) fn attached(&self) -> &Attached {
        &self.attached
    }

    pub(super) fn capacity(&self) -> u64 {
        self.layout.capacity
    }

    pub(super) fn waits_for_subscribers(&self) -> bool {
        self.layout.seats != 0
    }

    /// Items published so far. A hint.
    pub(super) fn published(&self) -> u64 {
        self.head.position.load(Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.head.closed.load(SeqCst) != 0
    }

    fn slot(&self, position: u64) -> usize {
        (position % self.layout.capacity) as usize
    }

    fn stamp(&self, position: u64) -> &AtomicU64 {
        &self.stamps[self.slot(position) * (self.layout.stride / 8)]
    }

    fn item_at(&self, position: u64) -> usize {
        self.slot(position) * self.layout.stride + self.layout.item_at
    }

    /// Takes the publishers' lock; nothing needs repair but what each holder looks at anyway.
    pub(super) fn enter(&self, deadline: Deadline, action: &'static str) -> Result<Owner> {
        let patience = match deadline {
            Deadline::Now => Deadline::after(SIDE_PATIENCE),
            other => other,
        };
        let parts = Parts { word: &self.head.lock, attached: &self.attached };
        let (owner, entry) = parts.own(patience, action)?;
        if entry != Entry::Clean {
            self.head.lock.make_consistent();
        }
        Ok(owner)
    }

    pub(super) fn leave(&self, owner: Owner) {
        self.head.lock.release_announcing(self.attached.member.host(), owner);
    }

    /// Publishes as many of `items`, which lie one after the other, as there is room for; tells how many, at least one.
    pub(super) fn publish(&self, items: &[u8], deadline: Deadline) -> Result<usize, NotPut> {
        let owner = self.enter(deadline, "publish into it")?;
        let outcome = self.publish_held(items);
        self.leave(owner);
        let count = outcome?;
        self.head.news.events.notify_all(self.attached.member.host());
        Ok(count)
    }

    fn publish_held(&self, items: &[u8]) -> Result<usize, NotPut> {
        let mut tail = self.tail();
        if self.is_closed() {
            return Err(NotPut::Closed);
        }
        let mut count = 0;
        for item in items.chunks_exact(self.size) {
            if self.waits_for_subscribers() && !self.has_room(tail) {
                break;
            }
            let stamp = self.stamp(tail);
            // Relaxed and fence: pair OVERWRITE.
            stamp.store(Stamp::writing(tail).0, Relaxed);
            fence(Release);
            self.items.store(self.item_at(tail), item);
            // Release: pair ITEM. Sleepers are told through the lock's release (pair ANNOUNCE).
            stamp.store(Stamp::written(tail).0, Release);
            tail = tail.wrapping_add(1);
            // Release: who sees the position sees the stamps before it.
            self.head.position.store(tail, Release);
            count += 1;
        }
        if count == 0 { Err(NotPut::Full) } else { Ok(count) }
    }

    /// The position of the next item; with the lock held.
    pub(super) fn tail(&self) -> u64 {
        // Relaxed: changed under this lock only.
        let tail = self.head.position.load(Relaxed);
        if self.stamp(tail).load(Relaxed) != Stamp::written(tail).0 {
            return tail;
        }
        // A publisher died between its commit and the tail.
        let tail = tail.wrapping_add(1);
        self.head.position.store(tail, Release);
        tail
    }

    /// Whether no living subscriber still needs what lies in the slot of `tail`; with the lock held.
    fn has_room(&self, tail: u64) -> bool {
        let capacity = self.layout.capacity;
        // Relaxed: changed under this lock only. Whoever found it so saw the seats' positions (pair CONSUMED).
        let slowest = &self.head.slowest;
        if tail.wrapping_sub(slowest.load(Relaxed)) < capacity {
            return true;
        }
        let mut least = tail;
        for seat in self.seats.iter() {
            let owner = seat.owner();
            let position = seat.position();
            let behind = tail.wrapping_sub(position);
            // Ahead of the tail is nobody; such a number is garbage and holds nobody up.
            if owner == 0 || behind as i64 <= 0 {
                continue;
            }
            if behind >= capacity && self.attached.member.host().fate(owner) == Fate::Gone {
                seat.leave(owner);
                continue;
            }
            if behind > tail.wrapping_sub(least) {
                least = position;
            }
        }
        slowest.store(least, Relaxed);
        tail.wrapping_sub(least) < capacity
    }

    /// Takes a free seat, or one of the dead, for `id`, who reads from `position` on, or from as far back as can be read; with the
    /// lock held.
    pub(super) fn take_seat(&self, id: u32, position: u64) -> Option<usize> {
        let tail = self.tail();
        let oldest = tail.saturating_sub(self.layout.capacity);
        let position = position.clamp(oldest, tail);
        let host = self.attached.member.host();
        let index = self.seats.iter().position(|seat| match seat.owner() {
            0 => true,
            owner => owner != id && host.fate(owner) == Fate::Gone && seat.leave(owner),
        })?;
        // First the bound that publishers go by: a death between leaves it lower than it need be.
        let slowest = &self.head.slowest;
        if tail.wrapping_sub(position) > tail.wrapping_sub(slowest.load(Relaxed)) {
            slowest.store(position, Relaxed);
        }
        self.seats[index].take(id, position);
        Some(index)
    }

    /// Copies the item of `position`, if it is there.
    #[inline]
    pub(super) fn receive(&self, position: u64, to: &mut [MaybeUninit<u8>]) -> Result<Seen> {
        let written = Stamp::written(position).0;
        let stamp = self.stamp(position);
        for _ in 0..MOST_LOOKS {
            // SeqCst: pair ANNOUNCE of the event count, and with it Acquire: pair ITEM.
            if stamp.load(SeqCst) == written {
                self.items.load(self.item_at(position), to);
                // Acquire fence: pair OVERWRITE.
                fence(Acquire);
                if stamp.load(Relaxed) == written {
                    return Ok(Seen::Item);
                }
            }
            match self.judge(position)? {
                // It came between the two looks.
                Seen::Item => {}
                other => return Ok(other),
            }
        }
        Err(self.corrupt(position))
    }

    /// What has become of the item of `position`, without copying it.
    pub(super) fn judge(&self, position: u64) -> Result<Seen> {
        let stamp = self.stamp(position);
        let now = Stamp(stamp.load(SeqCst));
        if now == Stamp::written(position) {
            return Ok(Seen::Item);
        }
        let ahead = if now == Stamp(0) { -1 } else { now.ahead_of(position) };
        if ahead > 0 {
            if !ahead.unsigned_abs().is_multiple_of(self.layout.capacity) {
                return Err(self.corrupt(position));
            }
            // What shares this slot is being overwritten or has been: all of a lap before it are, too.
            let overrun = ahead as u64 - self.layout.capacity + 1;
            // Acquire: who sees the tail sees the stamps before it.
            let behind = self.head.position.load(Acquire).wrapping_sub(position);
            let lapped = (behind as i64).max(0) as u64;
            return Ok(Seen::Missed(overrun.max(lapped.saturating_sub(self.layout.capacity))));
        }
        // The flag is set under the lock, behind all items; so a stamp read after it is the last one.
        let closed = self.is_closed();
        // Acquire: as above.
        let tail = self.head.position.load(Acquire);
        if stamp.load(SeqCst) != now.0 {
            return if stamp.load(SeqCst) == Stamp::written(position).0 {
                Ok(Seen::Item)
            } else {
                self.judge_again(position)
            };
        }
        if (tail.wrapping_sub(position) as i64) > 0 {
            // The tail has passed a slot that was not written.
            return Err(self.corrupt(position));
        }
        Ok(if closed { Seen::Closed } else { Seen::NotYet })
    }

    /// The stamp changed while it was looked at: what is asked for is being written, or was overwritten.
    #[cold]
    fn judge_again(&self, position: u64) -> Result<Seen> {
        let now = Stamp(self.stamp(position).load(SeqCst));
        Ok(match now.ahead_of(position) {
            ahead if ahead > 0 => Seen::Missed(1),
            _ if now == Stamp::written(position) => Seen::Item,
            _ => Seen::NotYet,
        })
    }

    /// Where somebody who subscribes now begins; without the lock.
    pub(super) fn now(&self) -> u64 {
        // Acquire: pair ITEM, for the stamps before it.
        let tail = self.head.position.load(Acquire);
        // A publisher is, or died, between its commit and the tail.
        if self.stamp(tail).load(Acquire) == Stamp::written(tail).0 { tail.wrapping_add(1) } else { tail }
    }

    /// Lets subscribers receive what is there and publishers publish no more.
    pub(super) fn close(&self) -> Result<()> {
        let owner = self.enter(Deadline::after(KEPT_PATIENCE), "close it")?;
        self.tail();
        self.head.closed.store(1, SeqCst);
        self.leave(owner);
        let host = self.attached.member.host();
        self.head.news.events.notify_all(host);
        self.head.room.events.notify_all(host);
        Ok(())
    }

    /// Wakes publishers that may go on because a subscriber moved on by `count`.
    pub(super) fn make_room(&self, count: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.head.room.events.notify(self.attached.member.host(), count);
    }

    /// What subscribers, and publishers that are held up by them, wait for.
    pub(in crate::queue) fn waiting(&self, for_news: bool) -> Waiting<'_> {
        let line = if for_news { &self.head.news } else { &self.head.room };
        Waiting { events: &line.events, watch: &line.watch, publisher: Some(&self.head.lock) }
    }

    #[cold]
    fn corrupt(&self, position: u64) -> Error {
        Error::NotASegment {
            object: self.attached.object(),
            what: "slot stamp",
            expected: format!("a stamp of position {position} or of laps before or after it"),
            found: format!("{:#x}", self.stamp(position).load(Relaxed)),
        }
    }
}
