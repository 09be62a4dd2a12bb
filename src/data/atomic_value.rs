//! `AtomicValue<T>`: one integer, float or bool that everybody changes at once.

use std::fmt;
use std::sync::Arc;

use super::atomic::{self, Atomic, AtomicBits, AtomicNumber, repr::Cell};
use super::atomic_ops::{operations, writable};
use super::describe;
use crate::atomic::Ordering::{Relaxed, SeqCst};
use crate::error::Result;
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, RawFacts, constructors};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::Shared;

/// One integer, float or bool, shared between processes and changed in single steps.
///
/// As fast as the standard library's atomics, which it is named after: `load`, `store`, `swap`, `compare_exchange`,
/// `fetch_add` and so on; `get`, `set` and `add` are short names. There is no ordering to choose: all operations are
/// sequentially consistent, so whoever sees a value sees everything that its writer did before. Nothing waits and nothing
/// is locked. Operations that write return [`Error::ReadOnly`](crate::Error::ReadOnly) through a handle that was opened for reading.
///
/// A `bool` is its byte's lowest bit.
///
/// # When somebody dies
///
/// An operation happened or did not; there is nothing to recover.
///
/// # Examples
///
/// ```
/// use procshare::AtomicValue;
///
/// let name = format!("doc-atomic-value-{}", std::process::id());
/// let counter = AtomicValue::create(&name, 0u64)?;
/// let same = AtomicValue::<u64>::open(&name)?; // in any process of the user
/// assert_eq!(same.fetch_add(3)?, 0);
/// assert_eq!(counter.load(), 3);
/// assert_eq!(counter.compare_exchange(7, 9)?, Err(3));
///
/// let peak = AtomicValue::anonymous(f64::NEG_INFINITY)?;
/// peak.fetch_max(1.5)?;
/// peak.fetch_max(0.5)?;
/// assert_eq!(peak.get(), 1.5);
/// AtomicValue::<u64>::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
///
/// Only what the processor changes in one step is atomic:
///
/// ```compile_fail,E0277
/// let wide = procshare::AtomicValue::anonymous(0u128);
/// ```
pub struct AtomicValue<T: Atomic> {
    cell: Shared<T::Cell>,
    attached: Attached,
}

operations!(AtomicValue);

impl<T: Atomic> AtomicValue<T> {
    #[inline]
    fn parts(&self) -> (&T::Cell, &Attached) {
        (&self.cell, &self.attached)
    }

    /// Writes the value's page back to the device of a space on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io).
    pub fn flush(&self) -> Result<()> {
        self.attached.segment.flush()
    }
}

constructors! {
    impl[T: Atomic] AtomicValue<T>,
    noun: "value",
    made: " with its first content",
    (initial: T) => initial
}

impl<T: Atomic> Clone for AtomicValue<T> {
    fn clone(&self) -> Self {
        AtomicValue { cell: self.cell.clone(), attached: self.attached.clone() }
    }
}

impl<T: Atomic + fmt::Debug> fmt::Debug for AtomicValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicValue")
            .field("object", &self.attached.object())
            .field("value", &self.load())
            .finish_non_exhaustive()
    }
}

/// The state of the value in `segment`, for whoever inspects it.
pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
    Ok(describe::one(segment, 0)?.map(|value| ("value", value)).into_iter().collect())
}

impl<T: Atomic> Object for AtomicValue<T> {
    type Init = T;

    fn plan(_: &T) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(size_of::<T::Cell>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::AtomicValue, type_info: TypeInfo::of::<T>() }
    }

    fn initialise(body: &Body<'_>, initial: T) -> Result<()> {
        // Relaxed: publication by `link` orders everything before it.
        Shared::<T::Cell>::new(body.segment, 0)?.put(initial.encode(), Relaxed);
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(AtomicValue { cell: Shared::new(&attached.segment, 0)?, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
