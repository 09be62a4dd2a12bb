//! How an end waits for the other one.
//!
//! Telling a sleeper is a store of the position, then a look at the event count. To make that exact (pair ANNOUNCE) the store would
//! need a full fence behind it, which costs as much as the whole operation. So the sleeper pays: after it has announced itself it
//! keeps looking for longer than a store needs to become visible, and sleeps in slices after that. A store that took longer
//! still costs one slice.

use super::super::ring::Line;
use super::super::wait::Retry;
use super::consumer::Consumer;
use super::ring::{Role, SpscRing};
use crate::atomic::pause;
use crate::error::Result;
use crate::participant::{Attached, sealed};
use crate::shm::Plain;
use crate::sync::{Announced, Attempt, Begun, Look, Patience, Source, Ticket, Waitable};
use crate::time::Deadline;

/// Looks after an announcement, ten nanoseconds each: many times what a store buffer holds back.
pub(super) const LAST_LOOKS: u32 = 64;

/// Pauses between finding nothing and looking again.
const AWAY_MIN: u32 = 4;
const AWAY_MAX: u32 = 64;

/// How long an end looks away when it finds nothing, before it waits.
///
/// Two ends that meet at every item pass two cache lines to and fro for each. If the first look after looking away finds something,
/// looking away for longer will find more at once; if not, the other end is slow, and what it does shall be seen soon.
#[derive(Debug)]
pub(super) struct Away(u32);

impl Away {
    pub(super) fn new() -> Self {
        Away(AWAY_MIN)
    }

    /// Looks away, then looks.
    fn look<R, E: Retry>(&mut self, attempt: &mut impl FnMut() -> Result<R, E>) -> Result<R, E> {
        for _ in 0..self.0 {
            pause();
        }
        let outcome = attempt();
        let next = if outcome.is_ok() { self.0 * 2 } else { self.0 / 2 };
        self.0 = next.clamp(AWAY_MIN, AWAY_MAX);
        outcome
    }
}

/// Tries until it works, cannot work any more, or the deadline passes.
#[inline]
pub(super) fn until<R, E: Retry>(
    ring: &SpscRing,
    role: Role,
    away: &mut Away,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<R, E>,
) -> Result<R, E> {
    match attempt() {
        Err(why) if why.worth_waiting() && deadline != Deadline::Now => {
            until_slow(ring.attached(), ring.line(role), away, deadline, attempt)
        }
        other => other,
    }
}

#[cold]
fn until_slow<R, E: Retry>(
    attached: &Attached,
    line: &Line,
    away: &mut Away,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<R, E>,
) -> Result<R, E> {
    match away.look(&mut attempt) {
        Err(why) if why.worth_waiting() => {}
        other => return other,
    }
    let member = &attached.member;
    let mut patience = Patience::new(member.host(), &line.watch, member.me(), deadline);
    loop {
        if patience.spin() {
            match attempt() {
                Err(why) if why.worth_waiting() => continue,
                other => return other,
            }
        }
        let ticket = line.events.prepare();
        match last_looks(&mut attempt) {
            Err(why) if why.worth_waiting() => {
                if line.events.wait(&mut patience, ticket) && patience.is_over() {
                    return Err(why);
                }
            }
            other => return other,
        }
    }
}

/// Tries for longer than a store needs to become visible.
fn last_looks<R, E: Retry>(mut attempt: impl FnMut() -> Result<R, E>) -> Result<R, E> {
    let looks = if cfg!(loom) { 1 } else { LAST_LOOKS };
    for _ in 1..looks {
        match attempt() {
            Err(why) if why.worth_waiting() => pause(),
            other => return other,
        }
    }
    attempt()
}

impl<T: Plain> sealed::Sealed for Consumer<T> {}

impl<T: Plain> Waitable for Consumer<T> {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(ItemSource { ring: self.ring(), ticket: None })
    }
}

/// A consumer's end whose next item is waited for.
struct ItemSource<'a> {
    ring: &'a SpscRing,
    ticket: Option<Ticket>,
}

impl<'a> Source<'a> for ItemSource<'a> {
    type Output = ();

    fn attempt(&mut self, _: Look) -> Result<Attempt<()>> {
        let looks = if self.ticket.is_some() { LAST_LOOKS } else { 1 };
        for _ in 0..looks {
            if self.ring.len() > 0 || self.ring.is_closed() {
                return Ok(Attempt::Taken(()));
            }
            pause();
        }
        Ok(Attempt::NotYet)
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let events = &self.ring.line(Role::Consumer).events;
        let ticket = events.prepare();
        self.ticket = Some(ticket);
        Ok(Announced::Sleep(events.expect(ticket)))
    }
}

impl Drop for ItemSource<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let host = self.ring.attached().member.host();
            self.ring.line(Role::Consumer).events.pass_on(host, ticket);
        }
    }
}
