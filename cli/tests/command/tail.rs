//! `tail` against live queues.

use procshare::{Broadcast, Lock, Queue};
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
