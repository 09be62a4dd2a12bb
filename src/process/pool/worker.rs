//! The other side of a pool: a process that runs tasks until its queue is closed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::message::{self, News, Tasks};
use super::shift::Shift;
use super::voice::Voice;
use crate::error::Result;
use crate::participant::Handle;
use crate::process::child::message_of;
use crate::process::error::Failure;
use crate::process::registry::TASKS;
use crate::process::task::{Entry, Unfit};
use crate::queue::{BytesQueue, GetError, Producer, SpscQueue};
use crate::sync::Event;

/// What a worker is told when it starts.
#[derive(Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) tasks: Handle<BytesQueue>,
    pub(super) says: Handle<SpscQueue<u8>>,
    pub(super) bell: Handle<Event>,
    /// The initialiser's place in the list of tasks, and its arguments.
    pub(super) initialiser: Option<(u32, Vec<u8>)>,
}

/// A worker of a pool.
#[procshare_macros::task(name = "procshare::pool_worker", crate = "crate")]
pub(super) fn pool_worker(plan: Plan) -> std::result::Result<(), Failure> {
    let (tasks, says) = (plan.tasks.attach()?, plan.says.attach()?);
    let mut says = says.producer()?;
    // Now the system finds all memory of the stream: among small tasks each page costs as much as hundreds of them.
    says.reserve_many(usize::MAX)?.zeroed();
    let voice = Voice::new(says, plan.bell.attach()?);
    let mut worker = Worker { tasks, voice, clock: Clock::new() };
    if worker.initialise(plan.initialiser)? {
        worker.work()?;
    }
    Ok(())
}

/// Works as a worker that is initialised.
pub(super) fn work(tasks: BytesQueue, says: Producer<u8>, bell: Event) -> Result<()> {
    Worker { tasks, voice: Voice::new(says, bell), clock: Clock::new() }.work()
}

struct Worker {
    tasks: BytesQueue,
    voice: Voice,
    clock: Clock,
}

impl Worker {
    /// Runs the initialiser; says whether it goes on.
    fn initialise(&mut self, initialiser: Option<(u32, Vec<u8>)>) -> Result<bool> {
        let news = self.voice.say(|to| match &initialiser {
            None => News::Ready,
            Some((task, args)) => initialise(TASKS.get(*task as usize), args, to),
        })?;
        self.voice.ring()?;
        Ok(news == News::Ready)
    }

    fn work(&mut self) -> Result<()> {
        let (mut part, mut before) = (Vec::new(), Vec::new());
        loop {
            part.clear();
            match self.tasks.get_into(&mut part) {
                Ok(_) => {}
                Err(GetError::Closed) => return Ok(()),
                Err(GetError::Failed(error)) => return Err(error),
                Err(_) => continue,
            }
            let goes_on = match message::join(&part, &mut before) {
                Some(chunk) => {
                    let goes_on = self.run(chunk)?;
                    before = Vec::new();
                    goes_on
                }
                None => {
                    self.voice.say(|_| News::Room)?;
                    true
                }
            };
            self.voice.ring()?;
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Runs the tasks of a chunk; says whether the worker goes on.
    fn run(&mut self, chunk: &[u8]) -> Result<bool> {
        match Tasks::read(chunk) {
            Some(tasks) => Shift::new(tasks, &mut self.voice, &mut self.clock).work(),
            None => Ok(true),
        }
    }
}

/// Runs an initialiser; appends its output, or the text of what went wrong.
fn initialise(entry: Option<&Entry>, args: &[u8], to: &mut Vec<u8>) -> News {
    let start = to.len();
    let text = match entry {
        None => "there is no such task".to_owned(),
        Some(entry) => match catch_unwind(AssertUnwindSafe(|| (entry.run)(args, &mut || (), to))) {
            Ok(Ok(())) => return News::Ready,
            Ok(Err(Unfit::Arguments(error) | Unfit::Output(error))) => error.to_string(),
            Err(panic) => message_of(panic),
        },
    };
    to.truncate(start);
    to.extend(text.as_bytes());
    News::NotReady
}
