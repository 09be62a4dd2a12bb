//! Every kind of queue in tasks: what is cancelled has done nothing, and whoever ends is noticed.

use std::time::Duration;

use procshare::{
    Broadcast, BroadcastInit, BytesQueue, Codec, CodecFault, CodecQueue, GetError, JoinableQueue, Pipe,
    PipeError, PutError, Queue, SpscQueue,
};
use procshare_harness::{Child, Rng};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::{LIMIT, impatience, run};

const ITEMS: u64 = 400;

/// Puts numbered items and gets them, while both are cancelled all the time.
async fn in_order_though_cancelled(put: impl AsyncFn(u64), get: impl AsyncFn() -> u64) {
    let producer = async {
        let mut rng = Rng::new(1);
        for item in 0..ITEMS {
            // Dropped before it was ready: not put.
            while timeout(impatience(&mut rng), put(item)).await.is_err() {}
        }
    };
    let consumer = async {
        let mut rng = Rng::new(2);
        let mut next = 0;
        while next < ITEMS {
            if let Ok(item) = timeout(impatience(&mut rng), get()).await {
                assert_eq!(item, next);
                next += 1;
            }
            if rng.one_in(8) {
                // So that producers wait, too.
                tokio::time::sleep(impatience(&mut rng)).await;
            }
        }
    };
    tokio::join!(producer, consumer);
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

#[test]
fn items_in_place() {
    let queue = Queue::<u64>::anonymous(2).unwrap();
    run(in_order_though_cancelled(
        async |item| queue.reserve_async().await.unwrap().commit(item),
        async || {
            let item = queue.peek_async().await.unwrap();
            let number = *item;
            item.release();
            number
        },
    ));
    assert!(queue.is_empty());
}

#[test]
fn bytes() {
    let queue = BytesQueue::anonymous(64).unwrap();
    run(in_order_though_cancelled(
        async |item| queue.put_async(&item.to_le_bytes()).await.unwrap(),
        async || number(&queue.get_async().await.unwrap()),
    ));
    run(in_order_though_cancelled(
        async |item| {
            let mut room = queue.reserve_async(8).await.unwrap();
            room.write(&item.to_le_bytes());
            room.commit();
        },
        async || {
            let item = queue.peek_async().await.unwrap();
            let number = number(&item);
            item.release();
            number
        },
    ));
    assert!(queue.is_empty());
}

/// Numbers as text.
struct Text;

impl Codec<u64> for Text {
    const NAME: &'static str = "text";

    fn encode(item: &u64, to: &mut Vec<u8>) -> Result<(), CodecFault> {
        to.extend_from_slice(item.to_string().as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<u64, CodecFault> {
        Ok(std::str::from_utf8(bytes)?.parse()?)
    }
}

#[test]
fn encoded_items() {
    let queue = CodecQueue::<u64, Text>::anonymous(64).unwrap();
    run(in_order_though_cancelled(
        async |item| queue.put_async(&item).await.unwrap(),
        async || {
            if queue.counts().1.is_multiple_of(2) {
                queue.get_async().await.unwrap()
            } else {
                queue.peek_async().await.unwrap().release()
            }
        },
    ));
    assert!(queue.is_empty());
}

#[test]
fn work_that_is_acknowledged() {
    let queue = JoinableQueue::<u64>::anonymous(2).unwrap();
    run(async {
        let work = in_order_though_cancelled(
            async |item| queue.put_async(item).await.unwrap(),
            async || {
                let task = queue.get_async().await.unwrap();
                let number = *task;
                task.done();
                number
            },
        );
        // Whoever waits for the end is woken and cancelled all the time, too.
        let joiner = async {
            let mut rng = Rng::new(3);
            while queue.counts().0 < ITEMS {
                let _ = timeout(impatience(&mut rng), queue.join_async()).await.map(Result::unwrap);
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(work, joiner);
        queue.join_async().await.unwrap();
        assert_eq!(queue.unfinished(), 0);
        queue.put(1).unwrap();
        let task = queue.get_async().await.unwrap();
        assert!(timeout(Duration::from_millis(3), queue.join_async()).await.is_err(), "one is not done");
        let (joined, ()) = tokio::join!(queue.join_async(), async { task.done() });
        joined.unwrap();
    });
}

#[test]
fn the_two_ends_of_a_queue() {
    let (producer, consumer) = SpscQueue::<u64>::anonymous(2).unwrap().split().unwrap();
    let (producer, consumer) = (Mutex::new(producer), Mutex::new(consumer));
    run(in_order_though_cancelled(
        async |item| producer.lock().await.put_async(item).await.unwrap(),
        async || consumer.lock().await.get_async().await.unwrap(),
    ));
}

#[test]
fn the_two_ends_of_a_pipe() {
    let (mine, theirs) = Pipe::pair(16).unwrap();
    run(in_order_though_cancelled(
        async |item| mine.send_bytes_async(&item.to_le_bytes()).await.unwrap(),
        async || number(&theirs.recv_bytes_async().await.unwrap()),
    ));
    #[cfg(feature = "postcard")]
    run(in_order_though_cancelled(
        async |item| mine.send_async(&item).await.unwrap(),
        async || theirs.recv_async().await.unwrap(),
    ));
}

#[test]
fn a_publisher_that_waits_for_its_subscriber() {
    let news = Broadcast::<u64>::anonymous(BroadcastInit::new(2).wait_for_subscribers(1)).unwrap();
    let reader = Mutex::new(news.subscribe().unwrap());
    run(in_order_though_cancelled(
        async |item| news.publish_async(item).await.unwrap(),
        async || reader.lock().await.recv_async().await.unwrap(),
    ));
}

#[test]
fn closing_ends_those_who_wait() {
    run(async {
        let (empty, full) = (JoinableQueue::<u64>::anonymous(1).unwrap(), BytesQueue::anonymous(8).unwrap());
        full.put(&[1; 8]).unwrap();
        let waiters = async { tokio::join!(empty.get_async(), full.put_async(&[2; 8])) };
        let closer = async {
            tokio::task::yield_now().await;
            empty.close().unwrap();
            full.close().unwrap();
        };
        let ((got, put), ()) = tokio::join!(waiters, closer);
        assert!(matches!(got, Err(GetError::Closed)) && matches!(put, Err(PutError::Closed(()))));
    });
}

#[test]
fn the_end_of_the_process_at_the_other_end_of_a_pipe_is_noticed() {
    for sends in [false, true] {
        let pipe = Pipe::anonymous(8).unwrap();
        let mine = pipe.left().unwrap();
        let other = Child::fork(|| {
            let theirs = pipe.right().unwrap();
            theirs.send_bytes(b"last").unwrap();
            std::mem::forget(theirs);
            // Until it is killed.
            std::thread::sleep(LIMIT);
        });
        run(async {
            assert_eq!(mine.recv_bytes_async().await.unwrap(), b"last");
            mine.send_bytes(&[1; 8]).unwrap();
            let waiter = async {
                if sends {
                    mine.send_bytes_async(&[2; 8]).await
                } else {
                    mine.recv_bytes_async().await.map(drop)
                }
            };
            let killer = async {
                tokio::task::yield_now().await;
                let _ = other.kill();
            };
            let (outcome, ()) = tokio::join!(waiter, killer);
            assert!(matches!(outcome, Err(PipeError::Closed)), "{outcome:?}");
        });
    }
}
