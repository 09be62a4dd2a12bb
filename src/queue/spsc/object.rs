//! The queue of one producer and one consumer as an object of a space.

use std::fmt;
use std::marker::PhantomData;

use super::SpscQueue;
use super::ring::{SpscRing, body_bytes};
use crate::error::Result;
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, constructors};
use crate::shm::header::TypeInfo;
use crate::shm::{Kind, Plain};

constructors! {
    impl[T: Plain] SpscQueue<T>,
    noun: "queue",
    made: " with room for `capacity` items",
    errors: "[`BadSize`](crate::Error::BadSize) for no slots or more than 2^28",
    (capacity: usize) => capacity
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
