//! Many tasks, submitted as their outcomes are taken.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::batch::{Batch, Outcome};
use super::engine::{Engine, Item};
use super::job::decode;
use crate::participant::{Kept, pinning};
use crate::process::error::TaskError;
use crate::process::task::{Entry, Task};

/// Tasks submitted under one lock.
const AT_ONCE: usize = 64;

/// Arguments as bytes, with what they need to stay.
pub(super) type Encoded = (postcard::Result<Vec<u8>>, Vec<Kept>);

/// Encodes arguments.
pub(super) fn encode(args: impl FnOnce(&mut Vec<u8>) -> postcard::Result<()>) -> Encoded {
    pinning(|| {
        let mut bytes = Vec::new();
        args(&mut bytes).map(|()| bytes)
    })
}

/// The outcomes of tasks, as an iterator that draws its input as it goes: never more than the pool's window is under way.
///
/// From [`Pool::imap`](super::Pool::imap) and [`Pool::imap_unordered`](super::Pool::imap_unordered). An error is the outcome of its task
/// only: the iteration goes on. Dropping it takes back the tasks that no worker has yet.
pub struct Outcomes<I, R> {
    feed: Feed<I>,
    /// Arrived too early.
    early: BTreeMap<u64, Outcome>,
    next: u64,
    in_order: bool,
    output: PhantomData<fn() -> R>,
}

impl<I, R> std::fmt::Debug for Outcomes<I, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Feed { submitted, arrived, .. } = &self.feed;
        f.debug_struct("Outcomes")
            .field("submitted", submitted)
            .field("arrived", arrived)
            .finish_non_exhaustive()
    }
}

/// Where tasks come from, and where their outcomes arrive.
pub(super) struct Feed<I> {
    engine: Arc<Engine>,
    batch: Arc<Batch>,
    input: Option<I>,
    entry: &'static Entry,
    task: u32,
    chunk: usize,
    submitted: u64,
    arrived: u64,
}

impl<I: Iterator<Item = Encoded>> Feed<I> {
    pub(super) fn new<T: Task>(engine: &Arc<Engine>, chunk: usize, input: I) -> Self {
        let entry = T::entry();
        Feed {
            engine: Arc::clone(engine),
            batch: Arc::default(),
            input: Some(input),
            entry,
            task: crate::process::registry::index_of(entry),
            chunk,
            submitted: 0,
            arrived: 0,
        }
    }

    /// Submits as much as the window allows.
    fn fill(&mut self) -> Result<(), TaskError> {
        let window = self.engine.window;
        while let Some(input) = &mut self.input {
            let room = window.saturating_sub(self.submitted - self.arrived);
            // Some at a time: one for each outcome would cost a lock for each.
            if room < (window / 4).clamp(1, AT_ONCE as u64) {
                return Ok(());
            }
            let mut items = Vec::new();
            for _ in 0..room.min(AT_ONCE as u64) {
                let Some((args, pins)) = input.next() else {
                    self.input = None;
                    break;
                };
                let index = self.submitted;
                self.submitted += 1;
                let (entry, task, chunk) = (self.entry, self.task, self.chunk);
                match args {
                    Ok(args) => {
                        let batch = Arc::clone(&self.batch);
                        items.push(Item { entry, task, args, index, batch, chunk, _pins: pins });
                    }
                    Err(error) => drop(self.batch.arrive(index, Err(unfit(entry, &error)))),
                }
            }
            if !items.is_empty() {
                self.engine.submit(items, false)?;
            }
        }
        Ok(())
    }

    /// Submits, and waits for outcomes: for one, or for as many as make waiting worth while. None if all have arrived.
    fn arrivals(&mut self, eager: bool) -> Result<Vec<(u64, Outcome)>, TaskError> {
        self.fill()?;
        let pending = (self.submitted - self.arrived) as usize;
        let wanted = match (eager, &self.input) {
            (true, _) => pending.min(1),
            (false, None) => pending,
            (false, Some(_)) => pending.div_ceil(2),
        };
        let arrived = self.batch.take(wanted, None);
        self.arrived += arrived.len() as u64;
        Ok(arrived)
    }

    /// Runs all, and returns all outcomes in the order of the input.
    pub(super) fn all<R: DeserializeOwned>(mut self) -> Result<Vec<Result<R, TaskError>>, TaskError> {
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        loop {
            let arrived = self.arrivals(false)?;
            if arrived.is_empty() {
                break;
            }
            outcomes.resize_with(self.submitted as usize, || None);
            for (index, outcome) in arrived {
                outcomes[index as usize] = Some(outcome);
            }
        }
        let name = self.entry.name();
        Ok(outcomes.into_iter().flatten().map(|outcome| decode(name, outcome)).collect())
    }
}

pub(super) fn unfit(entry: &'static Entry, error: &postcard::Error) -> TaskError {
    TaskError::Codec { task: entry.name(), what: "the arguments", reason: error.to_string() }
}

impl<I, R> Outcomes<I, R> {
    pub(super) fn new(feed: Feed<I>, in_order: bool) -> Self {
        Outcomes { feed, early: BTreeMap::new(), next: 0, in_order, output: PhantomData }
    }
}

impl<I: Iterator<Item = Encoded>, R: DeserializeOwned> Iterator for Outcomes<I, R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = self.early.first_key_value().map(|(&index, _)| index);
            if let Some(index) = first
                && (!self.in_order || index == self.next)
            {
                self.next += 1;
                let outcome = self.early.remove(&index)?;
                return Some(decode(self.feed.entry.name(), outcome));
            }
            match self.feed.arrivals(true) {
                Ok(arrived) if arrived.is_empty() => return None,
                Ok(arrived) => self.early.extend(arrived),
                Err(error) => {
                    // The pool takes no more. What arrived out of order is lost with what it waited for.
                    self.feed.input = None;
                    self.early.clear();
                    self.feed.arrived = self.feed.submitted;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<I> Drop for Feed<I> {
    fn drop(&mut self) {
        self.engine.cancel(&self.batch);
    }
}
