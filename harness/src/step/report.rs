//! What a run found.

use super::point::{Fate, Moment};
use crate::symbol::Trail;
use std::fmt;
use std::time::Duration;

/// One broken promise, with the deaths that led to it.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The deaths, one for each victim that ran.
    pub fates: Vec<Fate>,
    /// What was wrong.
    pub what: String,
    /// Whether somebody hung.
    pub hang: bool,
    /// Where the last victim was.
    pub(super) trail: Trail,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        for fate in &self.fates {
            write!(f, "\n    {fate}, rip {:#x}", fate.point.rip)?;
        }
        write!(f, "{}", self.trail)
    }
}

/// The result of one mode of one scenario.
#[derive(Debug, Clone)]
pub struct Report {
    /// The scenario's name and the mode.
    pub name: String,
    /// Runs that ended in a death and a check.
    pub kills: usize,
    /// Points the first victim offers, before sampling.
    pub points: usize,
    /// Steps of the first victim's whole operation.
    pub steps: usize,
    /// How the first victim's undisturbed run ended: [`Moment::Finished`], unless it sleeps for ever.
    pub end: Option<Moment>,
    /// Runs in which a victim ended before its point was reached: the operation takes different ways in equal worlds.
    /// Such a run counts as a kill where it was followed to.
    pub diverged: usize,
    /// What was found, at most as many as the limits ask for.
    pub violations: Vec<Violation>,
    /// Why nothing was run: this system cannot step.
    pub skipped: Option<String>,
    /// The seed of the sampled points.
    pub seed: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    pub(super) fn new(name: String, seed: u64) -> Self {
        Report {
            name,
            kills: 0,
            points: 0,
            steps: 0,
            end: None,
            diverged: 0,
            violations: Vec::new(),
            skipped: None,
            seed,
            elapsed: Duration::ZERO,
        }
    }

    /// Accepts a run without violations, and one skipped on a system that cannot step; prints its figures.
    ///
    /// Returns the report, for more specific questions.
    ///
    /// # Panics
    ///
    /// On violations, with the deaths, addresses and symbols of each.
    #[track_caller]
    pub fn assert_clean(self) -> Self {
        println!("{self}");
        assert!(self.violations.is_empty(), "{}", self.details());
        self
    }

    /// Accepts a run that found something (or was skipped): the test of a planted bug.
    ///
    /// # Panics
    ///
    /// If everything looked right.
    #[track_caller]
    pub fn assert_caught(self) -> Self {
        println!("{self}");
        assert!(self.skipped.is_some() || !self.violations.is_empty(), "the planted bug went unseen: {self}");
        self
    }

    fn details(&self) -> String {
        let mut text = self.to_string();
        for violation in &self.violations {
            text.push_str(&format!("\n  {violation}"));
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.skipped {
            return write!(f, "{}: skipped: {why}", self.name);
        }
        let Report { name, kills, points, steps, diverged, seed, elapsed, .. } = self;
        let end = match self.end {
            Some(Moment::Finished) | None => String::new(),
            Some(other) => format!(" (ends {other:?})"),
        };
        write!(
            f,
            "{name}: {kills} kills, {} violations, {points} points in {steps} steps{end}, {diverged} diverged, \
             seed {seed}, {elapsed:.2?}",
            self.violations.len()
        )
    }
}
