//! `Subscriber<T>`: one reader of a broadcast.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::time::Duration;

use super::super::pollable::{self, Key, Level, ran_dry};
use super::super::ring::{KEPT_PATIENCE, Waiting};
use super::super::wait::{Retry, until};
use super::error::RecvError;
use super::ring::{BroadcastRing, Seen};
use crate::error::{Error, Result};
use crate::participant::{Attached, sealed};
use crate::shm::Plain;
use crate::shm::checked::read_checked;
use crate::sync::{Announced, Attempt, Begun, Look, Source, Waitable};
use crate::sys::ReadyFd;
use crate::time::Deadline;

/// One reader of a [`Broadcast`](super::Broadcast); from [`Broadcast::subscribe`](super::Broadcast::subscribe).
///
/// It receives every item that is published after it subscribed, in order, and independently of all others. If it comes so late
/// that items were overwritten, it is told how many ([`RecvError::Missed`]) and goes on with the oldest that is there.
///
/// # When somebody dies
///
/// Nothing a subscriber does holds up anybody, unless the broadcast was made to
/// [wait for subscribers](super::BroadcastInit::wait_for_subscribers): then publishers wait for it as long as its process lives.
/// A forked child's copy goes on from where its parent was, as a subscriber of its own.
pub struct Subscriber<T: Plain> {
    ring: BroadcastRing,
    /// The next item to receive.
    position: u64,
    /// Where publishers see how far it is, and the participant that sits there.
    seat: Option<(usize, u32)>,
    missed: u64,
    /// Which descriptors this subscriber has, if any.
    key: Option<Key>,
    plain: PhantomData<fn() -> T>,
}

/// Why one try received nothing.
enum NotReceived {
    NotYet,
    Closed,
    Missed(u64),
    Failed(Error),
}

impl Retry for NotReceived {
    fn worth_waiting(&self) -> bool {
        matches!(self, NotReceived::NotYet)
    }
}

impl<T: Plain> Subscriber<T> {
    /// Subscribes now.
    pub(super) fn new(ring: &BroadcastRing) -> Result<Self> {
        let ring = ring.clone();
        let mut it =
            Subscriber { position: ring.now(), ring, seat: None, missed: 0, key: None, plain: PhantomData };
        it.sit_down(true, Deadline::after(KEPT_PATIENCE))?;
        Ok(it)
    }

    /// Takes a seat if publishers wait for subscribers and this process has none: at the start, and in a forked child.
    fn sit_down(&mut self, from_now_on: bool, deadline: Deadline) -> Result<()> {
        if !self.ring.waits_for_subscribers() {
            return Ok(());
        }
        let attached = self.ring.attached();
        let me = attached.member.join(|| attached.object(), "subscribe to it")?;
        if self.seat.is_some_and(|(_, owner)| owner == me) {
            return Ok(());
        }
        let owner = self.ring.enter(deadline, "subscribe to it")?;
        if from_now_on {
            self.position = self.ring.tail();
        }
        let seat = self.ring.take_seat(me, self.position);
        self.ring.leave(owner);
        let full =
            || Error::TooManyWaiters { object: attached.object(), limit: self.ring.seats.len() as u64 };
        self.seat = Some((seat.ok_or_else(full)?, me));
        Ok(())
    }

    /// Receives the next item, waiting until one is published.
    ///
    /// # Errors
    ///
    /// [`RecvError::Missed`], after which the next call goes on; [`RecvError::Closed`]; [`RecvError::Failed`], also with
    /// [`Error::InvalidBits`] for bytes that are no `T` (they are passed over), and with [`Error::ReadOnly`]: a read-only handle
    /// cannot announce a sleeper, use [`try_recv`](Self::try_recv).
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_until(Deadline::Never)
    }

    /// Receives the next item if it is there.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], and as [`recv`](Self::recv); works with a read-only handle.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        self.recv_until(Deadline::Now)
    }

    /// Receives the next item, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvError::TimedOut`], and as [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_until(Deadline::after(timeout)).map_err(|error| match error {
            RecvError::Empty => RecvError::TimedOut,
            other => other,
        })
    }

    /// The items as they come, until the broadcast is closed and received, or cannot be used any more. Items that were missed are
    /// passed over and [counted](Self::missed); bytes that are no `T` are passed over.
    pub fn iter(&mut self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.next_unless_over(Deadline::Never))
    }

    /// The items that are there now; as [`iter`](Self::iter).
    pub fn try_iter(&mut self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.next_unless_over(Deadline::Now))
    }

    fn next_unless_over(&mut self, deadline: Deadline) -> Option<T> {
        loop {
            match self.recv_until(deadline) {
                Ok(item) => return Some(item),
                Err(RecvError::Missed(_) | RecvError::Failed(Error::InvalidBits { .. })) => {}
                Err(_) => return None,
            }
        }
    }

    /// How many items it has missed since it subscribed.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// How many items are there that it has not received, or has missed. A hint.
    pub fn behind(&self) -> u64 {
        self.ring.published().saturating_sub(self.position)
    }

    fn recv_until(&mut self, deadline: Deadline) -> Result<T, RecvError> {
        self.sit_down(false, deadline).map_err(|error| match error {
            Error::TimedOut if deadline == Deadline::Now => RecvError::Empty,
            Error::TimedOut => RecvError::TimedOut,
            other => RecvError::Failed(other),
        })?;
        let mut bits = MaybeUninit::<T::Bits>::uninit();
        let (ring, position) = (&self.ring, self.position);
        let mut attempt = || receive(ring, position, &mut bits);
        let member = &ring.attached().member;
        let outcome = if deadline == Deadline::Now {
            // Writes nothing, so that a read-only handle can do it.
            attempt()
        } else if member.may_write() {
            until(member.host(), member.me(), ring.waiting(true), deadline, attempt)
        } else {
            let object = ring.attached().object();
            Err(NotReceived::Failed(Error::ReadOnly { object, action: "wait for it" }))
        };
        if let (Some(key), Err(NotReceived::NotYet)) = (self.key, &outcome) {
            ran_dry(key, self.position);
        }
        self.settle(outcome, deadline)?;
        // SAFETY: (S9) the item was received: all bytes of this private copy were written.
        unsafe { read_checked(&bits) }.map_err(|_| RecvError::Failed(self.invalid()))
    }

    /// Moves on behind what the outcome says.
    fn settle(&mut self, outcome: Result<(), NotReceived>, deadline: Deadline) -> Result<(), RecvError> {
        match outcome {
            Ok(()) => {
                self.advance(1);
                Ok(())
            }
            Err(NotReceived::Missed(count)) => {
                self.missed = self.missed.saturating_add(count);
                self.advance(count);
                Err(RecvError::Missed(count))
            }
            Err(NotReceived::NotYet) if deadline == Deadline::Now => Err(RecvError::Empty),
            Err(NotReceived::NotYet) => Err(RecvError::TimedOut),
            Err(NotReceived::Closed) => Err(RecvError::Closed),
            Err(NotReceived::Failed(error)) => Err(RecvError::Failed(error)),
        }
    }

    fn advance(&mut self, count: u64) {
        self.position = self.position.wrapping_add(count);
        if let Some((index, _)) = self.seat {
            self.ring.seats[index].advance(self.position);
            self.ring.make_room(count);
        }
    }

    #[cold]
    fn invalid(&self) -> Error {
        Error::InvalidBits {
            object: self.ring.attached().object(),
            type_name: T::NAME,
            at: format!("item {}", self.position.wrapping_sub(1)),
        }
    }
}

fn receive<B>(ring: &BroadcastRing, position: u64, bits: &mut MaybeUninit<B>) -> Result<(), NotReceived> {
    let len = size_of::<B>();
    // SAFETY: (S9) an uninitialised place is uninitialised bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(bits.as_mut_ptr().cast(), len) };
    match ring.receive(position, bytes) {
        Ok(Seen::Item) => Ok(()),
        Ok(Seen::NotYet) => Err(NotReceived::NotYet),
        Ok(Seen::Closed) => Err(NotReceived::Closed),
        Ok(Seen::Missed(count)) => Err(NotReceived::Missed(count)),
        Err(error) => Err(NotReceived::Failed(error)),
    }
}

impl<T: Plain> Drop for Subscriber<T> {
    fn drop(&mut self) {
        // In a forked child the seat is the parent's.
        if let Some((index, owner)) = self.seat
            && self.ring.attached().member.me() == owner
            && self.ring.seats[index].leave(owner)
        {
            self.ring.make_room(u64::from(u32::MAX));
        }
    }
}

impl<T: Plain> fmt::Debug for Subscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("object", &self.ring.attached().object())
            .field("behind", &self.behind())
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}

impl<T: Plain> sealed::Sealed for Subscriber<T> {}

impl<T: Plain> Waitable for Subscriber<T> {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(NewsSource { ring: &self.ring, position: self.position })
    }
}

/// The next item of one subscriber, for a descriptor.
struct NewsLevel(BroadcastRing);

impl Level for NewsLevel {
    fn is_ready(&self, position: u64, _: bool) -> Result<bool> {
        Ok(self.0.judge(position)? != Seen::NotYet)
    }

    fn waiting(&self) -> Waiting<'_> {
        self.0.waiting(true)
    }

    fn attached(&self) -> &Attached {
        self.0.attached()
    }
}

impl<T: Plain> Subscriber<T> {
    /// A descriptor that is readable while there may be something to [`try_recv`](Self::try_recv), or the broadcast is closed; see
    /// [`Queue::as_fd`](crate::Queue::as_fd).
    ///
    /// # Errors
    ///
    /// As [`Queue::as_fd`](crate::Queue::as_fd).
    pub fn as_fd(&mut self) -> Result<ReadyFd> {
        let key = *self.key.get_or_insert_with(Key::unique);
        pollable::watch(key, NewsLevel(self.ring.clone()), self.position)
    }
}

/// The next item that somebody waits for.
pub(super) struct NewsSource<'a> {
    ring: &'a BroadcastRing,
    position: u64,
}

impl<'a> Source<'a> for NewsSource<'a> {
    type Output = ();

    fn attempt(&mut self, _: Look) -> Result<Attempt<()>> {
        let seen = self.ring.judge(self.position)?;
        Ok(if seen == Seen::NotYet { Attempt::NotYet } else { Attempt::Taken(()) })
    }

    fn announce(&mut self) -> Result<Announced<'a>> {
        let attached = self.ring.attached();
        attached.member.join(|| attached.object(), "wait for it")?;
        let waiting = self.ring.waiting(true);
        let ticket = waiting.prepare();
        // A publication wakes all: no wake-up is spent on one instead of another.
        Ok(Announced::Sleep(waiting.events.expect(ticket)))
    }
}

#[cfg(feature = "async")]
impl<T: Plain> Subscriber<T> {
    /// Receives the next item, waiting without a thread. For any executor; dropping the future receives nothing.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), or the thread that wakes tasks cannot be started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> procshare::Result<()> {
    /// let prices = procshare::Broadcast::<u64>::anonymous(16)?;
    /// let mut ticker = prices.subscribe()?;
    /// let reader = tokio::spawn(async move { ticker.recv_async().await });
    /// prices.publish(42)?;
    /// assert_eq!(reader.await.unwrap()?, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recv_async(&mut self) -> Result<T, RecvError> {
        loop {
            match self.try_recv() {
                Err(RecvError::Empty) => {}
                other => return other,
            }
            let source = NewsSource { ring: &self.ring, position: self.position };
            crate::sync::Wait::new(source, self.ring.attached()).await.map_err(RecvError::Failed)?;
        }
    }
}
