//! `procshare demo`: worker processes tally files in shared memory, whoever is killed.
//!
//! Who may do what, and why no file is lost or counted twice:
//!
//! | object | holds | changes |
//! |---|---|---|
//! | `next` | the file to take next: a hint | `fetch_add` by workers |
//! | `states` | for each file: free, claimed by worker w, counted, skipped | free → claimed by one compare-exchange; claimed → done by the claimer, after its commit |
//! | `tally` | the sums, and for each worker the last file it committed | one crash-atomic `update` for each file |
//!
//! The same files go through a queue as well; see [`queue`].
//!
//! A worker that dies has at most one file claimed. Either the tally says that it committed it: then it is done. Or it does
//! not: then the file is free again. The parent decides that after the worker's death, and starts another one.

mod files;
mod line;
mod parent;
mod queue;
mod report;
mod shared;
mod tally;
mod worker;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::args::Demo;
use crate::output::Verdict;
use crate::random;

pub(crate) use self::tally::MOST_WORKERS;

/// Tallies files twice, with workers and alone, and compares.
pub(crate) fn run(args: &Demo) -> Result<Verdict> {
    let found = files::find(&args.paths)?;
    let workers =
        args.workers.map_or_else(processors, usize::from).clamp(1, MOST_WORKERS).min(found.files.len());
    let killing = args.kill.then(|| args.seed.unwrap_or_else(random::seed));
    let crew = parent::run(&found.files, workers, killing)?;
    let line = line::run(&found.files, workers, killing)?;
    let started = Instant::now();
    let single = tally::count_all(&found.files);
    let single_time: Duration = started.elapsed();
    if let (0, Some((index, error))) = (single.counts.files, single.skipped.first()) {
        let path = found.files[*index].path.display();
        bail!("none of the {} files can be read ({path}: {error}): name others", found.files.len());
    }
    let report = report::Report::new(&found, &crew, &line, &single, single_time);
    if args.json {
        report.print_json()?
    } else {
        report.print_text()?
    }
    Ok(Verdict::problem_if(!report.agrees()))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
