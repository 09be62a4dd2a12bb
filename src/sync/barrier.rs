//! `Barrier`: a place where a fixed number of parties wait for each other.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::barrier_outcome::{BarrierError, BarrierWaitResult};
use super::barrier_seat::{BarrierSeat, Inner};
use super::barrier_word::{BarrierHead, SeatWord};
use crate::atomic::Ordering;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Fact, Object, Plan, PlanFault, RawFacts, constructors};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::{Shared, SharedSlice};
use crate::time::Deadline;

/// The most parties a barrier can have.
const MOST: u32 = 1 << 16;

/// A place where a fixed number of threads, forked children and unrelated processes wait for each other, again and again.
///
/// Whoever takes part has a **seat**: [`join`](Barrier::join) takes one until its guard is dropped, and the first
/// [`wait`](Barrier::wait) of a thread without one takes one that stays taken until the last clone of this `Barrier` is dropped
/// or the process ends (an idle seat of that kind serves other threads of the process, if there is no other left). A
/// process that has merely opened the barrier is not a member.
///
/// # When somebody dies
///
/// The death of a member breaks the barrier, and so does a member that leaves: all who wait get
/// [`BarrierError::Broken`] within some milliseconds, and so does everybody who comes, until somebody calls
/// [`reset`](Barrier::reset), which frees the seats of the dead. A death less than a tenth of a millisecond before the round is complete
/// may count as one after it. Who has no seat may die unnoticed.
///
/// # Examples
///
/// ```
/// use procshare::Barrier;
///
/// let name = format!("doc-barrier-{}", std::process::id());
/// let barrier = Barrier::create(&name, 2)?;
/// let same = Barrier::open(&name)?; // in any process of the user
/// let other = std::thread::spawn(move || same.wait().unwrap());
/// let mine = barrier.wait()?;
/// let theirs = other.join().unwrap();
/// assert!(mine.is_leader() != theirs.is_leader());
/// assert_eq!(mine.index() + theirs.index(), 1);
/// Barrier::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Barrier {
    inner: Arc<Inner>,
}

impl Barrier {
    /// Takes a seat for the calling thread until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::BarrierFull`] if living members have all seats; [`Error::BarrierBroken`] if a dead one has the last of them;
    /// [`Error::AlreadySeated`] if the thread has a guard; [`Error::ReadOnly`]; a forked child cannot
    /// [join](crate::Space::join) the space.
    pub fn join(&self) -> Result<BarrierSeat> {
        BarrierSeat::take(&self.inner)
    }

    /// Waits until all parties wait, as long as it takes.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Broken`]; [`BarrierError::Failed`] if there is no seat left ([`Error::BarrierFull`]), with a read-only
    /// handle, from within the barrier's action, or if a forked child cannot [join](crate::Space::join) the space.
    pub fn wait(&self) -> Result<BarrierWaitResult, BarrierError> {
        self.inner.wait_somewhere(Deadline::Never, None::<fn() -> Result<(), Infallible>>)
    }

    /// Waits until all parties wait, at most `timeout` (monotonic; zero does not wait for anybody).
    ///
    /// # Errors
    ///
    /// [`BarrierError::TimedOut`] to the caller, and [`BarrierError::Broken`] to all others: the barrier stays broken until it is
    /// reset. Else as [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, BarrierError> {
        self.inner.wait_somewhere(Deadline::after(timeout), None::<fn() -> Result<(), Infallible>>)
    }

    /// Waits until all parties wait, and has one of them, the leader, run its `action` before anybody leaves.
    ///
    /// All parties bring the same action; which of them is the one to run it cannot be foreseen.
    ///
    /// ```
    /// use procshare::{Barrier, BarrierError};
    ///
    /// let barrier = Barrier::anonymous(1)?;
    /// barrier.wait_with(|| Ok::<(), &str>(())).unwrap();
    /// let outcome = barrier.wait_with(|| Err("the disk is full"));
    /// assert!(matches!(outcome, Err(BarrierError::Action("the disk is full"))));
    /// assert!(barrier.is_broken());
    /// # Ok::<(), procshare::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BarrierError::Action`] with the action's error to the one that ran it, and [`BarrierError::Broken`] to all others.
    /// Else as [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// If the action does, in the thread that runs it; the barrier is broken then.
    pub fn wait_with<E>(
        &self,
        action: impl FnOnce() -> Result<(), E>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        self.inner.wait_somewhere(Deadline::Never, Some(action))
    }

    /// [`wait_with`](Self::wait_with) and [`wait_timeout`](Self::wait_timeout) at once; the timeout does not interrupt an action.
    ///
    /// # Errors
    ///
    /// As those.
    ///
    /// # Panics
    ///
    /// As [`wait_with`](Self::wait_with).
    pub fn wait_with_timeout<E>(
        &self,
        timeout: Duration,
        action: impl FnOnce() -> Result<(), E>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        self.inner.wait_somewhere(Deadline::after(timeout), Some(action))
    }

    /// Breaks the barrier: all who wait, and all who come, get [`BarrierError::Broken`] until it is reset.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], or a forked child cannot [join](crate::Space::join) the space.
    pub fn abort(&self) -> Result<(), Error> {
        self.inner.abort()
    }

    /// Makes a broken barrier usable again: the dead lose their seats. Who waits gets [`BarrierError::Broken`]. Never waits.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], or a forked child cannot [join](crate::Space::join) the space.
    pub fn reset(&self) -> Result<(), Error> {
        self.inner.reset()
    }

    /// Whether whoever waits now would be refused; notices the dead.
    pub fn is_broken(&self) -> bool {
        self.inner.look().breakage().is_some()
    }

    /// How many living members wait for the others now; 0 while it is broken.
    pub fn n_waiting(&self) -> usize {
        self.inner.look().count_waiting()
    }

    /// How many members a round takes.
    pub fn parties(&self) -> u32 {
        self.inner.seats.len() as u32
    }

    /// The state of the barrier in `segment`, for whoever inspects it.
    pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
        let (head, seats) = locate(segment)?;
        Ok(Inner::facts(&head, &seats))
    }
}

/// The words of the barrier in `segment`.
fn locate(segment: &Arc<Segment>) -> Result<(Shared<BarrierHead>, SharedSlice<SeatWord>)> {
    let head: Shared<BarrierHead> = Shared::new(segment, 0)?;
    // Relaxed: written before the segment was published; checked against the body like any hostile number.
    let parties = head.parties.load(Ordering::Relaxed) as usize;
    Ok((head, SharedSlice::new(segment, size_of::<BarrierHead>(), parties)?))
}

constructors! {
    impl[] Barrier,
    noun: "barrier",
    made: " for so many parties",
    errors: "[`BadSize`](crate::Error::BadSize) for 0 or more than 65,536 parties",
    (parties: u32) => parties
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("object", &self.inner.attached.object())
            .field("parties", &self.parties())
            .field("n_waiting", &self.n_waiting())
            .field("broken", &self.inner.look().breakage())
            .finish_non_exhaustive()
    }
}

impl Object for Barrier {
    type Init = u32;

    fn plan(parties: &u32) -> Result<Plan, PlanFault> {
        if !(1..=MOST).contains(parties) {
            return Err(PlanFault {
                what: "parties",
                found: u64::from(*parties),
                expected: format!("1 to {MOST}"),
            });
        }
        Ok(Plan::whole(size_of::<BarrierHead>() + *parties as usize * size_of::<SeatWord>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Barrier, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, parties: u32) -> Result<()> {
        // Relaxed: published with the segment.
        Shared::<BarrierHead>::new(body.segment, 0)?.parties.store(parties, Ordering::Relaxed);
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        let (head, seats) = locate(&attached.segment)?;
        Ok(Barrier { inner: Arc::new(Inner::new(head, seats, attached)) })
    }

    fn attached(&self) -> &Attached {
        &self.inner.attached
    }
}

impl Inner {
    /// The words as whoever inspects them shall read them.
    fn facts(head: &BarrierHead, seats: &[SeatWord]) -> RawFacts {
        let members = seats.iter().filter_map(SeatWord::member).map(Fact::participant);
        vec![
            ("parties", Fact::Number(seats.len() as u64)),
            ("broken", head.breakage().map_or(Fact::Nothing, |why| Fact::Text(why.to_string()))),
            ("round", Fact::Number(head.round())),
            ("arrived", Fact::Number(head.count_arrived(seats) as u64)),
            ("members", Fact::List(members.collect())),
        ]
    }
}
