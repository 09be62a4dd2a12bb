//! Who gives something back wakes who waits for it: seen by waiters whose sleep has no end of its own.
//!
//! Real waiters sleep in slices, and so would hide a wake-up that is forgotten: they would be late, and nothing more. The host of these tests
//! knows neither slices nor deadlines, like that of the models, but runs in every test run.

use std::sync::mpsc;
use std::time::Duration;

use super::{EventCount, LockWord, Owner, Patience};
use crate::atomic::{AtomicU32, Ordering::SeqCst};
use crate::park::{self, Futex};
use crate::participant::{Fate, Host};
use crate::time::Deadline;

/// Where everybody lives and sleeps until somebody wakes him; counts how often somebody was about to.
#[derive(Default)]
struct Endless(AtomicU32);

impl Host for Endless {
    fn fate(&self, _: u32) -> Fate {
        Fate::Alive
    }

    fn wait(&self, word: &impl Futex, expected: u32, _: Deadline, _: u64) {
        self.0.fetch_add(1, SeqCst);
        park::wait(word, expected, Deadline::Never, u64::MAX / 4);
    }

    fn wake(&self, word: &impl Futex, count: u32) -> u32 {
        park::wake(word, count)
    }
}

/// Rounds of each way to wake: in some the waiter is not asleep yet.
const ROUNDS: usize = 15;

/// Runs `wait` in another thread, and `wake` once it is asleep; it must come back.
fn comes_back(host: &Endless, wait: impl FnOnce() + Send, wake: impl FnOnce()) {
    let before = host.0.load(SeqCst);
    let (done, back) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            wait();
            let _ = done.send(());
        });
        while host.0.load(SeqCst) == before {
            std::thread::yield_now();
        }
        // Most are asleep by then; who is not finds the word changed and does not sleep at all.
        (0..50).for_each(|_| std::thread::yield_now());
        wake();
        if back.recv_timeout(Duration::from_secs(30)).is_err() {
            eprintln!("a sleeper was not woken");
            // It can never be joined.
            std::process::abort();
        }
    });
}

#[test]
fn whoever_gives_a_word_back_wakes_who_waits_for_it() {
    let (me, other) = (Owner::new(1, 1), Owner::new(2, 1));
    let host = Endless::default();
    let ways: [fn(&LockWord, &Endless, Owner); 3] = [
        |word, host, me| assert!(word.release(host, me)),
        |word, host, me| assert!(word.release_announcing(host, me)),
        |word, host, me| word.release_clean(host, me),
    ];
    for release in ways.into_iter().cycle().take(ways.len() * ROUNDS) {
        let word = LockWord::default();
        assert!(word.acquire_fast(me));
        comes_back(
            &host,
            || {
                word.acquire_slow(&host, other, Deadline::Never).map(drop).unwrap();
                release(&word, &host, other);
            },
            || release(&word, &host, me),
        );
    }
}

#[test]
fn whoever_announces_an_event_wakes_who_waits_for_it() {
    let host = Endless::default();
    let ways: [fn(&EventCount, &Endless); 2] =
        [|events, host| events.notify(host, 1), |events, host| events.notify_all(host)];
    for notify in ways.into_iter().cycle().take(ways.len() * ROUNDS) {
        let (events, watch, happened) = (EventCount::default(), AtomicU32::new(0), AtomicU32::new(0));
        comes_back(
            &host,
            || {
                let mut patience = Patience::new(&host, &watch, 2, Deadline::Never);
                loop {
                    let ticket = events.prepare();
                    if happened.load(SeqCst) != 0 {
                        return;
                    }
                    events.wait(&mut patience, ticket);
                }
            },
            || {
                happened.store(1, SeqCst);
                notify(&events, &host);
            },
        );
    }
}
