//! The machine of a pool: its state under a lock, and whoever hears the workers.
//!
//! Workers say something in streams of their own and then set one event, the bell. Whoever leads waits for the bell, hears all streams,
//! and gives out what there is to do. That is the thread that waits for an outcome, so that no third one stands between it and the
//! worker; while nobody waits it is the router, a thread of the pool.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::batch::{Arrival, Batch};
use super::callbacks::Callbacks;
use super::crew::Post;
use super::router::{Duty, Router, Watch};
use super::run::{Kind, Run};
use super::start::{self, Recipe};
use super::state::{Effects, Phase, State};
use crate::process::error::{Exit, TaskError};
use crate::sync::Event;

/// How long the leader sleeps at most: it is woken for everything, but not by wake-ups that die on the way.
const SLICE: Duration = Duration::from_millis(200);
/// How long, doubling, while a worker is in the middle of a chunk: it does not ring for each task.
const WHISPER_SLICE: Duration = Duration::from_millis(1);

thread_local! {
    /// The engine whose workers the thread hears just now.
    static HEARD: Cell<*const Engine> = const { Cell::new(std::ptr::null()) };
}

/// Puts back what the thread heard before.
struct HeardBefore(*const Engine);

impl Drop for HeardBefore {
    fn drop(&mut self) {
        HEARD.set(self.0);
    }
}

pub(super) struct Engine {
    pub(super) owner: u32,
    pub(super) window: u64,
    pub(super) bell: Event,
    pub(super) recipe: Recipe,
    pub(super) callbacks: Callbacks,
    state: Mutex<State>,
    /// Notified when tasks are done and when a worker ends.
    changed: Condvar,
    router: Router,
    /// Whether somebody wants the workers to be looked after.
    look: AtomicBool,
}

/// Who hears the workers about tasks that were submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Who submitted them, right away.
    Waits,
    /// Who submitted them, and comes back soon: to submit more, or to wait.
    Returns,
    /// Somebody else.
    Leaves,
}

impl Engine {
    pub(super) fn new(bell: Event, recipe: Recipe, window: u64, state: State) -> Self {
        Engine {
            owner: std::process::id(),
            window,
            bell,
            recipe,
            callbacks: Callbacks::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            router: Router::default(),
            look: AtomicBool::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a forked child, which has neither threads nor workers.
    pub(super) fn check_mine(&self) -> Result<(), TaskError> {
        if self.owner == std::process::id() { Ok(()) } else { Err(TaskError::NotAChild { pid: self.owner }) }
    }

    /// Takes tasks in.
    pub(super) fn submit(self: &Arc<Self>, run: Run, next: Next) -> Result<(), TaskError> {
        self.check_mine()?;
        self.submit_into(self.lock(), run, next)
    }

    /// How many tasks of a kind are worth being submitted together, as far as that is known.
    pub(super) fn worth(&self, kind: &Kind) -> Result<Option<u64>, TaskError> {
        self.check_mine()?;
        Ok(self.lock().worth(kind))
    }

    /// Takes tasks in once there is room in the window.
    pub(super) fn submit_in_turn(self: &Arc<Self>, run: Run, next: Next) -> Result<(), TaskError> {
        self.check_mine()?;
        let is_full = |state: &State| matches!(state.phase, Phase::Open) && state.pending() >= self.window;
        let mut state = self.lock();
        if is_full(&state) && !state.roles.is_led {
            drop(state);
            if let Some(lead) = self.lead() {
                while is_full(&self.lock()) {
                    lead.turn(None);
                }
            }
            state = self.lock();
        }
        while is_full(&state) {
            state = self.sleep(state);
        }
        self.submit_into(state, run, next)
    }

    /// Takes in all tasks of a batch once there is room in the window for one; `failed` are outcomes that it has already.
    pub(super) fn submit_batch(
        self: &Arc<Self>,
        batch: &Arc<Batch>,
        runs: Vec<Run>,
        failed: Vec<Arrival>,
    ) -> Result<(), TaskError> {
        let mut runs = runs.into_iter();
        let Some(first) = runs.next() else { return Ok(()) };
        self.submit_in_turn(first, Next::Leaves)?;
        for run in runs {
            self.submit(run, Next::Leaves)?;
        }
        if batch.is_empty() {
            // Nobody else says that all are done.
            self.tell(batch, Arrival::returned(0, 0, Vec::new()));
        }
        for arrival in failed {
            self.tell(batch, arrival);
        }
        Ok(())
    }

    /// Notes an outcome.
    fn tell(&self, batch: &Batch, arrival: Arrival) {
        for (callback, outcomes) in batch.arrive(arrival) {
            self.callbacks.call(callback, outcomes);
        }
    }

    fn submit_into(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        run: Run,
        next: Next,
    ) -> Result<(), TaskError> {
        match &state.phase {
            Phase::Open => {}
            Phase::Closing => return Err(TaskError::Closed),
            Phase::Ending(error) => return Err(error.clone()),
        }
        state.roles.is_left &= !state.rests();
        state.submit(run);
        let mut effects = Effects::default();
        if next == Next::Returns && !state.roles.is_led {
            // Nobody else does until then.
            self.hear(&mut state, &mut effects);
        }
        state.pump(&mut effects);
        state.roles.visits += 1;
        state.roles.is_left |= next == Next::Leaves;
        if next != Next::Waits {
            self.call_router(&state);
        }
        self.finish(state, effects);
        Ok(())
    }

    /// Takes back tasks that no worker has begun: a batch's, or all; tells how many.
    pub(super) fn cancel(self: &Arc<Self>, batch: Option<&Arc<Batch>>) -> u64 {
        if self.check_mine().is_err() {
            return 0;
        }
        let mut state = self.lock();
        let mut effects = Effects::default();
        let count = state.cancel(batch, &mut effects);
        self.finish_beside(state, effects);
        count
    }

    /// Changes what the pool shall do.
    pub(super) fn enter(self: &Arc<Self>, phase: Phase) {
        if self.check_mine().is_err() {
            return;
        }
        let mut state = self.lock();
        let mut effects = Effects::default();
        match (&state.phase, phase) {
            (Phase::Open, Phase::Closing) => state.phase = Phase::Closing,
            (_, Phase::Ending(error)) => state.end_all(error, &mut effects),
            _ => {}
        }
        state.pump(&mut effects);
        self.finish_beside(state, effects);
        self.look_around();
    }

    /// Does what was put off, without the lock.
    pub(super) fn finish(self: &Arc<Self>, state: MutexGuard<'_, State>, effects: Effects) {
        let wakes = state.roles.sleepers > 0 && (effects.freed || !effects.outcomes.is_empty());
        drop(state);
        if wakes {
            self.changed.notify_all();
        }
        for (batch, arrival) in effects.outcomes {
            self.tell(&batch, arrival);
        }
        for post in effects.starts {
            start::later(self, post);
        }
    }

    /// As [`finish`](Self::finish), for whoever does not lead: the leader shall see it, too.
    pub(super) fn finish_beside(self: &Arc<Self>, mut state: MutexGuard<'_, State>, effects: Effects) {
        state.roles.is_left = true;
        self.call_router(&state);
        self.finish(state, effects);
        // Nobody can be told of a failure here; the leader looks again after a slice.
        let _ = self.bell.set();
    }

    /// Whether whoever calls this was called, as a waker, by the thread that hears the workers.
    pub(super) fn is_heard_by_caller(&self) -> bool {
        std::ptr::eq(HEARD.get(), self)
    }

    /// Waits until all workers have ended.
    pub(super) fn wait_for_workers(&self) {
        let mut state = self.lock();
        while !state.crew.is_empty() {
            state = self.sleep(state);
        }
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.roles.sleepers += 1;
        self.call_router(&state);
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.roles.sleepers -= 1;
        state
    }

    /// Has the workers looked after. Takes no lock that anybody holds for long.
    pub(super) fn look_around(&self) {
        // SeqCst: as in `Router::call`. The Release in it pairs with the leader's swap: it then finds what made somebody call this.
        self.look.store(true, Ordering::SeqCst);
        // As in `finish_beside`.
        let _ = self.bell.set();
        self.router.call(true);
    }

    /// Wakes the router if there is something to hear and nobody else does.
    fn call_router(&self, state: &State) {
        if !self.may_rest(state) {
            self.router.call(state.roles.is_urgent());
        }
    }

    fn may_rest(&self, state: &State) -> bool {
        // SeqCst: pairs with `look_around`.
        state.roles.is_led || (state.rests() && !self.look.load(Ordering::SeqCst))
    }

    /// What the router shall do; it has seen so many visits.
    fn duty(&self, watch: &mut Watch) -> Duty {
        let mut state = self.lock();
        let was_here = std::mem::replace(&mut watch.visits, state.roles.visits) != state.roles.visits;
        if self.may_rest(&state) {
            state.roles.is_left &= !state.rests();
            return if was_here { Duty::Wait } else { Duty::Rest };
        }
        let waits = was_here && !state.roles.is_urgent() && !self.look.load(Ordering::SeqCst);
        if waits { Duty::Wait } else { Duty::Hear }
    }

    /// Becomes the leader, unless there is one.
    pub(super) fn lead(self: &Arc<Self>) -> Option<Lead<'_>> {
        let mut state = self.lock();
        let is_free = !state.roles.is_led;
        state.roles.is_led = true;
        is_free.then(|| Lead { engine: self, slice: Cell::new(WHISPER_SLICE) })
    }

    /// The router's life: until the pool is over and all workers have ended.
    pub(super) fn route(self: &Arc<Self>) {
        let (slice, mut watch) = (Cell::new(WHISPER_SLICE), Watch::default());
        loop {
            self.router.rest_unless(&mut watch, |watch| self.duty(watch));
            if self.turn(&slice, None) {
                return;
            }
        }
    }

    /// Notes a thread that sleeps until outcomes have arrived while somebody else hears the workers, or that it does not any more.
    pub(super) fn note_listener(&self, comes: bool) {
        let mut state = self.lock();
        let count = &mut state.roles.listeners;
        *count = if comes { *count + 1 } else { *count - 1 };
        if comes {
            self.call_router(&state);
        }
    }

    /// Takes in what workers have said.
    fn hear(&self, state: &mut State, effects: &mut Effects) -> bool {
        state.hear(&|output| self.recipe.check(output), effects)
    }

    /// Waits for the bell, at most `most`, and does what there is to do; tells whether the pool is over.
    fn turn(self: &Arc<Self>, slice: &Cell<Duration>, most: Option<Duration>) -> bool {
        let wait = most.map_or(slice.get(), |most| most.min(slice.get()));
        let rung = self.bell.wait_timeout(wait).and_then(|rung| self.bell.clear().map(|()| rung));
        let mut state = self.lock();
        let mut effects = Effects::default();
        if let Err(error) = &rung {
            let error = TaskError::System { action: "wait for workers", reason: error.to_string() };
            state.end_all(error, &mut effects);
        }
        let any = self.hear(&mut state, &mut effects);
        // Acquire: what made somebody ask for it is seen. Asked without a word, too, when nothing else happens.
        if self.look.swap(false, Ordering::Acquire) || !matches!(rung, Ok(true)) {
            self.look_after_workers(&mut state, &mut effects);
        }
        state.pump(&mut effects);
        slice.set(match (any, state.may_whisper()) {
            (_, false) => SLICE,
            (true, true) => WHISPER_SLICE,
            (false, true) => (2 * slice.get()).min(SLICE),
        });
        let is_over = state.crew.is_empty() && !state.needs_workers();
        let _before = HeardBefore(HEARD.replace(Arc::as_ptr(self)));
        self.finish(state, effects);
        is_over
    }

    /// Settles what the dead had, and has them replaced.
    fn look_after_workers(&self, state: &mut State, effects: &mut Effects) {
        for post in state.crew.ended() {
            // Their streams end: all of it is heard.
            while state.hear_one(post, &|output| self.recipe.check(output), effects) {}
            self.settle(post, state, effects);
        }
    }

    fn settle(&self, post: Post, state: &mut State, effects: &mut Effects) {
        let Some(worker) = state.crew.take(post) else { return };
        let exit = worker.body.exit().unwrap_or(Exit::Unknown);
        let (was_ready, last_word) = (worker.is_ready, worker.body.last_word());
        state.settle(worker, exit, effects);
        if let (false, Some(reason)) = (was_ready, last_word) {
            // Where a panic ends the process, this is what the initialiser had to say.
            state.end_all(TaskError::InitialiserFailed { reason }, effects);
        } else if state.starts_in_vain() {
            let reason = format!("one worker after the other ended before it was ready; the last one {exit}");
            state.end_all(TaskError::InitialiserFailed { reason }, effects);
        }
        if state.needs_workers() {
            effects.starts.push(state.crew.reserve(post.place));
        }
    }
}

/// The right to hear the workers; dropping it hands that to the router if there is something to hear.
pub(super) struct Lead<'a> {
    engine: &'a Arc<Engine>,
    slice: Cell<Duration>,
}

impl Lead<'_> {
    /// Waits for something to happen, at most `most`, and does what there is to do.
    pub(super) fn turn(&self, most: Option<Duration>) {
        self.engine.turn(&self.slice, most);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut state = self.engine.lock();
        state.roles.is_led = false;
        state.roles.visits += 1;
        self.engine.call_router(&state);
    }
}
