//! The parent of the queue's path: starts producers and consumers, replaces the dead, and kills some on demand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use procshare::Error;
use procshare::process::{Failure, Process, TaskError};

use super::files::Listed;
use super::queue::{Line, Role};
use super::tally::Counts;
use super::worker::work_at_the_line;
use crate::random::Random;

/// How often the parent looks after its processes.
const LOOK: Duration = Duration::from_millis(1);
/// The longest time between two kills.
const LONGEST_PAUSE_US: u64 = 20_000;
/// More processes that die by themselves are no accident.
const MOST_ACCIDENTS: u32 = 10;

/// What came out of the queue, and what became of those who worked at it.
pub(super) struct LineCrew {
    pub(super) counts: Counts,
    pub(super) skipped: Vec<usize>,
    pub(super) producers: usize,
    pub(super) consumers: usize,
    pub(super) chunks: u64,
    pub(super) killed: u32,
    pub(super) respawned: u32,
    pub(super) time: Duration,
}

struct Worker {
    role: Role,
    /// `None` once it has ended as it should.
    child: Option<Process<Result<(), Failure>>>,
}

struct Parent {
    line: Line,
    workers: Vec<Worker>,
    killed: u32,
    respawned: u32,
    accidents: u32,
}

/// Lets producers and consumers, `workers` in all and at least one of each, tally the files through a queue.
pub(super) fn run(files: &[Listed], workers: usize, seed: Option<u64>) -> Result<LineCrew> {
    let started = Instant::now();
    let (producers, consumers) = ((workers / 2).max(1), workers.div_ceil(2).max(1));
    let mut parent =
        Parent { line: Line::new(files)?, workers: Vec::new(), killed: 0, respawned: 0, accidents: 0 };
    for index in 0..producers + consumers {
        let role = if index < producers { Role::Producer } else { Role::Consumer };
        let child = Some(parent.start(index, role)?);
        parent.workers.push(Worker { role, child });
    }
    parent.watch(seed.map(|seed| (Random::new(seed), 1 + workers as u32)))?;
    let (counts, skipped) = parent.line.sums()?;
    let chunks = parent.line.queue().counts().0;
    let (killed, respawned) = (parent.killed, parent.respawned);
    let time = started.elapsed();
    Ok(LineCrew { counts, skipped, producers, consumers, chunks, killed, respawned, time })
}

impl Parent {
    fn start(&self, index: usize, role: Role) -> Result<Process<Result<(), Failure>>> {
        let started = Process::start::<work_at_the_line>((index, self.line.plan(role)));
        started.context("cannot start a worker of the queue")
    }

    /// Looks after all of them until everything is put and done, with so many kills meanwhile.
    fn watch(&mut self, mut kills: Option<(Random, u32)>) -> Result<()> {
        let mut next_kill = Instant::now();
        let mut closed = false;
        loop {
            self.bury()?;
            if !closed && self.line.all_put() && !self.is_wanted(&kills) {
                match self.line.queue().join_timeout(LOOK) {
                    Ok(()) => {
                        self.line.queue().close()?;
                        closed = true;
                    }
                    Err(Error::TimedOut) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            if closed && self.workers.iter().all(|worker| worker.child.is_none()) {
                return Ok(());
            }
            if let Some((random, left)) = &mut kills
                && *left > 0
                && self.line.has_begun()
                && Instant::now() >= next_kill
            {
                next_kill = Instant::now() + Duration::from_micros(random.below(LONGEST_PAUSE_US));
                let living: Vec<usize> =
                    (0..self.workers.len()).filter(|index| self.workers[*index].child.is_some()).collect();
                if let Some(victim) = living.get(random.below(living.len().max(1) as u64) as usize) {
                    self.kill(*victim)?;
                    *left -= 1;
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether somebody shall be killed before the end, and was not.
    fn is_wanted(&self, kills: &Option<(Random, u32)>) -> bool {
        kills.as_ref().is_some_and(|(_, left)| *left > 0) && self.killed == 0
    }

    fn kill(&mut self, index: usize) -> Result<()> {
        if let Some(child) = &self.workers[index].child {
            child.kill()?;
            if !matches!(child.join(), Ok(Ok(()))) {
                self.killed += 1;
                return self.replace(index);
            }
            self.workers[index].child = None;
        }
        Ok(())
    }

    /// Notes who has ended, and starts others in the place of those who died.
    fn bury(&mut self) -> Result<()> {
        for index in 0..self.workers.len() {
            let Some(child) = &self.workers[index].child else { continue };
            let why = match child.try_join() {
                Err(TaskError::Running) => continue,
                Ok(Ok(())) => {
                    self.workers[index].child = None;
                    continue;
                }
                Ok(Err(failure)) => failure.to_string(),
                Err(error) => error.to_string(),
            };
            self.accidents += 1;
            if self.accidents > MOST_ACCIDENTS {
                bail!("the workers keep dying ({why}): see what they say above, and procshare doctor");
            }
            self.replace(index)?;
        }
        Ok(())
    }

    fn replace(&mut self, index: usize) -> Result<()> {
        let role = self.workers[index].role;
        self.workers[index].child = None;
        if role == Role::Producer {
            self.line.settle(index)?;
        }
        self.workers[index].child = Some(self.start(index, role)?);
        self.respawned += 1;
        Ok(())
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        // Only after an error are there any left.
        for child in self.workers.iter().filter_map(|worker| worker.child.as_ref()) {
            let _ = child.kill();
            let _ = child.join();
        }
    }
}
