//! How a queue's callers wait: try, try again for a moment, announce a sleeper, try once more, sleep.

use super::error::{GetError, PutError};
use super::pipe::PipeError;
use super::pollable::{Key, ran_dry};
use super::ring::{NotPut, NotTaken, Waiting};
use crate::participant::Host;
use crate::sync::Patience;
use crate::time::Deadline;

/// An outcome of one try that more waiting may change.
pub(super) trait Retry {
    fn worth_waiting(&self) -> bool;
}

impl Retry for NotPut {
    fn worth_waiting(&self) -> bool {
        matches!(self, NotPut::Full)
    }
}

impl Retry for NotTaken {
    fn worth_waiting(&self) -> bool {
        matches!(self, NotTaken::Empty)
    }
}

impl Retry for GetError {
    fn worth_waiting(&self) -> bool {
        matches!(self, GetError::Empty)
    }
}

impl Retry for PipeError {
    fn worth_waiting(&self) -> bool {
        matches!(self, PipeError::WouldBlock)
    }
}

impl<T> Retry for PutError<T> {
    fn worth_waiting(&self) -> bool {
        matches!(self, PutError::Full(_))
    }
}

/// Tries until it works, cannot work any more, or the deadline passes.
#[inline]
pub(super) fn until<R, E: Retry>(
    host: &impl Host,
    me: u32,
    waiting: Waiting<'_>,
    deadline: Deadline,
    attempt: impl FnMut() -> Result<R, E>,
) -> Result<R, E> {
    until_looking(host, me, waiting, deadline, attempt, || {})
}

/// As [`until`]; `look` looks for deaths that no attempt sees: often by who is on watch, rarely by others.
#[inline]
pub(super) fn until_looking<R, E: Retry>(
    host: &impl Host,
    me: u32,
    waiting: Waiting<'_>,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<R, E>,
    look: impl FnMut(),
) -> Result<R, E> {
    match attempt() {
        Err(why) if why.worth_waiting() && deadline != Deadline::Now => {
            until_slow(host, me, waiting, deadline, attempt, look)
        }
        Err(why) if why.worth_waiting() => {
            ran_dry(Key::of(waiting.events), 0);
            Err(why)
        }
        other => other,
    }
}

#[cold]
fn until_slow<R, E: Retry>(
    host: &impl Host,
    me: u32,
    waiting: Waiting<'_>,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<R, E>,
    mut look: impl FnMut(),
) -> Result<R, E> {
    let mut patience = Patience::new(host, waiting.watch, me, deadline);
    loop {
        if patience.spin() {
            match attempt() {
                Err(why) if why.worth_waiting() => continue,
                other => return other,
            }
        }
        let ticket = waiting.prepare();
        match attempt() {
            Err(why) if why.worth_waiting() => {
                // Each try looks for the dead, so a slice that passed needs no look of its own.
                if waiting.events.wait(&mut patience, ticket) {
                    if patience.is_over() {
                        ran_dry(Key::of(waiting.events), 0);
                        return Err(why);
                    }
                    look();
                    continue;
                }
            }
            other => return other,
        }
        // Woken: who finds something now announces nobody, which would cost the next notifier two system calls.
        match attempt() {
            Err(why) if why.worth_waiting() => {}
            other => return other,
        }
    }
}
