//! What the words of a queue's segment tell, and whom they call: where segments are files that one may look into, and sleepers
//! sleep in the kernel.
#![cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::thread;

use procshare::Queue;
use procshare_harness::watchdog;

use crate::PATIENCE;
use crate::support::Home;

#[test]
fn figures_are_right_though_a_producer_died_before_it_could_move_the_tail() {
    let home = Home::new();
    let queue = Queue::<u64>::builder().space(&home.space).create("it", 2).unwrap();
    let tail = |to: u64| {
        let file = File::options().write(true).open(home.path.join("it")).unwrap();
        file.write_all_at(&to.to_ne_bytes(), BODY + TAIL).unwrap();
    };
    queue.put(1).unwrap();
    tail(0);
    assert_eq!((queue.len(), queue.counts(), queue.is_full()), (1, (1, 0), false));
    queue.put(2).unwrap();
    tail(1);
    assert_eq!((queue.len(), queue.counts(), queue.is_full()), (2, (2, 0), true));
    assert_eq!(queue.try_get_many(9).unwrap(), [1, 2]);
    tail(1);
    assert_eq!((queue.len(), queue.counts(), queue.is_full()), (0, (2, 2), false));
    assert_eq!(queue.try_put_many(&[3, 4, 5]).unwrap(), 2);
    assert_eq!(queue.try_get_many(9).unwrap(), [3, 4]);
}

/// Bytes of a segment before its body; where in a queue's body the tail and the counts of events are (docs/layout.md).
const BODY: u64 = 256;
const TAIL: u64 = 64 + 16;
const NOT_EMPTY: u64 = 192;
const NOT_FULL: u64 = 256;

/// A queue of four in a space of its own.
fn queue_of_four() -> (Home, Queue<u64>) {
    let home = Home::new();
    let queue = Queue::builder().space(&home.space).create("it", 4).unwrap();
    (home, queue)
}

/// Makes three threads sleep in `wait`, then does `rouse`, which is of use to all of them; tells whether it called all of them,
/// rather than leave some to find out by themselves.
fn calls_all(home: &Home, events: u64, wait: impl Fn() + Sync, rouse: impl FnOnce()) -> bool {
    let file = File::open(home.path.join("it")).unwrap();
    let somebody_sleeps = || {
        let mut word = [0; 4];
        file.read_exact_at(&mut word, BODY + events).unwrap();
        u32::from_ne_bytes(word) & 1 != 0
    };
    thread::scope(|scope| {
        let sleepers: Vec<_> = (0..3).map(|_| spawn(scope, &wait)).collect();
        sleepers.iter().for_each(await_sleep);
        assert!(somebody_sleeps());
        rouse();
        !somebody_sleeps()
    })
}

/// A thread that does `work`; its name in the kernel.
fn spawn<'s, 'e>(scope: &'s thread::Scope<'s, 'e>, work: impl FnOnce() + Send + 's) -> i32 {
    let (tell, told) = std::sync::mpsc::channel();
    scope.spawn(move || {
        // SAFETY: asks for the calling thread's number.
        tell.send(unsafe { libc::gettid() }).unwrap();
        work();
    });
    told.recv().unwrap()
}

/// Waits until the thread sleeps on a word.
fn await_sleep(thread: &i32) {
    let path = format!("/proc/self/task/{thread}/syscall");
    let is_asleep = || {
        let call = std::fs::read_to_string(&path).unwrap();
        call.split(' ').next() == Some(&libc::SYS_futex.to_string())
    };
    while !is_asleep() {
        thread::yield_now();
    }
}

/// Sleepers look by themselves now and then: one who does so at the very moment is taken for one who was forgotten.
fn mostly(round: impl Fn() -> bool) {
    const ROUNDS: usize = 9;
    let called = (0..ROUNDS).filter(|_| round()).count();
    assert!(called > ROUNDS / 2, "only {called} of {ROUNDS} times");
}

#[test]
fn a_commit_calls_all_who_can_get_something() {
    watchdog(PATIENCE, || {
        mostly(|| {
            let (home, queue) = queue_of_four();
            let slot = queue.reserve().unwrap();
            queue.put_many(&[1, 2, 3]).unwrap();
            let called = calls_all(&home, NOT_EMPTY, || assert!(queue.get().is_ok()), || slot.commit(0));
            called && queue.try_get().is_ok()
        });
        mostly(|| {
            let (home, queue) = queue_of_four();
            let mut batch = queue.reserve_many(2).unwrap();
            batch.push(0).unwrap();
            queue.put_many(&[1, 2]).unwrap();
            let commit = || assert_eq!(batch.commit(), 1);
            calls_all(&home, NOT_EMPTY, || assert!(queue.get().is_ok()), commit)
        });
    });
}

#[test]
fn a_release_calls_all_who_can_put_something() {
    watchdog(PATIENCE, || {
        mostly(|| {
            let (home, queue) = queue_of_four();
            queue.put_many(&[1, 2, 3, 4]).unwrap();
            let first = queue.peek().unwrap();
            assert_eq!(queue.try_get_many(9).unwrap(), [2, 3, 4]);
            let called = calls_all(&home, NOT_FULL, || queue.put(5).unwrap(), || first.release());
            called && queue.try_get_many(9).unwrap() == [5; 3]
        });
        mostly(|| {
            let (home, queue) = queue_of_four();
            queue.put_many(&[1, 2, 3, 4]).unwrap();
            let first = queue.peek_many(2).unwrap();
            assert_eq!(queue.try_get_many(9).unwrap(), [3, 4]);
            let called = calls_all(&home, NOT_FULL, || queue.put(5).unwrap(), || first.release());
            called && queue.try_get_many(9).unwrap() == [5; 3]
        });
    });
}

#[test]
fn an_item_that_came_back_calls_all_who_can_put_something_when_it_is_taken() {
    watchdog(PATIENCE, || {
        mostly(|| {
            let (home, queue) = queue_of_four();
            queue.put_many(&[1, 2, 3, 4]).unwrap();
            let first = queue.peek().unwrap();
            assert_eq!(queue.try_get_many(9).unwrap(), [2, 3, 4]);
            drop(first);
            let called =
                calls_all(&home, NOT_FULL, || queue.put(5).unwrap(), || assert!(queue.get().is_ok()));
            called && queue.try_get_many(9).unwrap() == [5; 3]
        });
    });
}

#[test]
fn giving_up_a_reservation_calls_all_who_can_put_something() {
    watchdog(PATIENCE, || {
        mostly(|| {
            let (home, queue) = queue_of_four();
            let slot = queue.reserve().unwrap();
            (0..3).for_each(|_| drop(queue.reserve().unwrap()));
            calls_all(&home, NOT_FULL, || queue.put(5).unwrap(), || drop(slot))
        });
    });
}

#[test]
fn the_last_of_a_closed_queue_calls_all_who_wait_for_its_end() {
    watchdog(PATIENCE, || {
        let at_the_end = |queue: &Queue<u64>| drop(queue.get());
        mostly(|| {
            let (home, queue) = queue_of_four();
            let slot = queue.reserve().unwrap();
            queue.close().unwrap();
            calls_all(&home, NOT_EMPTY, || at_the_end(&queue), || slot.commit(1))
        });
        mostly(|| {
            let (home, queue) = queue_of_four();
            let slot = queue.reserve().unwrap();
            queue.close().unwrap();
            calls_all(&home, NOT_EMPTY, || at_the_end(&queue), || drop(slot))
        });
    });
}
