//! The queue of bytes as an object of a space.

use std::fmt;

use super::BytesQueue;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, constructors};
use crate::queue::frames::{FrameRing, body_bytes};
use crate::queue::ready::ReadySource;
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::sync::{Begun, Waitable};

constructors! {
    impl[] BytesQueue,
    noun: "queue",
    made: " with room for one item of `capacity` bytes, or for many that are shorter",
    errors: "[`BadSize`](crate::Error::BadSize) for no bytes or more than 2^32 - 32",
    (capacity: usize) => capacity
}

impl fmt::Debug for BytesQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesQueue")
            .field("object", &self.ring.attached().object())
            .field("len", &self.len())
            .field("bytes", &self.bytes())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Waitable for BytesQueue {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(ReadySource::new(self.ring()))
    }
}

impl Object for BytesQueue {
    type Init = usize;

    fn plan(capacity: &usize) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(body_bytes(*capacity as u64)? as usize))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::BytesQueue, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, capacity: usize) -> Result<()> {
        FrameRing::initialise(body.segment, capacity as u64)
    }

    fn attach(attached: Attached) -> Result<Self, Error> {
        Ok(BytesQueue { ring: FrameRing::attach(attached)? })
    }

    fn attached(&self) -> &Attached {
        self.ring.attached()
    }
}
