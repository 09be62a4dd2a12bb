//! Who has which end of a pipe.
//!
//! ```text
//! bit  0..30  participant; 0: nobody yet
//! bit 30      LENT: the participant made the pipe, and whoever uses the end first has it
//! bit 31      CLOSED: nobody will ever use it again
//! ```
//!
//! | state | leaves it by |
//! |---|---|
//! | nobody's | first use: CAS to the user's id |
//! | lent | first use: CAS to the user's id; CLOSED by the other end, once the maker is gone |
//! | somebody's | `close` or drop: CLOSED; CLOSED by the other end, once it is gone |
//! | closed | never |

use crate::atomic::{AtomicU32, AtomicU64, Ordering::*};
use crate::participant::{Fate, Host};
use crate::shm::view::Word;

const ID: u32 = (1 << 30) - 1;
const LENT: u32 = 1 << 30;
const CLOSED: u32 = 1 << 31;

/// What precedes the two rings.
#[repr(C, align(64))]
pub(in crate::queue) struct PipeHead {
    pub(super) capacity: AtomicU64,
    /// The ends: left, right.
    pub(super) ends: [EndWord; 2],
    reserved: [AtomicU64; 6],
}

// SAFETY: (S6) words and atomics only, all-zero is valid; the capacity is checked at attach.
unsafe impl Word for PipeHead {}

documented_layout!(PipeHead { capacity, ends, reserved });

/// An end's owner.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct EndWord(AtomicU32);

/// Whether an end can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// It is the caller's.
    Mine,
    /// It is another participant's.
    Taken(u32),
    /// Nobody will ever use it again.
    Closed,
}

impl EndWord {
    /// Lends it out on behalf of `maker`; in a body that nobody else uses yet.
    pub(super) fn lend(&self, maker: u32) {
        self.0.store(maker | LENT, SeqCst);
    }

    /// Whether it is `me`'s.
    #[inline]
    pub(super) fn is_of(&self, me: u32) -> bool {
        // Relaxed: true only for what the caller's process itself wrote.
        me != 0 && self.0.load(Relaxed) == me
    }

    /// Whether it is closed for certain.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        // SeqCst: pair ANNOUNCE, of those who wait for the other end.
        self.0.load(SeqCst) & CLOSED != 0
    }

    /// Makes it `me`'s if it is nobody's.
    pub(super) fn claim(&self, me: u32) -> Claim {
        let mut now = self.0.load(SeqCst);
        loop {
            if now & CLOSED != 0 {
                return Claim::Closed;
            }
            if now == me {
                return Claim::Mine;
            }
            if now & ID != 0 && now & LENT == 0 {
                return Claim::Taken(now & ID);
            }
            match self.0.compare_exchange(now, me, SeqCst, SeqCst) {
                Ok(_) => return Claim::Mine,
                Err(found) => now = found,
            }
        }
    }

    /// Closes `me`'s end; `false` if it is not.
    pub(super) fn close(&self, me: u32) -> bool {
        me != 0 && self.0.compare_exchange(me, me | CLOSED, SeqCst, Relaxed).is_ok()
    }

    /// Whether nobody will ever use it again; asks the oracle about whoever has it.
    pub(super) fn is_gone(&self, host: &impl Host) -> bool {
        let now = self.0.load(SeqCst);
        if now & CLOSED != 0 {
            return true;
        }
        if now & ID == 0 || host.fate(now & ID) != Fate::Gone {
            return false;
        }
        // Only from exactly this: a lent end may have been claimed meanwhile.
        self.0.compare_exchange(now, now | CLOSED, SeqCst, Relaxed).is_ok() || self.is_closed()
    }

    /// Who has it, or lent it out; 0: nobody.
    pub(super) fn holder(&self) -> u32 {
        self.0.load(Relaxed) & ID
    }
}
