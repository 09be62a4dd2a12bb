//! Waiting for whichever of several objects comes first.
//!
//! Rounds of attempts; then a sleeper is announced at every object, everything is attempted once more, and one call sleeps on all
//! their words. Its slices are for the dead: they wake nobody. What was announced is withdrawn in the end, whatever the end is;
//! [`source`] has the rules.
//!
//! | object | attempt | announced | owed when it was not taken |
//! |---|---|---|---|
//! | lock | takes the word | WAITERS | one wake-up, if the word was let go of meanwhile |
//! | semaphore | takes a permit | its event count | one wake-up, if there was a notification |
//! | manual-reset event | looks | its event count | nothing: a set wakes all |
//! | latch | looks | its event count | nothing: the last count wakes all |
//! | auto-reset event | takes the signal | a place in its list | the grant, if there was one |
//! | participant | asks the oracle | nothing: looked at in slices | nothing |

mod event;
mod latch;
mod lock;
mod semaphore;
mod source;
mod watch;

use std::fmt;
use std::time::Duration;

pub(super) use event::{AutoEvent, ManualEvent};
#[cfg_attr(not(feature = "async"), allow(unused_imports, reason = "tasks wait for it by its name"))]
pub(super) use latch::LatchSource;
pub(super) use lock::LockSource;
use lock::RLockSource;
pub(super) use semaphore::PermitSource;
use source::Mapped;
use watch::EndSource;

pub(crate) use source::{Announced, Attempt, Look, Source};

use super::event::{Event, Reset};
use super::latch::Latch;
use super::lock::{Lock, LockGuard, Parts};
use super::lock_array::LockRef;
use super::lock_word::{Entry, Owner};
use super::outcome::OwnerDied;
use super::rlock::{RLock, RLockGuard};
use super::semaphore::{Semaphore, SemaphorePermit};
use super::semaphore_bounded::BoundedSemaphore;
use crate::error::{Error, Result};
use crate::park::{self, Backoff, Expected};
use crate::participant::{ParticipantWatch, sealed};
use crate::sys;
use crate::time::Deadline;

/// The first look for the dead; later ones are twice as far apart.
const FIRST_SLICE_NS: u64 = 1_000_000;
/// How far apart they come to be. A waiter of several objects is on nobody's watch, so it looks by itself: sixteen of
/// them cost 2 % of a core.
const LAST_SLICE_NS: u64 = 16_000_000;
/// The same where only looking tells.
const POLL_SLICE_NS: u64 = 4_000_000;

/// An object that [`wait_any`] can wait for.
///
/// [`Lock`], [`LockRef`], [`RLock`], [`Semaphore`], [`BoundedSemaphore`], [`Event`], [`Latch`], [`Queue`](crate::Queue) and its kin, and
/// [`ParticipantWatch`]. The trait is this crate's own: nobody else can implement it.
pub trait Waitable: sealed::Sealed {
    #[doc(hidden)]
    fn begin(&self) -> Begun<'_>;
}

/// The waiting for one object, begun.
#[doc(hidden)]
pub struct Begun<'a>(Box<dyn Source<'a, Output = Taken<'a>> + 'a>);

impl<'a> Begun<'a> {
    /// For an object that is only ready, and is not taken.
    pub(crate) fn for_readiness(source: impl Source<'a, Output = ()> + 'a) -> Self {
        Begun(Box::new(Mapped { source, map: |()| Taken::Ready }))
    }

    fn for_lock(parts: Parts<'a>) -> Self {
        let map = move |(owner, entry): (Owner, Entry)| {
            let guard = parts.guard(owner, entry == Entry::Clean);
            match entry {
                Entry::Clean => Taken::Lock(guard),
                Entry::Inconsistent(cause) => Taken::LockOwnerDied(OwnerDied::new(guard, cause)),
            }
        };
        Begun(Box::new(Mapped { source: LockSource::new(parts, sys::thread_token()), map }))
    }

    fn for_permit(source: PermitSource<'a>) -> Self {
        Begun(Box::new(Mapped { source, map: Taken::Permit }))
    }
}

/// What [`wait_any`] got.
#[must_use = "what was taken is given back at once if it is not kept"]
#[non_exhaustive]
pub enum Taken<'a> {
    /// The lock, until the guard is dropped.
    Lock(LockGuard<'a>),
    /// The lock, whose last owner died or panicked; see [`OwnerDied`].
    LockOwnerDied(OwnerDied<LockGuard<'a>>),
    /// The re-entrant lock, or one more level of it, until the guard is dropped.
    RLock(RLockGuard<'a>),
    /// The re-entrant lock, whose last owner died or panicked.
    RLockOwnerDied(OwnerDied<RLockGuard<'a>>),
    /// A permit, until it is dropped.
    Permit(SemaphorePermit<'a>),
    /// The event is set (with [`Reset::Auto`] its signal is the caller's), the latch is open, the queue has an item or is closed, the participant is
    /// gone.
    Ready,
}

impl fmt::Debug for Taken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Taken::Lock(guard) => guard.fmt(f),
            Taken::LockOwnerDied(outcome) => outcome.fmt(f),
            Taken::RLock(guard) => guard.fmt(f),
            Taken::RLockOwnerDied(outcome) => outcome.fmt(f),
            Taken::Permit(permit) => permit.fmt(f),
            Taken::Ready => f.write_str("Ready"),
        }
    }
}

impl Waitable for Lock {
    fn begin(&self) -> Begun<'_> {
        Begun::for_lock(self.parts())
    }
}

impl Waitable for LockRef<'_> {
    fn begin(&self) -> Begun<'_> {
        Begun::for_lock(self.parts())
    }
}

impl Waitable for RLock {
    fn begin(&self) -> Begun<'_> {
        let map = |outcome: Result<_, _>| outcome.map_or_else(Taken::RLockOwnerDied, Taken::RLock);
        Begun(Box::new(Mapped { source: RLockSource::new(self), map }))
    }
}

impl Waitable for Semaphore {
    fn begin(&self) -> Begun<'_> {
        Begun::for_permit(PermitSource::new(self.pool()))
    }
}

impl Waitable for BoundedSemaphore {
    fn begin(&self) -> Begun<'_> {
        Begun::for_permit(PermitSource::new(self.pool()))
    }
}

impl Waitable for Event {
    fn begin(&self) -> Begun<'_> {
        match self.reset() {
            Reset::Manual => Begun::for_readiness(ManualEvent::new(self)),
            Reset::Auto => Begun::for_readiness(AutoEvent::new(self)),
        }
    }
}

impl Waitable for Latch {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(LatchSource::new(self))
    }
}

impl Waitable for ParticipantWatch {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(EndSource::new(self))
    }
}

/// Waits for whichever of `objects` comes first and takes exactly that one; tells which it is, and hands it over.
///
/// | object | comes when | is then |
/// |---|---|---|
/// | [`Lock`], [`LockRef`] | nobody holds it, or its holder is dead | locked: [`Taken::Lock`], [`Taken::LockOwnerDied`] |
/// | [`RLock`] | as a lock, or the calling thread holds it | one level deeper: [`Taken::RLock`], [`Taken::RLockOwnerDied`] |
/// | [`Semaphore`], [`BoundedSemaphore`] | a permit is free, or its owner is dead | acquired: [`Taken::Permit`] |
/// | [`Event`] | it is set, or was set since the call began | as it was; with [`Reset::Auto`] the signal is taken: [`Taken::Ready`] |
/// | [`Latch`] | its count is 0 | as it was: [`Taken::Ready`] |
/// | [`Queue`](crate::Queue) and its kin | an item is there, or it is closed and drained | as it was: use `try_get`, somebody else may be faster |
/// | [`ParticipantWatch`] | the process is gone | [`Taken::Ready`] |
///
/// Of several that are there the first in the list is taken. An object may be in the list more than once, and objects may be in
/// different spaces. A [`Lock`] that the calling thread holds itself never comes; that is an error only if nothing else can come.
///
/// # When somebody dies
///
/// Nothing is ever taken from the other objects, also if the caller is killed or the timeout passes: a wake-up or a signal that
/// was meant for somebody is passed on. Dead holders are noticed within some milliseconds; so is the end of a participant.
///
/// # Errors
///
/// [`Error::BadSize`] for no objects or more than 128; [`Error::Deadlock`] if the calling thread holds all of them itself; and what
/// waiting for each of the objects may fail with. Nothing is taken then.
///
/// # Examples
///
/// ```
/// use procshare::{Event, Lock, Semaphore, Taken, wait_any};
///
/// let (stop, desk, seats) = (Event::anonymous()?, Lock::anonymous()?, Semaphore::anonymous(0)?);
/// let _busy = desk.lock()?;
/// let theirs = seats.clone();
/// let other = std::thread::spawn(move || theirs.release(1));
/// match wait_any(&[&stop, &desk, &seats])? {
///     (2, Taken::Permit(seat)) => drop(seat),
///     other => panic!("nobody set the event or released the lock: {other:?}"),
/// }
/// other.join().unwrap().unwrap();
/// # Ok::<(), procshare::Error>(())
/// ```
pub fn wait_any<'a>(objects: &[&'a dyn Waitable]) -> Result<(usize, Taken<'a>)> {
    wait_until(objects, Deadline::Never)
}

/// Takes the first of `objects` that is there, as [`wait_any`] does. Never waits for a holder; the dead are noticed here too.
///
/// # Errors
///
/// [`Error::WouldBlock`] if none of them is there, and as [`wait_any`].
///
/// ```
/// use procshare::{Error, Event, Lock, try_wait_any};
///
/// let (stop, desk) = (Event::anonymous()?, Lock::anonymous()?);
/// let (which, _guard) = try_wait_any(&[&stop, &desk])?;
/// assert_eq!(which, 1);
/// assert!(matches!(try_wait_any(&[&stop]), Err(Error::WouldBlock)));
/// # Ok::<(), Error>(())
/// ```
pub fn try_wait_any<'a>(objects: &[&'a dyn Waitable]) -> Result<(usize, Taken<'a>)> {
    wait_until(objects, Deadline::Now)
}

/// As [`wait_any`], waiting at most `timeout` (monotonic; zero polls once; beyond the clock's range is for ever).
///
/// # Errors
///
/// [`Error::TimedOut`], and as [`wait_any`].
///
/// ```
/// use procshare::{Error, Event, wait_any_timeout};
/// use std::time::Duration;
///
/// let (one, other) = (Event::anonymous()?, Event::anonymous()?);
/// let outcome = wait_any_timeout(&[&one, &other], Duration::from_millis(1));
/// assert!(matches!(outcome, Err(Error::TimedOut)));
/// # Ok::<(), Error>(())
/// ```
pub fn wait_any_timeout<'a>(objects: &[&'a dyn Waitable], timeout: Duration) -> Result<(usize, Taken<'a>)> {
    match wait_until(objects, Deadline::after(timeout)) {
        Err(Error::WouldBlock) => Err(Error::TimedOut),
        other => other,
    }
}

fn wait_until<'a>(objects: &[&'a dyn Waitable], deadline: Deadline) -> Result<(usize, Taken<'a>)> {
    if objects.is_empty() || objects.len() > park::WAIT_ANY_MOST {
        return Err(Error::BadSize {
            object: "wait_any".into(),
            what: "objects",
            found: objects.len() as u64,
            expected: format!("1 to {} can be waited for at once", park::WAIT_ANY_MOST),
        });
    }
    // Dropping the sources withdraws what they announced, whichever way this ends.
    let mut all = Several { sources: objects.iter().map(|object| object.begin().0).collect() };
    match all.attempt(if deadline == Deadline::Now { Look::Last } else { Look::Quick })? {
        Attempt::Taken(found) => Ok(found),
        _ if deadline == Deadline::Now => Err(Error::WouldBlock),
        Attempt::Own => Err(Error::Deadlock),
        Attempt::NotYet => all.wait(deadline),
    }
}

/// The sources of one call.
struct Several<'a> {
    sources: Vec<Box<dyn Source<'a, Output = Taken<'a>> + 'a>>,
}

impl<'a> Several<'a> {
    /// Takes the first that is there.
    fn attempt(&mut self, look: Look) -> Result<Attempt<(usize, Taken<'a>)>> {
        let mut all_own = true;
        for (index, source) in self.sources.iter_mut().enumerate() {
            match source.attempt(look)? {
                Attempt::Taken(taken) => return Ok(Attempt::Taken((index, taken))),
                Attempt::NotYet => all_own = false,
                Attempt::Own => {}
            }
        }
        Ok(if all_own { Attempt::Own } else { Attempt::NotYet })
    }

    /// Announces a sleeper at all of them and lists their words; tells whether it may sleep, and how long between two looks.
    fn announce(&mut self, words: &mut Vec<Expected<'a>>) -> Result<(bool, u64)> {
        let (mut may_sleep, mut slice_ns) = (true, LAST_SLICE_NS);
        words.clear();
        for source in &mut self.sources {
            match source.announce()? {
                Announced::Sleep(word) => words.push(word),
                Announced::Again => may_sleep = false,
                Announced::Poll => slice_ns = POLL_SLICE_NS,
            }
        }
        Ok((may_sleep, slice_ns))
    }

    fn wait(&mut self, deadline: Deadline) -> Result<(usize, Taken<'a>)> {
        let mut backoff = Backoff::new();
        let mut words = Vec::with_capacity(self.sources.len());
        let (mut slice_ns, mut looked_ns) = (FIRST_SLICE_NS, sys::monotonic_ns());
        loop {
            if backoff.snooze() {
                if let Attempt::Taken(found) = self.attempt(Look::Quick)? {
                    return Ok(found);
                }
                continue;
            }
            let (may_sleep, longest_ns) = self.announce(&mut words)?;
            if let Attempt::Taken(found) = self.attempt(Look::Quick)? {
                return Ok(found);
            }
            slice_ns = slice_ns.min(longest_ns);
            if may_sleep {
                park::wait_any(&words, deadline, slice_ns);
            }
            let is_over = deadline.is_over();
            // However often it is woken, it looks for the dead.
            let now = sys::monotonic_ns();
            if is_over || now.saturating_sub(looked_ns) >= slice_ns {
                (looked_ns, slice_ns) = (now, slice_ns * 2);
                if let Attempt::Taken(found) = self.attempt(if is_over { Look::Last } else { Look::Dead })? {
                    return Ok(found);
                }
                if is_over {
                    return Err(Error::TimedOut);
                }
            }
        }
    }
}
