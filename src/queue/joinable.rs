//! `JoinableQueue<T>`: work that is acknowledged, and waited for.
//!
//! A task is an item read in place: it stays in the ring until it is done. So nothing is counted, and nothing needs repair but what the
//! stamps say: all is done when no slot holds an item.

use std::collections::VecDeque;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::{GetError, PutError, items};
use super::guards::Peeked;
use super::plain::Queue;
use super::ring::{NotTaken, Ring, Slot, Unfinished};
use super::wait::until;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, constructors};
use crate::shm::header::TypeInfo;
use crate::shm::{Kind, Plain};
use crate::sync::{Begun, Waitable};
use crate::sys::ProcessLock;
use crate::time::Deadline;

/// What a new [`JoinableQueue`] is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinableInit {
    capacity: usize,
    dead: Unfinished,
    dropped: Unfinished,
}

impl JoinableInit {
    /// A queue with room for `capacity` tasks; tasks that were dropped, or whose process died, are handed out again.
    pub fn new(capacity: usize) -> Self {
        JoinableInit { capacity, dead: Unfinished::HandedOut, dropped: Unfinished::HandedOut }
    }

    /// What becomes of tasks whose process dies.
    pub fn when_dead(self, dead: Unfinished) -> Self {
        JoinableInit { dead, ..self }
    }

    /// What becomes of tasks that are dropped without [`done`](Task::done), a panic included.
    pub fn when_dropped(self, dropped: Unfinished) -> Self {
        JoinableInit { dropped, ..self }
    }
}

impl From<usize> for JoinableInit {
    fn from(capacity: usize) -> Self {
        JoinableInit::new(capacity)
    }
}

/// A bounded queue of tasks between processes: whoever takes one says when it is [done](Task::done), and [`join`](Self::join) waits until
/// all are.
///
/// A task keeps its slot until it is done. So the capacity is that of all unfinished tasks, and one that takes long holds up producers
/// once `capacity` younger ones were put.
///
/// # When somebody dies
///
/// A `put` that returned stays put. The unfinished tasks of the dead are handed out again, or count as done, as the creator
/// [said](JoinableInit::when_dead); a joiner that waits for them notices within some milliseconds.
///
/// # Examples
///
/// ```
/// use procshare::JoinableQueue;
///
/// let jobs = JoinableQueue::<u32>::anonymous(8)?;
/// let theirs = jobs.clone(); // or opened by name, in any process
/// let worker = std::thread::spawn(move || {
///     let mut sum = 0;
///     for task in theirs.iter() {
///         sum += *task;
///         task.done();
///     }
///     sum
/// });
/// jobs.put_many(&[1, 2, 3])?;
/// jobs.join()?; // all are done
/// assert_eq!(jobs.unfinished(), 0);
/// jobs.close()?;
/// assert_eq!(worker.join().unwrap(), 6);
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct JoinableQueue<T: Plain> {
    queue: Queue<T>,
    /// Tasks of this process that nothing but [`task_done`](Self::task_done) ends; used under the process lock, so that a forked
    /// child never finds it locked.
    detached: Arc<Mutex<VecDeque<Slot>>>,
}

/// A task that the calling process has taken and not finished.
///
/// Dropping it hands it out again, or counts it as done, as the creator of the queue [said](JoinableInit::when_dropped). Without effect
/// in a forked child.
#[must_use = "dropping a task hands it out again, unless the queue was made otherwise"]
pub struct Task<'a, T: Plain> {
    item: ManuallyDrop<Peeked<'a, T>>,
    queue: &'a JoinableQueue<T>,
}

impl<T: Plain> JoinableQueue<T> {
    /// Puts `item`, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// As [`Queue::put`].
    pub fn put(&self, item: T) -> Result<(), PutError<T>> {
        self.queue.put(item)
    }

    /// Puts `item` unless the queue is full.
    ///
    /// # Errors
    ///
    /// As [`Queue::try_put`].
    pub fn try_put(&self, item: T) -> Result<(), PutError<T>> {
        self.queue.try_put(item)
    }

    /// Puts `item`, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Queue::put_timeout`].
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.queue.put_timeout(item, timeout)
    }

    /// Puts all `items` in order, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// As [`Queue::put_many`].
    pub fn put_many(&self, items: &[T]) -> Result<(), PutError<usize>> {
        self.queue.put_many(items)
    }

    /// Puts as many of `items` as there is room for now, in order; tells how many.
    ///
    /// # Errors
    ///
    /// As [`Queue::try_put_many`].
    pub fn try_put_many(&self, items: &[T]) -> Result<usize, PutError<()>> {
        self.queue.try_put_many(items)
    }

    /// Puts all `items` in order, waiting at most `timeout` in all.
    ///
    /// # Errors
    ///
    /// As [`Queue::put_many_timeout`].
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<(), PutError<usize>> {
        self.queue.put_many_timeout(items, timeout)
    }

    /// Takes the next task, waiting while there is none.
    ///
    /// # Errors
    ///
    /// As [`Queue::peek`]: [`GetError::Closed`] when the queue is closed and all tasks are done.
    pub fn get(&self) -> Result<Task<'_, T>, GetError> {
        self.queue.peek().map(|item| self.task(item))
    }

    /// Takes the next task if there is one.
    ///
    /// # Errors
    ///
    /// As [`Queue::try_peek`].
    pub fn try_get(&self) -> Result<Task<'_, T>, GetError> {
        self.queue.try_peek().map(|item| self.task(item))
    }

    /// Takes the next task, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Queue::peek_timeout`].
    pub fn get_timeout(&self, timeout: Duration) -> Result<Task<'_, T>, GetError> {
        self.queue.peek_timeout(timeout).map(|item| self.task(item))
    }

    /// The tasks as they come, until the queue is closed and all are done (or it cannot be used any more). Bytes that are no `T` are
    /// passed over.
    pub fn iter(&self) -> impl Iterator<Item = Task<'_, T>> {
        items(|| self.get())
    }

    /// The tasks that are there now. Bytes that are no `T` are passed over.
    pub fn try_iter(&self) -> impl Iterator<Item = Task<'_, T>> {
        items(|| self.try_get())
    }

    /// Ends the oldest task that this process [detached](Task::detach) through this handle or its clones.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyDone`] if there is none.
    pub fn task_done(&self) -> Result<()> {
        let me = self.ring().attached().member.me();
        let _lock = ProcessLock::take();
        let mut detached = self.detached();
        // A forked child finds its parent's.
        detached.retain(|slot| slot.id == me);
        let Some(slot) = detached.pop_front() else {
            return Err(Error::TooManyDone { object: self.ring().attached().object() });
        };
        self.ring().finish(slot, true);
        Ok(())
    }

    /// Waits until all that was put is done.
    ///
    /// True at some moment during the call; others may put more meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], and what keeps a forked child from joining the space.
    pub fn join(&self) -> Result<()> {
        self.join_until(Deadline::Never)
    }

    /// Whether all that was put is done.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] if something is not, and as [`join`](Self::join).
    pub fn try_join(&self) -> Result<()> {
        self.join_until(Deadline::Now)
    }

    /// Waits at most `timeout` until all that was put is done.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<()> {
        match self.join_until(Deadline::after(timeout)) {
            Err(Error::WouldBlock) => Err(Error::TimedOut),
            other => other,
        }
    }

    fn join_until(&self, deadline: Deadline) -> Result<()> {
        let ring = self.ring();
        let attached = ring.attached();
        let me = attached.member.join(|| attached.object(), "wait until all is done")?;
        let attempt = || ring.all_done(deadline);
        match until(attached.member.host(), me, ring.waiting_for_done(), deadline, attempt) {
            Ok(()) => Ok(()),
            Err(NotTaken::Failed(error)) => Err(error),
            Err(_) if deadline == Deadline::Now => Err(Error::WouldBlock),
            Err(_) => Err(Error::TimedOut),
        }
    }

    /// Closes the queue: nothing can be put any more, consumers drain what is there. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// As [`Queue::close`].
    pub fn close(&self) -> Result<()> {
        self.queue.close()
    }

    /// Whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Number of tasks that were put and are not done. A hint: it may change at once.
    pub fn unfinished(&self) -> usize {
        self.ring().unfinished()
    }

    /// Number of tasks that nobody has taken. A hint.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no task is there to be taken. A hint.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether as many tasks are unfinished as there can be. A hint.
    pub fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// Most tasks that can be unfinished.
    pub fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// Tasks put, and tasks taken, since the queue was made.
    pub fn counts(&self) -> (u64, u64) {
        self.queue.counts()
    }

    pub(super) fn ring(&self) -> &Ring {
        self.queue.ring()
    }

    fn task<'a>(&'a self, item: Peeked<'a, T>) -> Task<'a, T> {
        Task { item: ManuallyDrop::new(item), queue: self }
    }

    fn detached(&self) -> MutexGuard<'_, VecDeque<Slot>> {
        self.detached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Plain> Task<'_, T> {
    /// Says that the task is done: it will never be handed out again.
    pub fn done(self) {
        self.end(true);
    }

    /// Hands the task out again at once, whatever dropping it would do.
    pub fn give_back(self) {
        self.end(false);
    }

    /// Copies the item out and keeps the task unfinished without a guard, until [`task_done`](JoinableQueue::task_done) is called
    /// or the process ends.
    pub fn detach(self) -> T {
        let item = **self.item;
        let slot = self.item.slot();
        let _lock = ProcessLock::take();
        self.queue.detached().push_back(slot);
        std::mem::forget(self);
        item
    }

    fn end(self, done: bool) {
        let slot = self.item.slot();
        self.queue.ring().finish(slot, done);
        std::mem::forget(self);
    }
}

impl<T: Plain> Drop for Task<'_, T> {
    fn drop(&mut self) {
        let ring = self.queue.ring();
        ring.finish(self.item.slot(), ring.is_done_by_drop());
    }
}

impl<T: Plain> Deref for Task<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Task<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&**self).finish()
    }
}

constructors! {
    impl[T: Plain] JoinableQueue<T>,
    noun: "queue",
    made: " with room for so many tasks, or as a [`JoinableInit`] says",
    errors: "[`BadSize`](crate::Error::BadSize) for no slots or more than 2^28",
    (init: impl Into<JoinableInit>) => init.into()
}

impl<T: Plain> Clone for JoinableQueue<T> {
    fn clone(&self) -> Self {
        JoinableQueue { queue: self.queue.clone(), detached: Arc::clone(&self.detached) }
    }
}

impl<T: Plain> fmt::Debug for JoinableQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinableQueue")
            .field("object", &self.ring().attached().object())
            .field("unfinished", &self.unfinished())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Ready as soon as a task is there, or the queue is closed and all is done.
impl<T: Plain> Waitable for JoinableQueue<T> {
    fn begin(&self) -> Begun<'_> {
        self.queue.begin()
    }
}

impl<T: Plain> Object for JoinableQueue<T> {
    type Init = JoinableInit;

    fn plan(init: &JoinableInit) -> Result<Plan, PlanFault> {
        Queue::<T>::plan(&init.capacity)
    }

    fn expect() -> Expect {
        Expect { kind: Kind::JoinableQueue, type_info: TypeInfo::of::<T>() }
    }

    fn initialise(body: &Body<'_>, init: JoinableInit) -> Result<()> {
        Queue::<T>::initialise(body, init.capacity)?;
        Ring::set_policy(body.segment, init.dead, init.dropped)
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(JoinableQueue { queue: Queue::attach(attached)?, detached: Arc::default() })
    }

    fn attached(&self) -> &Attached {
        self.queue.attached()
    }
}
