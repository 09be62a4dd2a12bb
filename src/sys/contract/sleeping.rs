//! Sleeping on words.

use std::sync::atomic::{AtomicU32 as Counter, Ordering::*};

use super::place::{Place, watchdog};
use super::{Promise, Role, promised};
use crate::atomic::{AtomicU32, AtomicU64};
use crate::sys::{self, LowHalf, Other};

const FAR: u64 = u64::MAX >> 1;

#[test]
fn a_word_that_has_changed_is_not_slept_on() {
    let _watchdog = watchdog();
    sys::futex_wait(&AtomicU32::new(1), 0, FAR);
    sys::futex_wait(&LowHalf(&AtomicU64::new(7 << 32 | 1)), 7, FAR);
}

#[test]
fn sleep_ends_at_the_deadline() {
    let _watchdog = watchdog();
    let word = AtomicU32::new(5);
    sys::futex_wait(&word, 5, 0);
    let until = sys::monotonic_ns() + 5_000_000;
    while sys::monotonic_ns() < until {
        sys::futex_wait(&word, 5, until);
    }
    assert_eq!(sys::futex_wake(&word, u32::MAX), 0, "nobody sleeps");
}

#[test]
fn sleepers_of_a_low_half_see_its_changes_only() {
    let _watchdog = watchdog();
    let word = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while word.load(Acquire) as u32 == 0 {
                sys::futex_wait(&LowHalf(&word), 0, FAR);
            }
            assert_eq!(word.load(Relaxed), 3 << 32 | 1);
        });
        for half in 1..=3 {
            word.store(half << 32, Release);
            sys::futex_wake(&LowHalf(&word), 1);
        }
        word.store(3 << 32 | 1, Release);
        sys::futex_wake(&LowHalf(&word), 1);
    });
}

#[test]
fn each_wake_up_wakes_as_many_as_it_says() {
    if !promised(Promise::CountsSleepers) {
        return;
    }
    let _watchdog = watchdog();
    let word = AtomicU32::new(0);
    let other = AtomicU32::new(0);
    let awake = Counter::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                sys::futex_wait(&word, 0, FAR);
                awake.fetch_add(1, Relaxed);
            });
        }
        let mut woken = 0;
        while woken < 3 {
            assert_eq!(sys::futex_wake(&other, u32::MAX), 0, "they sleep on another word");
            assert_eq!(sys::futex_wake(&word, 0), 0);
            let now = sys::futex_wake(&word, 1);
            assert!(now <= 1);
            woken += now;
            std::thread::yield_now();
        }
    });
    assert_eq!(awake.into_inner(), 3);
    assert_eq!(sys::futex_wake(&word, u32::MAX), 0);
}

#[test]
fn no_wake_up_is_lost() {
    let _watchdog = watchdog();
    let word = AtomicU32::new(0);
    let last = if cfg!(miri) { 20 } else { 500 };
    // Each waits for the other's step.
    let play = |mine: u32| {
        let mut next = mine;
        while next < last {
            loop {
                let now = word.load(Acquire);
                if now == next {
                    break;
                }
                sys::futex_wait(&word, now, FAR);
            }
            word.store(next + 1, Release);
            sys::futex_wake(&word, 1);
            next += 2;
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| play(0));
        scope.spawn(|| play(1));
    });
    assert_eq!(word.load(Relaxed), last);
}

#[test]
fn another_process_is_woken() {
    let _watchdog = watchdog();
    let place = Place::new();
    let region = place.publish("object", 5).unwrap();
    let other = Other::start(Role::Sleep, &place);
    // SAFETY: (S5) the region's first word, aligned; used as an atomic by both sides.
    let word = unsafe { &*region.as_ptr().cast::<AtomicU32>() };
    word.store(1, Release);
    sys::futex_wake(word, 1);
    assert!(other.finish());
}
