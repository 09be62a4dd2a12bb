//! One worker process.

use std::time::Duration;

use procshare::process::Failure;

use super::files::Listed;
use super::queue::{Line, LinePlan};
use super::shared::{Plan, Shared};
use super::tally::{self, Counts};

/// Takes files and counts them until all are taken.
#[procshare::task]
pub(super) fn work(index: usize, plan: Plan) -> Result<(), Failure> {
    let worker = Worker { index, shared: Shared::attach(&plan)? };
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

/// Does its part of the queue's path.
#[procshare::task]
pub(super) fn work_at_the_line(index: usize, plan: LinePlan) -> Result<(), Failure> {
    Line::work(index, &plan).map_err(|error| Failure::new(format!("{error:#}")))
}

/// Does its part of the proxies' path.
#[cfg(unix)]
#[procshare::task]
pub(super) fn work_by_proxy(seat: usize, address: String) -> Result<(), Failure> {
    let work = || super::proxy::work(seat, &address.parse()?);
    let worked = work();
    worked.map_err(|error| Failure::new(error.to_string()))
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
