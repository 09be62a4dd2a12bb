//! One worker process.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::files::Listed;
use super::queue::{Line, LinePlan};
use super::shared::{Plan, Shared};
use super::tally::{self, Counts, MOST_WORKERS};
use crate::args::DemoWorker;

/// Takes files and counts them until all are taken, or does its part of the queue's path.
pub(super) fn run(args: &DemoWorker) -> Result<()> {
    ensure!(args.index < MOST_WORKERS, "there is no worker {}", args.index);
    end_with_parent();
    // One plan has what the other one lacks.
    if let Ok(plan) = serde_json::from_str::<LinePlan>(&args.plan) {
        return Line::work(args.index, &plan);
    }
    let plan: Plan = serde_json::from_str(&args.plan).context("this is started by procshare demo")?;
    let worker = Worker { index: args.index, shared: Shared::attach(&plan)? };
    let files = worker.shared.files()?;
    loop {
        let next = worker.shared.next()?;
        match files.get(next) {
            Some(file) => worker.take(next, file)?,
            None => break,
        };
    }
    // What workers left who were killed between taking a number and claiming its file, or before they committed.
    for (index, file) in files.iter().enumerate() {
        worker.take(index, file)?;
    }
    Ok(())
}

struct Worker {
    index: usize,
    shared: Shared,
}

impl Worker {
    /// Counts a file if it is free.
    fn take(&self, index: usize, file: &Listed) -> procshare::Result<()> {
        if !self.shared.claim(self.index, index)? {
            return Ok(());
        }
        let counts = tally::count(&file.path, file.limit).unwrap_or_else(|_| Counts::skipped());
        while !self.shared.commit(self.index, index, &counts)? {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Ends this process when the parent's end of standard input is closed, which the system does when the parent dies.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
}
