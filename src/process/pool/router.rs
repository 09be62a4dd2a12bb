//! The thread that hears what workers report, and looks after them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::{Effects, Engine, State};
use super::message::{self, News, Report, Sender};
use super::table;
use crate::process::error::{Exit, TaskError};
use crate::queue::GetError;

/// How long the router sleeps at most: it is woken for everything, but not by wake-ups that die on the way.
const SLICE: Duration = Duration::from_millis(200);
/// Reports that are handled under one lock.
const AT_ONCE: usize = 256;

/// A router at work.
pub(super) struct Router {
    pub(super) engine: Arc<Engine>,
}

impl Router {
    /// Runs until the pool is over and all workers have ended.
    pub(super) fn run(&self) {
        let mut part = Vec::new();
        loop {
            part.clear();
            let mut news = self.engine.reports.get_into_timeout(&mut part, SLICE);
            let mut state = self.engine.lock();
            let mut effects = Effects::default();
            let mut handled = 0;
            while news.is_ok() {
                hear(&self.engine, &mut state, &part, &mut effects);
                handled += 1;
                if handled == AT_ONCE {
                    break;
                }
                part.clear();
                news = self.engine.reports.try_get_into(&mut part);
            }
            if let Err(GetError::Failed(error)) = &news {
                let reason = error.to_string();
                let error = TaskError::System { action: "read the reports of workers", reason };
                self.engine.give_up(&mut state, error, &mut effects);
            }
            // Acquire: what made somebody ask for it is seen. Asked without a word, too, when nothing else happens.
            if self.engine.look.swap(false, Ordering::Acquire) || news.is_err() {
                self.look_after_workers(&mut state, &mut effects);
            }
            self.engine.pump(&mut state, &mut effects);
            let is_over = state.crew.is_empty() && !state.needs_workers();
            self.engine.finish(state, effects);
            if is_over {
                return;
            }
        }
    }

    /// Settles what the dead had, and has them replaced.
    fn look_after_workers(&self, state: &mut State, effects: &mut Effects) {
        let ended = state.crew.ended();
        if ended.is_empty() {
            return;
        }
        // All that the dead have reported is heard before they are settled: it is among what fills the queue once.
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < self.engine.reports.capacity() {
            part.clear();
            match self.engine.reports.try_get_into(&mut part) {
                Ok(len) => bytes += len.max(1),
                Err(_) => break,
            }
            hear(&self.engine, state, &part, effects);
        }
        for sender in ended {
            self.settle(sender, state, effects);
        }
    }

    fn settle(&self, sender: Sender, state: &mut State, effects: &mut Effects) {
        let Some(worker) = state.crew.take(sender) else { return };
        let exit = worker.process.exit_status().unwrap_or(Exit::Unknown);
        let place = table::place(sender.worker);
        let running = self.engine.running.swap(place, table::IDLE).unwrap_or(table::IDLE);
        state.settle(worker, exit, running, effects);
        effects.worker_ended();
        if state.starts_in_vain() {
            let reason = format!("one worker after the other ended before it was ready; the last one {exit}");
            self.engine.give_up(state, TaskError::InitialiserFailed { reason }, effects);
        }
        if state.needs_workers() {
            effects.starts.push(state.crew.reserve(sender.worker));
        }
    }
}

/// Handles a part of a report.
pub(super) fn hear(engine: &Engine, state: &mut State, part: &[u8], effects: &mut Effects) {
    let mut rest = part;
    let Some(sender) = Sender::read(&mut rest) else { return };
    // It may report before its starter has put it into its place.
    let Some(worker) = state.crew.find(sender) else { return state.crew.keep(sender, part) };
    if !message::join(rest, &mut worker.heard) {
        return;
    }
    let whole = std::mem::take(&mut worker.heard);
    let Some(report) = Report::read(&whole) else { return };
    match report.news {
        News::Room | News::Look => {}
        News::Ready => match engine.recipe.check(report.payload) {
            Ok(()) => state.is_ready(sender),
            Err(reason) => engine.give_up(state, TaskError::InitialiserFailed { reason }, effects),
        },
        News::NotReady => {
            let reason = String::from_utf8_lossy(report.payload).into_owned();
            engine.give_up(state, TaskError::InitialiserFailed { reason }, effects);
        }
        News::Returned | News::Panicked | News::UnfitOutput | News::UnfitArguments => {
            state.arrived(sender, &report, effects);
        }
    }
    // The room is used again.
    if let Some(worker) = state.crew.find(sender) {
        worker.heard = whole;
        worker.heard.clear();
    }
}
