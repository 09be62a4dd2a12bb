//! Positions, lengths and stamps that a hostile or broken program wrote: an error or other items, never a crash, never a hang.

use std::fmt::Display;
use std::time::Duration;

use procshare::{BytesQueue, CodecQueue, Space, SpscQueue};
use procshare_harness::watchdog;

use crate::PATIENCE;
use crate::codec::Text;
use crate::support::survives;

const SHORT: Duration = Duration::from_micros(300);

/// Looks at an error's words, too: they are made of hostile numbers.
fn say<T, E: Display>(outcome: Result<T, E>) -> Option<T> {
    outcome.inspect_err(|error| assert!(!error.to_string().is_empty())).ok()
}

fn use_bytes(space: &Space) {
    let Some(queue) = say(BytesQueue::builder().space(space).open("it")) else { return };
    assert!(!format!("{queue:?}").is_empty());
    assert!(queue.bytes() <= 1024 && queue.capacity() == 1000);
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

#[test]
fn queues_of_bytes() {
    let make = |space: &Space| {
        let queue = BytesQueue::builder().space(space).create("it", 1000).unwrap();
        queue.put_many(&[vec![1; 400], vec![2; 30], vec![3; 5]]).unwrap();
        queue.get().unwrap();
        queue.put_many(&[vec![4; 300], vec![5; 200]]).unwrap();
        std::mem::forget(queue.peek().unwrap());
        std::mem::forget(queue.try_reserve(20).unwrap());
        queue.try_put(&[6; 10]).unwrap();
    };
    watchdog(PATIENCE, || survives(1024, make, use_bytes));
}

#[test]
fn queues_with_a_codec() {
    let make = |space: &Space| {
        let queue = CodecQueue::<String, Text>::builder().space(space).create("it", 200).unwrap();
        for text in ["one", "two", "three"] {
            queue.put(&text.to_owned()).unwrap();
        }
    };
    let use_it = |space: &Space| {
        let Some(queue) = say(CodecQueue::<String, Text>::builder().space(space).open("it")) else { return };
        for _ in 0..5 {
            let _ = say(queue.try_put(&"four".to_owned()));
            let _ = say(queue.get_timeout(SHORT));
            let _ = say(queue.try_peek().map(drop));
        }
    };
    watchdog(PATIENCE, || survives(640, make, use_it));
}

#[test]
fn queues_with_two_ends() {
    let make = |space: &Space| {
        let queue = SpscQueue::<bool>::builder().space(space).create("it", 24).unwrap();
        queue.producer().unwrap().put_many(&[true; 7]).unwrap();
        queue.consumer().unwrap().get_many(3).unwrap();
    };
    let use_it = |space: &Space| {
        let Some(queue) = say(SpscQueue::<bool>::builder().space(space).open("it")) else { return };
        assert!(queue.len() <= 24 && !format!("{queue:?}").is_empty());
        if let Some(mut producer) = say(queue.producer()) {
            let _ = say(producer.try_put(true));
            let _ = say(producer.put_timeout(true, SHORT));
            let _ = say(producer.try_put_many(&[true; 30]));
            let _ =
                say(producer.try_reserve_many(30).map(|mut chunk| (chunk.zeroed().0.len(), chunk.commit())));
        }
        if let Some(mut consumer) = say(queue.consumer()) {
            let _ = say(consumer.try_get());
            let _ = say(consumer.get_timeout(SHORT));
            let _ = say(consumer.try_peek_many(30).map(|items| items.release_some(2)));
            let _ = say(consumer.try_get_many(30));
        }
    };
    watchdog(PATIENCE, || survives(560, make, use_it));
}
