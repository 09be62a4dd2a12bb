//! Many calls at once, and many threads of one connection.

use procshare::manager::{Dict, Limits, List, ManagerError, Queue};

use crate::support::{limited, local, over_both};

#[test]
fn a_pipeline_answers_in_order_and_each_call_fails_by_itself() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let (dict, list) =
            (Dict::<u32, i64>::anonymous(&manager).unwrap(), List::<i64>::anonymous(&manager).unwrap());
        let text = Dict::<u32, String>::from_object(dict.object().clone());
        text.set(&7, &"no number".into()).unwrap();
        let mut pipeline = manager.pipeline();
        for key in 0..1000u32 {
            // Neighbours of one method, of two objects, and one that cannot be done.
            pipeline.add(dict.calls().add(&(key % 10), &1).unwrap()).unwrap();
            if key % 100 == 0 {
                pipeline
                    .add(Dict::<u32, i64>::from_object(list.object().clone()).calls().add(&key, &1).unwrap())
                    .unwrap();
            }
        }
        assert_eq!(pipeline.len(), 1010);
        let mut results = pipeline.run().into_iter();
        for key in 0..1000u32 {
            let result = results.next().unwrap();
            match key % 10 {
                7 => assert!(matches!(result, Err(ManagerError::Arithmetic { .. })), "{result:?}"),
                _ => assert_eq!(result.unwrap(), i64::from(key / 10) + 1),
            }
            if key % 100 == 0 {
                assert!(results.next().unwrap().is_err(), "a list has no keys");
            }
        }
        assert!(results.next().is_none());
    });
}

#[test]
fn a_pipeline_keeps_its_objects_and_does_nothing_until_it_runs() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let kept = Dict::<String, u32>::anonymous(&manager).unwrap();
        let mut pipeline = manager.pipeline();
        assert!(pipeline.is_empty());
        pipeline.add(kept.calls().set("a", &1).unwrap()).unwrap();
        drop(pipeline);
        assert_eq!(kept.len().unwrap(), 0);
        let mut pipeline = manager.pipeline();
        pipeline.add(List::<u32>::anonymous(&manager).unwrap().calls().len().unwrap()).unwrap();
        pipeline.add(kept.calls().len().unwrap()).unwrap();
        manager.ping().unwrap();
        let found: Vec<u64> = pipeline.run().into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [0, 0]);
    });
}

#[test]
fn a_call_that_is_too_long_is_not_added_and_the_others_are_done() {
    over_both(|| {
        let server = limited(Limits { frame: 10_000, ..Limits::default() });
        let manager = server.client();
        let dict = Dict::<u32, String>::anonymous(&manager).unwrap();
        let mut pipeline = manager.pipeline();
        for key in 0..20 {
            let value = "x".repeat(if key == 5 { 10_000 } else { 900 });
            let added = pipeline.add(dict.calls().set(&key, &value).unwrap());
            assert_eq!(added.is_ok(), key != 5);
            assert!(matches!(added, Ok(()) | Err(ManagerError::Limit { .. })));
        }
        assert!(pipeline.run().into_iter().all(|result| result.is_ok()));
        assert_eq!(dict.len().unwrap(), 19);
    });
}

#[test]
fn more_than_the_rings_hold_goes_both_ways() {
    over_both(|| {
        let server = limited(Limits { ring: 4096, ..Limits::default() });
        let manager = server.client();
        let dict = Dict::<u32, String>::anonymous(&manager).unwrap();
        let value = |key: u32| format!("{key}").repeat(1000);
        std::thread::scope(|scope| {
            for thread in 0..3u32 {
                let (manager, dict) = (manager.clone(), dict.clone());
                scope.spawn(move || {
                    let keys = thread * 1000..thread * 1000 + 300;
                    let mut pipeline = manager.pipeline();
                    for key in keys.clone() {
                        pipeline.add(dict.calls().insert(&key, &value(key)).unwrap()).unwrap();
                    }
                    assert!(pipeline.run().into_iter().all(|before| before.unwrap().is_none()));
                    let mut pipeline = manager.pipeline();
                    for key in keys.clone() {
                        pipeline.add(dict.calls().get(&key).unwrap()).unwrap();
                    }
                    for (key, found) in keys.zip(pipeline.run()) {
                        assert_eq!(found.unwrap(), Some(value(key)));
                    }
                });
            }
        });
    });
}

#[test]
fn threads_of_one_connection_call_wait_and_pipeline_at_once() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let dict = Dict::<u32, u32>::anonymous(&manager).unwrap();
        let queue = Queue::<u32>::anonymous(&manager, None).unwrap();
        let (manager, dict, queue) = (&manager, &dict, &queue);
        std::thread::scope(|scope| {
            for thread in 0..2u32 {
                scope.spawn(move || {
                    for round in 0..50 {
                        let mut pipeline = manager.pipeline();
                        for _ in 0..40 {
                            pipeline.add(dict.calls().add(&thread, &1).unwrap()).unwrap();
                        }
                        let last = pipeline.run().into_iter().map(Result::unwrap).last();
                        assert_eq!(last, Some(40 * (round + 1)));
                    }
                });
                scope.spawn(move || {
                    // Waits in the server while others call.
                    let mut sum = 0;
                    for _ in 0..50 {
                        sum += queue.get().unwrap();
                    }
                    dict.set(&(10 + thread), &sum).unwrap();
                });
                scope.spawn(move || {
                    for item in 0..50 {
                        queue.put(item).unwrap();
                        let pending = dict.calls().get(&99).unwrap().send().unwrap();
                        assert!(dict.len().unwrap() <= 4);
                        assert_eq!(pending.wait().unwrap(), None);
                    }
                });
            }
        });
        let sums: u32 = [10, 11].into_iter().map(|key| dict.get(&key).unwrap().unwrap()).sum();
        assert_eq!(sums, 2 * (0..50).sum::<u32>());
    });
}

#[test]
fn a_pipeline_to_a_server_that_has_ended_says_so() {
    over_both(|| {
        let mut server = local();
        let manager = server.client();
        let dict = Dict::<u32, u32>::anonymous(&manager).unwrap();
        let mut pipeline = manager.pipeline();
        (0..300).for_each(|key| pipeline.add(dict.calls().set(&key, &1).unwrap()).unwrap());
        server.stop();
        let lost = |error: &ManagerError| matches!(error, ManagerError::Disconnected { .. });
        assert!(pipeline.run().iter().all(|result| result.as_ref().is_err_and(lost)));
    });
}
