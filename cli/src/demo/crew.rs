//! Worker processes of any path: starts them, replaces the dead, and kills some on demand.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use procshare::process::{Exit, Failure, Process, TaskError};

use super::tally::Counts;
use crate::random::Random;

/// How often the parent looks after its workers.
const LOOK: Duration = Duration::from_millis(1);
/// The longest time between two kills.
const LONGEST_PAUSE_US: u64 = 20_000;
/// More workers that die by themselves are no accident.
const MOST_ACCIDENTS: u32 = 10;

/// A worker process.
pub(super) type Worker = Process<Result<(), Failure>>;

/// What the workers of a path share, as their parent sees it.
pub(super) trait Work {
    /// How many processes work at it.
    fn seats(&self) -> usize;

    /// Starts the worker of a seat.
    fn start(&self, seat: usize) -> Result<Worker>;

    /// Whether somebody has taken something to do.
    fn has_begun(&self) -> Result<bool>;

    /// Makes what the dead worker of a seat had in its hands free for others.
    fn settle(&self, seat: usize) -> Result<()>;

    /// Somebody has been killed: what waited for that need not wait any more.
    fn let_go(&mut self) -> Result<()>;

    /// Whether all is done. Workers end by themselves then, or are told to by this.
    fn is_done(&self) -> Result<bool>;

    /// The sums, and the skipped files.
    fn sums(&self) -> Result<(Counts, Vec<usize>)>;
}

/// What came out of a path, and what became of its workers.
pub(super) struct Outcome {
    pub(super) counts: Counts,
    pub(super) skipped: Vec<usize>,
    pub(super) killed: u32,
    pub(super) respawned: u32,
    /// With starting and ending.
    pub(super) time: Duration,
    /// From the first piece of work that was taken to the last that was done, as the parent saw it.
    pub(super) working: Duration,
}

/// Lets workers do the work that `make` prepares; with a seed, kills some of them meanwhile.
pub(super) fn run<W: Work>(make: impl FnOnce() -> Result<W>, seed: Option<u64>) -> Result<(Outcome, W)> {
    let started = Instant::now();
    let work = make()?;
    let seats = work.seats();
    let mut crew = Crew { work, workers: Workers(Vec::new()), killed: 0, respawned: 0, accidents: 0 };
    for seat in 0..seats {
        let worker = crew.work.start(seat)?;
        crew.workers.0.push(Some(worker));
    }
    let working = crew.watch(seed.map(|seed| Killer::new(seed, seats)))?;
    let (counts, skipped) = crew.work.sums()?;
    let time = started.elapsed();
    let Crew { killed, respawned, .. } = crew;
    Ok((Outcome { counts, skipped, killed, respawned, time, working }, crew.work))
}

struct Crew<W> {
    work: W,
    workers: Workers,
    killed: u32,
    respawned: u32,
    accidents: u32,
}

/// The worker of each seat; `None` once it has ended as it should.
struct Workers(Vec<Option<Worker>>);

impl Drop for Workers {
    fn drop(&mut self) {
        // Only after an error are there any left.
        for worker in self.0.iter().flatten() {
            let _ = worker.kill();
            let _ = worker.join();
        }
    }
}

impl<W: Work> Crew<W> {
    /// Looks after the workers until all is done and all have ended; how long they worked.
    fn watch(&mut self, mut killer: Option<Killer>) -> Result<Duration> {
        let (mut begun, mut done) = (None, None);
        loop {
            for seat in 0..self.workers.0.len() {
                let ended =
                    self.workers.0[seat].as_ref().is_some_and(|worker| worker.exit_status().is_some());
                if ended {
                    self.replace(seat, false)?;
                }
            }
            if begun.is_none() && self.work.has_begun()? {
                begun = Some(Instant::now());
            }
            if done.is_none() && self.work.is_done()? {
                done = Some(Instant::now());
            }
            if self.workers.0.iter().all(Option::is_none) {
                if let Some(done) = done {
                    return Ok(done - begun.unwrap_or(done));
                }
                // Every worker found everything taken, and one of them died after the others had looked.
                self.respawn(0)?;
            }
            if let Some(killer) = killer.as_mut().filter(|_| begun.is_some()) {
                killer.look(self)?;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A worker has ended: settles what it had in its hands, and starts another one if there is work.
    fn replace(&mut self, seat: usize, by_us: bool) -> Result<()> {
        let Some(worker) = self.workers.0[seat].take() else { return Ok(()) };
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
        self.work.settle(seat)?;
        if by_us {
            self.work.let_go()?;
        }
        if self.work.is_done()? { Ok(()) } else { self.respawn(seat) }
    }

    fn respawn(&mut self, seat: usize) -> Result<()> {
        self.workers.0[seat] = Some(self.work.start(seat)?);
        self.respawned += 1;
        Ok(())
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
        Killer { random, left, next: Instant::now() }
    }

    /// Kills a worker if it is time to.
    fn look<W: Work>(&mut self, crew: &mut Crew<W>) -> Result<()> {
        let workers = &crew.workers.0;
        let living: Vec<_> = (0..workers.len()).filter(|&seat| workers[seat].is_some()).collect();
        if self.left == 0 || living.is_empty() || Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + Duration::from_micros(self.random.below(LONGEST_PAUSE_US));
        let seat = living[self.random.below(living.len() as u64) as usize];
        let Some(worker) = &workers[seat] else { return Ok(()) };
        worker.kill()?;
        // It may have ended by itself just before.
        let by_us = matches!(worker.join(), Err(TaskError::Died { exit: Exit::Signal(_), .. }));
        self.left -= u64::from(by_us);
        crew.replace(seat, by_us)
    }
}
