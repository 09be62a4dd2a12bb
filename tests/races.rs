//! Small races over the whole path, from the public call to the bytes: two threads, few steps, every object.
//!
//! As tests they are quick. Under Miri (`ci/miri.sh`), which runs them many times with other interleavings and lets loads see
//! stale values, they look for undefined behaviour and missing orderings where the models do not reach.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use procshare::{
    Array, ArrayInit, AtomicArray, AtomicValue, Barrier, Condition, Event, Handle, Item, Lock, Object, Once,
    Queue, RLock, Semaphore, ShareableList, Space, Value,
};

/// Rounds of each thread: few, so that Miri can try many interleavings.
const ROUNDS: u64 = if cfg!(miri) { 3 } else { 200 };

/// Long enough for any of them on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// A space of its own, removed at the end.
struct Place(Space, PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = if cfg!(target_os = "linux") { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Relaxed);
        let directory = root.join(format!("procshare-races-{}-{number}", std::process::id()));
        // Few slots, because each takes its time to interpret.
        Place(Space::at(&directory).participants(16).open_or_create().unwrap(), directory)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

/// Runs `work` in two threads, each with a mapping of its own; their numbers are 0 and 1.
fn both<O: Object>(handle: Handle<O>, work: impl Fn(&O, u64) + Sync) {
    procshare_harness::watchdog(LIMIT, || {
        thread::scope(|scope| {
            for number in 0..2 {
                let (handle, work) = (&handle, &work);
                scope.spawn(move || work(&handle.attach().unwrap(), number));
            }
        })
    });
}

#[test]
fn lock() {
    let place = Place::new();
    let lock = Lock::builder().space(&place.0).create("lock").unwrap();
    let inside = AtomicU32::new(0);
    both(lock.handle(), |lock, _| {
        for _ in 0..ROUNDS {
            let _guard = lock.lock().unwrap();
            // Not one step on purpose: two at once would lose one.
            inside.store(inside.load(Relaxed) + 1, Relaxed);
        }
    });
    assert_eq!(u64::from(inside.into_inner()), 2 * ROUNDS);
}

#[test]
fn lock_tried_and_timed() {
    let place = Place::new();
    let lock = Lock::builder().space(&place.0).create("lock").unwrap();
    both(lock.handle(), |lock, number| {
        for _ in 0..ROUNDS {
            match number {
                0 => drop(lock.try_lock()),
                _ => drop(lock.lock_timeout(Duration::from_micros(10))),
            }
        }
    });
    assert!(lock.try_lock().is_ok());
}

#[test]
fn rlock() {
    let place = Place::new();
    let lock = RLock::builder().space(&place.0).create("lock").unwrap();
    let inside = AtomicU32::new(0);
    both(lock.handle(), |lock, _| {
        for _ in 0..ROUNDS {
            let _outer = lock.lock().unwrap();
            let _inner = lock.lock().unwrap();
            inside.store(inside.load(Relaxed) + 1, Relaxed);
        }
    });
    assert_eq!(u64::from(inside.into_inner()), 2 * ROUNDS);
}

#[test]
fn value() {
    let place = Place::new();
    let value = Value::builder().space(&place.0).create("value", [0u64; 3]).unwrap();
    both(value.handle(), |value, _| {
        for _ in 0..ROUNDS {
            value.update(|all| all.iter_mut().for_each(|one| *one += 1)).unwrap();
            let [first, second, third] = value.get().unwrap();
            assert!(first == second && second == third, "torn");
        }
    });
    assert_eq!(value.get().unwrap(), [2 * ROUNDS; 3]);
}

#[test]
fn large_value() {
    let place = Place::new();
    let value = Value::builder().space(&place.0).create("value", [0u32; 64]).unwrap();
    both(value.handle(), |value, number| {
        for round in 1..=ROUNDS as u32 {
            if number == 0 {
                value.set([round; 64]).unwrap();
            } else {
                let all = value.get().unwrap();
                assert!(all.iter().all(|one| *one == all[0]), "torn");
            }
        }
    });
}

#[test]
fn value_in_place() {
    let place = Place::new();
    let value = Value::builder().space(&place.0).create("value", [0u64; 3]).unwrap();
    both(value.handle(), |value, _| {
        for _ in 0..ROUNDS {
            let mut guard = value.lock_in_place().unwrap();
            guard.iter_mut().for_each(|one| *one += 1);
        }
    });
    assert_eq!(value.get().unwrap(), [2 * ROUNDS; 3]);
}

#[test]
fn array_elements() {
    let place = Place::new();
    let array = Array::builder().space(&place.0).create("array", ArrayInit::filled(4, [0u64; 2])).unwrap();
    both(array.handle(), |array, number| {
        for round in 1..=ROUNDS {
            array.set(number as usize, [round; 2]).unwrap();
            array.update(2, |both| both.iter_mut().for_each(|one| *one += 1)).unwrap();
            array.set(3, [round; 2]).unwrap();
            for index in 0..4 {
                let [first, second] = array.get(index).unwrap();
                assert_eq!(first, second, "torn");
            }
        }
    });
    assert_eq!(array.get(2).unwrap(), [2 * ROUNDS; 2]);
}

#[test]
fn array_ranges() {
    let place = Place::new();
    let array = Array::builder().space(&place.0).create("array", ArrayInit::filled(4, 0u64)).unwrap();
    both(array.handle(), |array, number| {
        for _ in 0..ROUNDS {
            if number == 0 {
                array.lock(0..3).unwrap().iter_mut().for_each(|one| *one += 1);
                array.set(3, 7).unwrap();
            } else {
                array.update(1, |one| *one += 1).unwrap();
                array.lock(2..4).unwrap()[0] += 1;
            }
        }
    });
    assert_eq!(array.to_vec().unwrap(), [ROUNDS, 2 * ROUNDS, 2 * ROUNDS, 7]);
}

#[test]
fn array_that_grows() {
    let place = Place::new();
    let init = ArrayInit::filled(1, 1u64).max_len(8);
    let array = Array::builder().space(&place.0).create("array", init).unwrap();
    both(array.handle(), |array, number| {
        for len in 2..=8 {
            if number == 0 {
                array.grow(len, len as u64).unwrap();
            } else {
                let last = array.len() - 1;
                assert_eq!(array.get(last).unwrap(), last as u64 + 1);
            }
        }
    });
}

#[test]
fn atomics() {
    let place = Place::new();
    let sum = AtomicValue::builder().space(&place.0).create("sum", 0u64).unwrap();
    both(sum.handle(), |sum, _| {
        for _ in 0..ROUNDS {
            sum.fetch_add(1).unwrap();
        }
    });
    assert_eq!(sum.load(), 2 * ROUNDS);
    let sums = AtomicArray::builder().space(&place.0).create("sums", [0u32, 0]).unwrap();
    both(sums.handle(), |sums, number| {
        for _ in 0..ROUNDS {
            sums.at(number as usize).unwrap().fetch_add(1).unwrap();
        }
    });
}

#[test]
fn lists() {
    let place = Place::new();
    let items = [Item::from(0), Item::from("text")];
    let list = ShareableList::builder().space(&place.0).create("list", &items).unwrap();
    both(list.handle(), |list, number| {
        for round in 0..ROUNDS as i64 {
            if number == 0 {
                list.set(0, round).unwrap();
            } else {
                assert!(matches!(list.get(0).unwrap(), Item::Int(found) if found < ROUNDS as i64));
            }
            list.set(1, if number == 0 { "even" } else { "odd" }).unwrap();
            assert!(["text", "even", "odd"].map(Item::from).contains(&list.get(1).unwrap()));
        }
    });
}

#[test]
fn queue() {
    let place = Place::new();
    let queue = Queue::builder().space(&place.0).create("queue", 2).unwrap();
    both(queue.handle(), |queue: &Queue<[u64; 2]>, number| {
        for round in 0..ROUNDS {
            if number == 0 {
                queue.put([round; 2]).unwrap();
            } else {
                assert_eq!(queue.get().unwrap(), [round; 2]);
            }
        }
    });
    assert!(queue.is_empty());
}

#[test]
fn queue_in_place() {
    let place = Place::new();
    let queue = Queue::builder().space(&place.0).create("queue", 2).unwrap();
    both(queue.handle(), |queue: &Queue<[u64; 2]>, number| {
        for round in 0..ROUNDS {
            if number == 0 {
                queue.reserve().unwrap().commit([round; 2]);
            } else {
                let peeked = queue.peek().unwrap();
                assert_eq!(*peeked, [round; 2]);
                peeked.release();
            }
        }
    });
}

#[test]
fn queue_of_two_producers_that_are_consumers() {
    let place = Place::new();
    let queue = Queue::builder().space(&place.0).create("queue", 1).unwrap();
    let sum = AtomicU32::new(0);
    both(queue.handle(), |queue: &Queue<u32>, number| {
        for _ in 0..ROUNDS {
            queue.put(number as u32 + 1).unwrap();
            sum.fetch_add(queue.get().unwrap(), Relaxed);
        }
    });
    assert_eq!(u64::from(sum.into_inner()), 3 * ROUNDS);
}

#[test]
fn semaphores() {
    let place = Place::new();
    let semaphore = Semaphore::builder().space(&place.0).create("one", 1).unwrap();
    let inside = AtomicU32::new(0);
    both(semaphore.handle(), |semaphore, _| {
        for _ in 0..ROUNDS {
            let _permit = semaphore.acquire().unwrap();
            inside.store(inside.load(Relaxed) + 1, Relaxed);
        }
    });
    assert_eq!(u64::from(inside.into_inner()), 2 * ROUNDS);
    let semaphore = Semaphore::builder().space(&place.0).create("signal", 0).unwrap();
    both(semaphore.handle(), |semaphore, number| {
        for _ in 0..ROUNDS {
            match number {
                0 => semaphore.release(1).unwrap(),
                _ => semaphore.acquire().unwrap().forget(),
            }
        }
    });
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn events() {
    let place = Place::new();
    let event = Event::builder().space(&place.0).create("event").unwrap();
    let written = AtomicU32::new(0);
    both(event.handle(), |event, number| {
        if number == 0 {
            written.store(7, Relaxed);
            event.set().unwrap();
        } else {
            event.wait().unwrap();
            assert_eq!(written.load(Relaxed), 7);
        }
    });
}

#[test]
fn conditions() {
    let place = Place::new();
    let condition = Condition::builder().space(&place.0).create("condition").unwrap();
    let turn = AtomicU32::new(0);
    both(condition.handle(), |condition, number| {
        for round in 0..ROUNDS as u32 {
            let mine = 2 * round + number as u32;
            let guard = condition.lock().unwrap();
            let _guard = condition.wait_while(guard, || turn.load(Relaxed) != mine).unwrap();
            turn.store(mine + 1, Relaxed);
            condition.notify_all().unwrap();
        }
    });
}

#[test]
fn barriers() {
    let place = Place::new();
    let barrier = Barrier::builder().space(&place.0).create("barrier", 2).unwrap();
    let arrived = AtomicU32::new(0);
    let leaders = AtomicU32::new(0);
    both(barrier.handle(), |barrier, _| {
        let seat = barrier.join().unwrap();
        for round in 1..=ROUNDS as u32 {
            arrived.fetch_add(1, Relaxed);
            leaders.fetch_add(u32::from(seat.wait().unwrap().is_leader()), Relaxed);
            assert!(arrived.load(Relaxed) >= 2 * round);
        }
        // Leaving breaks it for who still waits.
        seat.wait().unwrap();
    });
    assert_eq!(u64::from(leaders.into_inner()), ROUNDS);
}

#[test]
fn once() {
    let place = Place::new();
    let once = Once::builder().space(&place.0).create("once").unwrap();
    let done = AtomicU32::new(0);
    both(once.handle(), |once, _| {
        once.call_once(|_| done.store(done.load(Relaxed) + 1, Relaxed)).unwrap();
        assert_eq!(done.load(Relaxed), 1);
    });
}

#[test]
fn creation() {
    let place = Place::new();
    let names = AtomicU32::new(0);
    procshare_harness::watchdog(LIMIT, || {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let value = Value::builder().space(&place.0).open_or_create("value", 7u32).unwrap();
                    assert_eq!(value.get().unwrap(), 7);
                    names.fetch_add(1, Relaxed);
                });
            }
        });
    });
    assert_eq!(names.into_inner(), 2);
}

/// Deaths of simulated processes: what the dead held is taken over while they are gone for good.
#[cfg(all(feature = "heap", not(feature = "portable")))]
mod deaths {
    use super::*;
    use procshare::simulation::Process;
    use procshare::{Error, LockError};

    /// Runs `dying` as a process that is killed at its end, and `surviving` beside it.
    fn beside<O: Object>(handle: Handle<O>, dying: impl Fn(&O) + Sync, surviving: impl Fn(&O)) {
        procshare_harness::watchdog(LIMIT, || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let process = Process::start();
                    process.run(|| {
                        let object = handle.attach().unwrap();
                        dying(&object);
                        // The dead clean nothing up.
                        std::mem::forget(object);
                    });
                    process.kill();
                });
                surviving(&handle.attach().unwrap());
            });
        });
    }

    #[test]
    fn lock() {
        let place = Place::new();
        let lock = Lock::builder().space(&place.0).create("lock").unwrap();
        let counts = [AtomicU32::new(0), AtomicU32::new(0)];
        beside(
            lock.handle(),
            |lock| {
                std::mem::forget(lock.lock());
                counts[0].store(1, Relaxed);
            },
            |lock| match lock.lock() {
                Err(LockError::OwnerDied(died)) => {
                    assert_eq!(counts[0].load(Relaxed), 1, "told before it died");
                    died.into_guard().make_consistent();
                    counts[1].store(1, Relaxed);
                }
                entry => drop(entry.unwrap()),
            },
        );
        let told = matches!(lock.lock(), Err(LockError::OwnerDied(_)));
        assert_ne!(told, counts[1].load(Relaxed) == 1, "exactly one is told");
    }

    #[test]
    fn value() {
        let place = Place::new();
        let value = Value::builder().space(&place.0).create("value", [0u64; 3]).unwrap();
        beside(
            value.handle(),
            |value| {
                let mut guard = value.lock().unwrap();
                *guard = [7; 3];
                std::mem::forget(guard);
            },
            |value| value.update(|all| all.iter_mut().for_each(|one| *one += 1)).unwrap(),
        );
        assert_eq!(value.get().unwrap(), [1; 3], "the dead one committed nothing");
    }

    #[test]
    fn array_range() {
        let place = Place::new();
        let array = Array::builder().space(&place.0).create("array", ArrayInit::filled(4, 0u64)).unwrap();
        beside(
            array.handle(),
            |array| {
                let mut guard = array.lock(0..2).unwrap();
                guard[0] = 1;
                std::mem::forget(guard);
            },
            |array| match array.lock(1..3) {
                Ok(mut guard) => guard[0] = 2,
                Err(LockError::OwnerDied(died)) => assert_eq!(died.into_guard().torn(), Some(0..2)),
                Err(other) => panic!("{other}"),
            },
        );
        assert!(matches!(array.get(0), Err(Error::RangeOwnerDied { start: 0, end: 2, .. })));
        array.lock(0..2).map_err(LockError::into_guard).unwrap_err().unwrap().make_consistent().unwrap();
        assert_eq!(array.get(0).unwrap(), 1);
    }

    #[test]
    fn semaphore() {
        let place = Place::new();
        let semaphore = Semaphore::builder().space(&place.0).create("semaphore", 1).unwrap();
        beside(
            semaphore.handle(),
            |semaphore| std::mem::forget(semaphore.acquire().unwrap()),
            |semaphore| drop(semaphore.acquire().unwrap()),
        );
        drop(semaphore.acquire().unwrap());
    }

    #[test]
    fn queue() {
        let place = Place::new();
        let queue = Queue::builder().space(&place.0).create("queue", 2).unwrap();
        beside(
            queue.handle(),
            |queue: &Queue<[u64; 2]>| {
                std::mem::forget(queue.reserve().unwrap());
                queue.put([7; 2]).unwrap();
            },
            |queue| assert_eq!(queue.get().unwrap(), [7; 2]),
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn barrier() {
        let place = Place::new();
        let barrier = Barrier::builder().space(&place.0).create("barrier", 2).unwrap();
        beside(
            barrier.handle(),
            |barrier| std::mem::forget(barrier.join().unwrap()),
            |barrier| {
                let seat = barrier.join().unwrap();
                assert!(seat.wait().is_err(), "somebody is missing for good");
            },
        );
    }
}
