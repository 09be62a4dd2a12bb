//! The queue with a codec as an object of a space.

use std::fmt;
use std::marker::PhantomData;

use super::{Codec, CodecQueue};
use crate::error::Result;
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, constructors};
use crate::queue::bytes::BytesQueue;
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::plain::Signature;
use crate::sync::{Begun, Waitable};

constructors! {
    impl[T, C: Codec<T>] CodecQueue<T, C>,
    noun: "queue",
    made: " with room for one encoded item of `capacity` bytes, or for many that are shorter",
    errors: "[`BadSize`](crate::Error::BadSize) for no bytes or more than 2^32 - 32",
    (capacity: usize) => capacity
}

impl<T, C> Clone for CodecQueue<T, C> {
    fn clone(&self) -> Self {
        CodecQueue { bytes: self.bytes.clone(), kind: PhantomData }
    }
}

impl<T, C: Codec<T>> fmt::Debug for CodecQueue<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodecQueue").field("codec", &C::NAME).field("bytes", &self.bytes).finish()
    }
}

impl<T, C: Codec<T>> Waitable for CodecQueue<T, C> {
    fn begin(&self) -> Begun<'_> {
        self.bytes.begin()
    }
}

impl<T, C> CodecQueue<T, C> {
    /// A descriptor that is readable while there may be an item to [`try_get`](Self::try_get), or the queue is closed; see
    /// [`Queue::as_fd`](crate::Queue::as_fd).
    ///
    /// # Errors
    ///
    /// As [`Queue::as_fd`](crate::Queue::as_fd).
    pub fn as_fd(&self) -> Result<crate::ReadyFd> {
        self.bytes.as_fd()
    }
}

impl<T, C: Codec<T>> Object for CodecQueue<T, C> {
    type Init = usize;

    fn plan(capacity: &usize) -> Result<Plan, PlanFault> {
        BytesQueue::plan(capacity)
    }

    fn expect() -> Expect {
        // The codec stands where plain objects have their type: items of two codecs are not told apart by their bytes.
        let signature = Signature::of_primitive(C::NAME, 0, 1);
        Expect { kind: Kind::CodecQueue, type_info: TypeInfo { name: C::NAME, signature, size: 0, align: 1 } }
    }

    fn initialise(body: &Body<'_>, capacity: usize) -> Result<()> {
        BytesQueue::initialise(body, capacity)
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(CodecQueue { bytes: BytesQueue::attach(attached)?, kind: PhantomData })
    }

    fn attached(&self) -> &Attached {
        self.bytes.attached()
    }
}
