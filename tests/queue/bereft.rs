//! Whoever is blocked goes on once the process that it waits for is dead, for every kind of queue.
//!
//! The order of events is what counts: all are asleep and none has come through, one is killed, all come through.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{
    Broadcast, BroadcastInit, BytesQueue, CodecQueue, JoinableInit, JoinableQueue, Pipe, PipeError, Queue,
    SpscQueue, Unfinished,
};
use procshare_harness::{Child, Page, watchdog};

use crate::PATIENCE;
use crate::codec::Text;
use crate::support::Home;

/// A space, and notes of who has come how far.
struct Scene {
    home: Home,
    page: Page,
}

/// Notes: the keeper has what it keeps; whoever waits has begun, or has come through.
const KEPT: usize = 0;
const BEGUN: usize = 1;
const THROUGH: usize = 16;

impl Scene {
    fn new() -> Self {
        Scene { home: Home::new(), page: Page::new(4096) }
    }

    fn await_note(&self, note: usize) {
        while self.page.u64s()[note].load(SeqCst) == 0 {
            std::thread::yield_now();
        }
    }

    /// A process that takes something and keeps it until it is killed.
    fn keeper(&self, take: impl FnOnce()) -> Child {
        let keeper = Child::fork(|| {
            self.home.space.join().unwrap();
            take();
            self.page.u64s()[KEPT].store(1, SeqCst);
            park()
        });
        self.await_note(KEPT);
        keeper
    }

    /// A process that takes the lock of an object's body, as an owner does; the object keeps its word at `at`.
    #[cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]
    fn keeper_of_lock(&self, at: u64) -> Child {
        use std::os::unix::fs::FileExt as _;
        self.keeper(|| {
            let owner = 1 << 32 | u64::from(self.home.space.join().unwrap().to_bits());
            let file = std::fs::File::options().write(true).open(self.home.path.join("it")).unwrap();
            file.write_all_at(&owner.to_ne_bytes(), 256 + at).unwrap();
        })
    }

    /// Lets each of `waiters` wait in a process of its own; kills the keeper when all are asleep; all must come through.
    fn bereave(&self, keeper: Child, waiters: &[&dyn Fn()]) {
        let note = |note: usize| &self.page.u64s()[note];
        let children: Vec<Child> = waiters
            .iter()
            .enumerate()
            .map(|(index, wait)| {
                let child = Child::fork(|| {
                    self.home.space.join().unwrap();
                    note(BEGUN + index).store(1, SeqCst);
                    wait();
                    note(THROUGH + index).store(1, SeqCst);
                });
                self.await_note(BEGUN + index);
                await_asleep(&child);
                child
            })
            .collect();
        for index in 0..waiters.len() {
            assert_eq!(note(THROUGH + index).load(SeqCst), 0, "waiter {index} did not wait");
        }
        let _ = keeper.kill();
        for child in children {
            child.wait(PATIENCE).unwrap();
        }
    }
}

/// Waits to be killed.
fn park() {
    loop {
        std::thread::park();
    }
}

/// Waits until a child sleeps, time and again: one who only passes by is not seen asleep each time.
fn await_asleep(child: &Child) {
    let stat = format!("/proc/{}/stat", child.pid());
    let mut seen = 0;
    while seen < 5 {
        let stat = std::fs::read_to_string(&stat).unwrap();
        let asleep = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'));
        seen = if asleep { seen + 1 } else { 0 };
        std::thread::yield_now();
    }
}

fn test(run: impl FnOnce(&Scene)) {
    watchdog(PATIENCE, || run(&Scene::new()));
}

/// Where the locks of both sides lie in the bodies of Queue and BytesQueue, and that of publishers in a Broadcast's.
#[cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]
const LOCKS: [u64; 2] = [64, 128];

fn queue(scene: &Scene, capacity: usize) -> Queue<u64> {
    Queue::builder().space(&scene.home.space).create("it", capacity).unwrap()
}

fn bytes(scene: &Scene, capacity: usize) -> BytesQueue {
    BytesQueue::builder().space(&scene.home.space).create("it", capacity).unwrap()
}

#[test]
fn a_consumer_behind_a_reservation() {
    test(|scene| {
        let queue = queue(scene, 3);
        let keeper = scene.keeper(|| std::mem::forget(queue.reserve().unwrap()));
        queue.put(7).unwrap();
        scene.bereave(keeper, &[&|| assert_eq!(queue.get().unwrap(), 7)]);
    });
}

#[test]
fn a_producer_and_a_consumer_behind_an_item_that_is_read_in_place() {
    test(|scene| {
        let queue = queue(scene, 1);
        queue.put(1).unwrap();
        let keeper = scene.keeper(|| std::mem::forget(queue.peek().unwrap()));
        let get = || assert!([1, 2].contains(&queue.get().unwrap()));
        scene.bereave(keeper, &[&|| queue.put(2).unwrap(), &get, &get]);
    });
}

#[test]
#[cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]
fn producers_and_consumers_behind_the_locks_of_a_queue() {
    for (lock, filled) in [(LOCKS[0], false), (LOCKS[1], true)] {
        test(|scene| {
            let queue = queue(scene, 2);
            if filled {
                queue.put_many(&[1, 2]).unwrap();
            }
            let keeper = scene.keeper_of_lock(lock);
            scene.bereave(keeper, &[&|| queue.put(3).unwrap(), &|| assert!(queue.get().is_ok())]);
        });
    }
}

#[test]
fn a_consumer_behind_reserved_bytes() {
    test(|scene| {
        let queue = bytes(scene, 100);
        let keeper = scene.keeper(|| std::mem::forget(queue.reserve(10).unwrap()));
        queue.put(b"seven").unwrap();
        scene.bereave(keeper, &[&|| assert_eq!(queue.get().unwrap(), b"seven")]);
    });
}

#[test]
fn a_producer_whose_room_is_reserved() {
    test(|scene| {
        let queue = bytes(scene, 100);
        let keeper = scene.keeper(|| std::mem::forget(queue.reserve(90).unwrap()));
        scene.bereave(keeper, &[&|| queue.put(&[1; 100]).unwrap()]);
        assert_eq!(queue.get().unwrap(), [1; 100]);
    });
}

#[test]
fn a_producer_and_a_consumer_behind_bytes_that_are_read_in_place() {
    test(|scene| {
        let queue = bytes(scene, 100);
        queue.put(&[1; 100]).unwrap();
        let keeper = scene.keeper(|| std::mem::forget(queue.peek().unwrap()));
        let get = || assert!(queue.get().unwrap().len() >= 90);
        scene.bereave(keeper, &[&|| queue.put(&[2; 90]).unwrap(), &get, &get]);
    });
}

#[test]
#[cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]
fn producers_and_consumers_behind_the_locks_of_a_queue_of_bytes() {
    for (lock, filled) in [(LOCKS[0], false), (LOCKS[1], true)] {
        test(|scene| {
            let queue = bytes(scene, 100);
            if filled {
                queue.put(&[1; 100]).unwrap();
            }
            let keeper = scene.keeper_of_lock(lock);
            let get = || assert!(!queue.get().unwrap().is_empty());
            scene.bereave(keeper, &[&|| queue.put(&[2; 60]).unwrap(), &get]);
        });
    }
}

#[test]
fn a_consumer_of_what_another_one_decodes() {
    test(|scene| {
        let queue = CodecQueue::<String, Text>::builder().space(&scene.home.space).create("it", 200).unwrap();
        queue.put(&"one".to_owned()).unwrap();
        let keeper = scene.keeper(|| std::mem::forget(queue.peek().unwrap()));
        scene.bereave(keeper, &[&|| assert_eq!(queue.get().unwrap(), "one")]);
    });
}

/// The dead producer's successor has to take the end, and so has the dead consumer's.
#[test]
fn an_end_of_a_queue_whose_other_end_is_taken_over() {
    test(|scene| {
        let queue = SpscQueue::<u64>::builder().space(&scene.home.space).create("it", 2).unwrap();
        let keeper = scene.keeper(|| std::mem::forget(queue.producer().unwrap()));
        let succeed = || {
            let mut producer = loop {
                match queue.producer() {
                    Ok(producer) => break producer,
                    Err(_) => std::thread::sleep(Duration::from_micros(200)),
                }
            };
            producer.put(5).unwrap();
        };
        scene.bereave(keeper, &[&|| assert_eq!(queue.consumer().unwrap().get().unwrap(), 5), &succeed]);
    });
    test(|scene| {
        let queue = SpscQueue::<u64>::builder().space(&scene.home.space).create("it", 2).unwrap();
        let keeper = scene.keeper(|| std::mem::forget(queue.consumer().unwrap()));
        queue.producer().unwrap().put_many(&[1, 2]).unwrap();
        let succeed = || {
            let mut consumer = loop {
                match queue.consumer() {
                    Ok(consumer) => break consumer,
                    Err(_) => std::thread::sleep(Duration::from_micros(200)),
                }
            };
            assert_eq!(consumer.get().unwrap(), 1);
        };
        scene.bereave(keeper, &[&|| queue.producer().unwrap().put(3).unwrap(), &succeed]);
    });
}

#[test]
fn whoever_sends_to_and_whoever_hears_from_the_other_end_of_a_pipe() {
    for send in [true, false] {
        test(|scene| {
            let pipe = Pipe::builder().space(&scene.home.space).create("it", 100).unwrap();
            let keeper = scene.keeper(|| std::mem::forget(pipe.right().unwrap()));
            let wait = || {
                let left = pipe.left().unwrap();
                let outcome = if send {
                    left.send_bytes(&[1; 100]).and_then(|()| left.send_bytes(&[2; 100]))
                } else {
                    left.recv_bytes().map(drop)
                };
                assert!(matches!(outcome, Err(PipeError::Closed)), "{outcome:?}");
            };
            scene.bereave(keeper, &[&wait]);
        });
    }
}

#[test]
fn a_worker_and_a_joiner_behind_a_dead_workers_task() {
    test(|scene| {
        let jobs = JoinableQueue::<u64>::builder()
            .space(&scene.home.space)
            .create("it", JoinableInit::new(2))
            .unwrap();
        jobs.put(1).unwrap();
        let keeper = scene.keeper(|| std::mem::forget(jobs.get().unwrap()));
        scene.bereave(keeper, &[&|| jobs.join().unwrap(), &|| jobs.get().unwrap().done()]);
    });
    test(|scene| {
        let init = JoinableInit::new(1).when_dead(Unfinished::CountedDone);
        let jobs = JoinableQueue::<u64>::builder().space(&scene.home.space).create("it", init).unwrap();
        jobs.put(1).unwrap();
        let keeper = scene.keeper(|| std::mem::forget(jobs.get().unwrap()));
        scene.bereave(keeper, &[&|| jobs.join().unwrap()]);
    });
}

#[test]
fn a_publisher_behind_a_subscriber_that_does_not_receive() {
    test(|scene| {
        let init = BroadcastInit::new(2).wait_for_subscribers(2);
        let news = Broadcast::<u64>::builder().space(&scene.home.space).create("it", init).unwrap();
        let keeper = scene.keeper(|| std::mem::forget(news.subscribe().unwrap()));
        news.publish_many(&[1, 2]).unwrap();
        scene.bereave(keeper, &[&|| news.publish(3).unwrap()]);
    });
}

#[test]
#[cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]
fn publishers_and_subscribers_behind_the_lock_of_a_broadcast() {
    test(|scene| {
        let news =
            Broadcast::<u64>::builder().space(&scene.home.space).create("it", BroadcastInit::new(2)).unwrap();
        let reader = std::cell::RefCell::new(news.subscribe().unwrap());
        let keeper = scene.keeper_of_lock(LOCKS[0]);
        let receive = || assert_eq!(reader.borrow_mut().recv().unwrap(), 3);
        scene.bereave(keeper, &[&receive, &|| news.publish(3).unwrap()]);
    });
}
