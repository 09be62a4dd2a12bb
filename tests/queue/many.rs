//! Many items by one call: as many as there is room for, all within a timeout, or an error that says how many.

use std::time::Duration;

use procshare::{
    Broadcast, BroadcastInit, BytesQueue, CodecQueue, GetError, JoinableInit, JoinableQueue, Pipe, PipeError,
    PutError, Queue, SpscQueue,
};
use procshare_harness::watchdog;

use crate::PATIENCE;
use crate::codec::Text;

const SHORT: Duration = Duration::from_millis(3);

/// What five items come to in a queue with room for three: `$get` takes one item out, `$close` ends the queue.
macro_rules! three_of_five {
    ($queue:ident, $items:expr, $put:ident, $try:ident, $timeout:ident, $get:expr, $close:expr) => {
        watchdog(PATIENCE, || {
            let items = $items;
            assert_eq!($queue.$try(&items).unwrap(), 3);
            assert_eq!($queue.$try(&items).unwrap(), 0, "full is no error");
            assert!(matches!($queue.$timeout(&items, Duration::ZERO), Err(PutError::TimedOut(0))));
            $get;
            assert!(matches!($queue.$timeout(&items[3..], SHORT), Err(PutError::TimedOut(1))));
            $get;
            $get;
            $queue.$timeout(&items[..2], PATIENCE).unwrap();
            assert_eq!($queue.$try(&items[..0]).unwrap(), 0);
            $get;
            $close;
            assert!(matches!($queue.$try(&items), Err(PutError::Closed(()))));
            assert!(matches!($queue.$timeout(&items, SHORT), Err(PutError::Closed(0))));
            assert!(matches!($queue.$put(&items), Err(PutError::Closed(0))));
        })
    };
}

#[test]
fn into_a_queue() {
    let queue = Queue::<u32>::anonymous(3).unwrap();
    three_of_five!(queue, [1, 2, 3, 4, 5], put_many, try_put_many, put_many_timeout, queue.get().unwrap(), {
        queue.close().unwrap();
    });
    assert_eq!(queue.iter().collect::<Vec<_>>(), [1, 2], "what was put stays, in order");
}

#[test]
fn into_a_joinable_queue() {
    let queue = JoinableQueue::<u32>::anonymous(JoinableInit::new(3)).unwrap();
    three_of_five!(
        queue,
        [1, 2, 3, 4, 5],
        put_many,
        try_put_many,
        put_many_timeout,
        queue.get().unwrap().done(),
        {
            assert!(!queue.is_full());
            queue.close().unwrap();
        }
    );
    let left: Vec<u32> = queue.try_iter().map(|task| task.detach()).collect();
    assert_eq!(left, [1, 2]);
    assert_eq!(queue.unfinished(), 2, "they are not done");
}

#[test]
fn into_a_queue_with_two_ends() {
    let (mut producer, mut consumer) = SpscQueue::<u32>::anonymous(3).unwrap().split().unwrap();
    assert!(matches!(consumer.peek_many_timeout(2, SHORT), Err(GetError::TimedOut)));
    three_of_five!(
        producer,
        [1, 2, 3, 4, 5],
        put_many,
        try_put_many,
        put_many_timeout,
        consumer.get().unwrap(),
        {
            let mut chunk = producer.reserve_many_timeout(9, SHORT).unwrap();
            assert_eq!((chunk.len(), chunk.extend_from_slice(&[9])), (1, 1));
            assert_eq!(chunk.commit(), 1);
            assert!(matches!(producer.reserve_many_timeout(1, SHORT), Err(PutError::TimedOut(()))));
            producer.close();
        }
    );
    let chunk = consumer.peek_many_timeout(9, SHORT).unwrap();
    assert_eq!(chunk.iter().copied().collect::<Vec<_>>(), [1, 2, 9]);
}

#[test]
fn into_a_queue_of_bytes() {
    let queue = BytesQueue::anonymous(4096).unwrap();
    let longest = queue.capacity();
    let third = vec![7; longest / 3 - 64];
    let items: Vec<&[u8]> = vec![&third; 5];
    three_of_five!(queue, items, put_many, try_put_many, put_many_timeout, queue.get().unwrap(), {
        queue.close().unwrap();
    });
    assert_eq!(queue.try_iter().count(), 2);
}

#[test]
fn a_long_item_keeps_all_out() {
    let queue = BytesQueue::anonymous(100).unwrap();
    let items = [vec![0; 1], vec![0; queue.capacity() + 1]];
    assert!(matches!(queue.put_many_timeout(&items, SHORT), Err(PutError::Failed(0, _))));
    assert!(queue.is_empty());
}

#[test]
fn through_a_codec() {
    let queue = CodecQueue::<String, Text>::anonymous(4096).unwrap();
    let words = ["a", "b", "c"].map(String::from);
    assert_eq!(queue.try_put_many(&words).unwrap(), 3);
    queue.put_many_timeout(&words[..1], SHORT).unwrap();
    let loud = ["a".to_owned(), "b!".to_owned()];
    assert!(matches!(queue.try_put_many(&loud), Err(PutError::Failed((), _))));
    assert!(matches!(queue.put_many_timeout(&loud, SHORT), Err(PutError::Failed(0, _))));
    let two: Vec<String> = queue.get_many(2).unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(two, ["a", "b"]);
    let rest: Vec<String> = queue.try_iter().map(Result::unwrap).collect();
    assert_eq!(rest, ["c", "a"], "none of those that came with a loud one");
    assert!(matches!(queue.try_get_many(2), Err(GetError::Empty)));
    assert!(matches!(queue.get_many_timeout(2, SHORT), Err(GetError::TimedOut)));
}

#[test]
fn to_subscribers_that_are_waited_for() {
    let news = Broadcast::<u32>::anonymous(BroadcastInit::new(3).wait_for_subscribers(1)).unwrap();
    let mut reader = news.subscribe().unwrap();
    three_of_five!(
        news,
        [1, 2, 3, 4, 5],
        publish_many,
        try_publish_many,
        publish_many_timeout,
        reader.recv().unwrap(),
        news.close().unwrap()
    );
    assert_eq!(reader.iter().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_message_into_a_buffer() {
    let (left, right) = Pipe::pair(64).unwrap();
    let mut to = [0; 4];
    assert!(matches!(right.try_recv_into(&mut to), Err(PipeError::WouldBlock)));
    assert!(matches!(right.recv_into_timeout(&mut to, SHORT), Err(PipeError::TimedOut)));
    left.send_bytes(b"hello").unwrap();
    assert!(matches!(right.try_recv_into(&mut to), Err(PipeError::TooLong { len: 5 })));
    let mut longer = [0; 8];
    assert_eq!(right.recv_into_timeout(&mut longer, PATIENCE).unwrap(), 5, "it stayed the next one");
    assert_eq!(&longer[..5], b"hello");
    drop(left);
    assert!(matches!(right.try_recv_into(&mut to), Err(PipeError::Closed)));
}

#[cfg(all(feature = "tokio", any(not(feature = "portable"), feature = "heap")))]
#[tokio::test]
async fn by_tasks() {
    let queue = Queue::<u32>::anonymous(4).unwrap();
    let theirs = queue.clone();
    let consumer = tokio::spawn(async move {
        let first = theirs.get_many_async(3).await.unwrap();
        let batch = theirs.peek_many_async(3).await.unwrap();
        let second: Vec<u32> = batch.iter().copied().collect();
        batch.release();
        (first, second)
    });
    tokio::task::yield_now().await;
    queue.put_many(&[1, 2, 3, 4]).unwrap();
    let mut batch = queue.reserve_many_async(9).await.unwrap();
    batch.push(5).unwrap();
    assert_eq!(batch.commit(), 1);
    let (first, second) = tokio::time::timeout(PATIENCE, consumer).await.unwrap().unwrap();
    assert_eq!([first, second, queue.try_iter().collect()].concat(), [1, 2, 3, 4, 5]);
}
