//! procshare beside its peers: the same work, interleaved, in one run.
//!
//! A [`row`] is one piece of work (an uncontended lock, a barrier round) with the [`contender`]s that do it and the
//! goal procshare has against one of them. The [`method`] runs every batch in a process of its own, contender after
//! contender and round after round; each batch checks its answer before its time counts. [`table`] prints the
//! medians, minima and verdicts, [`plot`] draws them.
//!
//! To add a contender: write `solo(name, build, work, check)` or `crew(…)` in the row's file under [`rows`].

#![cfg(target_os = "linux")]

pub mod boost;
pub mod cli;
pub mod contender;
pub mod crew;
pub mod failure;
pub mod futex;
pub mod leftovers;
pub mod machine;
pub mod method;
pub mod plot;
pub mod processes;
pub mod pthread;
pub mod python;
pub mod row;
pub mod rows;
pub mod shared;
pub mod stats;
pub mod stopwatch;
pub mod table;
