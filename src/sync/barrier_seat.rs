//! Seats at a barrier, and what a party does in one.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::barrier_outcome::{BarrierError, BarrierWaitResult};
use super::barrier_word::{BarrierHead, Key, NoSeat, Progress, SeatWord, Sitter, Words};
use super::wait::Patience;
use crate::atomic::{AtomicU64, Ordering};
use crate::cause::Breakage;
use crate::error::{Error, Result};
use crate::participant::{Attached, Host};
use crate::shm::view::{Shared, SharedSlice};
use crate::sys;
use crate::time::Deadline;

/// A barrier as the clones of one handle share it.
pub(super) struct Inner {
    pub(super) head: Shared<BarrierHead>,
    pub(super) seats: SharedSlice<SeatWord>,
    pub(super) attached: Attached,
    /// The seats that waits through this handle took without a guard, by their owner words; given up when the last clone goes.
    implied: Box<[AtomicU64]>,
}

/// A seat at a [`Barrier`](crate::Barrier), until it is dropped.
///
/// Bound to its thread. Dropping it leaves the barrier, which breaks it, as does the end of the process. In a forked child the
/// copy of a parent's seat is without effect.
///
/// ```
/// use procshare::{Barrier, BarrierError};
///
/// let barrier = Barrier::anonymous(2)?;
/// let seat = barrier.join()?;
/// let other = barrier.clone();
/// let waiter = std::thread::spawn(move || other.wait());
/// drop(seat); // the other one waits in vain, and is told
/// assert!(matches!(waiter.join().unwrap(), Err(BarrierError::Broken(_))));
/// # Ok::<(), procshare::Error>(())
/// ```
#[must_use = "dropping the seat leaves the barrier and breaks it"]
pub struct BarrierSeat {
    inner: Arc<Inner>,
    place: Place,
    /// Seats stay on their thread: the owner is a thread.
    thread: PhantomData<*const ()>,
}

/// Which seat, and whose.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) index: usize,
    pub(super) sitter: Sitter,
}

impl Inner {
    pub(super) fn new(head: Shared<BarrierHead>, seats: SharedSlice<SeatWord>, attached: Attached) -> Self {
        let implied = seats.iter().map(|_| AtomicU64::new(0)).collect();
        Inner { head, seats, attached, implied }
    }

    /// The words for somebody who changes nothing.
    pub(super) fn look(&self) -> Words<'_, impl Host> {
        self.words(self.attached.member.me())
    }

    fn words(&self, me: u32) -> Words<'_, impl Host> {
        Words { head: &self.head, seats: &self.seats, host: self.attached.member.host(), me }
    }

    fn join(&self, action: &'static str) -> Result<u32> {
        self.attached.member.join(|| self.attached.object(), action)
    }

    pub(super) fn abort(&self) -> Result<()> {
        self.words(self.join("abort it")?).break_now(Breakage::Aborted);
        Ok(())
    }

    pub(super) fn reset(&self) -> Result<()> {
        self.words(self.join("reset it")?).reset();
        Ok(())
    }

    /// Takes a seat for the calling thread.
    fn sit_down(&self, me: u32, implied: bool) -> Result<Place, Error> {
        let sitter = Sitter::new(me, sys::thread_token(), implied);
        let object = || self.attached.object();
        match self.words(me).take_seat(sitter) {
            Ok(index) => Ok(Place { index, sitter }),
            Err(NoSeat::Full) => {
                Err(Error::BarrierFull { object: object(), parties: self.seats.len() as u32 })
            }
            Err(NoSeat::Seated) => Err(Error::AlreadySeated { object: object() }),
            Err(NoSeat::Dead) => {
                self.words(me).break_now(Breakage::Died);
                Err(Error::BarrierBroken { cause: Breakage::Died })
            }
        }
    }

    /// Waits in the thread's seat; takes one if it has none.
    pub(super) fn wait_somewhere<E>(
        &self,
        deadline: Deadline,
        action: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        let me = match self.attached.member.me() {
            0 => self.join("wait at it")?,
            me => me,
        };
        let place = match self.words(me).seat_of(sys::thread_token()) {
            Some((index, sitter)) => Place { index, sitter },
            None => self.sit_down_implied(me)?,
        };
        self.wait_at(place, deadline, action)
    }

    #[cold]
    fn sit_down_implied<E>(&self, me: u32) -> Result<Place, BarrierError<E>> {
        match self.sit_down(me, true) {
            Ok(place) => {
                // Relaxed: read when the last clone goes, which is ordered by its reference count.
                self.implied[place.index].store(place.sitter.0, Ordering::Relaxed);
                Ok(place)
            }
            Err(Error::BarrierBroken { cause }) => Err(BarrierError::Broken(cause)),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits in a seat of the calling thread.
    fn wait_at<E>(
        &self,
        place: Place,
        deadline: Deadline,
        action: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        let words = self.words(place.sitter.id());
        if !words.occupy(place.index, place.sitter) {
            // The barrier's own action waits at it.
            return Err(Error::Deadlock.into());
        }
        let round = Round { words: &words, place, deadline, action };
        let outcome = round.run();
        words.vacate(place.index, place.sitter);
        outcome.map(|leader| BarrierWaitResult { index: place.index, leader })
    }
}

/// One party's part in one round.
pub(super) struct Round<'a, H, A> {
    pub(super) words: &'a Words<'a, H>,
    pub(super) place: Place,
    pub(super) deadline: Deadline,
    pub(super) action: Option<A>,
}

impl<H: Host, E, A: FnOnce() -> Result<(), E>> Round<'_, H, A> {
    /// Arrives and waits; tells whether the caller released the others.
    pub(super) fn run(mut self) -> Result<bool, BarrierError<E>> {
        let words = self.words;
        let key = words.begin().map_err(BarrierError::Broken)?;
        words.arrive(self.place.index, key);
        if words.is_full(self.place.index, key)
            && let Some(outcome) = self.complete(key)
        {
            return outcome;
        }
        let mut patience = Patience::new(words.host, &words.head.watch, words.me, self.deadline);
        loop {
            match words.progress(key) {
                Progress::Released => return Ok(false),
                Progress::Broken(why) => return Err(BarrierError::Broken(why)),
                Progress::Filling | Progress::Running => {}
            }
            if patience.spin() {
                continue;
            }
            let ticket = words.head.sleepers.prepare();
            let waits = matches!(words.progress(key), Progress::Filling | Progress::Running);
            if !waits || !words.head.sleepers.wait(&mut patience, ticket) {
                continue;
            }
            if patience.is_on_watch() && words.has_dead_member() {
                words.break_at(key, Breakage::Died);
            } else if patience.is_over() && words.break_at(key, Breakage::TimedOut) {
                return Err(BarrierError::TimedOut);
            }
        }
    }

    /// Everybody is there: runs the action and releases all. `None`: somebody else does, or the barrier is broken.
    fn complete(&mut self, key: Key) -> Option<Result<bool, BarrierError<E>>> {
        let words = self.words;
        if words.has_stale_member() {
            words.break_at(key, Breakage::Died);
            return None;
        }
        if self.action.is_none() {
            return words.trip(key, false).then_some(Ok(true));
        }
        if !words.start_action(key) {
            return None;
        }
        let action = self.action.take()?;
        let failure = BreakOnDrop { words, key, place: self.place };
        if let Err(error) = action() {
            words.break_at(key, Breakage::ActionFailed);
            std::mem::forget(failure);
            return Some(Err(BarrierError::Action(error)));
        }
        std::mem::forget(failure);
        words.trip(key, true).then_some(Ok(true))
    }
}

/// A panic of the action breaks the barrier and gives the seat back to its thread.
struct BreakOnDrop<'a, H: Host> {
    words: &'a Words<'a, H>,
    key: Key,
    place: Place,
}

impl<H: Host> Drop for BreakOnDrop<'_, H> {
    fn drop(&mut self) {
        self.words.break_at(self.key, Breakage::ActionFailed);
        self.words.vacate(self.place.index, self.place.sitter);
    }
}

impl BarrierSeat {
    pub(super) fn take(inner: &Arc<Inner>) -> Result<Self> {
        let me = inner.join("join it")?;
        let place = inner.sit_down(me, false)?;
        Ok(BarrierSeat { inner: Arc::clone(inner), place, thread: PhantomData })
    }

    /// The seat's number: 0 to parties - 1.
    pub fn index(&self) -> usize {
        self.place.index
    }

    /// Waits until all parties wait; see [`Barrier::wait`](crate::Barrier::wait).
    ///
    /// # Errors
    ///
    /// As there, and [`Error::Inherited`] in a forked child.
    pub fn wait(&self) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_until(Deadline::Never, None::<fn() -> Result<(), Infallible>>)
    }

    /// Waits at most `timeout`; see [`Barrier::wait_timeout`](crate::Barrier::wait_timeout).
    ///
    /// # Errors
    ///
    /// As there, and [`Error::Inherited`] in a forked child.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_until(Deadline::after(timeout), None::<fn() -> Result<(), Infallible>>)
    }

    /// Waits and has one party run the action; see [`Barrier::wait_with`](crate::Barrier::wait_with).
    ///
    /// # Errors
    ///
    /// As there, and [`Error::Inherited`] in a forked child.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn wait_with<E>(
        &self,
        action: impl FnOnce() -> Result<(), E>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        self.wait_until(Deadline::Never, Some(action))
    }

    /// Both at once; see [`Barrier::wait_with_timeout`](crate::Barrier::wait_with_timeout).
    ///
    /// # Errors
    ///
    /// As there, and [`Error::Inherited`] in a forked child.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn wait_with_timeout<E>(
        &self,
        timeout: Duration,
        action: impl FnOnce() -> Result<(), E>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        self.wait_until(Deadline::after(timeout), Some(action))
    }

    fn wait_until<E>(
        &self,
        deadline: Deadline,
        action: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<BarrierWaitResult, BarrierError<E>> {
        if self.inner.attached.member.me() != self.place.sitter.id() {
            return Err(Error::Inherited { object: self.inner.attached.object(), what: "seat" }.into());
        }
        self.inner.wait_at(self.place, deadline, action)
    }
}

impl Drop for BarrierSeat {
    fn drop(&mut self) {
        // A forked child reads another id (or none) and leaves its parent's seat alone.
        let me = self.inner.attached.member.me();
        if me == self.place.sitter.id() {
            self.inner.words(me).leave(self.place.index, self.place.sitter);
        }
    }
}

impl fmt::Debug for BarrierSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierSeat").field("index", &self.place.index).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let me = self.attached.member.me();
        for (index, sitter) in self.implied.iter().enumerate() {
            let sitter = Sitter(sitter.load(Ordering::Relaxed));
            // A forked child's copy names its parent's seats.
            if sitter.id() == me && me != 0 {
                self.words(me).leave(index, sitter);
            }
        }
    }
}
