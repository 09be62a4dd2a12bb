//! What objects of this room tell to whoever inspects them, knowing of their types only what the header says.

use std::sync::Arc;

use crate::error::Result;
use crate::participant::{Fact, ParticipantId, RawFacts};
use crate::shm::segment::Segment;
use crate::shm::view::Bytes;

/// The most elements shown.
const SHOWN: usize = 16;

/// Facts about `len` elements from `offset` of the body on: how many, and the first of them if their type is a primitive.
pub(super) fn elements(segment: &Arc<Segment>, offset: usize, len: usize) -> Result<RawFacts> {
    let size = usize::try_from(segment.header().type_size).unwrap_or(usize::MAX);
    // The whole of them must lie in the body, or the length is not believed.
    let bytes = Bytes::new(segment, offset, size.saturating_mul(len), 1)?;
    let mut facts = vec![("length", Fact::Number(len as u64))];
    let first = (0..len.min(SHOWN)).map(|index| primitive(segment, &bytes, index * size));
    if let Some(first) = first.collect::<Option<Vec<_>>>() {
        facts.push(("first", Fact::List(first)));
    }
    Ok(facts)
}

/// The primitive at `offset` of the body, if the header says that it is one.
pub(super) fn one(segment: &Arc<Segment>, offset: usize) -> Result<Option<Fact<ParticipantId>>> {
    let size = usize::try_from(segment.header().type_size).unwrap_or(0).min(8);
    Ok(primitive(segment, &Bytes::new(segment, offset, size, 1)?, 0))
}

/// The primitive at `at`, if the type's name is a primitive's and so many bytes are there.
///
/// The name is a claim: a type that only calls itself `u64` is shown as one.
fn primitive(segment: &Segment, bytes: &Bytes, at: usize) -> Option<Fact<ParticipantId>> {
    macro_rules! read {
        ($type:ty) => {
            <$type>::from_ne_bytes(bytes.array(at)?)
        };
    }
    Some(match segment.header().type_name.as_str() {
        "u8" => Fact::Number(read!(u8).into()),
        "u16" => Fact::Number(read!(u16).into()),
        "u32" => Fact::Number(read!(u32).into()),
        "u64" => Fact::Number(read!(u64)),
        "i8" => Fact::Signed(read!(i8).into()),
        "i16" => Fact::Signed(read!(i16).into()),
        "i32" => Fact::Signed(read!(i32).into()),
        "i64" => Fact::Signed(read!(i64)),
        "f32" => Fact::Real(read!(f32).into()),
        "f64" => Fact::Real(read!(f64)),
        "bool" => Fact::Flag(read!(u8) & 1 != 0),
        _ => return None,
    })
}
