//! One victim: forked, prepared, stepped to a point.

use super::limits::Limits;
use super::point::{KillPoint, Moment};
use super::route::{Route, Trace};
use super::scenario::Prepare;
use super::stage::{IDLE, PANICKED, Stage};
use super::tracee::{self, Insn, Patience, Stand, Text, Tracee};
use super::watch::Watch;
use crate::child::{Message, exit_now, fork_raw};
use crate::symbol::Trail;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Where a victim is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// At its end, with every point on the way recorded.
    Record,
    /// At a recorded point.
    Point(Route),
    /// At its end; `step_only` forbids running freely.
    End { step_only: bool },
}

/// Why a victim could not be brought to its point.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The operation or its preparation misbehaved: a violation.
    Broken { what: String, hang: bool, trail: Trail },
    /// This machine does not let us trace.
    Refused(String),
}

/// Exit code of a victim that may not be traced.
const REFUSED: i32 = 3;

/// A victim at a point of its operation.
pub(super) struct Victim<'c> {
    tracee: Tracee,
    words: Message,
    watch: Watch<'c>,
    point: KillPoint,
    patience: Patience,
    roused: bool,
}

/// What stepping needs from the run around it.
pub(super) struct Tools<'t> {
    pub(super) text: &'t mut Text,
    pub(super) max_steps: usize,
    /// Wakes a sleeping victim; false if the scenario has no way to.
    pub(super) rouse: &'t mut dyn FnMut() -> Result<bool, Trouble>,
}

/// Whether a victim can be followed further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Onward {
    Stopped,
    /// It slept, and was woken: wait for it again.
    Again,
    Ended,
}

/// Time for one run to a breakpoint, which takes microseconds: a victim that takes another way ends here.
const OVERDUE: Duration = Duration::from_secs(1);

/// Forks a process, lets it prepare, and stops it before its operation.
pub(super) fn start<'c, C>(
    world: &'c C,
    prepare: &Prepare<'_, C>,
    watch: Watch<'c>,
    limits: &Limits,
) -> Result<Victim<'c>, Trouble> {
    let words = Message::new();
    let pid = fork_raw();
    if pid == 0 {
        words.own();
        live(world, prepare);
    }
    let mut tracee = Tracee::new(pid);
    let broken = |what: String, hang, trail| Trouble::Broken { what, hang, trail };
    match tracee.run(None, &mut unhurried(limits)) {
        Stand::Marker | Stand::Stopped => {}
        Stand::Gone(status) if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == REFUSED => {
            return Err(Trouble::Refused("the system refuses ptrace".to_owned()));
        }
        Stand::Gone(status) => {
            let what = format!("preparation {}", ending(status, &words));
            return Err(broken(what, false, Trail::default()));
        }
        Stand::Asleep | Stand::Overdue => {
            let (state, trail) = crate::proc::whereabouts(pid);
            return Err(broken(format!("preparation hung ({state})"), true, trail));
        }
    }
    tracee.adopt();
    let point = KillPoint { step: 0, event: 1, moment: Moment::Start, rip: tracee.rip() };
    let patience = Patience { slept: Duration::ZERO, limit: limits.asleep_after, overdue: OVERDUE };
    let mut victim = Victim { tracee, words, watch, point, patience, roused: false };
    victim.watch.changed();
    Ok(victim)
}

/// Free to sleep as it likes, up to the deadline.
fn unhurried(limits: &Limits) -> Patience {
    Patience { slept: Duration::ZERO, limit: Duration::MAX, overdue: limits.deadline }
}

/// The child's life: allow tracing, prepare; the stage does the rest.
fn live<C>(world: &C, prepare: &Prepare<'_, C>) -> ! {
    if tracee::accept_tracing().is_err() {
        exit_now(REFUSED);
    }
    match catch_unwind(AssertUnwindSafe(|| prepare(world, Stage::new()))) {
        Ok(()) => exit_now(IDLE),
        Err(_) => exit_now(PANICKED),
    }
}

fn ending(status: i32, words: &Message) -> String {
    if libc::WIFSIGNALED(status) {
        format!("was ended by signal {}", libc::WTERMSIG(status))
    } else if libc::WEXITSTATUS(status) == PANICKED {
        format!("panicked: {}", words.read())
    } else if libc::WEXITSTATUS(status) == IDLE {
        "returned without running its operation on the stage".to_owned()
    } else {
        format!("exited with code {}", libc::WEXITSTATUS(status))
    }
}

impl Victim<'_> {
    pub(super) fn pid(&self) -> libc::pid_t {
        self.tracee.pid()
    }

    pub(super) fn point(&self) -> KillPoint {
        self.point
    }

    pub(super) fn trail(&self) -> Trail {
        self.tracee.trail()
    }

    /// Steps to the end of the operation, or as far as it can be followed, and notes every point.
    pub(super) fn record(&mut self, tools: &mut Tools<'_>, trace: &mut Trace) -> Result<(), Trouble> {
        trace.note(self.point);
        loop {
            let insn = self.next(tools);
            let onward = self.record_step(insn, tools)?;
            trace.note(self.point);
            if onward == Onward::Ended || (onward == Onward::Again && !self.rouse(tools)?) {
                return Ok(());
            }
        }
    }

    /// One step, its point and what kind of point it is. `Again` means asleep here.
    fn record_step(&mut self, insn: Insn, tools: &mut Tools<'_>) -> Result<Onward, Trouble> {
        if insn == Insn::Marker {
            self.point.event += 1;
            self.point.moment = Moment::Finished;
            return Ok(Onward::Ended);
        }
        let number = match self.point.moment {
            Moment::Asleep(number) if self.tracee.running() => number,
            _ if insn == Insn::Syscall => self.tracee.call_number(),
            _ => 0,
        };
        let stand = self.tracee.step(insn, &mut self.patience);
        self.point.event += 1;
        match stand {
            Stand::Stopped | Stand::Marker => self.point.step += 1,
            Stand::Asleep => {
                self.point.moment = Moment::Asleep(number);
                return Ok(Onward::Again);
            }
            Stand::Overdue => {
                self.point.moment = Moment::Exhausted;
                return Ok(Onward::Ended);
            }
            Stand::Gone(status) => return Err(self.gone(status)),
        }
        self.point.rip = self.tracee.rip();
        let changed = self.watch.changed();
        let next = self.tracee.next(tools.text);
        self.point.moment = if self.point.step >= tools.max_steps {
            Moment::Exhausted
        } else if insn == Insn::Syscall && self.patience.over() {
            Moment::Asleep(number)
        } else if insn == Insn::Syscall {
            Moment::AfterCall(number)
        } else if changed {
            Moment::Change
        } else if next == Insn::Syscall {
            Moment::BeforeCall(self.tracee.call_number())
        } else {
            self.point.event -= 1;
            Moment::Step
        };
        Ok(match self.point.moment {
            Moment::Exhausted => Onward::Ended,
            Moment::Asleep(_) => Onward::Again,
            _ => Onward::Stopped,
        })
    }

    /// Goes to a recorded point as quickly as possible; false if the operation took another way.
    pub(super) fn travel(&mut self, route: &Route, tools: &mut Tools<'_>) -> Result<bool, Trouble> {
        if let Some(anchor) = route.anchor {
            let mut left = anchor.nth;
            while left > 0 {
                // Standing on the breakpoint's place, it must be left by a step.
                let stand = if self.tracee.rip() == anchor.address && !self.tracee.running() {
                    let insn = self.next(tools);
                    self.tracee.step(insn, &mut self.patience)
                } else {
                    self.tracee.run(Some(anchor.address), &mut self.patience)
                };
                match self.cope(stand, tools)? {
                    Onward::Ended => return Ok(false),
                    Onward::Again => {}
                    Onward::Stopped => left -= u64::from(self.tracee.rip() == anchor.address),
                }
            }
            self.point.step = anchor.step;
        }
        while self.point.step < route.point.step || route.sleeping {
            let insn = self.next(tools);
            if insn == Insn::Marker {
                self.point.moment = Moment::Finished;
                return Ok(false);
            }
            let stand = self.tracee.step(insn, &mut self.patience);
            if route.sleeping && stand == Stand::Asleep && self.point.step >= route.point.step {
                break;
            }
            match self.cope(stand, tools)? {
                Onward::Ended => return Ok(false),
                Onward::Again => {}
                Onward::Stopped => self.point.step += 1,
            }
            if self.point.step > route.point.step {
                // It was to fall asleep here and did not.
                return Ok(false);
            }
        }
        let there = self.tracee.rip() == route.point.rip || self.tracee.running();
        if there {
            self.point = route.point;
        }
        Ok(there)
    }

    /// Goes to the end of the operation, or to where it sleeps for ever.
    pub(super) fn finish(&mut self, step_only: bool, tools: &mut Tools<'_>) -> Result<(), Trouble> {
        loop {
            let stand = if step_only {
                match self.next(tools) {
                    Insn::Marker => Stand::Marker,
                    insn => self.tracee.step(insn, &mut self.patience),
                }
            } else {
                self.tracee.run(None, &mut self.patience)
            };
            if self.cope(stand, tools)? == Onward::Ended {
                return Ok(());
            }
            self.point.step += usize::from(step_only);
        }
    }

    fn next(&self, tools: &mut Tools<'_>) -> Insn {
        if self.tracee.running() { Insn::Syscall } else { self.tracee.next(tools.text) }
    }

    /// What a stop means on the way to a point.
    fn cope(&mut self, stand: Stand, tools: &mut Tools<'_>) -> Result<Onward, Trouble> {
        self.point.moment = match stand {
            Stand::Stopped => Moment::Step,
            Stand::Marker => Moment::Finished,
            Stand::Asleep => Moment::Asleep(crate::proc::call_number(self.tracee.pid()).unwrap_or(0)),
            Stand::Overdue => Moment::Exhausted,
            Stand::Gone(status) => return Err(self.gone(status)),
        };
        self.point.rip = self.tracee.rip();
        Ok(match stand {
            Stand::Stopped => Onward::Stopped,
            Stand::Asleep if self.rouse(tools)? => Onward::Again,
            _ => Onward::Ended,
        })
    }

    /// Wakes the victim the first time it sleeps.
    fn rouse(&mut self, tools: &mut Tools<'_>) -> Result<bool, Trouble> {
        if self.roused || !(tools.rouse)()? {
            return Ok(false);
        }
        self.roused = true;
        self.patience.slept = Duration::ZERO;
        Ok(true)
    }

    fn gone(&self, status: i32) -> Trouble {
        let what =
            format!("the operation {} after instruction {}", ending(status, &self.words), self.point.step);
        Trouble::Broken { what, hang: false, trail: Trail::default() }
    }

    /// Lets a frozen victim run freely to the end of its operation.
    pub(super) fn resume(&mut self, limits: &Limits, mask: &libc::cpu_set_t) -> Result<(), Trouble> {
        if self.point.moment == Moment::Finished {
            return Ok(());
        }
        self.tracee.unpin(mask);
        match self.tracee.run_to_marker(&mut unhurried(limits)) {
            Stand::Marker | Stand::Stopped => Ok(()),
            Stand::Gone(status) => {
                let what = format!("the resumed victim {}", ending(status, &self.words));
                Err(Trouble::Broken { what, hang: false, trail: Trail::default() })
            }
            Stand::Asleep | Stand::Overdue => {
                let (state, trail) = crate::proc::whereabouts(self.tracee.pid());
                let what = format!("the resumed victim hung for {:?} ({state})", limits.deadline);
                Err(Trouble::Broken { what, hang: true, trail })
            }
        }
    }

    /// Kills the victim where it is and reaps it.
    pub(super) fn kill(self) {
        self.tracee.kill();
    }
}
