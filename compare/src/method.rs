//! How a row is measured: calibrate, then A B C A B C, each batch in a process of its own.

use std::time::Duration;

use serde::Serialize;

use crate::contender::{Batch, Contender};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::processes::isolated;
use crate::row::{Goal, Row, Unit};
use crate::stats::Summary;
use crate::stopwatch::Lap;

/// How long and how often to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds, in each of which every contender does one batch.
    pub rounds: usize,
    /// Length of a batch of workers that have a core each.
    pub solo: Duration,
    /// Length of a batch of workers that share cores: many time slices, so that they do meet.
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
    /// What the figures count.
    pub unit: Unit,
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
    /// Whether most batches were disturbed, so that these had to be counted, too.
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

/// The share of a batch that other programs may take, beyond what its contender always waits, before it is left out.
const TOLERATED_WAIT: f64 = 0.02;

/// Measures all contenders of a row.
pub fn measure(row: &Row, effort: Effort, machine: &Machine) -> RowReport {
    let contenders = match row.placement.seats(machine) {
        Ok(seats) if row.unit == Unit::Bytes => run_counts(row, effort, &seats),
        Ok(seats) => run_rounds(row, effort, &seats),
        Err(absent) => row.contenders.iter().map(|one| Tally::failed(one.name(), absent.clone())).collect(),
    };
    let strict = row.placement.has_cores_to_itself();
    let contenders: Vec<Measured> = contenders.into_iter().map(|tally| tally.finish(strict)).collect();
    let goals = row.goals.iter().map(|goal| judge(*goal, &contenders)).collect();
    let (id, title) = (row.id.clone(), row.title.clone());
    RowReport { id, title, bytes: row.bytes, unit: row.unit, contenders, goals }
}

/// Memory is no matter of chance: one look is enough.
fn run_counts(row: &Row, effort: Effort, seats: &[usize]) -> Vec<Tally> {
    let count = |one: &dyn Contender| match run_once(one, 1, effort.limit, seats) {
        Ok(lap) => Tally { batches: vec![(lap.ns_per_op(), 0.0)], ..Tally::new(one.name(), 1) },
        Err(failure) => Tally::failed(one.name(), failure),
    };
    row.contenders.iter().map(|one| count(&**one)).collect()
}

fn run_rounds(row: &Row, effort: Effort, seats: &[usize]) -> Vec<Tally> {
    let strict = row.placement.has_cores_to_itself();
    // Workers with a core each meet all the time; a short batch is more likely to have the cores to itself.
    let target = if strict { effort.solo } else { effort.crew };
    let mut tallies: Vec<Tally> = Vec::new();
    for one in &row.contenders {
        tallies.push(match calibrate(&**one, target, effort.limit, seats) {
            Ok(ops) => Tally::new(one.name(), ops),
            Err(failure) => Tally::failed(one.name(), failure),
        });
    }
    // Rounds lost to other programs are made up for, up to three times as many again.
    for round in 0..effort.rounds * 4 {
        let enough = |tally: &Tally| tally.failure.is_some() || tally.quiet(strict).len() >= effort.rounds;
        if round >= effort.rounds && tallies.iter().all(enough) {
            break;
        }
        for (one, tally) in row.contenders.iter().zip(&mut tallies) {
            if tally.failure.is_none() {
                tally.add(run_once(&**one, tally.ops, effort.limit, seats));
            }
        }
    }
    tallies
}

fn run_once(one: &dyn Contender, ops: u64, limit: Duration, seats: &[usize]) -> Result<Lap, Failure> {
    let batch = Batch { warm_up: (ops / 4).max(1), ops, seats };
    isolated(limit, || one.run(&batch))
}

/// Of so many batches the fastest says how long an operation takes: another program may have held the others up.
const LOOKS: usize = 3;

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
        let mut lap = run_once(one, ops, limit, seats)?;
        for _ in 1..LOOKS {
            if lap.wall_ns < target / 2 {
                break;
            }
            let again = run_once(one, ops, limit, seats)?;
            lap = if again.wall_ns < lap.wall_ns { again } else { lap };
        }
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
    /// Nanoseconds an operation took, and the share of the batch spent waiting for a core.
    batches: Vec<(f64, f64)>,
    short: usize,
    failure: Option<Failure>,
}

impl Tally {
    fn new(name: &str, ops: u64) -> Self {
        Self { name: name.to_owned(), ops, batches: Vec::new(), short: 0, failure: None }
    }

    fn failed(name: &str, failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::new(name, 0) }
    }

    fn add(&mut self, outcome: Result<Lap, Failure>) {
        match outcome {
            Err(failure) => self.failure = Some(failure),
            Ok(lap) if lap.wall_ns < SHORTEST_NS => {
                self.short += 1;
                self.ops = scaled(lap, SHORTEST_NS * 2).max(self.ops + 1);
            }
            Ok(lap) => self.batches.push((lap.ns_per_op(), lap.waited_ns as f64 / lap.wall_ns as f64)),
        }
    }

    /// The batches that waited hardly longer than the luckiest one did: waking up takes a little waiting even on a
    /// machine of one's own. All of them where the workers share cores among themselves.
    fn quiet(&self, strict: bool) -> Vec<f64> {
        let least = self.batches.iter().map(|&(_, waited)| waited).fold(f64::INFINITY, f64::min);
        let counts = |waited: f64| !strict || waited <= least + TOLERATED_WAIT;
        self.batches.iter().filter(|&&(_, waited)| counts(waited)).map(|&(ns, _)| ns).collect()
    }

    /// A contender that failed once has no figure, however many of its batches went well.
    fn finish(self, strict: bool) -> Measured {
        let mut times = self.quiet(strict);
        let disturbed = times.len() * 2 < self.batches.len();
        if disturbed {
            times = self.batches.iter().map(|&(ns, _)| ns).collect();
        }
        let dropped = self.short + self.batches.len() - times.len();
        let summary = if self.failure.is_some() { None } else { Summary::of(&times) };
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

    fn measured(name: &str, samples: &[f64]) -> Measured {
        let mut tally = Tally::new(name, 1);
        tally.batches = samples.iter().map(|&ns| (ns, 0.0)).collect();
        tally.finish(true)
    }

    fn tally(laps: &[(u64, u64)]) -> Tally {
        let mut tally = Tally::new("a", 100);
        laps.iter().for_each(|&(wall_ns, waited_ns)| tally.add(Ok(Lap { ops: 100, wall_ns, waited_ns })));
        tally
    }

    #[test]
    fn disturbed_and_short_batches_are_left_out() {
        let tally = tally(&[(2_000_000, 0), (2_000_000, 0), (9_000_000, 1_000_000), (999_999, 0)]);
        assert!(tally.ops > 100, "a short batch makes the next one longer");
        let measured = tally.finish(true);
        assert_eq!((measured.dropped, measured.disturbed), (2, false));
        assert_eq!(measured.summary.unwrap().median, 20_000.0);
    }

    #[test]
    fn waiting_that_every_batch_does_disturbs_none() {
        let measured = tally(&[(2_000_000, 200_000), (4_000_000, 420_000)]).finish(true);
        assert_eq!((measured.dropped, measured.disturbed), (0, false));
    }

    #[test]
    fn disturbed_batches_count_when_hardly_any_other_is_left() {
        let measured = tally(&[(2_000_000, 0), (4_000_000, 1_000_000), (4_000_000, 2_000_000)]).finish(true);
        assert_eq!((measured.dropped, measured.disturbed), (0, true));
        assert_eq!(measured.summary.unwrap().batches, 3);
    }

    #[test]
    fn waiting_is_nobodys_fault_where_workers_share_a_core() {
        assert_eq!(tally(&[(2_000_000, 0), (4_000_000, 1_000_000)]).quiet(false), [20_000.0, 40_000.0]);
    }

    #[test]
    fn one_wrong_answer_takes_the_figure_away() {
        let mut tally = tally(&[(2_000_000, 0)]);
        let wrong = Failure::WrongAnswer { what: "sum".into(), expected: 1, found: 2 };
        tally.add(Err(wrong));
        let measured = tally.finish(true);
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
