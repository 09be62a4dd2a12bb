//! `Event`: wait after set never blocks, a set is never missed, and the dead hinder nobody.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use procshare::{Error, Event, Handle, Reset};
use procshare_harness::{Child, Page};

use crate::support::{LIMIT, TestSpace, await_asleep, await_that, finish, guarded, kill};

const SHORT: Duration = Duration::from_millis(20);

fn auto() -> Event {
    Event::builder().anonymous_with(Reset::Auto).unwrap()
}

#[test]
fn set_clear_and_wait() {
    let event = Event::anonymous().unwrap();
    assert!(!event.is_set() && !event.try_wait().unwrap());
    assert!(!event.wait_timeout(Duration::ZERO).unwrap(), "zero polls once");
    let started = Instant::now();
    assert!(!event.wait_timeout(SHORT).unwrap());
    assert!(started.elapsed() >= SHORT);
    event.set().unwrap();
    event.set().unwrap();
    assert!(event.is_set() && event.try_wait().unwrap());
    event.wait().unwrap();
    assert!(event.wait_timeout(SHORT).unwrap(), "waiting does not clear it");
    event.clear().unwrap();
    event.clear().unwrap();
    assert!(!event.is_set());
    assert_eq!(event.reset(), Reset::Manual);
    assert!(format!("{event:?}").contains("is_set: false"), "{event:?}");
}

/// A forked child that waits, and is asleep by now.
fn sleeper(wait: impl FnOnce()) -> Child {
    let child = Child::fork(wait);
    await_asleep(&child);
    child
}

#[test]
fn a_set_that_is_cleared_at_once_is_not_missed() {
    guarded(|| {
        let event = Event::anonymous().unwrap();
        for _ in 0..20 {
            let waiters = [(); 3].map(|()| sleeper(|| event.wait().unwrap()));
            event.set().unwrap();
            event.clear().unwrap();
            finish(waiters);
        }
    });
}

#[test]
fn what_was_written_before_set_is_seen_after_wait() {
    guarded(|| {
        let (there, back) = (Event::anonymous().unwrap(), Event::anonymous().unwrap());
        let page = Page::new(4096);
        let peer = Child::fork(|| {
            for round in 1..=2_000 {
                there.wait().unwrap();
                there.clear().unwrap();
                assert_eq!(page.u64s()[0].load(SeqCst), round);
                page.u64s()[1].store(round, SeqCst);
                back.set().unwrap();
            }
        });
        for round in 1..=2_000 {
            page.u64s()[0].store(round, SeqCst);
            there.set().unwrap();
            back.wait().unwrap();
            back.clear().unwrap();
            assert_eq!(page.u64s()[1].load(SeqCst), round);
        }
        peer.wait(LIMIT).unwrap();
    });
}

#[test]
fn dead_waiters_hinder_neither_set_nor_is_set_nor_the_living() {
    guarded(|| {
        for event in [Event::anonymous().unwrap(), auto()] {
            let dead = [(); 3].map(|()| sleeper(|| event.wait().unwrap()));
            let alive = sleeper(|| event.wait().unwrap());
            kill(dead);
            event.set().unwrap();
            alive.wait(LIMIT).unwrap();
            assert_eq!(event.is_set(), event.reset() == Reset::Manual);
        }
    });
}

#[test]
fn a_stopped_waiter_does_not_stop_the_setter() {
    guarded(|| {
        for event in [Event::anonymous().unwrap(), auto()] {
            let waiter = sleeper(|| event.wait().unwrap());
            waiter.signal(libc::SIGSTOP);
            event.set().unwrap();
            event.clear().unwrap();
            waiter.signal(libc::SIGCONT);
            waiter.wait(LIMIT).unwrap();
        }
    });
}

#[test]
fn auto_reset_releases_one_waiter_a_set() {
    guarded(|| {
        let event = auto();
        event.set().unwrap();
        event.set().unwrap();
        assert!(event.is_set());
        event.wait().unwrap();
        assert!(!event.is_set() && !event.try_wait().unwrap(), "sets that nobody waited for are one");
        event.set().unwrap();
        event.clear().unwrap();
        assert!(!event.wait_timeout(SHORT).unwrap());

        let page = Page::new(4096);
        let waiters = [0, 1, 2].map(|_| {
            sleeper(|| {
                event.wait().unwrap();
                page.u64s()[0].fetch_add(1, SeqCst);
            })
        });
        // Sets that waiters are there for count, however close together they are.
        event.set().unwrap();
        event.set().unwrap();
        await_that(|| page.u64s()[0].load(SeqCst) == 2);
        assert!(!event.is_set());
        event.set().unwrap();
        finish(waiters);
        assert!(!event.try_wait().unwrap(), "nothing is left over");
    });
}

#[test]
fn auto_reset_serves_in_order() {
    guarded(|| {
        let event = auto();
        let page = Page::new(4096);
        let order = &page.u64s()[0];
        let waiters = [1, 2, 3].map(|number| {
            let event = &event;
            sleeper(move || {
                event.wait().unwrap();
                order.store(order.load(SeqCst) * 10 + number, SeqCst);
            })
        });
        for served in [1, 12, 123] {
            event.set().unwrap();
            await_that(|| order.load(SeqCst) == served);
        }
        finish(waiters);
    });
}

#[test]
fn a_signal_taken_by_the_dead_goes_to_the_next() {
    guarded(|| {
        let event = auto();
        let stopped = sleeper(|| event.wait().unwrap());
        stopped.signal(libc::SIGSTOP);
        let next = sleeper(|| event.wait().unwrap());
        event.set().unwrap();
        assert!(!event.is_set(), "it is granted to the one that came first, which is only stopped");
        let _ = stopped.kill();
        next.wait(LIMIT).unwrap();

        // Nobody else waits: the signal is there for whoever comes.
        let stopped = sleeper(|| event.wait().unwrap());
        stopped.signal(libc::SIGSTOP);
        event.set().unwrap();
        assert!(!event.try_wait().unwrap());
        let _ = stopped.kill();
        assert!(event.try_wait().unwrap());
        assert!(!event.try_wait().unwrap());
    });
}

#[test]
fn auto_reset_hands_out_every_set_once() {
    const EACH: u64 = 500;
    guarded(|| {
        let (turn, done) = (auto(), auto());
        let page = Page::new(4096);
        let workers = [(); 4].map(|()| {
            Child::fork(|| {
                while page.u64s()[0].load(SeqCst) < EACH {
                    if turn.wait_timeout(SHORT).unwrap() {
                        page.u64s()[0].fetch_add(1, SeqCst);
                        done.set().unwrap();
                    }
                }
            })
        });
        for round in 1..=EACH {
            turn.set().unwrap();
            done.wait().unwrap();
            assert_eq!(page.u64s()[0].load(SeqCst), round, "a set released two");
        }
        finish(workers);
    });
}

#[test]
fn more_waiters_than_there_is_room_for_are_told() {
    guarded(|| {
        let event = auto();
        let page = Page::new(4096);
        let crowd = Child::fork(|| {
            std::thread::scope(|scope| {
                for _ in 0..300 {
                    scope.spawn(|| match event.wait() {
                        Ok(()) => drop(page.u64s()[0].fetch_add(1, SeqCst)),
                        Err(Error::TooManyWaiters { limit, .. }) => {
                            page.u64s()[2].store(limit, SeqCst);
                            page.u64s()[1].fetch_add(1, SeqCst);
                        }
                        Err(other) => panic!("{other}"),
                    });
                }
            });
        });
        await_that(|| page.u64s()[2].load(SeqCst) != 0);
        let limit = page.u64s()[2].load(SeqCst);
        await_that(|| page.u64s()[1].load(SeqCst) == 300 - limit);
        for released in 1..=limit {
            event.set().unwrap();
            await_that(|| page.u64s()[0].load(SeqCst) == released);
        }
        crowd.wait(LIMIT).unwrap();
    });
}

#[test]
fn a_full_list_of_the_dead_has_room() {
    guarded(|| {
        let event = auto();
        for _ in 0..2 {
            let page = Page::new(4096);
            let crowd = Child::fork(|| {
                std::thread::scope(|scope| {
                    for _ in 0..300 {
                        scope.spawn(|| {
                            assert!(event.wait().is_err());
                            page.u64s()[0].fetch_add(1, SeqCst);
                        });
                    }
                });
            });
            await_that(|| page.u64s()[0].load(SeqCst) != 0);
            let _ = crowd.kill();
        }
        assert!(!event.wait_timeout(SHORT).unwrap());
        event.set().unwrap();
        event.wait().unwrap();
    });
}

#[test]
fn read_only_handles_look_and_never_write() {
    guarded(|| {
        let test = TestSpace::new();
        for (name, reset) in [("manual", Reset::Manual), ("auto", Reset::Auto)] {
            let event = Event::builder().space(&test.space).create_with(name, reset).unwrap();
            let reader = Event::builder().space(&test.space).read_only(true).open(name).unwrap();
            assert!(!reader.is_set());
            assert!(matches!(reader.set(), Err(Error::ReadOnly { .. })));
            assert!(matches!(reader.clear(), Err(Error::ReadOnly { .. })));
            assert!(matches!(reader.wait(), Err(Error::ReadOnly { .. })));
            assert!(matches!(reader.wait_timeout(SHORT), Err(Error::ReadOnly { .. })));
            event.set().unwrap();
            assert!(reader.is_set());
            assert_eq!(reader.reset(), reset);
            match reset {
                Reset::Manual => reader.wait().unwrap(),
                Reset::Auto => assert!(matches!(reader.wait(), Err(Error::ReadOnly { .. }))),
            }
        }
    });
}

#[test]
fn names_handles_and_flavours() {
    let test = TestSpace::new();
    let builder = || Event::builder().space(&test.space);
    let auto = builder().create_with("auto", Reset::Auto).unwrap();
    assert!(matches!(builder().create("auto"), Err(Error::AlreadyExists { .. })));
    assert_eq!(builder().open("auto").unwrap().reset(), Reset::Auto);
    assert_eq!(builder().open_or_create("auto").unwrap().reset(), Reset::Auto, "it exists");
    let text = serde_json::to_string(&auto).unwrap();
    let same = serde_json::from_str::<Handle<Event>>(&text).unwrap().attach().unwrap();
    same.set().unwrap();
    assert!(auto.try_wait().unwrap());
    builder().unlink("auto").unwrap();
    assert!(matches!(builder().open("auto"), Err(Error::NotFound { .. })));
    assert!(matches!(auto.handle().attach(), Err(Error::Gone { .. })));
}

#[test]
fn threads_of_one_process_wait_too() {
    guarded(|| {
        for event in [Event::anonymous().unwrap(), auto()] {
            let (sender, released) = mpsc::channel();
            std::thread::scope(|scope| {
                for _ in 0..5 {
                    let (event, sender) = (&event, sender.clone());
                    scope.spawn(move || {
                        event.wait().unwrap();
                        sender.send(()).unwrap();
                    });
                }
                for _ in 0..5 {
                    event.set().unwrap();
                    released.recv_timeout(LIMIT).unwrap();
                }
            });
        }
    });
}
