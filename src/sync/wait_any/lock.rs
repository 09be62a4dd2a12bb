//! Locks among the things to wait for.

use super::source::{Announced, Attempt, Doubt, Look, Source};
use crate::error::Result;
use crate::sync::lock::Parts;
use crate::sync::lock_word::{Entry, Owner};
use crate::sync::outcome::OwnerDied;
use crate::sync::rlock::{RLock, RLockGuard};
use crate::sys;

/// A lock that somebody waits for, whoever it shall be the owner's token of.
pub(crate) struct LockSource<'a> {
    parts: Parts<'a>,
    token: u32,
    /// Whether other sleepers may depend on this one.
    announced: bool,
    doubt: Doubt,
}

impl<'a> LockSource<'a> {
    /// The lock, to be held under `token`.
    pub(crate) fn new(parts: Parts<'a>, token: u32) -> Self {
        LockSource { parts, token, announced: false, doubt: Doubt::default() }
    }
}

impl<'a> Source<'a> for LockSource<'a> {
    type Output = (Owner, Entry);

    fn attempt(&mut self, look: Look) -> Result<Attempt<(Owner, Entry)>> {
        let Parts { word, attached } = self.parts;
        let me = attached.member.join(|| attached.object(), "lock it")?;
        let owner = Owner::new(me, self.token);
        let entry = if look == Look::Quick {
            word.acquire_free(owner, self.announced)
        } else {
            match word.acquire_gone(attached.member.host(), owner, self.announced) {
                Ok(entry) => {
                    self.doubt.note(None, || attached.space_name())?;
                    entry
                }
                Err(unknown) => {
                    self.doubt.note(Some(unknown), || attached.space_name())?;
                    None
                }
            }
        };
        Ok(match entry {
            Some(entry) => {
                // The word's WAITERS carries on what this sleeper owes to others.
                self.announced = false;
                Attempt::Taken((owner, entry))
            }
            None if word.is_held_by(owner) => Attempt::Own,
            None => Attempt::NotYet,
        })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let word = self.parts.word;
        Ok(match word.announce() {
            Some(bits) => {
                self.announced = true;
                Announced::Sleep(word.expect(bits))
            }
            None => Announced::Again,
        })
    }
}

/// A re-entrant lock that somebody waits for.
pub(super) struct RLockSource<'a> {
    lock: &'a RLock,
    word: LockSource<'a>,
}

impl<'a> RLockSource<'a> {
    pub(super) fn new(lock: &'a RLock) -> Self {
        RLockSource { lock, word: LockSource::new(lock.parts(), sys::thread_token()) }
    }
}

impl<'a> Source<'a> for RLockSource<'a> {
    type Output = Result<RLockGuard<'a>, OwnerDied<RLockGuard<'a>>>;

    fn attempt(&mut self, look: Look) -> Result<Attempt<Self::Output>> {
        if self.lock.depth() > 0 {
            return Ok(Attempt::Taken(Ok(self.lock.try_lock()?)));
        }
        Ok(match self.word.attempt(look)? {
            Attempt::Taken((owner, entry)) => Attempt::Taken(self.lock.begin(owner, entry)),
            Attempt::NotYet | Attempt::Own => Attempt::NotYet,
        })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        self.word.announce()
    }
}

impl Drop for LockSource<'_> {
    fn drop(&mut self) {
        if self.announced {
            self.parts.word.pass_on(self.parts.attached.member.host());
        }
    }
}
