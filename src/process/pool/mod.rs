//! A pool of worker processes.
//!
//! | file | holds |
//! |---|---|
//! | `builder` | how a pool is made |
//! | `state` | what a pool knows: tasks that wait, workers, who has which |
//! | `engine` | the state under its lock, and whoever hears the workers |
//! | `router` | how the pool's own thread is called, and how it sleeps |
//! | `crew` | the workers and their places |
//! | `run` | tasks side by side: those that wait, and those at a worker |
//! | `start` | how workers are started |
//! | `worker`, `shift`, `voice` | the other side: a worker, its work on a chunk, what it says |
//! | `clock` | looking at the clock among many small steps |
//! | `message` | what travels |
//! | `batch`, `job`, `stream` | where outcomes arrive: one by one, or many |
//! | `rehearsal` | both sides without a process, for proofs |
//! | `callbacks` | the thread of callbacks |

mod batch;
mod builder;
mod callbacks;
mod clock;
mod crew;
mod engine;
mod job;
mod message;
mod rehearsal;
mod router;
mod run;
mod sheet;
mod shift;
mod start;
mod state;
mod stream;
mod voice;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use builder::PoolBuilder;
pub use job::Job;
#[doc(hidden)]
pub use rehearsal::{Fate, Rehearsal};
pub use start::Initialised;
pub use state::{OnDeath, Progress};
pub use stream::Outcomes;

use batch::{Arrival, Batch, Callback};
use engine::{Engine, Next};
use job::{decode_all, decode_one};
pub(super) use run::Encode;
use run::{Kind, Run};
pub(super) use shift::{Shift, run_all};
use state::Phase;
use stream::Feed;
pub(super) use voice::Said;

use super::codec::Page;
use super::error::TaskError;
use super::task::{Argument, Arguments, Task};

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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task of one parameter",
    note = "of several, items are tuples: use `starmap` and its kin"
)]
pub trait OneParameter: Task {
    /// The parameter's type.
    type Parameter;
}

#[diagnostic::do_not_recommend]
impl<P, T: Task<Args = (P,)>> OneParameter for T {
    type Parameter = P;
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
        self.submit_one::<T>(args, None, Next::Waits)?.get()
    }

    /// Submits the task `T`. Waits while the window is full.
    ///
    /// # Errors
    ///
    /// [`TaskError::Codec`] for arguments that cannot travel, [`TaskError::Closed`], and the reason why the pool ended.
    pub fn apply_async<T: Task>(&self, args: impl Arguments<T::Args>) -> Result<Job<T::Output>, TaskError> {
        self.submit_one::<T>(args, None, Next::Leaves)
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
        let callback = self.engine.callbacks.take(move |outcomes| callback(decode_one(name, outcomes)));
        self.submit_one::<T>(args, Some(callback), Next::Leaves)
    }

    fn submit_one<T: Task>(
        &self,
        args: impl Arguments<T::Args>,
        callback: Option<Callback>,
        next: Next,
    ) -> Result<Job<T::Output>, TaskError> {
        let entry = T::entry();
        let batch = Arc::new(Batch::new(1, callback));
        let mut run = Run::new(Kind::new(entry, &batch, 1), 0);
        run.push(|to: &mut Page<'_>| args.encode_all(to))?;
        self.engine.submit_in_turn(run, next)?;
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
        self.submit_all::<T>(items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode(to)), None)
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
        let callback = self.engine.callbacks.take(move |outcomes| callback(decode_all(name, outcomes)));
        let items = items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode(to));
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
        self.submit_all::<T>(items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode_all(to)), None)
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
        let callback = self.engine.callbacks.take(move |outcomes| callback(decode_all(name, outcomes)));
        let items = items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode_all(to));
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
        let input = items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode(to));
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
        let input = items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode(to));
        Feed::new::<T>(&self.engine, self.chunk, input).outcomes()
    }

    /// As [`try_map`](Self::try_map), for tasks of any number of parameters: items are tuples.
    ///
    /// # Errors
    ///
    /// As [`try_map`](Self::try_map).
    pub fn try_starmap<T: Task>(
        &self,
        items: impl IntoIterator<Item = impl Arguments<T::Args>>,
    ) -> Result<Vec<Result<T::Output, TaskError>>, TaskError> {
        let input = items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode_all(to));
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
        let input = items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode_all(to));
        Feed::new::<T>(&self.engine, self.chunk, input).outputs()
    }

    /// Runs the task `T` once for each item; outcomes come in the order of the items, as soon as they are there. Items are drawn as
    /// outcomes are taken: never more than the window ahead.
    pub fn imap<'a, T: OneParameter>(
        &'a self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>> + 'a,
    ) -> Outcomes<impl Iterator<Item: Encode> + 'a, T::Output> {
        let input = items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode(to));
        Outcomes::new(Feed::new::<T>(&self.engine, self.chunk, input), true)
    }

    /// As [`imap`](Self::imap), in the order in which tasks are done.
    pub fn imap_unordered<'a, T: OneParameter>(
        &'a self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>> + 'a,
    ) -> Outcomes<impl Iterator<Item: Encode> + 'a, T::Output> {
        let input = items.into_iter().map(|item| move |to: &mut Page<'_>| item.encode(to));
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

    /// Takes back all tasks that no worker has begun: their outcome is [`TaskError::Cancelled`]. Tells how many.
    pub fn cancel_all(&self) -> u64 {
        self.engine.cancel(None)
    }

    /// Takes no more tasks; what was submitted is done, then the workers end. Closing again does nothing.
    pub fn close(&self) {
        self.engine.enter(Phase::Closing);
    }

    /// Ends the workers at once; tasks that are not done get [`TaskError::Cancelled`].
    pub fn terminate(&self) {
        self.engine.enter(Phase::Ending(TaskError::Cancelled));
    }

    /// Waits until all workers have ended and all callbacks were called, after [`close`](Self::close) or [`terminate`](Self::terminate);
    /// closes the pool if neither was called. Within a callback it waits for the workers only; in a forked child for nothing.
    pub fn join(&self) {
        if self.engine.check_mine().is_err() {
            return;
        }
        self.close();
        self.engine.wait_for_workers();
        self.engine.callbacks.wait();
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
        let finishes = self.finish_on_drop && !std::thread::panicking();
        if finishes {
            self.close();
        } else {
            self.terminate();
        }
        if self.engine.is_heard_by_caller() {
            // This thread would wait for itself; once it goes on, it sees to the end of the workers.
            return;
        }
        self.engine.wait_for_workers();
        if let Some(router) = self.router.take() {
            let _ = router.join();
        }
        if finishes {
            self.engine.callbacks.wait();
        }
    }
}
