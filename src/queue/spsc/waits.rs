//! How an end waits for the other one.
//!
//! Telling a sleeper is a store of the position, then a look at the event count. To make that exact (pair ANNOUNCE) the store would
//! need a full fence behind it, which costs as much as the whole operation. So the sleeper pays: after it has announced itself it
//! keeps looking for longer than a store needs to become visible, and sleeps in slices after that. A store that took longer
//! still costs one slice.

use super::super::pollable::{self, Key, Level, ran_dry};
use super::super::ring::Waiting;
use super::super::wait::Retry;
use super::consumer::Consumer;
use super::producer::Producer;
use super::ring::{Role, SpscRing};
use crate::atomic::pause;
use crate::error::Result;
use crate::participant::{Attached, sealed};
use crate::shm::Plain;
use crate::sync::{Announced, Attempt, Begun, Look, Patience, Source, Ticket, Waitable};
use crate::sys::ReadyFd;
use crate::time::Deadline;

/// Pauses between finding nothing and looking again.
const AWAY_MIN: u32 = 4;
const AWAY_MAX: u32 = 64;
/// Less than what an answer takes from another core.
const AWAY_SHORT: u32 = 16;

/// How long an end looks away when it finds nothing, before it waits.
///
/// Two ends that meet at every item pass two cache lines to and fro for each. If looking away for a while found several items (or
/// free slots), the other end is in the middle of many: looking away for longer finds more at once. If it found one, the other end
/// is slow or answers: one look shall not cost more than an answer then. If it found half of the ring, the other end is about to
/// wait.
#[derive(Debug)]
pub(super) struct Away(u32);

impl Away {
    pub(super) fn new() -> Self {
        Away(AWAY_MIN)
    }

    /// Looks away, then looks.
    fn look<E>(
        &mut self,
        capacity: usize,
        attempt: &mut impl FnMut() -> Result<usize, E>,
    ) -> Result<usize, E> {
        for _ in 0..self.0 {
            pause();
        }
        let outcome = attempt();
        let pays = match outcome {
            Ok(1) => self.0 < AWAY_SHORT,
            Ok(found) => found <= capacity / 2,
            Err(_) => false,
        };
        self.0 = if pays { self.0 * 2 } else { self.0 / 2 }.clamp(AWAY_MIN, AWAY_MAX);
        outcome
    }
}

/// Tries until it works, cannot work any more, or the deadline passes; the caller has just looked and found nothing.
///
/// Who may wait looks away at once: what comes meanwhile would be one item.
pub(super) fn until<E: Retry>(
    ring: &SpscRing,
    role: Role,
    away: &mut Away,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<usize, E>,
) -> Result<usize, E> {
    if deadline == Deadline::Now {
        let outcome = attempt();
        if outcome.as_ref().is_err_and(Retry::worth_waiting) {
            ran_dry(Key::of(&ring.line(role).events), 0);
        }
        return outcome;
    }
    match away.look(ring.capacity(), &mut attempt) {
        Err(why) if why.worth_waiting() => until_slow(ring.attached(), ring.waiting(role), deadline, attempt),
        other => other,
    }
}

#[cold]
fn until_slow<E: Retry>(
    attached: &Attached,
    waiting: Waiting<'_>,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<usize, E>,
) -> Result<usize, E> {
    let member = &attached.member;
    let mut patience = Patience::new(member.host(), waiting.watch, member.me(), deadline);
    loop {
        if patience.spin() {
            match attempt() {
                Err(why) if why.worth_waiting() => continue,
                other => return other,
            }
        }
        let ticket = waiting.prepare();
        match last_looks(waiting.last_looks(), &mut attempt) {
            Err(why) if why.worth_waiting() => {
                if waiting.events.wait(&mut patience, ticket) && patience.is_over() {
                    ran_dry(Key::of(waiting.events), 0);
                    return Err(why);
                }
            }
            other => return other,
        }
    }
}

/// Tries for longer than a store needs to become visible.
fn last_looks<E: Retry>(looks: u32, mut attempt: impl FnMut() -> Result<usize, E>) -> Result<usize, E> {
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
        Begun::for_readiness(EndSource { ring: self.ring(), role: Role::Consumer, ticket: None })
    }
}

impl<T: Plain> sealed::Sealed for Producer<T> {}

/// Ready as soon as a slot is free, or the queue is closed.
impl<T: Plain> Waitable for Producer<T> {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(EndSource { ring: self.ring(), role: Role::Producer, ticket: None })
    }
}

/// An end that waits for the other one among other things.
struct EndSource<'a> {
    ring: &'a SpscRing,
    role: Role,
    ticket: Option<Ticket>,
}

impl<'a> Source<'a> for EndSource<'a> {
    type Output = ();

    fn attempt(&mut self, _: Look) -> Result<Attempt<()>> {
        let looks = if self.ticket.is_some() { self.ring.waiting(self.role).last_looks() } else { 1 };
        for _ in 0..looks {
            if self.ring.is_ready(self.role) {
                return Ok(Attempt::Taken(()));
            }
            pause();
        }
        Ok(Attempt::NotYet)
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let waiting = self.ring.waiting(self.role);
        let ticket = waiting.prepare();
        self.ticket = Some(ticket);
        Ok(Announced::Sleep(waiting.events.expect(ticket)))
    }
}

impl Drop for EndSource<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let host = self.ring.attached().member.host();
            self.ring.line(self.role).events.pass_on(host, ticket);
        }
    }
}

/// What an end waits for, for a descriptor.
struct EndLevel(SpscRing, Role);

impl Level for EndLevel {
    fn is_ready(&self, _: u64, _: bool) -> Result<bool> {
        // As long as a store needs to become visible: this may be the last look before the bridge sleeps.
        let looks = self.waiting().last_looks();
        Ok((0..looks).any(|_| {
            pause();
            self.0.is_ready(self.1)
        }))
    }

    fn waiting(&self) -> Waiting<'_> {
        self.0.waiting(self.1)
    }

    fn attached(&self) -> &Attached {
        self.0.attached()
    }
}

impl SpscRing {
    fn fd(&self, role: Role) -> Result<ReadyFd> {
        pollable::watch(Key::of(&self.line(role).events), EndLevel(self.clone(), role), 0)
    }
}

impl<T: Plain> Consumer<T> {
    /// A descriptor that is readable while there may be an item to [`try_get`](Self::try_get), or the queue is closed; see
    /// [`Queue::as_fd`](crate::Queue::as_fd).
    ///
    /// # Errors
    ///
    /// As [`Queue::as_fd`](crate::Queue::as_fd).
    pub fn as_fd(&self) -> Result<ReadyFd> {
        self.ring().fd(Role::Consumer)
    }
}

impl<T: Plain> Producer<T> {
    /// A descriptor that is readable while there may be room to [`try_put`](Self::try_put), or the queue is closed; see
    /// [`Queue::as_fd`](crate::Queue::as_fd).
    ///
    /// # Errors
    ///
    /// As [`Queue::as_fd`](crate::Queue::as_fd).
    pub fn as_fd(&self) -> Result<ReadyFd> {
        self.ring().fd(Role::Producer)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::queue::ring::NotTaken;

    const CAPACITY: usize = 1024;

    /// How long an end looks away that has found so much each time.
    fn after(found: &[usize]) -> u32 {
        let mut away = Away::new();
        for &count in found {
            let mut attempt = || if count > 0 { Ok(count) } else { Err(NotTaken::Empty) };
            assert_eq!(away.look(CAPACITY, &mut attempt).unwrap_or(0), count);
        }
        away.0
    }

    #[test]
    fn an_end_that_finds_many_looks_away_for_longer_up_to_a_limit() {
        assert_eq!(after(&[2, 5]), 4 * AWAY_MIN);
        assert_eq!(after(&[2; 20]), AWAY_MAX);
    }

    #[test]
    fn an_end_that_finds_nothing_or_half_of_the_ring_looks_sooner() {
        assert_eq!(after(&[9, 9, 9, 0]), 4 * AWAY_MIN);
        assert_eq!(after(&[9, 9, 9, CAPACITY / 2 + 1]), 4 * AWAY_MIN);
        assert_eq!(after(&[0; 20]), AWAY_MIN);
    }

    #[test]
    fn an_end_that_gets_single_answers_looks_no_later_than_they_come() {
        for rounds in 20..24 {
            let found: Vec<usize> = [[9; 20], [1; 20]].concat();
            assert!(after(&found[..20 + rounds - 4]) <= AWAY_SHORT, "after {rounds}");
        }
        assert_eq!(after(&[1; 2]), AWAY_SHORT, "which still lets it find out whether there are more");
    }
}
