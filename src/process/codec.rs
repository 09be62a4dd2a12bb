//! Values as bytes: how they are written, and where.

use postcard::Serializer;
use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// So many bytes are cheaper one by one than by a call that copies.
const FEW: usize = 8;

/// Appends the bytes of `value`; after an error, some of them.
#[inline]
pub(super) fn encode<V: Serialize + ?Sized>(value: &V, to: &mut Vec<u8>) -> postcard::Result<()> {
    value.serialize(&mut Serializer { output: Onto(to) })
}

/// Writes the bytes of `value` into `place` and tells how many they are; `None`: that is too small for them, and they were appended to
/// `instead`. After an error, either holds some of them.
#[inline]
pub(super) fn encode_in<V: Serialize + ?Sized>(
    value: &V,
    place: &mut [u8],
    instead: &mut Vec<u8>,
) -> postcard::Result<Option<usize>> {
    let mut serializer = Serializer { output: Into { place, len: 0, instead, is_full: false } };
    value.serialize(&mut serializer)?;
    serializer.output.finalize()
}

/// A buffer that is lent to the codec, so that what it held before survives an error.
struct Onto<'a>(&'a mut Vec<u8>);

impl Flavor for Onto<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() <= FEW {
            bytes.iter().for_each(|byte| self.0.push(*byte));
        } else {
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }

    #[inline]
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// A place that may be too small.
struct Into<'a> {
    place: &'a mut [u8],
    len: usize,
    instead: &'a mut Vec<u8>,
    is_full: bool,
}

impl Into<'_> {
    /// Goes on behind what is there instead, where all goes from the first byte on that finds no place.
    #[cold]
    fn go_on(&mut self, bytes: &[u8]) {
        if !self.is_full {
            self.instead.extend_from_slice(&self.place[..self.len]);
            // Nothing fits into it any more.
            (self.place, self.len, self.is_full) = (&mut [], 0, true);
        }
        self.instead.extend_from_slice(bytes);
    }
}

impl Flavor for Into<'_> {
    type Output = Option<usize>;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.place.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.go_on(&[byte]),
        }
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() <= FEW {
            return bytes.iter().try_for_each(|byte| self.try_push(*byte));
        }
        match self.place.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.go_on(bytes),
        }
        Ok(())
    }

    #[inline]
    fn finalize(self) -> postcard::Result<Option<usize>> {
        Ok((!self.is_full).then_some(self.len))
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
