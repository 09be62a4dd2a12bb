//! Bytes that are few as a rule: the arguments of a call, its result.

use std::io;
use std::ops::Deref;

/// So many are kept in place.
const FEW: usize = 30;

/// A buffer that needs memory of its own only where the bytes are many.
pub(crate) enum Short {
    Few(u8, [u8; FEW]),
    Many(Vec<u8>),
}

impl Short {
    pub(crate) fn new() -> Self {
        Short::Few(0, [0; FEW])
    }

    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        match self {
            Short::Few(len, few) => {
                let (start, end) = (usize::from(*len), usize::from(*len) + bytes.len());
                match few.get_mut(start..end) {
                    Some(room) => {
                        room.copy_from_slice(bytes);
                        *len = end as u8;
                    }
                    None => *self = Short::Many([&few[..start], bytes].concat()),
                }
            }
            Short::Many(many) => many.extend_from_slice(bytes),
        }
    }
}

impl From<&[u8]> for Short {
    fn from(bytes: &[u8]) -> Self {
        let mut short = Short::new();
        short.extend(bytes);
        short
    }
}

impl Deref for Short {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Short::Few(len, few) => &few[..usize::from(*len)],
            Short::Many(many) => many,
        }
    }
}

impl io::Write for Short {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_the_same_bytes() {
        let all: Vec<u8> = (0..100).collect();
        for step in [1, 7, FEW, FEW + 1, 100] {
            let mut short = Short::new();
            for (at, part) in all.chunks(step).enumerate() {
                short.extend(part);
                let len = (step * (at + 1)).min(all.len());
                assert_eq!(&*short, &all[..len]);
                assert_eq!(matches!(short, Short::Few(..)), len <= FEW, "{len}");
            }
        }
        assert!(Short::from(&[][..]).is_empty());
    }
}
