//! Values as bytes: how they are written, and where.

use postcard::Serializer;
use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// So many bytes are cheaper one by one than by a call that copies.
const FEW: usize = 8;
/// So much room is made for what is written byte by byte.
const ROOM: usize = 64;

/// Appends the bytes of `value`; after an error, some of them.
#[inline]
pub(super) fn encode<V: Serialize + ?Sized>(value: &V, to: &mut Vec<u8>) -> postcard::Result<()> {
    let at = to.len();
    let mut page = Page::new(to, at);
    let outcome = page.write(value);
    page.end();
    outcome
}

/// The bytes that `write` writes.
pub(super) fn written(
    write: impl FnOnce(&mut Page<'_>) -> postcard::Result<()>,
) -> postcard::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut page = Page::new(&mut bytes, 0);
    write(&mut page)?;
    page.end();
    Ok(bytes)
}

/// Where values are written as bytes, one behind the other: a buffer in which there may be room behind them.
#[derive(Debug)]
pub struct Page<'a> {
    to: &'a mut Vec<u8>,
    /// Where the next byte goes.
    at: usize,
}

impl<'a> Page<'a> {
    /// Writes into `to` from `at` on, which is its end or before.
    #[inline]
    pub(super) fn new(to: &'a mut Vec<u8>, at: usize) -> Self {
        Page { to, at }
    }

    /// Where the next byte goes.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Cuts off what is behind the bytes that were written.
    fn end(self) {
        self.to.truncate(self.at);
    }

    /// Writes the bytes of `value`; after an error, some of them.
    #[inline]
    pub(super) fn write<V: Serialize + ?Sized>(&mut self, value: &V) -> postcard::Result<()> {
        let mut serializer = Serializer { output: Onto { to: &mut *self.to, at: self.at } };
        let outcome = value.serialize(&mut serializer);
        self.at = serializer.output.at;
        outcome
    }
}

/// Writes the bytes of `value` into `place` and tells how many they are; `None`: that is too small for them, and they were appended to
/// `instead`. After an error, either holds some of them.
#[inline]
pub(super) fn encode_in<V: Serialize + ?Sized>(
    value: &V,
    place: &mut [u8],
    instead: &mut Vec<u8>,
) -> postcard::Result<Option<usize>> {
    let mut serializer = Serializer { output: Within { place, at: 0, instead } };
    value.serialize(&mut serializer)?;
    serializer.output.finalize()
}

// Where the next byte goes is nobody's business but the loop's that writes them: kept in a register, it costs nothing. So nothing
// below lends a flavor as a whole to what is not inlined.

/// A page as the codec writes on it.
struct Onto<'a> {
    to: &'a mut Vec<u8>,
    /// Where the next byte goes; behind that there is room.
    at: usize,
}

impl Flavor for Onto<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if self.at >= self.to.len() {
            self.to.extend_from_slice(&[0; ROOM]);
        }
        self.to[self.at] = byte;
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() <= FEW {
            return bytes.iter().try_for_each(|byte| self.try_push(*byte));
        }
        self.to.truncate(self.at);
        self.to.extend_from_slice(bytes);
        self.at = self.to.len();
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// A place that may be too small.
struct Within<'a> {
    place: &'a mut [u8],
    /// Where the next byte goes; or [`ELSEWHERE`].
    at: usize,
    instead: &'a mut Vec<u8>,
}

/// No place has so many bytes.
const ELSEWHERE: usize = usize::MAX;

/// Goes on behind what is there instead, where all goes from the first byte on that finds no place. Tells where the next one goes.
#[cold]
fn go_on(place: &[u8], at: usize, instead: &mut Vec<u8>, bytes: &[u8]) -> usize {
    instead.extend_from_slice(place.get(..at).unwrap_or_default());
    instead.extend_from_slice(bytes);
    ELSEWHERE
}

impl Flavor for Within<'_> {
    type Output = Option<usize>;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.at = match self.place.get_mut(self.at) {
            Some(place) => {
                *place = byte;
                self.at + 1
            }
            None => go_on(self.place, self.at, self.instead, &[byte]),
        };
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() <= FEW {
            return bytes.iter().try_for_each(|byte| self.try_push(*byte));
        }
        self.at = match self.place.get_mut(self.at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.at + bytes.len()
            }
            None => go_on(self.place, self.at, self.instead, bytes),
        };
        Ok(())
    }

    #[inline]
    fn finalize(self) -> postcard::Result<Option<usize>> {
        Ok((self.at != ELSEWHERE).then_some(self.at))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_appended_behind_what_was_there() {
        let value = (7u8, u64::MAX, "a text of more than eight bytes", [1.5f32; 4]);
        let mut bytes = vec![9, 9];
        encode(&value, &mut bytes).unwrap();
        assert_eq!(bytes, [&[9, 9][..], &postcard::to_allocvec(&value).unwrap()].concat());
    }

    #[test]
    fn what_does_not_fit_is_elsewhere_as_a_whole() {
        let value = (7u8, "a text of more than eight bytes", vec![300u16; 10], 8u8);
        let bytes = postcard::to_allocvec(&value).unwrap();
        for room in 0..bytes.len() + 2 {
            let (mut place, mut instead) = (vec![0xee; room], vec![1]);
            let len = encode_in(&value, &mut place, &mut instead).unwrap();
            if room < bytes.len() {
                assert_eq!((len, &instead[1..]), (None, &bytes[..]), "room for {room}");
            } else {
                assert_eq!((len, &place[..bytes.len()]), (Some(bytes.len()), &bytes[..]), "room for {room}");
                assert!(instead == [1] && place[bytes.len()..].iter().all(|byte| *byte == 0xee));
            }
        }
    }
}
