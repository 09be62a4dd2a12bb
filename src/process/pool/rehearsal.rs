//! Both sides of a pool without a process of its own: for proofs, which kill the worker's side wherever it is.

use std::sync::Arc;

use super::batch::Batch;
use super::crew::{Body, Worker};
use super::message;
use super::run::{Chunk, Kind, Run};
use super::state::{Effects, OnDeath, State};
use super::worker;
use crate::error::Result;
use crate::participant::Space;
use crate::process::codec::Page;
use crate::process::error::{Exit, TaskError};
use crate::process::task::{Argument, Task};
use crate::queue::{BytesQueue, SpscQueue};
use crate::sync::Event;

/// A worker's queue, stream and bell, named `tasks`, `says` and `bell`.
#[derive(Debug)]
pub struct Rehearsal {
    tasks: BytesQueue,
    says: SpscQueue<u8>,
    bell: Event,
}

/// What became of a task.
#[derive(Debug)]
pub enum Fate {
    /// It has an outcome.
    Ended(std::result::Result<Vec<u8>, TaskError>),
    /// It goes to another worker.
    Left,
}

/// Nobody: the side that works is whoever calls [`Rehearsal::work`].
struct Nobody;

impl Body for Nobody {
    fn pid(&self) -> u32 {
        0
    }

    fn kill(&self) {}

    fn exit(&self) -> Option<Exit> {
        Some(Exit::Signal(9))
    }

    fn last_word(&self) -> Option<String> {
        None
    }
}

impl Rehearsal {
    /// Makes the three objects.
    pub fn new(space: &Space) -> Result<Self> {
        Ok(Rehearsal {
            tasks: BytesQueue::builder().space(space).create("tasks", 4096)?,
            says: SpscQueue::builder().space(space).create("says", 4096)?,
            bell: Event::builder().space(space).create("bell")?,
        })
    }

    /// Gives chunks of tasks, and lets the worker leave when they are done.
    pub fn give<T: Task, P>(&self, chunks: &[&[P]]) -> Result<()>
    where
        P: Argument<P>,
    {
        for chunk in Self::chunks::<T, P>(chunks) {
            for part in message::parts(&chunk.message) {
                self.tasks.put(&part)?;
            }
        }
        self.tasks.close()
    }

    /// Works as a worker does, until there is nothing left.
    pub fn work(&self) -> Result<()> {
        worker::work(self.tasks.clone(), self.says.producer()?, self.bell.clone())
    }

    /// Settles what was given, as a pool does that finds the worker dead: the fates of each task, in order. Each has
    /// one, if all is well.
    pub fn settle<T: Task, P>(&self, chunks: &[&[P]]) -> Result<Vec<Vec<Fate>>>
    where
        P: Argument<P>,
    {
        let mut state = State::new(1, None, OnDeath::FailTask);
        let post = state.crew.reserve(0);
        let mut worker =
            Worker::new(post.generation, Box::new(Nobody), self.tasks.clone(), self.says.consumer()?);
        worker.chunks.extend(Self::chunks::<T, P>(chunks));
        state.crew.fill(post, Some(worker));
        let mut effects = Effects::default();
        while state.hear_one(post, &|_| Ok(()), &mut effects) {}
        if let Some(worker) = state.crew.take(post) {
            state.settle(worker, Exit::Signal(9), &mut effects);
        }
        let mut fates: Vec<Vec<Fate>> = Vec::new();
        fates.resize_with(chunks.iter().map(|chunk| chunk.len()).sum(), Vec::new);
        let mut tell = |effects: Effects, is_left: bool| {
            for (_, mut arrival) in effects.outcomes {
                let mut index = arrival.first() as usize;
                while let Some(outcome) = arrival.next() {
                    let outcome = outcome.map(<[u8]>::to_vec);
                    fates[index].push(if is_left { Fate::Left } else { Fate::Ended(outcome) });
                    index += 1;
                }
            }
        };
        tell(effects, false);
        let mut left = Effects::default();
        state.cancel(None, &mut left);
        tell(left, true);
        Ok(fates)
    }

    /// The same chunks each time.
    fn chunks<T: Task, P: Argument<P>>(chunks: &[&[P]]) -> Vec<Chunk> {
        let batch = Arc::new(Batch::endless());
        let mut first = 0;
        let chunk = |(number, args): (u64, &&[P])| {
            let mut run = Run::new(Kind::new(T::entry(), &batch, 0), first);
            for arg in *args {
                // The proofs' arguments are numbers.
                let _ = run.push(|to: &mut Page<'_>| arg.encode(to));
            }
            first += args.len() as u64;
            run.take_chunk(number, u64::MAX)
        };
        (1..).zip(chunks).map(chunk).collect()
    }
}
