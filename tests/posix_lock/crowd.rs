//! Rust and C processes count under one lock while random ones are killed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use procshare::{LockError, PosixLock, SharedMemory};
use procshare_harness::{Child, Rng, watchdog};

use crate::peer::{Running, Scene};

// The table: words of 64 bits. Two counters that are raised one after the other (different only after a death between), how
// often somebody was told of a death, whether to stop, whether somebody found the counters apart without having been told,
// and what each seat has counted and survived.
const LEFT: usize = 0;
const RIGHT: usize = 1;
const TOLD: usize = 2;
const STOP: usize = 3;
const BROKEN: usize = 4;
const NOTED: usize = 5;

/// Seats of Rust processes; as many more are of C programs.
const RUST: usize = 2;
const SEATS: usize = 2 * RUST;

fn get(table: &SharedMemory, word: usize) -> u64 {
    let mut bytes = [0; 8];
    table.read(word * 8, &mut bytes).unwrap();
    u64::from_ne_bytes(bytes)
}

fn set(table: &SharedMemory, word: usize, value: u64) {
    table.write(word * 8, &value.to_ne_bytes()).unwrap();
}

fn raise(table: &SharedMemory, word: usize) {
    set(table, word, get(table, word) + 1);
}

/// What the C peer does, too.
fn count(lock: &PosixLock, table: &SharedMemory, seat: usize) -> Result<(), String> {
    while get(table, STOP) == 0 {
        let guard = match lock.lock() {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(outcome)) => {
                raise(table, TOLD);
                set(table, RIGHT, get(table, LEFT));
                let guard = outcome.into_guard();
                guard.make_consistent();
                guard
            }
            Err(other) => return Err(other.to_string()),
        };
        if get(table, LEFT) != get(table, RIGHT) {
            set(table, BROKEN, 1);
        }
        raise(table, LEFT);
        raise(table, RIGHT);
        drop(guard);
        raise(table, NOTED + seat);
    }
    Ok(())
}

/// Who sits somewhere.
enum Process {
    Rust(Child),
    C(Running),
}

fn start(scene: &Scene, seat: usize) -> Option<Process> {
    if seat < RUST {
        return Some(Process::Rust(Child::fork(|| count(&scene.lock, &scene.table, seat))));
    }
    scene.start(&["count", &seat.to_string()]).map(Process::C)
}

impl Process {
    fn kill(self) {
        match self {
            Process::Rust(child) => {
                let _ = child.kill();
            }
            Process::C(running) => running.kill(),
        }
    }

    fn finish(self) {
        match self {
            Process::Rust(child) => child.wait(Duration::from_secs(20)).unwrap(),
            Process::C(running) => running.finish(),
        }
    }

    /// Nobody ends before being told to.
    fn must_run(&mut self) {
        match self {
            Process::Rust(child) => assert!(child.try_wait().is_none(), "a Rust process ended by itself"),
            Process::C(running) => assert_eq!(running.complaint(), None),
        }
    }
}

/// Waits until the count has moved on: nobody is stuck behind the dead.
fn await_progress(scene: &Scene, sitting: &mut [Process]) {
    let (before, since) = (get(&scene.table, LEFT), Instant::now());
    // Two turns: the first may be that of the killed one, seen late.
    while get(&scene.table, LEFT) < before + 2 {
        sitting.iter_mut().for_each(Process::must_run);
        assert!(since.elapsed() < Duration::from_secs(10), "no turn for ten seconds after a death");
        std::thread::yield_now();
    }
}

fn rages(kills: u64) {
    let scene = Scene::new();
    let Some(mut sitting) = (0..SEATS).map(|seat| start(&scene, seat)).collect::<Option<Vec<_>>>() else {
        return;
    };
    let mut rng = Rng::new(Rng::seed_from_env());
    for _ in 0..kills {
        await_progress(&scene, &mut sitting);
        spin(rng.below(300));
        let seat = rng.below(SEATS as u64) as usize;
        sitting.swap_remove(seat).kill();
        sitting.push(start(&scene, seat).unwrap());
        let last = sitting.len() - 1;
        sitting.swap(seat, last);
    }
    await_progress(&scene, &mut sitting);
    set(&scene.table, STOP, 1);
    sitting.into_iter().for_each(Process::finish);
    drop(scene.lock.lock().or_else(LockError::into_guard).unwrap());

    let (left, right) = (get(&scene.table, LEFT), get(&scene.table, RIGHT));
    let noted: u64 = (0..SEATS).map(|seat| get(&scene.table, NOTED + seat)).sum();
    let told = get(&scene.table, TOLD);
    println!("{kills} kills, {left} turns, {told} told");
    assert_eq!(get(&scene.table, BROKEN), 0, "somebody found a torn count without being told of a death");
    assert_eq!(left, right);
    // Who is killed may have counted once without noting it.
    assert!((noted..=noted + kills).contains(&left), "{left} counted, {noted} noted, {kills} killed");
    assert!(told > 0 && told <= kills, "told of {told} deaths, {kills} were killed");
}

/// Lets the others run for some moments of a random length.
fn spin(moments: u64) {
    let word = AtomicU64::new(0);
    for _ in 0..moments * 100 {
        word.fetch_add(1, Relaxed);
    }
}

#[test]
fn the_survivors_are_told_and_no_turn_is_lost_or_torn() {
    watchdog(Duration::from_secs(120), || rages(150));
}

#[test]
#[ignore = "takes minutes"]
fn a_long_storm() {
    watchdog(Duration::from_secs(1_200), || rages(2_500));
}
