//! One contender, seen from inside.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};

use super::board::{Board, Cell, Kind, Phase, Token, now};
use super::fork::{self, Side};
use super::subject::{Stop, Subject, Turn};
use crate::random::Random;

/// In so many turns one forks.
const TURNS_PER_FORK: u64 = 60;
/// The most turns of a forked child.
const CHILD_TURNS: u64 = 12;
/// How long who has nothing to do looks away.
pub(super) const NAP: Duration = Duration::from_micros(300);

/// What a contender is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// Turns at random.
    Fighter,
    /// Takes the object in the probe `.0` and never gives it back.
    Holder(Phase),
    /// Waits in the probe `.0` for what the holder has.
    Waiter(Phase),
}

/// One contender.
pub(super) struct Actor {
    pub(super) board: Board,
    pub(super) token: Token,
    random: Random,
    role: Role,
    /// Whether to fork in the middle of this turn.
    fork_inside: bool,
    child: Option<Pid>,
    log: PathBuf,
}

impl Actor {
    pub(super) fn new(board: Board, token: Token, seed: u64, log: &Path) -> Self {
        let mut random = Random::new(seed ^ token.to_word());
        random.below(u64::MAX);
        Actor {
            board,
            token,
            random,
            role: Role::Fighter,
            fork_inside: false,
            child: None,
            log: log.to_owned(),
        }
    }

    /// One of `count` ways; in a probe, the same for everybody.
    pub(super) fn choose(&mut self, count: u64) -> u64 {
        match self.role {
            Role::Fighter => self.random.below(count),
            Role::Holder(phase) | Role::Waiter(phase) => phase.variant % count,
        }
    }

    /// Random in a probe, too.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }

    pub(super) fn is_holder(&self) -> bool {
        matches!(self.role, Role::Holder(_))
    }

    pub(super) fn is_probe(&self) -> bool {
        self.role != Role::Fighter
    }

    /// A short timeout, for who waits for others that may be about to park.
    pub(super) fn patience(&mut self) -> Duration {
        Duration::from_micros(self.random.below(3_000))
    }

    /// Called as soon as the object is taken.
    pub(super) fn granted(&mut self) -> Turn {
        if let Role::Waiter(_) = self.role
            && self.board.get(self.token.row, Cell::Granted)? == 0
        {
            self.board.set(self.token.row, Cell::Granted, now())?;
        }
        Ok(())
    }

    /// Called in the middle of the work, with the object in hand: where a fighter dawdles or forks, and a holder stays.
    pub(super) fn inside(&mut self) -> Turn {
        match self.role {
            Role::Waiter(_) => Ok(()),
            Role::Holder(phase) => {
                self.announce()?;
                while self.board.phase()? == phase {
                    std::thread::sleep(NAP);
                }
                Ok(())
            }
            Role::Fighter if self.fork_inside => {
                self.fork_inside = false;
                self.fork()?;
                // The child shall find the object taken.
                std::thread::sleep(Duration::from_micros(self.random.below(2_000)));
                Ok(())
            }
            Role::Fighter => {
                match self.random.below(16) {
                    0 => std::thread::sleep(Duration::from_micros(self.random.below(300))),
                    1..4 => std::thread::yield_now(),
                    spins => (0..spins * 4).for_each(|_| std::hint::spin_loop()),
                }
                Ok(())
            }
        }
    }

    /// A holder tells that it holds, where it cannot do so from [`inside`](Self::inside).
    pub(super) fn announce(&self) -> Turn {
        if let Role::Holder(phase) = self.role {
            self.board.set(self.token.row, Cell::Inside, phase.number)?;
        }
        Ok(())
    }

    /// Called when a dead owner's remains have been mended.
    pub(super) fn told(&self) -> Turn {
        self.board.add(self.token.row, Cell::Told, 1)?;
        Ok(())
    }

    /// Called after a step that must show up in the object's state.
    pub(super) fn done(&self) -> Turn {
        self.board.add(self.token.row, Cell::Done, 1)?;
        Ok(())
    }

    /// How much a death from now on may take with it.
    pub(super) fn excuse(&self, most: u64) -> Turn {
        Ok(self.board.set(self.token.row, Cell::Excuse, most)?)
    }

    /// One turn of a fighter.
    pub(super) fn fight(&mut self, subject: &dyn Subject) -> procshare::Result<()> {
        self.look_after_child()?;
        if self.child.is_none()
            && self.token.row < self.board.contenders()
            && subject.forks()
            && self.random.below(TURNS_PER_FORK) == 0
        {
            if self.random.below(2) == 0 {
                self.fork_inside = true;
            } else if let Err(stop) = self.fork() {
                return self.end(subject, Err(stop));
            }
        }
        let turn = subject.turn(self);
        self.fork_inside = false;
        self.end(subject, turn)
    }

    /// One turn in a probe.
    pub(super) fn probe(&mut self, subject: &dyn Subject, phase: Phase) -> procshare::Result<()> {
        self.role = if phase.holder == self.token.row { Role::Holder(phase) } else { Role::Waiter(phase) };
        let turn = loop {
            match subject.turn(self) {
                Err(Stop::Again) if self.board.phase()? == phase => {}
                turn => break turn,
            }
        };
        self.role = Role::Fighter;
        self.end(subject, turn)
    }

    fn end(&mut self, subject: &dyn Subject, turn: Turn) -> procshare::Result<()> {
        match turn {
            Ok(()) => self.board.add(self.token.row, Cell::Turns, 1).map(drop),
            Err(Stop::Again) => Ok(()),
            Err(Stop::Forked) => self.live_as_child(subject),
            Err(Stop::Broken(text)) => self.complain(&text),
        }
    }

    /// Writes a broken promise down.
    fn complain(&self, text: &str) -> procshare::Result<()> {
        let nth = self.board.add(self.token.row, Cell::Violations, 1)?;
        if nth < 5
            && let Ok(mut log) = std::fs::File::options().append(true).create(true).open(&self.log)
        {
            // One write: lines of many processes do not mix.
            let _ = log.write_all(format!("{text}\n").as_bytes());
        }
        Ok(())
    }

    /// The row of this contender's children.
    fn child_row(&self) -> usize {
        self.token.row + self.board.contenders()
    }

    /// Forks; the child gets [`Stop::Forked`].
    fn fork(&mut self) -> Turn {
        let row = self.child_row();
        let parent = Pid::this();
        let serial = self.board.get(row, Cell::Serial)? + 1;
        self.board.set(row, Cell::Process, 0)?;
        self.board.set(row, Cell::Serial, serial)?;
        match fork::fork() {
            Ok(Side::Parent(child)) => {
                self.board.add(self.token.row, Cell::Forks, 1)?;
                self.child = Some(child);
                Ok(())
            }
            Ok(Side::Child) => {
                self.token = Token { row, incarnation: serial };
                self.random = Random::new(self.token.to_word());
                self.child = None;
                self.role = Role::Fighter;
                end_with_parent(parent);
                self.board.set(row, Cell::Process, Pid::this().as_raw() as u64)?;
                Err(Stop::Forked)
            }
            // No process to be had: then none forks.
            Err(_) => Ok(()),
        }
    }

    /// The life of a forked child: some turns of its own.
    fn live_as_child(&mut self, subject: &dyn Subject) -> ! {
        let turns = 1 + self.random.below(CHILD_TURNS);
        for _ in 0..turns {
            let fighting = matches!(self.board.phase(), Ok(Phase { kind: Kind::Storm | Kind::Calm, .. }));
            if !fighting || self.fight(subject).is_err() {
                break;
            }
        }
        std::process::exit(0)
    }

    /// Reaps a forked child that has ended, and kills one now and then.
    fn look_after_child(&mut self) -> procshare::Result<()> {
        let Some(child) = self.child else { return Ok(()) };
        let storm = self.board.phase()?.kind == Kind::Storm;
        if storm && self.random.below(8) == 0 {
            let row = self.child_row();
            self.board.condemn(row, self.board.get(row, Cell::Serial)?)?;
            // It is this process's child and was not waited for: the id is its own.
            let _ = kill(child, Signal::SIGKILL);
            return self.reap(child, None);
        }
        self.reap(child, Some(WaitPidFlag::WNOHANG))
    }

    /// Waits for the forked child, if there is one.
    pub(super) fn await_child(&mut self) -> procshare::Result<()> {
        self.child.map_or(Ok(()), |child| self.reap(child, None))
    }

    fn reap(&mut self, child: Pid, flags: Option<WaitPidFlag>) -> procshare::Result<()> {
        let status = waitpid(child, flags);
        if status == Ok(WaitStatus::StillAlive) {
            return Ok(());
        }
        self.child = None;
        let row = self.child_row();
        if let Ok(WaitStatus::Signaled(..)) = status {
            self.board.bury(row)?;
        }
        self.board.set(row, Cell::Process, 0)
    }
}

/// Has the system end this process when `parent` dies.
pub(super) fn end_with_parent(parent: Pid) {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    // It may have died before.
    if getppid() != parent {
        std::process::exit(1);
    }
}
