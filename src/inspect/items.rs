//! Items of queues, pipes and broadcasts, seen without taking them.

use std::fmt;
use std::sync::Arc;

use super::inspector::Inspector;
use crate::error::Result;
use crate::queue::{self, Glimpse};
use crate::shm::name::Name;
use crate::shm::segment::Segment;

/// Looks at the items of one queue, pipe or broadcast as they come; from [`Inspector::items`].
///
/// It is no consumer and no subscriber: nobody waits for it, and it takes nothing. What is overwritten between two looks is missed. That
/// is what comes more than a lap later, and in a `BytesQueue`, `CodecQueue`, `SpscQueue` or `Pipe` also what was taken: there nothing tells
/// a taken item from one that is being overwritten.
pub struct Items {
    segment: Arc<Segment>,
    /// Where each stream goes on.
    next: Vec<u64>,
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("object", &self.segment.object()).finish_non_exhaustive()
    }
}

impl Inspector {
    /// The items of the queue, pipe or broadcast `name`: those that are there (in a `Queue` also those that were taken and not
    /// overwritten) if `all`, and those that come.
    ///
    /// # Errors
    ///
    /// As [`detail`](Self::detail); [`Error::WrongKind`](crate::Error::WrongKind) for what has no items.
    pub fn items(&self, name: &str, all: bool) -> Result<Items> {
        let segment = self.segment(&Name::existing(name)?)?;
        let streams = 0..queue::streams(segment.header().kind).len();
        let begin = |stream| queue::glimpse(&segment, stream, all.then_some(0), 0).map(|now| now.next);
        let next = streams.map(begin).collect::<Result<_>>()?;
        Ok(Items { segment, next })
    }
}

impl Items {
    /// At most `most` items that came since the last look.
    ///
    /// # Errors
    ///
    /// [`Error::NotASegment`](crate::Error::NotASegment) for sizes that a foreign or broken program wrote.
    pub fn look(&mut self, most: usize) -> Result<Glimpse> {
        let mut all: Option<Glimpse> = None;
        for (stream, next) in self.next.iter_mut().enumerate() {
            let seen = all.as_ref().map_or(0, |all| all.items.len());
            let glimpse = queue::glimpse(&self.segment, stream, Some(*next), most - seen)?;
            *next = glimpse.next;
            match &mut all {
                None => all = Some(glimpse),
                Some(all) => all.join(glimpse),
            }
        }
        Ok(all.unwrap_or_default())
    }

    /// The name of the items' type.
    pub fn type_name(&self) -> &str {
        &self.segment.header().type_name
    }
}
