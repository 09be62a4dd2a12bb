//! Contenders that several workers do together.

use std::marker::PhantomData;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::contender::{Batch, Contender};
use crate::failure::Failure;
use crate::machine::pin;
use crate::processes::{StartLine, caught, join_all, worker};
use crate::stopwatch::{Lap, Span, timed};

/// What the workers of a crew are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// Processes forked after the state was built.
    Processes,
    /// Threads of the batch's process.
    Threads,
}

/// How a batch's operations are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Each worker does its part of them.
    Split,
    /// Every worker takes part in every one.
    Every,
}

/// A crew's worker: its number, and how many there are.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    /// 0 to `of - 1`.
    pub number: usize,
    /// Workers in all.
    pub of: usize,
}

/// A contender with as many workers as the row has seats.
///
/// `build` makes the state before the workers start, `work` is each worker's part of n operations, `check` judges the
/// state after the total number of operations.
pub fn crew<S, B, W, C>(
    name: &'static str,
    workers: Workers,
    share: Share,
    build: B,
    work: W,
    check: C,
) -> Box<dyn Contender>
where
    S: Send + Sync + 'static,
    B: Fn(usize) -> Result<S, Failure> + 'static,
    W: Fn(&S, Seat, u64) -> Result<(), Failure> + Copy + Send + Sync + 'static,
    C: Fn(&S, u64) -> Result<(), Failure> + 'static,
{
    Box::new(Crew { name, workers, share, build, work, check, state: PhantomData })
}

struct Crew<S, B, W, C> {
    name: &'static str,
    workers: Workers,
    share: Share,
    build: B,
    work: W,
    check: C,
    state: PhantomData<fn() -> S>,
}

/// Longer than any batch: the method's watchdog ends a stuck batch first.
const NO_LIMIT: Duration = Duration::from_secs(3600);

impl<S, B, W, C> Contender for Crew<S, B, W, C>
where
    S: Send + Sync + 'static,
    B: Fn(usize) -> Result<S, Failure>,
    W: Fn(&S, Seat, u64) -> Result<(), Failure> + Copy + Send + Sync + 'static,
    C: Fn(&S, u64) -> Result<(), Failure>,
{
    fn name(&self) -> &str {
        self.name
    }

    fn run(&self, batch: &Batch<'_>) -> Result<Lap, Failure> {
        let of = batch.seats.len();
        // An operation is done by one worker of `times`, or by all of them together.
        let times = match self.share {
            Share::Split => of as u64,
            Share::Every => 1,
        };
        let (warm_up, ops) = ((batch.warm_up / times).max(1), (batch.ops / times).max(1));
        let state = Arc::new((self.build)(of)?);
        let line = Arc::new(StartLine::new(of)?);
        let plan = Plan { warm_up, ops, seats: batch.seats };
        let spans = match self.workers {
            Workers::Processes => run_processes(&state, &line, plan, self.work)?,
            Workers::Threads => run_threads(&state, &line, plan, self.work)?,
        };
        (self.check)(&state, (warm_up + ops) * times)?;
        Ok(Span::join(&spans, ops * times))
    }
}

/// What each worker is to do.
#[derive(Clone, Copy)]
struct Plan<'a> {
    warm_up: u64,
    ops: u64,
    seats: &'a [usize],
}

impl Plan<'_> {
    fn seats(&self) -> impl Iterator<Item = (Seat, usize)> {
        let of = self.seats.len();
        self.seats.iter().enumerate().map(move |(number, &core)| (Seat { number, of }, core))
    }
}

fn run_processes<S, W>(
    state: &Arc<S>,
    line: &StartLine,
    plan: Plan<'_>,
    work: W,
) -> Result<Vec<Span>, Failure>
where
    W: Fn(&S, Seat, u64) -> Result<(), Failure> + Copy,
{
    let children = plan
        .seats()
        .map(|(seat, core)| worker(|| stint::<S, W>(state, line, seat, core, (plan.warm_up, plan.ops), work)))
        .collect::<Result<Vec<_>, _>>()?;
    join_all(children, NO_LIMIT)
}

/// The first failure ends the batch at once; threads still waiting for the one that failed end with the process.
fn run_threads<S, W>(
    state: &Arc<S>,
    line: &Arc<StartLine>,
    plan: Plan<'_>,
    work: W,
) -> Result<Vec<Span>, Failure>
where
    S: Send + Sync + 'static,
    W: Fn(&S, Seat, u64) -> Result<(), Failure> + Copy + Send + 'static,
{
    let (sender, results) = mpsc::channel();
    for (seat, core) in plan.seats() {
        let (state, line, sender) = (Arc::clone(state), Arc::clone(line), sender.clone());
        let amounts = (plan.warm_up, plan.ops);
        std::thread::spawn(move || {
            sender.send(caught(|| stint::<S, W>(&state, &line, seat, core, amounts, work)))
        });
    }
    drop(sender);
    results.into_iter().collect()
}

/// One worker's life: sit down, warm up, start together, work.
fn stint<S, W>(
    state: &S,
    line: &StartLine,
    seat: Seat,
    core: usize,
    (warm_up, ops): (u64, u64),
    work: W,
) -> Result<Span, Failure>
where
    W: Fn(&S, Seat, u64) -> Result<(), Failure>,
{
    pin(core)?;
    work(state, seat, warm_up)?;
    line.wait();
    timed(|| work(state, seat, ops))
}
