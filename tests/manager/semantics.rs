//! What users of Python's managers and of std's collections expect, line by line, where no other file shows it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use procshare::manager::*;
use procshare::{BarrierError, Breakage, Cause, GetError, LockError};
use serde::{Deserialize, Serialize};

use crate::support::{eventually, limited, local, over_both, watched};

// Dicts, lists, namespaces, values, arrays.

#[test]
fn a_dict_has_what_dicts_have() {
    over_both(|| {
        let server = local();
        let dict = Dict::<String, u32>::create(&server.client(), "ages").unwrap();
        dict.extend(&[("Ada".into(), 36), ("Bob".into(), 41), ("Eve".into(), 7)]).unwrap();
        dict.set("Bob", &42).unwrap();
        assert_eq!(dict.keys().unwrap(), ["Ada", "Bob", "Eve"], "in the order they came");
        assert_eq!(dict.values().unwrap(), [36, 42, 7]);
        assert_eq!(dict.snapshot().unwrap()[1], ("Bob".into(), 42), "items, and copy");
        assert_eq!(dict.get_or_insert("Ada", &0).unwrap(), 36, "setdefault");
        assert_eq!(dict.get_or_insert("Zoe", &1).unwrap(), 1);
        assert_eq!(dict.remove("Zoe").unwrap(), Some(1), "pop");
        assert_eq!(dict.remove("Zoe").unwrap(), None, "and with a default");
        assert_eq!(dict.pop_last().unwrap(), Some(("Eve".into(), 7)), "popitem");
        assert_eq!(dict.pop_first().unwrap(), Some(("Ada".into(), 36)));
        assert!(dict.contains("Bob").unwrap() && !dict.contains("Ada").unwrap());
        dict.clear().unwrap();
        assert!(dict.is_empty().unwrap() && dict.pop_last().unwrap().is_none());
    });
}

#[test]
fn a_list_has_what_lists_have() {
    over_both(|| {
        let server = local();
        let list = List::<i32>::anonymous(&server.client()).unwrap();
        list.extend(&[5, 3, 9, 3]).unwrap();
        assert_eq!((list.count(&3).unwrap(), list.index_of(&9).unwrap()), (2, Some(2)));
        assert_eq!((list.last().unwrap(), list.get(9).unwrap()), (Some(3), None));
        list.insert(1, &4).unwrap();
        assert!(list.remove_value(&3).unwrap() && !list.remove_value(&100).unwrap());
        assert_eq!(list.snapshot().unwrap(), [5, 4, 9, 3]);
        list.sort(false).unwrap();
        list.reverse().unwrap();
        list.swap(0, 3).unwrap();
        assert_eq!(list.snapshot().unwrap(), [3, 5, 4, 9]);
        list.set_slice(1..3, &[7, 7, 7]).unwrap();
        assert_eq!(list.drain(0..2).unwrap(), [3, 7]);
        list.set_slice(0..1, &[]).unwrap();
        assert_eq!((list.slice(0..2).unwrap(), list.remove(0).unwrap()), (vec![7, 9], 7));
        assert!(matches!(list.drain(0..5), Err(ManagerError::OutOfRange { .. })));
        assert!(matches!(list.update(7, |n| *n), Err(ManagerError::OutOfRange { .. })));
        assert_eq!(list.update(0, |n| n + 1).unwrap(), 10);
        // Whatever has no method: `l *= 3`, and sorting by a key.
        list.edit(|all| *all = all.repeat(3)).unwrap();
        list.set(1, &-11).unwrap();
        list.edit(|all| all.sort_by_key(|n| n.abs())).unwrap();
        assert_eq!(list.snapshot().unwrap(), [10, 10, -11]);
        list.truncate(1).unwrap();
        assert!(list.contains(&10).unwrap() && list.pop().unwrap() == Some(10) && list.is_empty().unwrap());
    });
}

#[test]
fn edits_of_a_list_by_many_lose_nothing() {
    over_both(|| {
        let server = local();
        let list = List::<u32>::create(&server.client(), "list").unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let manager = server.client();
                scope.spawn(move || {
                    let list = List::<u32>::open(&manager, "list").unwrap();
                    (0..20).for_each(|n| list.edit(|all| all.insert(0, thread * 100 + n)).unwrap());
                });
            }
        });
        let mut all = list.snapshot().unwrap();
        all.sort_unstable();
        assert!(all.into_iter().eq((0..4).flat_map(|thread| (0..20).map(move |n| thread * 100 + n))));
    });
}

#[test]
fn namespaces_and_arrays_have_what_theirs_have() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let space = Namespace::create(&manager, "space").unwrap();
        space.set("x", &1.5).unwrap();
        space.set("_private", "is on the server like any other").unwrap();
        assert_eq!((space.names().unwrap(), space.len().unwrap()), (vec!["x".into(), "_private".into()], 2));
        assert_eq!(space.add("hits", &2).unwrap(), 2);
        assert_eq!(space.update("hits", |hits: Option<&u32>| hits.map(|hits| hits * 10)).unwrap(), Some(20));
        assert_eq!(space.get_or_insert("hits", &0u32).unwrap(), 20);
        assert!(matches!(space.get::<String>("hits"), Err(ManagerError::Decode { .. })));
        manager
            .transaction(|plan| {
                let hits = plan.read(space.calls().get::<u32>("hits")?)?;
                plan.write(space.calls().set("before", &hits)?)?;
                plan.write(space.calls().remove("hits")?)
            })
            .unwrap();
        assert_eq!(space.get::<u32>("before").unwrap(), Some(20));
        assert!(!space.contains("hits").unwrap());
        space.clear().unwrap();
        assert!(space.is_empty().unwrap());

        let array = Array::<f64>::create(&manager, "array", &[2.0, 1.0, 2.0]).unwrap();
        assert_eq!((array.count(&2.0).unwrap(), array.index_of(&1.0).unwrap()), (2, Some(1)));
        array.sort(false).unwrap();
        array.reverse().unwrap();
        assert_eq!(array.update(2, |n| n * 8.0).unwrap(), 8.0);
        assert!(array.iter().map(Result::unwrap).eq([2.0, 2.0, 8.0]));
        assert!(array.contains(&8.0).unwrap() && !array.contains(&9.0).unwrap());
        let list = List::<f64>::from_object(array.object().clone());
        assert!(matches!(list.push(&1.0), Err(ManagerError::Remote { .. })), "the length is fixed");
    });
}

/// What a struct does not know is not lost by who changes it, and does not keep it from changing anything.
#[test]
fn values_are_updated_whatever_their_bytes_are() {
    #[derive(Serialize, Deserialize)]
    struct Part {
        count: u32,
    }
    watched(|| {
        let server = local();
        let manager = server.client();
        // A map that is written in another order each time.
        let tags: HashMap<String, u32> = (0..50).map(|n| (format!("tag {n}"), n)).collect();
        let dict = Dict::<u32, HashMap<String, u32>>::create(&manager, "tags").unwrap();
        dict.set(&1, &tags).unwrap();
        let grown = dict.update(&1, |tags| {
            let mut tags = tags.cloned().unwrap_or_default();
            tags.insert("new".into(), 1);
            Some(tags)
        });
        assert_eq!(grown.unwrap().unwrap().len(), 51);
        // Floats of fewer digits, and fields that are not known here.
        let value = Value::<f64>::create(&manager, "value", &0.1).unwrap();
        let coarse = Value::<f32>::open(&manager, "value").unwrap();
        assert_eq!(coarse.update(|n| n * 0.0).unwrap(), 0.0);
        assert_eq!(value.get().unwrap(), 0.0);
        let whole = List::<BTreeMap<String, u32>>::create(&manager, "parts").unwrap();
        whole.push(&[("count".into(), 1), ("more".into(), 2)].into()).unwrap();
        let parts = List::<Part>::open(&manager, "parts").unwrap();
        assert_eq!(parts.update(0, |part| Part { count: part.count + 1 }).unwrap().count, 2);
    });
}

#[test]
fn collections_are_made_with_content_by_one_of_many() {
    over_both(|| {
        let server = local();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let manager = server.client();
                    let list = List::open_or_create_with(&manager, "list", &[1, 2, 3]).unwrap();
                    assert_eq!(list.len().unwrap(), 3, "neither empty nor filled twice");
                    let dict = Dict::open_or_create_with(&manager, "dict", &[("a".to_owned(), 1)]).unwrap();
                    assert_eq!(dict.snapshot().unwrap(), [("a".into(), 1)]);
                });
            }
        });
        let manager = server.client();
        let taken = List::create_with(&manager, "list", &[9]);
        assert!(matches!(taken, Err(ManagerError::AlreadyExists { .. })));
        assert_eq!(
            List::anonymous_with(&manager, &["x".to_owned()]).unwrap().pop().unwrap(),
            Some("x".into())
        );
        let wrong = Dict::anonymous_with(&manager, &[(f64::NAN, 1)]);
        assert!(matches!(wrong, Err(ManagerError::BadKey { .. })));
    });
}

/// A `HashMap` is written in another order each time.
#[test]
fn maps_are_found_whatever_order_they_were_written_in() {
    watched(|| {
        let server = local();
        let manager = server.client();
        let map = |last: u32| (0..20).map(|n| (n.to_string(), n)).chain([("x".into(), last)]).collect();
        let maps: Vec<HashMap<String, u32>> = (0..3).map(map).collect();
        let list = List::anonymous(&manager).unwrap();
        list.extend(&maps).unwrap();
        let again: HashMap<String, u32> = map(1);
        assert_eq!((list.index_of(&again).unwrap(), list.count(&again).unwrap()), (Some(1), 1));
        assert!(!list.contains(&map(7)).unwrap() && list.remove_value(&again).unwrap());
        assert_eq!(list.compare_and_swap(1, &map(2), &map(9)).unwrap(), Ok(()));
        let dict = Dict::<u32, HashMap<String, u32>>::anonymous(&manager).unwrap();
        dict.set(&1, &map(1)).unwrap();
        assert_eq!(dict.compare_and_swap(&1, Some(&map(0)), None).unwrap(), Err(Some(map(1))));
        assert_eq!(dict.compare_and_swap(&1, Some(&map(1)), None).unwrap(), Ok(()));
    });
}

/// Python loses what is done to a copy of what was in a dict; here it cannot be mistaken for the thing itself.
#[test]
fn what_is_got_is_a_copy_and_what_is_nested_is_not() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let plain = Dict::<String, Vec<u32>>::anonymous(&manager).unwrap();
        plain.set("k", &vec![1]).unwrap();
        plain.get("k").unwrap().unwrap().push(2);
        assert_eq!(plain.get("k").unwrap(), Some(vec![1]));
        plain.update("k", |there| Some([there.map_or(&[][..], |there| there), &[2]].concat())).unwrap();
        assert_eq!(plain.get("k").unwrap(), Some(vec![1, 2]));
        let nested = Dict::<String, List<u32>>::anonymous(&manager).unwrap();
        nested.set("k", &List::anonymous(&manager).unwrap()).unwrap();
        nested.get("k").unwrap().unwrap().push(&2).unwrap();
        assert_eq!(nested.get("k").unwrap().unwrap().snapshot().unwrap(), [2]);
    });
}

/// The sender's proxy, and the sender, are gone before the receiver looks: Python's receiver gets an error.
#[test]
fn a_proxy_in_a_queue_keeps_its_object() {
    over_both(|| {
        let server = local();
        let (sender, receiver) = (server.client(), server.client());
        let letters = Queue::<(String, List<u32>)>::create(&sender, "letters", None).unwrap();
        let list = List::anonymous(&sender).unwrap();
        list.push(&7).unwrap();
        letters.put(("a list".into(), list)).unwrap();
        drop((letters, sender));
        eventually("the sender has left", || receiver.stats().unwrap().clients == 1);
        let letters = Queue::<(String, List<u32>)>::open(&receiver, "letters").unwrap();
        let (_, list) = letters.get().unwrap();
        list.push(&8).unwrap();
        assert_eq!(list.snapshot().unwrap(), [7, 8]);
        drop(list);
        eventually("the list is gone", || receiver.stats().unwrap().objects == 1);
    });
}

// Locks and their kin.

#[test]
fn an_rlock_is_held_by_all_guards_of_its_thread_also_behind_a_wait() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let lock = RLock::create(&manager, "lock").unwrap();
        let condition = Condition::over_rlock(&manager, &lock).unwrap();
        let is_free = || {
            let lock = RLock::open(&server.client(), "lock").unwrap();
            lock.try_lock().is_ok()
        };
        let outer = lock.lock().unwrap();
        let inner = lock.lock().unwrap();
        let before = outer.fence();
        let (inner, result) = condition.wait_timeout(inner, Duration::from_millis(1)).unwrap();
        assert!(result.timed_out());
        assert_eq!(outer.fence(), inner.fence(), "all have the number of the new holding");
        assert!(inner.fence() > before);
        drop(inner);
        assert!(!is_free());
        outer.unlock().unwrap();
        assert!(is_free());
    });
}

#[test]
fn an_rlock_is_free_while_its_thread_waits_however_often_it_was_taken() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let lock = RLock::create(&manager, "lock").unwrap();
        let condition = Condition::over_rlock(&manager, &lock).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let _outer = lock.lock().unwrap();
                let _inner = condition.wait(lock.lock().unwrap()).unwrap();
            });
            eventually("it waits", || condition.n_waiting().unwrap() == 1);
            let guard = lock.lock().unwrap();
            assert_eq!(condition.notify(9).unwrap(), 1);
            drop(guard);
            waiter.join().unwrap();
        });
        lock.lock().unwrap().unlock().unwrap();
    });
}

#[test]
fn exactly_so_many_are_notified_in_their_order() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let condition = Condition::create(&manager, "condition").unwrap();
        let lock = condition.lock().unwrap();
        let woken = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for waiter in 0..4 {
                let (lock, condition, woken) = (&lock, &condition, &woken);
                scope.spawn(move || {
                    let _guard = condition.wait(lock.lock().unwrap()).unwrap();
                    assert_eq!(woken.fetch_add(1, Ordering::Relaxed), waiter, "who waited longest");
                });
                eventually("it waits", || condition.n_waiting().unwrap() == u64::from(waiter) + 1);
            }
            let notify = |most| {
                let _guard = lock.lock().unwrap();
                condition.notify(most).unwrap()
            };
            assert_eq!(notify(3), 3);
            eventually("three are awake", || woken.load(Ordering::Relaxed) == 3);
            assert_eq!((condition.n_waiting().unwrap(), notify(0)), (1, 0));
            assert_eq!((notify(3), notify(3)), (1, 0), "and is not remembered");
        });
    });
}

#[test]
fn a_wait_for_something_ends_when_it_is_so_or_with_its_timeout() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let condition = Condition::anonymous(&manager).unwrap();
        let guard = condition.lock().unwrap().lock().unwrap();
        let mut asked = 0;
        let short = Duration::from_millis(5);
        let (guard, result) = condition
            .wait_while_timeout(guard, short, || {
                asked += 1;
                true
            })
            .unwrap();
        assert!(result.timed_out() && asked >= 2, "before the wait, and after the timeout");
        let (guard, result) = condition.wait_while_timeout(guard, Duration::ZERO, || false).unwrap();
        assert!(!result.timed_out());
        // The guard of another lock is not taken for this one's.
        let other = Lock::anonymous(&manager).unwrap();
        let Err(LockError::Failed(error)) = condition.wait(other.lock().unwrap()) else {
            panic!("it waited")
        };
        assert!(error.to_string().contains("does not hold"), "{error}");
        assert!(!other.is_locked().unwrap() && condition.lock().unwrap().is_locked().unwrap());
        drop(guard);
    });
}

#[test]
fn an_rwlock_excludes_writers_and_survives_them() {
    over_both(|| {
        let server = local();
        let (near, far) = (server.client(), server.client());
        let lock = RwLock::create(&near, "lock").unwrap();
        let same = RwLock::open(&far, "lock").unwrap();
        let short = Duration::from_millis(5);
        {
            let (one, two) = (lock.read().unwrap(), same.read_timeout(short).unwrap());
            assert!(two.fence() > one.fence() && lock.readers().unwrap() == 2);
            assert!(matches!(lock.write(), Err(LockError::Deadlock)), "it would wait for itself");
            two.unlock().unwrap();
            assert!(matches!(same.try_write(), Err(LockError::WouldBlock)));
            assert!(matches!(same.write_timeout(short), Err(LockError::TimedOut)));
            assert!(!one.is_lost());
        }
        let writer = lock.write().unwrap();
        assert!(lock.is_written().unwrap());
        assert!(matches!(same.try_read(), Err(LockError::WouldBlock)));
        let reader = writer.downgrade().unwrap();
        drop(same.try_read().unwrap());
        drop(reader);
        drop(lock.try_write().unwrap());

        let panicked = std::panic::catch_unwind(|| {
            let _guard = lock.write().unwrap();
            panic!("while it writes");
        });
        assert!(panicked.is_err());
        let Err(LockError::OwnerDied(outcome)) = same.read() else { panic!("nobody was told") };
        assert_eq!(outcome.cause(), Cause::Panicked);
        drop(outcome);
        let Err(LockError::OwnerDied(outcome)) = same.write() else { panic!("nobody was told") };
        let guard = outcome.into_guard();
        guard.make_consistent().unwrap();
        drop(guard);
        drop(lock.read().unwrap());
    });
}

#[test]
fn semaphores_give_many_at_once_or_none() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let permits = Semaphore::create(&manager, "permits", 3).unwrap();
        let two = permits.try_acquire_many(2).unwrap();
        assert!(!two.is_lost());
        assert!(matches!(permits.try_acquire_many(2), Err(ManagerError::WouldBlock)));
        let short = Duration::from_millis(5);
        assert!(matches!(permits.acquire_many_timeout(2, short), Err(ManagerError::TimedOut)));
        two.release().unwrap();
        // Python's own way: permits that nobody owns.
        permits.acquire().unwrap().forget().unwrap();
        assert_eq!(permits.available().unwrap(), 2);
        permits.release(5).unwrap();
        assert_eq!(permits.available().unwrap(), 7);
    });
}

#[test]
fn a_barriers_action_is_run_by_one_before_anybody_leaves() {
    over_both(|| {
        let server = local();
        let runs = AtomicU32::new(0);
        Barrier::create(&server.client(), "barrier", 3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let barrier = Barrier::open(&server.client(), "barrier").unwrap();
                    for round in 1..=20 {
                        let action = || {
                            runs.fetch_add(1, Ordering::Relaxed);
                            Ok::<(), ()>(())
                        };
                        barrier.wait_with(action).unwrap();
                        // Who is quick may be in the next round already, but cannot have ended it.
                        assert_eq!(runs.load(Ordering::Relaxed), round);
                        barrier.wait().unwrap();
                    }
                });
            }
        });
        assert_eq!(runs.load(Ordering::Relaxed), 20);
    });
}

#[test]
fn a_barrier_is_broken_by_its_action_by_abort_and_by_reset() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let barrier = Barrier::create(&manager, "barrier", 2).unwrap();
        let round = |second: &dyn Fn()| {
            std::thread::scope(|scope| {
                let first = scope.spawn(|| barrier.wait_with(|| Ok::<(), ()>(())).unwrap_err());
                eventually("it waits", || barrier.n_waiting().unwrap() == 1);
                second();
                first.join().unwrap()
            })
        };
        let told = round(&|| {
            let failed = barrier.wait_with(|| Err("no")).unwrap_err();
            assert!(matches!(failed, BarrierError::Action("no")));
        });
        assert!(matches!(told, BarrierError::Broken(Breakage::ActionFailed)), "{told:?}");
        assert!(matches!(barrier.wait(), Err(ManagerError::Broken { .. })), "at once, until it is reset");
        barrier.reset().unwrap();
        let told = round(&|| {
            let act = || barrier.wait_with(|| -> Result<(), ()> { panic!("on purpose") });
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err());
        });
        assert!(matches!(told, BarrierError::Broken(Breakage::ActionFailed)), "{told:?}");
        barrier.reset().unwrap();
        let told = round(&|| barrier.abort().unwrap());
        assert!(matches!(told, BarrierError::Broken(Breakage::Aborted)), "{told:?}");
        barrier.reset().unwrap();
        let told = round(&|| barrier.reset().unwrap());
        assert!(matches!(told, BarrierError::Broken(Breakage::Reset)), "{told:?}");
        assert!(!barrier.is_broken().unwrap());
        let late = barrier.wait_with_timeout(Duration::from_millis(5), || Ok::<(), ()>(())).unwrap_err();
        assert!(matches!(late, BarrierError::Broken(Breakage::TimedOut)), "{late:?}");
    });
}

/// Python's waiters miss what is cleared at once.
#[test]
fn an_event_that_is_cleared_at_once_has_been_set() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let event = Event::create(&manager, "event").unwrap();
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| event.wait_timeout(Duration::from_secs(60)).unwrap()))
                .collect();
            eventually("all wait", || manager.stats().unwrap().waiting == 4);
            event.set().unwrap();
            event.clear().unwrap();
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        });
        assert!(!event.is_set().unwrap());
    });
}

// Queues.

#[test]
fn a_queue_has_a_size_and_says_so() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let queue = Queue::<u32>::create(&manager, "queue", Some(2)).unwrap();
        assert_eq!((queue.room().unwrap(), queue.is_empty().unwrap()), (Some(2), true));
        queue.put(1).unwrap();
        queue.try_put(2).unwrap();
        assert!(queue.is_full().unwrap() && queue.len().unwrap() == 2, "exact, at once");
        assert!(matches!(queue.try_put(3), Err(procshare::PutError::Full(3))));
        let short = Duration::from_millis(5);
        assert!(matches!(queue.put_timeout(3, short), Err(procshare::PutError::TimedOut(3))));
        assert_eq!((queue.get().unwrap(), queue.get_timeout(short).unwrap()), (1, 2));
        assert!(matches!(queue.try_get(), Err(GetError::Empty)));
        assert!(matches!(queue.get_timeout(short), Err(GetError::TimedOut)));
        queue.put(4).unwrap();
        queue.close().unwrap();
        assert!(queue.is_closed().unwrap() && queue.get().unwrap() == 4);
        assert!(matches!(queue.get(), Err(GetError::Closed)));
        // Without a size, or with Python's 0, there is no end.
        assert_eq!(Queue::<u32>::anonymous(&manager, Some(0)).unwrap().room().unwrap(), None);
    });
}

/// Python's `get` throws away what it cannot read.
#[test]
fn an_item_of_another_type_goes_back_to_its_place() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let words = Queue::<String>::create(&manager, "queue", None).unwrap();
        words.put("first".into()).unwrap();
        words.put("second".into()).unwrap();
        let numbers = Queue::<u32>::open(&manager, "queue").unwrap();
        let error = numbers.get().unwrap_err();
        assert!(error.to_string().contains("no u32"), "{error}");
        assert_eq!((words.get().unwrap(), words.get().unwrap()), ("first".into(), "second".into()));
        let tasks = JoinableQueue::<String>::create(&manager, "tasks", None).unwrap();
        tasks.put("task".into()).unwrap();
        assert!(JoinableQueue::<u32>::open(&manager, "tasks").unwrap().try_get().is_err());
        let task = tasks.get().unwrap();
        assert!(!task.is_lost() && tasks.unfinished().unwrap() == 1);
        task.done().unwrap();
        tasks.join().unwrap();
    });
}

/// What cannot be sent is an error of `put`, and the connection goes on; Python's queue loses it.
#[test]
fn what_cannot_be_sent_is_an_error_here_and_now() {
    struct Secret;
    impl Serialize for Secret {
        fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("a secret"))
        }
    }
    over_both(|| {
        let server = limited(Limits { frame: 10_000, ..Limits::default() });
        let manager = server.client();
        let queue = Queue::<Secret>::create(&manager, "queue", None).unwrap();
        let Err(procshare::PutError::Failed(Secret, error)) = queue.put(Secret) else {
            panic!("it was sent")
        };
        assert!(error.to_string().contains("a secret"), "{error}");
        let long = Queue::<String>::anonymous(&manager, None).unwrap();
        let Err(procshare::PutError::Failed(item, error)) = long.put("x".repeat(20_000)) else {
            panic!("it was sent")
        };
        assert!(item.len() == 20_000 && error.to_string().contains("where the server takes"), "{error}");
        manager.ping().unwrap();
        assert_eq!(queue.len().unwrap() + long.len().unwrap(), 0);
    });
}

// Calls together.

#[test]
fn of_a_batch_each_call_fails_by_itself() {
    over_both(|| {
        let server = limited(Limits { frame: 10_000, ..Limits::default() });
        let manager = server.client();
        let list = List::<String>::anonymous(&manager).unwrap();
        let calls =
            [10, 20_000, 30].map(|len| list.calls().push(&"x".repeat(len)).unwrap()).into_iter().collect();
        let results = manager.batch(calls).unwrap();
        assert!(results[0].is_ok() && results[2].is_ok());
        assert!(matches!(results[1], Err(ManagerError::Limit { .. })));
        let calls = [5, 0, 1].map(|index| list.calls().remove(index).unwrap()).into_iter().collect();
        let results = manager.batch(calls).unwrap();
        assert!(matches!(results[0], Err(ManagerError::OutOfRange { .. })));
        assert_eq!(results[1].as_ref().unwrap().len(), 10);
        assert!(matches!(results[2], Err(ManagerError::OutOfRange { .. })), "in their order");
    });
}

#[test]
fn a_transaction_touches_no_other_managers_objects() {
    over_both(|| {
        let (here, there) = (local(), local());
        let (mine, other) = (here.client(), there.client());
        // Both are the first object of their server.
        let (list, foreign) =
            (List::<i32>::create(&mine, "list").unwrap(), List::<i32>::create(&other, "list").unwrap());
        assert_eq!(list.object().number(), foreign.object().number());
        let error = mine.transaction(|plan| plan.write(foreign.calls().push(&1)?)).unwrap_err();
        assert!(matches!(error, ManagerError::Foreign { .. }), "{error}");
        let error = mine.transaction(|plan| plan.read(foreign.calls().len()?)).unwrap_err();
        assert!(matches!(error, ManagerError::Foreign { .. }), "{error}");
        let stored = Value::<Option<List<i32>>>::anonymous(&mine, &None).unwrap();
        assert!(matches!(stored.set(&Some(foreign)), Err(ManagerError::Encode { .. })));
        assert!(matches!(
            Condition::over(&mine, &Lock::anonymous(&other).unwrap()),
            Err(ManagerError::Encode { .. })
        ));
        // Another connection to the same server is as good as one's own.
        let same = List::<i32>::open(&here.client(), "list").unwrap();
        mine.transaction(|plan| plan.write(same.calls().push(&1)?)).unwrap();
        assert_eq!(list.snapshot().unwrap(), [1]);
    });
}

// Types of one's own.

#[derive(Default)]
struct Ledger {
    entries: Vec<(String, i64)>,
}

#[procshare::managed(proxy = LedgerProxy)]
impl Ledger {
    /// Books an amount; the balance.
    pub(crate) fn book(&mut self, arguments: String, method: i64) -> Result<i64, std::num::TryFromIntError> {
        u32::try_from(method)?;
        self.entries.push((arguments, method));
        Ok(self.balance())
    }

    pub(crate) fn entries(&self) -> Vec<(String, i64)> {
        self.entries.clone()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    fn balance(&self) -> i64 {
        self.entries.iter().map(|(_, amount)| amount).sum()
    }
}

#[test]
fn a_managed_type_has_the_methods_that_are_not_private() {
    over_both(|| {
        let builder = Server::builder().address(Address::Unix(crate::support::path("ledger")));
        let server = crate::support::run(builder.register("ledger", |_| Ok(Ledger::default())));
        let (manager, other) = (server.client(), server.client());
        let ledger = LedgerProxy::from_object(manager.create("ledger", Some("ledger"), &()).unwrap());
        assert_eq!(ledger.book("rent".into(), 700).unwrap(), 700);
        let same = LedgerProxy::from_object(other.open("ledger").unwrap());
        assert_eq!(same.book("food".into(), 50).unwrap(), 750);
        assert_eq!(ledger.entries().unwrap(), [("rent".into(), 700), ("food".into(), 50)]);
        let own = |error: ManagerError| match error {
            ManagerError::Remote { kind, message } if kind == "own" => message,
            other => panic!("{other}"),
        };
        assert!(own(same.book("debt".into(), -1).unwrap_err()).contains("out of range"));
        let object = ledger.object();
        assert!(own(object.call::<i64>("balance", &[]).unwrap_err()).contains("no method 'balance'"));
        assert!(own(object.call::<()>("clear", &[&1]).unwrap_err()).contains("too many"));
        assert!(own(object.call::<i64>("book", &[&"x"]).unwrap_err()).contains("too few"));
        assert!(own(object.call::<i64>("book", &[&"x", &"y"]).unwrap_err()).contains("another type"));
        assert_eq!(ledger.entries().unwrap().len(), 2);
        ledger.clear().unwrap();
        assert!(same.entries().unwrap().is_empty());
    });
}

// The server.

/// Python's proxies may meet another object under their old id.
#[test]
fn a_new_server_at_the_same_place_has_none_of_the_old_ones_objects() {
    over_both(|| {
        let mut old = local();
        let address = old.address.clone();
        let before = old.client();
        let list = List::<u32>::create(&before, "list").unwrap();
        let handle = list.object().handle(Duration::from_secs(60)).unwrap();
        let guard = Lock::create(&before, "lock").unwrap().lock().unwrap();
        old.stop();
        let new = crate::support::run(Server::builder().address(address));
        // The connection is not made anew behind one's back: what was held through it is gone.
        assert!(matches!(list.push(&1), Err(ManagerError::Disconnected { .. })));
        assert!(matches!(list.push(&1), Err(ManagerError::Disconnected { maybe_done: false, .. })));
        assert!(matches!(list.iter().next(), Some(Err(ManagerError::Disconnected { .. }))));
        assert!(matches!(before.transaction(|_| Ok(())), Err(ManagerError::Disconnected { .. })));
        assert!(guard.is_lost());
        let after = new.client();
        assert!(matches!(List::<u32>::open(&after, "list"), Err(ManagerError::NotFound { .. })));
        let same_name = List::<u32>::create(&after, "list").unwrap();
        assert!(same_name.object().number() == list.object().number() && same_name.object() != list.object());
        assert!(matches!(handle.attach(&after), Err(ManagerError::Gone { .. })));
        let stored = Value::<Option<List<u32>>>::anonymous(&after, &None).unwrap();
        assert!(matches!(stored.set(&Some(list.clone())), Err(ManagerError::Encode { .. })));
        let mixed = after.transaction(|plan| plan.write(list.calls().push(&1)?));
        assert!(matches!(mixed, Err(ManagerError::Foreign { .. })));
        // Letting go of what was held disturbs nobody.
        drop((guard, list, before));
        assert!(same_name.is_empty().unwrap());
        drop(Lock::create(&after, "lock").unwrap().lock().unwrap());
    });
}
