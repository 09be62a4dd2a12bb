//! The parent: starts workers, replaces the dead, and kills some on demand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use procshare::process::{Exit, Failure, Process, TaskError};

use super::files::Listed;
use super::shared::Shared;
use super::tally::Counts;
use super::worker::work;
use crate::random::Random;

/// How often the parent looks after its workers.
const LOOK: Duration = Duration::from_millis(1);
/// How often it redraws the progress bar.
const DRAW: Duration = Duration::from_millis(50);
/// The longest time between two kills.
const LONGEST_PAUSE_US: u64 = 30_000;
/// More workers that die by themselves are no accident.
const MOST_ACCIDENTS: u32 = 10;

/// What the workers counted, and what became of them.
pub(super) struct Crew {
    pub(super) counts: Counts,
    pub(super) skipped: Vec<usize>,
    pub(super) workers: usize,
    pub(super) seed: Option<u64>,
    pub(super) killed: u32,
    pub(super) respawned: u32,
    pub(super) time: Duration,
}

/// Lets `workers` processes tally the files; with a seed, kills some of them meanwhile.
pub(super) fn run(files: &[Listed], workers: usize, seed: Option<u64>) -> Result<Crew> {
    let started = Instant::now();
    let shared = Shared::new(files, seed.is_some())?;
    let mut parent = Parent {
        shared,
        files: files.len() as u64,
        workers: Vec::new(),
        killed: 0,
        respawned: 0,
        accidents: 0,
    };
    for index in 0..workers {
        let child = parent.start(index)?;
        parent.workers.push(Some(child));
    }
    parent.watch(seed.map(|seed| Killer::new(seed, workers)))?;
    Ok(Crew {
        counts: parent.shared.counts()?,
        skipped: parent.shared.skipped(),
        workers,
        seed,
        killed: parent.killed,
        respawned: parent.respawned,
        time: started.elapsed(),
    })
}

struct Parent {
    shared: Shared,
    files: u64,
    workers: Vec<Option<Process<Result<(), Failure>>>>,
    killed: u32,
    respawned: u32,
    accidents: u32,
}

impl Parent {
    fn start(&self, index: usize) -> Result<Process<Result<(), Failure>>> {
        Process::start::<work>((index, self.shared.plan()))
            .with_context(|| format!("cannot start worker {index}"))
    }

    /// Looks after the workers until all files are done and all workers have ended.
    fn watch(&mut self, mut killer: Option<Killer>) -> Result<()> {
        let progress = Progress::new(self.files);
        loop {
            for index in 0..self.workers.len() {
                let ended = self.workers[index].as_ref().is_some_and(|worker| worker.exit_status().is_some());
                if ended {
                    self.replace(index, false)?;
                }
            }
            progress.show(&self.shared)?;
            if self.workers.iter().all(Option::is_none) {
                if self.is_finished()? {
                    return Ok(());
                }
                // Every worker found everything taken, and one of them died after the others had looked.
                self.respawn(0)?;
            }
            if let Some(killer) = &mut killer {
                killer.look(self)?;
            }
            std::thread::sleep(LOOK);
        }
    }

    fn is_finished(&self) -> Result<bool> {
        Ok(self.shared.counts()?.done() == self.files)
    }

    /// A worker has ended: settles what it had claimed, and starts another one if there is work.
    fn replace(&mut self, index: usize, by_us: bool) -> Result<()> {
        let Some(worker) = self.workers[index].take() else { return Ok(()) };
        let why = match worker.join() {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure.to_string(),
            Err(error) => error.to_string(),
        };
        if by_us {
            self.killed += 1;
        } else {
            self.accidents += 1;
            if self.accidents > MOST_ACCIDENTS {
                bail!("the workers keep dying ({why}): see what they say above, and procshare doctor");
            }
        }
        self.shared.settle(index)?;
        if by_us {
            self.shared.let_go()?;
        }
        if self.is_finished()? { Ok(()) } else { self.respawn(index) }
    }

    fn respawn(&mut self, index: usize) -> Result<()> {
        let child = self.start(index)?;
        self.workers[index] = Some(child);
        self.respawned += 1;
        Ok(())
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        // Only after an error are there workers left.
        for worker in self.workers.iter().flatten() {
            let _ = worker.kill();
            let _ = worker.join();
        }
    }
}

/// Kills workers at random moments.
struct Killer {
    random: Random,
    left: u64,
    next: Instant,
}

impl Killer {
    fn new(seed: u64, workers: usize) -> Self {
        let mut random = Random::new(seed);
        let left = 1 + random.below(2 * workers as u64 + 1);
        let next = Instant::now() + Duration::from_micros(random.below(LONGEST_PAUSE_US));
        Killer { random, left, next }
    }

    /// Kills a worker if it is time to.
    fn look(&mut self, parent: &mut Parent) -> Result<()> {
        let living: Vec<_> =
            (0..parent.workers.len()).filter(|&index| parent.workers[index].is_some()).collect();
        if self.left == 0 || living.is_empty() || Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + Duration::from_micros(self.random.below(LONGEST_PAUSE_US));
        let index = living[self.random.below(living.len() as u64) as usize];
        let Some(worker) = &parent.workers[index] else { return Ok(()) };
        worker.kill()?;
        // It may have ended by itself just before.
        let by_us = matches!(worker.join(), Err(TaskError::Died { exit: Exit::Signal(_), .. }));
        self.left -= u64::from(by_us);
        parent.replace(index, by_us)
    }
}

/// A bar on standard error, if that is a terminal.
struct Progress {
    bar: ProgressBar,
    drawn: std::cell::Cell<Option<Instant>>,
}

impl Progress {
    fn new(files: u64) -> Self {
        let bar = ProgressBar::new(files);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {msg}") {
            bar.set_style(style);
        }
        Progress { bar, drawn: std::cell::Cell::new(None) }
    }

    fn show(&self, shared: &Shared) -> Result<()> {
        if self.bar.is_hidden() || self.drawn.get().is_some_and(|drawn| drawn.elapsed() < DRAW) {
            return Ok(());
        }
        let counts = shared.counts()?;
        self.bar.set_message(procshare::inspect::ByteSize(counts.bytes).to_string());
        self.bar.set_position(counts.done());
        self.drawn.set(Some(Instant::now()));
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
