//! The objects inside one process, with simulated participants: what Miri can run.
//!
//! ```text
//! MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks" cargo +nightly miri test --features heap --test heap
//! ```
#![cfg(all(feature = "heap", not(feature = "portable")))]

use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use procshare::simulation::{Process, limit_memory, overwrite};
use procshare::{
    Array, ArrayInit, Broadcast, BytesQueue, Error, Event, JoinableInit, JoinableQueue, Lock, LockError,
    Pipe, PipeError, Queue, Semaphore, Space, SpscQueue, Value,
};
use procshare_harness::watchdog;

const HANGS: Duration = Duration::from_secs(300);

/// Miri takes a thousand times as long.
const fn rounds(real: u32, interpreted: u32) -> u32 {
    if cfg!(miri) { interpreted } else { real }
}

/// A space of its own; few slots, because each takes its time to interpret.
fn space() -> Space {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let directory = PathBuf::from(format!("/heap-test/{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    Space::at(directory).participants(8).open_or_create().unwrap()
}

#[test]
fn simulated_processes_are_participants_of_their_own() {
    let space = space();
    let (one, two) = (Process::start(), Process::start());
    let ids = [space.join().unwrap(), one.run(|| space.join().unwrap()), two.run(|| space.join().unwrap())];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    assert_eq!(one.run(|| space.join().unwrap()), ids[1], "once is enough");
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(space.join().unwrap(), ids[0], "threads act for the real process"));
    });
    let more: Vec<_> = (0..5).map(|_| Process::start()).collect();
    for process in &more {
        process.run(|| space.join().unwrap());
    }
    let late = Process::start();
    assert!(matches!(late.run(|| space.join()), Err(Error::SpaceFull { capacity: 8, .. })));
    two.kill();
    let heir = late.run(|| space.join().unwrap());
    assert_eq!((heir.slot(), heir.generation()), (ids[2].slot(), ids[2].generation() + 1));
}

#[test]
fn a_killed_holder_is_recovered_and_told() {
    watchdog(HANGS, || {
        let space = space();
        let lock = Lock::builder().space(&space).create("lock").unwrap();
        let value = Value::builder().space(&space).create("value", 1u64).unwrap();
        let holder = Process::start();
        holder.run(|| {
            std::mem::forget(lock.lock().unwrap());
            value.set(2).unwrap();
        });
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(lock.lock_timeout(Duration::from_millis(5)), Err(LockError::TimedOut)));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| match lock.lock() {
                Err(LockError::OwnerDied(outcome)) => {
                    outcome.into_guard().make_consistent();
                }
                other => panic!("{other:?}"),
            });
            holder.kill();
            waiter.join().unwrap();
        });
        drop(lock.lock().unwrap());
        assert_eq!(value.get().unwrap(), 2);
    });
}

#[test]
fn another_processs_guard_has_no_effect_here() {
    let space = space();
    let lock = Lock::builder().space(&space).create("lock").unwrap();
    let guard = lock.lock().unwrap();
    Process::start().run(|| {
        space.join().unwrap();
        drop(guard);
    });
    assert_eq!(lock.holder(), Some(space.join().unwrap()));
}

#[test]
fn readers_see_whole_values_and_nobody_loses_an_update() {
    watchdog(HANGS, || {
        let space = space();
        let total = Value::builder().space(&space).create("total", [0u64; 4]).unwrap();
        let array = Array::builder().space(&space).create("array", ArrayInit::filled(8, 0u32)).unwrap();
        let enough = rounds(2000, 15);
        let start = Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _acting = Process::start().enter();
                    start.wait();
                    for round in 0..enough {
                        total.update(|all| *all = all.map(|one| one + 1)).unwrap();
                        let mut range = array.lock(0..4).unwrap();
                        range[(round % 4) as usize] += 1;
                    }
                });
            }
            start.wait();
            let mut last = 0;
            while last < 2 * u64::from(enough) {
                let now = total.get().unwrap();
                assert!(now.iter().all(|&one| one == now[0]), "torn: {now:?}");
                assert!(now[0] >= last, "{} after {last}", now[0]);
                last = now[0];
                std::thread::yield_now();
            }
        });
        assert_eq!(array.to_vec().unwrap().iter().sum::<u32>(), 2 * enough);
    });
}

#[test]
fn a_broadcast_reaches_everybody_or_tells_what_was_missed() {
    watchdog(HANGS, || {
        let space = space();
        let news = Broadcast::<[u32; 2]>::builder().space(&space).create("news", 2).unwrap();
        let enough = rounds(2_000, 20);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let mut reader = news.subscribe().unwrap();
                    scope.spawn(move || {
                        let mut received = 0;
                        for [item, same] in reader.iter() {
                            assert_eq!(item, same, "torn");
                            received += 1;
                        }
                        received + reader.missed()
                    })
                })
                .collect();
            (0..enough).for_each(|item| news.publish([item; 2]).unwrap());
            news.close().unwrap();
            for reader in readers {
                assert_eq!(reader.join().unwrap(), u64::from(enough));
            }
        });
    });
}

#[test]
fn a_queue_carries_every_item_once() {
    watchdog(HANGS, || {
        let space = space();
        let queue = Queue::builder().space(&space).create("queue", 4).unwrap();
        let enough = rounds(5000, 20);
        let sum = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _acting = Process::start().enter();
                    (1..=enough).for_each(|item| queue.put(item).unwrap());
                });
                scope.spawn(|| {
                    let _acting = Process::start().enter();
                    for _ in 0..enough {
                        sum.fetch_add(queue.get().unwrap(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), enough * (enough + 1));
        assert!(queue.is_empty());
    });
}

#[test]
fn batches_in_place_are_whole_or_nothing() {
    watchdog(HANGS, || {
        let space = space();
        let queue = Queue::<[u32; 3]>::builder().space(&space).create("queue", 5).unwrap();
        let enough = rounds(3000, 12);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _acting = Process::start().enter();
                let mut next = 0;
                while next < enough {
                    let mut batch = queue.reserve_many(3).unwrap();
                    while next < enough && batch.push([next; 3]).is_ok() {
                        next += 1;
                    }
                    if next % 2 == 0 {
                        batch.zeroed().for_each(|item| item[2] = item[0]);
                    }
                    batch.commit();
                    let dying = Process::start();
                    dying.run(|| std::mem::forget(queue.try_reserve_many(2)));
                    dying.kill();
                }
            });
            let mut next = 0;
            while next < enough {
                let items = queue.peek_many(2).unwrap();
                for item in items.iter() {
                    // The last batch may have room left, which was zeroed.
                    if next == enough {
                        break;
                    }
                    assert_eq!(*item, [next; 3]);
                    next += 1;
                }
                items.release();
            }
        });
    });
}

/// Frames of many lengths, so that some lie around the end of the ring.
#[test]
fn frames_are_whole_whoever_died_over_others() {
    watchdog(HANGS, || {
        let space = space();
        let queue = BytesQueue::builder().space(&space).create("frames", 200).unwrap();
        let enough = rounds(4000, 14);
        let frame = |number: u32| vec![number as u8; (number * 13 % 90) as usize];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _acting = Process::start().enter();
                for number in 0..enough {
                    if number % 3 == 0 {
                        let mut place = queue.reserve(frame(number).len()).unwrap();
                        place.zeroed().copy_from_slice(&frame(number));
                        place.commit();
                    } else {
                        queue.put(&frame(number)).unwrap();
                    }
                    if number % rounds(40, 3) == 0 {
                        let dying = Process::start();
                        dying.run(|| std::mem::forget(queue.try_reserve(20)));
                        dying.kill();
                    }
                }
            });
            for number in 0..enough {
                let item = queue.peek().unwrap();
                assert_eq!(*item, *frame(number));
                if number % 2 == 0 {
                    item.release();
                } else {
                    drop(item);
                    assert_eq!(queue.get().unwrap(), frame(number), "it came back");
                }
            }
        });
    });
}

#[test]
fn both_ends_of_a_queue_of_one_producer_work_in_place() {
    watchdog(HANGS, || {
        let space = space();
        let queue = SpscQueue::<[u32; 2]>::builder().space(&space).create("ends", 5).unwrap();
        let enough = rounds(5000, 16);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _acting = Process::start().enter();
                let mut producer = queue.producer().unwrap();
                let mut next = 0;
                while next < enough {
                    producer.put([next, next]).unwrap();
                    let mut chunk = producer.reserve_many(3).unwrap();
                    next += 1;
                    while next < enough && chunk.push([next, next]).is_ok() {
                        next += 1;
                    }
                    chunk.commit();
                }
            });
            let mut consumer = queue.consumer().unwrap();
            let mut next = 0;
            while next < enough {
                assert_eq!(consumer.get().unwrap(), [next, next]);
                next += 1;
                if next < enough {
                    let chunk = consumer.peek_many(4).unwrap();
                    for item in chunk.iter() {
                        assert_eq!(*item, [next, next]);
                        next += 1;
                    }
                    chunk.release();
                }
            }
        });
    });
}

#[test]
fn unfinished_tasks_of_the_dead_are_handed_out_again() {
    watchdog(HANGS, || {
        let space = space();
        let jobs =
            JoinableQueue::<u64>::builder().space(&space).create("jobs", JoinableInit::new(4)).unwrap();
        jobs.put_many(&[1, 2, 3]).unwrap();
        let dying = Process::start();
        dying.run(|| std::mem::forget(jobs.get().unwrap()));
        dying.kill();
        let sum = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _acting = Process::start().enter();
                    for task in jobs.iter() {
                        sum.fetch_add(*task as u32, Ordering::Relaxed);
                        task.done();
                    }
                });
            }
            jobs.join().unwrap();
            assert_eq!(sum.load(Ordering::Relaxed), 6);
            jobs.close().unwrap();
        });
    });
}

#[test]
fn a_pipe_carries_messages_both_ways_until_the_other_end_is_gone() {
    watchdog(HANGS, || {
        let space = space();
        let pipe = Pipe::builder().space(&space).create("pipe", 300).unwrap();
        let left = pipe.left().unwrap();
        let other = Process::start();
        let right = other.run(|| pipe.right().unwrap());
        let enough = rounds(2000, 8);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                other.run(|| {
                    for _ in 0..enough {
                        let message = right.recv_bytes().unwrap();
                        right.send_bytes(&message[1..]).unwrap();
                    }
                });
            });
            for length in (1..200).cycle().take(enough as usize) {
                left.send_bytes(&vec![length; length as usize]).unwrap();
                assert_eq!(left.recv_bytes().unwrap(), vec![length; length as usize - 1]);
            }
        });
        other.run(|| right.send_bytes(b"last").unwrap());
        other.kill();
        assert_eq!(left.recv_bytes().unwrap(), b"last");
        assert!(matches!(left.recv_bytes(), Err(PipeError::Closed)));
    });
}

#[test]
fn permits_and_waiters_survive_a_death() {
    watchdog(HANGS, || {
        let space = space();
        let permits = Semaphore::builder().space(&space).create("permits", 2).unwrap();
        let go = Event::builder().space(&space).create("go").unwrap();
        let holder = Process::start();
        holder.run(|| {
            std::mem::forget(permits.acquire().unwrap());
            std::mem::forget(permits.acquire().unwrap());
        });
        assert!(matches!(permits.try_acquire(), Err(Error::WouldBlock)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _acting = Process::start().enter();
                go.wait().unwrap();
                let both = (permits.acquire().unwrap(), permits.acquire().unwrap());
                drop(both);
            });
            holder.kill();
            go.set().unwrap();
        });
        assert!(permits.try_acquire().is_ok());
    });
}

#[test]
fn a_scoped_object_goes_with_its_last_living_user() {
    let space = space();
    let lock = Lock::builder().space(&space).anonymous().unwrap();
    let text = serde_json::to_string(&lock).unwrap();
    let handle: procshare::Handle<Lock> = serde_json::from_str(&text).unwrap();
    let user = Process::start();
    let same = user.run(|| handle.attach().unwrap());
    drop(lock);
    assert!(space.collect().unwrap().objects.is_empty());
    user.kill();
    // The handle pinned it for the process that made the handle, which is this one; the other one's is another object.
    assert!(space.collect().unwrap().objects.is_empty());
    drop(same);

    let maker = Process::start();
    maker.run(|| std::mem::forget(Lock::builder().space(&space).anonymous().unwrap()));
    assert!(space.collect().unwrap().objects.is_empty());
    maker.kill();
    assert_eq!(space.collect().unwrap().objects.len(), 1);
}

#[test]
fn a_full_memory_is_a_typed_error() {
    let space = space();
    limit_memory(space.directory(), 64 << 10);
    let array = |len| Array::builder().space(&space).create("array", ArrayInit::filled(len, 0u64));
    for len in [64 << 10, 1 << 20, 1 << 30] {
        assert!(matches!(array(len), Err(Error::NoSpace { .. })), "{len}");
    }
    let small = array(100).unwrap();
    limit_memory(space.directory(), 0);
    assert!(matches!(Lock::builder().space(&space).create("lock"), Err(Error::NoSpace { .. })));
    small.fill(.., 7).unwrap();
    assert_eq!(small.get(99).unwrap(), 7);
}

#[test]
fn hostile_bytes_are_an_error_or_another_value() {
    let space = space();
    let value = Value::builder().space(&space).create("value", true).unwrap();
    let file = space.directory().join("value");
    for at in 0..rounds(400, 40) as usize {
        if overwrite(&file, 256 + at, &[0xff]).is_err() {
            break;
        }
        // Whatever it is by now, looking at it does no harm.
        let _ = value.get();
    }
    overwrite(&file, 0, &[0; 8]).unwrap();
    let reopened = Value::<bool>::builder().space(&space).open("value");
    assert!(matches!(reopened, Err(Error::NotASegment { what: "magic", .. })));
}
