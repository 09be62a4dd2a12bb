//! `SpscQueue<T>`: one producer, one consumer, no lock.
//!
//! | file | holds |
//! |---|---|
//! | [`ring`] | two positions, the slots, who holds which end |
//! | [`producer`], [`consumer`] | the two ends |
//! | [`chunks`] | several slots in place |
//! | [`object`] | the queue as an object of a space |
//! | [`glimpse`] | looking without being an end |
//! | [`waits`] | how an end waits, alone and among other things |
//! | `tasks` | the same for tasks (feature `async`) |

mod chunks;
mod consumer;
mod glimpse;
mod object;
mod producer;
mod ring;
#[cfg(feature = "async")]
mod tasks;
mod waits;

use std::marker::PhantomData;

use crate::error::Result;
use crate::shm::Plain;

pub use chunks::{PeekedChunk, ReservedChunk};
pub use consumer::Consumer;
pub(in crate::queue) use glimpse::glimpse;
pub use producer::Producer;
#[cfg(all(loom, test))]
pub(in crate::queue) use ring::SpscHead;
pub(in crate::queue) use ring::SpscRing;

/// A bounded first-in-first-out queue of plain data with one producer and one consumer, which may be different processes.
///
/// Without a second producer or consumer to keep out there is no lock: an operation that need not wait for the other end is a fixed
/// number of instructions (wait-free), and faster than in a [`Queue`](crate::Queue). A handle only lends the ends:
/// [`producer`](Self::producer) and [`consumer`](Self::consumer) each exist once at a time, in one process.
///
/// # When somebody dies
///
/// An end whose process is gone can be taken by another one, which goes on where it was: what was put stays put, what was not taken is
/// still there, a `put` or `get` that did not return did nothing or all. Nothing else is ever lost or wedged. A forked child
/// does not have its parent's ends.
///
/// # Examples
///
/// ```
/// use procshare::SpscQueue;
///
/// let name = format!("doc-spsc-{}", std::process::id());
/// let samples = SpscQueue::<f32>::create(&name, 1000)?;
/// let mut producer = samples.producer()?;
/// assert!(samples.producer().is_err(), "there is one at a time");
/// let mut consumer = SpscQueue::<f32>::open(&name)?.consumer()?; // in any process of the user
/// producer.put(0.5)?;
/// producer.put_many(&[1.5, 2.5])?;
/// assert_eq!(consumer.get()?, 0.5);
/// let rest = consumer.peek_many(10)?; // not copied
/// assert_eq!(rest.iter().sum::<f32>(), 4.0);
/// rest.release();
/// producer.close();
/// assert!(consumer.get().is_err());
/// SpscQueue::<f32>::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct SpscQueue<T: Plain> {
    ring: SpscRing,
    plain: PhantomData<fn(T) -> T>,
}

impl<T: Plain> SpscQueue<T> {
    /// Becomes the producer, until the end is dropped; from a holder that is gone the end is taken over.
    ///
    /// # Errors
    ///
    /// [`Error::EndTaken`](crate::Error::EndTaken) while somebody alive has it; [`Error::ReadOnly`](crate::Error::ReadOnly); what keeps a forked
    /// child from joining.
    pub fn producer(&self) -> Result<Producer<T>> {
        Producer::new(&self.ring)
    }

    /// Becomes the consumer, until the end is dropped; from a holder that is gone the end is taken over.
    ///
    /// # Errors
    ///
    /// As [`producer`](Self::producer).
    pub fn consumer(&self) -> Result<Consumer<T>> {
        Consumer::new(&self.ring)
    }

    /// Becomes both.
    ///
    /// # Errors
    ///
    /// As [`producer`](Self::producer).
    pub fn split(&self) -> Result<(Producer<T>, Consumer<T>)> {
        Ok((self.producer()?, self.consumer()?))
    }

    /// Number of items. A hint: it may change at once.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether no item is there. A hint.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no slot is free. A hint.
    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity()
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Whether an end closed the queue.
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// The most items that were in the queue at once, as its producer saw it whenever it seemed full: each time that it has put as many
    /// as were free when it looked last.
    pub fn high_water(&self) -> usize {
        self.ring.high_water()
    }

    /// Items put, and items taken, since the queue was made.
    pub fn counts(&self) -> (u64, u64) {
        self.ring.counts()
    }
}
