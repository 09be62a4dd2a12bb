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
//! The same files go through a queue as well, and through a manager's proxies; see [`queue`] and [`proxy`].
//!
//! A worker that dies has at most one file claimed. Either the tally says that it committed it: then it is done. Or it does
//! not: then the file is free again. The parent decides that after the worker's death, and starts another one.

mod crew;
mod files;
mod paths;
#[cfg(unix)]
mod proxy;
mod queue;
mod report;
mod shared;
mod tally;
mod worker;

use std::time::Instant;

use anyhow::{Result, bail};

use self::files::Listed;
use self::paths::{LinePath, SharedPath};
use self::report::{PathReport, Report};
use crate::args::Demo;
use crate::output::Verdict;
use crate::random;

pub(crate) use self::tally::MOST_WORKERS;

/// Tallies files with workers, on each path, and alone, and compares.
pub(crate) fn run(args: &Demo) -> Result<Verdict> {
    let found = files::find(&args.paths)?;
    let workers =
        args.workers.map_or_else(processors, usize::from).clamp(1, MOST_WORKERS).min(found.files.len());
    let seed = args.kill.then(|| args.seed.unwrap_or_else(random::seed));
    let paths = tally_with_workers(&found.files, workers, seed)?;
    let started = Instant::now();
    let single = tally::count_all(&found.files);
    let time = started.elapsed();
    if let (0, Some((index, error))) = (single.counts.files, single.skipped.first()) {
        let path = found.files[*index].path.display();
        bail!("none of the {} files can be read ({path}: {error}): name others", found.files.len());
    }
    let report = Report::new(&found, paths, workers, seed, &single, time);
    if args.json {
        report.print_json()?
    } else {
        report.print_text()?
    }
    Ok(Verdict::problem_if(!report.agrees()))
}

/// Goes all paths, one after the other; the fast one first.
fn tally_with_workers(files: &[Listed], workers: usize, seed: Option<u64>) -> Result<Vec<PathReport>> {
    let hold = seed.is_some();
    let (shared, _) = crew::run(|| SharedPath::new(files, workers, hold), seed)?;
    let (queue, line) = crew::run(|| LinePath::new(files, workers, hold), seed)?;
    let (producers, consumers, chunks) = (line.producers, line.consumers, line.chunks());
    drop(line);
    let mut paths = vec![
        PathReport::new("shared", format!("{} in shared memory", count(workers, "worker")), shared),
        PathReport::new("queue", format!("{producers} + {consumers} through a queue"), queue)
            .with("producers", producers)
            .with("consumers", consumers)
            .with("chunks", chunks),
    ];
    paths.extend(tally_by_proxies(files, workers, seed)?);
    Ok(paths)
}

#[cfg(unix)]
fn tally_by_proxies(files: &[Listed], workers: usize, seed: Option<u64>) -> Result<Option<PathReport>> {
    let (proxies, _) = crew::run(|| proxy::ProxyPath::new(files, workers, seed.is_some()), seed)?;
    let title = format!("{} by proxies of a manager", count(workers, "worker"));
    Ok(Some(PathReport::new("proxy", title, proxies).with("workers", workers)))
}

/// There is no manager on this system.
#[cfg(not(unix))]
fn tally_by_proxies(_: &[Listed], _: usize, _: Option<u64>) -> Result<Option<PathReport>> {
    Ok(None)
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
