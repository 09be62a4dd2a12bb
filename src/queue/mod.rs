//! Queues in shared memory: nothing that was put is lost, whoever dies.
//!
//! | file | holds |
//! |---|---|
//! | [`stamp`] | the state of one slot, in one word |
//! | [`ring`] | slots, locks of the two sides, who may do what when; knows bytes only |
//! | [`wait`] | how callers wait |
//! | [`pollable`] | descriptors to wait for a queue by `poll` |
//! | [`ready`] | waiting for a queue among other things |
//! | `tasks` | the same for tasks (feature `async`) |
//! | [`glimpse`] | looking without taking |
//! | [`plain`], [`guards`], [`batches`] | `Queue<T>` and its in-place guards |
//! | [`joinable`] | `JoinableQueue<T>`: work that is acknowledged |
//! | [`broadcast`] | `Broadcast<T>`: one to many |
//! | [`frames`] | a ring of pieces of any length; knows bytes only |
//! | [`bytes`] | `BytesQueue` and its in-place guards |
//! | [`spsc`] | `SpscQueue<T>`: one producer, one consumer, no lock |
//! | `stream` | two streams of bytes between two who do not believe each other (feature `manager`) |
//! | [`pipe`] | `Pipe`: two rings, two ends |
//! | [`codec`] | `CodecQueue<T, C>`: a queue of bytes with a codec |

mod batches;
mod broadcast;
mod bytes;
mod codec;
mod error;
mod frames;
mod glimpse;
mod guards;
mod joinable;
mod many;
#[cfg(all(loom, test))]
mod models;
mod pipe;
mod plain;
mod pollable;
mod ready;
mod ring;
mod spsc;
mod stamp;
#[cfg(all(unix, feature = "manager", not(loom)))]
pub(crate) mod stream;
#[cfg(all(loom, test))]
mod stream {
    mod models;
    mod word;
}
#[cfg(feature = "async")]
mod tasks;
mod wait;

use std::sync::Arc;

use crate::error::Result;
use crate::participant::RawFacts;
use crate::shm::segment::Segment;

pub use batches::{PeekedBatch, ReservedBatch};
pub use broadcast::{Broadcast, BroadcastInit, RecvError, Subscriber};
pub use bytes::{BytesQueue, BytesReservation, DEFAULT_BYTES_CAPACITY, PeekedBytes};
pub use codec::{Codec, CodecFault, CodecQueue, PeekedItem};
#[cfg(feature = "postcard")]
pub use codec::{Postcard, PostcardQueue};
pub use error::{GetError, PutError};
pub use glimpse::{Glimpse, Glimpsed};
pub(crate) use glimpse::{glimpse, streams};
pub use guards::{Peeked, Reservation};
pub use joinable::{JoinableInit, JoinableQueue, Task};
pub use pipe::{DEFAULT_PIPE_CAPACITY, Pipe, PipeEnd, PipeEndHandle, PipeError};
pub use plain::{DEFAULT_QUEUE_CAPACITY, Queue};
pub use ring::Unfinished;
pub use spsc::{Consumer, PeekedChunk, Producer, ReservedChunk, SpscQueue};

/// The state of the queue in `segment`, for whoever inspects it.
pub(crate) fn describe_queue(segment: &Arc<Segment>) -> Result<RawFacts> {
    ring::Ring::describe(segment)
}

/// The state of the broadcast in `segment`, for whoever inspects it.
pub(crate) fn describe_broadcast(segment: &Arc<Segment>) -> Result<RawFacts> {
    broadcast::describe(segment)
}

/// The state of the queue with two ends in `segment`, for whoever inspects it.
pub(crate) fn describe_spsc_queue(segment: &Arc<Segment>) -> Result<RawFacts> {
    spsc::SpscRing::describe(segment)
}

/// The state of the queue of bytes in `segment`, for whoever inspects it.
pub(crate) fn describe_bytes_queue(segment: &Arc<Segment>) -> Result<RawFacts> {
    frames::FrameRing::describe(segment)
}

/// The state of the pipe in `segment`, for whoever inspects it.
pub(crate) fn describe_pipe(segment: &Arc<Segment>) -> Result<RawFacts> {
    pipe::describe(segment)
}
