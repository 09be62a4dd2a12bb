//! What a pool knows: tasks that wait, workers, and who has which.
//!
//! All of it is one state under one lock. Nobody who holds it waits for anything: queues are used by their `try_` forms, processes
//! are started elsewhere. What a change brings about outside (outcomes, callbacks) is collected and done after the lock is
//! given back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::batch::{Batch, Outcome};
use super::callbacks::Callbacks;
use super::crew::{Crew, Worker};
use super::message::{self, Sender};
use super::start::{self, Recipe};
use super::table;
use crate::data::AtomicArray;
use crate::participant::Kept;
use crate::process::error::{Exit, TaskError};
use crate::process::task::Entry;
use crate::queue::BytesQueue;

/// Chunks at a worker: one that it works on, and one that it finds when it is done.
const CHUNKS_AHEAD: usize = 2;
/// Tasks are put together until they are worth so much time.
const CHUNK_NS: u64 = 500_000;
/// No chunk has more bytes of arguments than this, unless its only task has.
const CHUNK_BYTES: usize = 32 * 1024;
/// So many bytes of arguments, of few tasks, make a message of one part; see [`ITEM_BYTES`].
const ONE_PART: usize = message::PART - 64;
/// What a task costs beside its arguments.
const ITEM_BYTES: usize = 8;
/// More workers in a row that end before they are ready are no accident.
const MOST_FALSE_STARTS: u32 = 8;

/// A task that was submitted.
pub(super) struct Item {
    pub(super) entry: &'static Entry,
    /// Its place in the list of tasks.
    pub(super) task: u32,
    pub(super) args: Vec<u8>,
    pub(super) index: u64,
    pub(super) batch: Arc<Batch>,
    /// So many like this shall go together; 0: as many as are worth the way.
    pub(super) chunk: usize,
    /// Objects whose handles are among the arguments.
    pub(super) _pins: Vec<Kept>,
}

/// Tasks that went to a worker together.
pub(super) struct Chunk {
    pub(super) number: u64,
    items: VecDeque<Item>,
    /// Index of the first of `items`.
    first: u32,
}

/// Whether a pool works.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Open,
    /// No new tasks; what was submitted is done.
    Closing,
    /// Everything ends at once, with this error for all tasks.
    Ending(TaskError),
}

/// Counts of a pool; from [`Pool::progress`](super::Pool::progress).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Tasks submitted.
    pub submitted: u64,
    /// Tasks that returned.
    pub returned: u64,
    /// Tasks that have an error instead.
    pub failed: u64,
    /// Tasks at workers now.
    pub at_workers: u64,
    /// Workers that have ended and were replaced.
    pub replaced: u64,
}

impl Progress {
    /// Tasks that are not done.
    pub fn pending(&self) -> u64 {
        self.submitted - self.returned - self.failed
    }
}

pub(super) struct State {
    pub(super) phase: Phase,
    waiting: VecDeque<Item>,
    pub(super) crew: Crew,
    next_chunk: u64,
    /// A recent average, for the size of chunks; 0 until something returned.
    task_ns: u64,
    false_starts: u32,
    pub(super) progress: Progress,
}

/// What is to be done once the lock is given back.
#[derive(Default)]
pub(super) struct Effects {
    outcomes: Vec<(Item, Outcome)>,
    /// Workers to be started in these places.
    pub(super) starts: Vec<Sender>,
    freed: bool,
}

pub(super) struct Engine {
    pub(super) owner: u32,
    pub(super) window: u64,
    pub(super) most_tasks: Option<u64>,
    pub(super) reports: BytesQueue,
    pub(super) running: AtomicArray<u64>,
    pub(super) recipe: Recipe,
    callbacks: Callbacks,
    state: Mutex<State>,
    /// Notified when a task is done and when a worker ends.
    changed: Condvar,
    /// Whether somebody wants the router to look after the workers.
    pub(super) look: AtomicBool,
}

impl Engine {
    pub(super) fn new(
        (reports, running): (BytesQueue, AtomicArray<u64>),
        recipe: Recipe,
        window: u64,
        most_tasks: Option<u64>,
        workers: usize,
    ) -> Self {
        let state = State {
            phase: Phase::Open,
            waiting: VecDeque::new(),
            crew: Crew::new(workers),
            next_chunk: 0,
            task_ns: 0,
            false_starts: 0,
            progress: Progress::default(),
        };
        Engine {
            owner: std::process::id(),
            window,
            most_tasks,
            reports,
            running,
            recipe,
            callbacks: Callbacks::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            look: AtomicBool::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes tasks in, waiting for room in the window if `waits` says so.
    pub(super) fn submit(self: &Arc<Self>, items: Vec<Item>, waits: bool) -> Result<(), TaskError> {
        if self.owner != std::process::id() {
            return Err(TaskError::NotAChild { pid: self.owner });
        }
        let mut state = self.lock();
        while waits && matches!(state.phase, Phase::Open) && state.progress.pending() >= self.window {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match &state.phase {
            Phase::Open => {}
            Phase::Closing => return Err(TaskError::Closed),
            Phase::Ending(error) => return Err(error.clone()),
        }
        state.progress.submitted += items.len() as u64;
        state.waiting.extend(items);
        let mut effects = Effects::default();
        self.pump(&mut state, &mut effects);
        self.finish(state, effects);
        Ok(())
    }

    /// Takes back a batch's tasks that are at no worker yet; tells how many.
    pub(super) fn cancel(self: &Arc<Self>, batch: &Arc<Batch>) -> usize {
        let mut state = self.lock();
        let mut effects = Effects::default();
        let all = std::mem::take(&mut state.waiting);
        let (cancelled, kept): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|item| Arc::ptr_eq(&item.batch, batch));
        state.waiting = kept;
        let count = cancelled.len();
        for item in cancelled {
            effects.end(&mut state, item, Err(TaskError::Cancelled));
        }
        self.finish(state, effects);
        count
    }

    /// Changes what the pool shall do.
    pub(super) fn enter(self: &Arc<Self>, phase: Phase) {
        if self.owner != std::process::id() {
            return;
        }
        let mut state = self.lock();
        let mut effects = Effects::default();
        match (&state.phase, phase) {
            (Phase::Open, Phase::Closing) => state.phase = Phase::Closing,
            (Phase::Open | Phase::Closing, Phase::Ending(error)) => {
                self.end_all(&mut state, error, &mut effects)
            }
            _ => {}
        }
        self.pump(&mut state, &mut effects);
        self.finish(state, effects);
    }

    /// Ends all tasks and workers.
    fn end_all(&self, state: &mut State, error: TaskError, effects: &mut Effects) {
        state.phase = Phase::Ending(error.clone());
        let mut items: Vec<Item> = state.waiting.drain(..).collect();
        for worker in state.crew.working() {
            let _ = worker.process.kill();
            items.extend(worker.chunks.drain(..).flat_map(|chunk| chunk.items));
        }
        for item in items {
            effects.end(state, item, Err(error.clone()));
        }
    }

    /// Gives workers what they can take, and leave to those who are not needed any more.
    pub(super) fn pump(&self, state: &mut State, effects: &mut Effects) {
        let State { crew, waiting, next_chunk, task_ns, phase, .. } = state;
        let ready = crew.working().filter(|worker| worker.is_ready).count();
        if waiting.is_empty() && crew.working().any(|worker| worker.is_idle()) {
            self.take_back(crew, waiting);
        }
        // One chunk to each in turn, so that few tasks are spread over all.
        for depth in 0..CHUNKS_AHEAD {
            for worker in crew.working() {
                if waiting.is_empty() {
                    break;
                }
                let quota = self.most_tasks.map_or(u64::MAX, |most| most.saturating_sub(worker.given));
                if !worker.is_ready || worker.chunks.len() > depth || quota == 0 {
                    continue;
                }
                // What is given ahead may have to be taken back: only whole.
                if depth > 0 && waiting[0].args.len() > ONE_PART {
                    continue;
                }
                let share = (waiting.len() / (2 * ready.max(1))).clamp(1, table::MOST) as u64;
                let most = match waiting[0].chunk {
                    // One, as long as nobody knows how long they take.
                    0 if *task_ns == 0 => 1,
                    0 => share.min((CHUNK_NS / *task_ns).max(1)),
                    wanted => wanted as u64,
                };
                *next_chunk += 1;
                let bytes = if depth == 0 { CHUNK_BYTES } else { ONE_PART };
                worker.give(take_chunk(waiting, *next_chunk, most.min(quota), bytes));
                if worker.given == self.most_tasks.unwrap_or(u64::MAX) {
                    worker.dismiss();
                }
            }
        }
        let is_over = waiting.is_empty() && !matches!(phase, Phase::Open);
        for worker in crew.working() {
            worker.push();
            if is_over && worker.chunks.is_empty() {
                worker.dismiss();
            }
        }
        effects.freed |= is_over;
    }

    /// Takes what somebody was given ahead from who still works on something else: nobody shall wait while another is idle,
    /// and a task may wait for one behind it.
    fn take_back(&self, crew: &mut Crew, waiting: &mut VecDeque<Item>) {
        for (place, worker) in crew.places() {
            if worker.chunks.len() < 2 {
                continue;
            }
            // Only while it runs the first is the second, whole, what its queue holds.
            let running = self.running.get(table::place(place)).ok().and_then(table::running);
            let first = worker.chunks.front().map(|chunk| chunk.number);
            if running.map(|(number, _)| number) == first
                && let Some(chunk) = worker.take_back()
            {
                waiting.extend(chunk.items);
                return;
            }
        }
    }

    /// Does what was put off, without the lock.
    pub(super) fn finish(self: &Arc<Self>, state: MutexGuard<'_, State>, effects: Effects) {
        drop(state);
        if effects.freed || !effects.outcomes.is_empty() {
            self.changed.notify_all();
        }
        for (item, outcome) in effects.outcomes {
            if let Some((callback, outcome)) = item.batch.arrive(item.index, outcome) {
                self.callbacks.call(callback, outcome);
            }
        }
        for sender in effects.starts {
            start::later(self, sender);
        }
    }

    /// Waits until all workers have ended.
    pub(super) fn wait_for_workers(&self) {
        let mut state = self.lock();
        while !state.crew.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that the router shall look after the workers, and wakes it.
    pub(super) fn look_around(&self) {
        // Release: pairs with the router's swap; it then finds what made somebody call this.
        self.look.store(true, Ordering::Release);
        let mut message = Vec::new();
        message.extend(Sender { worker: u32::MAX, generation: 0 }.bytes());
        let mut report = Vec::new();
        message::Report::new(message::News::Look, &[]).write(&mut report);
        message.push(0);
        message.extend(report);
        // If there is no room the router is awake.
        let _ = self.reports.try_put(&message);
    }
}

impl State {
    /// An outcome from a worker.
    pub(super) fn arrived(&mut self, sender: Sender, report: &message::Report<'_>, effects: &mut Effects) {
        let Some(worker) = self.crew.find(sender) else { return };
        let Some(chunk) = worker.chunks.front_mut().filter(|chunk| chunk.number == report.chunk) else {
            return;
        };
        if chunk.first != report.index {
            return;
        }
        let Some(item) = chunk.items.pop_front() else { return };
        chunk.first += 1;
        if chunk.items.is_empty() {
            let each = report.nanoseconds / u64::from(chunk.first);
            worker.chunks.pop_front();
            self.task_ns = if self.task_ns == 0 { each.max(1) } else { (3 * self.task_ns + each) / 4 };
        }
        let outcome = outcome_of(item.entry.name(), report);
        effects.end(self, item, outcome);
    }

    /// A worker said that it can take tasks.
    pub(super) fn is_ready(&mut self, sender: Sender) {
        if let Some(worker) = self.crew.find(sender) {
            worker.is_ready = true;
            self.false_starts = 0;
        }
    }

    /// Settles what a dead worker had: `running` is its word in the table.
    ///
    /// All it reported has arrived. What it ran has no outcome, and gets this one; what it did not begin goes to others.
    pub(super) fn settle(&mut self, worker: Worker, exit: Exit, running: u64, effects: &mut Effects) {
        // Where a panic ends the process, it has left a word before.
        let last_word = worker.process.try_join().err();
        let died = |item: &Item| match &last_word {
            Some(TaskError::Panicked { message, .. }) => {
                TaskError::Panicked { task: item.entry.name(), message: message.clone() }
            }
            _ => TaskError::Died { task: item.entry.name(), pid: worker.process.pid(), exit },
        };
        for chunk in worker.chunks.into_iter().rev() {
            let begun = match table::running(running) {
                Some((number, index)) if number == chunk.number => index + 1,
                _ => 0,
            };
            let lost = begun.saturating_sub(chunk.first) as usize;
            let mut items = chunk.items;
            let rest = items.split_off(lost.min(items.len()));
            for item in items {
                let error = died(&item);
                effects.end(self, item, Err(error));
            }
            rest.into_iter().rev().for_each(|item| self.waiting.push_front(item));
        }
        if !worker.is_ready {
            self.false_starts += 1;
        }
        self.progress.replaced += 1;
    }

    /// Whether workers end before they are ready, again and again.
    pub(super) fn starts_in_vain(&self) -> bool {
        self.false_starts >= MOST_FALSE_STARTS
    }

    /// Notes a worker that could not even be started.
    pub(super) fn count_false_start(&mut self) -> u32 {
        self.false_starts += 1;
        self.false_starts
    }

    /// Whether there is, or may come, something to do.
    pub(super) fn needs_workers(&self) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Closing => !self.waiting.is_empty(),
            Phase::Ending(_) => false,
        }
    }
}

impl Effects {
    fn end(&mut self, state: &mut State, item: Item, outcome: Outcome) {
        if outcome.is_ok() {
            state.progress.returned += 1;
        } else {
            state.progress.failed += 1;
        }
        self.outcomes.push((item, outcome));
    }

    pub(super) fn worker_ended(&mut self) {
        self.freed = true;
    }
}

impl Engine {
    /// As [`end_all`](Self::end_all), from within a change.
    pub(super) fn give_up(&self, state: &mut State, error: TaskError, effects: &mut Effects) {
        if !matches!(state.phase, Phase::Ending(_)) {
            self.end_all(state, error, effects);
        }
    }
}

fn outcome_of(task: &'static str, report: &message::Report<'_>) -> Outcome {
    let text = || String::from_utf8_lossy(report.payload).into_owned();
    match report.news {
        message::News::Returned => Ok(report.payload.to_vec()),
        message::News::UnfitArguments => {
            Err(TaskError::Codec { task, what: "the arguments", reason: text() })
        }
        message::News::UnfitOutput => Err(TaskError::Codec { task, what: "the output", reason: text() }),
        _ => Err(TaskError::Panicked { task, message: text() }),
    }
}

/// Takes a chunk of at most `most` tasks off the front, of at most so many bytes, unless the first has more.
fn take_chunk(waiting: &mut VecDeque<Item>, number: u64, most: u64, room: usize) -> Chunk {
    let wanted = waiting.front().map_or(0, |item| item.chunk);
    let (mut items, mut bytes) = (VecDeque::new(), 0);
    while let Some(item) = waiting.front() {
        bytes += item.args.len() + ITEM_BYTES;
        let fits = items.is_empty() || ((items.len() as u64) < most && item.chunk == wanted && bytes <= room);
        if !fits {
            break;
        }
        items.extend(waiting.pop_front());
    }
    Chunk { number, items, first: 0 }
}

impl Chunk {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The chunk as a message.
    pub(super) fn message(&self) -> Vec<u8> {
        let mut message = message::chunk(self.number);
        for item in &self.items {
            message::add_task(&mut message, item.task, &item.args);
        }
        message
    }
}
