//! The other side of a pool: a process that runs tasks until its queue is closed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::message::{self, News, Tasks};
use crate::error::Result;
use crate::participant::Handle;
use crate::process::child::message_of;
use crate::process::error::Failure;
use crate::process::registry::TASKS;
use crate::process::task::{Entry, Unfit};
use crate::queue::{BytesQueue, GetError, Producer, SpscQueue};
use crate::sync::Event;

/// In the middle of a chunk the bell is rung so often, if tasks are not much shorter.
const RING: Duration = Duration::from_micros(200);
/// The clock is read again after about so long: reading it costs as much as the smallest task.
const LOOK: Duration = Duration::from_micros(5);
/// And after so many tasks at most.
const MOST_BETWEEN_LOOKS: u32 = 64;

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
    let mut worker = Worker::new(tasks, says.producer()?, plan.bell.attach()?);
    if worker.initialise(plan.initialiser)? {
        worker.work()?;
    }
    Ok(())
}

/// Works as a worker that is initialised.
pub(super) fn work(tasks: BytesQueue, says: Producer<u8>, bell: Event) -> Result<()> {
    Worker::new(tasks, says, bell).work()
}

struct Worker {
    tasks: BytesQueue,
    voice: Voice,
    /// What it is about to say.
    words: Vec<u8>,
    clock: Clock,
}

/// How it is heard.
struct Voice {
    says: Producer<u8>,
    bell: Event,
}

impl Voice {
    fn ring(&self) -> Result<()> {
        self.bell.set()
    }

    /// Says all of `words`: at once if there is room.
    #[inline]
    fn say(&mut self, mut words: &[u8]) -> Result<()> {
        loop {
            words = &words[self.says.try_put_many(words)?..];
            if words.is_empty() {
                return Ok(());
            }
            // Nobody makes room who does not know that there is something.
            self.ring()?;
            drop(self.says.reserve_many(1)?);
        }
    }
}

/// When to ring in the middle of a chunk.
struct Clock {
    looked: Instant,
    rung: Instant,
    /// Tasks until the next look, and between looks.
    left: u32,
    stride: u32,
}

impl Clock {
    fn new() -> Self {
        let now = Instant::now();
        Clock { looked: now, rung: now, left: 1, stride: 1 }
    }

    /// A chunk begins at `now`.
    fn begin(&mut self, now: Instant) {
        (self.looked, self.rung) = (now, now);
        self.left = self.stride;
    }

    /// A task of several is done; whether to ring.
    #[inline]
    fn tick(&mut self) -> bool {
        self.left -= 1;
        self.left == 0 && self.look()
    }

    fn look(&mut self) -> bool {
        let now = Instant::now();
        let passed = now - self.looked;
        if passed < LOOK {
            self.stride = (2 * self.stride).min(MOST_BETWEEN_LOOKS);
        } else if passed > 4 * LOOK {
            self.stride = (self.stride / 4).max(1);
        }
        (self.looked, self.left) = (now, self.stride);
        let rings = now - self.rung > RING;
        if rings {
            self.rung = now;
        }
        rings
    }
}

impl Worker {
    fn new(tasks: BytesQueue, says: Producer<u8>, bell: Event) -> Self {
        Worker { tasks, voice: Voice { says, bell }, words: Vec::new(), clock: Clock::new() }
    }

    /// Runs the initialiser; says whether it goes on.
    fn initialise(&mut self, initialiser: Option<(u32, Vec<u8>)>) -> Result<bool> {
        let mut words = Vec::new();
        let is_ready = message::add(&mut words, |to| match &initialiser {
            None => (News::Ready, true),
            Some((task, args)) => match call(TASKS.get(*task as usize), args, to) {
                News::Returned => (News::Ready, true),
                _ => (News::NotReady, false),
            },
        });
        self.voice.say(&words)?;
        self.voice.ring()?;
        Ok(is_ready)
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
                    self.words.clear();
                    message::add(&mut self.words, |_| (News::Room, ()));
                    self.voice.say(&self.words)?;
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
    ///
    /// It says that it begins; then each task's outcome as soon as it is done. Whoever finds this process dead knows which task
    /// ran: the first of a chunk that was begun without an outcome.
    fn run(&mut self, chunk: &[u8]) -> Result<bool> {
        let Some(tasks) = Tasks::read(chunk) else { return Ok(true) };
        let entry = TASKS.get(tasks.task as usize);
        self.words.clear();
        message::add_number(&mut self.words, News::Began, tasks.number);
        self.voice.say(&self.words)?;
        let began = Instant::now();
        self.clock.begin(began);
        for (args, behind) in tasks.iter().zip((0..tasks.count).rev()) {
            self.words.clear();
            let news = message::add(&mut self.words, |to| {
                let news = call(entry, args, to);
                (news, news)
            });
            if behind == 0 {
                message::add_number(&mut self.words, News::Done, began.elapsed().as_nanos() as u64);
            }
            self.voice.say(&self.words)?;
            if news == News::Panicked {
                // What else it left half-done in this process is nobody's problem after this.
                return Ok(false);
            }
            if behind > 0 && self.clock.tick() {
                self.voice.ring()?;
            }
        }
        Ok(true)
    }
}

/// Calls a task; appends its output, or the text of what went wrong.
#[inline]
fn call(entry: Option<&Entry>, args: &[u8], to: &mut Vec<u8>) -> News {
    let Some(entry) = entry else {
        to.extend(b"there is no such task");
        return News::UnfitArguments;
    };
    let start = to.len();
    let (news, text) = match catch_unwind(AssertUnwindSafe(|| (entry.run)(args, &mut || (), to))) {
        Ok(Ok(())) => return News::Returned,
        Ok(Err(Unfit::Arguments(error))) => (News::UnfitArguments, error.to_string()),
        Ok(Err(Unfit::Output(error))) => (News::UnfitOutput, error.to_string()),
        Err(panic) => (News::Panicked, message_of(panic)),
    };
    to.truncate(start);
    to.extend(text.as_bytes());
    news
}
