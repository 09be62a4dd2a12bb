//! Sleeping on a word: a hashed table of sleepers, each with a condition variable of its own.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::clock::monotonic_ns;
use crate::sys::{Expected, Futex};

/// Words share a bucket, never a wake-up.
const BUCKETS: usize = 64;

static TABLE: [Mutex<Vec<Sleeper>>; BUCKETS] = [const { Mutex::new(Vec::new()) }; BUCKETS];

/// A thread that sleeps.
#[derive(Clone)]
struct Sleeper {
    address: usize,
    bell: Arc<Condvar>,
}

fn bucket(address: usize) -> &'static Mutex<Vec<Sleeper>> {
    // Words are 4 bytes apart at least.
    &TABLE[(address >> 2) % BUCKETS]
}

/// Sleeps while `word` holds `expected`, at most until `until_ns` (monotonic nanoseconds).
pub(crate) fn futex_wait(word: &impl Futex, expected: u32, until_ns: u64) {
    let address = word.address().addr();
    let mut sleepers = bucket(address).lock().unwrap_or_else(PoisonError::into_inner);
    // Under the bucket's lock: who changes the word and wakes after this look finds the sleeper listed.
    if word.bits() != expected {
        return;
    }
    let bell = Arc::new(Condvar::new());
    sleepers.push(Sleeper { address, bell: Arc::clone(&bell) });
    loop {
        let left = Duration::from_nanos(until_ns.saturating_sub(monotonic_ns()));
        sleepers = match bell.wait_timeout(sleepers, left) {
            Ok((sleepers, _)) => sleepers,
            Err(poisoned) => poisoned.into_inner().0,
        };
        let Some(mine) = sleepers.iter().position(|sleeper| Arc::ptr_eq(&sleeper.bell, &bell)) else {
            // Whoever wakes a sleeper strikes it off.
            return;
        };
        if monotonic_ns() >= until_ns {
            sleepers.remove(mine);
            return;
        }
    }
}

/// `false`: here one sleeps on one word only.
pub(crate) fn futex_wait_any(_: &[Expected<'_>], _: u64) -> bool {
    false
}

/// Wakes at most `count` sleepers of `word`, the longest asleep first, and tells how many there were.
pub(crate) fn futex_wake(word: &impl Futex, count: u32) -> u32 {
    let address = word.address().addr();
    let mut sleepers = bucket(address).lock().unwrap_or_else(PoisonError::into_inner);
    let mut woken = 0;
    sleepers.retain(|sleeper| {
        let wake = sleeper.address == address && woken < count;
        if wake {
            woken += 1;
            sleeper.bell.notify_one();
        }
        !wake
    });
    woken
}
