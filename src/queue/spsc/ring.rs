//! The ring of one producer and one consumer: two positions, each written by one end only.
//!
//! ```text
//! put:  room by the head last seen (else look at it); write; tail + 1 (the commit); wake a sleeper, if there is one
//! get:  items by the tail last seen (else look at it); copy; head + 1 (the commit); wake a sleeper, if there is one
//! ```
//!
//! Whoever dies leaves its position where it was or where it shall be: there is nothing to repair. An end is held by the id in its
//! owner word, taken by compare-exchange from 0 or from an id that is gone.
//!
//! Each end's line holds what that end writes; the other looks at it only when the ring seems empty or full to it.

use std::ptr::NonNull;
use std::sync::Arc;

use super::super::ring::{Line, MAX_CAPACITY, NotPut, NotTaken, Waiting};
use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::error::{Error, Result};
use crate::participant::{Attached, Fact, Fate, Host, PlanFault, RawFacts};
use crate::shm::Plain;
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared, Word};

/// One end, on lines of its own.
#[repr(C, align(128))]
#[cfg_attr(loom, derive(Default))]
pub(super) struct EndWord {
    /// Items put, or taken, since the ring was made.
    pub(super) position: AtomicU64,
    /// Who holds the end; 0: nobody.
    owner: AtomicU32,
    reserved: AtomicU32,
    /// The producer's: the most items that were seen at once.
    high_water: AtomicU64,
}

/// What precedes the slots.
#[repr(C, align(128))]
#[cfg_attr(loom, derive(Default))]
pub(in crate::queue) struct SpscHead {
    pub(super) capacity: AtomicU64,
    pub(super) closed: AtomicU32,
    reserved: AtomicU32,
    not_empty: Line,
    not_full: Line,
    pub(super) producer: EndWord,
    pub(super) consumer: EndWord,
}

// SAFETY: (S6) words and atomics only, all-zero is valid; positions are checked against each other before they count slots.
unsafe impl Word for SpscHead {}

documented_layout!(SpscHead { capacity, closed, reserved, not_empty, not_full, producer, consumer });

#[cfg(test)]
mod end_layout {
    use super::EndWord;
    documented_layout!(EndWord { position, owner, reserved, high_water });
}

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Producer,
    Consumer,
}

/// An end as its holder knows it.
#[derive(Debug)]
pub(super) struct End {
    role: Role,
    /// Whose it is.
    id: u32,
    /// The position of this end.
    mine: u64,
    /// The position of the other end as it was last seen.
    theirs: u64,
    /// The slot of `mine`.
    slot: usize,
}

/// Bytes of the body for `capacity` items of type `T`.
pub(super) fn body_bytes<T: Plain>(capacity: u64) -> Result<usize, PlanFault> {
    let fault = |what, found, expected: String| Err(PlanFault { what, found, expected });
    if size_of::<T>() == 0 {
        return fault("bytes per item", 0, "an item has at least one byte".into());
    }
    if align_of::<T>() > 64 {
        return fault("bytes of alignment", align_of::<T>() as u64, "at most 64".into());
    }
    if !(1..=MAX_CAPACITY).contains(&capacity) {
        return fault("slots", capacity, format!("1 to {MAX_CAPACITY}"));
    }
    let total = size_of::<T>()
        .checked_mul(capacity as usize)
        .and_then(|slots| slots.checked_add(size_of::<SpscHead>()))
        .filter(|&total| total <= isize::MAX as usize);
    match total {
        Some(total) => Ok(total),
        None => fault("slots", capacity, "less than the address space holds".into()),
    }
}

/// A mapped ring.
#[derive(Clone)]
pub(in crate::queue) struct SpscRing {
    head: Shared<SpscHead>,
    items: Bytes,
    attached: Attached,
    capacity: usize,
}

impl SpscRing {
    /// Writes the size into a body that nobody else sees.
    pub(super) fn initialise(segment: &Arc<Segment>, capacity: u64) -> Result<()> {
        let head = Shared::<SpscHead>::new(segment, 0)?;
        // Relaxed: publication by `link` orders everything before it.
        head.capacity.store(capacity, Relaxed);
        Ok(())
    }

    /// Checks the size against the body; from here on only the checked copy is used.
    pub(super) fn attach<T: Plain>(attached: Attached) -> Result<Self> {
        let segment = Arc::clone(&attached.segment);
        let head = Shared::<SpscHead>::new(&segment, 0)?;
        // Relaxed: written before publication, and checked like any hostile number.
        let (capacity, body) = (head.capacity.load(Relaxed), segment.body().1);
        if !body_bytes::<T>(capacity).is_ok_and(|bytes| bytes == body) {
            return Err(Error::NotASegment {
                object: segment.object(),
                what: "queue size",
                expected: format!("a capacity that makes a body of {body} bytes"),
                found: format!("{capacity} slots"),
            });
        }
        let first = size_of::<SpscHead>();
        let items = Bytes::new(&segment, first, body - first, align_of::<T>().max(8))?;
        Ok(SpscRing { head, items, attached, capacity: capacity as usize })
    }

    /// The state of the ring in `segment`, for whoever inspects it.
    pub(in crate::queue) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        let head = Shared::<SpscHead>::new(segment, 0)?;
        // Relaxed: figures that are no one instant anyway.
        let (put, taken) = (head.producer.position.load(Relaxed), head.consumer.position.load(Relaxed));
        let capacity = head.capacity.load(Relaxed);
        Ok(vec![
            ("length", Fact::Number(put.saturating_sub(taken).min(capacity))),
            ("capacity", Fact::Number(capacity)),
            ("closed", Fact::Flag(head.closed.load(Relaxed) != 0)),
            ("put", Fact::Number(put)),
            ("taken", Fact::Number(taken)),
            ("high_water", Fact::Number(head.producer.high_water.load(Relaxed))),
            ("producer", Fact::participant(head.producer.owner.load(Relaxed))),
            ("consumer", Fact::participant(head.consumer.owner.load(Relaxed))),
        ])
    }

    pub(super) fn attached(&self) -> &Attached {
        &self.attached
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        // Relaxed: two positions read one after the other are no instant anyway. The head first, so that the tail is not less.
        let taken = self.head.consumer.position.load(Relaxed);
        (self.head.producer.position.load(Relaxed), taken)
    }

    /// The most items that were seen at once.
    pub(super) fn high_water(&self) -> usize {
        self.head.producer.high_water.load(Relaxed).min(self.capacity as u64) as usize
    }

    pub(super) fn len(&self) -> usize {
        let (put, taken) = self.counts();
        put.saturating_sub(taken).min(self.capacity as u64) as usize
    }

    pub(super) fn is_closed(&self) -> bool {
        self.head.closed.load(SeqCst) != 0
    }

    /// Says that nothing more will be put, or taken.
    pub(super) fn close(&self, end: &End) {
        if self.attached.member.me() != end.id {
            return;
        }
        // SeqCst: pair ANNOUNCE. The Release in it: who sees it sees what the producer put before.
        self.head.closed.store(1, SeqCst);
        let host = self.attached.member.host();
        self.head.not_empty.events.notify_all(host);
        self.head.not_full.events.notify_all(host);
    }

    #[inline]
    fn word(&self, role: Role) -> &EndWord {
        match role {
            Role::Producer => &self.head.producer,
            Role::Consumer => &self.head.consumer,
        }
    }

    /// What the holder of an end sleeps on.
    #[inline]
    pub(super) fn line(&self, role: Role) -> &Line {
        match role {
            Role::Producer => &self.head.not_full,
            Role::Consumer => &self.head.not_empty,
        }
    }

    /// The same, for those who wait among other things.
    pub(super) fn waiting(&self, role: Role) -> Waiting<'_> {
        let line = self.line(role);
        Waiting { events: &line.events, watch: &line.watch, publisher: None }
    }

    /// Whether a try at an end would find something to do.
    pub(super) fn is_ready(&self, role: Role) -> bool {
        let len = self.len();
        self.is_closed() || if role == Role::Producer { len < self.capacity } else { len > 0 }
    }

    /// Takes an end that nobody alive has.
    pub(super) fn claim(&self, role: Role) -> Result<End> {
        let object = || self.attached.object();
        let id = self.attached.member.join(object, "take an end of it")?;
        let owner = &self.word(role).owner;
        let mut held = 0;
        // Acquire: pair END. What the last holder did is behind whoever follows it; the dead are behind the oracle.
        while let Err(found) = owner.compare_exchange(held, id, Acquire, Relaxed) {
            if found != 0 && (found == id || self.attached.member.host().fate(found) != Fate::Gone) {
                let role = if role == Role::Producer { "producer" } else { "consumer" };
                return Err(Error::EndTaken { object: object(), role, participant: found });
            }
            held = found;
        }
        let (put, taken) =
            (self.head.producer.position.load(Acquire), self.head.consumer.position.load(Acquire));
        let (mine, theirs) = if role == Role::Producer { (put, taken) } else { (taken, put) };
        let end = End { role, id, mine, theirs, slot: (mine % self.capacity as u64) as usize };
        match self.check(put, taken) {
            Ok(()) => Ok(end),
            Err(error) => {
                self.give_back(&end);
                Err(error)
            }
        }
    }

    /// Lets somebody else take the end. Without effect in a forked child.
    pub(super) fn give_back(&self, end: &End) {
        if self.attached.member.me() == end.id {
            // Release: pair END. Relaxed on failure: somebody hostile has written the word.
            let _ = self.word(end.role).owner.compare_exchange(end.id, 0, Release, Relaxed);
        }
    }

    /// Refuses the end of another process, which a forked child has a copy of.
    #[inline]
    pub(super) fn check_owner(&self, end: &End) -> Result<()> {
        if self.attached.member.me() == end.id { Ok(()) } else { Err(self.inherited(end)) }
    }

    #[cold]
    fn inherited(&self, end: &End) -> Error {
        let what = if end.role == Role::Producer { "producer" } else { "consumer" };
        Error::Inherited { object: self.attached.object(), what }
    }

    fn check(&self, put: u64, taken: u64) -> Result<()> {
        if put.wrapping_sub(taken) <= self.capacity as u64 {
            return Ok(());
        }
        Err(Error::NotASegment {
            object: self.attached.object(),
            what: "queue positions",
            expected: format!("at most {} apart", self.capacity),
            found: format!("{put} put and {taken} taken"),
        })
    }

    /// How many slots are free, at least `enough` if there are; `None` if there are none, or [`room`](Self::room) has more to say.
    #[inline]
    pub(super) fn room_now(&self, end: &mut End, enough: usize) -> Option<usize> {
        // Relaxed: as in `room`.
        if self.attached.member.me() != end.id || self.head.closed.load(Relaxed) != 0 {
            return None;
        }
        let mut used = end.mine.wrapping_sub(end.theirs);
        if self.capacity - (used as usize) < enough {
            // SeqCst: pair ANNOUNCE. The Acquire in it is pair FREED: all reads of what lay there are over.
            let head = self.head.consumer.position.load(SeqCst);
            used = end.mine.wrapping_sub(head);
            if used >= self.capacity as u64 {
                return None;
            }
            end.theirs = head;
        }
        Some(self.capacity - used as usize)
    }

    /// How many items are there, at least `enough` if there are; `None` if there are none, or [`available`](Self::available) has
    /// more to say.
    #[inline]
    pub(super) fn available_now(&self, end: &mut End, enough: usize) -> Option<usize> {
        if self.attached.member.me() != end.id {
            return None;
        }
        let mut available = end.theirs.wrapping_sub(end.mine);
        if (available as usize) < enough {
            // SeqCst: pair ANNOUNCE. The Acquire in it is pair ITEM.
            let tail = self.head.producer.position.load(SeqCst);
            available = tail.wrapping_sub(end.mine);
            if available == 0 || available > self.capacity as u64 {
                return None;
            }
            end.theirs = tail;
        }
        Some(available as usize)
    }

    /// How many slots are free, at least `enough` if there are; looks at the consumer's line only if it must.
    pub(super) fn room(&self, end: &mut End, enough: usize) -> Result<usize, NotPut> {
        self.check_owner(end)?;
        // Relaxed: a put beside a close of the consumer's may be before or behind it.
        if self.head.closed.load(Relaxed) != 0 {
            return Err(NotPut::Closed);
        }
        let room = self.capacity - end.mine.wrapping_sub(end.theirs) as usize;
        if room >= enough { Ok(room) } else { self.see_room(end) }
    }

    fn see_room(&self, end: &mut End) -> Result<usize, NotPut> {
        // SeqCst: pair ANNOUNCE. The Acquire in it is pair FREED: all reads of what lay there are over.
        let head = self.head.consumer.position.load(SeqCst);
        self.check(end.mine, head)?;
        end.theirs = head;
        // Relaxed: a figure for display, which the producer alone writes.
        let (mark, len) = (&self.head.producer.high_water, end.mine.wrapping_sub(head));
        if len > mark.load(Relaxed) {
            mark.store(len, Relaxed);
        }
        match self.capacity - end.mine.wrapping_sub(head) as usize {
            0 => Err(NotPut::Full),
            room => Ok(room),
        }
    }

    /// How many items are there, at least `enough` if there are; looks at the producer's line only if it must.
    pub(super) fn available(&self, end: &mut End, enough: usize) -> Result<usize, NotTaken> {
        self.check_owner(end)?;
        let available = end.theirs.wrapping_sub(end.mine) as usize;
        if available >= enough { Ok(available) } else { self.see_available(end) }
    }

    fn see_available(&self, end: &mut End) -> Result<usize, NotTaken> {
        let look = |end: &mut End| {
            // SeqCst: pair ANNOUNCE. The Acquire in it is pair ITEM.
            let tail = self.head.producer.position.load(SeqCst);
            self.check(tail, end.mine)?;
            end.theirs = tail;
            Ok::<_, Error>(tail.wrapping_sub(end.mine) as usize)
        };
        match look(end)? {
            // Closed first, then what was put before that.
            0 if self.is_closed() => match look(end)? {
                0 => Err(NotTaken::Closed),
                available => Ok(available),
            },
            0 => Err(NotTaken::Empty),
            available => Ok(available),
        }
    }

    /// Where the next slot of an end is.
    #[inline]
    pub(super) fn place<T: Plain>(&self, end: &End) -> NonNull<T> {
        // SAFETY: (S5) the slot's number is less than the capacity, and `attach` made sure that so many slots of `T` fill the view.
        unsafe { self.items.address_of(end.slot * size_of::<T>()) }.cast()
    }

    /// Where the next `count` slots of an end are, at most all: two runs, the second one at the ring's beginning and often empty.
    #[inline]
    pub(super) fn places<T: Plain>(&self, end: &End, count: usize) -> [(NonNull<T>, usize); 2] {
        let front = count.min(self.capacity - end.slot);
        let at =
            |slot: usize, len: usize| self.items.address(slot * size_of::<T>(), len * size_of::<T>()).cast();
        [(at(end.slot, front), front), (at(0, count - front), count - front)]
    }

    /// Moves the end of `role`: the commit. `count` is what `room` or `available` allowed.
    #[inline]
    pub(super) fn advance(&self, role: Role, end: &mut End, count: usize) {
        let slot = end.slot + count;
        self.advance_to(role, end, count, if slot < self.capacity { slot } else { slot - self.capacity });
    }

    /// As `advance`, by one: a few instructions less.
    #[inline]
    pub(super) fn step(&self, role: Role, end: &mut End) {
        let slot = end.slot + 1;
        self.advance_to(role, end, 1, if slot == self.capacity { 0 } else { slot });
    }

    #[inline]
    fn advance_to(&self, role: Role, end: &mut End, count: usize, slot: usize) {
        end.slot = slot;
        end.mine = end.mine.wrapping_add(count as u64);
        // Release: pairs ITEM and FREED. In a model nobody looks for as long as a store needs to become visible (see `waits`): there it
        // is visible at once.
        let order = if cfg!(loom) { SeqCst } else { Release };
        self.word(role).position.store(end.mine, order);
        let other = if role == Role::Producer { Role::Consumer } else { Role::Producer };
        // This load may overtake the store above on its way to the memory, by the time the store buffer takes: see `waits`.
        if self.line(other).events.is_awaited() {
            self.tell(other);
        }
    }

    #[cold]
    fn tell(&self, role: Role) {
        self.line(role).events.notify(self.attached.member.host(), 1);
    }
}
