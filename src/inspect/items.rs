//! Items of queues and broadcasts, seen without taking them.

use std::fmt;
use std::sync::Arc;

use super::inspector::Inspector;
use crate::error::Result;
use crate::queue::{self, Glimpse};
use crate::shm::name::Name;
use crate::shm::segment::Segment;

/// Looks at the items of one queue or broadcast as they come; from [`Inspector::items`].
///
/// It is no consumer and no subscriber: nobody waits for it, and it takes nothing. What is overwritten between two looks is missed.
pub struct Items {
    segment: Arc<Segment>,
    next: Option<u64>,
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("object", &self.segment.object()).finish_non_exhaustive()
    }
}

impl Inspector {
    /// The items of the queue or broadcast `name`: those that are there (in a queue also those that were taken and not overwritten)
    /// if `all`, and those that come.
    ///
    /// # Errors
    ///
    /// As [`detail`](Self::detail); [`Error::WrongKind`](crate::Error::WrongKind) for other objects than `Queue`, `JoinableQueue` and
    /// `Broadcast`.
    pub fn items(&self, name: &str, all: bool) -> Result<Items> {
        let segment = self.segment(&Name::existing(name)?)?;
        let now = queue::glimpse(&segment, all.then_some(0), 0)?;
        Ok(Items { segment, next: Some(now.next) })
    }
}

impl Items {
    /// At most `most` items that came since the last look.
    ///
    /// # Errors
    ///
    /// [`Error::NotASegment`](crate::Error::NotASegment) for sizes that a foreign or broken program wrote.
    pub fn look(&mut self, most: usize) -> Result<Glimpse> {
        let glimpse = queue::glimpse(&self.segment, self.next, most)?;
        self.next = Some(glimpse.next);
        Ok(glimpse)
    }

    /// The name of the items' type.
    pub fn type_name(&self) -> &str {
        &self.segment.header().type_name
    }
}
