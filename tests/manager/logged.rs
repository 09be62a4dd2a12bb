//! Who is refused or ended is told why, and so is whoever reads the server's log.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use procshare::manager::*;
use procshare_harness::{Reexec, entered};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::raw::{Raw, pack};
use crate::support::{Running, eventually, limited, tcp_limited, watched};

/// Keeps the warnings.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Of this process, from now on.
    pub(crate) fn begin() -> Self {
        let log = Log::default();
        tracing::subscriber::set_global_default(log.clone()).unwrap();
        log
    }

    /// Waits until a line has these words, which must be soon.
    pub(crate) fn waits_for(&self, words: &str) {
        let is_there = || self.0.lock().unwrap().iter().any(|line| line.contains(words));
        eventually(&format!("'{words}' is in the log: {log:?}", log = self.0.lock().unwrap()), is_there);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What a stranger is told after it has said this.
fn told(server: &Running, words: &[u8]) -> String {
    let mut raw = Raw::connect(server);
    raw.send(words);
    raw.last_words()
}

/// What somebody is told who was let in.
fn told_inside(server: &Running, words: &[u8]) -> String {
    let mut raw = Raw::inside(server);
    raw.send(words);
    raw.last_words()
}

fn each_refusal(see: &dyn Fn(&str, &str)) {
    let brief = Duration::from_millis(100);
    let server = limited(Limits { frame: 1 << 16, ..Limits::default() });
    see(&told(&server, b"GET / HTTP/1.1\r\n\r\n"), "1 to 1024 are taken");
    see(&told(&server, &pack::greeting("peer", 9, 1)), "client version 9");
    see(&told_inside(&server, &[0xff; 4]), "1 to 65536 are taken");
    see(&told_inside(&server, &pack::frame(&[0xc1])), "no request");
    let slow =
        limited(Limits { handshake: brief, slow_frame: brief, idle: Some(brief), ..Limits::default() });
    see(&told(&slow, &[]), "too long to be let in");
    see(&told_inside(&slow, &[0, 0]), "a frame took too long");
    see(&told_inside(&slow, &[]), "silent for too long");
    let locked = tcp_limited(Limits { clients: 1, strangers: 2, ..Limits::default() });
    let wrong = [pack::greeting("key", 1, 1), pack::proof(&[7; 32])].concat();
    see(&told(&locked, &wrong), "wrong key");
    let one = locked.client();
    let refused = Manager::builder().key(crate::support::key()).connect(&locked.address).unwrap_err();
    see(&refused.to_string(), "1 clients are connected");
    let mut strangers: Vec<Raw> = (0..9).map(|_| Raw::connect(&locked)).collect();
    see(&strangers.swap_remove(0).last_words(), "more than 2 wait to be let in");
    drop(one);
}

#[test]
fn entry_refusals() {
    let Some(_) = entered("logged::entry_refusals") else { return };
    let log = Log::begin();
    each_refusal(&|told, words| {
        assert!(told.contains(words), "{words}: {told}");
        log.waits_for(words);
    });
    // Each once, and nothing else.
    let lines = log.0.lock().unwrap().clone();
    let reasons = lines.iter().filter(|line| !line.contains("more than 2 wait")).count();
    assert_eq!(reasons, 9, "{lines:#?}");
    // An entry that was not run leaves no trace.
    std::fs::write(std::env::var("PROCSHARE_TEST_TRACE").unwrap(), "done").unwrap();
}

#[test]
fn what_a_refused_client_is_told_is_in_the_servers_log() {
    watched(|| {
        let trace = crate::support::path("trace");
        let entry = Reexec::new("logged::entry_refusals").env("PROCSHARE_TEST_TRACE", &trace);
        entry.spawn().unwrap().wait(Duration::from_secs(50)).unwrap();
        assert_eq!(std::fs::read_to_string(&trace).unwrap(), "done");
        std::fs::remove_file(trace).unwrap();
    });
}
