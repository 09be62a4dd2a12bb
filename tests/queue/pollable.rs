//! Descriptors for `poll`: readable as long as a try is worth while, whoever changes it, and whoever dies.
#![cfg(unix)]

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use procshare::{
    Broadcast, BroadcastInit, BytesQueue, Error, GetError, JoinableQueue, PutError, Queue, ReadyFd,
    RecvError, SpscQueue,
};
use procshare_harness::{Child, Exit, child, watchdog};

use crate::{PATIENCE, kill_myself, killed};

/// Polls; with `true`, until it is readable.
fn readable(ready: &ReadyFd, wait: bool) -> bool {
    let mut poll = libc::pollfd { fd: ready.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, for the length of the call.
    let count = unsafe { libc::poll(&mut poll, 1, if wait { -1 } else { 0 }) };
    assert!(count >= 0 && (count == 0 || poll.revents == libc::POLLIN), "{poll:?}");
    count == 1
}

/// How many threads of this name the process has.
fn bridges() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("procshare-")).count()
}

#[test]
fn readable_while_there_are_items_and_not_once_a_try_found_none() {
    watchdog(PATIENCE, || {
        let queue = Queue::anonymous(4).unwrap();
        let ready = queue.as_fd().unwrap();
        assert!(!readable(&ready, false));
        for round in 0..300u64 {
            queue.put_many(&[round, round + 1]).unwrap();
            assert!(readable(&ready, true) && readable(&ready, false));
            assert_eq!(queue.try_get().unwrap(), round);
            assert!(readable(&ready, false));
            assert_eq!(queue.clone().try_get().unwrap(), round + 1);
            assert!(matches!(queue.try_get(), Err(GetError::Empty)));
            assert!(!readable(&ready, false));
        }
        queue.put(1).unwrap();
        let late = queue.as_fd().unwrap();
        assert!(readable(&late, false), "an item that is there already");
        assert_eq!(queue.get().unwrap(), 1);
        assert!(matches!(queue.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut)));
        assert!(!readable(&late, false), "a timeout is a try, too");
        queue.close().unwrap();
        assert!(readable(&ready, true) && readable(&late, true));
        assert!(matches!(queue.try_get(), Err(GetError::Closed)));
        assert!(readable(&ready, false), "closed for ever");
    });
}

#[test]
fn readable_while_there_is_room() {
    watchdog(PATIENCE, || {
        let queue = Queue::anonymous(1).unwrap();
        let ready = queue.as_put_fd().unwrap();
        for round in 0..300u64 {
            assert!(readable(&ready, true));
            queue.try_put(round).unwrap();
            assert!(matches!(queue.try_put(round), Err(PutError::Full(_))));
            assert!(!readable(&ready, false));
            assert_eq!(queue.get().unwrap(), round);
        }
    });
}

#[test]
fn every_kind_of_queue_and_each_subscriber_has_one() {
    watchdog(PATIENCE, || {
        let (bytes, jobs) = (BytesQueue::anonymous(64).unwrap(), JoinableQueue::anonymous(4).unwrap());
        let fds = [bytes.as_fd().unwrap(), jobs.as_fd().unwrap()];
        assert!(fds.iter().all(|ready| !readable(ready, false)));
        bytes.put(b"1").unwrap();
        jobs.put(1u64).unwrap();
        assert!(fds.iter().all(|ready| readable(ready, true)));
        bytes.get().unwrap();
        jobs.get().unwrap().done();
        assert!(bytes.try_get().is_err() && jobs.try_get().is_err());
        assert!(fds.iter().all(|ready| !readable(ready, false)));

        for init in [BroadcastInit::new(2), BroadcastInit::new(2).wait_for_subscribers(2)] {
            let news = Broadcast::anonymous(init).unwrap();
            let (mut one, mut two) = (news.subscribe().unwrap(), news.subscribe().unwrap());
            let (first, second) = (one.as_fd().unwrap(), two.as_fd().unwrap());
            for round in 0..100u64 {
                assert!(!readable(&first, false) && !readable(&second, false));
                news.publish(round).unwrap();
                assert!(readable(&first, true) && readable(&second, true));
                assert_eq!(one.try_recv().unwrap(), round);
                assert!(matches!(one.try_recv(), Err(RecvError::Empty)));
                assert!(!readable(&first, false) && readable(&second, false), "each has its own");
                assert_eq!(two.try_recv().unwrap(), round);
                assert!(matches!(two.try_recv(), Err(RecvError::Empty)));
            }
            news.close().unwrap();
            assert!(readable(&first, true) && readable(&second, true));
        }
    });
}

/// Text as it is.
struct Text;

impl procshare::Codec<String> for Text {
    const NAME: &'static str = "text";

    fn encode(item: &String, to: &mut Vec<u8>) -> Result<(), procshare::CodecFault> {
        to.extend_from_slice(item.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<String, procshare::CodecFault> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

#[test]
fn a_queue_with_a_codec_has_one_too() {
    watchdog(PATIENCE, || {
        let words = procshare::CodecQueue::<String, Text>::anonymous(64).unwrap();
        let ready = words.as_fd().unwrap();
        for _ in 0..50 {
            assert!(!readable(&ready, false));
            words.put(&"word".to_owned()).unwrap();
            assert!(readable(&ready, true));
            assert_eq!(words.try_get().unwrap(), "word");
            assert!(words.try_get().is_err());
        }
    });
}

/// Puts from a process that knows nothing of descriptors.
#[test]
fn items_of_other_processes_make_it_readable_also_of_those_that_die() {
    watchdog(PATIENCE, || {
        let queue = Queue::<u64>::anonymous(4).unwrap();
        let ready = queue.as_fd().unwrap();
        for round in 0..40 {
            let producer = Child::fork(|| queue.put(round).unwrap());
            assert!(readable(&ready, true));
            assert_eq!(queue.try_get().unwrap(), round);
            assert!(queue.try_get().is_err());
            producer.wait(PATIENCE).unwrap();
            killed(|| {
                queue.put(round).unwrap();
                std::mem::forget(queue.reserve().unwrap());
                queue.put(round + 1).unwrap();
                kill_myself()
            });
            assert!(readable(&ready, true));
            assert_eq!(queue.try_get_many(9).unwrap(), [round, round + 1]);
            assert!(queue.try_get().is_err() && !readable(&ready, false));
        }
    });
}

#[test]
fn what_the_dead_held_makes_it_readable_again() {
    watchdog(PATIENCE, || {
        let queue = Queue::<u64>::anonymous(4).unwrap();
        let ready = queue.as_fd().unwrap();
        queue.put(7).unwrap();
        let reader = Child::fork(|| {
            std::mem::forget(queue.peek().unwrap());
            std::thread::sleep(PATIENCE);
        });
        while queue.counts().1 == 0 {
            std::thread::yield_now();
        }
        assert!(matches!(queue.try_get(), Err(GetError::Empty)) && !readable(&ready, false));
        assert!(matches!(reader.kill(), Exit::Signalled(libc::SIGKILL)));
        assert!(readable(&ready, true), "nobody put anything, and nobody else looks");
        assert_eq!(queue.try_get().unwrap(), 7);
    });
}

#[test]
fn threads_that_wait_miss_nothing_that_a_descriptor_was_woken_for() {
    watchdog(PATIENCE, || {
        let queue = Queue::<u64>::anonymous(4).unwrap();
        let fds: Vec<_> = (0..3).map(|_| queue.as_fd().unwrap()).collect();
        std::thread::scope(|scope| {
            let getters: Vec<_> =
                (0..2).map(|_| scope.spawn(|| (0..200).map(|_| queue.get().unwrap()).sum::<u64>())).collect();
            (0..400).for_each(|item| queue.put(item).unwrap());
            let sum: u64 = getters.into_iter().map(|getter| getter.join().unwrap()).sum();
            assert_eq!(sum, (0..400).sum::<u64>());
        });
        drop(fds);
    });
}

#[test]
fn a_child_has_descriptors_of_its_own_and_leaves_its_parents_alone() {
    watchdog(PATIENCE, || {
        let queue = Queue::<u64>::anonymous(4).unwrap();
        let parents = queue.as_fd().unwrap();
        child(PATIENCE, || {
            assert_eq!(bridges(), 0, "threads do not follow a fork");
            assert!(queue.try_get().is_err());
            let mine = queue.as_fd().unwrap();
            queue.put(1).unwrap();
            assert!(readable(&mine, true));
            assert_eq!(bridges(), 1);
            drop(parents);
        })
        .unwrap();
    });
}

#[test]
fn dropping_the_parents_in_a_child_changes_nothing_in_the_parent() {
    watchdog(PATIENCE, || {
        let queue = Queue::<u64>::anonymous(4).unwrap();
        let mut ready = Some(queue.as_fd().unwrap());
        child(PATIENCE, || drop(ready.take())).unwrap();
        let ready = ready.unwrap();
        queue.put(1).unwrap();
        assert!(readable(&ready, true));
    });
}

#[test]
fn without_the_call_there_is_no_thread_and_with_it_one() {
    child(PATIENCE, || {
        let queue = Queue::<u64>::anonymous(4).unwrap();
        queue.put(1).unwrap();
        assert!(queue.get().is_ok() && queue.try_get().is_err());
        assert_eq!(bridges(), 0);
        let fds: Vec<_> = (0..5).map(|_| queue.as_fd().unwrap()).collect();
        queue.put(1).unwrap();
        assert!(fds.iter().all(|ready| readable(ready, true)));
        assert_eq!(bridges(), 1);
    })
    .unwrap();
}

#[test]
fn a_read_only_handle_cannot_announce_anybody() {
    let name = format!("test-pollable-ro-{}", std::process::id());
    let _queue = Queue::<u64>::create(&name, 2).unwrap();
    let reader = Queue::<u64>::builder().read_only(true).open(&name).unwrap();
    Queue::<u64>::unlink(&name).unwrap();
    assert!(matches!(reader.as_fd(), Err(Error::ReadOnly { .. })));
}

#[test]
fn each_end_of_a_queue_has_one() {
    watchdog(PATIENCE, || {
        let (mut producer, mut consumer) = SpscQueue::<u64>::anonymous(2).unwrap().split().unwrap();
        let (items, room) = (consumer.as_fd().unwrap(), producer.as_fd().unwrap());
        for round in 0..300 {
            assert!(readable(&room, true) && !readable(&items, false));
            producer.try_put(round).unwrap();
            assert!(readable(&items, true));
            producer.try_put(round + 1).unwrap();
            assert!(matches!(producer.try_put(9), Err(PutError::Full(9))));
            assert!(!readable(&room, false));
            assert_eq!(consumer.try_get_many(9).unwrap(), [round, round + 1]);
            assert!(matches!(consumer.try_get(), Err(GetError::Empty)));
        }
        assert!(matches!(consumer.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut)));
        assert!(!readable(&items, false));
        producer.close();
        assert!(readable(&items, true) && readable(&room, true));
    });
}

#[test]
fn the_other_end_may_be_another_process_that_dies() {
    watchdog(PATIENCE, || {
        let queue = SpscQueue::<u64>::anonymous(2).unwrap();
        let mut consumer = queue.consumer().unwrap();
        let ready = consumer.as_fd().unwrap();
        for round in 0..40 {
            killed(|| {
                std::mem::forget(queue.producer().unwrap().put(round));
                kill_myself()
            });
            assert!(readable(&ready, true));
            assert_eq!(consumer.try_get().unwrap(), round);
            assert!(consumer.try_get().is_err() && !readable(&ready, false));
        }
    });
}

#[test]
fn tasks_have_one_for_room() {
    watchdog(PATIENCE, || {
        let jobs = JoinableQueue::anonymous(1).unwrap();
        let ready = jobs.as_put_fd().unwrap();
        for round in 0..100u64 {
            assert!(readable(&ready, true));
            jobs.try_put(round).unwrap();
            assert!(jobs.try_put(round).is_err() && !readable(&ready, false));
            let task = jobs.get().unwrap();
            assert!(!readable(&ready, false), "a task keeps its slot until it is done");
            task.done();
        }
    });
}
