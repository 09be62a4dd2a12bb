//! Tasks as futures: submit, and wait for the first, for all, or as they come.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::error::TaskError;
use super::pool::{Encode, Job, OneParameter, Outcomes, Pool, PoolBuilder, Progress};
use super::task::{Argument, Arguments, Task};

/// A [`Pool`] whose tasks are futures, and that finishes what was submitted when it is dropped.
///
/// ```
/// use procshare::process::{Executor, as_completed};
///
/// #[procshare::task]
/// fn length(text: String) -> usize {
///     text.len()
/// }
///
/// # if procshare::backend() == "heap" { return Ok(()) } // which shares nothing with other processes
/// let executor = Executor::new(2)?;
/// let jobs = ["one", "three", "seven"].map(|word| executor.submit::<length>((word,)).unwrap());
/// let mut lengths: Vec<usize> = as_completed(jobs).map(|job| job.get()).collect::<Result<_, _>>()?;
/// lengths.sort();
/// assert_eq!(lengths, [3, 5, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Executor {
    pool: Pool,
}

/// What [`wait`] waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WaitFor {
    /// One that is done.
    First,
    /// One that has an error; all of them if none has.
    FirstError,
    /// All of them.
    All,
}

impl Executor {
    /// An executor of so many workers.
    ///
    /// # Errors
    ///
    /// See [`PoolBuilder::build`].
    pub fn new(workers: usize) -> Result<Self, TaskError> {
        Self::with(Pool::builder().workers(workers))
    }

    /// An executor of workers with these options.
    ///
    /// # Errors
    ///
    /// See [`PoolBuilder::build`].
    pub fn with(options: PoolBuilder) -> Result<Self, TaskError> {
        Ok(Executor { pool: options.finish_on_drop(true).build()? })
    }

    /// Submits the task `T`. Waits while the window is full.
    ///
    /// # Errors
    ///
    /// As [`Pool::apply_async`].
    pub fn submit<T: Task>(&self, args: impl Arguments<T::Args>) -> Result<Job<T::Output>, TaskError> {
        self.pool.apply_async::<T>(args)
    }

    /// As [`Pool::imap`]: outcomes in the order of the items.
    pub fn map<'a, T: OneParameter>(
        &'a self,
        items: impl IntoIterator<Item = impl Argument<T::Parameter>> + 'a,
    ) -> Outcomes<impl Iterator<Item: Encode> + 'a, T::Output> {
        self.pool.imap::<T>(items)
    }

    /// What was submitted, and what became of it.
    pub fn progress(&self) -> Progress {
        self.pool.progress()
    }

    /// Takes no more tasks. What was submitted is done, then the workers end; nobody waits for that here.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Takes no more tasks, and waits until all that were submitted are done. With `cancel`, those that no worker has begun are taken back
    /// instead: their outcome is [`TaskError::Cancelled`].
    pub fn shutdown(&self, cancel: bool) {
        self.pool.close();
        if cancel {
            self.pool.cancel_all();
        }
        self.pool.join();
    }

    /// Ends the workers at once: tasks that are not done, running ones included, get [`TaskError::Cancelled`].
    pub fn terminate(&self) {
        self.pool.terminate();
    }
}

/// Tells which of some jobs is done.
struct Done {
    index: usize,
    sender: Sender<usize>,
}

impl Wake for Done {
    fn wake(self: Arc<Self>) {
        // Nobody listens any more: nobody wants to know.
        let _ = self.sender.send(self.index);
    }
}

/// The indices of `jobs`, each once, as they are done; those that are done already come first.
fn watch<'a, R: 'a>(jobs: impl Iterator<Item = &'a Job<R>>) -> (Receiver<usize>, Sender<usize>) {
    let (sender, receiver) = mpsc::channel();
    for (index, job) in jobs.enumerate() {
        let waker = Waker::from(Arc::new(Done { index, sender: sender.clone() }));
        if job.poll_done(&waker) {
            let _ = sender.send(index);
        }
    }
    (receiver, sender)
}

/// Jobs as they are done; from [`as_completed`].
#[derive(Debug)]
pub struct AsCompleted<R> {
    jobs: Vec<Option<Job<R>>>,
    left: usize,
    done: Receiver<usize>,
    /// So that `done` is never cut off.
    _sender: Sender<usize>,
}

impl<R> AsCompleted<R> {
    /// As `next`, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TaskError::TimedOut`]: none of those that are left is done yet.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<Job<R>, TaskError>> {
        if self.left == 0 {
            return None;
        }
        match self.done.recv_timeout(timeout) {
            Ok(index) => self.take(index).map(Ok),
            Err(_) => Some(Err(TaskError::TimedOut)),
        }
    }

    fn take(&mut self, index: usize) -> Option<Job<R>> {
        self.left -= 1;
        self.jobs[index].take()
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = Job<R>;

    fn next(&mut self) -> Option<Job<R>> {
        if self.left == 0 {
            return None;
        }
        let index = self.done.recv().ok()?;
        self.take(index)
    }
}

/// The jobs as they are done, those that are done already first.
pub fn as_completed<R>(jobs: impl IntoIterator<Item = Job<R>>) -> AsCompleted<R> {
    let jobs: Vec<Option<Job<R>>> = jobs.into_iter().map(Some).collect();
    let (done, sender) = watch(jobs.iter().flatten());
    AsCompleted { left: jobs.len(), jobs, done, _sender: sender }
}

/// Waits for `jobs`, at most `timeout`; tells the indices of those that are done and of those that are not.
///
/// ```
/// use procshare::process::{Executor, WaitFor, wait};
/// # #[procshare::task] fn length(text: String) -> usize { text.len() }
///
/// let executor = Executor::new(1)?;
/// let jobs = [executor.submit::<length>(("a",))?, executor.submit::<length>(("bc",))?];
/// assert_eq!(wait(&jobs, WaitFor::All, None), (vec![0, 1], vec![]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait<R>(jobs: &[Job<R>], wanted: WaitFor, timeout: Option<Duration>) -> (Vec<usize>, Vec<usize>) {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let (done, _keep) = watch(jobs.iter());
    let mut left = match wanted {
        WaitFor::First => jobs.len().min(1),
        WaitFor::FirstError | WaitFor::All => jobs.len(),
    };
    while left > 0 {
        let came = match deadline {
            None => done.recv().ok(),
            Some(deadline) => done.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok(),
        };
        let Some(index) = came else { break };
        if wanted == WaitFor::FirstError && jobs[index].try_get().is_err() {
            break;
        }
        left -= 1;
    }
    (0..jobs.len()).partition(|&index| jobs[index].is_done())
}
