//! Many clients at once, some of which are killed: what was acknowledged is there, and nothing is left over.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use procshare::LockError;
use procshare::manager::*;

use crate::support::{Running, connect, eventually, follow, local, over_both};

const CLIENTS: u64 = 6;
const ROUNDS: u64 = 40;

fn worker(server: &Running, number: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["storm::be_a_worker", "--exact", "--ignored", "--nocapture"])
        .env("PROCSHARE_TEST_ADDRESS", server.address.to_string())
        .env("PROCSHARE_TEST_TRANSPORT", server.transport.to_string())
        .env("PROCSHARE_TEST_NUMBER", number.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

/// Under a lock it writes the same number in two places, which differ only while somebody is between the writes; after each round it
/// says what has been acknowledged.
#[test]
#[ignore = "run by the other one, as another process"]
fn be_a_worker() {
    let Ok(address) = std::env::var("PROCSHARE_TEST_ADDRESS") else { return };
    let number: u64 = std::env::var("PROCSHARE_TEST_NUMBER").unwrap().parse().unwrap();
    follow(std::env::var("PROCSHARE_TEST_TRANSPORT").unwrap().parse().unwrap());
    let manager = connect(&address.parse().unwrap()).unwrap();
    let lock = Lock::open(&manager, "lock").unwrap();
    let pair = Namespace::open(&manager, "pair").unwrap();
    let counts = Dict::<u64, u64>::open(&manager, "counts").unwrap();
    let tasks = JoinableQueue::<u64>::open(&manager, "tasks").unwrap();
    let done = Dict::<u64, u64>::open(&manager, "done").unwrap();
    for _ in 0.. {
        let guard = lock.lock().or_else(|error| match error {
            LockError::OwnerDied(outcome) => {
                let guard = outcome.into_guard();
                let first: u64 = pair.get("first").unwrap().unwrap();
                pair.set("second", &first).unwrap();
                guard.make_consistent().unwrap();
                Ok(guard)
            }
            other => Err(other),
        });
        let guard = guard.unwrap();
        let (first, second): (u64, u64) =
            (pair.get("first").unwrap().unwrap(), pair.get("second").unwrap().unwrap());
        assert_eq!(first, second, "somebody else was inside");
        pair.set("first", &(first + 1)).unwrap();
        pair.set("second", &(first + 1)).unwrap();
        drop(guard);
        let _nested = List::<u64>::anonymous(&manager).unwrap();
        if let Ok(task) = tasks.try_get() {
            done.add(&*task, &1).unwrap();
            task.done().unwrap();
        }
        println!("counted {}", counts.add(&number, &1).unwrap());
    }
}

#[test]
fn no_acknowledged_write_is_lost_and_nothing_stays_locked() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let lock = Lock::create(&manager, "lock").unwrap();
        let pair = Namespace::create(&manager, "pair").unwrap();
        pair.set("first", &0u64).unwrap();
        pair.set("second", &0u64).unwrap();
        let counts = Dict::<u64, u64>::create(&manager, "counts").unwrap();
        let tasks = JoinableQueue::<u64>::create(&manager, "tasks", None).unwrap();
        let done = Dict::<u64, u64>::create(&manager, "done").unwrap();
        (0..100).for_each(|task| tasks.put(task).unwrap());

        let mut acknowledged = vec![0u64; (CLIENTS + ROUNDS) as usize];
        let mut crew: Vec<(u64, Child, BufReader<ChildStdout>)> = (0..CLIENTS)
            .map(|number| {
                let (child, out) = worker(&server, number);
                (number, child, out)
            })
            .collect();
        let mut random = 5u64;
        for round in 0..ROUNDS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 33) as usize % crew.len();
            // It has worked for a while, and is killed somewhere in the next rounds.
            let (number, mut child, mut out) = crew.swap_remove(at);
            let last = read_counts(&mut out, 1 + (random >> 40) % 20);
            child.kill().unwrap();
            let rest = read_counts(&mut out, u64::MAX);
            assert!(!child.wait().unwrap().success());
            acknowledged[number as usize] = last.max(rest);
            let (child, out) = worker(&server, CLIENTS + round);
            crew.push((CLIENTS + round, child, out));
        }
        for (number, mut child, mut out) in crew {
            let last = read_counts(&mut out, 3);
            child.kill().unwrap();
            acknowledged[number as usize] = last.max(read_counts(&mut out, u64::MAX));
            child.wait().unwrap();
        }
        eventually("all are gone", || manager.stats().unwrap().clients == 1);
        for (number, &acknowledged) in acknowledged.iter().enumerate() {
            let counted = counts.get(&(number as u64)).unwrap().unwrap_or(0);
            // The last one may have been done and not told.
            assert!(
                (acknowledged..=acknowledged + 1).contains(&counted),
                "{number}: {acknowledged}, {counted}"
            );
        }
        drop(lock.lock_timeout(Duration::from_secs(5)).or_else(LockError::into_guard).unwrap());
        while let Ok(task) = tasks.try_get() {
            done.add(&*task, &1).unwrap();
            task.done().unwrap();
        }
        tasks.join().unwrap();
        let done = done.snapshot().unwrap();
        assert_eq!(done.len(), 100, "every task was done");
        assert_eq!(manager.stats().unwrap().objects, 5, "no list of the dead is left");
        assert_eq!(manager.stats().unwrap().waiting, 0);
    });
}

/// Reads so many lines, or to the end; the last count that was told.
fn read_counts(out: &mut BufReader<ChildStdout>, most: u64) -> u64 {
    let (mut last, mut seen, mut line) = (0, 0, String::new());
    while seen < most && out.read_line(&mut line).unwrap() > 0 {
        // A line that was cut by the kill was not told.
        if let Some(count) = line.strip_suffix('\n').and_then(|line| line.split("counted ").nth(1)) {
            last = count.parse().unwrap();
            seen += 1;
        }
        line.clear();
    }
    last
}
