//! The guards of a reader-writer lock.

use std::fmt;
use std::marker::PhantomData;

use super::lock_word::Owner;
use super::rwlock::RwLock;
use super::rwlock_word::RwWord;
use crate::sys;

/// Where a reader is counted.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In an entry of its process.
    Entry(usize),
    /// Nowhere: it keeps writers out by holding their word.
    Alone(Owner),
}

/// Holds an [`RwLock`] for reading until it is dropped.
///
/// Bound to its thread. In a forked child the copy of a parent's guard is without effect.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockReadGuard<'a> {
    pub(super) lock: &'a RwLock,
    pub(super) me: u32,
    pub(super) place: Place,
    /// Guards stay on their thread: a reader without an entry is one.
    pub(super) thread: PhantomData<*const ()>,
}

/// Holds an [`RwLock`] for writing until it is dropped.
///
/// Bound to its thread. In a forked child the copy of a parent's guard is without effect.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a> {
    pub(super) lock: &'a RwLock,
    pub(super) owner: Owner,
    /// Whether the thread was unwinding already when it took the lock: then its panic is not this lock's.
    pub(super) unwinding: bool,
    /// Guards stay on their thread: the owner is a thread.
    pub(super) thread: PhantomData<*const ()>,
}

// SAFETY: (S12) a guard shared between threads gives access to nothing but atomics.
unsafe impl Sync for RwLockReadGuard<'_> {}
// SAFETY: (S12) as above.
unsafe impl Sync for RwLockWriteGuard<'_> {}

impl Drop for RwLockReadGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let member = &self.lock.attached.member;
        // A forked child reads another id (or none) and leaves its parent's holding alone.
        if member.me() != self.me {
            return;
        }
        match self.place {
            Place::Entry(index) => self.lock.word.leave(member.host(), index),
            Place::Alone(owner) => self.lock.parts().disown(owner),
        }
    }
}

impl<'a> RwLockWriteGuard<'a> {
    /// Declares what the lock protects consistent again: later readers and writers get plain guards.
    pub fn make_consistent(&self) {
        if self.lock.attached.member.me() == self.owner.id() {
            self.lock.word.make_consistent();
        }
    }

    /// Becomes a reader, without letting another writer in between. Other readers may enter from here on.
    ///
    /// If the process dies meanwhile, it died as a writer or as a reader. In a forked child the copy of a parent's guard becomes
    /// a guard without effect.
    pub fn downgrade(self) -> RwLockReadGuard<'a> {
        let RwLock { word, attached } = self.lock;
        let (lock, owner) = (self.lock, self.owner);
        // From here on the read guard is responsible.
        std::mem::forget(self);
        if attached.member.me() != owner.id() {
            return lock.reader(owner.id(), Place::Alone(owner));
        }
        let home = RwWord::home(owner.id(), sys::thread_token());
        let Some(entry) = word.enter(attached.member.host(), owner.id(), home) else {
            // All entries are in use by readers that are about to give up: stay alone.
            word.end();
            return lock.reader(owner.id(), Place::Alone(owner));
        };
        word.end();
        lock.parts().disown(owner);
        lock.reader(owner.id(), Place::Entry(entry))
    }
}

impl Drop for RwLockWriteGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let RwLock { word, attached } = self.lock;
        let member = &attached.member;
        // A forked child reads another id (or none) and leaves its parent's holding alone.
        if member.me() != self.owner.id() {
            return;
        }
        if !self.unwinding && std::thread::panicking() {
            word.end_panicked();
            word.writer().release_panicked(member.host(), self.owner);
        } else {
            word.end();
            word.writer().release(member.host(), self.owner);
        }
    }
}

impl fmt::Debug for RwLockReadGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockReadGuard").finish_non_exhaustive()
    }
}

impl fmt::Debug for RwLockWriteGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockWriteGuard").finish_non_exhaustive()
    }
}
