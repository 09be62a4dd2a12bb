//! The quickest way back to a point of a recorded operation.
//!
//! A single step costs a debug trap: 2 to 20 µs, the latter in virtual machines. A breakpoint costs one trap for each
//! time it is met, and everything between runs at full speed. So a replay runs to an anchor, an instruction that is met
//! for the k-th time, and steps from there.

use super::point::{KillPoint, Moment};
use std::collections::HashMap;

/// A point and how to get there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// What was seen there when it was recorded.
    pub(super) point: KillPoint,
    /// Where stepping begins; None: at the start.
    pub(super) anchor: Option<Anchor>,
    /// It sleeps inside the instruction that follows the last step.
    pub(super) sleeping: bool,
}

/// The `nth` arrival at an address, counted from 1, at the recorded step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) address: u64,
    pub(super) nth: u64,
    pub(super) step: usize,
}

/// The points of one victim's undisturbed operation.
#[derive(Debug)]
pub(super) struct Trace {
    /// Each step's point in order, and sleeps between them.
    pub(super) routes: Vec<Route>,
    arrivals: HashMap<u64, u64>,
    /// Estimated cost of the last route, in steps.
    cost: u64,
    /// The operation makes processes or threads, which would run into breakpoints.
    pub(super) step_only: bool,
}

/// What one breakpoint stop costs, in single steps: stop, remove, step over, plant.
const STOP: u64 = 2;
/// System calls after which other processes or threads may run this code.
const SPAWNING: [u64; 4] = [56, 57, 58, 435];

impl Trace {
    pub(super) fn new() -> Self {
        Trace { routes: Vec::new(), arrivals: HashMap::new(), cost: 0, step_only: false }
    }

    pub(super) fn end(&self) -> KillPoint {
        self.routes.last().expect("a trace begins with Start").point
    }

    /// Notes the point that was reached last.
    pub(super) fn note(&mut self, point: KillPoint) {
        if let Moment::BeforeCall(number) | Moment::AfterCall(number) = point.moment {
            self.step_only |= SPAWNING.contains(&number);
        }
        let Some(last) = self.routes.last() else {
            self.routes.push(Route { point, anchor: None, sleeping: false });
            return;
        };
        if point.step == last.point.step {
            // Asleep within the step, or the end, which is no step: the way to the last point leads here too.
            let (anchor, sleeping) = (last.anchor, matches!(point.moment, Moment::Asleep(_)));
            self.routes.push(Route { point, anchor, sleeping });
            return;
        }
        let nth = self.arrivals.entry(point.rip).or_insert(0);
        *nth += 1;
        let direct = nth.saturating_mul(STOP);
        self.cost += 1;
        let mut anchor = last.anchor;
        if direct < self.cost && !self.step_only {
            self.cost = direct;
            anchor = Some(Anchor { address: point.rip, nth: *nth, step: point.step });
        }
        self.routes.push(Route { point, anchor, sleeping: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: usize, rip: u64, moment: Moment) -> KillPoint {
        KillPoint { step, event: 1, moment, rip }
    }

    #[test]
    fn anchors_are_rare_instructions_near_the_point() {
        let mut trace = Trace::new();
        trace.note(point(0, 1, Moment::Start));
        // A loop of three instructions, ten times, then a straight line.
        for step in 1..=30 {
            trace.note(point(step, 10 + step as u64 % 3, Moment::Step));
        }
        for step in 31..=40 {
            trace.note(point(step, 100 + step as u64, Moment::Step));
        }
        let anchor = |step: usize| trace.routes[step].anchor;
        assert_eq!(anchor(0), None);
        assert_eq!(anchor(1), None, "one step is cheaper than a breakpoint");
        assert_eq!(anchor(40).map(|a| (a.address, a.nth, a.step)), Some((140, 1, 40)));
        let late = anchor(28).expect("28 steps are dearer than a few stops");
        assert!(late.nth * STOP + (28 - late.step as u64) <= 20, "{late:?}");
        assert!(late.step <= 28);
    }

    #[test]
    fn spawning_operations_are_only_stepped() {
        let mut trace = Trace::new();
        trace.note(point(0, 1, Moment::Start));
        trace.note(point(1, 2, Moment::BeforeCall(56)));
        for step in 2..50 {
            trace.note(point(step, step as u64, Moment::Step));
        }
        assert!(trace.step_only);
        assert!(trace.routes.iter().all(|r| r.anchor.is_none()));
    }
}
