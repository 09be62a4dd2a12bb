//! How much a run may cost, and how long anything may take.

use std::time::Duration;

/// Which points of an operation are points to die at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// After each change of watched memory, before and after each system call.
    Event,
    /// After each instruction.
    Instruction,
}

/// Budget, sampling and deadlines of a run; the defaults suit a test.
///
/// ```
/// use procshare_harness::Limits;
/// let quick = Limits::new().max_points(200).seed(7);
/// let long = Limits::new().stride(1).max_points(usize::MAX);
/// # let _ = (quick, long);
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    pub(super) stride: usize,
    pub(super) max_points: Option<usize>,
    pub(super) seed: u64,
    pub(super) grain: Grain,
    pub(super) max_steps: usize,
    pub(super) deadline: Duration,
    pub(super) asleep_after: Duration,
    pub(super) max_violations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits::new()
    }
}

impl Limits {
    /// Every point for one victim, 1,000 sampled combinations for several; 10 s for any check.
    pub fn new() -> Self {
        Limits {
            stride: 1,
            max_points: None,
            seed: 1,
            grain: Grain::Event,
            max_steps: 300_000,
            deadline: Duration::from_secs(10),
            asleep_after: Duration::from_millis(10),
            max_violations: 5,
        }
    }

    /// Takes only every `stride`-th point of each victim, the first included; 0 counts as 1.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride.max(1);
        self
    }

    /// Kills at most about this many times, at points drawn with the seed; victims of a chain share the budget evenly.
    pub fn max_points(mut self, points: usize) -> Self {
        self.max_points = Some(points.max(1));
        self
    }

    /// Seeds the draw of sampled points (default 1); the report names it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Chooses the points of [`pair`](super::Scenario::pair) and [`chain`](super::Scenario::chain) (default: events).
    pub fn grain(mut self, grain: Grain) -> Self {
        self.grain = grain;
        self
    }

    /// Stops following an operation after this many steps (default 300,000): it is killed there.
    pub fn max_steps(mut self, steps: usize) -> Self {
        self.max_steps = steps.max(1);
        self
    }

    /// Gives checks, preparations and resumed victims this long (default 10 s); more is a hang and a violation.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Takes a victim for asleep once the kernel has shown it sleeping this long in all (default 10 ms).
    ///
    /// Sleeps in slices add up, so a waiter that looks round now and then is asleep too.
    pub fn asleep_after(mut self, asleep_after: Duration) -> Self {
        self.asleep_after = asleep_after;
        self
    }

    /// Ends the run after this many violations (default 5); two hangs end it in any case.
    pub fn max_violations(mut self, violations: usize) -> Self {
        self.max_violations = violations.max(1);
        self
    }
}
