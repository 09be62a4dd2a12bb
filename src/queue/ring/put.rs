//! The producers' side of the ring.

use bytemuck::NoUninit;

use super::super::stamp::{Stamp, State};
use super::{HIGH_WATER_EVERY, NotPut, NotTaken, Ring, Slot};
use crate::atomic::Ordering::*;
use crate::error::{Error, Result as Outcome};
use crate::time::Deadline;

impl Ring {
    /// Puts as many of `items`, which lie one after the other, as there is room for; tells how many, at least one.
    #[inline]
    pub(in crate::queue) fn put(&self, items: &[u8], deadline: Deadline) -> Result<usize, NotPut> {
        let put = &self.head.put;
        let (owner, _) = self.enter(put, deadline, "put into it")?;
        let outcome = self.put_held(items);
        self.leave(put, owner);
        let count = outcome?;
        self.head.not_empty.events.notify(self.attached.member.host(), count as u32);
        Ok(count)
    }

    /// Puts one item, whose size the compiler knows: a small one moves in registers.
    #[inline]
    pub(in crate::queue) fn put_value<B: NoUninit>(
        &self,
        item: &B,
        deadline: Deadline,
    ) -> Result<(), NotPut> {
        let put = &self.head.put;
        let (owner, _) = self.enter(put, deadline, "put into it")?;
        // Relaxed: changed under this lock only.
        let tail = self.free_tail(put.position.load(Relaxed));
        if let Ok(tail) = tail {
            self.items.store_value(self.item_at(tail), item);
            self.stamp(tail).store(Stamp::new(State::Committed, tail, 0));
            put.position.store(tail.wrapping_add(1), Relaxed);
            self.note_high_water(tail.wrapping_add(1));
        }
        self.leave(put, owner);
        tail?;
        self.head.not_empty.events.notify(self.attached.member.host(), 1);
        Ok(())
    }

    /// Whether there is nothing to do for a producer that waits, seen without the lock: the next slot holds an item that nobody
    /// has begun to take.
    pub(in crate::queue) fn is_plainly_full(&self) -> bool {
        // Acquire: a tail that another producer has moved on meanwhile leads to a newer stamp, and so to the lock.
        let tail = self.head.put.position.load(Acquire);
        let Some(before) = tail.checked_sub(self.layout.capacity) else { return false };
        self.stamp(tail).load().is(State::Committed, before)
            // SeqCst: pair ANNOUNCE; this may be a waiter's last look.
            && self.head.take.position.load(SeqCst) <= before
            && !self.is_closed()
            && self.attached.member.me() != 0
    }

    /// As `put`, with the put lock held.
    #[inline]
    fn put_held(&self, items: &[u8]) -> Result<usize, NotPut> {
        let put = &self.head.put;
        // Relaxed: changed under this lock only.
        let mut tail = self.free_tail(put.position.load(Relaxed))?;
        let mut count = 0;
        for item in items.chunks_exact(self.size.max(1)) {
            if count > 0 {
                match self.free_tail(tail) {
                    Ok(free) => tail = free,
                    Err(_) => break,
                }
            }
            self.items.store(self.item_at(tail), item);
            self.stamp(tail).store(Stamp::new(State::Committed, tail, 0));
            tail = tail.wrapping_add(1);
            count += 1;
            put.position.store(tail, Relaxed);
        }
        self.note_high_water(tail);
        Ok(count)
    }

    /// Looks at the other side's line now and then only: a look at every item would cost more than the item.
    #[inline]
    fn note_high_water(&self, tail: u64) {
        if tail.is_multiple_of(HIGH_WATER_EVERY) || tail == 1 {
            let len = tail.saturating_sub(self.head.take.position.load(Relaxed));
            self.raise_high_water(len);
        }
    }

    pub(super) fn raise_high_water(&self, len: u64) {
        // Relaxed: a figure for display, changed under the put lock only.
        let mark = &self.head.put.high_water;
        mark.store(mark.load(Relaxed).max(len.min(self.layout.capacity)), Relaxed);
    }

    /// The position at or after `tail` whose slot is free for it; with the put lock held.
    #[inline]
    pub(super) fn free_tail(&self, mut tail: u64) -> Result<u64, NotPut> {
        loop {
            let stamp = self.stamp(tail).load();
            if stamp.is(State::Empty, tail) {
                // Closed is set under this lock, so nobody puts behind a close.
                return if self.is_closed() { Err(NotPut::Closed) } else { Ok(tail) };
            }
            tail = self.occupied(tail, stamp)?;
        }
    }

    /// What an occupied slot means to a producer: go on behind it, treat it as free, or stop.
    #[cold]
    pub(super) fn occupied(&self, tail: u64, stamp: Stamp) -> Result<u64, NotPut> {
        if self.is_closed() {
            return Err(NotPut::Closed);
        }
        if self.is_behind(tail, stamp) {
            // A producer died between its stamp and the tail; a consumer may have taken the item since.
            self.head.put.position.store(tail.wrapping_add(1), Relaxed);
            return Ok(tail.wrapping_add(1));
        }
        let before = tail.wrapping_sub(self.layout.capacity);
        if !stamp.is_of(before) {
            return Err(NotPut::Failed(self.corrupt(tail, stamp)));
        }
        // Relaxed: only a hint; what counts is decided under the take lock.
        let passed = self.head.take.position.load(Relaxed) > before;
        let freed = match stamp.state() {
            Some(State::Committed | State::Skipped) if passed => {
                self.finish_consuming(before)?;
                true
            }
            Some(State::Taken) if passed => self.return_if_dead(before, stamp),
            // The head is here, and nothing that can be delivered: nobody who consumes may ever come by.
            Some(State::Skipped | State::Taken) => self.move_head(before)?,
            Some(State::Reserved) => stamp.id() != 0 && self.is_gone(stamp.id()) && self.move_head(before)?,
            Some(State::Committed | State::Returned) => false,
            _ => return Err(NotPut::Failed(self.corrupt(tail, stamp))),
        };
        if freed {
            return Ok(tail);
        }
        self.raise_high_water(self.layout.capacity);
        Err(NotPut::Full)
    }

    /// Whether the item of `tail` was put already, though the tail does not say so: its producer is about to move the tail, or died
    /// there.
    pub(super) fn is_behind(&self, tail: u64, stamp: Stamp) -> bool {
        let consumed = stamp.is(State::Empty, tail.wrapping_add(self.layout.capacity));
        consumed || (stamp.is_of(tail) && !stamp.is(State::Empty, tail))
    }

    /// Moves the head, which is at `before`, to the next item that can be delivered; tells whether that emptied the slot.
    ///
    /// Under both locks (take within put; nobody takes them the other way round).
    fn move_head(&self, before: u64) -> Result<bool, NotPut> {
        let take = &self.head.take;
        let (owner, clean) = self.enter(take, Deadline::Now, "put into it")?;
        if !clean {
            take.returned.store(1, SeqCst);
        }
        let next = self.next();
        self.leave(take, owner);
        match next {
            Err(NotTaken::Failed(error)) => Err(NotPut::Failed(error)),
            _ => Ok(self.stamp(before).load() == self.emptied(before)),
        }
    }

    /// Empties the slot of a consumer that has moved the head but not stamped the slot: it is doing so now, or died there.
    ///
    /// Under both locks (take within put; nobody takes them the other way round), so that no live consumer's stamp can
    /// come later than the next item's.
    fn finish_consuming(&self, before: u64) -> Result<(), NotPut> {
        let take = &self.head.take;
        let (owner, clean) = self.enter(take, Deadline::Now, "put into it")?;
        if !clean {
            take.returned.store(1, SeqCst);
        }
        let stamp = self.stamp(before).load();
        let consumed = stamp.is_of(before)
            && matches!(stamp.state(), Some(State::Committed | State::Skipped))
            && take.position.load(Relaxed) > before;
        if consumed {
            self.stamp(before).store(self.emptied(before));
        }
        self.leave(take, owner);
        Ok(())
    }

    /// Whether a `put` would return at once: a slot is free, or the ring is closed. With `thorough`, what the dead left is looked at,
    /// too.
    pub(in crate::queue) fn has_room(&self, thorough: bool) -> Outcome<bool> {
        let put = &self.head.put;
        if !thorough && !self.is_closed() {
            // Acquire: a tail that is seen is one whose stamps are seen.
            let tail = put.position.load(Acquire);
            if self.stamp(tail).load().is(State::Empty, tail) {
                return Ok(true);
            }
        }
        let (owner, _) = match self.enter(put, Deadline::Now, "put into it") {
            // Somebody keeps the lock.
            Err(Error::TimedOut | Error::WouldBlock) => return Ok(false),
            entered => entered?,
        };
        let free = self.free_tail(put.position.load(Relaxed));
        self.leave(put, owner);
        match free {
            Ok(_) | Err(NotPut::Closed) => Ok(true),
            Err(NotPut::Full) => Ok(false),
            Err(NotPut::Failed(error)) => Err(error),
        }
    }

    /// Holds the next free slot for writing in place.
    pub(in crate::queue) fn reserve(&self, deadline: Deadline) -> Result<Slot, NotPut> {
        let put = &self.head.put;
        let (owner, _) = self.enter(put, deadline, "put into it")?;
        let tail = self.free_tail(put.position.load(Relaxed));
        if let Ok(tail) = tail {
            self.stamp(tail).store(Stamp::new(State::Reserved, tail, owner.id()));
            put.position.store(tail.wrapping_add(1), Relaxed);
            self.note_high_water(tail.wrapping_add(1));
        }
        self.leave(put, owner);
        Ok(Slot { position: tail?, id: owner.id() })
    }

    /// Ends a reservation: the item is there, or never was. Without effect in a forked child.
    pub(in crate::queue) fn settle(&self, slot: Slot, commit: bool) {
        let held = Stamp::new(State::Reserved, slot.position, slot.id);
        let state = if commit { State::Committed } else { State::Skipped };
        let next = Stamp::new(state, slot.position, 0);
        if self.attached.member.me() == slot.id && self.stamp(slot.position).replace(held, next) {
            self.announce_settled(slot.position, u32::from(commit));
        }
    }

    /// Says that a reservation whose last slot is at `last` has become so many items, or nothing.
    pub(super) fn announce_settled(&self, last: u64, items: u32) {
        let host = self.attached.member.host();
        let behind = last.wrapping_add(1);
        let follower = self.stamp(behind).load();
        if self.is_closed() || follower.is(State::Committed, behind) || follower.is(State::Skipped, behind) {
            // More than these items have waited for this, or the end has.
            self.head.not_empty.events.notify_all(host);
        } else if items > 0 {
            self.head.not_empty.events.notify(host, items);
        }
        if items == 0 {
            // Producers who find the ring full of nothing make room themselves.
            self.head.not_full.events.notify_all(host);
        }
    }
}
