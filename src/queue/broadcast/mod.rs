//! `Broadcast<T>`: one to many.
//!
//! | file | holds |
//! |---|---|
//! | [`ring`] | slots and stamps, the publishers' lock; knows bytes only |
//! | [`glimpse`] | looking without being one |
//! | [`seats`] | subscribers that publishers wait for |
//! | [`subscriber`] | a reader and how it waits |

mod error;
mod glimpse;
mod ring;
mod seats;
mod subscriber;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::error::{PutError, not_put};
use super::many::{put_all, put_now};
use super::ring::NotPut;
use super::wait::until;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, RawFacts, constructors};
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::{Kind, Plain};
use crate::time::Deadline;

pub use error::RecvError;
pub(super) use glimpse::glimpse;
use ring::{BroadcastRing, Layout};
pub use subscriber::Subscriber;

#[cfg(all(loom, test))]
pub(super) use {ring::BroadcastHead, seats::SubscriberWord};

/// What a new [`Broadcast`] is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BroadcastInit {
    capacity: usize,
    seats: usize,
}

impl BroadcastInit {
    /// A broadcast that keeps the last `capacity` items: a subscriber that is further behind misses some.
    pub fn new(capacity: usize) -> Self {
        BroadcastInit { capacity, seats: 0 }
    }

    /// Nobody misses anything: publishers wait for the slowest living subscriber, of whom there can be `most` at once (65536 at
    /// the most).
    pub fn wait_for_subscribers(self, most: usize) -> Self {
        BroadcastInit { seats: most, ..self }
    }
}

impl From<usize> for BroadcastInit {
    fn from(capacity: usize) -> Self {
        BroadcastInit::new(capacity)
    }
}

/// A stream of plain data from any number of publishers to any number of subscribers, in any processes; each subscriber receives
/// every item.
///
/// A subscriber starts at now. One that comes more than `capacity` items late is told how many it
/// [missed](RecvError::Missed); by [option](BroadcastInit::wait_for_subscribers) publishers wait instead. Without that option
/// subscribers write nothing (a read-only handle can [`try_recv`](Subscriber::try_recv)), so that any number of them costs
/// publishers nothing but waking those that sleep.
///
/// # When somebody dies
///
/// A publisher that dies inside [`publish`](Self::publish) has published the item as a whole or not at all; the others go on. The item
/// that would have been overwritten may be missed. A dead subscriber holds up nobody.
///
/// # Examples
///
/// ```
/// use procshare::{Broadcast, RecvError};
///
/// let name = format!("doc-broadcast-{}", std::process::id());
/// let prices = Broadcast::<f64>::create(&name, 2)?;
/// let mut ticker = Broadcast::<f64>::open(&name)?.subscribe()?; // in any process of the user
/// prices.publish(1.5)?;
/// assert_eq!(ticker.recv()?, 1.5);
/// prices.publish_many(&[2.0, 2.5, 3.0])?;
/// assert!(matches!(ticker.recv(), Err(RecvError::Missed(1))), "it keeps two");
/// assert_eq!(ticker.recv()?, 2.5);
/// prices.close()?;
/// assert_eq!(ticker.iter().collect::<Vec<_>>(), [3.0]);
/// Broadcast::<f64>::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct Broadcast<T: Plain> {
    ring: BroadcastRing,
    plain: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Broadcast<T> {
    /// A reader of all that is published from now on.
    ///
    /// # Errors
    ///
    /// If publishers [wait for subscribers](BroadcastInit::wait_for_subscribers): [`Error::TooManyWaiters`] when there are as many
    /// as can be, [`Error::ReadOnly`], and [`Error::TimedOut`] as from [`close`](Self::close). Otherwise none.
    pub fn subscribe(&self) -> Result<Subscriber<T>> {
        Subscriber::new(&self.ring)
    }

    /// Publishes `item`; waits for subscribers if the broadcast was made so.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`], with the item.
    #[inline]
    pub fn publish(&self, item: T) -> Result<(), PutError<T>> {
        self.publish_until(item, Deadline::Never)
    }

    /// Publishes `item` unless a subscriber would miss one that publishers wait for.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`], and as [`publish`](Self::publish).
    #[inline]
    pub fn try_publish(&self, item: T) -> Result<(), PutError<T>> {
        self.publish_until(item, Deadline::Now)
    }

    /// Publishes `item`, waiting at most `timeout` for subscribers.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`], and as [`publish`](Self::publish).
    pub fn publish_timeout(&self, item: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.publish_until(item, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// Publishes all `items` in order. Cheaper than one by one.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`] with the number of items that were published: those stay so.
    pub fn publish_many(&self, items: &[T]) -> Result<(), PutError<usize>> {
        self.publish_many_until(items, Deadline::Never)
    }

    /// Publishes as many of `items` as can be published now, in order; tells how many. Waits for no subscriber.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] and [`PutError::Failed`].
    pub fn try_publish_many(&self, items: &[T]) -> Result<usize, PutError<()>> {
        put_now(items.len(), |from| self.publish_bytes(bytemuck::cast_slice(&items[from..]), Deadline::Now))
    }

    /// Publishes all `items` in order, waiting at most `timeout` in all.
    ///
    /// # Errors
    ///
    /// [`PutError::TimedOut`] with the number of items that were published, and as [`publish_many`](Self::publish_many).
    pub fn publish_many_timeout(&self, items: &[T], timeout: Duration) -> Result<(), PutError<usize>> {
        self.publish_many_until(items, Deadline::after(timeout)).map_err(PutError::timed)
    }

    /// The ring below.
    #[cfg(feature = "async")]
    pub(super) fn ring(&self) -> &BroadcastRing {
        &self.ring
    }

    fn publish_until(&self, item: T, deadline: Deadline) -> Result<(), PutError<T>> {
        match self.publish_bytes(bytemuck::bytes_of(&item), deadline) {
            Ok(_) => Ok(()),
            Err(why) => Err(not_put(why, deadline, item)),
        }
    }

    fn publish_many_until(&self, items: &[T], deadline: Deadline) -> Result<(), PutError<usize>> {
        put_all(items.len(), deadline, |from| {
            self.publish_bytes(bytemuck::cast_slice(&items[from..]), deadline)
        })
    }

    fn publish_bytes(&self, items: &[u8], deadline: Deadline) -> Result<usize, NotPut> {
        let member = &self.ring.attached().member;
        until(member.host(), member.me(), self.ring.waiting(false), deadline, || {
            self.ring.publish(items, deadline)
        })
    }

    /// Closes the broadcast: nothing can be published any more, subscribers receive what is there. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if for seconds nobody could publish, because a process is stopped in the middle of it or the broadcast's memory
    /// is garbage; [`Error::ReadOnly`], and what keeps a forked child from joining.
    pub fn close(&self) -> Result<()> {
        self.ring.close()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// How many items it keeps.
    pub fn capacity(&self) -> usize {
        self.ring.capacity() as usize
    }

    /// How many items were published since it was made.
    pub fn published(&self) -> u64 {
        self.ring.published()
    }

    /// Whether publishers wait for subscribers.
    pub fn waits_for_subscribers(&self) -> bool {
        self.ring.waits_for_subscribers()
    }
}

/// The state of the broadcast in `segment`, for whoever inspects it.
pub(super) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
    BroadcastRing::describe(segment)
}

constructors! {
    impl[T: Plain] Broadcast<T>,
    noun: "broadcast",
    made: " that keeps as many items as it says, or as a [`BroadcastInit`] says",
    errors: "[`BadSize`](crate::Error::BadSize) for no slots or more than 2^28",
    (init: impl Into<BroadcastInit>) => init.into()
}

impl<T: Plain> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        Broadcast { ring: self.ring.clone(), plain: PhantomData }
    }
}

impl<T: Plain> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("object", &self.ring.attached().object())
            .field("capacity", &self.capacity())
            .field("published", &self.published())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

fn layout<T: Plain>(init: &BroadcastInit) -> Result<Layout, PlanFault> {
    Layout::new(init.capacity as u64, init.seats as u64, size_of::<T>(), align_of::<T>())
}

impl<T: Plain> Object for Broadcast<T> {
    type Init = BroadcastInit;

    fn plan(init: &BroadcastInit) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(layout::<T>(init)?.total))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Broadcast, type_info: TypeInfo::of::<T>() }
    }

    fn initialise(body: &Body<'_>, init: BroadcastInit) -> Result<()> {
        let layout = layout::<T>(&init).map_err(|fault| Error::BadSize {
            object: body.segment.object(),
            what: fault.what,
            found: fault.found,
            expected: fault.expected,
        })?;
        BroadcastRing::initialise(body.segment, &layout)
    }

    fn attach(attached: Attached) -> Result<Self> {
        let ring = BroadcastRing::attach(attached, size_of::<T>(), align_of::<T>())?;
        Ok(Broadcast { ring, plain: PhantomData })
    }

    fn attached(&self) -> &Attached {
        self.ring.attached()
    }
}
