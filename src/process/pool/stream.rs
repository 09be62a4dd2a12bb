//! Many tasks, submitted as their outcomes are taken.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::batch::{Arrival, Batch, Wanted};
use super::clock::Clock;
use super::engine::{Engine, Next};
use super::job::decode;
use super::run::{Encode, Kind, Run};
use crate::process::error::TaskError;
use crate::process::task::{Entry, Task};

/// Tasks submitted under one lock, as long as nobody knows how long they take: first, and at most.
const PIECE_FIRST: u64 = 16;
const PIECE_MOST: u64 = 1024;
/// Bytes of arguments that are drawn ahead where all outcomes are kept anyway.
const AHEAD_BYTES: u64 = 1 << 20;
/// An input that takes so long for one piece is slow: what was drawn is sent.
const SLOW: Duration = Duration::from_micros(500);
/// Room in memory for so many outputs at once, if the input says that there will be so many.
const MOST_FORESEEN: usize = 1 << 16;

/// The outcomes of tasks, as an iterator that draws its input as it goes: never more than the pool's window ahead.
///
/// From [`Pool::imap`](super::Pool::imap) and [`Pool::imap_unordered`](super::Pool::imap_unordered). An error is the outcome of its task
/// only: the iteration goes on. Dropping it takes back the tasks that no worker has begun.
///
/// ```
/// use procshare::process::{Pool, TaskError};
/// use std::time::Duration;
/// # #[procshare::task] fn double(n: u64) -> u64 { 2 * n }
///
/// # if procshare::backend() == "heap" { return Ok(()) } // which shares nothing with other processes
/// let pool = Pool::builder().workers(1).build()?;
/// let mut doubles = pool.imap::<double>(1u64..); // never drawn further than the window
/// assert_eq!(doubles.next().unwrap()?, 2);
/// let second = loop {
///     match doubles.next_timeout(Duration::from_millis(50)).unwrap() {
///         Err(TaskError::TimedOut) => continue, // it is still to come
///         outcome => break outcome?,
///     }
/// };
/// assert_eq!(second, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Outcomes<I, R> {
    feed: Feed<I>,
    /// What is being handed out.
    now: Option<Arrival>,
    /// Arrived too early.
    early: BTreeMap<u64, Arrival>,
    /// Outcomes handed out.
    given: u64,
    in_order: bool,
    output: PhantomData<fn() -> R>,
}

impl<I, R> std::fmt::Debug for Outcomes<I, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcomes")
            .field("submitted", &self.feed.submitted)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

/// Where tasks come from, and where their outcomes arrive.
pub(super) struct Feed<I> {
    engine: Arc<Engine>,
    input: Option<I>,
    kind: Kind,
    submitted: u64,
    arrived: u64,
    /// Bytes of all arguments so far.
    bytes: u64,
    clock: Clock,
}

impl<I: Iterator<Item: Encode>> Feed<I> {
    pub(super) fn new<T: Task>(engine: &Arc<Engine>, chunk: usize, input: I) -> Self {
        let kind = Kind::new(T::entry(), &Arc::new(Batch::endless()), chunk);
        let (engine, clock) = (Arc::clone(engine), Clock::new());
        Feed { engine, input: Some(input), kind, submitted: 0, arrived: 0, bytes: 0, clock }
    }

    fn entry(&self) -> &'static Entry {
        self.kind.entry
    }

    /// Submits tasks until `most` are under way: submitted beyond the first `done`.
    fn fill(&mut self, done: u64, most: impl Fn(&Self) -> u64) -> Result<(), TaskError> {
        let mut piece = PIECE_FIRST;
        while self.input.is_some() {
            let most = most(self);
            let room = most.saturating_sub(self.submitted - done);
            // Some at a time: one for each outcome would cost a lock for each.
            if room < (most / 4).clamp(1, 64) {
                return Ok(());
            }
            let worth = self.engine.worth(&self.kind)?.unwrap_or(piece).max(PIECE_FIRST);
            let (run, is_slow) = self.draw(room.min(worth));
            self.bytes += run.bytes() as u64;
            if run.len() > 0 {
                self.engine.submit(run, Next::Returns)?;
            }
            piece = if is_slow { PIECE_FIRST } else { (4 * piece).min(PIECE_MOST) };
        }
        Ok(())
    }

    /// Draws up to `most` tasks; tells whether that took long.
    fn draw(&mut self, most: u64) -> (Run, bool) {
        let mut run = Run::new(self.kind.clone(), self.submitted);
        let Some(input) = &mut self.input else { return (run, false) };
        self.clock.begin(Instant::now());
        let mut is_slow = false;
        while run.len() < most && !is_slow {
            let Some(item) = input.next() else {
                self.input = None;
                break;
            };
            if let Err(error) = run.push(item) {
                self.submitted += run.len() + 1;
                self.kind.batch.arrive(Arrival::failed(self.submitted - 1, 1, error));
                // A run has consecutive indices.
                return (run, true);
            }
            is_slow = self.clock.tick(SLOW);
        }
        self.submitted += run.len();
        (run, is_slow)
    }

    /// Waits until outcomes have arrived, or the deadline has come, and takes those that have. Not to be woken for less than `wanted`.
    fn arrivals(&mut self, wanted: u64, deadline: Option<Instant>) -> Vec<Arrival> {
        let arrived = self.kind.batch.take(&self.engine, Wanted::any_or(wanted), deadline);
        self.arrived += arrived.iter().map(Arrival::count).sum::<u64>();
        arrived
    }

    /// Runs all, and hands outcomes to `take` as they come, whatever their order.
    fn all(&mut self, mut take: impl FnMut(Arrival)) -> Result<(), TaskError> {
        loop {
            let most = |feed: &Self| {
                let each = feed.bytes.checked_div(feed.submitted).unwrap_or(AHEAD_BYTES).max(1);
                feed.engine.window.max(AHEAD_BYTES / each)
            };
            self.fill(self.arrived, most)?;
            let pending = self.submitted - self.arrived;
            if pending == 0 {
                return Ok(());
            }
            let wanted = if self.input.is_some() { pending.div_ceil(2) } else { pending };
            self.arrivals(wanted, None).into_iter().for_each(&mut take);
        }
    }

    /// Runs all, and returns all outcomes in the order of the input.
    pub(super) fn outcomes<R: DeserializeOwned>(mut self) -> Result<Vec<Result<R, TaskError>>, TaskError> {
        let name = self.entry().name();
        let mut outcomes: Vec<Option<Result<R, TaskError>>> = Vec::new();
        self.all(|mut arrival| {
            let mut index = arrival.first() as usize;
            outcomes.resize_with(outcomes.len().max(index + arrival.count() as usize), || None);
            while let Some(outcome) = arrival.next() {
                outcomes[index] = Some(outcome.and_then(|bytes| decode(name, bytes)));
                index += 1;
            }
        })?;
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Runs all, and returns all outputs in the order of the input, or the error of the first that has one.
    pub(super) fn outputs<R: DeserializeOwned>(mut self) -> Result<Vec<R>, TaskError> {
        let name = self.entry().name();
        let foreseen = self.input.as_ref().map_or(0, |input| input.size_hint().0);
        let mut all: Vec<R> = Vec::with_capacity(foreseen.min(MOST_FORESEEN));
        let (mut early, mut failed) = (BTreeMap::<u64, Vec<R>>::new(), None::<(u64, TaskError)>);
        self.all(|arrival| {
            let first = arrival.first();
            let decoded = if first == all.len() as u64 {
                arrival.decode_onto(&mut all, |bytes| decode(name, bytes))
            } else {
                let piece = early.entry(first).or_default();
                arrival.decode_onto(piece, |bytes| decode(name, bytes))
            };
            if let Err((index, error)) = decoded
                && failed.as_ref().is_none_or(|(earliest, _)| index < *earliest)
            {
                failed = Some((index, error));
            }
            while let Some(mut next) = early.remove(&(all.len() as u64)) {
                all.append(&mut next);
            }
        })?;
        failed.map_or(Ok(all), |(_, error)| Err(error))
    }
}

impl<I, R> Outcomes<I, R> {
    pub(super) fn new(feed: Feed<I>, in_order: bool) -> Self {
        Outcomes { feed, now: None, early: BTreeMap::new(), given: 0, in_order, output: PhantomData }
    }

    /// Makes what comes next what is handed out, if it is there.
    fn turn_to_next(&mut self) -> bool {
        let first = self.early.first_entry();
        self.now =
            first.filter(|first| !self.in_order || *first.key() == self.given).map(|first| first.remove());
        self.now.is_some()
    }
}

impl<I: Iterator<Item: Encode>, R: DeserializeOwned> Outcomes<I, R> {
    /// As `next`, waiting at most `timeout` for the outcome; drawing the input takes what time it takes.
    ///
    /// # Errors
    ///
    /// [`TaskError::TimedOut`]: it is still to come, so ask again. All others are outcomes.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<R, TaskError>> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Option<Result<R, TaskError>> {
        let name = self.feed.entry().name();
        loop {
            if let Some(outcome) = self.now.as_mut().and_then(Arrival::next) {
                self.given += 1;
                return Some(outcome.and_then(|bytes| decode(name, bytes)));
            }
            if self.turn_to_next() {
                continue;
            }
            if let Err(error) = self.feed.fill(self.given, |feed| feed.engine.window) {
                // The pool takes no more. What arrived out of order is lost with what it waited for.
                self.feed.input = None;
                self.early.clear();
                self.feed.arrived = self.feed.submitted;
                return Some(Err(error));
            }
            if self.feed.arrived == self.feed.submitted {
                return None;
            }
            let arrived = self.feed.arrivals(1, deadline);
            if arrived.is_empty() {
                return Some(Err(TaskError::TimedOut));
            }
            self.early.extend(arrived.into_iter().map(|arrival| (arrival.first(), arrival)));
        }
    }
}

impl<I: Iterator<Item: Encode>, R: DeserializeOwned> Iterator for Outcomes<I, R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None)
    }
}

impl<I> Drop for Feed<I> {
    fn drop(&mut self) {
        if self.arrived < self.submitted {
            self.engine.cancel(Some(&self.kind.batch));
        }
    }
}
