//! Plays worlds: Linux, x86-64.

use super::limits::{Grain, Limits};
use super::plan::Plan;
use super::point::{Fate, Moment};
use super::report::{Report, Violation};
use super::route::Trace;
use super::scenario::{Role, Scenario};
use super::tracee::Text;
use super::victim::{self, Target, Tools, Trouble, Victim};
use super::watch::Watch;
use crate::affinity::Pin;
use crate::child::child;
use crate::rng::Rng;
use crate::symbol::Trail;

/// Combinations a mode with several victims tries unless told otherwise.
const COMBINATIONS: usize = 1_000;

/// One mode at work.
pub(super) struct Run<'r, 'a, C> {
    scenario: &'r Scenario<'a, C>,
    limits: &'r Limits,
    plan: &'r Plan,
    report: &'r mut Report,
    rng: Rng,
    text: Text,
    pin: Pin,
    hangs: usize,
}

impl<'r, 'a, C> Run<'r, 'a, C> {
    pub(super) fn new(
        scenario: &'r Scenario<'a, C>,
        limits: &'r Limits,
        plan: &'r Plan,
        report: &'r mut Report,
    ) -> Self {
        let rng = Rng::new(limits.seed);
        // Tracer and victim alternate: on one processor a step costs a context switch, not a wake-up across.
        Run { scenario, limits, plan, report, rng, text: Text::new(), pin: Pin::here(), hangs: 0 }
    }

    pub(super) fn all(mut self) {
        let several = self.plan.depth > 1;
        let budget = self.limits.max_points.unwrap_or(if several { COMBINATIONS } else { usize::MAX });
        self.explore(&mut Vec::new(), budget);
    }

    /// Tries the points of the victim after those that `prefix` has brought to theirs.
    fn explore(&mut self, prefix: &mut Vec<Target>, budget: usize) {
        prefix.push(Target::Record);
        let trace = self.play(prefix);
        prefix.pop();
        let Some(trace) = trace else { return };
        let mut points = self.points(&trace);
        if prefix.is_empty() {
            self.report.points = points.len() + 1;
            self.report.steps = trace.end().step;
            self.report.end = Some(trace.end().moment);
        }
        let left = self.plan.depth - prefix.len();
        if left > 1 {
            points.push(self.end_of(&trace));
        }
        let wanted = if left == 1 { budget } else { even_share(budget, left) };
        let chosen = self.rng.sample(points.len(), wanted);
        for &index in &chosen {
            if self.finished() {
                return;
            }
            prefix.push(points[index]);
            if left == 1 {
                self.play(prefix);
            } else {
                self.explore(prefix, (budget / chosen.len()).max(1));
            }
            prefix.pop();
        }
    }

    /// All points but the end, which the recording run has already played.
    fn points(&self, trace: &Trace) -> Vec<Target> {
        let (end, before_end) = (trace.end(), &trace.routes[..trace.routes.len() - 1]);
        let all = before_end.iter().filter(|route| match self.plan.grain {
            // The end is no step: it stands where the last one led.
            Grain::Instruction => end.moment != Moment::Finished || route.point.step < end.step,
            Grain::Event => route.point.moment != Moment::Step,
        });
        all.step_by(self.limits.stride).map(|&route| Target::Point(route)).collect()
    }

    /// The end of a victim is also a point at which the next one may find the world.
    fn end_of(&self, trace: &Trace) -> Target {
        match trace.routes.last() {
            Some(&route) if route.point.moment == Moment::Exhausted => Target::Point(route),
            _ => Target::End { step_only: trace.step_only },
        }
    }

    fn finished(&self) -> bool {
        self.report.skipped.is_some()
            || self.report.violations.len() >= self.limits.max_violations
            || self.hangs >= 2
    }

    /// Plays one world: each victim goes to its target, the dead are reaped, survivors check. Returns what was recorded
    /// of the last victim.
    fn play(&mut self, targets: &[Target]) -> Option<Trace> {
        let world = (self.scenario.setup)();
        let mut fates = Vec::new();
        let mut frozen = None;
        let mut trail = Trail::default();
        let mut trace = None;
        for (index, &target) in targets.iter().enumerate() {
            match self.bring(&world, index, target, &mut fates) {
                Ok((victim, found)) => {
                    trail = victim.trail();
                    trace = Some(found);
                    if self.plan.freeze && index == 0 {
                        frozen = Some(victim);
                    } else {
                        victim.kill();
                    }
                }
                Err(trouble) => {
                    self.trouble(trouble, fates);
                    return None;
                }
            }
        }
        // The first of a pair alone was only recorded: nobody died beside it.
        if !self.plan.freeze || fates.len() > 1 {
            self.report.kills += 1;
            self.conclude(&world, fates, frozen, trail);
        }
        trace
    }

    /// Starts a victim and brings it to its target.
    fn bring<'c>(
        &mut self,
        world: &'c C,
        index: usize,
        target: Target,
        fates: &mut Vec<Fate>,
    ) -> Result<(Victim<'c>, Trace), Trouble> {
        let scenario = self.scenario;
        let role = &scenario.roles[index];
        let recording = target == Target::Record;
        let regions = if recording { (scenario.observe)(world) } else { Vec::new() };
        let mut victim = victim::start(world, &*role.prepare, Watch::new(regions), self.limits)?;
        let (limits, pin) = (self.limits, &self.pin);
        let mut tools = Tools {
            text: &mut self.text,
            max_steps: limits.max_steps,
            rouse: &mut || rouse(role, world, limits, pin),
        };
        let mut trace = Trace::new();
        let mut diverged = false;
        let outcome = match target {
            Target::Record => victim.record(&mut tools, &mut trace),
            Target::Point(route) => victim.travel(&route, &mut tools).map(|there| diverged = !there),
            Target::End { step_only } => victim.finish(step_only, &mut tools),
        };
        let point = victim.point();
        let finished = point.moment == Moment::Finished;
        fates.push(Fate { victim: role.name.clone(), point, finished, pid: victim.pid() });
        outcome?;
        self.report.diverged += usize::from(diverged);
        Ok((victim, trace))
    }

    /// Survivors' turn: first beside the frozen victim, then, after its end, alone.
    fn conclude(&mut self, world: &C, mut fates: Vec<Fate>, frozen: Option<Victim<'_>>, trail: Trail) {
        let scenario = self.scenario;
        if let Some(mut victim) = frozen {
            if let Some(meanwhile) = &scenario.meanwhile
                && fates.len() > 1
                && !self.survive(world, &fates, &trail, "meanwhile", meanwhile)
            {
                return;
            }
            if let Err(trouble) = victim.resume(self.limits, self.pin.before()) {
                self.trouble(trouble, fates);
                return;
            }
            fates[0].finished = true;
            victim.kill();
        }
        let check = scenario.check.as_ref().expect("checked by `run`");
        self.survive(world, &fates, &trail, "check", check);
    }

    fn survive(
        &mut self,
        world: &C,
        fates: &[Fate],
        trail: &Trail,
        stage: &str,
        judge: &dyn Fn(&C, &[Fate]) -> Option<String>,
    ) -> bool {
        let pin = &self.pin;
        let exit = child(self.limits.deadline, || {
            pin.lift();
            judge(world, fates).map_or(Ok(()), Err)
        });
        if exit.is_clean() {
            return true;
        }
        let hang = exit.is_hang();
        self.violation(fates.to_vec(), format!("{stage} {exit}"), hang, trail.clone());
        false
    }

    fn trouble(&mut self, trouble: Trouble, fates: Vec<Fate>) {
        match trouble {
            Trouble::Broken { what, hang, trail } => self.violation(fates, what, hang, trail),
            Trouble::Refused(why) => self.report.skipped = Some(why),
        }
    }

    fn violation(&mut self, fates: Vec<Fate>, what: String, hang: bool, trail: Trail) {
        self.hangs += usize::from(hang);
        self.report.violations.push(Violation { fates, what, hang, trail });
    }
}

/// Wakes a sleeping victim through the scenario's own means; false if it has none.
fn rouse<C>(role: &Role<'_, C>, world: &C, limits: &Limits, pin: &Pin) -> Result<bool, Trouble> {
    let Some(rouse) = &role.rouse else { return Ok(false) };
    let exit = child(limits.deadline, || {
        pin.lift();
        rouse(world)
    });
    if exit.is_clean() {
        return Ok(true);
    }
    let what = format!("when_asleep {exit}");
    Err(Trouble::Broken { what, hang: exit.is_hang(), trail: Trail::default() })
}

/// The `left`-th root of a budget, rounded up: how many points of one victim to try when `left` share it.
fn even_share(budget: usize, left: usize) -> usize {
    (budget as f64).powf(1.0 / left as f64).ceil() as usize
}
