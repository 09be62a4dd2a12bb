//! The other side of a pool: a process that runs tasks until its queue is closed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::message::{self, News, Report, Sender};
use super::table;
use crate::data::AtomicArray;
use crate::error::Result;
use crate::participant::Handle;
use crate::process::child::message_of;
use crate::process::error::Failure;
use crate::process::registry::TASKS;
use crate::process::task::{Entry, Unfit};
use crate::queue::{BytesQueue, GetError, PutError};

/// What a worker is told when it starts.
#[derive(Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) worker: u32,
    pub(super) generation: u32,
    pub(super) tasks: Handle<BytesQueue>,
    pub(super) reports: Handle<BytesQueue>,
    pub(super) running: Handle<AtomicArray<u64>>,
    /// The initialiser's place in the list of tasks, and its arguments.
    pub(super) initialiser: Option<(u32, Vec<u8>)>,
}

/// A worker of a pool.
#[procshare_macros::task(name = "procshare::pool_worker", crate = "crate")]
pub(super) fn pool_worker(plan: Plan) -> std::result::Result<(), Failure> {
    let sender = Sender { worker: plan.worker, generation: plan.generation };
    let mut worker = Worker {
        front: sender.bytes(),
        tasks: plan.tasks.attach()?,
        reports: plan.reports.attach()?,
        running: plan.running.attach()?,
        place: table::place(plan.worker),
        output: Vec::new(),
    };
    if worker.initialise(plan.initialiser)? {
        worker.work()?;
    }
    Ok(())
}

struct Worker {
    front: [u8; Sender::BYTES],
    tasks: BytesQueue,
    reports: BytesQueue,
    running: AtomicArray<u64>,
    place: usize,
    output: Vec<u8>,
}

/// What came of a call.
enum Call {
    Returned,
    Panicked(String),
    Unfit(News, String),
}

impl Worker {
    /// Runs the initialiser; says whether it goes on.
    fn initialise(&mut self, initialiser: Option<(u32, Vec<u8>)>) -> Result<bool> {
        let called = match &initialiser {
            None => Call::Returned,
            Some((task, args)) => self.call(*task, args),
        };
        let output = std::mem::take(&mut self.output);
        match called {
            Call::Returned => self.report(Report::new(News::Ready, &output)).map(|()| true),
            Call::Panicked(text) | Call::Unfit(_, text) => {
                self.report(Report::new(News::NotReady, text.as_bytes())).map(|()| false)
            }
        }
    }

    fn work(&mut self) -> Result<()> {
        let (mut part, mut chunk) = (Vec::new(), Vec::new());
        loop {
            part.clear();
            match self.tasks.get_into(&mut part) {
                Ok(_) => {}
                Err(GetError::Closed) => return Ok(()),
                Err(GetError::Failed(error)) => return Err(error),
                Err(_) => continue,
            }
            if !message::join(&part, &mut chunk) {
                self.report(Report::new(News::Room, &[]))?;
                continue;
            }
            let goes_on = self.run(&chunk)?;
            chunk.clear();
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Runs the tasks of a chunk; says whether the worker goes on.
    ///
    /// For each: the table says that it runs, it runs, its outcome is in the queue. Whoever finds this process dead knows
    /// which task ran, because what ran before has an outcome and what comes after was never begun.
    fn run(&mut self, chunk: &[u8]) -> Result<bool> {
        let began = Instant::now();
        let Some((number, tasks)) = message::read_chunk(chunk) else { return Ok(true) };
        for (index, (task, args)) in tasks.enumerate() {
            let index = index as u32;
            self.running.set(self.place, table::word(number, index))?;
            let called = self.call(task, args);
            let output = std::mem::take(&mut self.output);
            let (news, payload) = match &called {
                Call::Returned => (News::Returned, &output[..]),
                Call::Panicked(text) => (News::Panicked, text.as_bytes()),
                Call::Unfit(news, text) => (*news, text.as_bytes()),
            };
            let nanoseconds = began.elapsed().as_nanos() as u64;
            self.report(Report { news, chunk: number, index, nanoseconds, payload })?;
            self.output = output;
            if news == News::Panicked {
                // What else it left half-done in this process is nobody's problem after this.
                self.running.set(self.place, table::IDLE)?;
                return Ok(false);
            }
        }
        self.running.set(self.place, table::IDLE)?;
        Ok(true)
    }

    fn call(&mut self, task: u32, args: &[u8]) -> Call {
        self.output.clear();
        let Some(entry): Option<&Entry> = TASKS.get(task as usize) else {
            return Call::Unfit(News::UnfitArguments, format!("there is no task {task}"));
        };
        let output = &mut self.output;
        match catch_unwind(AssertUnwindSafe(|| (entry.run)(args, &mut || (), output))) {
            Ok(Ok(())) => Call::Returned,
            Ok(Err(Unfit::Arguments(error))) => Call::Unfit(News::UnfitArguments, error.to_string()),
            Ok(Err(Unfit::Output(error))) => Call::Unfit(News::UnfitOutput, error.to_string()),
            Err(panic) => Call::Panicked(message_of(&*panic)),
        }
    }

    fn report(&self, report: Report<'_>) -> Result<()> {
        let mut message = Vec::with_capacity(64 + report.payload.len());
        report.write(&mut message);
        for part in message::parts(&message, &self.front) {
            match self.reports.put(&part) {
                Ok(()) => {}
                Err(PutError::Failed((), error)) => return Err(error),
                // The pool is gone; so will be this process.
                Err(_) => break,
            }
        }
        Ok(())
    }
}
