//! Which victims die where: one recursion serves all modes.

use super::limits::{Grain, Limits};
use super::report::Report;
use super::scenario::Scenario;

/// A mode.
pub(super) struct Plan {
    pub(super) mode: &'static str,
    pub(super) grain: Grain,
    /// How many victims take part.
    pub(super) depth: usize,
    /// Whether the first one is frozen instead of killed.
    pub(super) freeze: bool,
}

/// Runs a mode and reports.
pub(super) fn run<C>(scenario: &Scenario<'_, C>, limits: &Limits, plan: &Plan) -> Report {
    let name = format!("{} [{}]", scenario.name, plan.mode);
    let (have, need) = (scenario.roles.len(), plan.depth);
    assert!(have >= need, "{name} needs {need} victims and has {have}: add them with `victim` or `prepared`");
    assert!(scenario.check.is_some(), "{name} has no check: add one with `check`");
    let mut report = Report::new(name, limits.seed);
    let start = std::time::Instant::now();
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    super::run::Run::new(scenario, limits, plan, &mut report).all();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    {
        report.skipped = Some("unsupported: stepping needs Linux on x86-64".to_owned());
    }
    report.elapsed = start.elapsed();
    report
}
