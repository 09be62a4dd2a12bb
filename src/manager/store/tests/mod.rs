//! The store as a machine: what calls, deadlines and deaths do to it, without any socket.

use serde::Serialize;
use serde::de::DeserializeOwned;

mod bounds;
mod data;
mod turns;

use super::*;
use crate::manager::wire::pack;

const SECOND: u64 = 1_000_000_000;

struct Bench {
    store: Store,
    now: u64,
    request: u64,
    answers: Vec<Answer>,
}

/// Arguments, one behind the other.
#[derive(Default, Clone)]
struct Args(Vec<u8>, u32);

impl Args {
    fn and(mut self, value: impl Serialize) -> Self {
        value.serialize(&mut rmp_serde::Serializer::new(&mut self.0)).unwrap();
        self.1 += 1;
        self
    }

    fn reference(mut self, object: u64) -> Self {
        pack::reference(&mut self.0, object);
        self.1 += 1;
        self
    }
}

fn args() -> Args {
    Args::default()
}

impl Bench {
    fn new() -> Self {
        let bounds = Bounds { memory: 1 << 20, result: 1 << 16, waiters: 8, objects: 100, work: 10_000 };
        let mut store = Store::new(bounds, Types::default());
        (1..=4).for_each(|client| store.enter(client, &format!("tester {client}")));
        Bench { store, now: 0, request: 0, answers: Vec::new() }
    }

    /// Begins a call; its number.
    fn begin(&mut self, client: u64, object: u64, method: &str, Args(arguments, count): Args) -> u64 {
        self.request += 1;
        let request = Request { id: self.request, object, method, arguments: &arguments, count };
        self.store.call(self.now, client, &request);
        self.collect();
        self.request
    }

    fn collect(&mut self) {
        self.answers.extend(self.store.take_answers());
    }

    /// The answer to a call, if it has come.
    fn answer(&mut self, request: u64) -> Option<Result<Vec<u8>, &'static str>> {
        let at = self.answers.iter().position(|answer| answer.request == request)?;
        Some(self.answers.remove(at).outcome.map_err(|fault| fault.kind))
    }

    fn waits(&mut self, request: u64) -> bool {
        !self.answers.iter().any(|answer| answer.request == request)
    }

    fn try_call(
        &mut self,
        client: u64,
        object: u64,
        method: &str,
        args: Args,
    ) -> Result<Vec<u8>, &'static str> {
        let request = self.begin(client, object, method, args);
        self.answer(request).unwrap_or_else(|| panic!("{method} waits"))
    }

    fn call<R: DeserializeOwned>(&mut self, client: u64, object: u64, method: &str, args: Args) -> R {
        let bytes = self.try_call(client, object, method, args).unwrap();
        rmp_serde::from_slice(&bytes).unwrap()
    }

    /// Makes an object for a client.
    fn make(&mut self, client: u64, kind: &str, name: Option<&str>, Args(more, count): Args) -> u64 {
        let mut all = args().and(kind).and(name);
        all.0.extend(more);
        all.1 += count;
        let bytes = self.try_call(client, 0, "create", all).unwrap();
        number_in(&bytes)
    }

    fn pass(&mut self, ns: u64) {
        self.now += ns;
        self.store.advance(self.now);
        self.collect();
    }

    fn kill(&mut self, client: u64) {
        self.store.leave(self.now, client, Departure::Died);
        self.collect();
    }
}

/// The object in `[reference, kind]`.
fn number_in(bytes: &[u8]) -> u64 {
    assert_eq!(bytes[..3], [0x92, 0xd7, 1], "{bytes:02x?}");
    u64::from_be_bytes(bytes[3..11].try_into().unwrap())
}

fn read<R: DeserializeOwned>(bytes: &[u8]) -> R {
    rmp_serde::from_slice(bytes).unwrap()
}
