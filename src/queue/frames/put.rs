//! The producers' side of the ring of frames.

use super::super::ring::{NotPut, NotTaken};
use super::super::stamp::State;
use super::{COPY_HELD, FrameRing, HeldFrame, UNIT};
use crate::atomic::Ordering::*;
use crate::error::{Error, Result};
use crate::participant::{Fate, Host};
use crate::shm::view::Bytes;
use crate::sync::Owner;
use crate::time::Deadline;

/// The high-water mark is looked after once in so many items, and whenever room seems to be short.
const HIGH_WATER_EVERY: u64 = 64;

impl FrameRing {
    /// Takes the put lock and mends what its last holder left undone.
    pub(super) fn enter_put(&self, deadline: Deadline, action: &'static str) -> Result<Owner> {
        let put = &self.head.put;
        let (owner, clean) = self.enter(&put.lock, deadline, action)?;
        if !clean {
            // Acquire: the journal was written before the position that it belongs to.
            if put.position.load(Acquire) == put.next_position.load(Relaxed) {
                put.items.store(put.next_items.load(Relaxed), Relaxed);
            }
            put.lock.make_consistent();
        }
        Ok(owner)
    }

    /// Refuses frames that can never fit.
    pub(in crate::queue) fn check_len(&self, len: usize) -> Result<()> {
        if len <= self.capacity {
            return Ok(());
        }
        let at = "one item".into();
        Err(Error::TooLong { object: self.attached.object(), at, room: self.capacity, found: len })
    }

    /// Puts as many of `items` as there is room for; tells how many, at least one. Their lengths were checked.
    #[inline]
    pub(in crate::queue) fn put(&self, items: &[&[u8]], deadline: Deadline) -> Result<usize, NotPut> {
        if let [item, ..] = items
            && item.len() > COPY_HELD
        {
            let held = self.reserve(item.len(), deadline)?;
            self.bytes.store(self.bytes_at(held.position), item);
            self.settle(held, true);
            return Ok(1);
        }
        let owner = self.enter_put(deadline, "put into it")?;
        let outcome = self.put_held(items);
        self.leave(&self.head.put.lock, owner);
        let count = outcome?;
        self.head.not_empty.events.notify(self.attached.member.host(), count as u32);
        Ok(count)
    }

    /// As `put`, with the put lock held; stops before an item that is to be copied outside.
    #[inline]
    fn put_held(&self, items: &[&[u8]]) -> Result<usize, NotPut> {
        let mut count = 0;
        for item in items {
            if count > 0 && item.len() > COPY_HELD {
                break;
            }
            match self.room(item.len()) {
                Ok(at) => {
                    self.bytes.store(self.bytes_at(at), item);
                    self.append(at, State::Committed, item.len(), 0);
                    count += 1;
                }
                Err(_) if count > 0 => break,
                Err(why) => return Err(why),
            }
        }
        Ok(count)
    }

    /// Bytes up to the next frame, for an item of `len` bytes.
    fn room_for(len: usize) -> u64 {
        (len as u64).next_multiple_of(UNIT)
    }

    /// Moves the tail over the frame at the tail: the commit, of a frame that is COMMITTED.
    fn append(&self, at: u64, state: State, len: usize, id: u32) {
        let put = &self.head.put;
        let head = self.frame_head(at);
        let room = match state {
            State::Padding => len as u64,
            _ => Self::room_for(len),
        };
        // Relaxed: whoever looks at them has seen the tail that is stored below.
        head.room.store(room as u32, Relaxed);
        head.len.store(len as u32, Relaxed);
        head.stamp.store(Self::stamp(state, at, id));
        let items = put.items.load(Relaxed).wrapping_add(u64::from(state != State::Padding));
        let tail = at + UNIT + room;
        // The next tail first: as long as the tail is another one, nobody takes the next items for its own. Release here and
        // below keeps that order; whoever finds that the tail is the next one finds the items that belong to it.
        put.next_position.store(tail, Relaxed);
        put.next_items.store(items, Release);
        // Release: pair ITEM. Sleepers are told through the lock's release (pair ANNOUNCE).
        put.position.store(tail, Release);
        put.items.store(items, Relaxed);
        if items % HIGH_WATER_EVERY == 1 {
            self.raise_high_water(tail.wrapping_sub(self.head.take.free.load(Relaxed)));
        }
    }

    fn raise_high_water(&self, used: u64) {
        // Relaxed: a figure for display, changed under the put lock only.
        let mark = &self.head.put.high_water;
        mark.store(mark.load(Relaxed).max(used.min(self.size)), Relaxed);
    }

    /// The tail, with room behind it for an item of `len` bytes in one piece; with the put lock held.
    #[inline]
    fn room(&self, len: usize) -> Result<u64, NotPut> {
        // Closed is set under this lock, so nobody puts behind a close.
        if self.is_closed() {
            return Err(NotPut::Closed);
        }
        let size = UNIT + Self::room_for(len);
        // Relaxed: changed under this lock only.
        let mut tail = self.head.put.position.load(Relaxed);
        let to_end = self.size - self.unit(tail) as u64 * UNIT;
        if size > to_end {
            self.make_room(tail, to_end)?;
            self.append(tail, State::Padding, (to_end - UNIT) as usize, 0);
            tail += to_end;
        }
        self.make_room(tail, size)?;
        Ok(tail)
    }

    /// Waits for nobody: `need` bytes behind the tail are free, or the ring is full.
    #[inline]
    fn make_room(&self, tail: u64, need: u64) -> Result<(), NotPut> {
        let freed = self.head.put.freed.load(Relaxed);
        let used = tail.wrapping_sub(freed);
        if used <= self.size && need <= self.size - used && self.check_order(freed, tail).is_ok() {
            return Ok(());
        }
        self.make_room_slow(tail, need)
    }

    #[cold]
    fn make_room_slow(&self, tail: u64, need: u64) -> Result<(), NotPut> {
        if self.see_free(tail)? >= need {
            return Ok(());
        }
        if self.is_worth_reclaiming(tail)? {
            self.reclaim_for_put()?;
            if self.see_free(tail)? >= need {
                return Ok(());
            }
        }
        Err(NotPut::Full)
    }

    /// Looks at the other side's line; tells how many bytes are free.
    fn see_free(&self, tail: u64) -> Result<u64> {
        // Acquire: pair FREED. All reads of what lay there are over.
        let free = self.head.take.free.load(Acquire);
        self.check_order(free, tail)?;
        let used = tail - free;
        self.raise_high_water(used);
        self.head.put.freed.store(free, Relaxed);
        Ok(self.size - used)
    }

    /// Whether consumers left something that nobody needs any more: released out of order, or by the dead. A hint, so that
    /// producers who wait do not take the consumers' lock for nothing.
    fn is_worth_reclaiming(&self, tail: u64) -> Result<bool> {
        let take = &self.head.take;
        let (free, head) = (take.free.load(Acquire), take.position.load(Acquire));
        if free == tail {
            return Ok(false);
        }
        let stamp = self.frame_head(free).stamp.load();
        let gone = |id| self.attached.member.host().fate(id) == Fate::Gone;
        Ok(match stamp.state() {
            Some(State::Taken | State::Reserved) => gone(stamp.id()),
            Some(State::Returned) => false,
            Some(State::Committed) => free != head,
            _ => true,
        })
    }

    /// Frees what consumers left. Under both locks (take within put; nobody takes them the other way round).
    fn reclaim_for_put(&self) -> Result<(), NotPut> {
        let owner = self.enter_take(Deadline::Now, "put into it")?;
        // What the dead reserved is skipped on the way to the next item.
        let next = self.next();
        let freed = self.reclaim(true);
        self.leave(&self.head.take.lock, owner);
        if let Err(NotTaken::Failed(error)) = next {
            return Err(error.into());
        }
        if freed? {
            // Other producers may have room now, too.
            self.head.not_full.events.notify_all(self.attached.member.host());
        }
        Ok(())
    }

    /// Holds room for an item of `len` bytes, which was checked, for writing in place.
    pub(in crate::queue) fn reserve(&self, len: usize, deadline: Deadline) -> Result<HeldFrame, NotPut> {
        let owner = self.enter_put(deadline, "put into it")?;
        let at = self.room(len);
        if let Ok(at) = at {
            self.append(at, State::Reserved, len, owner.id());
        }
        self.leave(&self.head.put.lock, owner);
        Ok(HeldFrame { position: at?, len, id: owner.id() })
    }

    /// Shortens the item of a reservation.
    pub(in crate::queue) fn shorten(&self, held: &mut HeldFrame, len: usize) {
        if self.attached.member.me() == held.id && len < held.len {
            held.len = len;
            // Relaxed: consumers look at it after the commit.
            self.frame_head(held.position).len.store(len as u32, Relaxed);
        }
    }

    /// Ends a reservation: the item is there, or never was. Without effect in a forked child.
    pub(in crate::queue) fn settle(&self, held: HeldFrame, commit: bool) {
        let reserved = Self::stamp(State::Reserved, held.position, held.id);
        let state = if commit { State::Committed } else { State::Skipped };
        let next = Self::stamp(state, held.position, 0);
        if self.attached.member.me() == held.id
            && self.frame_head(held.position).stamp.replace(reserved, next)
        {
            // All: items behind it may have waited for it.
            self.head.not_empty.events.notify_all(self.attached.member.host());
        }
    }

    /// The ring's bytes, and where those of a held frame begin.
    pub(in crate::queue) fn place(&self, held: &HeldFrame) -> (&Bytes, usize) {
        (&self.bytes, self.bytes_at(held.position))
    }
}
