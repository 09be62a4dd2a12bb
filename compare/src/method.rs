//! How a row is measured: calibrate, then A B C A B C, each batch in a process of its own.

use std::time::Duration;

use serde::Serialize;

use crate::contender::{Batch, Contender};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::processes::isolated;
use crate::row::{Goal, Row};
use crate::stats::Summary;
use crate::stopwatch::Lap;

/// How long and how often to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds, in each of which every contender does one batch.
    pub rounds: usize,
    /// Length of a batch of one worker.
    pub solo: Duration,
    /// Length of a batch of several workers: many time slices, so that they do meet.
    pub crew: Duration,
    /// A batch that takes longer than this is killed.
    pub limit: Duration,
}

impl Effort {
    /// Enough for figures to be quoted.
    pub const FULL: Self = Self {
        rounds: 41,
        solo: Duration::from_millis(10),
        crew: Duration::from_millis(100),
        limit: Duration::from_secs(60),
    };

    /// Enough to see that everything works and where things roughly stand.
    pub const QUICK: Self =
        Self { rounds: 5, solo: Duration::from_millis(3), crew: Duration::from_millis(30), ..Self::FULL };
}

/// What was measured of a row.
#[derive(Debug, Serialize)]
pub struct RowReport {
    /// The row's id.
    pub id: String,
    /// What is done.
    pub title: String,
    /// Bytes an operation moves, where that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// One entry for each contender.
    pub contenders: Vec<Measured>,
    /// How procshare stands.
    pub goals: Vec<Judged>,
}

/// One contender's figures.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// Its times, when it ran.
    pub summary: Option<Summary>,
    /// Operations in a batch.
    pub ops: u64,
    /// Batches left out because other programs ran on its cores meanwhile, or because they were too short.
    pub dropped: usize,
    /// Whether too few batches were undisturbed, so that the disturbed ones had to be counted.
    pub disturbed: bool,
    /// Why it did not run, or not to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A goal and what came of it.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// The goal.
    #[serde(flatten)]
    pub goal: Goal,
    /// Ratio of the medians.
    pub ratio: Option<f64>,
    /// Ratio of the fastest batches.
    pub ratio_of_minima: Option<f64>,
    /// The outcome.
    pub verdict: Verdict,
}

/// Whether a goal is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The ratio is at most the goal's.
    Pass,
    /// It is above.
    Fail,
    /// One of the two sides has no figure.
    Unmeasured,
}

/// Shorter batches measure the clock.
const SHORTEST_NS: u64 = 1_000_000;

/// The share of a batch that other programs may take before it is left out.
const TOLERATED_WAIT: f64 = 0.02;

/// Measures all contenders of a row.
pub fn measure(row: &Row, effort: Effort, machine: &Machine) -> RowReport {
    let contenders = match row.placement.seats(machine) {
        Ok(seats) => run_rounds(row, effort, &seats),
        Err(absent) => row.contenders.iter().map(|one| Tally::failed(one.name(), absent.clone())).collect(),
    };
    let contenders: Vec<Measured> = contenders.into_iter().map(Tally::finish).collect();
    let goals = row.goals.iter().map(|goal| judge(*goal, &contenders)).collect();
    RowReport { id: row.id.clone(), title: row.title.clone(), bytes: row.bytes, contenders, goals }
}

fn run_rounds(row: &Row, effort: Effort, seats: &[usize]) -> Vec<Tally> {
    let target = if seats.len() == 1 { effort.solo } else { effort.crew };
    let strict = row.placement.has_cores_to_itself();
    let mut tallies: Vec<Tally> = Vec::new();
    for one in &row.contenders {
        tallies.push(match calibrate(&**one, target, effort.limit, seats) {
            Ok(ops) => Tally::new(one.name(), ops),
            Err(failure) => Tally::failed(one.name(), failure),
        });
    }
    // Rounds lost to other programs are made up for, up to as many again.
    for round in 0..effort.rounds * 2 {
        let done = tallies.iter().all(|tally| tally.failure.is_some() || tally.clean.len() >= effort.rounds);
        if round >= effort.rounds && done {
            break;
        }
        for (one, tally) in row.contenders.iter().zip(&mut tallies) {
            if tally.failure.is_none() {
                tally.add(run_once(&**one, tally.ops, effort.limit, seats), strict);
            }
        }
    }
    tallies
}

fn run_once(one: &dyn Contender, ops: u64, limit: Duration, seats: &[usize]) -> Result<Lap, Failure> {
    let batch = Batch { warm_up: (ops / 4).max(1), ops, seats };
    isolated(limit, || one.run(&batch))
}

/// Operations that take about as long as `target`.
fn calibrate(
    one: &dyn Contender,
    target: Duration,
    limit: Duration,
    seats: &[usize],
) -> Result<u64, Failure> {
    let target = target.as_nanos() as u64;
    let mut ops = seats.len() as u64;
    loop {
        let lap = run_once(one, ops, limit, seats)?;
        let wanted = scaled(lap, target);
        if lap.wall_ns >= target / 2 {
            return Ok(wanted);
        }
        ops = wanted.clamp(ops * 2, ops * 50);
    }
}

/// How many operations would have filled `target`, going by one lap.
fn scaled(lap: Lap, target: u64) -> u64 {
    let wanted = u128::from(lap.ops) * u128::from(target) / u128::from(lap.wall_ns.max(1));
    u64::try_from(wanted).unwrap_or(u64::MAX / 64).clamp(1, u64::MAX / 64)
}

/// A contender's batches so far.
struct Tally {
    name: String,
    ops: u64,
    clean: Vec<f64>,
    disturbed: Vec<f64>,
    short: usize,
    failure: Option<Failure>,
}

impl Tally {
    fn new(name: &str, ops: u64) -> Self {
        let name = name.to_owned();
        Self { name, ops, clean: Vec::new(), disturbed: Vec::new(), short: 0, failure: None }
    }

    fn failed(name: &str, failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::new(name, 0) }
    }

    fn add(&mut self, outcome: Result<Lap, Failure>, strict: bool) {
        match outcome {
            Err(failure) => self.failure = Some(failure),
            Ok(lap) if lap.wall_ns < SHORTEST_NS => {
                self.short += 1;
                self.ops = scaled(lap, SHORTEST_NS * 2).max(self.ops + 1);
            }
            Ok(lap) if strict && lap.waited_ns as f64 > lap.wall_ns as f64 * TOLERATED_WAIT => {
                self.disturbed.push(lap.ns_per_op());
            }
            Ok(lap) => self.clean.push(lap.ns_per_op()),
        }
    }

    /// A contender that failed once has no figure, however many of its batches went well.
    fn finish(mut self) -> Measured {
        let mut dropped = self.short + self.disturbed.len();
        let disturbed = self.clean.len() < self.disturbed.len();
        if disturbed {
            dropped = self.short;
            self.clean.append(&mut self.disturbed);
        }
        let summary = if self.failure.is_some() { None } else { Summary::of(&self.clean) };
        Measured { name: self.name, summary, ops: self.ops, dropped, disturbed, failure: self.failure }
    }
}

fn judge(goal: Goal, contenders: &[Measured]) -> Judged {
    let figures =
        |name: &str| contenders.iter().find(|measured| measured.name == name).and_then(|found| found.summary);
    let (ours, peer) = (figures(goal.ours), figures(goal.peer));
    let both = |pick: fn(Summary) -> f64| Some(pick(ours?) / pick(peer?));
    let ratio = both(|summary| summary.median);
    let verdict = match ratio {
        None => Verdict::Unmeasured,
        Some(ratio) if ratio <= goal.at_most => Verdict::Pass,
        Some(_) => Verdict::Fail,
    };
    Judged { goal, ratio, ratio_of_minima: both(|summary| summary.min), verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lap(ops: u64, wall_ns: u64, waited_ns: u64) -> Result<Lap, Failure> {
        Ok(Lap { ops, wall_ns, waited_ns })
    }

    fn measured(name: &str, samples: &[f64]) -> Measured {
        let mut tally = Tally::new(name, 1);
        tally.clean = samples.to_vec();
        tally.finish()
    }

    #[test]
    fn disturbed_and_short_batches_are_left_out() {
        let mut tally = Tally::new("a", 100);
        tally.add(lap(100, 2_000_000, 0), true);
        tally.add(lap(100, 2_000_000, 0), true);
        tally.add(lap(100, 9_000_000, 1_000_000), true);
        tally.add(lap(100, 999_999, 0), true);
        assert!(tally.ops > 100, "a short batch makes the next one longer");
        let measured = tally.finish();
        assert_eq!((measured.dropped, measured.disturbed), (2, false));
        assert_eq!(measured.summary.unwrap().median, 20_000.0);
    }

    #[test]
    fn disturbed_batches_count_when_hardly_any_other_is_left() {
        let mut tally = Tally::new("a", 100);
        tally.add(lap(100, 4_000_000, 1_000_000), true);
        let measured = tally.finish();
        assert!(measured.disturbed);
        assert_eq!(measured.summary.unwrap().batches, 1);
    }

    #[test]
    fn waiting_is_nobodys_fault_where_workers_share_a_core() {
        let mut tally = Tally::new("a", 100);
        tally.add(lap(100, 4_000_000, 1_000_000), false);
        assert_eq!(tally.clean, [40_000.0]);
    }

    #[test]
    fn one_wrong_answer_takes_the_figure_away() {
        let mut tally = Tally::new("a", 100);
        tally.add(lap(100, 2_000_000, 0), true);
        let wrong = Failure::WrongAnswer { what: "sum".into(), expected: 1, found: 2 };
        tally.add(Err(wrong), true);
        let measured = tally.finish();
        assert!(measured.summary.is_none() && measured.failure.is_some());
    }

    #[test]
    fn goals_compare_medians() {
        let goal = Goal { ours: "us", peer: "them", at_most: 1.05 };
        let rows = |ours: f64| vec![measured("us", &[ours]), measured("them", &[100.0])];
        assert_eq!(judge(goal, &rows(105.0)).verdict, Verdict::Pass);
        assert_eq!(judge(goal, &rows(106.0)).verdict, Verdict::Fail);
        assert_eq!(judge(goal, &[measured("them", &[100.0])]).verdict, Verdict::Unmeasured);
    }

    #[test]
    fn scaling_survives_extremes() {
        assert_eq!(scaled(Lap { ops: 1, wall_ns: 0, waited_ns: 0 }, 1_000), 1_000);
        assert_eq!(scaled(Lap { ops: 1, wall_ns: u64::MAX, waited_ns: 0 }, 1_000), 1);
        assert_eq!(scaled(Lap { ops: u64::MAX, wall_ns: 1, waited_ns: 0 }, 1_000), u64::MAX / 64);
    }
}
