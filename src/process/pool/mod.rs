//! A pool of worker processes.
//!
//! | file | holds |
//! |---|---|
//! | `state` | what a pool knows: tasks that wait, workers, who has which |
//! | `engine` | the state under its lock, and whoever hears the workers |
//! | `crew` | the workers and their places |
//! | `run` | tasks side by side: those that wait, and those at a worker |
//! | `start` | how workers are started |
//! | `worker` | the other side |
//! | `message` | what travels |
//! | `batch`, `job`, `stream` | where outcomes arrive: one by one, or many |
//! | `callbacks` | the thread of callbacks |

mod batch;
mod callbacks;
mod crew;
mod engine;
mod job;
mod message;
mod run;
mod start;
mod state;
mod stream;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use job::Job;
pub use start::Initialised;
pub use state::Progress;
pub use stream::Outcomes;

use batch::{Arrival, Batch, Callback};
use engine::Engine;
use job::{decode_all, decode_one};
use run::{Encode, Kind, Run, unfit};
use start::{Initialiser, Recipe};
use state::{Phase, State};
use stream::Feed;

use super::current::cpu_count;
use super::error::TaskError;
use super::registry::index_of;
use super::task::{Argument, Arguments, Task};
use crate::participant::{Space, pinning};
use crate::sync::Event;

/// Tasks of one caller that are under way at once, unless said otherwise.
const WINDOW: u64 = 1024;

/// Worker processes that run tasks, one after the other.
///
/// Tasks and outcomes travel through queues in shared memory; small tasks are put together so that the way is worth while. Threads
/// share a pool by reference. Arguments may be handles of objects: all workers use the same ones.
///
/// Dropping a pool ends it at once, as [`terminate`](Self::terminate) does, unless [`finish_on_drop`](PoolBuilder::finish_on_drop)
/// says otherwise. Its workers end with the process that made it, however that ends. In a forked child a pool is without effect.
///
/// # When somebody dies
///
/// A worker that is killed, exits or panics costs the task that it ran, which gets [`TaskError::Died`] or [`TaskError::Panicked`]: every
/// task has exactly one outcome. It is replaced; tasks that it had and did not begin go to others. If one worker after the other ends
/// before it is ready, or the initialiser fails, the pool ends with that reason.
///
/// ```
/// use procshare::process::Pool;
///
/// #[procshare::task]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// # if procshare::backend() == "heap" { return Ok(()) } // which shares nothing with other processes
/// let pool = Pool::builder().workers(2).build()?;
/// assert_eq!(pool.map::<square>(0..5u64)?, [0, 1, 4, 9, 16]);
/// let sum: u64 = pool.imap_unordered::<square>(0..100u64).sum::<Result<u64, _>>()?;
/// assert_eq!(sum, 328_350);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool {
    engine: Arc<Engine>,
    router: Option<JoinHandle<()>>,
    chunk: usize,
    finish_on_drop: bool,
}

/// A [`Task`] of one parameter: every such task is one.
pub trait OneParameter: Task {
    /// The parameter's type.
    type Parameter;
}

impl<P, T: Task<Args = (P,)>> OneParameter for T {
    type Parameter = P;
}

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
    fn new() -> Self {
        PoolBuilder {
            workers: None,
            name: "worker".to_owned(),
            space: None,
            initialiser: None,
            most_tasks: None,
            window: WINDOW,
            chunk: 0,
            finish_on_drop: false,
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
        let mut bytes = Vec::new();
        let (encoded, pins) = pinning(|| args.encode_all(&mut bytes));
        let check = |output: &[u8]| match postcard::from_bytes::<T::Output>(output) {
            Ok(output) => output.complaint().map_or(Ok(()), Err),
            Err(error) => Err(error.to_string()),
        };
        self.initialiser = Some(match encoded {
            Ok(()) => Ok(Initialiser { task: index_of(entry), args: bytes, check, _pins: pins }),
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

    /// Lets dropping the pool wait until all is done, instead of ending it at once.
    pub fn finish_on_drop(mut self, yes: bool) -> Self {
        self.finish_on_drop = yes;
        self
    }

    /// Makes the pool and starts its workers.
    ///
    /// # Errors
    ///
    /// [`TaskError::System`]: no workers, or more than 1024, were asked for; shared memory, a thread or a process could not be had. Initialisers
    /// run later: their errors are those of the tasks.
    pub fn build(self) -> Result<Pool, TaskError> {
        let failed = |error: crate::Error| TaskError::System {
            action: "make the bell of a pool",
            reason: error.to_string(),
        };
        let workers = self.workers.unwrap_or_else(cpu_count);
        if !(1..=1024).contains(&workers) {
            let reason = format!("{workers} workers were asked for: there can be 1 to 1024");
            return Err(TaskError::System { action: "make a pool", reason });
        }
        let initialiser = self.initialiser.transpose()?;
        let space = self.space.map_or_else(Space::default_space, Ok).map_err(failed)?;
        let bell = Event::builder().space(&space).anonymous().map_err(failed)?;
        let recipe = Recipe { name: self.name, space, initialiser };
        let state = State::new(workers, self.most_tasks);
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
        // All at the same time; if one cannot be started, the drop ends the others.
        std::thread::scope(|scope| {
            let starting: Vec<_> = places
                .iter()
                .map(|&place| {
                    scope.spawn({
                        let engine = &pool.engine;
                        move || start::now(engine, place)
                    })
                })
                .collect();
            let died =
                || Err(TaskError::System { action: "start a worker", reason: "its thread panicked".into() });
            starting.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| died()))
        })?;
        Ok(pool)
    }
}

impl Pool {
    /// Options: number of workers, initialiser, window.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }

    /// Runs the task `T` and returns what it returns.
    ///
    /// # Errors
    ///
    /// As [`Job::get`].
    pub fn apply<T: Task>(&self, args: impl Arguments<T::Args>) -> Result<T::Output, TaskError> {
        self.submit_one::<T>(args, None, true)?.get()
    }

    /// Submits the task `T`. Waits while the window is full.
    ///
    /// # Errors
    ///
    /// [`TaskError::Codec`] for arguments that cannot travel, [`TaskError::Closed`], and the reason why the pool ended.
    pub fn apply_async<T: Task>(&self, args: impl Arguments<T::Args>) -> Result<Job<T::Output>, TaskError> {
        self.submit_one::<T>(args, None, false)
    }

    /// Submits the task `T`, and calls `callback` with what comes of it, on a thread of the pool: callbacks are called one after
    /// the other, and one that panics ends nothing.
    ///
    /// # Errors
    ///
    /// As [`apply_async`](Self::apply_async); `callback` is not called then.
    pub fn apply_async_with<T: Task>(
        &self,
        args: impl Arguments<T::Args>,
        callback: impl FnOnce(Result<T::Output, TaskError>) + Send + 'static,
    ) -> Result<Job<T::Output>, TaskError> {
        let name = T::entry().name();
        let callback = Box::new(move |outcomes| callback(decode_one(name, outcomes)));
        self.submit_one::<T>(args, Some(callback), false)
    }

    fn submit_one<T: Task>(
        &self,
        args: impl Arguments<T::Args>,
        callback: Option<Callback>,
        waits: bool,
    ) -> Result<Job<T::Output>, TaskError> {
        let entry = T::entry();
        let batch = Arc::new(Batch::new(1, callback));
        let mut run = Run::new(Kind::new(entry, &batch, 1), 0);
        run.push(|to: &mut Vec<u8>| args.encode_all(to))?;
        self.engine.submit_in_turn(run, waits)?;
        Ok(Job::new(entry.name(), batch, &self.engine, decode_one))
    }

    /// Submits the task `T` once for each item, all of them at once; the outcome is that of [`map`](Self::map).
    ///
    /// All items are drawn before this returns, whatever the window is: it waits only to begin with.
    ///
    /// # Errors
    ///
    /// As [`apply_async`](Self::apply_async); an item that cannot travel is an error of the outcome.
    ///
    /// ```
    /// use procshare::process::Pool;
    /// # #[procshare::task] fn double(n: u64) -> u64 { 2 * n }
    ///
    /// # if procshare::backend() == "heap" { return Ok(()) } // which shares nothing with other processes
    /// let pool = Pool::builder().workers(1).build()?;
    /// let job = pool.map_async::<double>(1..=3u64)?;
    /// assert_eq!(job.get()?, [2, 4, 6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_async<T: OneParameter>(
        &self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>>,
    ) -> Result<Job<Vec<T::Output>>, TaskError> {
        self.submit_all::<T>(items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode(to)), None)
    }

    /// As [`map_async`](Self::map_async), and calls `callback` with the outcome when all are done, by what
    /// [`apply_async_with`](Self::apply_async_with) says.
    ///
    /// # Errors
    ///
    /// As [`map_async`](Self::map_async); `callback` is not called then.
    pub fn map_async_with<T: OneParameter>(
        &self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>>,
        callback: impl FnOnce(Result<Vec<T::Output>, TaskError>) + Send + 'static,
    ) -> Result<Job<Vec<T::Output>>, TaskError> {
        let name = T::entry().name();
        let callback = Box::new(move |outcomes| callback(decode_all(name, outcomes)));
        let items = items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode(to));
        self.submit_all::<T>(items, Some(callback))
    }

    /// As [`map_async`](Self::map_async), for tasks of any number of parameters: items are tuples.
    ///
    /// # Errors
    ///
    /// As [`map_async`](Self::map_async).
    pub fn starmap_async<T: Task>(
        &self,
        items: impl IntoIterator<Item = impl Arguments<T::Args>>,
    ) -> Result<Job<Vec<T::Output>>, TaskError> {
        self.submit_all::<T>(items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode_all(to)), None)
    }

    /// As [`map_async_with`](Self::map_async_with), for tasks of any number of parameters: items are tuples.
    ///
    /// # Errors
    ///
    /// As [`map_async_with`](Self::map_async_with).
    pub fn starmap_async_with<T: Task>(
        &self,
        items: impl IntoIterator<Item = impl Arguments<T::Args>>,
        callback: impl FnOnce(Result<Vec<T::Output>, TaskError>) + Send + 'static,
    ) -> Result<Job<Vec<T::Output>>, TaskError> {
        let name = T::entry().name();
        let callback = Box::new(move |outcomes| callback(decode_all(name, outcomes)));
        let items = items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode_all(to));
        self.submit_all::<T>(items, Some(callback))
    }

    fn submit_all<T: Task>(
        &self,
        items: impl Iterator<Item: Encode>,
        callback: Option<Callback>,
    ) -> Result<Job<Vec<T::Output>>, TaskError> {
        let entry = T::entry();
        let items: Vec<_> = items.collect();
        let batch = Arc::new(Batch::new(items.len() as u64, callback));
        let mut run = Run::new(Kind::new(entry, &batch, self.chunk), 0);
        let (mut runs, mut failed) = (Vec::new(), Vec::new());
        for (index, item) in (0..).zip(items) {
            if let Err(error) = run.push(item) {
                failed.push(Arrival::failed(index, 1, error));
                let next = Run::new(run.kind.clone(), index + 1);
                runs.push(std::mem::replace(&mut run, next));
            }
        }
        runs.push(run);
        self.engine.submit_batch(&batch, runs, failed)?;
        Ok(Job::new(entry.name(), batch, &self.engine, decode_all))
    }

    /// Runs the task `T` once for each item, and returns what they return in the order of the items.
    ///
    /// # Errors
    ///
    /// The error of the first item that has one, after all are done; [`try_map`](Self::try_map) tells all. [`TaskError::Closed`], and the
    /// reason why the pool ended.
    pub fn map<T: OneParameter>(
        &self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>>,
    ) -> Result<Vec<T::Output>, TaskError> {
        let input = items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode(to));
        Feed::new::<T>(&self.engine, self.chunk, input).outputs()
    }

    /// Runs the task `T` once for each item, and returns every outcome in the order of the items.
    ///
    /// # Errors
    ///
    /// [`TaskError::Closed`], and the reason why the pool ended.
    pub fn try_map<T: OneParameter>(
        &self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>>,
    ) -> Result<Vec<Result<T::Output, TaskError>>, TaskError> {
        let input = items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode(to));
        Feed::new::<T>(&self.engine, self.chunk, input).outcomes()
    }

    /// As [`map`](Self::map), for tasks of any number of parameters: items are tuples.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn starmap<T: Task>(
        &self,
        items: impl IntoIterator<Item = impl Arguments<T::Args>>,
    ) -> Result<Vec<T::Output>, TaskError> {
        let input = items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode_all(to));
        Feed::new::<T>(&self.engine, self.chunk, input).outputs()
    }

    /// Runs the task `T` once for each item; outcomes come in the order of the items, as soon as they are there. Items are drawn as
    /// outcomes are taken: never more than the window ahead.
    pub fn imap<'a, T: OneParameter>(
        &'a self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>> + 'a,
    ) -> impl Iterator<Item = Result<T::Output, TaskError>> + 'a {
        let input = items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode(to));
        Outcomes::new(Feed::new::<T>(&self.engine, self.chunk, input), true)
    }

    /// As [`imap`](Self::imap), in the order in which tasks are done.
    pub fn imap_unordered<'a, T: OneParameter>(
        &'a self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>> + 'a,
    ) -> impl Iterator<Item = Result<T::Output, TaskError>> + 'a {
        let input = items.into_iter().map(|item| move |to: &mut Vec<u8>| item.encode(to));
        Outcomes::new(Feed::new::<T>(&self.engine, self.chunk, input), false)
    }

    /// What was submitted, and what became of it.
    pub fn progress(&self) -> Progress {
        self.engine.lock().progress()
    }

    /// The process ids of the workers that run now.
    pub fn workers(&self) -> Vec<u32> {
        self.engine.lock().crew.pids()
    }

    /// Takes no more tasks; what was submitted is done, then the workers end. Closing again does nothing.
    pub fn close(&self) {
        self.engine.enter(Phase::Closing);
    }

    /// Ends the workers at once; tasks that are not done get [`TaskError::Cancelled`].
    pub fn terminate(&self) {
        self.engine.enter(Phase::Ending(TaskError::Cancelled));
    }

    /// Waits until all workers have ended, after [`close`](Self::close) or [`terminate`](Self::terminate); closes the pool if neither
    /// was called.
    pub fn join(&self) {
        self.close();
        self.engine.wait_for_workers();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // In a forked child the workers and the thread are the parent's.
        if self.engine.owner != std::process::id() {
            return;
        }
        if self.finish_on_drop && !std::thread::panicking() {
            self.close();
        } else {
            self.terminate();
        }
        self.engine.wait_for_workers();
        if let Some(router) = self.router.take() {
            let _ = router.join();
        }
    }
}
