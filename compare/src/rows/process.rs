//! Processes for functions: starting one, and mapping over many tasks.

use std::hint::black_box;

use procshare::process::{Pool, Process};
use rayon::prelude::*;

use super::ours::refused;
use crate::contender::{Batch, Contender, solo};
use crate::failure::{Failure, same};
use crate::machine::pin;
use crate::python::python;
use crate::row::{OURS, Placement, Row};
use crate::stopwatch::{Lap, Span, timed};

/// Workers of every pool: one for each core of the comparison.
const WORKERS: usize = 2;
/// Tasks of a map; an operation is a map.
const FEW: u64 = 100;
const MANY: u64 = 10_000;
/// Turns of a task that takes about a microsecond.
const TURNS: u64 = 700;

/// The smallest task.
#[procshare::task]
fn increment(number: u64) -> u64 {
    number + 1
}

/// About a microsecond of work.
#[procshare::task]
fn microsecond(number: u64) -> u64 {
    (0..TURNS).fold(number, |mixed, turn| {
        black_box(mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(turn))
    })
}

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    let start = solo(
        OURS,
        || Ok(0_u64),
        |done, ops| {
            for number in 0..ops {
                let process = Process::start::<increment>((number,)).map_err(refused)?;
                *done += process.join().map_err(refused)? - number;
            }
            Ok(())
        },
        |done, total| same("processes", total, *done),
    );
    let procspawn = solo(
        "procspawn",
        || Ok(0_u64),
        |done, ops| {
            for number in 0..ops {
                let process = procspawn::spawn(number, |number| number + 1);
                *done += process.join().map_err(|error| Failure::contender("procspawn", error))? - number;
            }
            Ok(())
        },
        |done, total| same("processes", total, *done),
    );
    vec![
        Row::new(
            "process-start",
            "Process: start one for the smallest task, take its result",
            Placement::Alone,
        )
        .with(start)
        .with(procspawn)
        .with(python("process-start"))
        .goal(1.0, "procspawn"),
        Row::new(
            "pool-single",
            "Pool of two: map the smallest task over 100 numbers, each sent alone",
            Placement::Alone,
        )
        .with(pool(1, |pool| sum(&pool.map::<increment>(0..FEW).map_err(refused)?, FEW)))
        .with(python("pool-single"))
        .goal(0.1, "Python"),
        Row::new("pool-small", "Pool of two: map the smallest task over 10,000 numbers", Placement::Alone)
            .with(pool(0, |pool| sum(&pool.map::<increment>(0..MANY).map_err(refused)?, MANY)))
            .with(threads(|| sum(&(0..MANY).into_par_iter().map(increment).collect::<Vec<_>>(), MANY)))
            .with(python("pool-small"))
            .goal(0.1, "Python"),
        Row::new(
            "pool-1us",
            "Pool of two: map a task of a microsecond over 10,000 numbers",
            Placement::Alone,
        )
        .with(pool(0, |pool| count(&pool.map::<microsecond>(0..MANY).map_err(refused)?)))
        .with(threads(|| count(&(0..MANY).into_par_iter().map(microsecond).collect::<Vec<_>>())))
        .goal(3.0, THREADS),
    ]
}

const THREADS: &str = "rayon threads";

fn sum(results: &[u64], tasks: u64) -> Result<(), Failure> {
    same("sum of results", tasks * (tasks + 1) / 2, results.iter().sum())
}

fn count(results: &[u64]) -> Result<(), Failure> {
    let right = results.iter().zip(0..).step_by(97).all(|(found, number)| *found == microsecond(number));
    same("results, each right", MANY, if right { results.len() as u64 } else { 0 })
}

fn pool(chunk: usize, work: impl Fn(&Pool) -> Result<(), Failure> + 'static) -> Box<dyn Contender> {
    let build = move || Pool::builder().workers(WORKERS).chunk(chunk).build().map_err(refused);
    Box::new(Free { name: OURS, build, work })
}

fn threads(work: impl Fn() -> Result<(), Failure> + Send + Sync + 'static) -> Box<dyn Contender> {
    let build = || {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build();
        threads.map_err(|error| Failure::contender(THREADS, error))
    };
    Box::new(Free { name: THREADS, build, work: move |pool: &rayon::ThreadPool| pool.install(&work) })
}

/// A contender whose workers may run on any core; only the thread that hands out the work is pinned, as in Python's script.
struct Free<B, W> {
    name: &'static str,
    build: B,
    work: W,
}

impl<S, B, W> Contender for Free<B, W>
where
    B: Fn() -> Result<S, Failure>,
    W: Fn(&S) -> Result<(), Failure>,
{
    fn name(&self) -> &str {
        self.name
    }

    fn run(&self, batch: &Batch<'_>) -> Result<Lap, Failure> {
        let state = (self.build)()?;
        pin(batch.seats[0])?;
        let times = |times: u64| (0..times).try_for_each(|_| (self.work)(&state));
        times(batch.warm_up)?;
        let span = timed(|| times(batch.ops))?;
        Ok(Span::join(&[span], batch.ops))
    }
}
