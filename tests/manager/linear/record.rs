//! What clients write down while they work, so that it survives them; and histories made of that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use procshare::AtomicValue;
use serde::{Deserialize, Serialize};

use super::history::{Call, Mishap, Op, Outcome, Who};

/// The objects of a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Place {
    /// A dict whose keys are used alone.
    Dict,
    /// A dict that is also used as a whole.
    Whole,
    List,
    Value,
    Lock,
    /// A lock that is handed over.
    Relay,
    /// A lock of readers and a writer.
    Shared,
    Permits,
    Queue,
    Tasks,
    Bank,
}

impl Place {
    /// Whether anything of it can be held.
    fn is_held(self) -> bool {
        use Place::*;
        matches!(self, Lock | Relay | Shared | Permits | Queue | Tasks)
    }
}

#[derive(Serialize, Deserialize)]
enum Event {
    /// Calls that are sent one after the other, with consecutive numbers.
    Asked {
        first: u32,
        place: Place,
        calls: Vec<Call>,
        at: u64,
    },
    Told {
        first: u32,
        outcomes: Vec<Outcome>,
        at: u64,
    },
    /// A call without an answer has been sent.
    Sent {
        number: u32,
    },
    /// The connection is gone; whether the call under way may have been done.
    Ended {
        maybe_done: bool,
    },
}

/// One thread's notes. Each is one write into the system's memory, where a kill does not reach.
pub(crate) struct Recorder {
    file: File,
    clock: AtomicValue<u64>,
    next: u32,
}

impl Recorder {
    pub(crate) fn new(directory: &Path, who: Who, clock: AtomicValue<u64>) -> Self {
        let path = directory.join(format!("{}-{}", who.process, who.thread));
        let file = OpenOptions::new().append(true).create_new(true).open(path).unwrap();
        Recorder { file, clock, next: 0 }
    }

    fn note(&mut self, event: &Event) {
        let bytes = postcard::to_allocvec(event).unwrap();
        let frame = [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], &bytes].concat();
        self.file.write_all(&frame).unwrap();
    }

    /// Calls are about to be sent: the number of the first.
    pub(crate) fn ask(&mut self, place: Place, calls: &[Call]) -> u32 {
        let first = self.next;
        self.next += calls.len() as u32;
        let at = self.clock.fetch_add(1).unwrap();
        self.note(&Event::Asked { first, place, calls: calls.to_vec(), at });
        first
    }

    /// Their answers have come.
    pub(crate) fn told(&mut self, first: u32, outcomes: &[Outcome]) {
        let at = self.clock.fetch_add(1).unwrap();
        self.note(&Event::Told { first, outcomes: outcomes.to_vec(), at });
    }

    pub(crate) fn sent(&mut self, number: u32) {
        self.note(&Event::Sent { number });
    }

    pub(crate) fn ended(&mut self, maybe_done: bool) {
        self.note(&Event::Ended { maybe_done });
    }
}

/// A process that was killed: when at the earliest, by when it was noticed, and what its end is.
pub(crate) struct Death {
    pub(crate) process: u32,
    pub(crate) at: u64,
    pub(crate) noticed: u64,
    pub(crate) how: Mishap,
}

/// An operation, and whether it was sent for certain.
struct Noted {
    op: Op,
    sent: bool,
}

/// What all threads noted.
#[derive(Default)]
pub(crate) struct Notes {
    groups: BTreeMap<(Place, u64), Vec<Noted>>,
    /// Threads that lost their connection, and whether the last call may have been done.
    pub(crate) ended: Vec<(Who, bool)>,
    /// Operations that were answered.
    pub(crate) answered: usize,
    /// Operations that were not.
    pub(crate) pending: usize,
}

impl Notes {
    pub(crate) fn read(directory: &Path) -> Self {
        let mut notes = Notes::default();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let (process, thread) = name.split_once('-').unwrap();
            let who = Who { process: process.parse().unwrap(), thread: thread.parse().unwrap() };
            notes.add(who, &std::fs::read(&path).unwrap());
        }
        notes
    }

    fn add(&mut self, who: Who, mut bytes: &[u8]) {
        let mut ops: Vec<(Place, Noted)> = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk() {
            // Cut by a kill: it was not told.
            let Some((event, rest)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize) else { break };
            bytes = rest;
            match postcard::from_bytes(event).unwrap() {
                Event::Asked { first, place, calls, at } => {
                    assert_eq!(first as usize, ops.len());
                    ops.extend(calls.into_iter().map(|call| {
                        let op = Op { who, ..Op::pending(who.process, at, call) };
                        (place, Noted { op, sent: false })
                    }));
                }
                Event::Told { first, outcomes, at } => {
                    for (outcome, (_, noted)) in outcomes.into_iter().zip(&mut ops[first as usize..]) {
                        noted.op.came = Some(at);
                        noted.op.outcome = Some(outcome);
                        noted.sent = true;
                    }
                }
                Event::Sent { number } => ops[number as usize].1.sent = true,
                Event::Ended { maybe_done } => self.ended.push((who, maybe_done)),
            }
        }
        for (place, noted) in ops {
            let answered = noted.op.came.is_some();
            self.answered += usize::from(answered);
            self.pending += usize::from(!answered);
            let key = if place == Place::Dict { key_of(&noted.op.call) } else { 0 };
            self.groups.entry((place, key)).or_default().push(noted);
        }
    }

    /// The history of each object, and of each key that is used alone.
    pub(crate) fn histories(self, deaths: &[Death]) -> Vec<((Place, u64), Vec<Op>)> {
        self.groups.into_iter().map(|(of, noted)| (of, history(of.0, noted, deaths))).collect()
    }
}

fn key_of(call: &Call) -> u64 {
    match *call {
        Call::Get(key)
        | Call::Set(key, _)
        | Call::Insert(key, _)
        | Call::Remove(key)
        | Call::Contains(key)
        | Call::Add(key, _)
        | Call::GetOrInsert(key, _)
        | Call::Swap(key, ..) => key,
        _ => panic!("{call:?} is of no key"),
    }
}

fn history(place: Place, mut noted: Vec<Noted>, deaths: &[Death]) -> Vec<Op> {
    let seen: HashSet<u64> = noted.iter().flat_map(|noted| seen(&noted.op)).collect();
    for Noted { op, .. } in noted.iter_mut().filter(|noted| noted.op.came.is_none()) {
        let Some(death) = deaths.iter().find(|death| death.process == op.who.process) else { continue };
        op.until = death.noticed;
        // No other thread makes this value: it was put there before its maker was gone.
        if made(&op.call).is_some_and(|value| seen.contains(&value)) {
            op.came = Some(death.noticed);
        }
    }
    // Whoever finds nothing at the end would have found it.
    if place == Place::Tasks {
        noted.retain(|Noted { op, .. }| op.came.is_some() || made(&op.call).is_none());
    }
    if place.is_held() {
        let users: HashSet<u32> = noted.iter().map(|noted| noted.op.who.process).collect();
        let deaths = deaths.iter().filter(|death| users.contains(&death.process));
        noted.extend(deaths.map(|death| {
            let op = Op::pending(death.process, death.at, Call::Death(death.how));
            let who = Who { thread: u32::MAX, ..op.who };
            let op = Op { who, came: Some(death.noticed), outcome: Some(Outcome::Nothing), ..op };
            Noted { op, sent: false }
        }));
    }
    // Stable: what one thread sent at once stays in its order.
    noted.sort_by_key(|noted| noted.op.began);
    in_order(noted)
}

/// Says of each operation which ones came before it.
fn in_order(mut noted: Vec<Noted>) -> Vec<Op> {
    let mut sent: HashMap<u32, Vec<usize>> = HashMap::new();
    for (at, noted) in noted.iter().enumerate().filter(|(_, noted)| noted.sent) {
        sent.entry(noted.op.who.process).or_default().push(at);
    }
    let (mut last, mut ends) = (HashMap::<Who, usize>::new(), HashMap::new());
    for (at, Noted { op, .. }) in noted.iter_mut().enumerate() {
        match op.call {
            // Behind whatever the process had sent for certain.
            Call::Death(_) => {
                op.after = sent.remove(&op.who.process).unwrap_or_default();
                ends.insert(op.who.process, at);
            }
            // One thread's calls are done in their order.
            _ => op.after.extend(last.insert(op.who, at)),
        }
    }
    for Noted { op, .. } in noted.iter_mut().filter(|noted| !matches!(noted.op.call, Call::Death(_))) {
        op.before = ends.get(&op.who.process).copied();
    }
    noted.into_iter().map(|noted| noted.op).collect()
}

/// A value that only this call makes.
fn made(call: &Call) -> Option<u64> {
    match *call {
        Call::Put(value) | Call::Push(value) | Call::PushFront(value) => Some(value),
        Call::Set(_, value) | Call::Insert(_, value) => Some(value),
        _ => None,
    }
}

/// Values that somebody was given, or gives back.
fn seen(op: &Op) -> Vec<u64> {
    let given = match op.call {
        Call::Done(value) | Call::GiveBack(value) => Some(value),
        _ => None,
    };
    let told = match &op.outcome {
        Some(Outcome::Number(value) | Outcome::Maybe(Some(value)) | Outcome::Pair(Some((_, value)))) => {
            vec![*value]
        }
        Some(Outcome::Items(items)) => items.clone(),
        Some(Outcome::Pairs(pairs)) => pairs.iter().map(|pair| pair.1).collect(),
        _ => Vec::new(),
    };
    told.into_iter().chain(given).collect()
}
