//! How a pool is made.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Pool;
use super::crew::Post;
use super::engine::Engine;
use super::run::unfit;
use super::start::{self, Initialised, Initialiser, Recipe};
use super::state::{OnDeath, State};
use crate::participant::{Space, pinning};
use crate::process::codec::written;
use crate::process::current::cpu_count;
use crate::process::error::TaskError;
use crate::process::registry::index_of;
use crate::process::task::{Arguments, Task};
use crate::sync::Event;

/// Tasks of one caller that are under way at once, unless said otherwise.
const WINDOW: u64 = 1024;

/// Options of a [`Pool`].
#[must_use = "options do nothing until `build` is called"]
pub struct PoolBuilder {
    workers: Option<usize>,
    name: String,
    space: Option<Space>,
    initialiser: Option<Result<Initialiser, TaskError>>,
    most_tasks: Option<u64>,
    window: u64,
    chunk: usize,
    finish_on_drop: bool,
    on_death: OnDeath,
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("workers", &self.workers)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl PoolBuilder {
    pub(super) fn new() -> Self {
        PoolBuilder {
            workers: None,
            name: "worker".to_owned(),
            space: None,
            initialiser: None,
            most_tasks: None,
            window: WINDOW,
            chunk: 0,
            finish_on_drop: false,
            on_death: OnDeath::FailTask,
        }
    }

    /// How many workers there are; one for each processor unless said.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count);
        self
    }

    /// What the workers' names begin with.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Puts the pool's queues into `space`; into the space `default` unless said.
    pub fn space(mut self, space: &Space) -> Self {
        self.space = Some(space.clone());
        self
    }

    /// Lets every worker run the task `T` first, also those that replace others. If it panics or returns an error, the pool ends
    /// with [`TaskError::InitialiserFailed`].
    pub fn initialiser<T: Task<Output: Initialised>>(mut self, args: impl Arguments<T::Args>) -> Self {
        let entry = T::entry();
        let (encoded, pins) = pinning(|| written(|to| args.encode_all(to)));
        let check = |output: &[u8]| match postcard::from_bytes::<T::Output>(output) {
            Ok(output) => output.complaint().map_or(Ok(()), Err),
            Err(error) => Err(error.to_string()),
        };
        self.initialiser = Some(match encoded {
            Ok(args) => Ok(Initialiser { task: index_of(entry), args, check, _pins: pins }),
            Err(error) => Err(unfit(entry, error.to_string())),
        });
        self
    }

    /// Replaces a worker after so many tasks; at least 1. For tasks that leak.
    pub fn max_tasks_per_child(mut self, count: u64) -> Self {
        self.most_tasks = Some(count.max(1));
        self
    }

    /// How many tasks may be under way: a caller that submits more waits, an iterator is not drawn further. At least 1; 1024
    /// unless said.
    pub fn window(mut self, tasks: u64) -> Self {
        self.window = tasks.max(1);
        self
    }

    /// Sends so many tasks at a time to a worker, in `map` and its kin; as many as are worth the way unless said.
    pub fn chunk(mut self, tasks: usize) -> Self {
        self.chunk = tasks.min(u32::MAX as usize);
        self
    }

    /// Lets dropping the pool wait until all is done and all callbacks were called, instead of ending it at once.
    pub fn finish_on_drop(mut self, yes: bool) -> Self {
        self.finish_on_drop = yes;
        self
    }

    /// What the unexpected end of a worker does; only its task fails unless said. A panic of a task is none, and neither is the end after
    /// [`max_tasks_per_child`](Self::max_tasks_per_child).
    ///
    /// ```
    /// use procshare::process::{OnDeath, Pool, TaskError};
    /// # #[procshare::task] fn leave(code: i32) { std::process::exit(code) }
    ///
    /// # if procshare::backend() == "heap" { return Ok(()) } // which shares nothing with other processes
    /// let pool = Pool::builder().workers(1).on_death(OnDeath::BreakAll).build()?;
    /// assert!(matches!(pool.apply::<leave>((3,)), Err(TaskError::Died { .. })));
    /// assert!(matches!(pool.apply::<leave>((0,)), Err(TaskError::Broken { exit, .. }) if exit.code() == Some(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_death(mut self, what: OnDeath) -> Self {
        self.on_death = what;
        self
    }

    /// Makes the pool and starts its workers.
    ///
    /// # Errors
    ///
    /// [`TaskError::System`]: no workers, or more than 1024, were asked for; shared memory, a thread or a process could not be had. Initialisers
    /// run later: their errors are those of the tasks.
    pub fn build(self) -> Result<Pool, TaskError> {
        let failed =
            |error: crate::Error| TaskError::System { action: "make a pool", reason: error.to_string() };
        let workers = self.workers.unwrap_or_else(cpu_count);
        if !(1..=1024).contains(&workers) {
            let reason = format!("{workers} workers were asked for: there can be 1 to 1024");
            return Err(TaskError::System { action: "make a pool", reason });
        }
        let initialiser = self.initialiser.transpose()?;
        let space = self.space.map_or_else(Space::default_space, Ok).map_err(failed)?;
        let bell = Event::builder().space(&space).anonymous().map_err(failed)?;
        let recipe = Recipe { name: self.name, space, initialiser };
        let state = State::new(workers, self.most_tasks, self.on_death);
        let engine = Arc::new(Engine::new(bell, recipe, self.window, state));
        let places: Vec<_> = (0..workers as u32).map(|worker| engine.lock().crew.reserve(worker)).collect();
        let router = Arc::clone(&engine);
        let thread = std::thread::Builder::new().name("procshare pool".into()).spawn(move || router.route());
        let mut pool = Pool { engine, router: None, chunk: self.chunk, finish_on_drop: self.finish_on_drop };
        match thread {
            Ok(thread) => pool.router = Some(thread),
            Err(error) => {
                for place in places {
                    pool.engine.lock().crew.fill(place, None);
                }
                return Err(TaskError::System { action: "start a thread", reason: error.to_string() });
            }
        }
        // If one cannot be started, the drop ends the others.
        start_all(&pool.engine, &places)?;
        Ok(pool)
    }
}

/// Starts all workers at the same time.
fn start_all(engine: &Arc<Engine>, places: &[Post]) -> Result<(), TaskError> {
    let start = |place| {
        let started = catch_unwind(AssertUnwindSafe(|| start::now(engine, place)));
        started.unwrap_or_else(|_| {
            // Nobody comes there any more.
            engine.lock().crew.fill(place, None);
            Err(TaskError::System { action: "start a worker", reason: "its start panicked".into() })
        })
    };
    std::thread::scope(|scope| {
        let starting: Vec<_> = places
            .iter()
            .map(|&place| {
                let thread = std::thread::Builder::new().spawn_scoped(scope, move || start(place));
                // Without a thread to be had: one after the other.
                thread.map_err(|_| start(place))
            })
            .collect();
        let died =
            || Err(TaskError::System { action: "start a worker", reason: "its thread panicked".into() });
        let results: Vec<_> = starting
            .into_iter()
            .map(|thread| thread.map_or_else(|done| done, |thread| thread.join().unwrap_or_else(|_| died())))
            .collect();
        results.into_iter().collect()
    })
}
