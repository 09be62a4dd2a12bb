//! How workers are started.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::crew::{Post, Worker};
use super::engine::Engine;
use super::message::PART;
use super::state::{Effects, Phase};
use super::worker::{Plan, pool_worker};
use crate::participant::{Kept, Space, pinning};
use crate::process::builder::ProcessBuilder;
use crate::process::error::TaskError;
use crate::queue::{BytesQueue, SpscQueue};

/// Bytes of a worker's queue: two chunks and more.
const TASK_BYTES: usize = 128 * 1024;
/// Bytes that a worker can say before somebody hears it: the outputs of a chunk of small tasks.
const SAY_BYTES: usize = 128 * 1024;
/// The pause after a start that failed; the next one is longer.
const PAUSE: Duration = Duration::from_millis(10);

/// What all workers of a pool have in common.
pub(super) struct Recipe {
    pub(super) name: String,
    pub(super) space: Space,
    pub(super) initialiser: Option<Initialiser>,
}

/// What each worker does first.
pub(super) struct Initialiser {
    pub(super) task: u32,
    pub(super) args: Vec<u8>,
    /// Tells from the output whether it went well.
    pub(super) check: fn(&[u8]) -> Result<(), String>,
    pub(super) _pins: Option<Vec<Kept>>,
}

/// What an initialiser returns: nothing, or whether it went well.
pub trait Initialised {
    /// What went wrong.
    fn complaint(self) -> Option<String>;
}

impl Initialised for () {
    fn complaint(self) -> Option<String> {
        None
    }
}

impl<E: std::fmt::Display> Initialised for Result<(), E> {
    fn complaint(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

impl Recipe {
    /// Whether the initialiser's output says that it went well.
    pub(super) fn check(&self, output: &[u8]) -> Result<(), String> {
        self.initialiser.as_ref().map_or(Ok(()), |initialiser| (initialiser.check)(output))
    }
}

/// Starts the worker `post` in its place.
pub(super) fn now(engine: &Arc<Engine>, post: Post) -> Result<(), TaskError> {
    let worker = worker(engine, post);
    let mut state = engine.lock();
    let mut effects = Effects::default();
    let result = match worker {
        Ok(worker) => {
            if matches!(state.phase, Phase::Ending(_)) {
                worker.body.kill();
            }
            state.crew.fill(post, Some(worker));
            Ok(())
        }
        Err(error) => {
            state.crew.fill(post, None);
            effects.freed = true;
            Err(error)
        }
    };
    engine.finish_beside(state, effects);
    // It may have ended, or reported, before it had its place.
    engine.look_around();
    result
}

/// Starts the worker `post` in its place, on a thread of its own; if that fails again and again, the pool ends.
pub(super) fn later(engine: &Arc<Engine>, post: Post) {
    let running = Arc::clone(engine);
    let thread = std::thread::Builder::new().name("procshare pool start".into());
    let spawned = thread.spawn(move || {
        let mut post = post;
        while let Err(error) = now(&running, post) {
            let mut state = running.lock();
            let mut effects = Effects::default();
            let failures = state.count_false_start();
            if state.starts_in_vain() {
                state.end_all(error, &mut effects);
            }
            let again = state.needs_workers().then(|| state.crew.reserve(post.place));
            running.finish_beside(state, effects);
            match again {
                Some(next) => post = next,
                None => return running.look_around(),
            }
            std::thread::sleep(PAUSE * failures);
        }
    });
    if let Err(error) = spawned {
        let mut state = engine.lock();
        let mut effects = Effects::default();
        state.crew.fill(post, None);
        let error = TaskError::System { action: "start a thread", reason: error.to_string() };
        state.end_all(error, &mut effects);
        engine.finish_beside(state, effects);
    }
}

fn worker(engine: &Arc<Engine>, post: Post) -> Result<Worker, TaskError> {
    let failed = |error: crate::Error| TaskError::System {
        action: "make the queues of a worker",
        reason: error.to_string(),
    };
    let recipe = &engine.recipe;
    let tasks = BytesQueue::builder().space(&recipe.space).anonymous(TASK_BYTES).map_err(failed)?;
    touch(&tasks).map_err(failed)?;
    let stream = SpscQueue::builder().space(&recipe.space).anonymous(SAY_BYTES).map_err(failed)?;
    let says = stream.consumer().map_err(failed)?;
    let (plan, _pins) = pinning(|| Plan {
        tasks: tasks.handle(),
        says: stream.handle(),
        bell: engine.bell.handle(),
        initialiser: recipe.initialiser.as_ref().map(|init| (init.task, init.args.clone())),
    });
    let watched: Weak<Engine> = Arc::downgrade(engine);
    let look = move || {
        if let Some(engine) = watched.upgrade() {
            engine.look_around();
        }
    };
    let builder =
        ProcessBuilder::new().name(format!("{}-{}", recipe.name, post.place)).on_end(Box::new(look));
    let process = builder.start::<pool_worker>((plan,))?;
    Ok(Worker::new(post.generation, Box::new(process), tasks, says))
}

/// Has the system find all memory of a worker's queue now: among small tasks each page costs as much as hundreds of them.
fn touch(tasks: &BytesQueue) -> crate::Result<()> {
    let (zeros, mut item) = (vec![0; PART], Vec::new());
    for _ in 0..=TASK_BYTES / PART {
        tasks.try_put(&zeros)?;
        tasks.try_get_into(&mut item)?;
        item.clear();
    }
    Ok(())
}
