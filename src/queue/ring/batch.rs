//! Several slots in place.
//!
//! A batch to be written is a RESERVED slot with its writer's id, and followers behind it: RESERVED slots without an id. Its commit is
//! one compare-exchange of the first slot's stamp, which then says how many of the slots hold items. The consumer that comes to it
//! gives every follower the stamp that it would have by itself, the last one first, and the first slot last: whoever dies on
//! the way leaves the rest to the next consumer.
//!
//! Followers are stamped before the slot they follow, from its neighbour on. Whoever finds that the last holder of the put lock died
//! takes those back whose first slot never came. So followers belong to the slot before them, always.
//!
//! Items that are read in place are held one by one, each as by `peek`.

use super::super::stamp::{Stamp, State};
use super::{NotPut, NotTaken, Ring, Slot};
use crate::atomic::Ordering::*;
use crate::time::Deadline;

impl Ring {
    /// Holds up to `most` free slots, one after the other and at least `least`, for writing in place; tells how many.
    pub(in crate::queue) fn reserve_many(
        &self,
        least: u64,
        most: u64,
        deadline: Deadline,
    ) -> Result<(Slot, u64), NotPut> {
        let put = &self.head.put;
        let (owner, _) = self.enter(put, deadline, "put into it")?;
        let run = self.free_run(least, most);
        if let Ok((tail, count)) = run {
            for ahead in 1..count {
                let position = tail.wrapping_add(ahead);
                self.stamp(position).store(Stamp::follower(position));
            }
            self.stamp(tail).store(Stamp::new(State::Reserved, tail, owner.id()));
            let next = tail.wrapping_add(count);
            put.position.store(next, Relaxed);
            self.raise_high_water(next.saturating_sub(self.head.take.position.load(Relaxed)));
        }
        self.leave(put, owner);
        let (position, count) = run?;
        Ok((Slot { position, id: owner.id() }, count))
    }

    /// The tail, and how many slots from it on are free; with the put lock held.
    fn free_run(&self, least: u64, most: u64) -> Result<(u64, u64), NotPut> {
        // Relaxed: changed under this lock only.
        let tail = self.free_tail(self.head.put.position.load(Relaxed))?;
        let mut count = 1;
        while count < most {
            let position = tail.wrapping_add(count);
            let stamp = self.stamp(position).load();
            if stamp.is(State::Empty, position) {
                count += 1;
                continue;
            }
            if stamp.is_of(position) || stamp.is(State::Empty, position.wrapping_add(self.layout.capacity)) {
                // Nobody has been behind the tail.
                return Err(NotPut::Failed(self.corrupt(position, stamp)));
            }
            match self.occupied(position, stamp) {
                Ok(_) => {}
                Err(NotPut::Full) => break,
                Err(other) => return Err(other),
            }
        }
        if count < least { Err(NotPut::Full) } else { Ok((tail, count)) }
    }

    /// Ends a reservation of `count` slots in one step: the first `written` of them are items, the others never were. Without effect
    /// in a forked child.
    pub(in crate::queue) fn settle_many(&self, first: Slot, count: u64, written: u64) {
        if count == 1 {
            return self.settle(first, written == 1);
        }
        let held = Stamp::new(State::Reserved, first.position, first.id);
        let next = match written as u32 {
            0 => Stamp::new(State::Skipped, first.position, 1),
            written => Stamp::new(State::Committed, first.position, written),
        };
        if self.attached.member.me() == first.id && self.stamp(first.position).replace(held, next) {
            self.announce_settled(first.position.wrapping_add(count - 1), written as u32);
        }
    }

    /// How many slots follow the one at `first`.
    pub(super) fn followers(&self, first: u64) -> u64 {
        let follows = |ahead: &u64| {
            let position = first.wrapping_add(*ahead);
            self.stamp(position).load().is_follower(position)
        };
        (1..self.layout.capacity).take_while(follows).count() as u64
    }

    /// Gives the slots of a batch that was settled the stamps of single ones; with the take lock held.
    #[cold]
    pub(super) fn unpack(&self, first: u64, stamp: Stamp) {
        let items = if stamp.is(State::Committed, first) { u64::from(stamp.id()) } else { 0 };
        for ahead in (1..=self.followers(first)).rev() {
            let (position, state) =
                (first.wrapping_add(ahead), if ahead < items { State::Committed } else { State::Skipped });
            self.stamp(position).store(Stamp::new(state, position, 0));
        }
        let state = if items > 0 { State::Committed } else { State::Skipped };
        self.stamp(first).store(Stamp::new(state, first, 0));
    }

    /// Ends what the last holder of the put lock, who died, had begun; with that lock held.
    #[cold]
    pub(super) fn mend_tail(&self) {
        let position = &self.head.put.position;
        let tail = position.load(Relaxed);
        let count = self.followers(tail);
        if count == 0 {
            return;
        }
        if self.stamp(tail).load().is(State::Empty, tail) {
            // The slot that they were to follow never came.
            for ahead in (1..=count).rev() {
                let position = tail.wrapping_add(ahead);
                self.stamp(position).store(Stamp::new(State::Empty, position, 0));
            }
        } else {
            // A consumer may be skipping the batch, its last slots first: what is not counted here is passed one by one.
            position.store(tail.wrapping_add(count + 1), Relaxed);
        }
    }

    /// Holds up to `most` items, one after the other and at least one, for reading in place; tells how many.
    pub(in crate::queue) fn peek_many(&self, most: u64, deadline: Deadline) -> Result<(Slot, u64), NotTaken> {
        let take = &self.head.take;
        let (owner, clean) = self.enter(take, deadline, "get from it")?;
        if !clean {
            take.returned.store(1, SeqCst);
        }
        take.peeked.store(1, Relaxed);
        let next = self.next();
        let mut count = 0;
        if let Ok((first, behind)) = next {
            self.hold(first, behind, owner.id());
            count = 1;
            while !behind && count < most && self.is_item(first.wrapping_add(count)) {
                self.hold(first.wrapping_add(count), false, owner.id());
                count += 1;
            }
        }
        self.leave(take, owner);
        Ok((Slot { position: next?.0, id: owner.id() }, count))
    }

    /// Whether an item lies at `position`, which nobody has taken; with the take lock held.
    fn is_item(&self, position: u64) -> bool {
        let stamp = self.stamp(position).load();
        let is_item = stamp.is(State::Committed, position);
        if is_item && stamp.id() != 0 {
            self.unpack(position, stamp);
        }
        is_item
    }

    /// Ends reading `count` items in place: the first `done` are done, the others go to the next consumers. Without effect in a
    /// forked child.
    pub(in crate::queue) fn finish_many(&self, first: Slot, count: u64, done: u64) {
        if self.attached.member.me() != first.id {
            return;
        }
        let (mut emptied, mut returned, mut last) = (0, 0, first.position);
        for ahead in 0..count {
            let position = first.position.wrapping_add(ahead);
            let held = Stamp::new(State::Taken, position, first.id);
            let stamp = self.stamp(position);
            if ahead < done {
                emptied += u32::from(stamp.replace(held, self.emptied(position)));
                last = position;
            } else {
                returned += u32::from(stamp.replace(held, Stamp::new(State::Returned, position, 0)));
            }
        }
        if emptied > 0 {
            self.announce_emptied(last, emptied);
        }
        if returned > 0 {
            self.announce_returned(returned);
        }
    }
}
