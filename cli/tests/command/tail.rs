//! `tail` against live queues.

use procshare::{
    Broadcast, BytesQueue, Codec, CodecFault, CodecQueue, JoinableQueue, Lock, Pipe, Queue, SpscQueue,
};
use serde_json::{Value, json};

use crate::Place;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tail_shows_what_is_there_and_takes_nothing() {
    let place = Place::new("tail");
    let queue = Queue::builder().space(&place.space).create("jobs", 4).unwrap();
    queue.put_many(&[10u64, 11, 12]).unwrap();
    assert_eq!(queue.get().unwrap(), 10);
    let out = place.run(&["tail", "jobs", "--all", "--count", "3", "--json"]).exits(0).out;
    let values: Vec<_> = lines(&out).iter().map(|line| line["value"].clone()).collect();
    assert_eq!(values, [10, 11, 12], "also the one that was taken and lies there still");
    assert_eq!(lines(&out)[2]["position"], 2);
    assert_eq!(queue.len(), 2);
    queue.put_many(&[13, 14]).unwrap();
    queue.close().unwrap();
    let out = lines(&place.run(&["tail", "jobs", "--all", "--json"]).exits(0).out);
    assert_eq!(out.len(), 5, "the first was overwritten");
    assert_eq!((&out[0]["value"], &out[4]), (&json!(11), &json!({ "closed": true })));
    let text = place.run(&["tail", "jobs", "--all"]).exits(0).out;
    assert!(text.ends_with("       4  14\nclosed\n"), "{text}");
    assert_eq!(queue.iter().collect::<Vec<_>>(), [11, 12, 13, 14]);
}

#[test]
fn tail_follows_a_broadcast_until_it_is_closed() {
    let place = Place::new("tail-news");
    let news = Broadcast::builder().space(&place.space).create("news", 3).unwrap();
    news.publish_many(&[*b"one  ", *b"two  ", *b"three", *b"four "]).unwrap();
    news.close().unwrap();
    let out = lines(&place.run(&["tail", "news", "--all", "--json"]).exits(0).out);
    assert_eq!((&out[0]["value"], &out[1]["value"]), (&json!("two  "), &json!("three")));
    let _lock = Lock::builder().space(&place.space).create("lock").unwrap();
    assert!(place.run(&["tail", "lock"]).exits(1).err.contains("Lock"));
    let open = Broadcast::<u64>::builder().space(&place.space).create("open", 3).unwrap();
    open.publish(1).unwrap();
    let out = place.run(&["tail", "open", "--seconds", "0.05", "--json"]).exits(0).out;
    assert!(out.is_empty(), "from now on: {out}");
}

/// Text as it is.
struct Text;

impl Codec<String> for Text {
    const NAME: &'static str = "text";

    fn encode(item: &String, to: &mut Vec<u8>) -> Result<(), CodecFault> {
        to.extend_from_slice(item.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<String, CodecFault> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

#[test]
fn tail_shows_what_waits_in_queues_of_bytes_and_with_a_codec() {
    let place = Place::new("tail-bytes");
    let queue = BytesQueue::builder().space(&place.space).create("lines", 1 << 20).unwrap();
    queue.put_many(&["first", "second", "", "fourth"]).unwrap();
    queue.put(&[0, 255]).unwrap();
    queue.put(&vec![b'x'; 100_000]).unwrap();
    assert_eq!(queue.get().unwrap(), b"first");
    let held = queue.peek().unwrap();
    let out = lines(&place.run(&["tail", "lines", "--all", "--count", "5", "--json"]).exits(0).out);
    assert_eq!(out[0]["value"], "second", "what was taken is gone, and not what somebody reads in place");
    let positions: Vec<_> = out.iter().map(|line| line["position"].clone()).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5]);
    assert_eq!((&out[3]["hex"], &out[3]["value"]), (&json!("00ff"), &Value::Null));
    assert_eq!((&out[4]["bytes"], out[4]["hex"].as_str().unwrap().len()), (&json!(100_000), 2 << 16));
    drop(held);
    queue.close().unwrap();
    let text = place.run(&["tail", "lines", "--all"]).exits(0).out;
    assert!(text.contains("       3  \"fourth\"\n       4  00ff\n"), "{text}");
    assert!(text.ends_with("(100000 bytes)\nclosed\n"), "{text}");

    let words = CodecQueue::<String, Text>::builder().space(&place.space).create("words", 100).unwrap();
    words.put(&"hello".to_owned()).unwrap();
    let out = lines(&place.run(&["tail", "words", "--all", "--count", "1", "--json"]).exits(0).out);
    assert_eq!(out[0]["value"], "hello");
}

#[test]
fn tail_shows_both_directions_of_a_pipe_and_what_waits_between_two_ends() {
    let place = Place::new("tail-pipe");
    let pipe = Pipe::builder().space(&place.space).create("talk", 100).unwrap();
    let (left, right) = (pipe.left().unwrap(), pipe.right().unwrap());
    left.send_bytes(b"question").unwrap();
    right.send_bytes(b"answer").unwrap();
    let out = lines(&place.run(&["tail", "talk", "--all", "--count", "2", "--json"]).exits(0).out);
    assert_eq!((&out[0]["from"], &out[0]["value"]), (&json!("left"), &json!("question")));
    assert_eq!((&out[1]["from"], &out[1]["value"]), (&json!("right"), &json!("answer")));
    assert_eq!(right.recv_bytes().unwrap(), b"question");
    drop((left, right));
    let text = place.run(&["tail", "talk", "--all"]).exits(0).out;
    assert_eq!(text, "       0  right  \"answer\"\nclosed\n");

    let queue = SpscQueue::builder().space(&place.space).create("samples", 4).unwrap();
    let (mut producer, mut consumer) = queue.split().unwrap();
    producer.put_many(&[1.5f64, 2.5, 3.5]).unwrap();
    assert_eq!(consumer.get().unwrap(), 1.5);
    producer.put_many(&[4.5, 5.5]).unwrap();
    producer.close();
    let out = lines(&place.run(&["tail", "samples", "--all", "--json"]).exits(0).out);
    let values: Vec<_> = out.iter().map(|line| line["value"].clone()).collect();
    assert_eq!(values, [json!(2.5), json!(3.5), json!(4.5), json!(5.5), Value::Null]);
    assert_eq!(out[4], json!({ "closed": true }));
    assert_eq!(consumer.try_get_many(9).unwrap(), [2.5, 3.5, 4.5, 5.5]);
}

#[test]
fn tail_shows_batches_once_they_are_committed_and_tasks_that_are_done() {
    let place = Place::new("tail-batch");
    let queue = Queue::<u64>::builder().space(&place.space).create("jobs", 8).unwrap();
    let mut batch = queue.reserve_many(4).unwrap();
    batch.extend_from_slice(&[1, 2, 3]);
    let look = || place.run(&["tail", "jobs", "--all", "--seconds", "0.05", "--json"]).exits(0).out;
    assert!(look().is_empty());
    batch.commit();
    queue.put(5).unwrap();
    let values: Vec<_> = lines(&look()).iter().map(|line| line["value"].clone()).collect();
    // One line says that a slot was given up.
    assert_eq!(values, [Value::Null, json!(1), json!(2), json!(3), json!(5)]);

    let tasks = JoinableQueue::<u64>::builder().space(&place.space).create("tasks", 4).unwrap();
    tasks.put_many(&[1, 2]).unwrap();
    tasks.get().unwrap().done();
    let _held = tasks.get().unwrap();
    let out = lines(&place.run(&["tail", "tasks", "--all", "--count", "2", "--json"]).exits(0).out);
    assert_eq!((&out[0]["value"], &out[1]["value"]), (&json!(1), &json!(2)));
}
