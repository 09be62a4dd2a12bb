//! Kills real processes and lets survivors check what is left.
//!
//! The instruments know nothing of what they test; operations and checks are closures:
//!
//! - [`Scenario`]: a process dies at every instruction, or at every event that others can see, of an operation; alone,
//!   beside a frozen one ([`pair`](Scenario::pair)), or while it repairs what the last one left
//!   ([`chain`](Scenario::chain)).
//! - [`Storm`]: many processes contend, random ones die at random moments, and nobody may hang.
//! - [`Reexec`]: the test binary as a new, unrelated program.
//! - [`child()`] and [`Child`]: a closure in a forked process, with a verdict and a deadline.
//! - [`lead_group`] and [`living_of_group`]: whether anybody is left of what a process started.
//! - [`watchdog()`]: a deadline for a whole test.
//! - [`Page`] and [`Rng`]: shared scratch memory and seeded randomness for all of them.
//!
//! ```
//! use procshare_harness::{watchdog, Limits, Page, Scenario};
//! use std::sync::atomic::Ordering::SeqCst;
//! use std::time::Duration;
//!
//! watchdog(Duration::from_secs(60), || {
//!     Scenario::new("one store commits", || Page::new(4096))
//!         .victim("publish", |page| {
//!             page.u64s()[1].store(42, SeqCst); // the value ...
//!             page.u64s()[0].store(1, SeqCst); // ... then the word that declares it
//!         })
//!         .watch(|page| vec![page.into()])
//!         .check(|page, fates| {
//!             let words = page.u64s();
//!             let published = words[0].load(SeqCst) == 1;
//!             assert!(!published || words[1].load(SeqCst) == 42);
//!             assert!(published || !fates[0].finished);
//!         })
//!         .event(&Limits::new())
//!         .assert_clean();
//! });
//! ```
//!
//! # Rules for the code under test
//!
//! - Children are forked from the test thread, so the code must cope with `fork` (join anew in the child). Nothing
//!   in a child should print through `println!`: another thread may have held that lock.
//! - An operation runs on one thread and takes the same way in equal worlds, apart from what it reads of others. Where
//!   it does not, the report counts it as diverged: the kill is as real, but a point may go untried.
//! - Recording costs a debug trap an instruction, 2 to 20 µs; unoptimised code has ten times the instructions. Give
//!   the library `opt-level = 1` in the profile where runs take too long.
//! - Checks see the dead after they were reaped: their memory, descriptors and locks are gone.
#![cfg(unix)]

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod affinity;
mod child;
mod conductor;
mod group;
mod page;
mod proc;
mod reexec;
mod rng;
mod seat;
mod step;
mod storm;
mod symbol;
mod watchdog;

pub use child::{Child, Exit, Hang, Verdict, child};
pub use group::{lead_group, living_of_group};
pub use page::Page;
pub use reexec::{Reexec, entered};
pub use rng::Rng;
pub use seat::Seat;
pub use step::{Fate, Grain, KillPoint, Limits, Moment, Region, Report, Scenario, Stage, Violation};
pub use storm::{Storm, StormReport};
pub use symbol::Trail;
pub use watchdog::watchdog;
