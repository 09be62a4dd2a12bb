//! The ways to tally with workers: shared memory, a queue, and a manager's proxies.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use procshare::Error;
use procshare::process::Process;

use super::crew::{Work, Worker};
use super::files::Listed;
use super::queue::{Line, Role};
use super::shared::Shared;
use super::tally::Counts;
use super::worker::{work, work_at_the_line};

/// How often the progress bar is redrawn.
const DRAW: Duration = Duration::from_millis(50);
/// How long one look at the queue takes at most.
const LOOK: Duration = Duration::from_millis(1);

/// The fast path: values and arrays in shared memory.
pub(super) struct SharedPath {
    shared: Shared,
    workers: usize,
    files: u64,
    progress: Progress,
}

impl SharedPath {
    pub(super) fn new(files: &[Listed], workers: usize, hold: bool) -> Result<Self> {
        let count = files.len() as u64;
        let shared = Shared::new(files, hold)?;
        Ok(SharedPath { shared, workers, files: count, progress: Progress::new(count) })
    }
}

impl Work for SharedPath {
    fn seats(&self) -> usize {
        self.workers
    }

    fn start(&self, seat: usize) -> Result<Worker> {
        Process::start::<work>((seat, self.shared.plan()))
            .with_context(|| format!("cannot start worker {seat}"))
    }

    fn has_begun(&self) -> Result<bool> {
        Ok(self.shared.has_begun())
    }

    fn settle(&self, seat: usize) -> Result<()> {
        Ok(self.shared.settle(seat)?)
    }

    fn let_go(&mut self) -> Result<()> {
        Ok(self.shared.let_go()?)
    }

    fn is_done(&self) -> Result<bool> {
        let counts = self.shared.counts()?;
        self.progress.show(&counts);
        Ok(counts.done() == self.files)
    }

    fn sums(&self) -> Result<(Counts, Vec<usize>)> {
        Ok((self.shared.counts()?, self.shared.skipped()))
    }
}

/// Producers put chunks of files into a queue, consumers tally them.
pub(super) struct LinePath {
    line: Line,
    pub(super) producers: usize,
    pub(super) consumers: usize,
    /// Whether the queue stays open until somebody was killed.
    hold: bool,
    closed: Cell<bool>,
}

impl LinePath {
    /// For `workers` processes in all, and at least one of each role.
    pub(super) fn new(files: &[Listed], workers: usize, hold: bool) -> Result<Self> {
        let (producers, consumers) = ((workers / 2).max(1), workers.div_ceil(2).max(1));
        let line = Line::new(files)?;
        Ok(LinePath { line, producers, consumers, hold, closed: Cell::new(false) })
    }

    /// How many chunks were put so far.
    pub(super) fn chunks(&self) -> u64 {
        self.line.queue().counts().0
    }
}

impl Work for LinePath {
    fn seats(&self) -> usize {
        self.producers + self.consumers
    }

    fn start(&self, seat: usize) -> Result<Worker> {
        let role = if seat < self.producers { Role::Producer } else { Role::Consumer };
        let started = Process::start::<work_at_the_line>((seat, self.line.plan(role)));
        started.context("cannot start a worker of the queue")
    }

    fn has_begun(&self) -> Result<bool> {
        Ok(self.chunks() > 0)
    }

    fn settle(&self, seat: usize) -> Result<()> {
        // A consumer has claimed no file.
        Ok(self.line.settle(seat)?)
    }

    fn let_go(&mut self) -> Result<()> {
        self.hold = false;
        Ok(())
    }

    fn is_done(&self) -> Result<bool> {
        if self.closed.get() || self.hold || !self.line.all_put() {
            return Ok(self.closed.get());
        }
        match self.line.queue().join_timeout(LOOK) {
            Ok(()) => self.line.queue().close()?,
            Err(Error::TimedOut) => return Ok(false),
            Err(other) => return Err(other.into()),
        }
        self.closed.set(true);
        Ok(true)
    }

    fn sums(&self) -> Result<(Counts, Vec<usize>)> {
        self.line.sums()
    }
}

/// A bar on standard error, if that is a terminal.
struct Progress {
    bar: ProgressBar,
    drawn: Cell<Option<Instant>>,
}

impl Progress {
    fn new(files: u64) -> Self {
        let bar = ProgressBar::new(files);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {msg}") {
            bar.set_style(style);
        }
        Progress { bar, drawn: Cell::new(None) }
    }

    fn show(&self, counts: &Counts) {
        if self.bar.is_hidden() || self.drawn.get().is_some_and(|drawn| drawn.elapsed() < DRAW) {
            return;
        }
        self.bar.set_message(procshare::inspect::ByteSize(counts.bytes).to_string());
        self.bar.set_position(counts.done());
        self.drawn.set(Some(Instant::now()));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
