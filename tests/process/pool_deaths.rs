//! What a pool of workers does when they die: each task has exactly one outcome, and nothing is left.

use std::time::{Duration, Instant};

use procshare::process::{Exit, Failure, Pool, TaskError, active_children};
use procshare::{AtomicArray, Event, Handle};
use procshare_harness::Rng;

use crate::pool::{square, wait_for};
use crate::support::{Place, limited, state_of, until_gone};

#[procshare::task]
fn end_by(how: u32) -> u32 {
    match how {
        0 => panic!("out of luck"),
        1 => std::process::exit(7),
        // SAFETY: no pointers are passed.
        2 => unsafe { libc::kill(libc::getpid(), libc::SIGKILL) as u32 },
        other => other,
    }
}

#[test]
fn every_way_to_end_costs_exactly_that_task() {
    limited(|| {
        for chunk in [1, 4, 50] {
            let pool = Pool::builder().workers(2).chunk(chunk).build().unwrap();
            let items: Vec<u32> = (0..200).map(|n| if n % 29 < 3 { n % 29 } else { n + 100 }).collect();
            let outcomes = pool.try_map::<end_by>(items.iter().copied()).unwrap();
            for (item, outcome) in items.iter().zip(outcomes) {
                let right = match (item, &outcome) {
                    (0, Err(TaskError::Panicked { message, .. })) => message.contains("out of luck"),
                    (1, Err(TaskError::Died { exit, .. })) => *exit == Exit::Code(7),
                    (2, Err(TaskError::Died { exit, .. })) => *exit == Exit::Signal(9),
                    (other, Ok(back)) => back == other && *other > 2,
                    _ => false,
                };
                assert!(right, "chunks of {chunk}: {item}: {outcome:?}");
            }
            assert!(pool.progress().replaced >= 20);
        }
    });
}

#[procshare::task]
fn never_ready(why: u32) -> Result<(), Failure> {
    match why {
        0 => Err(Failure::new("no licence")),
        1 => panic!("no licence"),
        // SAFETY: no pointers are passed.
        _ => unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
            Ok(())
        },
    }
}

#[test]
fn a_failing_initialiser_ends_the_pool_with_its_reason() {
    limited(|| {
        for why in 0..3 {
            let options = Pool::builder().workers(2).initialiser::<never_ready>((why,));
            let pool = options.build().unwrap();
            let outcome = pool.map::<square>(0..1000u64);
            let Err(TaskError::InitialiserFailed { reason }) = &outcome else { panic!("{outcome:?}") };
            assert!(reason.contains(if why < 2 { "no licence" } else { "signal 9" }), "{reason}");
            assert!(pool.progress().replaced < 50, "no storm of processes");
            assert!(matches!(pool.apply::<square>((1,)), Err(TaskError::InitialiserFailed { .. })));
        }
    });
}

#[test]
fn an_idle_worker_is_replaced_too() {
    limited(|| {
        let pool = Pool::builder().workers(1).build().unwrap();
        for _ in 0..5 {
            assert_eq!(pool.apply::<square>((5,)).unwrap(), 25);
            let workers = pool.workers();
            // SAFETY: no pointers are passed; the pool's workers are this process's children, and not yet waited for.
            assert!(workers.iter().all(|&pid| unsafe { libc::kill(pid as i32, libc::SIGKILL) } == 0));
            while pool.workers() == workers {
                std::thread::yield_now();
            }
        }
        assert_eq!(pool.apply::<square>((6,)).unwrap(), 36);
    });
}

#[test]
fn a_stopped_worker_holds_up_nobody_else() {
    limited(|| {
        let (pool, go) = (Pool::builder().workers(2).build().unwrap(), Event::anonymous().unwrap());
        let slow = pool.apply_async::<wait_for>((&go,)).unwrap();
        while pool.progress().pending() != 1 || slow.is_done() {
            std::thread::yield_now();
        }
        let job = pool.apply_async::<square>((4,)).unwrap();
        assert_eq!(job.get().unwrap(), 16);
        go.set().unwrap();
        slow.get().unwrap();
    });
}

/// Counts its call, takes a while, and says what it was given.
#[procshare::task]
fn count_and_return(calls: Handle<AtomicArray<u32>>, index: usize, spins: u32) -> usize {
    calls.attach().unwrap().add(index, 1).unwrap();
    for turn in 0..spins {
        std::hint::black_box(turn);
    }
    index
}

/// Kills workers at random until `kills` have been killed, while tasks run, alone and in chunks; each must be called at most once, and
/// have an outcome that fits.
fn storm(kills: u32, seed: u64) {
    let place = Place::new(&format!("pool-storm-{seed:x}"));
    let mut random = Rng::new(seed);
    limited(|| {
        const TASKS: usize = 2_000;
        let pool = Pool::builder().workers(3).space(&place.space).window(300).build().unwrap();
        let (mut killed, mut died, mut rounds) = (0, 0, 0);
        while killed < kills {
            rounds += 1;
            let calls = AtomicArray::builder().space(&place.space).anonymous(vec![0u32; TASKS]).unwrap();
            let chunk_spins = 1 + random.below(20_000) as u32;
            let items = (0..TASKS).map(|index| (&calls, index, chunk_spins));
            let in_chunks = rounds % 2 == 0;
            let outcomes = std::thread::scope(|scope| {
                let running = scope.spawn(|| {
                    if in_chunks {
                        return pool.try_starmap::<count_and_return>(items).unwrap();
                    }
                    let jobs: Vec<_> =
                        items.map(|item| pool.apply_async::<count_and_return>(item).unwrap()).collect();
                    jobs.iter().map(|job| job.get()).collect::<Vec<_>>()
                });
                while !running.is_finished() && killed < kills {
                    let until = Instant::now() + Duration::from_micros(random.below(30_000));
                    while Instant::now() < until && !running.is_finished() {
                        std::thread::yield_now();
                    }
                    let workers = pool.workers();
                    if let Some(&pid) = workers.get(random.below(3) as usize) {
                        // SAFETY: no pointers are passed. A worker that ended just now has its number until the pool has noticed.
                        killed += u32::from(
                            state_of(pid).is_some() && unsafe { libc::kill(pid as i32, libc::SIGKILL) } == 0,
                        );
                    }
                }
                running.join().unwrap()
            });
            for (index, outcome) in outcomes.into_iter().enumerate() {
                let calls = calls.get(index).unwrap();
                match outcome {
                    Ok(back) => assert_eq!((back, calls), (index, 1), "seed {seed:#x}"),
                    Err(TaskError::Died { exit: Exit::Signal(9), .. }) => {
                        died += 1;
                        assert!(calls <= 1, "task {index} was called {calls} times, seed {seed:#x}");
                    }
                    Err(other) => panic!("{other}, seed {seed:#x}"),
                }
            }
        }
        assert!(died <= killed, "{died} tasks for {killed} kills in {rounds} rounds, seed {seed:#x}");
        let workers = pool.workers();
        drop(pool);
        workers.into_iter().for_each(until_gone);
    });
    assert_eq!(place.objects(), Vec::<String>::new());
}

#[test]
fn under_random_kills_each_task_has_one_outcome() {
    storm(60, 0x5eed);
    assert!(active_children().iter().all(|child| !child.name.starts_with("storm")));
}

#[test]
#[ignore = "long: run by ci/long.sh"]
fn under_two_thousand_random_kills_each_task_has_one_outcome() {
    for round in 0..20 {
        storm(100, 0x1000 + round);
    }
}
