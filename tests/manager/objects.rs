//! What proxies do when nothing goes wrong.

use std::collections::HashMap;
use std::time::Duration;

use procshare::LockError;
use procshare::manager::*;
use serde::{Deserialize, Serialize};

use crate::support::{eventually, local, over_both, run, tcp};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Job {
    name: String,
    tags: Vec<String>,
    limit: Option<f64>,
    state: State,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum State {
    New,
    Running { worker: u32 },
    Done(String),
}

fn job(name: &str, state: State) -> Job {
    Job { name: name.into(), tags: vec!["a".into(), "b".into()], limit: Some(0.5), state }
}

#[test]
fn a_dict_carries_what_serde_carries() {
    over_both(|| {
        let server = local();
        let (one, other) = (server.client(), server.client());
        let jobs = Dict::<u32, Job>::create(&one, "jobs").unwrap();
        let same = Dict::<u32, Job>::open(&other, "jobs").unwrap();
        for (id, state) in
            [State::New, State::Running { worker: 3 }, State::Done("ok".into())].into_iter().enumerate()
        {
            assert_eq!(jobs.insert(&(id as u32), &job("j", state.clone())).unwrap(), None);
            assert_eq!(same.get(&(id as u32)).unwrap(), Some(job("j", state)));
        }
        assert!(matches!(Dict::<u32, Job>::create(&other, "jobs"), Err(ManagerError::AlreadyExists { .. })));
        assert!(matches!(List::<u32>::open(&other, "jobs"), Err(ManagerError::WrongKind { .. })));
        assert!(matches!(Dict::<u32, u32>::open(&other, "none"), Err(ManagerError::NotFound { .. })));
        let wrong = Dict::<u32, u64>::open(&other, "jobs").unwrap();
        assert!(matches!(wrong.get(&1), Err(ManagerError::Decode { .. })));
        assert_eq!(same.remove(&1).unwrap(), Some(job("j", State::Running { worker: 3 })));
        assert_eq!((jobs.len().unwrap(), jobs.contains(&1).unwrap()), (2, false));
    });
}

#[test]
fn mixed_content_as_in_the_tutorials() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let dict = Dict::<Any, Any>::anonymous(&manager).unwrap();
        let pairs: [(Any, Any); 3] =
            [(0.25.into(), Any::Nil), (1.into(), "1".into()), ("2".into(), 2.into())];
        dict.extend(&pairs).unwrap();
        assert_eq!(dict.snapshot().unwrap(), pairs);
        assert_eq!(dict.get(&Any::Float(1.0)).unwrap(), Some("1".into()));
        for value in
            [Any::Uint(u64::MAX), Any::Bytes(vec![1, 2]), Any::Extension(7, vec![9; 5]), Any::Bool(true)]
        {
            dict.set(&Any::Nil, &value).unwrap();
            assert_eq!(dict.get(&Any::Nil).unwrap(), Some(value));
        }
    });
}

#[test]
fn a_dict_is_a_hash_map() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let dict = Dict::<u8, i64>::anonymous(&manager).unwrap();
        let mut model = HashMap::<u8, i64>::new();
        let mut random = 3u64;
        for step in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (key, value) = ((random >> 40) as u8 % 20, (random >> 50) as i64);
            match (random >> 33) % 7 {
                0 => assert_eq!(dict.insert(&key, &value).unwrap(), model.insert(key, value)),
                1 => assert_eq!(dict.remove(&key).unwrap(), model.remove(&key)),
                2 => assert_eq!(dict.get(&key).unwrap(), model.get(&key).copied()),
                3 => {
                    let sum = model.entry(key).or_insert(0);
                    *sum += value;
                    assert_eq!(dict.add(&key, &value).unwrap(), *sum);
                }
                4 => {
                    let there = *model.entry(key).or_insert(value);
                    assert_eq!(dict.get_or_insert(&key, &value).unwrap(), there);
                }
                5 => {
                    let there = model.get(&key).copied();
                    let done = dict.compare_and_swap(&key, Some(&value), Some(&1)).unwrap();
                    assert_eq!(done, if there == Some(value) { Ok(()) } else { Err(there) });
                    if done.is_ok() {
                        model.insert(key, 1);
                    }
                }
                _ => {
                    let new =
                        dict.update(&key, |there| there.map(|there| there / 2).filter(|half| *half > 0));
                    let half = model.get(&key).map(|there| there / 2).filter(|half| *half > 0);
                    assert_eq!(new.unwrap(), half);
                    match half {
                        Some(half) => model.insert(key, half),
                        None => model.remove(&key),
                    };
                }
            }
            assert_eq!(dict.len().unwrap(), model.len() as u64, "step {step}");
        }
        assert_eq!(dict.iter().collect::<Result<HashMap<_, _>, _>>().unwrap(), model);
    });
}

#[test]
fn lists_values_arrays_and_namespaces() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let list = List::<String>::create(&manager, "list").unwrap();
        list.extend(&["b".into(), "a".into(), "c".into()]).unwrap();
        list.sort(true).unwrap();
        assert_eq!(list.slice(0..2).unwrap(), ["c", "b"]);
        assert_eq!(
            (list.pop_front().unwrap(), list.index_of(&"a".into()).unwrap()),
            (Some("c".into()), Some(1))
        );
        assert!(matches!(list.remove(9), Err(ManagerError::OutOfRange { .. })));
        let many = List::<u64>::anonymous(&manager).unwrap();
        many.extend(&(0..5000).collect::<Vec<_>>()).unwrap();
        assert!(many.iter().map(Result::unwrap).eq(0..5000));

        let value = Value::<Vec<u8>>::create(&manager, "value", &vec![1]).unwrap();
        assert_eq!(value.set(&vec![2, 3]).unwrap(), [1]);
        value.update(|there| there.iter().map(|byte| byte * 2).collect()).unwrap();
        assert_eq!(Value::<Vec<u8>>::open(&manager, "value").unwrap().get().unwrap(), [4, 6]);

        let array = Array::<f64>::anonymous(&manager, &[0.0; 4]).unwrap();
        array.set_slice(1, &[1.5, 2.5]).unwrap();
        assert_eq!((array.add(1, &1.0).unwrap(), array.snapshot().unwrap()), (2.5, vec![0.0, 2.5, 2.5, 0.0]));
        assert!(matches!(array.set_slice(3, &[0.0, 0.0]), Err(ManagerError::OutOfRange { .. })));

        let space = Namespace::create(&manager, "config").unwrap();
        space.set("threads", &4u32).unwrap();
        space.set("host", "localhost").unwrap();
        assert_eq!(
            (space.get::<u32>("threads").unwrap(), space.get::<String>("none").unwrap()),
            (Some(4), None)
        );
        assert!(space.remove("host").unwrap() && !space.contains("host").unwrap());
    });
}

#[test]
fn nested_objects_are_references_and_live_as_long_as_they_are_referred_to() {
    over_both(|| {
        let server = local();
        let (one, other) = (server.client(), server.client());
        let outer = Dict::<String, List<u32>>::create(&one, "outer").unwrap();
        let inner = List::<u32>::anonymous(&one).unwrap();
        outer.set("inner", &inner).unwrap();
        inner.push(&1).unwrap();
        drop(inner);
        let found = Dict::<String, List<u32>>::open(&other, "outer").unwrap().get("inner").unwrap().unwrap();
        found.push(&2).unwrap();
        assert_eq!(outer.get("inner").unwrap().unwrap().snapshot().unwrap(), [1, 2]);
        outer.clear().unwrap();
        assert_eq!(found.len().unwrap(), 2, "the proxy keeps it");
        drop(found);
        eventually("the list is gone", || one.stats().unwrap().objects == 1);
        // Without a manager's value around it a proxy does not serialise: it would keep nothing.
        assert!(serde_json::to_string(&outer).is_err());
    });
}

#[test]
fn a_handle_keeps_its_object_on_the_way() {
    over_both(|| {
        let server = local();
        let (one, other) = (server.client(), server.client());
        let list = List::<u32>::anonymous(&one).unwrap();
        list.push(&7).unwrap();
        let text = serde_json::to_string(&list.object().handle(Duration::from_secs(60)).unwrap()).unwrap();
        drop(list);
        drop(one);
        let handle: ProxyHandle = serde_json::from_str(&text).unwrap();
        let list = List::<u32>::from_object(handle.attach(&other).unwrap());
        assert_eq!(list.snapshot().unwrap(), [7]);
        assert!(matches!(handle.attach(&other), Err(ManagerError::Gone { .. })));
    });
}

#[test]
fn locks_exclude_threads_and_clients() {
    over_both(|| {
        for server in [local(), tcp()] {
            let manager = server.client();
            let lock = Lock::create(&manager, "lock").unwrap();
            let total = Value::<u64>::create(&manager, "total", &0).unwrap();
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let manager = if thread % 2 == 0 { manager.clone() } else { server.client() };
                    scope.spawn(move || {
                        let lock = Lock::open(&manager, "lock").unwrap();
                        let total = Value::<u64>::open(&manager, "total").unwrap();
                        for _ in 0..50 {
                            let _guard = lock.lock().unwrap();
                            let there = total.get().unwrap();
                            total.set(&(there + 1)).unwrap();
                        }
                    });
                }
            });
            assert_eq!(total.get().unwrap(), 200);
            let guard = lock.lock().unwrap();
            assert!(matches!(lock.lock(), Err(LockError::Deadlock)));
            assert!(!guard.is_lost() && lock.is_locked().unwrap());
            let fence = guard.fence();
            guard.forget().unwrap();
            assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
            lock.release().unwrap();
            let guard = lock.lock_timeout(Duration::from_secs(5)).unwrap();
            assert!(guard.fence() > fence);
            guard.unlock().unwrap();
            let panicked = std::panic::catch_unwind(|| {
                let _guard = lock.lock().unwrap();
                panic!("while it holds the lock");
            });
            assert!(panicked.is_err());
            let Err(LockError::OwnerDied(outcome)) = lock.lock() else { panic!("nobody was told") };
            assert_eq!(outcome.cause(), procshare::Cause::Panicked);
            outcome.into_guard().make_consistent().unwrap();
            drop(lock.lock().unwrap());
        }
    });
}

#[test]
fn a_blocking_call_blocks_no_other_call_of_its_connection() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let event = Event::create(&manager, "event").unwrap();
        let queue = Queue::<u32>::create(&manager, "queue", None).unwrap();
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| event.wait().unwrap())).collect();
            let getter = scope.spawn(|| queue.get().unwrap());
            eventually("all wait", || manager.stats().unwrap().waiting == 5);
            queue.put(5).unwrap();
            assert_eq!(getter.join().unwrap(), 5);
            event.set().unwrap();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
        assert!(event.wait_timeout(Duration::from_secs(5)).unwrap());
        event.clear().unwrap();
        assert!(!event.wait_timeout(Duration::from_millis(20)).unwrap());
    });
}

#[test]
fn conditions_barriers_and_semaphores() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let lock = Lock::anonymous(&manager).unwrap();
        let (condition, ready) =
            (Condition::over(&manager, &lock).unwrap(), Value::anonymous(&manager, &false).unwrap());
        let barrier = Barrier::anonymous(&manager, 3).unwrap();
        let semaphore = BoundedSemaphore::anonymous(&manager, 2).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let guard = lock.lock().unwrap();
                    let guard = condition.wait_while(guard, || !ready.get().unwrap()).unwrap();
                    drop(guard);
                    barrier.wait().unwrap();
                });
            }
            eventually("both sleep", || manager.stats().unwrap().waiting == 2);
            let guard = lock.lock().unwrap();
            ready.set(&true).unwrap();
            assert_eq!(condition.notify_all().unwrap(), 2);
            drop(guard);
            barrier.wait().unwrap();
        });
        assert!(matches!(condition.notify_one(), Err(ManagerError::NotHeld { .. })));
        let guard = lock.lock().unwrap();
        let (guard, result) = condition.wait_timeout(guard, Duration::from_millis(10)).unwrap();
        assert!(result.timed_out());
        guard.unlock().unwrap();
        let permits = [semaphore.acquire().unwrap(), semaphore.try_acquire().unwrap()];
        assert!(matches!(semaphore.try_acquire(), Err(ManagerError::WouldBlock)));
        assert!(matches!(semaphore.acquire_timeout(Duration::from_millis(5)), Err(ManagerError::TimedOut)));
        drop(permits);
        assert_eq!(semaphore.available().unwrap(), 2);
        assert!(matches!(semaphore.release(1), Err(ManagerError::OutOfRange { .. })));
        assert!(matches!(barrier.wait_timeout(Duration::from_millis(5)), Err(ManagerError::Broken { .. })));
        assert!(barrier.is_broken().unwrap());
        barrier.reset().unwrap();
        assert_eq!((barrier.is_broken().unwrap(), barrier.parties().unwrap()), (false, 3));
    });
}

#[test]
fn queues_hand_every_item_to_one() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let queue = Queue::<u32>::create(&manager, "queue", Some(8)).unwrap();
        let seen = std::thread::scope(|scope| {
            let getters: Vec<_> = (0..3)
                .map(|_| {
                    let manager = server.client();
                    scope.spawn(move || {
                        let queue = Queue::<u32>::open(&manager, "queue").unwrap();
                        std::iter::from_fn(|| queue.get().ok()).collect::<Vec<_>>()
                    })
                })
                .collect();
            (0..500).for_each(|item| queue.put(item).unwrap());
            queue.close().unwrap();
            let mut seen: Vec<u32> = getters.into_iter().flat_map(|getter| getter.join().unwrap()).collect();
            seen.sort_unstable();
            seen
        });
        assert!(seen.into_iter().eq(0..500));
        assert!(matches!(queue.put(1), Err(procshare::PutError::Closed(1))));

        let tasks = JoinableQueue::<String>::anonymous(&manager, None).unwrap();
        tasks.put("a".into()).unwrap();
        let task = tasks.get().unwrap();
        assert!(matches!(tasks.join_timeout(Duration::from_millis(5)), Err(ManagerError::TimedOut)));
        task.give_back().unwrap();
        assert_eq!(*tasks.get().unwrap(), "a", "and done at once");
        tasks.join().unwrap();
        assert!(matches!(tasks.try_get(), Err(procshare::GetError::Empty)));
    });
}

#[test]
fn batches_and_transactions() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let dict = Dict::<u32, u32>::create(&manager, "dict").unwrap();
        let calls = (0..1000).map(|key| dict.calls().set(&key, &(key * 2)).unwrap()).collect();
        assert!(manager.batch(calls).unwrap().into_iter().all(|result| result.is_ok()));
        let gets = (0..1000).map(|key| dict.calls().get(&key).unwrap()).collect();
        let got: Vec<_> =
            manager.batch(gets).unwrap().into_iter().map(|found| found.unwrap().unwrap()).collect();
        assert!(got.into_iter().eq((0..1000).map(|key| key * 2)));
        let first = dict.calls().get(&1).unwrap().send().unwrap();
        let dropped = dict.calls().get(&2).unwrap().send().unwrap();
        drop(dropped);
        assert_eq!(first.wait().unwrap(), Some(2));

        // Two accounts: whatever is moved, the sum stays.
        let (a, b) =
            (Value::create(&manager, "a", &500i64).unwrap(), Value::create(&manager, "b", &500i64).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..4i64 {
                let manager = server.client();
                scope.spawn(move || {
                    let a = Value::<i64>::open(&manager, "a").unwrap();
                    let b = Value::<i64>::open(&manager, "b").unwrap();
                    for step in 0..25 {
                        manager
                            .transaction(|plan| {
                                let (in_a, in_b) =
                                    (plan.read(a.calls().get()?)?, plan.read(b.calls().get()?)?);
                                let amount = (thread * 7 + step) % 13 - 6;
                                plan.write(a.calls().set(&(in_a - amount))?)?;
                                plan.write(b.calls().set(&(in_b + amount))?)
                            })
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(a.get().unwrap() + b.get().unwrap(), 1000);
        let failed = manager.transaction(|plan| {
            plan.write(a.calls().set(&0)?)?;
            plan.write(dict.calls().add(&0, &u32::MAX)?)?;
            plan.write(List::<u32>::from_object(dict.object().clone()).calls().push(&1)?)
        });
        assert!(failed.is_err());
        assert!(a.get().unwrap() != 0 && dict.get(&0).unwrap() == Some(0), "nothing was done");
    });
}

struct Counter(i64);

impl Managed for Counter {
    fn call(&mut self, method: &str, arguments: &mut CallArguments<'_>) -> Result<Returned, CallError> {
        match method {
            "add" => {
                self.0 += arguments.take::<i64>()?;
                Returned::new(&self.0)
            }
            "fail" => panic!("on purpose"),
            _ => Err(CallError(format!("no method '{method}'"))),
        }
    }
}

#[test]
fn registered_types_are_called_by_name() {
    over_both(|| {
        let builder = Server::builder()
            .address(Address::Unix(crate::support::path("own")))
            .register("counter", |arguments| Ok(Counter(arguments.take()?)));
        let server = run(builder);
        let manager = server.client();
        let counter = manager.create("counter", Some("hits"), &40).unwrap();
        assert_eq!(counter.call::<i64>("add", &[&2]).unwrap(), 42);
        assert_eq!(manager.open("hits").unwrap().kind(), "counter");
        assert!(
            matches!(counter.call::<i64>("add", &[&"x"]), Err(ManagerError::Remote { kind, .. }) if kind == "own")
        );
        assert!(
            matches!(counter.call::<i64>("none", &[]), Err(ManagerError::Remote { kind, .. }) if kind == "own")
        );
        for _ in 0..2 {
            let error = counter.call::<i64>("fail", &[]).unwrap_err();
            assert!(matches!(error, ManagerError::Remote { kind, .. } if kind == "panicked"));
        }
        assert!(manager.stats().unwrap().kinds.contains(&"counter".into()));
        assert!(matches!(manager.create("none", None, &1), Err(ManagerError::NotFound { .. })));
    });
}

#[test]
fn what_there_is_can_be_listed() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let _dict = Dict::<u32, u32>::create(&manager, "d").unwrap();
        let list = List::<u32>::anonymous(&manager).unwrap();
        list.push(&1).unwrap();
        let all = manager.objects().unwrap();
        let seen: Vec<_> = all.iter().map(|o| (o.kind.as_str(), o.name.as_deref(), o.len)).collect();
        assert_eq!(seen, [("dict", Some("d"), Some(0)), ("list", None, Some(1))]);
    });
}
