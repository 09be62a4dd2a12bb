//! Where the outcomes of tasks arrive, and who waits for them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::process::error::TaskError;

/// What came of a task: the bytes of its output, or why there are none.
pub(super) type Outcome = Result<Vec<u8>, TaskError>;

/// Called with the outcome of the only task of a batch.
pub(super) type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// The outcomes of some tasks, in the order in which they arrive.
#[derive(Default)]
pub(super) struct Batch {
    state: Mutex<Arrivals>,
    arrived: Condvar,
}

#[derive(Default)]
struct Arrivals {
    /// Index of the task, and its outcome.
    outcomes: Vec<(u64, Outcome)>,
    /// So many must be there before sleepers are woken.
    wanted: usize,
    wakers: Vec<Waker>,
    callback: Option<Callback>,
}

impl Batch {
    pub(super) fn with_callback(callback: Callback) -> Self {
        let batch = Batch::default();
        batch.lock().callback = Some(callback);
        batch
    }

    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an outcome. Returns a callback and its argument, which the caller passes on.
    pub(super) fn arrive(&self, index: u64, outcome: Outcome) -> Option<(Callback, Outcome)> {
        let mut state = self.lock();
        let call = state.callback.take().map(|callback| (callback, outcome.clone()));
        state.outcomes.push((index, outcome));
        let wakers = std::mem::take(&mut state.wakers);
        let enough = state.outcomes.len() >= state.wanted;
        drop(state);
        if enough {
            self.arrived.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
        call
    }

    /// Waits until `wanted` outcomes are there (or the deadline has come), and takes what is there.
    pub(super) fn take(&self, wanted: usize, deadline: Option<Instant>) -> Vec<(u64, Outcome)> {
        let mut state = self.wait(wanted, deadline);
        std::mem::take(&mut state.outcomes)
    }

    /// Waits until the only outcome is there, and returns it.
    pub(super) fn only(&self, deadline: Option<Instant>) -> Option<Outcome> {
        self.wait(1, deadline).outcomes.first().map(|(_, outcome)| outcome.clone())
    }

    /// Whether an outcome is there.
    pub(super) fn has_any(&self) -> bool {
        !self.lock().outcomes.is_empty()
    }

    /// The only outcome, if it is there; else `waker` is woken when it is.
    pub(super) fn poll(&self, waker: &Waker) -> Option<Outcome> {
        let mut state = self.lock();
        let found = state.outcomes.first().map(|(_, outcome)| outcome.clone());
        if found.is_none() && !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        found
    }

    fn wait(&self, wanted: usize, deadline: Option<Instant>) -> MutexGuard<'_, Arrivals> {
        let mut state = self.lock();
        while state.outcomes.len() < wanted {
            // Several threads may wait for different numbers: who is woken too early waits again.
            state.wanted = if state.wanted == 0 { wanted } else { state.wanted.min(wanted) };
            state = match deadline {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let rest = deadline.saturating_duration_since(Instant::now());
                    if rest == Duration::ZERO {
                        break;
                    }
                    self.arrived.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.wanted = 0;
        state
    }
}
