//! What a pool knows, and how that changes: tasks that wait, workers, and who has which.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::batch::{Arrival, Batch};
use super::crew::{Crew, Post, Worker};
use super::message::{self, News};
use super::run::{Chunk, Kind, Run};
use crate::process::error::{Exit, TaskError};

/// Chunks at a worker: one that it works on, and one that it finds when it is done.
const CHUNKS_AHEAD: usize = 2;
/// Tasks are put together until they are worth so much time: at most, and even if others could share them.
const CHUNK_NS: u64 = 500_000;
const LEAST_CHUNK_NS: u64 = 15_000;
/// More workers in a row that end before they are ready are no accident.
const MOST_FALSE_STARTS: u32 = 8;

/// Whether a pool works.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Open,
    /// No new tasks; what was submitted is done.
    Closing,
    /// Everything ends at once, with this error for all tasks.
    Ending(TaskError),
}

/// What the unexpected end of a worker does; see [`PoolBuilder::on_death`](super::PoolBuilder::on_death).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OnDeath {
    /// The task that it ran gets [`TaskError::Died`]; the worker is replaced.
    #[default]
    FailTask,
    /// So does that task; all others get [`TaskError::Broken`], and the pool ends.
    BreakAll,
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

/// All that a pool knows.
///
/// Nobody who has it waits for anything: queues are used by their `try_` forms, processes are started elsewhere. What a change
/// brings about outside (outcomes, callbacks) is collected in [`Effects`] and done once the lock is given back.
pub(super) struct State {
    pub(super) phase: Phase,
    waiting: VecDeque<Run>,
    pub(super) crew: Crew,
    next_chunk: u64,
    /// How long tasks of each kind took of late.
    task_ns: HashMap<u32, u64>,
    false_starts: u32,
    most_tasks: Option<u64>,
    on_death: OnDeath,
    progress: Progress,
    pub(super) roles: Roles,
}

/// Who hears the workers, and who waits for what.
#[derive(Debug, Default)]
pub(super) struct Roles {
    /// A thread that waits for an outcome leads.
    pub(super) is_led: bool,
    /// There are tasks that nobody comes back for to hear the workers.
    pub(super) is_left: bool,
    /// How often somebody who hears the workers was here.
    pub(super) visits: u64,
    /// Threads that wait for room, or for the workers' ends.
    pub(super) sleepers: u32,
    /// Threads that wait for outcomes and do not hear the workers.
    pub(super) listeners: u32,
}

impl Roles {
    /// Whether the workers must be heard even if somebody is about to come back.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_left || self.sleepers > 0 || self.listeners > 0
    }
}

/// What is to be done once the lock is given back.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) outcomes: Vec<(Arc<Batch>, Arrival)>,
    /// Workers to be started in these places.
    pub(super) starts: Vec<Post>,
    /// Somebody may wait for this change.
    pub(super) freed: bool,
}

impl State {
    pub(super) fn new(workers: usize, most_tasks: Option<u64>, on_death: OnDeath) -> Self {
        State {
            phase: Phase::Open,
            waiting: VecDeque::new(),
            crew: Crew::new(workers),
            next_chunk: 0,
            task_ns: HashMap::new(),
            false_starts: 0,
            most_tasks,
            on_death,
            progress: Progress::default(),
            roles: Roles::default(),
        }
    }

    pub(super) fn progress(&mut self) -> Progress {
        let at_workers = self.crew.working().flat_map(|worker| &worker.chunks).map(Chunk::left).sum();
        Progress { at_workers, ..self.progress }
    }

    pub(super) fn pending(&self) -> u64 {
        self.progress.pending()
    }

    pub(super) fn submit(&mut self, run: Run) {
        self.progress.submitted += run.len();
        if run.len() > 0 {
            self.waiting.push_back(run);
        }
    }

    /// How many tasks of a kind are worth being submitted together, as far as that is known.
    pub(super) fn worth(&self, kind: &Kind) -> Option<u64> {
        let each = self.task_ns.get(&kind.task).filter(|_| kind.chunk == 0);
        each.map(|each| LEAST_CHUNK_NS / each)
    }

    /// Takes back tasks that no worker has begun: a batch's, or all; tells how many.
    pub(super) fn cancel(&mut self, batch: Option<&Arc<Batch>>, effects: &mut Effects) -> u64 {
        let is_meant = |of: &Arc<Batch>| batch.is_none_or(|batch| Arc::ptr_eq(of, batch));
        let mut cancelled = Vec::new();
        if self.waiting.iter().any(|run| is_meant(&run.kind.batch)) {
            let all = std::mem::take(&mut self.waiting);
            let (taken, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|run| is_meant(&run.kind.batch));
            (cancelled, self.waiting) = (taken, kept.into());
        }
        for worker in self.crew.working() {
            if worker.chunks.back().is_some_and(|chunk| is_meant(&chunk.kind.batch)) {
                cancelled.extend(worker.take_back().map(Chunk::rest));
            }
        }
        let count = cancelled.iter().map(Run::len).sum();
        cancelled.into_iter().for_each(|run| self.fail(run, TaskError::Cancelled, effects));
        self.pump(effects);
        count
    }

    /// Ends all tasks and workers.
    pub(super) fn end_all(&mut self, error: TaskError, effects: &mut Effects) {
        if matches!(self.phase, Phase::Ending(_)) {
            return;
        }
        self.phase = Phase::Ending(error.clone());
        let mut runs: Vec<Run> = self.waiting.drain(..).collect();
        for worker in self.crew.working() {
            worker.is_unusable();
            runs.extend(worker.chunks.drain(..).map(Chunk::rest));
        }
        runs.into_iter().for_each(|run| self.fail(run, error.clone(), effects));
    }

    fn fail(&mut self, run: Run, error: TaskError, effects: &mut Effects) {
        let arrival = Arrival::failed(run.first(), run.len(), error);
        self.arrive(&run.kind.batch, arrival, false, effects);
    }

    fn arrive(&mut self, batch: &Arc<Batch>, arrival: Arrival, is_good: bool, effects: &mut Effects) {
        if arrival.count() > 0 {
            let counted = if is_good { &mut self.progress.returned } else { &mut self.progress.failed };
            *counted += arrival.count();
            effects.outcomes.push((Arc::clone(batch), arrival));
        }
    }

    /// Gives workers what they can take, and leave to those who are not needed any more.
    pub(super) fn pump(&mut self, effects: &mut Effects) {
        if self.waiting.is_empty() && self.crew.working().any(|worker| worker.is_idle()) {
            // Nobody shall wait while another is idle, and a task may wait for one behind it.
            let back = self.crew.working().find_map(Worker::take_back);
            self.waiting.extend(back.map(Chunk::rest));
        }
        self.hand_out();
        let is_over = self.waiting.is_empty() && !matches!(self.phase, Phase::Open);
        for worker in self.crew.working() {
            worker.push();
            if is_over && worker.chunks.is_empty() {
                worker.dismiss();
            }
        }
        effects.freed |= is_over;
    }

    /// One chunk to each in turn, so that few tasks are spread over all.
    fn hand_out(&mut self) {
        let mut total: u64 = self.waiting.iter().map(Run::len).sum();
        let ready = self.crew.working().filter(|worker| worker.is_ready).count().max(1) as u64;
        for depth in 0..CHUNKS_AHEAD {
            for worker in self.crew.working() {
                let Some(run) = self.waiting.front_mut() else { return };
                let quota = self.most_tasks.map_or(u64::MAX, |most| most.saturating_sub(worker.given));
                if !worker.is_ready || worker.chunks.len() > depth || quota == 0 {
                    continue;
                }
                // What is given ahead may have to be taken back: only whole.
                if depth > 0 && !run.starts_small() {
                    continue;
                }
                let most = match (run.kind.chunk as u64, self.task_ns.get(&run.kind.task)) {
                    // One, as long as nobody knows how long they take.
                    (0, None) => 1,
                    (0, Some(each)) => {
                        (total / (2 * ready)).min(CHUNK_NS / each).max(LEAST_CHUNK_NS / each).max(1)
                    }
                    (wanted, _) => wanted,
                };
                self.next_chunk += 1;
                let chunk = run.take_chunk(self.next_chunk, most.min(quota));
                total -= chunk.len();
                if run.len() == 0 {
                    self.waiting.pop_front();
                }
                worker.give(chunk);
                if self.most_tasks.is_some_and(|most| worker.given >= most) {
                    worker.dismiss();
                }
            }
        }
    }

    /// Hears what workers say; tells whether that is anything.
    pub(super) fn hear(
        &mut self,
        check: &dyn Fn(&[u8]) -> Result<(), String>,
        effects: &mut Effects,
    ) -> bool {
        let mut any = false;
        for post in self.crew.posts() {
            any |= self.hear_one(post, check, effects);
        }
        any
    }

    /// Hears what one worker says.
    pub(super) fn hear_one(
        &mut self,
        post: Post,
        check: &dyn Fn(&[u8]) -> Result<(), String>,
        effects: &mut Effects,
    ) -> bool {
        let Some(worker) = self.crew.find(post) else { return false };
        if !worker.listen() {
            return false;
        }
        let mut heard = std::mem::take(&mut worker.heard);
        let read = self.read(post, &heard, check, effects);
        if let Some(worker) = self.crew.find(post) {
            match read {
                Ok(read) => {
                    heard.drain(..read);
                    worker.heard = heard;
                }
                Err(message::Nonsense) => worker.is_unusable(),
            }
        }
        true
    }

    /// Understands what a worker said; tells how many bytes of it.
    fn read(
        &mut self,
        post: Post,
        heard: &[u8],
        check: &dyn Fn(&[u8]) -> Result<(), String>,
        effects: &mut Effects,
    ) -> Result<usize, message::Nonsense> {
        let mut at = 0;
        while let Some(said) = message::at(heard, at)? {
            let text = || String::from_utf8_lossy(said.payload).into_owned();
            let vain = |reason| TaskError::InitialiserFailed { reason };
            match said.news {
                News::Room => {}
                News::Ready => match check(said.payload) {
                    Ok(()) => self.is_ready(post),
                    Err(reason) => self.end_all(vain(reason), effects),
                },
                News::NotReady => self.end_all(vain(text()), effects),
                News::Returned => {
                    at = self.returned(post, heard, at, effects)?;
                    continue;
                }
                News::Began | News::Done => self.turn_page(post, &said)?,
                News::Panicked | News::UnfitOutput | News::UnfitArguments => {
                    self.went_wrong(post, said.news, text(), effects)?;
                }
            }
            at = said.end;
        }
        Ok(at)
    }

    /// The next tasks of a worker's chunk returned; tells where their messages end.
    fn returned(
        &mut self,
        post: Post,
        heard: &[u8],
        start: usize,
        effects: &mut Effects,
    ) -> Result<usize, message::Nonsense> {
        // Everything was settled already.
        let ended = matches!(self.phase, Phase::Ending(_));
        let chunk = self.crew.find(post).and_then(|worker| worker.chunks.front_mut());
        let most = match &chunk {
            Some(chunk) if chunk.is_begun => chunk.left(),
            _ if ended => u64::MAX,
            _ => 0,
        };
        let (at, count) = message::pass_usual(heard, start, most);
        if count == 0 {
            return Err(message::Nonsense);
        }
        if let Some(chunk) = chunk {
            let first = chunk.pass(count);
            let batch = Arc::clone(&chunk.kind.batch);
            let arrival = Arrival::returned(first, count, heard[start..at].to_vec());
            self.arrive(&batch, arrival, true, effects);
        }
        Ok(at)
    }

    /// A worker begins with a chunk, or is done with it.
    fn turn_page(&mut self, post: Post, said: &message::Message<'_>) -> Result<(), message::Nonsense> {
        let ended = matches!(self.phase, Phase::Ending(_));
        let Some(worker) = self.crew.find(post) else { return Ok(()) };
        let number = said.number().ok_or(message::Nonsense)?;
        match worker.chunks.front_mut() {
            Some(chunk) if said.news == News::Began && chunk.number == number => chunk.is_begun = true,
            Some(chunk) if said.news == News::Done && chunk.left() == 0 => {
                let each = (number / chunk.len().max(1)).max(1);
                let known = self.task_ns.entry(chunk.kind.task).or_insert(each);
                // A worker that had to wait for a core is no reason to think that tasks take that long.
                *known = ((3 * *known + each.min(2 * *known)) / 4).max(1);
                worker.chunks.pop_front();
            }
            _ if ended => {}
            _ => return Err(message::Nonsense),
        }
        Ok(())
    }

    /// The next task of a worker's chunk has no output.
    fn went_wrong(
        &mut self,
        post: Post,
        news: News,
        text: String,
        effects: &mut Effects,
    ) -> Result<(), message::Nonsense> {
        let ended = matches!(self.phase, Phase::Ending(_));
        let chunk = self.crew.find(post).and_then(|worker| worker.chunks.front_mut());
        let Some(chunk) = chunk.filter(|chunk| chunk.left() > 0) else {
            return if ended { Ok(()) } else { Err(message::Nonsense) };
        };
        // Nothing runs in it any more if this one ended the worker.
        chunk.is_begun &= news != News::Panicked;
        let leaves = news == News::Panicked;
        let (first, batch) = (chunk.pass(1), Arc::clone(&chunk.kind.batch));
        let task = chunk.kind.entry.name();
        let error = match news {
            News::UnfitArguments => TaskError::Codec { task, what: "the arguments", reason: text },
            News::UnfitOutput => TaskError::Codec { task, what: "the output", reason: text },
            _ => TaskError::Panicked { task, message: text },
        };
        self.arrive(&batch, Arrival::failed(first, 1, error), false, effects);
        if let Some(worker) = self.crew.find(post) {
            worker.may_leave |= leaves;
        }
        Ok(())
    }

    /// A worker said that it can take tasks.
    fn is_ready(&mut self, post: Post) {
        if let Some(worker) = self.crew.find(post) {
            worker.is_ready = true;
            self.false_starts = 0;
        }
    }

    /// Settles what a dead worker had, all of whose words were heard: what it ran has no outcome, and gets an error; what it did
    /// not begin goes to others.
    pub(super) fn settle(&mut self, mut worker: Worker, exit: Exit, effects: &mut Effects) {
        let pid = worker.body.pid();
        let mut is_unexpected = !worker.may_leave;
        if let Some(chunk) = worker.chunks.front_mut()
            && chunk.is_begun
            && chunk.left() > 0
        {
            is_unexpected = true;
            let task = chunk.kind.entry.name();
            // Where a panic ends the process, it has left a word before.
            let error = match worker.body.last_word() {
                Some(message) => TaskError::Panicked { task, message },
                None => TaskError::Died { task, pid, exit },
            };
            let (first, batch) = (chunk.pass(1), Arc::clone(&chunk.kind.batch));
            self.arrive(&batch, Arrival::failed(first, 1, error), false, effects);
        }
        for chunk in worker.chunks.into_iter().rev().filter(|chunk| chunk.left() > 0) {
            self.waiting.push_front(chunk.rest());
        }
        if !worker.is_ready {
            self.false_starts += 1;
        }
        self.progress.replaced += 1;
        effects.freed = true;
        if is_unexpected && self.on_death == OnDeath::BreakAll {
            self.end_all(TaskError::Broken { pid, exit }, effects);
        }
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

    /// Whether a worker may have said something without calling: in the middle of a chunk.
    pub(super) fn may_whisper(&mut self) -> bool {
        self.crew.working().flat_map(|worker| &worker.chunks).any(|chunk| chunk.len() > 1)
    }

    /// Whether nothing can happen unless somebody submits something, or a worker ends.
    pub(super) fn rests(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.pending() == 0 && self.crew.is_complete()
    }
}
