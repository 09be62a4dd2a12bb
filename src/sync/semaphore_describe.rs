//! What a semaphore tells whoever inspects it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::semaphore_pool::Words;
use crate::error::Result;
use crate::participant::{Fact, RawFacts};
use crate::shm::Kind;
use crate::shm::segment::Segment;

/// Owners listed one by one.
const LISTED: usize = 64;

/// The state of the semaphore of either kind in `segment`.
pub(crate) fn describe_semaphore(segment: &Arc<Segment>) -> Result<RawFacts> {
    let bounded = segment.header().kind == Kind::BoundedSemaphore;
    let words = Words::of(segment, bounded)?;
    let mut owned = BTreeMap::<u32, u64>::new();
    for (owner, permits) in words.holdings() {
        let sum = owned.entry(owner).or_default();
        *sum = sum.saturating_add(permits);
    }
    let mut facts = vec![
        (if bounded { "bound" } else { "initial" }, Fact::Number(u64::from(words.initial))),
        ("available", Fact::Number(u64::from(words.available()))),
        ("owned", Fact::Number(owned.values().fold(0, |sum: u64, permits| sum.saturating_add(*permits)))),
        ("waiters", Fact::Flag(words.head.events.may_have_sleepers())),
    ];
    let owners = owned.into_iter().take(LISTED).map(|(owner, permits)| {
        Fact::Part(vec![("holder", Fact::participant(owner)), ("permits", Fact::Number(permits))])
    });
    facts.push(("owners", Fact::List(owners.collect())));
    Ok(facts)
}
