//! Positions, lengths and stamps that a hostile or broken program wrote: an error or other items, never a crash, never a hang.

use std::fmt::Display;
use std::time::Duration;

use procshare::{
    Broadcast, BroadcastInit, BytesQueue, CodecQueue, JoinableInit, JoinableQueue, Pipe, Queue, Space,
    SpscQueue,
};
use procshare_harness::watchdog;

use crate::PATIENCE;
use crate::codec::Text;
use crate::support::Hostile;

const SHORT: Duration = Duration::from_micros(300);

/// Looks at an error's words, too: they are made of hostile numbers.
fn say<T, E: Display>(outcome: Result<T, E>) -> Option<T> {
    outcome.inspect_err(|error| assert!(!error.to_string().is_empty())).ok()
}

fn use_bytes(space: &Space) {
    let Some(queue) = say(BytesQueue::builder().space(space).open("it")) else { return };
    assert!(!format!("{queue:?}").is_empty());
    assert!(queue.bytes() <= 1024 && queue.capacity() <= 1008);
    let _ = say(procshare::try_wait_any(&[&queue]).map(drop));
    for round in 0..4 {
        let _ = say(queue.try_put(&[round; 70]));
        if let Some(item) = say(queue.get_timeout(SHORT)) {
            assert!(item.len() <= 1008);
        }
        if let Some(mut room) = say(queue.try_reserve(300)) {
            room.zeroed()[299] = 1;
            room.commit();
        }
        if let Some(peeked) = say(queue.try_peek()) {
            assert!(peeked.iter().map(|&byte| u64::from(byte)).sum::<u64>() < u64::MAX);
            if round % 2 == 0 {
                peeked.release();
            }
        }
        let _ = say(queue.put_timeout(&[1; 1000], SHORT));
        let _ = say(queue.try_put_many(&[[1; 8], [2; 8]]));
        let _ = say(queue.try_get_many(3));
    }
    // Nothing that waits without a limit: a word may say that a living process holds a lock.
    for _ in 0..40 {
        let _ = say(queue.try_get());
    }
}

fn make_bytes(space: &Space) {
    let queue = BytesQueue::builder().space(space).create("it", 1000).unwrap();
    queue.put_many(&[vec![1; 400], vec![2; 30], vec![3; 5]]).unwrap();
    queue.get().unwrap();
    queue.put_many(&[vec![4; 300], vec![5; 200]]).unwrap();
    std::mem::forget(queue.peek().unwrap());
    std::mem::forget(queue.try_reserve(20).unwrap());
    queue.try_put(&[6; 10]).unwrap();
}

/// The free position lies before zero, which is as far from the tail as it may be.
#[test]
#[cfg(all(target_os = "linux", any(not(feature = "portable"), feature = "heap")))]
fn positions_of_bytes_that_wrap_are_refused() {
    use procshare::{Error, PutError};
    use std::os::unix::fs::FileExt as _;
    let home = crate::support::Home::new();
    let queue = BytesQueue::builder().space(&home.space).create("it", 100).unwrap();
    queue.put(&[1; 40]).unwrap();
    let file = std::fs::File::options().write(true).open(home.path.join("it")).unwrap();
    // As it is, and as producers last saw it.
    for at in [128 + 24, 64 + 24] {
        file.write_all_at(&0u64.wrapping_sub(16).to_ne_bytes(), 256 + at).unwrap();
    }
    let refused = queue.try_put(&[2; 60]);
    let named = |error: &Error| matches!(error, Error::NotASegment { what: "queue positions", .. });
    assert!(matches!(&refused, Err(PutError::Failed((), error)) if named(error)), "{refused:?}");
}

fn make_codec(space: &Space) {
    let queue = CodecQueue::<String, Text>::builder().space(space).create("it", 200).unwrap();
    for text in ["one", "two", "three"] {
        queue.put(&text.to_owned()).unwrap();
    }
}

fn use_codec(space: &Space) {
    let Some(queue) = say(CodecQueue::<String, Text>::builder().space(space).open("it")) else { return };
    for _ in 0..5 {
        let _ = say(queue.try_put(&"four".to_owned()));
        let _ = say(queue.get_timeout(SHORT));
        let _ = say(queue.try_peek().map(drop));
    }
}

fn make_spsc(space: &Space) {
    let queue = SpscQueue::<bool>::builder().space(space).create("it", 24).unwrap();
    queue.producer().unwrap().put_many(&[true; 7]).unwrap();
    queue.consumer().unwrap().get_many(3).unwrap();
}

fn use_spsc(space: &Space) {
    let Some(queue) = say(SpscQueue::<bool>::builder().space(space).open("it")) else { return };
    assert!(queue.len() <= 24 && !format!("{queue:?}").is_empty());
    if let Some(mut producer) = say(queue.producer()) {
        let _ = say(producer.try_put(true));
        let _ = say(producer.put_timeout(true, SHORT));
        let _ = say(producer.try_put_many(&[true; 30]));
        let _ = say(producer.try_reserve_many(30).map(|mut chunk| (chunk.zeroed().0.len(), chunk.commit())));
    }
    if let Some(mut consumer) = say(queue.consumer()) {
        let _ = say(consumer.try_get());
        let _ = say(consumer.get_timeout(SHORT));
        let _ = say(consumer.try_peek_many(30).map(|items| items.release_some(2)));
        let _ = say(consumer.try_get_many(30));
    }
}

fn make_pipe(space: &Space) {
    let pipe = Pipe::builder().space(space).create("it", 500).unwrap();
    let (left, right) = (pipe.left().unwrap(), pipe.right().unwrap());
    left.send_bytes(&[1; 300]).unwrap();
    right.recv_bytes().unwrap();
    left.send_bytes(&[2; 100]).unwrap();
    left.send_bytes(&[3; 70]).unwrap();
    right.send_bytes(&[4; 20]).unwrap();
    // The ends stay those of this process, which lives.
    std::mem::forget((left, right));
}

/// The ends are lent out again first: else nearly all mutants would say that they are taken.
fn lend_and_use_pipe(space: &Space) {
    let path = space.directory().join("it");
    let mut bytes = std::fs::read(&path).unwrap();
    use_pipe(space);
    if bytes.len() >= 256 + 16 {
        bytes[256 + 8..256 + 16].fill(0);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        use_pipe(space);
    }
}

fn use_pipe(space: &Space) {
    let Some(pipe) = say(Pipe::builder().space(space).open("it")) else { return };
    assert!(!format!("{pipe:?}").is_empty());
    for end in [say(pipe.left()), say(pipe.right())].into_iter().flatten() {
        let _ = say(procshare::try_wait_any(&[&end]).map(drop));
        for _ in 0..4 {
            let _ = say(end.try_send_bytes(&[5; 200]));
            let _ = say(end.send_bytes_timeout(&[6; 500], SHORT));
            if let Some(message) = say(end.recv_bytes_timeout(SHORT)) {
                assert!(message.len() <= 528);
            }
            let _ = say(end.try_recv_bytes());
        }
        assert!(!format!("{end:?} {}", end.is_closed()).is_empty());
    }
}

fn make_queue(space: &Space) {
    let queue = Queue::<bool>::builder().space(space).create("it", 5).unwrap();
    queue.put_many(&[true; 4]).unwrap();
    queue.get().unwrap();
    queue.put(false).unwrap();
    std::mem::forget(queue.try_reserve().unwrap());
    std::mem::forget(queue.try_peek().unwrap());
    queue.get().unwrap();
}

fn use_queue(space: &Space) {
    let Some(queue) = say(Queue::<bool>::builder().space(space).open("it")) else { return };
    assert!(!format!("{queue:?} {} {}", queue.len(), queue.is_full()).is_empty());
    let _ = say(procshare::try_wait_any(&[&queue]).map(drop));
    for round in 0..4 {
        let _ = say(queue.try_put(true));
        let _ = say(queue.get_timeout(SHORT));
        let _ = say(queue.try_reserve().map(|slot| slot.commit(true)));
        let _ = say(queue.try_peek().map(|item| {
            if round % 2 == 0 {
                item.release()
            }
        }));
        let _ = say(queue.put_timeout(false, SHORT));
        let _ = say(queue.try_put_many(&[true; 3]));
        let _ = say(queue.try_get_many(3));
    }
}

fn make_joinable(space: &Space) {
    let jobs = JoinableQueue::<u16>::builder().space(space).create("it", JoinableInit::new(5)).unwrap();
    jobs.put_many(&[1, 2, 3, 4]).unwrap();
    jobs.get().unwrap().done();
    std::mem::forget(jobs.get().unwrap());
}

fn use_joinable(space: &Space) {
    let Some(jobs) = say(JoinableQueue::<u16>::builder().space(space).open("it")) else { return };
    assert!(jobs.unfinished() <= 10 && !format!("{jobs:?}").is_empty());
    for round in 0..4 {
        let _ = say(jobs.try_put(round));
        let _ = say(jobs.put_timeout(round, SHORT));
        let _ = say(jobs.join_timeout(SHORT));
        if let Some(task) = say(jobs.try_get()) {
            if round % 2 == 0 { task.done() } else { task.give_back() }
        }
        let _ = say(jobs.get_timeout(SHORT).map(|task| task.detach()));
        let _ = say(jobs.task_done());
        let _ = say(jobs.try_join());
    }
}

fn make_broadcast(space: &Space) {
    let init = BroadcastInit::new(3).wait_for_subscribers(2);
    let news = Broadcast::<bool>::builder().space(space).create("it", init).unwrap();
    let mut reader = news.subscribe().unwrap();
    news.publish_many(&[true; 3]).unwrap();
    reader.recv().unwrap();
    news.publish(false).unwrap();
    std::mem::forget(reader);
}

fn use_broadcast(space: &Space) {
    let Some(news) = say(Broadcast::<bool>::builder().space(space).open("it")) else { return };
    assert!(!format!("{news:?} {} {}", news.published(), news.is_closed()).is_empty());
    for _ in 0..4 {
        let _ = say(news.try_publish(true));
        let _ = say(news.publish_timeout(true, SHORT));
    }
    // A subscriber that nobody waits for takes no lock, which a word may say is held by a living process.
    let Some(looker) = say(Broadcast::<bool>::builder().space(space).read_only(true).open("it")) else {
        return;
    };
    if let Some(mut reader) = say(looker.subscribe()) {
        for _ in 0..6 {
            let _ = say(reader.try_recv());
        }
    }
}

/// Makes the tests of a kind: its bytes of state, how it is made, how it is used.
macro_rules! hostile_tests {
    ($($name:ident: $words:literal, $make:ident, $use_it:ident;)*) => {
        $(#[test]
        fn $name() {
            watchdog(PATIENCE, || Hostile { words: $words, make: &$make, use_it: &$use_it }.survives());
        })*

        /// Every word, every boundary, and thousands at random.
        mod long {
            use super::*;

            $(#[test]
            #[ignore = "takes minutes"]
            fn $name() {
                let hostile = Hostile { words: $words, make: &$make, use_it: &$use_it };
                watchdog(Duration::from_secs(3 * 3600), || hostile.survives_long());
            })*
        }
    };
}

hostile_tests! {
    queues: 400, make_queue, use_queue;
    queues_of_bytes: 1024, make_bytes, use_bytes;
    queues_with_a_codec: 520, make_codec, use_codec;
    queues_with_two_ends: 536, make_spsc, use_spsc;
    queues_of_tasks: 400, make_joinable, use_joinable;
    pipes: 1700, make_pipe, lend_and_use_pipe;
    broadcasts: 384, make_broadcast, use_broadcast;
}
