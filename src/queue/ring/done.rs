//! Whether all that was put is done, and what counts as done.

use std::sync::Arc;

use super::super::stamp::State;
use super::{NotTaken, Ring, RingHead, Waiting};
use crate::atomic::Ordering::*;
use crate::error::Result;
use crate::shm::segment::Segment;
use crate::shm::view::Shared;
use crate::time::Deadline;

/// Bits of the policy word.
const DEAD_ARE_DONE: u32 = 1;
const DROPPED_ARE_DONE: u32 = 2;

/// What becomes of a task that nobody said was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unfinished {
    /// It is handed out again: the work may be done twice, but never zero times.
    #[default]
    HandedOut,
    /// It counts as done: the work is done once at most.
    CountedDone,
}

/// Something is not done yet, or cannot be told.
pub(in crate::queue) type NotDone = NotTaken;

impl Ring {
    /// Says what becomes of items whose reader in place dies, and of those whose reader gives up; in a body that nobody else sees.
    pub(in crate::queue) fn set_policy(
        segment: &Arc<Segment>,
        dead: Unfinished,
        dropped: Unfinished,
    ) -> Result<()> {
        let bit = |what, bit| if what == Unfinished::CountedDone { bit } else { 0 };
        let policy = bit(dead, DEAD_ARE_DONE) | bit(dropped, DROPPED_ARE_DONE);
        // Relaxed: publication by `link` orders everything before it.
        Shared::<RingHead>::new(segment, 0)?.policy.store(policy, Relaxed);
        Ok(())
    }

    pub(super) fn is_done_by_death(&self) -> bool {
        self.head.policy.load(Relaxed) & DEAD_ARE_DONE != 0
    }

    /// Whether a reader in place that gives up is done with the item.
    pub(in crate::queue) fn is_done_by_drop(&self) -> bool {
        self.head.policy.load(Relaxed) & DROPPED_ARE_DONE != 0
    }

    /// What those wait for who wait until all is done.
    pub(in crate::queue) fn waiting_for_done(&self) -> Waiting<'_> {
        Waiting {
            events: &self.head.done,
            watch: &self.head.done_watch,
            publisher: Some(&self.head.take.lock),
        }
    }

    /// Whether no item is left and nobody reads one in place; looks for the dead, too.
    pub(in crate::queue) fn all_done(&self, deadline: Deadline) -> Result<(), NotDone> {
        let take = &self.head.take;
        let (owner, clean) = self.enter(take, deadline, "wait until all is done")?;
        if !clean {
            take.returned.store(1, SeqCst);
        }
        let next = self.next();
        self.leave(take, owner);
        match next {
            Ok(_) => Err(NotTaken::Empty),
            Err(NotTaken::Failed(error)) => Err(NotTaken::Failed(error)),
            Err(NotTaken::Empty | NotTaken::Closed) if self.unfinished() == 0 => Ok(()),
            Err(NotTaken::Empty | NotTaken::Closed) => Err(NotTaken::Empty),
        }
    }

    /// How many items were put and are not done: waiting, read in place, or given back.
    pub(in crate::queue) fn unfinished(&self) -> usize {
        let head = self.head.take.position.load(SeqCst);
        let tail = self.head.put.position.load(SeqCst);
        // One item more than the tail says may be there. A head that is no head makes a wrong number, never a long search.
        let most = self.layout.capacity;
        let ahead = tail.wrapping_sub(head).saturating_add(1).min(most);
        let waiting = (0..ahead).filter(|offset| {
            let position = head.wrapping_add(*offset);
            let stamp = self.stamp(position).load();
            // One that is taken lies before the head for a moment, or its reader died in that moment.
            let is_there = matches!(stamp.state(), Some(State::Committed | State::Taken | State::Returned));
            is_there && stamp.is_of(position)
        });
        // Relaxed: set under the take lock before a slot is taken, and wiped when none is; the head above, which is moved after
        // that, was read with Acquire.
        let behind = if self.head.take.peeked.load(Relaxed) == 0 { 0 } else { most };
        let held = (1..=behind).filter(|offset| {
            let position = head.wrapping_sub(*offset);
            let stamp = self.stamp(position).load();
            stamp.is(State::Taken, position) || stamp.is(State::Returned, position)
        });
        waiting.count() + held.count()
    }

    /// Wakes those who wait until all is done, if it is.
    pub(super) fn announce_done(&self) {
        // Of several who finish at once, the last in the order of SeqCst sees what all others did.
        if self.head.done.is_awaited() && self.unfinished() == 0 {
            self.head.done.notify_all(self.attached.member.host());
        }
    }
}
