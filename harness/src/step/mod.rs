//! Deaths at every instruction: the single-step harness.
//!
//! A [`Scenario`] names a world (`setup`), one or more victims that each run one operation in a forked child, and a
//! `check` that survivors run after the deaths. Four modes choose where the victims die:
//!
//! | mode | deaths | cost |
//! |---|---|---|
//! | [`full`](Scenario::full) | the first victim after every instruction | grows with the square of the instructions |
//! | [`event`](Scenario::event) | the first victim after every change of watched memory, before and after every system call | milliseconds an operation |
//! | [`pair`](Scenario::pair) | the first victim is frozen at m, the second dies at n, then the first goes on | one run a combination, sampled |
//! | [`chain`](Scenario::chain) | the first dies at m, the second (say, its repairer) at n, and so on | one run a combination, sampled |
//!
//! Survivors can tell two deaths apart only by shared memory and by what the kernel did, so event mode sees what full
//! mode sees as long as every shared region is watched; it is fit for every test run.
//!
//! Stepping needs Linux on x86-64. Elsewhere every mode returns a report that says "unsupported: skipped".

// Where stepping is unsupported, scenarios are still built, but nobody reads them.
#![cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), allow(dead_code))]

mod limits;
mod plan;
mod point;
mod report;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod route;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod run;
mod scenario;
mod stage;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tracee;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod victim;
mod watch;

pub use limits::{Grain, Limits};
pub use point::{Fate, KillPoint, Moment};
pub use report::{Report, Violation};
pub use scenario::Scenario;
pub use stage::Stage;
pub use watch::Region;
