//! The torture of one object: storms, calms, checks and probes, by a schedule that the seed determines.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::arena::Arena;
use super::board::{Board, Cell, Kind};
use super::crew::{Crew, Hang};
use super::report::Outcome;
use super::subject::{Calm, Entry, Stop, Subject, Turn};
use super::worker::Plan;
use crate::random::Random;

/// Without progress for so long, it hangs.
const HANG: Duration = Duration::from_secs(20);
/// The most kills of one storm.
const STORM_KILLS: u64 = 8;
/// The longest time between two harms of a storm.
const LONGEST_PAUSE_US: u64 = 4_000;
/// The longest time in which a contender is stopped.
const LONGEST_STOP_US: u64 = 20_000;
/// Every so many probes, the waiters sleep for a second and more before the kill.
const PROBES_PER_SLEEP: u64 = 5;
/// That long.
const LONG_SLEEP: Duration = Duration::from_millis(1_100);

/// What is the same for all objects.
pub(super) struct Options {
    pub(super) contenders: usize,
    pub(super) kills: u64,
    pub(super) seed: u64,
}

/// Why it ended early.
enum End {
    Hang(String),
    Broken(String),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> Self {
        End::Failed(error)
    }
}

impl From<procshare::Error> for End {
    fn from(error: procshare::Error) -> Self {
        End::Failed(error.into())
    }
}

impl From<Hang> for End {
    fn from(Hang(text): Hang) -> Self {
        End::Hang(text)
    }
}

/// What a survivor's turn means.
fn judge(turn: Turn) -> Result<(), End> {
    match turn {
        Ok(()) => Ok(()),
        Err(Stop::Broken(text)) => Err(End::Broken(text)),
        Err(Stop::Again | Stop::Forked) => {
            Err(End::Broken("in the calm, the survivor finds it taken by somebody".into()))
        }
    }
}

/// One object, one crew.
struct Conductor<'a> {
    subject: Box<dyn Subject>,
    board: Board,
    crew: Crew,
    random: Random,
    outcome: Outcome,
    options: &'a Options,
    checked_deaths: u64,
    probes: u64,
    progress: &'a dyn Fn(u64),
}

/// Tortures one kind of object; `progress` is told of the kills.
pub(super) fn torture(
    entry: &Entry,
    arena: &Arena,
    options: &Options,
    progress: &dyn Fn(u64),
) -> Result<Outcome> {
    let started = Instant::now();
    let space = arena.space(entry.name)?;
    let subject = (entry.set)(&space, options.contenders)?;
    let board = Board::new(&space, options.contenders)?;
    let seed = entry.name.bytes().fold(options.seed, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
    let plan = Plan {
        parent: std::process::id() as i32,
        object: entry.name.into(),
        handles: subject.plan()?,
        board: board.handle(),
        log: arena.log(),
        seed,
        threads: 1,
    };
    let mut conductor = Conductor {
        subject,
        crew: Crew::new(&board, serde_json::to_string(&plan)?)?,
        board,
        random: Random::new(seed),
        outcome: Outcome::new(entry.name),
        options,
        checked_deaths: 0,
        probes: 0,
        progress,
    };
    match conductor.run() {
        Ok(()) => {}
        Err(End::Hang(text)) => {
            conductor.outcome.hangs += 1;
            conductor.outcome.notes.push(text);
        }
        Err(End::Broken(text)) => {
            conductor.outcome.violations += 1;
            conductor.outcome.notes.push(text);
        }
        Err(End::Failed(error)) => return Err(error),
    }
    let Conductor { mut outcome, board, crew, .. } = conductor;
    drop(crew);
    outcome.told = board.sum(Cell::Told)?;
    outcome.turns = board.sum(Cell::Turns)?;
    outcome.forks = board.sum(Cell::Forks)?;
    outcome.violations += board.sum(Cell::Violations)?;
    outcome.notes.extend(arena.take_log());
    outcome.time = started.elapsed();
    Ok(outcome)
}

impl Conductor<'_> {
    fn run(&mut self) -> Result<(), End> {
        self.crew.fill()?;
        while self.left() > 0 {
            self.board.begin(Kind::Storm, 0, 0)?;
            let kills = (1 + self.random.below(STORM_KILLS)).min(self.left());
            for _ in 0..kills {
                self.harm()?;
            }
            self.calm()?;
            self.check()?;
            if self.subject.waits() && self.left() > 0 {
                self.probe()?;
                self.check()?;
            }
            self.outcome.rounds += 1;
            if self.board.sum(Cell::Violations)? > 0 {
                // What was broken stays broken: nothing to be learnt from going on.
                return Ok(());
            }
        }
        self.leave()
    }

    fn left(&self) -> u64 {
        self.options.kills - self.outcome.kills
    }

    fn row(&mut self) -> usize {
        self.random.below(self.crew.len() as u64) as usize
    }

    /// A pause, sometimes a stop, a kill.
    fn harm(&mut self) -> Result<(), End> {
        let victim = self.row();
        if self.random.below(3) == 0 {
            let row = self.row();
            self.crew.stop(row);
            self.outcome.stops += 1;
            self.sleep_up_to(LONGEST_STOP_US);
            // One stays stopped now and then, until it is killed or the calm comes.
            if self.random.below(4) != 0 {
                self.crew.go_on(row);
            }
        }
        // Mostly in the middle of its work, sometimes while it attaches.
        if self.random.below(8) != 0 && !self.crew.is_stopped(victim) {
            self.crew.wait_until("a contender attaches", HANG, |crew| crew.is_ready(victim))??;
        }
        self.sleep_up_to(LONGEST_PAUSE_US);
        self.kill(victim)?;
        self.crew.bury(victim)?;
        Ok(self.crew.start(victim)?)
    }

    fn kill(&mut self, row: usize) -> Result<(), End> {
        self.crew.kill(row)?;
        self.outcome.kills += 1;
        (self.progress)(self.outcome.kills);
        Ok(())
    }

    fn sleep_up_to(&mut self, most_us: u64) {
        std::thread::sleep(Duration::from_micros(self.random.below(most_us)));
    }

    /// Nobody is hurt: everybody must get on.
    fn calm(&mut self) -> Result<(), End> {
        for row in 0..self.crew.len() {
            self.crew.go_on(row);
        }
        self.board.begin(Kind::Calm, 0, 0)?;
        let board = self.board.clone();
        let turns = |row| board.get(row, Cell::Turns);
        let before: Vec<u64> = (0..self.crew.len()).map(turns).collect::<procshare::Result<_>>()?;
        self.crew.wait_until("in the calm, every contender does a turn", HANG, |_| {
            if board.sum(Cell::Violations)? > 0 {
                // Whoever found something broken may never get on again.
                return Ok(true);
            }
            for (row, &before) in before.iter().enumerate() {
                if turns(row)? == before {
                    return Ok(false);
                }
            }
            Ok(true)
        })??;
        Ok(())
    }

    /// Has all hands emptied.
    fn park(&mut self) -> Result<(), End> {
        let phase = self.board.begin(Kind::Pause, 0, 0)?;
        let (board, subject) = (&self.board, &self.subject);
        let mut broken = None;
        self.crew.wait_until("everybody comes out of the object", HANG, |crew| {
            for row in 0..crew.len() {
                if board.get(row, Cell::Parked)? != phase.number {
                    if let Err(Stop::Broken(text)) = subject.part() {
                        broken = Some(text);
                    }
                    return Ok(broken.is_some());
                }
            }
            Ok(true)
        })??;
        broken.map_or(Ok(()), |text| Err(End::Broken(text)))
    }

    /// A survivor looks at everything.
    fn check(&mut self) -> Result<(), End> {
        self.park()?;
        let deaths = self.board.deaths()?;
        let calm = Calm {
            board: &self.board,
            deaths,
            fresh_deaths: deaths - self.checked_deaths,
            excused: self.board.take_excuses()?,
        };
        self.checked_deaths = deaths;
        judge(self.subject.check(&calm))
    }

    /// One contender is killed while it surely holds what all others wait for.
    fn probe(&mut self) -> Result<(), End> {
        judge(self.subject.prepare(&self.board))?;
        for row in 0..self.crew.len() {
            self.board.set(row, Cell::Granted, 0)?;
        }
        let (holder, variant) = (self.row(), self.random.below(64));
        let phase = self.board.begin(Kind::Probe, holder, variant)?;
        let board = self.board.clone();
        self.crew.wait_until("one takes the object and the others wait for it", HANG, |crew| {
            for row in 0..crew.len() {
                let cell = if row == holder { Cell::Inside } else { Cell::Waiting };
                if board.get(row, cell)? != phase.number {
                    return Ok(false);
                }
            }
            Ok(true)
        })??;
        self.probes += 1;
        let asleep = self.probes.is_multiple_of(PROBES_PER_SLEEP);
        if asleep {
            std::thread::sleep(LONG_SLEEP);
        }
        self.sleep_up_to(20_000);
        if self.board.first_grant()?.is_some() {
            return Err(End::Broken("a waiter was let in while the holder was alive".into()));
        }
        self.kill(holder)?;
        judge(self.subject.aftermath(variant))?;
        self.crew.wait_until("a waiter gets what the dead one held", HANG, |_| {
            Ok(board.first_grant()?.is_some())
        })??;
        self.outcome.recovered(self.board.first_grant()?.unwrap_or_default(), asleep);
        self.crew.bury(holder)?;
        Ok(self.crew.start(holder)?)
    }

    /// Everybody goes home, by itself.
    fn leave(&mut self) -> Result<(), End> {
        self.board.begin(Kind::End, 0, 0)?;
        Ok(())
    }
}
