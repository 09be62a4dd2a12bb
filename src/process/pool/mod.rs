//! A pool of worker processes.
//!
//! | file | holds |
//! |---|---|
//! | `engine` | what a pool knows: tasks that wait, workers, who has which |
//! | `crew` | the workers and their places |
//! | `router` | the thread that hears what workers report, and looks after them |
//! | `start` | how workers are started |
//! | `worker` | the other side |
//! | `message`, `table` | what travels, and who runs what: in shared memory |
//! | `batch`, `job`, `stream` | where outcomes arrive: one by one, or many |
//! | `callbacks` | the thread of callbacks |

mod batch;
mod callbacks;
mod crew;
mod engine;
mod job;
mod message;
mod router;
mod start;
mod stream;
mod table;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use engine::Progress;
pub use job::Job;
pub use start::Initialised;
pub use stream::Outcomes;

use batch::Batch;
use engine::{Engine, Item, Phase};
use start::{Initialiser, Recipe};
use stream::{Feed, encode, unfit};

use super::current::cpu_count;
use super::error::TaskError;
use super::registry::index_of;
use super::task::{Argument, Arguments, Task};
use crate::data::AtomicArray;
use crate::participant::Space;
use crate::queue::BytesQueue;

/// Bytes of the queue of reports.
const REPORT_BYTES: usize = 256 * 1024;
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
        let (bytes, pins) = encode(|to| args.encode_all(to));
        let check = |output: &[u8]| match postcard::from_bytes::<T::Output>(output) {
            Ok(output) => output.complaint().map_or(Ok(()), Err),
            Err(error) => Err(error.to_string()),
        };
        self.initialiser = Some(match bytes {
            Ok(args) => Ok(Initialiser { task: index_of(entry), args, check, _pins: pins }),
            Err(error) => Err(unfit(entry, &error)),
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
        self.chunk = tasks.min(table::MOST);
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
            action: "make the queues of a pool",
            reason: error.to_string(),
        };
        let workers = self.workers.unwrap_or_else(cpu_count);
        if !(1..=1024).contains(&workers) {
            let reason = format!("{workers} workers were asked for: there can be 1 to 1024");
            return Err(TaskError::System { action: "make a pool", reason });
        }
        let initialiser = self.initialiser.transpose()?;
        let space = self.space.map_or_else(Space::default_space, Ok).map_err(failed)?;
        let reports = BytesQueue::builder().space(&space).anonymous(REPORT_BYTES).map_err(failed)?;
        let running = AtomicArray::builder()
            .space(&space)
            .anonymous(vec![table::IDLE; table::len(workers)])
            .map_err(failed)?;
        let recipe = Recipe { name: self.name, space, initialiser };
        let engine = Arc::new(Engine::new((reports, running), recipe, self.window, self.most_tasks, workers));
        let places: Vec<_> = (0..workers as u32).map(|worker| engine.lock().crew.reserve(worker)).collect();
        let router = router::Router { engine: Arc::clone(&engine) };
        let thread = std::thread::Builder::new().name("procshare pool".into()).spawn(move || router.run());
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
        self.apply_async::<T>(args)?.get()
    }

    /// Submits the task `T`. Waits while the window is full.
    ///
    /// # Errors
    ///
    /// [`TaskError::Codec`] for arguments that cannot travel, [`TaskError::Closed`], and the reason why the pool ended.
    pub fn apply_async<T: Task>(&self, args: impl Arguments<T::Args>) -> Result<Job<T::Output>, TaskError> {
        self.submit::<T>(args, Batch::default())
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
        let callback = move |outcome| callback(job::decode(name, outcome));
        self.submit::<T>(args, Batch::with_callback(Box::new(callback)))
    }

    fn submit<T: Task>(
        &self,
        args: impl Arguments<T::Args>,
        batch: Batch,
    ) -> Result<Job<T::Output>, TaskError> {
        let entry = T::entry();
        let (args, pins) = encode(|to| args.encode_all(to));
        let args = args.map_err(|error| unfit(entry, &error))?;
        let batch = Arc::new(batch);
        let (task, kept) = (index_of(entry), Arc::clone(&batch));
        let item = Item { entry, task, args, index: 0, batch: kept, chunk: 1, _pins: pins };
        self.engine.submit(vec![item], true)?;
        Ok(Job::new(entry.name(), batch, &self.engine))
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
        self.try_map::<T>(items)?.into_iter().collect()
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
        let input = items.into_iter().map(|item| encode(|to| item.encode(to)));
        Feed::new::<T>(&self.engine, self.chunk, input).all()
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
        let input = items.into_iter().map(|item| encode(|to| item.encode_all(to)));
        Feed::new::<T>(&self.engine, self.chunk, input).all()?.into_iter().collect()
    }

    /// Runs the task `T` once for each item; outcomes come in the order of the items, as soon as they are there. Items are drawn as
    /// outcomes are taken: never more than the window ahead.
    pub fn imap<'a, T: OneParameter>(
        &'a self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>> + 'a,
    ) -> impl Iterator<Item = Result<T::Output, TaskError>> + 'a {
        let input = items.into_iter().map(|item| encode(|to| item.encode(to)));
        Outcomes::new(Feed::new::<T>(&self.engine, self.chunk, input), true)
    }

    /// As [`imap`](Self::imap), in the order in which tasks are done.
    pub fn imap_unordered<'a, T: OneParameter>(
        &'a self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>> + 'a,
    ) -> impl Iterator<Item = Result<T::Output, TaskError>> + 'a {
        let input = items.into_iter().map(|item| encode(|to| item.encode(to)));
        Outcomes::new(Feed::new::<T>(&self.engine, self.chunk, input), false)
    }

    /// What was submitted, and what became of it.
    pub fn progress(&self) -> Progress {
        let state = self.engine.lock();
        state.progress
    }

    /// The process ids of the workers that run now.
    pub fn workers(&self) -> Vec<u32> {
        self.engine.lock().crew.pids()
    }

    /// Takes no more tasks; what was submitted is done, then the workers end. Closing again does nothing.
    pub fn close(&self) {
        self.engine.enter(Phase::Closing);
        self.engine.look_around();
    }

    /// Ends the workers at once; tasks that are not done get [`TaskError::Cancelled`].
    pub fn terminate(&self) {
        self.engine.enter(Phase::Ending(TaskError::Cancelled));
        self.engine.look_around();
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
