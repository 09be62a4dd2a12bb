//! What anybody may send, as functions of bytes: for the fuzzer (`fuzz/`), and for the replay of its corpus among the tests.
//!
//! Each function takes any bytes and panics if a promise is broken.

use std::os::unix::net::UnixStream;

use super::proxy::Any;
use super::store::{Bounds, Departure, Store, Types};
use super::wire::PROTOCOL;
use super::wire::message::{LONGEST_RUN, Reply, Request, Run};
use super::wire::order::{canonical, compare, equal};
use crate::net::Key;
use crate::net::frame::Frames;
use crate::net::greeting::{Greeting, read_proof, read_refusal};
use crate::net::handshake::{Door, Terms};
use crate::net::read::{DEEPEST, Head, Reader};
use crate::sys::sockets::Stream;

/// The most bytes of a frame here.
const LONGEST: usize = 300;

/// Bytes cut into frames: in whatever pieces they come, the frames are the same, and so is what ends them.
pub fn frames(data: &[u8]) {
    let Some((&step, bytes)) = data.split_first() else { return };
    let cut = |step: usize| {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(step) {
            frames.push(piece);
            loop {
                let missing = frames.missing(LONGEST);
                match frames.next(LONGEST) {
                    Ok(Some(frame)) => {
                        assert!(missing == Ok(0) && (1..=LONGEST).contains(&frame.len()));
                        found.push(frame.to_vec());
                    }
                    Ok(None) => break assert!(missing.is_ok_and(|missing| missing > 0)),
                    Err(bad) => return (found, Some(bad)),
                }
            }
            assert!(frames.len() <= LONGEST + 4 + piece.len());
        }
        (found, None)
    };
    assert_eq!(cut(usize::from(step) + 1), cut(bytes.len().max(1)));
}

/// One value: read whole or refused, never beyond its bytes; its canonical form is its own, and equal to it in the order.
pub fn values(data: &[u8]) {
    let Ok(value) = Reader::new(data).value() else { return };
    assert!(!value.is_empty() && data.starts_with(value));
    assert_eq!(Reader::new(value).value(), Ok(value), "a value is a value by itself");
    assert!(compare(value, value).is_eq() && equal(value, value));
    let rest = &data[value.len()..];
    if let Ok(other) = Reader::new(rest).value() {
        assert_eq!(compare(value, other), compare(other, value).reverse());
        assert_eq!(equal(value, other), equal(other, value));
        let one_key = matches!((canonical(value), canonical(other)), (Ok(a), Ok(b)) if a == b);
        assert!(equal(value, other) || !one_key && compare(value, other).is_ne());
    }
    if let Ok(form) = canonical(value) {
        assert_eq!(canonical(&form), Ok(form.clone()), "{value:02x?}");
        assert!(equal(value, &form), "{value:02x?} {form:02x?}");
        // Pairs of maps are put into order, which may change their place in the order.
        if !has_map(value) {
            assert!(compare(value, &form).is_eq(), "{value:02x?} {form:02x?}");
        }
    }
    // What a client does with it.
    let _ = rmp_serde::from_slice::<Any>(value);
    if let Ok(Reply::Run { mut results, .. }) = Reply::read(data, |_| ()) {
        while let Ok(Some(result)) = results.next(|_| ()) {
            assert_eq!(Reader::new(result).value(), Ok(result));
        }
    }
    if let Ok(mut run) = Run::read(data) {
        let (most, mut calls) = (run.left(), 0);
        while let Ok(Some(_)) = run.next() {
            calls += 1;
        }
        assert!(calls <= most && most <= LONGEST_RUN);
    }
    let _ = read_refusal(data);
    if let Ok(request) = Request::read(data) {
        let mut written = Vec::new();
        request.write(&mut written);
        assert_eq!(Request::read(&written), Ok(request));
    }
}

fn has_map(value: &[u8]) -> bool {
    let mut reader = Reader::new(value);
    while !reader.is_at_end() {
        match reader.head() {
            Ok(Head::Map(_)) => return true,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
    false
}

/// Somebody at the door who does not know the key: whatever the words, never inside.
pub fn handshake(data: &[u8]) {
    let key = Key::new(*b"nobody who fuzzes can guess this").expect("long enough");
    let Ok((one, _other)) = UnixStream::pair() else { return };
    let stream = Stream::Local(one);
    let terms = Terms { protocol: PROTOCOL, key: Some(&key), number: 7, longest: 1 << 20 };
    let (mut door, mut frames) = (Door::default(), Frames::default());
    frames.push(data);
    let _ = Greeting::read(PROTOCOL, data);
    let _ = read_proof(data);
    for _ in 0..4 {
        let Ok(Some(content)) = frames.next(1024) else { return };
        match door.hear(&terms, &stream, content) {
            Ok(step) => assert_eq!(step.inside, None, "let in without the key"),
            Err(_) => return,
        }
    }
}

/// What the store may grow to here.
const BOUNDS: Bounds = Bounds { memory: 64 << 10, result: 4096, waiters: 8, objects: 40, work: 2000 };

/// The words that calls are made of, so that most of them mean something.
const METHODS: &[&str] = &[
    "create",
    "open",
    "open_or_create",
    "unlink",
    "release",
    "ticket",
    "claim",
    "observe",
    "transaction",
    "cancel",
    "list",
    "stats",
    "describe",
    "get",
    "set",
    "insert",
    "remove",
    "contains",
    "len",
    "extend",
    "clear",
    "pop",
    "pop_first",
    "pop_last",
    "pop_front",
    "push",
    "push_front",
    "get_or_insert",
    "add",
    "compare_and_swap",
    "page",
    "snapshot",
    "truncate",
    "remove_value",
    "index_of",
    "count",
    "slice",
    "set_slice",
    "swap",
    "reverse",
    "sort",
    "fill",
    "acquire",
    "forget",
    "make_consistent",
    "status",
    "lock",
    "wait",
    "notify",
    "waiting",
    "value",
    "is_set",
    "join",
    "leave",
    "abort",
    "reset",
    "put",
    "ack",
    "give_back",
    "close",
    "read",
    "write",
    "downgrade",
    "arrive",
    "proceed",
    "fail",
    "keys",
    "values",
    "drain",
];

/// Calls of several clients, deaths and time: the store stays within its bounds, and everybody's end ends everything.
pub fn store(data: &[u8]) {
    let mut store = Store::new(BOUNDS, Types::default());
    (1..=3).for_each(|client| store.enter(client, "somebody"));
    let (mut now, mut rest, mut next) = (0u64, data, 4);
    let mut inside = vec![1, 2, 3];
    for id in 1.. {
        let Some((&[what, object, method], behind)) = rest.split_first_chunk::<3>() else { break };
        let client = inside[usize::from(what & 3) % inside.len()];
        let arguments = Reader::new(behind).value().unwrap_or(&[]);
        rest = &behind[arguments.len()..];
        match what >> 4 {
            // Time passes,
            0 => {
                now += u64::from(object) * 100_000_000;
                store.advance(now);
            }
            // somebody goes, and another one comes,
            1 => {
                let why = if object % 2 == 0 { Departure::Died } else { Departure::Lost };
                if object % 4 == 3 {
                    store.cut(now, client);
                }
                store.leave(now, client, why);
                inside.retain(|&other| other != client);
                inside.push(next);
                store.enter(next, "another one");
                next += 1;
            }
            // or calls: its arguments are the elements of an array, or one of anything else.
            _ => {
                let mut elements = Reader::new(arguments);
                let (arguments, count) = match elements.head() {
                    Ok(Head::Array(count)) => (elements.rest(), count),
                    Ok(_) => (arguments, 1),
                    Err(_) => (arguments, 0),
                };
                let method = METHODS[usize::from(method) % METHODS.len()];
                let request = Request { id, object: (object % 16).into(), method, arguments, count };
                store.call(now, client, &request);
            }
        }
        check(&mut store, next);
    }
    inside.iter().for_each(|&client| store.leave(now, client, Departure::Died));
    assert!(store.take_answers().iter().all(|answer| answer.client < next));
    // A day later no ticket is valid, and nobody waits.
    store.advance(now.saturating_add(25 * 3600 * 1_000_000_000));
    assert_eq!(store.next_deadline(), None);
    inside.iter().for_each(|&client| assert!(!store.is_waiting(client)));
}

/// `next` is the number that no client has had yet: who has just gone may have an answer of before.
fn check(store: &mut Store, next: u64) {
    assert!(store.bytes() <= BOUNDS.memory, "{} bytes", store.bytes());
    assert!(store.objects() <= BOUNDS.objects);
    for answer in store.take_answers() {
        assert!(answer.request != 0 && answer.client < next);
        if let Ok(result) = answer.outcome {
            assert!(result.len() <= BOUNDS.result);
            let mut reader = Reader::new(&result);
            assert!(reader.value() == Ok(&result) && reader.is_at_end(), "{result:02x?}");
        }
    }
    // Results are no deeper than what may be sent back.
    const { assert!(DEEPEST >= 8) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    type Target = (&'static str, fn(&[u8]));
    const TARGETS: &[Target] =
        &[("frames", frames), ("values", values), ("handshake", handshake), ("store", store)];

    /// Inputs that were found worth keeping, and those that begin: one file each, in `fuzz/corpus`.
    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut paths: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// A generator whose every run gives the same numbers.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % sides.max(1)
        }

        /// An input that differs from one of the corpus in some places, or is put together from two.
        fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
            let mut bytes = corpus[self.roll(corpus.len())].clone();
            for _ in 0..=self.roll(6) {
                let at = self.roll(bytes.len() + 1);
                match self.roll(6) {
                    0 => bytes.insert(at, self.roll(256) as u8),
                    1 if at < bytes.len() => drop(bytes.remove(at)),
                    2 => bytes.truncate(at),
                    3 => {
                        let other = &corpus[self.roll(corpus.len())];
                        bytes.extend_from_slice(&other[self.roll(other.len() + 1)..]);
                    }
                    4 if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
                    _ if at < bytes.len() => bytes[at] = self.roll(256) as u8,
                    _ => {}
                }
            }
            bytes
        }
    }

    fn replay(name: &str, times: usize) {
        let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
        let corpus = corpus(name);
        assert!(corpus.len() >= 3, "fuzz/corpus/{name} is nearly empty");
        corpus.iter().for_each(|input| target(input));
        // PROCSHARE_FUZZ_TIMES=1000000 for the long form.
        let times = std::env::var("PROCSHARE_FUZZ_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(times);
        let mut dice = Dice(times as u64);
        for _ in 0..times {
            let input = dice.mutate(&corpus);
            if let Err(panic) = std::panic::catch_unwind(|| target(&input)) {
                eprintln!("{name} fails for {input:02x?}");
                std::panic::resume_unwind(panic);
            }
        }
    }

    #[test]
    fn frames_withstand_mutations() {
        replay("frames", 20_000);
    }

    #[test]
    fn values_withstand_mutations() {
        replay("values", 20_000);
    }

    #[test]
    fn the_door_withstands_mutations() {
        replay("handshake", 5_000);
    }

    #[test]
    fn the_store_withstands_mutations() {
        replay("store", 5_000);
    }
}
