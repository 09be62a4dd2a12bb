//! The queue of one producer and one consumer as an object of a space.

use std::fmt;
use std::marker::PhantomData;

use super::SpscQueue;
use super::ring::{SpscRing, body_bytes};
use crate::error::Result;
use crate::participant::{Attached, Body, Builder, Expect, Object, Plan, PlanFault, sealed};
use crate::shm::header::TypeInfo;
use crate::shm::{Kind, Plain};

impl<T: Plain> Builder<SpscQueue<T>> {
    /// Makes the queue `name`; see [`create_with`](Self::create_with).
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn create(self, name: &str, capacity: usize) -> Result<SpscQueue<T>> {
        self.create_with(name, capacity)
    }

    /// Opens the queue `name`, or makes it; see [`open_or_create_with`](Self::open_or_create_with).
    ///
    /// # Errors
    ///
    /// As [`open_or_create_with`](Self::open_or_create_with).
    pub fn open_or_create(self, name: &str, capacity: usize) -> Result<SpscQueue<T>> {
        self.open_or_create_with(name, capacity)
    }

    /// Makes a queue without a name; see [`anonymous_with`](Self::anonymous_with).
    ///
    /// # Errors
    ///
    /// As [`anonymous_with`](Self::anonymous_with).
    pub fn anonymous(self, capacity: usize) -> Result<SpscQueue<T>> {
        self.anonymous_with(capacity)
    }
}

impl<T: Plain> Clone for SpscQueue<T> {
    fn clone(&self) -> Self {
        SpscQueue { ring: self.ring.clone(), plain: PhantomData }
    }
}

impl<T: Plain> fmt::Debug for SpscQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpscQueue")
            .field("object", &self.ring.attached().object())
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<T: Plain> serde::Serialize for SpscQueue<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle().serialize(serializer)
    }
}

impl<T: Plain> sealed::Sealed for SpscQueue<T> {}

impl<T: Plain> Object for SpscQueue<T> {
    type Init = usize;

    fn plan(capacity: &usize) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(body_bytes::<T>(*capacity as u64)?))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::SpscQueue, type_info: TypeInfo::of::<T>() }
    }

    fn initialise(body: &Body<'_>, capacity: usize) -> Result<()> {
        SpscRing::initialise(body.segment, capacity as u64)
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(SpscQueue { ring: SpscRing::attach::<T>(attached)?, plain: PhantomData })
    }

    fn attached(&self) -> &Attached {
        self.ring.attached()
    }
}
