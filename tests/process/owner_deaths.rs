//! Whoever starts processes dies: they end with it, and nothing is left.

use std::time::{Duration, Instant};

use procshare::process::{Executor, Pool, Process};
use procshare::{AtomicValue, Handle, Space};
use procshare_harness::{Reexec, Rng, entered, lead_group, living_of_group};

use crate::pool::square;
use crate::support::{Place, limited};

/// Adds, and takes a while.
#[procshare::task]
fn count(counter: Handle<AtomicValue<u64>>, times: u64) -> u64 {
    let counter = counter.attach().unwrap();
    (0..times).map(|_| counter.fetch_add(1).unwrap()).sum()
}

/// Starts processes and pools, and ends them, until it is killed.
#[test]
fn entry_owner() {
    let Some(argument) = entered("owner_deaths::entry_owner") else { return };
    let (directory, began): (std::path::PathBuf, Handle<AtomicValue<u32>>) =
        serde_json::from_str(&argument).unwrap();
    lead_group();
    let space = Space::at(directory).open().unwrap();
    let counter = AtomicValue::builder().space(&space).anonymous(0u64).unwrap();
    began.attach().unwrap().store(1).unwrap();
    for round in 0u64.. {
        let options = || Pool::builder().workers(2).space(&space);
        match round % 4 {
            0 => drop(Process::start::<count>((&counter, 1000)).unwrap().join().unwrap()),
            1 => {
                let pool = options().max_tasks_per_child(3).build().unwrap();
                pool.map::<square>(0..20u64).unwrap();
            }
            2 => {
                let pool = options().build().unwrap();
                let jobs = pool.starmap_async::<count>((0..10).map(|_| (&counter, 500u64))).unwrap();
                pool.apply::<square>((3,)).unwrap();
                drop(jobs);
            }
            _ => {
                let executor = Executor::with(options()).unwrap();
                drop(executor.submit::<count>((&counter, 500)).unwrap());
            }
        }
    }
}

/// Kills a starter so many times, each time at another moment.
fn kill_owners(count: u32, seed: u64) {
    let (place, mut random) = (Place::new(&format!("owners-{seed:x}")), Rng::new(seed));
    for round in 0..count {
        limited(|| {
            let began = AtomicValue::anonymous(0u32).unwrap();
            let argument = serde_json::to_string(&(place.space.directory(), began.handle())).unwrap();
            let owner = Reexec::new("owner_deaths::entry_owner").argument(argument).spawn().unwrap();
            while began.load() == 0 {
                std::thread::yield_now();
            }
            let until = Instant::now() + Duration::from_micros(random.below(60_000));
            while Instant::now() < until {
                std::thread::yield_now();
            }
            let leader = owner.pid();
            let _ = owner.kill();
            while !living_of_group(leader).is_empty() {
                std::thread::yield_now();
            }
            place.space.collect().unwrap();
            assert_eq!(place.objects(), Vec::<String>::new(), "round {round}, seed {seed:#x}");
        });
    }
}

#[test]
fn nothing_is_left_of_a_starter_that_is_killed() {
    kill_owners(20, 0xdead);
}

#[test]
#[ignore = "long: run by ci/long.sh"]
fn nothing_is_left_of_a_thousand_starters_that_are_killed() {
    for round in 0..20 {
        kill_owners(50, 0x2000 + round);
    }
}
