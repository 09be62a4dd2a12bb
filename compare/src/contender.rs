//! One way to do a row's work.

use std::hint::black_box;

use crate::failure::Failure;
use crate::machine::pin;
use crate::stopwatch::{Lap, Span, timed};

/// How much to do, and on which cores.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Operations before the clock starts.
    pub warm_up: u64,
    /// Operations while it runs.
    pub ops: u64,
    /// One core for each worker.
    pub seats: &'a [usize],
}

/// A library, or a way of using one, that can do a row's work.
pub trait Contender {
    /// Its name in the table.
    fn name(&self) -> &str;

    /// Builds what it needs, warms up, does the batch and checks the answer.
    ///
    /// Runs in a process made for this batch, so it may pin, fork and start threads as it likes.
    ///
    /// # Errors
    /// [`Failure::WrongAnswer`] when the work was not done right, anything else when it could not be done.
    fn run(&self, batch: &Batch<'_>) -> Result<Lap, Failure>;
}

/// A contender that one thread on one core can do: `build` makes the state, `work` does n operations on it, `check`
/// judges the state after the total number of operations.
pub fn solo<S, B, W, C>(name: &'static str, build: B, work: W, check: C) -> Box<dyn Contender>
where
    S: 'static,
    B: Fn() -> Result<S, Failure> + 'static,
    W: Fn(&mut S, u64) -> Result<(), Failure> + 'static,
    C: Fn(&mut S, u64) -> Result<(), Failure> + 'static,
{
    Box::new(Solo { name, build, work, check })
}

struct Solo<B, W, C> {
    name: &'static str,
    build: B,
    work: W,
    check: C,
}

impl<S, B, W, C> Contender for Solo<B, W, C>
where
    B: Fn() -> Result<S, Failure>,
    W: Fn(&mut S, u64) -> Result<(), Failure>,
    C: Fn(&mut S, u64) -> Result<(), Failure>,
{
    fn name(&self) -> &str {
        self.name
    }

    fn run(&self, batch: &Batch<'_>) -> Result<Lap, Failure> {
        pin(batch.seats[0])?;
        let mut state = (self.build)()?;
        // The compiler must take it that somebody else sees the state too, as with memory that processes share.
        let state = black_box(&mut state);
        (self.work)(state, batch.warm_up)?;
        let span = timed(|| (self.work)(state, batch.ops))?;
        (self.check)(state, batch.warm_up + batch.ops)?;
        Ok(Span::join(&[span], batch.ops))
    }
}
