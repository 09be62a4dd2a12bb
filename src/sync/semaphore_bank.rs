//! The bank: one place for any number of permits, with an account for each participant that owns some of them.
//!
//! Everything is changed under a lock that survives its holder, in one step: the new figures are written into a redo
//! record, ONE store of `armed` commits them, and they are copied to where they belong. Whoever takes the lock over from a
//! dead holder finds `armed` set and copies again, or finds it zero and nothing happened.
//!
//! ```text
//! armed    bit 63      ARMED: the record counts
//!          bit 62      ACCOUNT: an account changes too: the one whose index is in bits 0..32
//!          bit 61      SETTLE: the reserved slots become free with it
//! account  bit 0..30   id of the participant; 0: nobody's
//!          bit 30..64  how many permits it owns
//! ```
//!
//! Orderings. The lock orders its holders. Within one holding each store is a Release one: a killed holder leaves a prefix of
//! what it was to write, in that order. Who looks at `free` without the lock (SeqCst, pair ANNOUNCE) takes it for a hint.

use crate::atomic::{AtomicU64, Ordering::*};
use crate::participant::Host;
use crate::time::Deadline;

use super::lock_word::{Entry, Fault, LockWord, Owner};
use super::semaphore_slots::Slots;

const ARMED: u64 = 1 << 63;
const ACCOUNT: u64 = 1 << 62;
const SETTLE: u64 = 1 << 61;
const INDEX: u64 = (1 << 32) - 1;

const ID: u64 = (1 << 30) - 1;
const ONE: u64 = 1 << 30;

/// What the bank's figures are. All-zero: an empty bank.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(super) struct BankWord {
    lock: LockWord,
    armed: AtomicU64,
    new_account: AtomicU64,
    new_free: AtomicU64,
    new_out: AtomicU64,
    /// Permits that are free.
    free: AtomicU64,
    /// Permits of a bounded semaphore that are out without an owner.
    out: AtomicU64,
    /// No account from here on was ever used; only grows.
    limit: AtomicU64,
}

documented_layout!(BankWord { lock, armed, new_account, new_free, new_out, free, out, limit });

/// The bank of one semaphore.
pub(super) struct Bank<'a, H: Host> {
    pub(super) word: &'a BankWord,
    pub(super) accounts: &'a [AtomicU64],
    pub(super) slots: Slots<'a>,
    pub(super) host: &'a H,
}

/// The owner of an account (0: nobody) and how many permits it holds, as a hint.
pub(super) fn holding(account: &AtomicU64) -> (u32, u64) {
    // Relaxed: looked at again under the lock where it matters.
    let now = account.load(Relaxed);
    ((now & ID) as u32, now / ONE)
}

/// The bank, locked.
pub(super) struct Books<'a, H: Host> {
    bank: Bank<'a, H>,
    owner: Owner,
}

impl BankWord {
    /// Puts the first permits in; nobody else sees the bank yet.
    pub(super) fn fill(&self, permits: u64) {
        // Relaxed: published with the segment.
        self.free.store(permits, Relaxed);
    }

    /// How many permits are free, as a hint.
    #[inline]
    pub(super) fn free(&self) -> u64 {
        // SeqCst: pair ANNOUNCE.
        self.free.load(SeqCst)
    }
}

impl<'a, H: Host> Bank<'a, H> {
    /// Locks the bank and finishes what a dead holder left.
    pub(super) fn open(self, owner: Owner, deadline: Deadline) -> Result<Books<'a, H>, Fault> {
        let entry = if self.word.lock.acquire_fast(owner) {
            Entry::Clean
        } else {
            self.word.lock.acquire_slow(self.host, owner, deadline)?
        };
        let books = Books { bank: self, owner };
        if entry != Entry::Clean {
            books.repair();
        }
        Ok(books)
    }

    /// The participant in whose hands the bank is; it is to be opened, and so repaired, if that one is gone.
    pub(super) fn holder(&self) -> u32 {
        self.word.lock.snapshot().holder
    }

    /// The accounts that were ever used.
    pub(super) fn used_accounts(&self) -> &'a [AtomicU64] {
        // Acquire: whoever used an account raised the limit before; a limit from a broken segment is cut.
        let limit = self.word.limit.load(Acquire);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        &self.accounts[..limit.min(self.accounts.len())]
    }
}

impl<H: Host> Books<'_, H> {
    /// Takes a free permit for `me`; the account it is written to.
    pub(super) fn take(&self, me: u32) -> Option<usize> {
        let (free, out) = self.stock();
        let next_free = free.checked_sub(1)?;
        let index = self.account_of(me)?;
        let now = self.account(index);
        let next = if now == 0 { u64::from(me) | ONE } else { now.checked_add(ONE)? };
        self.commit(Some((index, next)), next_free, out, 0);
        Some(index)
    }

    /// Gives back a permit of `me` from its account; `false` if that holds none.
    pub(super) fn give(&self, index: usize, me: u32) -> bool {
        let (free, out) = self.stock();
        self.debit(index, me)
            .is_some_and(|next| self.commit(Some((index, next)), free.saturating_add(1), out, 0))
    }

    /// Ends the ownership of a permit in `me`'s account and leaves the permit out, on record if `counted`.
    pub(super) fn forget(&self, index: usize, me: u32, counted: bool) -> bool {
        let (free, out) = self.stock();
        let out = out.saturating_add(u64::from(counted));
        self.debit(index, me).is_some_and(|next| self.commit(Some((index, next)), free, out, 0))
    }

    /// Adds `count` permits, all or none; the error is how many there is room for.
    pub(super) fn add(&self, count: u32, most: u64) -> Result<(), u64> {
        let (free, out) = self.stock();
        let room = most.saturating_sub(free.saturating_add(u64::from(self.bank.slots.free())));
        if u64::from(count) > room {
            return Err(room);
        }
        self.commit(None, free + u64::from(count), out, 0);
        Ok(())
    }

    /// Frees `count` permits that are out without an owner, all or none; the error is how many were found.
    pub(super) fn bring_home(&self, count: u32) -> Result<(), u64> {
        let (free, out) = self.stock();
        let in_slots = self.bank.slots.reserve(count);
        let in_bank = u64::from(count - in_slots);
        if in_bank > out {
            self.bank.slots.settle(false);
            return Err(out.saturating_add(u64::from(in_slots)));
        }
        self.commit(None, free.saturating_add(in_bank), out - in_bank, SETTLE);
        Ok(())
    }

    /// Frees what the account of `id`, which is gone, holds; how many permits those are.
    pub(super) fn bury(&self, index: usize, id: u32) -> u64 {
        let now = self.account(index);
        if now & ID != u64::from(id) {
            return 0;
        }
        let (free, out) = self.stock();
        self.commit(Some((index, 0)), free.saturating_add(now / ONE), out, 0);
        now / ONE
    }

    /// An account of `me`, or one that is nobody's.
    fn account_of(&self, me: u32) -> Option<usize> {
        let mut index = 0;
        while index < self.bank.accounts.len() {
            let owner = self.account(index) & ID;
            if owner == u64::from(me) || owner == 0 {
                if self.bank.used_accounts().len() <= index {
                    // Release: before the account itself is used.
                    self.bank.word.limit.store(index as u64 + 1, Release);
                }
                return Some(index);
            }
            index += 1;
        }
        None
    }

    fn account(&self, index: usize) -> u64 {
        // Relaxed: the lock orders.
        self.bank.accounts[index].load(Relaxed)
    }

    /// The account with one permit less, if `me` owns one there.
    fn debit(&self, index: usize, me: u32) -> Option<u64> {
        let now = self.account(index);
        if now & ID != u64::from(me) || now < ONE {
            return None;
        }
        let next = now - ONE;
        Some(if next < ONE { 0 } else { next })
    }

    /// Free permits, and those out without an owner.
    fn stock(&self) -> (u64, u64) {
        // Relaxed: the lock orders.
        (self.bank.word.free.load(Relaxed), self.bank.word.out.load(Relaxed))
    }

    /// Writes new figures in one step.
    fn commit(&self, account: Option<(usize, u64)>, free: u64, out: u64, also: u64) -> bool {
        let word = self.bank.word;
        let target = account.map_or(0, |(index, next)| {
            // Relaxed: the store of `armed` orders the record before itself.
            word.new_account.store(next, Relaxed);
            ACCOUNT | index as u64
        });
        word.new_free.store(free, Relaxed);
        word.new_out.store(out, Relaxed);
        // Release: the record is whole when it counts. This store is the commit.
        word.armed.store(ARMED | also | target, Release);
        self.copy(ARMED | also | target);
        true
    }

    /// Copies the record to where it belongs; as often as need be.
    fn copy(&self, armed: u64) {
        let word = self.bank.word;
        // At least Release throughout: none of these stores may come before that of `armed`, nor its clearing before them.
        if armed & ACCOUNT != 0
            && let Some(account) = self.bank.accounts.get((armed & INDEX) as usize)
        {
            account.store(word.new_account.load(Relaxed), Release);
        }
        // SeqCst: pair ANNOUNCE; it is a Release store, too.
        word.free.store(word.new_free.load(Relaxed), SeqCst);
        word.out.store(word.new_out.load(Relaxed), Release);
        if armed & SETTLE != 0 {
            self.bank.slots.settle(true);
        }
        word.armed.store(0, Release);
    }

    /// Finishes or drops what a dead holder had begun; idempotent.
    #[cold]
    fn repair(&self) {
        // Acquire: the record was whole when it was armed.
        let armed = self.bank.word.armed.load(Acquire);
        if armed & ARMED != 0 {
            self.copy(armed);
        }
        // What is still reserved was to be released by somebody who died before the commit.
        self.bank.slots.settle(false);
        self.bank.word.lock.make_consistent();
    }
}

impl<H: Host> Drop for Books<'_, H> {
    fn drop(&mut self) {
        self.bank.word.lock.release(self.bank.host, self.owner);
    }
}
