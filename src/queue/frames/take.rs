//! The consumers' side of the ring of frames.

use super::super::ring::NotTaken;
use super::super::stamp::State;
use super::{COPY_HELD, Frame, FrameRing, HeldFrame};
use crate::atomic::Ordering::*;
use crate::error::{Error, Result};
use crate::participant::{Fate, Host};
use crate::sync::Owner;
use crate::time::Deadline;

/// A batch is not continued beyond so many bytes: they are copied under the lock.
const BATCH_BYTES: usize = 1 << 16;

impl FrameRing {
    /// Takes the take lock and mends what its last holder left undone.
    pub(super) fn enter_take(&self, deadline: Deadline, action: &'static str) -> Result<Owner> {
        let take = &self.head.take;
        let (owner, clean) = self.enter(&take.lock, deadline, action)?;
        if !clean {
            // Acquire: the journal was written before the position that it belongs to.
            if take.position.load(Acquire) == take.next_position.load(Relaxed) {
                take.items.store(take.next_items.load(Relaxed), Relaxed);
            }
            self.head.returned.store(1, SeqCst);
            take.lock.make_consistent();
        }
        Ok(owner)
    }

    /// Copies the next item to the end of `to`. On an error `to` is as it was.
    pub(in crate::queue) fn get(&self, to: &mut Vec<u8>, deadline: Deadline) -> Result<(), NotTaken> {
        let got = self.take_some(1, deadline, |frame| {
            let small = frame.len as usize <= COPY_HELD;
            if small {
                self.copy(frame.position, frame.len as usize, to);
            }
            small
        })?;
        if got == 1 {
            return Ok(());
        }
        // Another consumer may be faster, and the next item may be small: whatever it is, it is copied outside the lock.
        let held = self.peek(deadline)?;
        self.copy(held.position, held.len, to);
        self.finish(held, true);
        Ok(())
    }

    /// Takes up to `most` items, at least one; those that are large come alone.
    pub(in crate::queue) fn get_many(
        &self,
        most: usize,
        deadline: Deadline,
    ) -> Result<Vec<Vec<u8>>, NotTaken> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        self.take_some(most, deadline, |frame| {
            let len = frame.len as usize;
            bytes += len;
            let fits = len <= COPY_HELD && bytes <= BATCH_BYTES;
            if fits {
                let mut item = Vec::new();
                self.copy(frame.position, len, &mut item);
                items.push(item);
            }
            fits
        })?;
        if items.is_empty() {
            let mut item = Vec::new();
            self.get(&mut item, deadline)?;
            items.push(item);
        }
        Ok(items)
    }

    /// Offers up to `most` items to `take` under the take lock as long as it takes them; tells how many that were. It must not
    /// panic.
    #[inline]
    fn take_some(
        &self,
        most: usize,
        deadline: Deadline,
        mut take: impl FnMut(Frame) -> bool,
    ) -> Result<usize, NotTaken> {
        if self.is_plainly_empty() {
            return Err(NotTaken::Empty);
        }
        let owner = self.enter_take(deadline, "get from it")?;
        let (mut count, mut outcome, mut any_behind) = (0, Ok(()), false);
        while count < most && outcome.is_ok() {
            match self.next() {
                Ok((frame, behind)) if take(frame) => {
                    self.consume(frame, behind);
                    any_behind |= behind;
                    count += 1;
                }
                Ok(_) => break,
                Err(why) => outcome = Err(why),
            }
        }
        self.leave_take(owner);
        if any_behind && self.is_closed() {
            // It may have been the last that could come back.
            self.head.not_empty.events.notify_all(self.attached.member.host());
        }
        if count > 0 { Ok(count) } else { outcome.map(|()| 0) }
    }

    /// Frees what was taken, gives the lock back and tells producers.
    #[inline]
    fn leave_take(&self, owner: Owner) {
        let freed = self.reclaim(false);
        self.leave(&self.head.take.lock, owner);
        // An error comes up again where somebody needs the room.
        if freed.unwrap_or_default() {
            // All: a producer of long items may not use what is enough for one of short items.
            self.head.not_full.events.notify_all(self.attached.member.host());
        }
    }

    /// Appends the bytes of the item at `position`.
    fn copy(&self, position: u64, len: usize, to: &mut Vec<u8>) {
        to.reserve(len);
        self.bytes.load(self.bytes_at(position), &mut to.spare_capacity_mut()[..len]);
        // SAFETY: (S9) `load` wrote `len` bytes behind the old length; any bytes are a `u8`.
        unsafe { to.set_len(to.len() + len) };
    }

    /// Whether there is nothing to look for, without the lock: nothing put, held, returned or closed.
    fn is_plainly_empty(&self) -> bool {
        let (put, take) = (&self.head.put, &self.head.take);
        // SeqCst: pair ANNOUNCE; the waiter's last look may be this one.
        let head = take.position.load(SeqCst);
        take.free.load(Relaxed) == head
            && put.position.load(SeqCst) == head
            && self.head.returned.load(SeqCst) == 0
            && !self.is_closed()
            && self.attached.member.me() != 0
    }

    /// Whether a `get` would return at once: an item is there, or the ring is closed and drained. With `thorough`, what the dead
    /// left is looked at, too.
    pub(in crate::queue) fn has_item(&self, thorough: bool) -> Result<bool> {
        if !thorough && self.is_plainly_empty() {
            return Ok(false);
        }
        let owner = match self.enter_take(Deadline::Now, "get from it") {
            // Somebody keeps the lock.
            Err(Error::TimedOut | Error::WouldBlock) => return Ok(false),
            entered => entered?,
        };
        let next = self.next();
        self.leave_take(owner);
        match next {
            Ok(_) | Err(NotTaken::Closed) => Ok(true),
            Err(NotTaken::Empty) => Ok(false),
            Err(NotTaken::Failed(error)) => Err(error),
        }
    }

    /// Moves the head behind `frame`: the commit of `get`.
    fn advance(&self, frame: Frame) {
        let take = &self.head.take;
        let counts = frame.stamp.state() != Some(State::Padding);
        let items = take.items.load(Relaxed).wrapping_add(u64::from(counts));
        // As on the other side: the next head first.
        take.next_position.store(frame.end(), Relaxed);
        take.next_items.store(items, Release);
        // Release: the journal comes before; and for those who look without the lock.
        take.position.store(frame.end(), Release);
        take.items.store(items, Relaxed);
    }

    /// Takes the item out for good.
    fn consume(&self, frame: Frame, behind: bool) {
        if behind {
            let empty = Self::stamp(State::Empty, frame.position, 0);
            self.frame_head(frame.position).stamp.replace(frame.stamp, empty);
        } else {
            self.advance(frame);
        }
    }

    /// The next item to be delivered, and whether it lies before the head.
    pub(super) fn next(&self) -> Result<(Frame, bool), NotTaken> {
        loop {
            // Each time: what is passed on the way to the next item may be returned, too.
            if self.head.returned.load(SeqCst) != 0
                && let Some(frame) = self.find_returned()?
            {
                return Ok((frame, true));
            }
            // Relaxed: changed under this lock only.
            let head = self.head.take.position.load(Relaxed);
            let filled = self.filled(head)?;
            if head == filled {
                return self.nothing(head);
            }
            let frame = self.frame(head, filled)?;
            if frame.stamp.state() == Some(State::Committed) {
                return Ok((frame, false));
            }
            if !self.pass(frame)? {
                return self.nothing(head);
            }
        }
    }

    /// How far the ring is filled; looks at the other side's line only if all that was seen is taken.
    fn filled(&self, head: u64) -> Result<u64> {
        let take = &self.head.take;
        let mut filled = take.filled.load(Relaxed);
        if filled <= head {
            // SeqCst: pair ANNOUNCE; the Acquire in it is pair ITEM.
            filled = self.head.put.position.load(SeqCst);
            take.filled.store(filled, Relaxed);
        }
        self.check_order(head, filled)?;
        Ok(filled)
    }

    /// Goes on behind a frame at the head that is no item; `false`: it may become one.
    #[cold]
    fn pass(&self, frame: Frame) -> Result<bool> {
        let word = &self.frame_head(frame.position).stamp;
        match frame.stamp.state() {
            Some(State::Skipped | State::Padding) => self.advance(frame),
            Some(State::Reserved) => {
                let host = self.attached.member.host();
                if host.fate(frame.stamp.id()) != Fate::Gone {
                    return Ok(false);
                }
                word.replace(frame.stamp, Self::stamp(State::Skipped, frame.position, 0));
                // Those behind it have waited for it.
                self.head.not_empty.events.notify_all(host);
            }
            // The consumer that took or returned it died before it moved the head.
            Some(State::Taken | State::Returned) => {
                self.advance(frame);
                self.head.returned.store(1, SeqCst);
                self.return_if_dead(frame);
            }
            _ => return Err(self.corrupt_frame(frame, self.size)),
        }
        Ok(true)
    }

    /// Nothing can be delivered from the head on: looks for what the dead held, and for the end.
    #[cold]
    fn nothing(&self, head: u64) -> Result<(Frame, bool), NotTaken> {
        if self.head.take.free.load(Relaxed) == head {
            // Closed first: the flag is set under the put lock, behind all items.
            let drained = self.is_closed() && self.head.put.position.load(SeqCst) == head;
            return Err(if drained { NotTaken::Closed } else { NotTaken::Empty });
        }
        let (mut held, mut returned) = (false, false);
        // Who reads many items is asked for once.
        let mut alive = None;
        self.walk(|frame| {
            match frame.stamp.state() {
                // Whoever returned it may have died before it could say so.
                Some(State::Returned) => (held, returned) = (true, true),
                Some(State::Taken) => {
                    held = true;
                    if alive != Some(frame.stamp.id()) {
                        let is_back = self.return_if_dead(frame);
                        returned |= is_back;
                        alive = if is_back { None } else { Some(frame.stamp.id()) };
                    }
                }
                _ => {}
            }
            true
        })?;
        if returned && let Some(frame) = self.find_returned()? {
            return Ok((frame, true));
        }
        let drained = !held && self.is_closed() && self.head.put.position.load(SeqCst) == head;
        Err(if drained { NotTaken::Closed } else { NotTaken::Empty })
    }

    /// Looks at the frames before the head that are not free yet, in order, until `look` says `false`; tells where.
    fn walk(&self, mut look: impl FnMut(Frame) -> bool) -> Result<u64> {
        let take = &self.head.take;
        // Relaxed: changed under this lock only.
        let (mut at, head) = (take.free.load(Relaxed), take.position.load(Relaxed));
        self.check_order(at, head)?;
        while at != head {
            let frame = self.frame(at, head)?;
            if !look(frame) {
                break;
            }
            at = frame.end();
        }
        Ok(at)
    }

    /// Frees what nobody holds any more, up to the first frame that somebody does; tells whether that was anything. With
    /// `thorough`, asks whether that somebody lives.
    #[inline]
    pub(super) fn reclaim(&self, thorough: bool) -> Result<bool> {
        let take = &self.head.take;
        let free = take.free.load(Relaxed);
        if free == take.position.load(Relaxed) {
            return Ok(false);
        }
        let until = self.walk(|frame| match frame.stamp.state() {
            Some(State::Taken | State::Returned) => {
                if thorough {
                    self.return_if_dead(frame);
                }
                false
            }
            _ => true,
        })?;
        // Release: pair FREED.
        take.free.store(until, Release);
        Ok(until != free)
    }

    /// A returned item, the oldest.
    #[cold]
    fn find_returned(&self) -> Result<Option<Frame>> {
        // Cleared before the search, so that whoever returns one meanwhile sets it again.
        self.head.returned.store(0, SeqCst);
        let mut found = None;
        self.walk(|frame| {
            if frame.stamp.state() == Some(State::Returned) {
                found = Some(frame);
            }
            found.is_none()
        })?;
        if found.is_some() {
            // There may be more.
            self.head.returned.store(1, SeqCst);
        }
        Ok(found)
    }

    /// Returns the item of a dead in-place reader; tells whether it is one.
    fn return_if_dead(&self, frame: Frame) -> bool {
        let gone = |id| self.attached.member.host().fate(id) == Fate::Gone;
        frame.stamp.state() == Some(State::Taken) && gone(frame.stamp.id()) && {
            let returned = Self::stamp(State::Returned, frame.position, 0);
            self.frame_head(frame.position).stamp.replace(frame.stamp, returned) && {
                self.announce_returned();
                true
            }
        }
    }

    fn announce_returned(&self) {
        self.head.returned.store(1, SeqCst);
        self.head.not_empty.events.notify(self.attached.member.host(), 1);
    }

    /// Holds the next item for reading in place.
    pub(in crate::queue) fn peek(&self, deadline: Deadline) -> Result<HeldFrame, NotTaken> {
        if self.is_plainly_empty() {
            return Err(NotTaken::Empty);
        }
        let owner = self.enter_take(deadline, "get from it")?;
        let next = self.next();
        if let Ok((frame, behind)) = next {
            let taken = Self::stamp(State::Taken, frame.position, owner.id());
            self.frame_head(frame.position).stamp.store(taken);
            if !behind {
                self.advance(frame);
            }
        }
        self.leave_take(owner);
        let frame = next?.0;
        Ok(HeldFrame { position: frame.position, len: frame.len as usize, id: owner.id() })
    }

    /// Ends reading in place: the item is done, or goes to the next consumer. Without effect in a forked child.
    pub(in crate::queue) fn finish(&self, held: HeldFrame, done: bool) {
        let host = self.attached.member.host();
        if self.attached.member.me() != held.id {
            return;
        }
        let stamp = &self.frame_head(held.position).stamp;
        let taken = Self::stamp(State::Taken, held.position, held.id);
        let state = if done { State::Empty } else { State::Returned };
        if !stamp.replace(taken, Self::stamp(state, held.position, 0)) {
            return;
        }
        if !done {
            return self.announce_returned();
        }
        self.head.not_full.events.notify_all(host);
        if self.is_closed() {
            self.head.not_empty.events.notify_all(host);
        }
    }
}
