//! A dict in a server process: one client asks it, or several; one question at a time, or a hundred.
//!
//! The first seat of a row is the server's core, the others are the clients'.

mod place;
mod servers;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use crate::contender::{Batch, Contender};
use crate::failure::{Failure, same};
use crate::machine::pin;
use crate::processes::{StartLine, join_all, worker};
use crate::python::python;
use crate::row::{OURS, Placement, Row};
use crate::stopwatch::{Lap, Span, timed};
use place::Place;

/// Through the socket alone, where the library would choose rings.
const SOCKET: &str = "procshare socket";
const REDIS: &str = "Redis";
/// Keys of the dict.
const KEYS: u64 = 64;
/// Questions that are under way at once, where several are.
const PIPELINED: u64 = 100;
/// Longer than any batch: the method's watchdog ends a stuck batch first.
const NO_LIMIT: Duration = Duration::from_secs(3600);

/// The key that the question of this number is for.
fn key(number: u64) -> &'static str {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..KEYS).map(|n| format!("key-{n:02}")).collect());
    &NAMES[(number % KEYS) as usize]
}

/// The right answer to the question of this number.
fn value(number: u64) -> u64 {
    (number % KEYS) * 1_000_003 + 7
}

/// A server with a value under each key.
trait Server: Sized {
    /// A connection to it.
    type Client;

    /// Starts it, on the core of the calling thread.
    fn start(place: &Place) -> Result<Self, Failure>;

    fn client(place: &Place) -> Result<Self::Client, Failure>;

    /// Asks for one value.
    fn get(client: &mut Self::Client, number: u64) -> Result<u64, Failure>;
}

/// One that can be asked many questions before it answers the first.
trait Pipelined: Server {
    fn get_many(client: &mut Self::Client, numbers: Range<u64>) -> Result<Vec<u64>, Failure>;
}

/// The rows of this file. The goals of `procshare` itself are for the transport that it chooses on one machine.
pub fn rows() -> Vec<Row> {
    vec![
        one_by_one("manager-get-apart", "Manager: get from a dict, two cores", Placement::Apart(2))
            .with(asked::<servers::Echo>("Unix socket echo"))
            .goal(0.01, REDIS)
            .goal_of(SOCKET, 0.9, REDIS),
        one_by_one("manager-get-same", "Manager: get from a dict, same core", Placement::SameCore(2))
            .with(asked::<servers::Echo>("Unix socket echo"))
            .goal(0.5, REDIS)
            .goal_of(SOCKET, 0.75, REDIS),
        one_by_one(
            "manager-get-crowd",
            "Manager: get from a dict, 4 clients on two cores, the server on one",
            Placement::Apart(5),
        )
        .goal(0.12, REDIS),
        many_at_once("manager-pipe-apart", "two cores", Placement::Apart(2), 0.45),
        many_at_once("manager-pipe-same", "same core", Placement::SameCore(2), 0.15),
    ]
}

fn one_by_one(id: &str, title: &str, placement: Placement) -> Row {
    Row::new(id, title, placement)
        .with(asked::<servers::Ours<true>>(OURS))
        .with(asked::<servers::Ours<false>>(SOCKET))
        .with(asked::<servers::Redis>(REDIS))
        .with(python("manager-get"))
}

fn many_at_once(id: &str, cores: &str, placement: Placement, at_most: f64) -> Row {
    let title = format!("Manager: get from a dict, {PIPELINED} pipelined, {cores}");
    Row::new(id, title, placement)
        .with(piped::<servers::Ours<true>>(OURS))
        .with(piped::<servers::Ours<false>>(SOCKET))
        .with(piped::<servers::Redis>(REDIS))
        .goal(at_most, REDIS)
        .goal_of(SOCKET, at_most, REDIS)
}

/// Asks one question at a time.
fn asked<S: Server + 'static>(name: &'static str) -> Box<dyn Contender> {
    Box::new(Asked::<S, _> {
        name,
        ask: |client: &mut S::Client, numbers: Range<u64>| {
            for number in numbers {
                same("value", value(number), S::get(client, number)?)?;
            }
            Ok(())
        },
        of: PhantomData,
    })
}

/// Asks a hundred questions at a time.
fn piped<S: Pipelined + 'static>(name: &'static str) -> Box<dyn Contender> {
    Box::new(Asked::<S, _> {
        name,
        ask: |client: &mut S::Client, numbers: Range<u64>| {
            let mut asked = numbers.start;
            while asked < numbers.end {
                let some = asked..numbers.end.min(asked + PIPELINED);
                asked = some.end;
                let found = S::get_many(client, some.clone())?;
                same("answers", some.end - some.start, found.len() as u64)?;
                for (number, found) in some.zip(found) {
                    same("value", value(number), found)?;
                }
            }
            Ok(())
        },
        of: PhantomData,
    })
}

/// A server and those who ask it, each a process of its own.
struct Asked<S, A> {
    name: &'static str,
    ask: A,
    of: PhantomData<fn() -> S>,
}

impl<S, A> Contender for Asked<S, A>
where
    S: Server,
    A: Fn(&mut S::Client, Range<u64>) -> Result<(), Failure>,
{
    fn name(&self) -> &str {
        self.name
    }

    fn run(&self, batch: &Batch<'_>) -> Result<Lap, Failure> {
        let [core, clients @ ..] = batch.seats else {
            return Err(Failure::Unavailable("needs a core for the server".into()));
        };
        let of = clients.len() as u64;
        let (warm_up, ops) = ((batch.warm_up / of).max(1), (batch.ops / of).max(1));
        let place = Place::new()?;
        pin(*core)?;
        let _server = S::start(&place)?;
        let line = StartLine::new(clients.len())?;
        let stint = |core: usize| {
            pin(core)?;
            let mut client = S::client(&place)?;
            (self.ask)(&mut client, 0..warm_up)?;
            line.wait();
            timed(|| (self.ask)(&mut client, warm_up..warm_up + ops))
        };
        let children = clients.iter().map(|&core| worker(|| stint(core))).collect::<Result<Vec<_>, _>>()?;
        Ok(Span::join(&join_all(children, NO_LIMIT)?, ops * of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_value_of_its_own() {
        let pairs: std::collections::HashMap<_, _> = (0..3 * KEYS).map(|n| (key(n), value(n))).collect();
        let values: std::collections::HashSet<_> = pairs.values().collect();
        assert_eq!((pairs.len() as u64, values.len() as u64), (KEYS, KEYS));
    }
}
