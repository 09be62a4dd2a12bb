//! A toy bank: two balances behind an owner word, right or with one planted bug.

use procshare_harness::Page;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// The planted bugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// Both balances are stored in place, one after the other.
    TwoStores,
    /// The new record is declared valid, then written.
    CommitFirst,
    /// A release does not look whose lock it releases.
    SwapUnlock,
    /// Waiters never ask whether the owner is dead.
    NoRecovery,
}

/// Two balances that always add up to [`Bank::TOTAL`]: each transfer writes the record that is not valid, and makes it
/// valid by one store.
pub(crate) struct Bank {
    page: Page,
    bug: Bug,
}

const OWNER: usize = 0;
const VALID: usize = 1;
/// Two records of {left, right, transfers}.
const RECORDS: [usize; 2] = [4, 8];
const NOTES: usize = 16;

impl Bank {
    pub(crate) const TOTAL: u32 = 1_000;

    pub(crate) fn new(bug: Bug) -> Self {
        let bank = Bank { page: Page::new(4096), bug };
        bank.word(RECORDS[0]).store(Self::TOTAL, SeqCst);
        bank
    }

    pub(crate) fn page(&self) -> &Page {
        &self.page
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        &self.page.u32s()[index]
    }

    /// Takes the lock, from a dead owner if need be; false if a living owner keeps it for `tries` looks.
    pub(crate) fn lock(&self, tries: usize) -> bool {
        for _ in 0..tries {
            match self.word(OWNER).compare_exchange(0, me(), SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(owner) if self.bug != Bug::NoRecovery && is_dead(owner) => {
                    if self.word(OWNER).compare_exchange(owner, me(), SeqCst, SeqCst).is_ok() {
                        return true;
                    }
                }
                Err(owner) => futex_wait(self.word(OWNER), owner, Some(Duration::from_millis(1))),
            }
        }
        false
    }

    pub(crate) fn unlock(&self) {
        if self.bug == Bug::SwapUnlock {
            self.word(OWNER).store(0, SeqCst);
        } else if self.word(OWNER).compare_exchange(me(), 0, SeqCst, SeqCst).is_err() {
            return;
        }
        futex_wake(self.word(OWNER));
    }

    /// Makes one transfer and notes in the shared memory that it returned true.
    pub(crate) fn noted_transfer(&self, note: usize, amount: u32, tries: usize) {
        if self.transfer(amount, tries) {
            self.word(NOTES + note).store(1, SeqCst);
        }
    }

    /// How many noted transfers returned true.
    pub(crate) fn notes(&self) -> u32 {
        (0..8).map(|note| self.word(NOTES + note).load(SeqCst)).sum()
    }

    /// Moves `amount` from left to right; false, and a release to be on the safe side, if the lock is not to be had.
    pub(crate) fn transfer(&self, amount: u32, tries: usize) -> bool {
        let got = self.lock(tries);
        if got {
            self.transfer_locked(amount);
        }
        self.unlock();
        got
    }

    fn transfer_locked(&self, amount: u32) {
        let valid = self.word(VALID).load(SeqCst);
        let from = RECORDS[valid as usize % 2];
        let to = if self.bug == Bug::TwoStores { from } else { RECORDS[(valid as usize + 1) % 2] };
        if self.bug == Bug::CommitFirst {
            self.word(VALID).store(valid + 1, SeqCst);
        }
        let old = [0, 1, 2].map(|i| self.word(from + i).load(SeqCst));
        for (i, new) in [old[0] - amount, old[1] + amount, old[2] + 1].into_iter().enumerate() {
            self.word(to + i).store(new, SeqCst);
        }
        if !matches!(self.bug, Bug::CommitFirst | Bug::TwoStores) {
            self.word(VALID).store(valid + 1, SeqCst);
        }
    }

    /// The number of transfers made; an error if money was lost or the lock is not to be had.
    pub(crate) fn audit(&self, amount: u32) -> Result<u32, String> {
        if !self.lock(300) {
            return Err(format!("lock kept by {}", self.word(OWNER).load(SeqCst)));
        }
        let record = RECORDS[self.word(VALID).load(SeqCst) as usize % 2];
        let [left, right, transfers] = [0, 1, 2].map(|i| self.word(record + i).load(SeqCst));
        self.unlock();
        if left + right != Self::TOTAL || right != transfers.wrapping_mul(amount) {
            return Err(format!("{left} + {right} after {transfers} transfers of {amount}"));
        }
        Ok(transfers)
    }
}

fn me() -> u32 {
    std::process::id()
}

fn is_dead(owner: u32) -> bool {
    // SAFETY: signal 0 only asks whether the process exists. Owners are reaped children or ourselves.
    owner != 0 && unsafe { libc::kill(owner as i32, 0) } != 0
}

/// Sleeps while `word` is `seen`, at most `limit`; also returns for no reason.
pub(crate) fn futex_wait(word: &AtomicU32, seen: u32, limit: Option<Duration>) {
    let limit =
        limit.map(|l| libc::timespec { tv_sec: l.as_secs() as i64, tv_nsec: l.subsec_nanos().into() });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: a live word and a valid or absent timeout.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen, limit) };
}

/// Wakes everybody who sleeps on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: a live word.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
