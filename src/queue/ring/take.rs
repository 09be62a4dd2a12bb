//! The consumers' side of the ring.

use core::mem::MaybeUninit;

use bytemuck::AnyBitPattern;

use super::super::stamp::{Stamp, State};
use super::{NotTaken, Ring, Slot};
use crate::atomic::Ordering::*;
use crate::error::{Error, Result};
use crate::participant::{Fate, Host};
use crate::time::Deadline;

impl Ring {
    /// Copies items out until `to` is full or no more are there; tells how many, at least one.
    #[inline]
    pub(in crate::queue) fn get(
        &self,
        to: &mut [MaybeUninit<u8>],
        deadline: Deadline,
    ) -> Result<usize, NotTaken> {
        let take = &self.head.take;
        let (owner, clean) = self.enter(take, deadline, "get from it")?;
        if !clean {
            take.returned.store(1, SeqCst);
        }
        let outcome = self.get_held(to);
        self.leave(take, owner);
        let count = outcome?;
        self.head.not_full.events.notify(self.attached.member.host(), count as u32);
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
        next?;
        self.head.not_full.events.notify(self.attached.member.host(), 1);
        Ok(())
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
    fn get_held(&self, to: &mut [MaybeUninit<u8>]) -> Result<usize, NotTaken> {
        let mut count = 0;
        for item in to.chunks_exact_mut(self.size.max(1)) {
            match self.next() {
                Ok((position, behind)) => {
                    self.items.load(self.item_at(position), item);
                    self.consume(position, behind);
                    count += 1;
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
            self.head.take.position.store(position + 1, Release);
        }
        self.stamp(position).store(Stamp::new(State::Empty, position + self.layout.capacity, 0));
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
                Some(State::Empty) => {
                    if take.peeked.load(Relaxed) != 0 && self.return_dead(head) {
                        return self.find_returned().map(|position| (position, true)).ok_or(NotTaken::Empty);
                    }
                    // Closed, and nothing put meanwhile: the flag is set under the put lock, behind all items.
                    let drained = self.is_closed() && word.load() == stamp && !self.is_held(head);
                    return Err(if drained { NotTaken::Closed } else { NotTaken::Empty });
                }
                Some(State::Reserved) if stamp.id() != 0 => {
                    let host = self.attached.member.host();
                    if host.fate(stamp.id()) != Fate::Gone {
                        return Err(NotTaken::Empty);
                    }
                    let batch = u32::from(self.followers(head) > 0);
                    word.replace(stamp, Stamp::new(State::Skipped, head, batch));
                }
                Some(State::Skipped) => {
                    self.consume(head, false);
                    self.head.not_full.events.notify(self.attached.member.host(), 1);
                    head += 1;
                }
                // The consumer that took or returned it died before it moved the head.
                Some(State::Taken | State::Returned) => {
                    take.position.store(head + 1, Release);
                    take.returned.store(1, SeqCst);
                    self.return_if_dead(head, stamp);
                    if let Some(position) = self.find_returned() {
                        return Ok((position, true));
                    }
                    head += 1;
                }
                // A follower's first slot was there before the head came by.
                Some(State::Reserved | State::Padding) | None => {
                    return Err(NotTaken::Failed(self.corrupt(head, stamp)));
                }
            }
        }
    }

    /// Whether some item before `head` may still be returned by whoever reads it in place.
    pub(super) fn is_held(&self, head: u64) -> bool {
        self.head.take.peeked.load(Relaxed) != 0
            && self.behind(head).any(|position| {
                let stamp = self.stamp(position).load();
                stamp.is(State::Taken, position) || stamp.is(State::Returned, position)
            })
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

    /// Returns the items of dead in-place readers; tells whether there was one, or one that was returned and not announced.
    fn return_dead(&self, head: u64) -> bool {
        let mut any = false;
        for position in self.behind(head) {
            let stamp = self.stamp(position).load();
            // Whoever returned it died before it could say so.
            any |= stamp.is(State::Returned, position);
            if stamp.is(State::Taken, position) {
                any |= self.return_if_dead(position, stamp);
            }
        }
        any
    }

    pub(super) fn return_if_dead(&self, position: u64, stamp: Stamp) -> bool {
        let host = self.attached.member.host();
        stamp.state() == Some(State::Taken) && host.fate(stamp.id()) == Fate::Gone && {
            if self.is_done_by_death() {
                self.stamp(position).replace(stamp, self.emptied(position)) && {
                    self.announce_emptied(1);
                    true
                }
            } else {
                self.stamp(position).replace(stamp, Stamp::new(State::Returned, position, 0)) && {
                    self.announce_returned(1);
                    true
                }
            }
        }
    }

    /// What a slot holds once the item of `position` is done.
    pub(super) fn emptied(&self, position: u64) -> Stamp {
        Stamp::new(State::Empty, position.wrapping_add(self.layout.capacity), 0)
    }

    /// So many items that were read in place are done.
    pub(super) fn announce_emptied(&self, count: u32) {
        let host = self.attached.member.host();
        self.head.not_full.events.notify(host, count);
        if self.is_closed() {
            // It may have been the last that could come back.
            self.head.not_empty.events.notify_all(host);
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
        let take = &self.head.take;
        let (owner, clean) = self.enter(take, deadline, "get from it")?;
        if !clean {
            take.returned.store(1, SeqCst);
        }
        take.peeked.store(1, Relaxed);
        let next = self.next();
        if let Ok((position, behind)) = next {
            self.hold(position, behind, owner.id());
        }
        self.leave(take, owner);
        Ok(Slot { position: next?.0, id: owner.id() })
    }

    /// Ends reading in place: the item is done, or goes to the next consumer. Without effect in a forked child.
    pub(in crate::queue) fn finish(&self, slot: Slot, done: bool) {
        self.finish_many(slot, 1, u64::from(done));
    }
}
