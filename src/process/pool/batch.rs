//! Where the outcomes of tasks arrive, and who waits for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::message;
use crate::process::error::TaskError;

/// The outcomes of tasks of consecutive indices: messages that are outputs, or the error of all of them.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    first: u64,
    count: u64,
    what: Result<Arc<Vec<u8>>, TaskError>,
    /// Where the message of the next one begins.
    at: usize,
}

impl Arrival {
    /// `count` messages, each an output.
    pub(super) fn returned(first: u64, count: u64, messages: Vec<u8>) -> Self {
        Arrival { first, count, what: Ok(Arc::new(messages)), at: 0 }
    }

    pub(super) fn failed(first: u64, count: u64, error: TaskError) -> Self {
        Arrival { first, count, what: Err(error), at: 0 }
    }

    /// The index of the next one.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<Result<&[u8], TaskError>> {
        self.count = self.count.checked_sub(1)?;
        self.first += 1;
        let messages = match &self.what {
            Ok(messages) => messages,
            Err(error) => return Some(Err(error.clone())),
        };
        let message = message::at(messages, self.at).ok()??;
        self.at = message.end;
        Some(Ok(message.payload))
    }
}

/// Called with all outcomes of a batch.
pub(super) type Callback = Box<dyn FnOnce(Vec<Arrival>) + Send>;

/// The outcomes of some tasks, in the order in which they arrive.
pub(super) struct Batch {
    /// So many are all.
    total: u64,
    state: Mutex<Arrivals>,
    arrived: Condvar,
}

#[derive(Default)]
struct Arrivals {
    list: Vec<Arrival>,
    /// Outcomes in the list.
    count: u64,
    /// So many must be there before sleepers are woken.
    wanted: u64,
    sleepers: u32,
    wakers: Vec<Waker>,
    callbacks: Vec<Callback>,
}

impl Batch {
    /// A batch of `total` tasks.
    pub(super) fn new(total: u64, callback: Option<Callback>) -> Self {
        let callbacks = Vec::from_iter(callback);
        let state = Mutex::new(Arrivals { callbacks, ..Arrivals::default() });
        Batch { total, state, arrived: Condvar::new() }
    }

    /// A batch of any number of tasks, whose outcomes are taken as they come.
    pub(super) fn endless() -> Self {
        Self::new(u64::MAX, None)
    }

    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a callback, unless all outcomes are there: then it and they are returned.
    pub(super) fn on_complete(&self, callback: Callback) -> Option<(Callback, Vec<Arrival>)> {
        let mut state = self.lock();
        if state.count >= self.total {
            return Some((callback, state.list.clone()));
        }
        state.callbacks.push(callback);
        None
    }

    /// Notes outcomes. Returns callbacks and their argument, which the caller passes on.
    pub(super) fn arrive(&self, arrival: Arrival) -> Vec<(Callback, Vec<Arrival>)> {
        let mut state = self.lock();
        state.count += arrival.count;
        state.list.push(arrival);
        let (mut calls, mut wakers) = (Vec::new(), Vec::new());
        if state.count >= self.total {
            let callbacks = std::mem::take(&mut state.callbacks);
            calls.extend(callbacks.into_iter().map(|callback| (callback, state.list.clone())));
            wakers = std::mem::take(&mut state.wakers);
        }
        let wakes = state.sleepers > 0 && state.count >= state.wanted;
        drop(state);
        if wakes {
            self.arrived.notify_all();
        }
        for waker in wakers {
            // One that panics ends nothing: its message has been printed.
            drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
        calls
    }

    /// Waits until `wanted` outcomes are there (or the deadline has come), and takes what is there.
    pub(super) fn take(&self, engine: &Arc<Engine>, wanted: u64, deadline: Option<Instant>) -> Vec<Arrival> {
        let mut state = self.wait(Some(engine), wanted, deadline);
        state.count = 0;
        std::mem::take(&mut state.list)
    }

    /// Waits until all outcomes are there, and returns them.
    pub(super) fn all(
        &self,
        engine: Option<&Arc<Engine>>,
        deadline: Option<Instant>,
    ) -> Option<Vec<Arrival>> {
        let state = self.wait(engine, self.total, deadline);
        (state.count >= self.total).then(|| state.list.clone())
    }

    /// Whether all outcomes are there.
    pub(super) fn is_complete(&self) -> bool {
        self.lock().count >= self.total
    }

    /// All outcomes, if they are there; else `waker` is woken when they are.
    pub(super) fn poll(&self, waker: &Waker) -> Option<Vec<Arrival>> {
        let mut state = self.lock();
        if state.count >= self.total {
            return Some(state.list.clone());
        }
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        None
    }

    /// Waits for outcomes: by hearing the workers, unless somebody else does.
    fn wait(
        &self,
        engine: Option<&Arc<Engine>>,
        wanted: u64,
        deadline: Option<Instant>,
    ) -> MutexGuard<'_, Arrivals> {
        let mut state = self.lock();
        let is_enough = |state: &Arrivals| state.count >= wanted;
        if is_enough(&state) {
            return state;
        }
        drop(state);
        if let Some(lead) = engine.and_then(|engine| engine.lead()) {
            loop {
                state = self.lock();
                let rest = rest_of(deadline);
                if is_enough(&state) || rest == Some(Duration::ZERO) {
                    return state;
                }
                drop(state);
                lead.turn(rest);
            }
        }
        state = self.lock();
        while !is_enough(&state) {
            let rest = rest_of(deadline);
            if rest == Some(Duration::ZERO) {
                break;
            }
            // Several threads may wait for different numbers: who is woken too early waits again.
            state.wanted = if state.sleepers == 0 { wanted } else { state.wanted.min(wanted) };
            state.sleepers += 1;
            state = match rest {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(rest) => {
                    self.arrived.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.sleepers -= 1;
        }
        state
    }
}

fn rest_of(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}
