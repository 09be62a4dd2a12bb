//! What an array tells to whoever inspects it.

use std::sync::Arc;

use super::body::{MAX_ALIGN, Parts};
use crate::data::describe;
use crate::error::{Error, Result};
use crate::participant::{Fact, RawFacts};
use crate::shm::segment::Segment;

/// How many ranges that are not free are shown.
const SHOWN: usize = 64;

/// The state of the array in `segment`.
pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
    let header = segment.header();
    let sizes = (usize::try_from(header.type_size), usize::try_from(header.type_align));
    let parts = match sizes {
        (Ok(size), Ok(align)) if align.is_power_of_two() && align <= MAX_ALIGN => {
            Parts::attach(segment, size, align)?
        }
        _ => {
            return Err(Error::NotASegment {
                object: segment.object(),
                what: "type alignment",
                expected: format!("a power of two up to {MAX_ALIGN}"),
                found: header.type_align.to_string(),
            });
        }
    };
    let busy = parts.table.candidates().map(|entry| (entry.look(), entry.range()));
    let busy: Vec<_> = busy.filter(|(seen, _)| !seen.is_free()).collect();
    let ranges = busy.iter().take(SHOWN).map(|(seen, range)| {
        Fact::Part(vec![
            ("start", Fact::Number(range.start as u64)),
            ("end", Fact::Number(range.end as u64)),
            ("holder", Fact::participant(seen.holder())),
            ("inconsistent", seen.torn().map_or(Fact::Nothing, |cause| Fact::Text(cause.to_string()))),
        ])
    });
    let writers = parts.stripes.iter().filter_map(|stripe| stripe.taken()).map(|taken| {
        Fact::Part(vec![
            ("index", Fact::Number(taken.index() as u64)),
            ("holder", Fact::participant(taken.id())),
        ])
    });
    let mut facts = describe::elements(segment, parts.layout.elements_at, parts.len())?;
    facts.insert(1, ("capacity", Fact::Number(parts.layout.capacity as u64)));
    facts.insert(2, ("not_free", Fact::Number(busy.len() as u64)));
    facts.push(("ranges", Fact::List(ranges.collect())));
    facts.push(("writers", Fact::List(writers.collect())));
    Ok(facts)
}
