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

    /// Appends what `decode` makes of each; stops at an error, which is the outcome of the task of that index.
    #[inline]
    pub(super) fn decode_onto<R>(
        &self,
        outputs: &mut Vec<R>,
        decode: impl Fn(&[u8]) -> Result<R, TaskError>,
    ) -> Result<(), (u64, TaskError)> {
        let messages: &[u8] = self.what.as_ref().map_err(|error| (self.first, error.clone()))?;
        let mut at = self.at;
        outputs.reserve(self.count as usize);
        for index in self.first..self.first + self.count {
            let Ok(Some(message)) = message::at(messages, at) else { break };
            outputs.push(decode(message.payload).map_err(|error| (index, error))?);
            at = message.end;
        }
        Ok(())
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

    /// Waits until enough outcomes are there (or the deadline has come), and takes what is there.
    pub(super) fn take(
        &self,
        engine: &Arc<Engine>,
        wanted: Wanted,
        deadline: Option<Instant>,
    ) -> Vec<Arrival> {
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
        let state = self.wait(engine, Wanted::all(self.total), deadline);
        (state.count >= self.total).then(|| state.list.clone())
    }

    /// Whether there are no tasks.
    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
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
        wanted: Wanted,
        deadline: Option<Instant>,
    ) -> MutexGuard<'_, Arrivals> {
        let mut state = self.lock();
        if state.count >= wanted.awake {
            return state;
        }
        drop(state);
        if let Some(lead) = engine.and_then(|engine| engine.lead()) {
            loop {
                state = self.lock();
                let rest = rest_of(deadline);
                if state.count >= wanted.awake || rest == Some(Duration::ZERO) {
                    return state;
                }
                drop(state);
                lead.turn(rest);
            }
        }
        let listener = engine.map(Listener::new);
        let state = self.sleep(wanted.asleep, deadline);
        drop(listener);
        state
    }

    /// Waits for outcomes until somebody else has heard them.
    fn sleep(&self, wanted: u64, deadline: Option<Instant>) -> MutexGuard<'_, Arrivals> {
        let mut state = self.lock();
        while state.count < wanted {
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

/// How many outcomes a thread waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// If it hears the workers itself.
    awake: u64,
    /// If somebody else has to wake it.
    asleep: u64,
}

impl Wanted {
    pub(super) fn all(count: u64) -> Self {
        Wanted { awake: count, asleep: count }
    }

    /// Any, but not to be woken for less than `asleep`.
    pub(super) fn any_or(asleep: u64) -> Self {
        Wanted { awake: 1, asleep }
    }
}

/// A thread that sleeps while somebody else hears the workers: they must be heard.
struct Listener<'a>(&'a Arc<Engine>);

impl<'a> Listener<'a> {
    fn new(engine: &'a Arc<Engine>) -> Self {
        engine.note_listener(true);
        Listener(engine)
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.0.note_listener(false);
    }
}

fn rest_of(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}
