//! The queue of bytes as an object of a space.

use std::fmt;

use super::BytesQueue;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Builder, Expect, Object, Plan, PlanFault, sealed};
use crate::queue::frames::{FrameRing, body_bytes};
use crate::queue::ready::ReadySource;
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::sync::{Begun, Waitable};

impl Builder<BytesQueue> {
    /// Makes the queue `name`; see [`create_with`](Self::create_with).
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn create(self, name: &str, capacity: usize) -> Result<BytesQueue> {
        self.create_with(name, capacity)
    }

    /// Opens the queue `name`, or makes it; see [`open_or_create_with`](Self::open_or_create_with).
    ///
    /// # Errors
    ///
    /// As [`open_or_create_with`](Self::open_or_create_with).
    pub fn open_or_create(self, name: &str, capacity: usize) -> Result<BytesQueue> {
        self.open_or_create_with(name, capacity)
    }

    /// Makes a queue without a name; see [`anonymous_with`](Self::anonymous_with).
    ///
    /// # Errors
    ///
    /// As [`anonymous_with`](Self::anonymous_with).
    pub fn anonymous(self, capacity: usize) -> Result<BytesQueue> {
        self.anonymous_with(capacity)
    }
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

impl serde::Serialize for BytesQueue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle().serialize(serializer)
    }
}

impl Waitable for BytesQueue {
    fn begin(&self) -> Begun<'_> {
        Begun::for_readiness(ReadySource::new(self.ring()))
    }
}

impl sealed::Sealed for BytesQueue {}

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
