//! The consumers' side of the ring.

use core::mem::MaybeUninit;

use bytemuck::AnyBitPattern;

use super::super::stamp::{Stamp, State};
use super::{NotTaken, Ring, Side, Slot};
use crate::atomic::Ordering::*;
use crate::error::{Error, Result};
use crate::participant::{Fate, Host};
use crate::sync::Owner;
use crate::time::Deadline;

/// The lock of a side, given back when this is dropped: user code runs meanwhile, between the items.
struct Held<'a> {
    ring: &'a Ring,
    side: &'a Side,
    owner: Owner,
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.ring.leave(self.side, self.owner);
    }
}

impl Ring {
    /// Copies items out until `to` is full or no more are there; tells how many, at least one. One that is none, as `is_item` says,
    /// comes alone.
    #[inline]
    pub(in crate::queue) fn get(
        &self,
        to: &mut [MaybeUninit<u8>],
        is_item: impl Fn(&[MaybeUninit<u8>]) -> bool,
        deadline: Deadline,
    ) -> Result<usize, NotTaken> {
        let take = &self.head.take;
        let (owner, clean) = self.enter(take, deadline, "get from it")?;
        if !clean {
            take.returned.store(1, SeqCst);
        }
        let mut behind = false;
        let held = Held { ring: self, side: take, owner };
        let outcome = self.get_held(to, is_item, &mut behind);
        drop(held);
        let count = outcome?;
        self.announce_room(count as u32, behind);
        Ok(count)
    }

    /// Takes one item, whose size the compiler knows: a small one moves in registers.
    #[inline]
    pub(in crate::queue) fn get_value<B: AnyBitPattern>(
        &self,
        to: &mut MaybeUninit<B>,
        deadline: Deadline,
    ) -> Result<(), NotTaken> {
        let take = &self.head.take;
        let (owner, clean) = self.enter(take, deadline, "get from it")?;
        if !clean {
            take.returned.store(1, SeqCst);
        }
        let next = self.next();
        if let Ok((position, behind)) = next {
            self.items.load_value(self.item_at(position), to);
            self.consume(position, behind);
        }
        self.leave(take, owner);
        self.announce_room(1, next?.1);
        Ok(())
    }

    /// Wakes producers, `count` items having been taken; one from `behind` the head may have kept others from being of use.
    #[inline]
    fn announce_room(&self, count: u32, behind: bool) {
        if behind {
            self.announce_all();
        } else {
            self.head.not_full.events.notify(self.attached.member.host(), count);
        }
    }

    /// Wakes all producers; if the ring is closed, also all consumers: what was taken may have been the last.
    #[cold]
    fn announce_all(&self) {
        let host = self.attached.member.host();
        self.head.not_full.events.notify_all(host);
        if self.is_closed() {
            self.head.not_empty.events.notify_all(host);
        }
    }

    /// Whether there is nothing to do for a consumer that waits, seen without the lock: the next slot is free, and nothing was
    /// ever held that could come back.
    pub(in crate::queue) fn is_plainly_empty(&self) -> bool {
        let take = &self.head.take;
        // Acquire: a head that another consumer has moved on meanwhile leads to a newer stamp, and so to the lock.
        let head = take.position.load(Acquire);
        self.stamp(head).load().is(State::Empty, head)
            && take.peeked.load(Relaxed) == 0
            && take.returned.load(SeqCst) == 0
            && !self.is_closed()
            && self.attached.member.me() != 0
    }

    /// Whether a `get` would return at once: an item is there, or the ring is closed and drained. With `thorough`, what the dead
    /// left is looked at, too.
    pub(in crate::queue) fn has_item(&self, thorough: bool) -> Result<bool> {
        let take = &self.head.take;
        if !thorough {
            // Acquire: pair CONSUMED. The stamp of an older position than the head's is not an empty one.
            let head = take.position.load(Acquire);
            let stamp = self.stamp(head).load();
            if stamp.is(State::Committed, head) {
                return Ok(true);
            }
            if stamp.is(State::Empty, head) && take.returned.load(SeqCst) == 0 && !self.is_closed() {
                return Ok(false);
            }
        }
        let (owner, clean) = match self.enter(take, Deadline::Now, "get from it") {
            // Somebody keeps the lock.
            Err(Error::TimedOut | Error::WouldBlock) => return Ok(false),
            entered => entered?,
        };
        if !clean {
            take.returned.store(1, SeqCst);
        }
        let next = self.next();
        self.leave(take, owner);
        match next {
            Ok(_) | Err(NotTaken::Closed) => Ok(true),
            Err(NotTaken::Empty) => Ok(false),
            Err(NotTaken::Failed(error)) => Err(error),
        }
    }

    /// As `get`, with the take lock held.
    #[inline]
    fn get_held(
        &self,
        to: &mut [MaybeUninit<u8>],
        is_item: impl Fn(&[MaybeUninit<u8>]) -> bool,
        any_behind: &mut bool,
    ) -> Result<usize, NotTaken> {
        let mut count = 0;
        for item in to.chunks_exact_mut(self.size.max(1)) {
            match self.next() {
                Ok((position, behind)) => {
                    self.items.load(self.item_at(position), item);
                    let valid = is_item(item);
                    if !valid && count > 0 {
                        break;
                    }
                    self.consume(position, behind);
                    *any_behind |= behind;
                    count += 1;
                    if !valid {
                        break;
                    }
                }
                Err(NotTaken::Empty | NotTaken::Closed) if count > 0 => break,
                Err(why) => return Err(why),
            }
        }
        Ok(count)
    }

    /// Takes the item out for good: the commit of `get`. With the take lock held.
    #[inline]
    fn consume(&self, position: u64, behind: bool) {
        if !behind {
            // Release: pair CONSUMED.
            self.head.take.position.store(position.wrapping_add(1), Release);
        }
        self.stamp(position).store(self.emptied(position));
    }

    /// The next item to be delivered, and whether it lies behind the head. With the take lock held.
    #[inline]
    pub(super) fn next(&self) -> Result<(u64, bool), NotTaken> {
        let take = &self.head.take;
        if take.returned.load(SeqCst) != 0
            && let Some(position) = self.find_returned()
        {
            return Ok((position, true));
        }
        // Relaxed: changed under this lock only.
        let head = take.position.load(Relaxed);
        // Exactly: the first slot of a batch says so.
        if self.stamp(head).load() == Stamp::new(State::Committed, head, 0) {
            return Ok((head, false));
        }
        self.next_slow(head)
    }

    #[cold]
    fn next_slow(&self, mut head: u64) -> Result<(u64, bool), NotTaken> {
        let take = &self.head.take;
        loop {
            let word = self.stamp(head);
            let stamp = word.load();
            // A slot that still belongs to the lap before is as empty for this one as an empty slot.
            let state = match stamp.state() {
                Some(_) if stamp.is_of(head.wrapping_sub(self.layout.capacity)) => Some(State::Empty),
                state => state.filter(|_| stamp.is_of(head)),
            };
            match state {
                Some(State::Committed | State::Skipped) if stamp.id() != 0 => self.unpack(head, stamp),
                Some(State::Committed) => return Ok((head, false)),
                Some(State::Empty) => return self.nothing(head, stamp),
                Some(State::Reserved) if stamp.id() != 0 => {
                    if !self.is_gone(stamp.id()) {
                        return self.nothing(head, stamp);
                    }
                    let batch = u32::from(self.followers(head) > 0);
                    if word.replace(stamp, Stamp::new(State::Skipped, head, batch)) {
                        // Those behind it have waited for it.
                        self.head.not_empty.events.notify_all(self.attached.member.host());
                    }
                }
                Some(State::Skipped) => {
                    self.consume(head, false);
                    self.head.not_full.events.notify(self.attached.member.host(), 1);
                    head = head.wrapping_add(1);
                }
                // The consumer that took or returned it died before it moved the head.
                Some(State::Taken | State::Returned) => {
                    take.position.store(head.wrapping_add(1), Release);
                    take.returned.store(1, SeqCst);
                    self.return_if_dead(head, stamp);
                    if let Some(position) = self.find_returned() {
                        return Ok((position, true));
                    }
                    head = head.wrapping_add(1);
                }
                // A follower's first slot was there before the head came by.
                Some(State::Reserved | State::Padding) | None => {
                    return Err(NotTaken::Failed(self.corrupt(head, stamp)));
                }
            }
        }
    }

    /// Nothing can be delivered at the head, whose slot holds `stamp`: looks behind it for what the dead held, and for the end.
    #[cold]
    fn nothing(&self, head: u64, stamp: Stamp) -> Result<(u64, bool), NotTaken> {
        // Closed first, then the stamp: the flag is set under the put lock, behind all items.
        let at_end = self.is_closed() && self.stamp(head).load() == stamp;
        let held = self.head.take.peeked.load(Relaxed) != 0 && {
            let (held, returned) = self.look_behind(head);
            if returned && let Some(position) = self.find_returned() {
                return Ok((position, true));
            }
            held
        };
        let drained = at_end && !held && stamp.state() != Some(State::Reserved);
        Err(if drained { NotTaken::Closed } else { NotTaken::Empty })
    }

    /// Returns the items of dead in-place readers. Tells whether some item behind `head` is held or returned, and whether there is a
    /// returned one, announced or not.
    fn look_behind(&self, head: u64) -> (bool, bool) {
        let (mut held, mut returned) = (false, false);
        // Who reads many items is asked for once.
        let mut alive = None;
        for position in self.behind(head) {
            let stamp = self.stamp(position).load();
            if stamp.is(State::Returned, position) {
                // Whoever returned it may have died before it could say so.
                (held, returned) = (true, true);
            } else if stamp.is(State::Taken, position) {
                if alive == Some(stamp.id()) || !self.return_if_dead(position, stamp) {
                    (alive, held) = (Some(stamp.id()), true);
                } else if !self.is_done_by_death() {
                    (held, returned) = (true, true);
                }
            }
        }
        if !held {
            // Items are taken for reading in place under this lock only, and the flag is set before.
            self.head.take.peeked.store(0, Relaxed);
        }
        (held, returned)
    }

    /// The positions behind `head` that still may have a slot.
    fn behind(&self, head: u64) -> impl Iterator<Item = u64> + use<> {
        head.saturating_sub(self.layout.capacity)..head
    }

    /// A returned item, the oldest. With the take lock held.
    #[cold]
    fn find_returned(&self) -> Option<u64> {
        let take = &self.head.take;
        // Cleared before the search, so that whoever returns one meanwhile sets it again.
        take.returned.store(0, SeqCst);
        let head = take.position.load(Relaxed);
        let found =
            self.behind(head).find(|&position| self.stamp(position).load().is(State::Returned, position));
        if found.is_some() {
            // There may be more.
            take.returned.store(1, SeqCst);
        }
        found
    }

    /// Ends what `stamp` says is read in place at `position`, behind the head, if its reader is gone; tells whether it did.
    pub(super) fn return_if_dead(&self, position: u64, stamp: Stamp) -> bool {
        if stamp.state() != Some(State::Taken) || !self.is_gone(stamp.id()) {
            return false;
        }
        let is_done = self.is_done_by_death();
        let next = if is_done { self.emptied(position) } else { Stamp::new(State::Returned, position, 0) };
        if !self.stamp(position).replace(stamp, next) {
            return false;
        }
        if is_done {
            self.announce_emptied(position, 1)
        } else {
            self.announce_returned(1)
        }
        true
    }

    /// Whether the process with this id has ended.
    pub(super) fn is_gone(&self, id: u32) -> bool {
        self.attached.member.host().fate(id) == Fate::Gone
    }

    /// What a slot holds once the item of `position` is done.
    #[inline]
    pub(super) fn emptied(&self, position: u64) -> Stamp {
        Stamp::new(State::Empty, position.wrapping_add(self.layout.capacity), 0)
    }

    /// So many items that were read in place, the last one at `position`, are done.
    pub(super) fn announce_emptied(&self, position: u64, count: u32) {
        let next = position.wrapping_add(1);
        // The slots behind it may be free since long, and of no use until now.
        let more = self.stamp(next).load() == self.emptied(next);
        if more || self.is_closed() {
            self.announce_all();
        } else {
            self.head.not_full.events.notify(self.attached.member.host(), count);
        }
        self.announce_done();
    }

    pub(super) fn announce_returned(&self, count: u32) {
        self.head.take.returned.store(1, SeqCst);
        self.head.not_empty.events.notify(self.attached.member.host(), count);
    }

    /// Holds an item for reading in place; with the take lock held.
    pub(super) fn hold(&self, position: u64, behind: bool, id: u32) {
        self.stamp(position).store(Stamp::new(State::Taken, position, id));
        if !behind {
            self.head.take.position.store(position.wrapping_add(1), Release);
        }
    }

    /// Holds the next item for reading in place.
    pub(in crate::queue) fn peek(&self, deadline: Deadline) -> Result<Slot, NotTaken> {
        self.peek_many(1, deadline).map(|(slot, _)| slot)
    }

    /// Ends reading in place: the item is done, or goes to the next consumer. Without effect in a forked child.
    pub(in crate::queue) fn finish(&self, slot: Slot, done: bool) {
        self.finish_many(slot, 1, u64::from(done));
    }
}
