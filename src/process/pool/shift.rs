//! A worker at a chunk of tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::message::{News, Tasks};
use super::voice::{Said, Voice};
use crate::error::Result;
use crate::process::child::message_of;
use crate::process::registry::TASKS;
use crate::process::task::Task;

/// In the middle of a chunk the bell is rung so often, if tasks are not much shorter.
const RING: Duration = Duration::from_micros(200);

/// The tasks of a chunk, and the worker's voice.
///
/// It says that it begins; then each task's outcome as soon as it is done. Whoever finds this process dead knows which task
/// ran: the first of a chunk that was begun without an outcome.
pub(in crate::process) struct Shift<'a> {
    tasks: Tasks<'a>,
    voice: &'a mut Voice,
    clock: &'a mut Clock,
}

/// Runs all tasks of a chunk that are tasks `T`.
pub(in crate::process) fn run_all<T: Task>(shift: &mut Shift<'_>) -> Said {
    // A copy of its own, so that where the next one is stays in a register.
    let mut tasks = shift.tasks;
    while let Some(args) = tasks.next() {
        match postcard::from_bytes::<T::Args>(args) {
            Ok(args) => shift.voice.say_returned(T::call(args))?,
            Err(error) => shift.unfit(&error.to_string()).map_err(Box::new)?,
        }
        if shift.clock.tick(RING) {
            shift.voice.ring().map_err(Box::new)?;
        }
    }
    Ok(())
}

impl<'a> Shift<'a> {
    pub(super) fn new(tasks: Tasks<'a>, voice: &'a mut Voice, clock: &'a mut Clock) -> Self {
        Shift { tasks, voice, clock }
    }

    /// Runs all tasks; says whether the worker goes on.
    pub(super) fn work(mut self) -> Result<bool> {
        self.voice.say_number(News::Began, self.tasks.number)?;
        let began = Instant::now();
        self.clock.begin(began);
        match TASKS.get(self.tasks.task as usize) {
            Some(entry) => {
                match catch_unwind(AssertUnwindSafe(|| (entry.run_all)(&mut self))) {
                    Ok(said) => said.map_err(|error| *error)?,
                    Err(panic) => {
                        // Tasks that are done have been said: this is about the one behind them.
                        self.say_text(News::Panicked, &message_of(panic))?;
                        // What else it left half-done in this process is nobody's problem after this.
                        return Ok(false);
                    }
                }
            }
            None => {
                while self.tasks.next().is_some() {
                    self.unfit("there is no such task")?;
                }
            }
        }
        self.voice.say_number(News::Done, began.elapsed().as_nanos() as u64)?;
        Ok(true)
    }

    #[cold]
    fn unfit(&mut self, text: &str) -> Result<()> {
        self.say_text(News::UnfitArguments, text)
    }

    fn say_text(&mut self, news: News, text: &str) -> Result<()> {
        self.voice.say(|to| {
            to.extend_from_slice(text.as_bytes());
            news
        })?;
        Ok(())
    }
}
