//! What the torture prints.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::idle::SLEEPERS;
use crate::output;

/// How one object fared.
pub(super) struct Outcome {
    pub(super) object: &'static str,
    pub(super) kills: u64,
    pub(super) stops: u64,
    pub(super) forks: u64,
    pub(super) turns: u64,
    pub(super) rounds: u64,
    pub(super) told: u64,
    pub(super) hangs: u64,
    pub(super) violations: u64,
    pub(super) notes: Vec<String>,
    pub(super) time: Duration,
    /// The share of a processor that sleepers use, in percent, if it was measured.
    pub(super) idle: Option<f64>,
    /// From a kill to a waiter's grant, in nanoseconds: with waiters that had slept for a second, and others.
    asleep: Vec<u64>,
    awake: Vec<u64>,
}

impl Outcome {
    pub(super) fn new(object: &'static str) -> Self {
        Outcome {
            object,
            kills: 0,
            stops: 0,
            forks: 0,
            turns: 0,
            rounds: 0,
            told: 0,
            hangs: 0,
            violations: 0,
            notes: Vec::new(),
            time: Duration::ZERO,
            idle: None,
            asleep: Vec::new(),
            awake: Vec::new(),
        }
    }

    /// A waiter got what a dead one held.
    pub(super) fn recovered(&mut self, ns: u64, asleep: bool) {
        if asleep { self.asleep.push(ns) } else { self.awake.push(ns) }
    }

    pub(super) fn is_fine(&self) -> bool {
        self.hangs == 0 && self.violations == 0
    }

    /// Takeovers from the dead: those that somebody was told of, and those that were timed.
    fn recoveries(&self) -> u64 {
        self.told.max((self.asleep.len() + self.awake.len()) as u64)
    }

    fn all(&self) -> Vec<u64> {
        [&self.asleep[..], &self.awake[..]].concat()
    }

    fn json(&self) -> Value {
        let (median, worst) = median_and_worst(&self.all());
        let (asleep_median, asleep_worst) = median_and_worst(&self.asleep);
        json!({
            "object": self.object,
            "kills": self.kills,
            "stops": self.stops,
            "forks": self.forks,
            "turns": self.turns,
            "rounds": self.rounds,
            "recoveries": self.recoveries(),
            "hangs": self.hangs,
            "violations": self.violations,
            "timed_recoveries": self.all().len(),
            "median_recovery_ms": median,
            "worst_recovery_ms": worst,
            "timed_asleep": self.asleep.len(),
            "median_asleep_ms": asleep_median,
            "worst_asleep_ms": asleep_worst,
            "idle_percent": self.idle,
            "seconds": self.time.as_secs_f64(),
            "notes": self.notes,
        })
    }
}

/// In milliseconds; `None` of nothing.
fn median_and_worst(ns: &[u64]) -> (Option<f64>, Option<f64>) {
    let mut sorted = ns.to_vec();
    sorted.sort_unstable();
    let ms = |&ns: &u64| ns as f64 / 1e6;
    (sorted.get(sorted.len() / 2).map(ms), sorted.last().map(ms))
}

pub(super) fn print_json(seed: u64, outcomes: &[Outcome]) -> Result<()> {
    let objects: Vec<Value> = outcomes.iter().map(Outcome::json).collect();
    output::json(&json!({ "seed": seed, "fine": outcomes.iter().all(Outcome::is_fine), "objects": objects }))
}

pub(super) fn print_text(seed: u64, outcomes: &[Outcome]) -> Result<()> {
    let mut out = output::stdout();
    let mut table = output::table([
        "object",
        "kills",
        "stops",
        "forks",
        "rounds",
        "turns",
        "recoveries",
        "median ms",
        "worst ms",
        "asleep median",
        "asleep worst",
        "hangs",
        "violations",
    ]);
    let shown = |ms: Option<f64>| ms.map_or("-".into(), |ms| format!("{ms:.2}"));
    for outcome in outcomes {
        let (median, worst) = median_and_worst(&outcome.all());
        let (asleep_median, asleep_worst) = median_and_worst(&outcome.asleep);
        let Outcome { object, kills, stops, forks, rounds, turns, hangs, violations, .. } = outcome;
        let mut row = vec![(*object).to_owned()];
        row.extend(
            [*kills, *stops, *forks, *rounds, *turns, outcome.recoveries()].map(|number| number.to_string()),
        );
        row.extend([median, worst, asleep_median, asleep_worst].map(shown));
        row.extend([*hangs, *violations].map(|number| number.to_string()));
        table.add_row(row);
    }
    writeln!(out, "{}\n", table.trim_fmt())?;
    for outcome in outcomes {
        for note in &outcome.notes {
            writeln!(out, "{}: {note}", outcome.object)?;
        }
        if let Some(percent) = outcome.idle {
            writeln!(
                out,
                "{}: {SLEEPERS} sleepers use {percent:.2} % of a processor in all",
                outcome.object
            )?;
        }
    }
    let kills: u64 = outcomes.iter().map(|outcome| outcome.kills).sum();
    let verdict = if outcomes.iter().all(Outcome::is_fine) {
        "every promise was kept"
    } else {
        "PROMISES WERE BROKEN: please report this"
    };
    writeln!(out, "{kills} kills (seed {seed}): {verdict}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_all_recoveries_and_of_those_from_sleep() {
        let mut outcome = Outcome::new("Lock");
        assert_eq!(outcome.json()["median_recovery_ms"], Value::Null);
        [3_000_000, 1_000_000].into_iter().for_each(|ns| outcome.recovered(ns, false));
        outcome.recovered(9_000_000, true);
        let json = outcome.json();
        assert_eq!((&json["median_recovery_ms"], &json["worst_recovery_ms"]), (&3.0.into(), &9.0.into()));
        assert_eq!((&json["timed_asleep"], &json["median_asleep_ms"]), (&1.into(), &9.0.into()));
        assert!(outcome.is_fine());
        outcome.hangs = 1;
        assert!(!outcome.is_fine());
    }
}
