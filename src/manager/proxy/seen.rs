//! Values with the bytes they came in: whoever changes a value says by these which one it was.
//!
//! Written again a value may have other bytes: a `HashMap` has another order, another program's struct more fields, an `f32` fewer
//! digits. So what is expected to be there is said as it came.

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use super::object::Object;
use crate::manager::client::call::Decode;
use crate::manager::error::ManagerResult;
use crate::manager::wire::pack;
use crate::manager::wire::read::{Malformed, Reader};

/// A value as it came.
pub(super) struct Seen<V> {
    bytes: Vec<u8>,
    pub(super) value: V,
}

type Read<R> = Result<R, rmp_serde::decode::Error>;

fn malformed(malformed: Malformed) -> rmp_serde::decode::Error {
    rmp_serde::decode::Error::custom(malformed)
}

fn one<V: DeserializeOwned>(reader: &mut Reader<'_>) -> Read<Seen<V>> {
    let bytes = reader.value().map_err(malformed)?.to_vec();
    rmp_serde::from_slice(&bytes).map(|value| Seen { bytes, value })
}

fn none_or_one<V: DeserializeOwned>(reader: &mut Reader<'_>) -> Read<Option<Seen<V>>> {
    let len = reader.array().map_err(malformed)?;
    (len > 0).then(|| one(reader)).transpose()
}

/// An array of none or one.
pub(super) fn maybe<V: DeserializeOwned>(bytes: &[u8]) -> Read<Option<Seen<V>>> {
    none_or_one(&mut Reader::new(bytes))
}

/// Whether it was done, in front of what is there.
fn done<'a>(bytes: &'a [u8]) -> Read<(bool, Reader<'a>)> {
    let mut reader = Reader::new(bytes);
    reader.array().map_err(malformed)?;
    let done = rmp_serde::from_slice(reader.value().map_err(malformed)?)?;
    Ok((done, reader))
}

/// The answer of a dict's compare-and-swap.
fn pair_swapped<V: DeserializeOwned>(bytes: &[u8]) -> Read<Result<(), Option<Seen<V>>>> {
    let (done, mut reader) = done(bytes)?;
    if done { Ok(Ok(())) } else { none_or_one(&mut reader).map(Err) }
}

/// The answer of a list's compare-and-swap.
fn item_swapped<V: DeserializeOwned>(bytes: &[u8]) -> Read<Result<(), Seen<V>>> {
    let (done, mut reader) = done(bytes)?;
    if done { Ok(Ok(())) } else { one(&mut reader).map(Err) }
}

/// Changes the value under a key of a dict by a function of it, in one step.
pub(super) fn update_pair<Q: Serialize + ?Sized, V: Serialize + DeserializeOwned>(
    object: &Object,
    key: &Q,
    mut change: impl FnMut(Option<&V>) -> Option<V>,
) -> ManagerResult<Option<V>> {
    let get: Decode<_> = maybe::<V>;
    let mut there = object.target().call("get").arg(key).reads(get)?.run()?;
    loop {
        let new = change(there.as_ref().map(|seen| &seen.value));
        let mut expected = Vec::new();
        pack::array(&mut expected, there.iter().len());
        there.iter().for_each(|seen| expected.extend_from_slice(&seen.bytes));
        let draft = object.target().call("compare_and_swap").arg(key).raw(&expected);
        match draft.arg(new.as_slice()).reads(pair_swapped::<V>)?.run()? {
            Ok(()) => return Ok(new),
            Err(found) => there = found,
        }
    }
}

/// Changes the element at an index of a list by a function of it, in one step; `None` if there is no such element.
pub(super) fn update_item<V: Serialize + DeserializeOwned>(
    object: &Object,
    index: u64,
    mut change: impl FnMut(&V) -> V,
) -> ManagerResult<Option<V>> {
    let get: Decode<_> = maybe::<V>;
    let Some(mut there) = object.target().call("get").arg(&index).reads(get)?.run()? else { return Ok(None) };
    loop {
        let new = change(&there.value);
        let draft = object.target().call("compare_and_swap").arg(&index).raw(&there.bytes).arg(&new);
        match draft.reads(item_swapped::<V>)?.run()? {
            Ok(()) => return Ok(Some(new)),
            Err(found) => there = found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_as_they_came() {
        // 1 in five bytes; and what follows is left alone.
        let seen = maybe::<u8>(&[0x91, 0xce, 0, 0, 0, 1]).unwrap().unwrap();
        assert_eq!((seen.value, &seen.bytes[..]), (1, &[0xce, 0, 0, 0, 1][..]));
        assert!(maybe::<u8>(&[0x90]).unwrap().is_none());
        assert!(maybe::<u8>(&[0x91, 0xa1]).is_err() && maybe::<u8>(&[0x91, 0xa1, b'x']).is_err());
        assert_eq!(pair_swapped::<u8>(&[0x92, 0xc3, 0x90]).unwrap().map_err(|_| ()), Ok(()));
        assert!(pair_swapped::<u8>(&[0x92, 0xc2, 0x90]).unwrap().is_err_and(|seen| seen.is_none()));
        assert!(item_swapped::<u8>(&[0x92, 0xc2, 5]).unwrap().is_err_and(|seen| seen.value == 5));
        assert!(item_swapped::<u8>(&[0x92, 0xc2]).is_err());
    }
}
