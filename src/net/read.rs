//! Reading MessagePack that anybody may have written: every length is checked before it is believed.

use std::fmt;

use super::pack::REFERENCE;

/// How deep values may be nested.
pub(crate) const DEEPEST: usize = 64;

/// Why bytes are no MessagePack value that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The bytes end inside a value.
    Truncated,
    /// A marker that MessagePack does not use.
    Reserved,
    /// Text that is not UTF-8.
    Utf8,
    /// More levels than [`DEEPEST`].
    TooDeep,
    /// A reference that is not 8 bytes long.
    Reference,
    /// Bytes behind the value.
    Trailing,
    /// A value of another type than this place takes.
    Unexpected,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("the bytes end inside a value"),
            Malformed::Reserved => f.write_str("0xc1 begins no value"),
            Malformed::Utf8 => f.write_str("text that is not UTF-8"),
            Malformed::TooDeep => write!(f, "nested deeper than {DEEPEST} levels"),
            Malformed::Reference => f.write_str("a reference (extension 1) that is not 8 bytes long"),
            Malformed::Trailing => f.write_str("bytes behind the value"),
            Malformed::Unexpected => f.write_str("a value of another type than this place takes"),
        }
    }
}

/// The first part of a value: all of it, unless it is an array or a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head<'a> {
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    Array(u32),
    Map(u32),
    Extension(i8, &'a [u8]),
}

impl Head<'_> {
    /// How many values follow that belong to this one.
    fn inner(&self) -> u64 {
        match *self {
            Head::Array(len) => len.into(),
            Head::Map(len) => 2 * u64::from(len),
            _ => 0,
        }
    }
}

/// Whether a text of at most 31 bytes is ASCII: looked at in words that may overlap.
#[inline]
fn is_short_ascii(text: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let joined = if let Some(last) = text.last_chunk() {
        text.chunks_exact(8).fold(u64::from_le_bytes(*last), |joined, word| {
            joined | word.first_chunk().map_or(HIGH, |word| u64::from_le_bytes(*word))
        })
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        (u32::from_le_bytes(*first) | u32::from_le_bytes(*last)).into()
    } else {
        text.iter().fold(0, |joined, &byte| joined | u64::from(byte))
    };
    joined & HIGH == 0
}

/// A place in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The bytes that have not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_at_end() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    pub(crate) fn head(&mut self) -> Result<Head<'a>, Malformed> {
        let &marker = self.bytes.get(self.at).ok_or(Malformed::Truncated)?;
        self.at += 1;
        Ok(match marker {
            0x00..=0x7f => Head::Int(marker.into()),
            0x80..=0x8f => Head::Map((marker & 0x0f).into()),
            0x90..=0x9f => Head::Array((marker & 0x0f).into()),
            0xa0..=0xbf => self.text((marker & 0x1f).into())?,
            0xc0 => Head::Nil,
            0xc1 => return Err(Malformed::Reserved),
            0xc2 | 0xc3 => Head::Bool(marker == 0xc3),
            0xc4..=0xc6 => Head::Binary(self.sized(marker - 0xc4)?),
            0xc7..=0xc9 => {
                let len = self.number(1 << (marker - 0xc7))? as usize;
                self.extension(len)?
            }
            0xca => Head::Float(f32::from_bits(self.number(4)? as u32).into()),
            0xcb => Head::Float(f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => Head::Int(self.number(1 << (marker - 0xcc))?.into()),
            0xd0 => Head::Int((self.number(1)? as i8).into()),
            0xd1 => Head::Int((self.number(2)? as i16).into()),
            0xd2 => Head::Int((self.number(4)? as i32).into()),
            0xd3 => Head::Int((self.number(8)? as i64).into()),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.number(1 << (marker - 0xd9))? as usize;
                self.text(len)?
            }
            0xdc | 0xdd => Head::Array(self.number(2 << (marker - 0xdc))? as u32),
            0xde | 0xdf => Head::Map(self.number(2 << (marker - 0xde))? as u32),
            0xe0..=0xff => Head::Int((marker as i8).into()),
        })
    }

    /// Reads one whole value and gives its bytes; what it refers to is told to `referred`.
    #[inline]
    pub(crate) fn value_with(&mut self, referred: impl FnMut(u64)) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        if self.small()? {
            return Ok(&self.bytes[start..self.at]);
        }
        // None or one of them is an array, too, and a frequent answer.
        if let Some(len @ 0x90..=0x91) = self.bytes.get(self.at) {
            self.at += 1;
            if *len == 0x90 || self.small()? {
                return Ok(&self.bytes[start..self.at]);
            }
            self.at = start;
        }
        self.any_value(referred)
    }

    fn any_value(&mut self, mut referred: impl FnMut(u64)) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        let mut left = self.step(&mut referred)?.unwrap_or(0);
        // Most values hold no others that hold others.
        while left > 0 {
            left -= 1;
            if let Some(inner) = self.step(&mut referred)? {
                self.deep(left, inner, &mut referred)?;
                break;
            }
        }
        Ok(&self.bytes[start..self.at])
    }

    /// Reads one array: how many values it has, and their bytes.
    #[inline]
    pub(crate) fn values(&mut self) -> Result<(u32, &'a [u8]), Malformed> {
        let whole = *self;
        let count = self.array()?;
        let start = self.at;
        for _ in 0..count {
            if !self.small()? {
                // Looked at as one value from its beginning, so that depth is counted from there.
                *self = whole;
                let mut values = Reader::new(self.value()?);
                return Ok((values.array()?, values.rest()));
            }
        }
        Ok((count, &self.bytes[start..self.at]))
    }

    /// Passes a value of the most frequent kinds: a number, a short text, nil or a bool. Whether it was one.
    #[inline]
    fn small(&mut self) -> Result<bool, Malformed> {
        match self.bytes.get(self.at) {
            Some(0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff) => self.at += 1,
            Some(marker @ 0xa0..=0xbf) => {
                self.at += 1;
                let bytes = self.take((marker & 0x1f).into())?;
                if !is_short_ascii(bytes) {
                    text(bytes)?;
                }
            }
            Some(marker @ 0xca..=0xd3) => {
                self.at += 1;
                // Floats of 4 and 8 bytes; unsigned and signed integers of 1, 2, 4 and 8.
                let width_log = if *marker < 0xcc { marker - 0xca + 2 } else { marker & 3 };
                self.take(1 << width_log)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads one head; of an array or a map, how many values follow that belong to it.
    fn step(&mut self, referred: &mut impl FnMut(u64)) -> Result<Option<u64>, Malformed> {
        if self.small()? {
            return Ok(None);
        }
        let head = self.head()?;
        if let Head::Extension(REFERENCE, data) = head {
            referred(u64::from_be_bytes(data.try_into().map_err(|_| Malformed::Reference)?));
        }
        Ok(matches!(head, Head::Array(_) | Head::Map(_)).then(|| head.inner()))
    }

    /// Reads the rest of a value: `inner` values on its second level, then `left` on its first.
    fn deep(&mut self, left: u64, inner: u64, referred: &mut impl FnMut(u64)) -> Result<(), Malformed> {
        // How many values are still to come on each level.
        let mut open = [0u64; DEEPEST];
        (open[0], open[1]) = (left, inner);
        let mut depth = 1;
        loop {
            while open[depth] == 0 {
                if depth == 0 {
                    return Ok(());
                }
                depth -= 1;
            }
            open[depth] -= 1;
            if let Some(inner) = self.step(referred)? {
                depth += 1;
                if depth == DEEPEST {
                    return Err(Malformed::TooDeep);
                }
                open[depth] = inner;
            }
        }
    }

    /// Reads one whole value and gives its bytes.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], Malformed> {
        self.value_with(|_| ())
    }

    #[inline]
    pub(crate) fn array(&mut self) -> Result<u32, Malformed> {
        if let Some(&short @ 0x90..=0x9f) = self.bytes.get(self.at) {
            self.at += 1;
            return Ok((short & 0x0f).into());
        }
        match self.head()? {
            Head::Array(len) => Ok(len),
            _ => Err(Malformed::Unexpected),
        }
    }

    #[inline]
    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        match self.bytes.get(self.at) {
            Some(&small @ 0x00..=0x7f) => {
                self.at += 1;
                Ok(small.into())
            }
            Some(marker @ 0xcc..=0xcf) => {
                let width = 1 << (marker - 0xcc);
                // As many bytes as the longest has are there as a rule, whosever they are.
                if let Some(digits) = self.bytes[self.at + 1..].first_chunk() {
                    self.at += 1 + width;
                    return Ok(u64::from_be_bytes(*digits) >> (64 - 8 * width));
                }
                self.at += 1;
                self.number(width)
            }
            _ => match self.head()? {
                Head::Int(value) => u64::try_from(value).map_err(|_| Malformed::Unexpected),
                _ => Err(Malformed::Unexpected),
            },
        }
    }

    #[inline]
    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        if let Some(marker @ 0xa0..=0xbf) = self.bytes.get(self.at) {
            self.at += 1;
            return text(self.take((marker & 0x1f).into())?);
        }
        match self.head()? {
            Head::Text(text) => Ok(text),
            _ => Err(Malformed::Unexpected),
        }
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        match self.head()? {
            Head::Binary(data) => Ok(data),
            _ => Err(Malformed::Unexpected),
        }
    }

    /// The next bytes, whatever they are.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.rest().get(..len).ok_or(Malformed::Truncated)?;
        self.at += len;
        Ok(taken)
    }

    /// A number of 1, 2, 4 or 8 bytes.
    #[inline]
    fn number(&mut self, width: usize) -> Result<u64, Malformed> {
        Ok(match *self.take(width)? {
            [a] => a.into(),
            [a, b] => u16::from_be_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_be_bytes([a, b, c, d]).into(),
            ref bytes => bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
        })
    }

    fn sized(&mut self, width_log: u8) -> Result<&'a [u8], Malformed> {
        let len = self.number(1 << width_log)?;
        self.take(len as usize)
    }

    fn text(&mut self, len: usize) -> Result<Head<'a>, Malformed> {
        text(self.take(len)?).map(Head::Text)
    }

    fn extension(&mut self, len: usize) -> Result<Head<'a>, Malformed> {
        let kind = self.take(1)?[0] as i8;
        Ok(Head::Extension(kind, self.take(len)?))
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8)
}

#[cfg(test)]
mod tests {
    use super::super::pack;
    use super::*;

    fn one(bytes: &[u8]) -> Result<Head<'_>, Malformed> {
        Reader::new(bytes).head()
    }

    #[test]
    fn one_byte_that_is_not_ascii_is_found_wherever_it_is() {
        for len in 0..=31 {
            let mut text = vec![0x7f; len];
            assert!(is_short_ascii(&text));
            for at in 0..len {
                text[at] = 0x80;
                assert!(!is_short_ascii(&text), "{at} of {len}");
                text[at] = 0x7f;
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let ints = [0, 1, 127, 128, 255, 256, 65_535, 65_536, u32::MAX.into(), 1 << 32, u64::MAX.into()];
        let negative = [-1, -32, -33, -128, -129, -32_768, -32_769, i32::MIN.into(), i64::MIN.into()];
        for value in ints.into_iter().chain(negative) {
            let mut out = Vec::new();
            pack::int(&mut out, value);
            assert_eq!(one(&out), Ok(Head::Int(value)));
        }
        for len in [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let (mut text, mut data, mut extension) = (Vec::new(), Vec::new(), Vec::new());
            pack::text(&mut text, &"x".repeat(len));
            pack::binary(&mut data, &vec![7; len]);
            pack::extension(&mut extension, 5, &vec![7; len]);
            assert_eq!(one(&text), Ok(Head::Text(&"x".repeat(len))));
            assert_eq!(one(&data), Ok(Head::Binary(&vec![7; len])));
            assert_eq!(one(&extension), Ok(Head::Extension(5, &vec![7; len])));
            let (mut array, mut map) = (Vec::new(), Vec::new());
            pack::array(&mut array, len);
            pack::map(&mut map, len);
            assert_eq!(one(&array), Ok(Head::Array(len as u32)));
            assert_eq!(one(&map), Ok(Head::Map(len as u32)));
        }
    }

    #[test]
    fn every_prefix_of_a_value_is_truncated() {
        let mut out = Vec::new();
        pack::map(&mut out, 2);
        pack::text(&mut out, "key");
        pack::array(&mut out, 3);
        pack::float(&mut out, 0.5);
        pack::reference(&mut out, 9);
        pack::nil(&mut out);
        pack::int(&mut out, -70_000);
        pack::binary(&mut out, &[1; 300]);
        let mut seen = Vec::new();
        assert_eq!(Reader::new(&out).value_with(|object| seen.push(object)), Ok(&out[..]));
        assert_eq!(seen, [9]);
        for end in 0..out.len() {
            assert_eq!(Reader::new(&out[..end]).value(), Err(Malformed::Truncated), "cut at {end}");
        }
    }

    #[test]
    fn passing_a_value_ends_where_reading_it_ends() {
        for marker in (0..=0xff).filter(|marker| !matches!(marker, 0x80..=0x9f | 0xdc..=0xdf)) {
            for rest in [[1; 40], [0xff; 40]] {
                let bytes = [&[marker][..], &rest].concat();
                let (mut read, mut passed) = (Reader::new(&bytes), Reader::new(&bytes));
                let reference = matches!(marker, 0xc7..=0xc9 | 0xd4..=0xd8) && rest[0] == 1;
                match (read.head(), passed.value()) {
                    (Ok(_), Ok(value)) => {
                        assert_eq!((value, read.rest()), (&bytes[..read.at], passed.rest()))
                    }
                    (Err(one), Err(other)) => assert_eq!(one, other, "{marker:#x}"),
                    (one, other) => assert!(reference, "{marker:#x}: {one:?}, {other:?}"),
                }
            }
        }
    }

    #[test]
    fn depth_and_counts_are_limited() {
        let deepest = [vec![0x91; DEEPEST], vec![0xc0]].concat();
        assert_eq!(Reader::new(&deepest).value().map(<[u8]>::len), Ok(DEEPEST + 1));
        assert_eq!(Reader::new(&[0x91; DEEPEST + 1]).value(), Err(Malformed::TooDeep));
        let empty = [vec![0x91; DEEPEST], vec![0x90]].concat();
        assert_eq!(Reader::new(&empty).value(), Err(Malformed::TooDeep));
        // Nothing of the levels above is forgotten below.
        let bushy = [0x93, 0x92, 0x91, 0x01, 0x90, 0x82, 0x01, 0x91, 0x02, 0x03, 0x80, 0x04, 0x05];
        assert_eq!(Reader::new(&bushy).value().map(<[u8]>::len), Ok(bushy.len() - 1));
        assert_eq!(Reader::new(&[0x91; 1_000_000]).value(), Err(Malformed::TooDeep));
        // Four billion elements are announced, none comes.
        assert_eq!(Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff]).value(), Err(Malformed::Truncated));
        assert_eq!(Reader::new(&[0xc6, 0xff, 0xff, 0xff, 0xff]).value(), Err(Malformed::Truncated));
    }

    #[test]
    fn what_is_no_value_is_named() {
        assert_eq!(one(&[0xc1]), Err(Malformed::Reserved));
        assert_eq!(one(&[0xa1, 0xff]), Err(Malformed::Utf8));
        assert_eq!(Reader::new(&[0xd4, 1, 0]).value(), Err(Malformed::Reference));
    }

    /// Whatever the bytes: an answer, no panic, and never more than there is.
    #[test]
    fn random_bytes_are_survived() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..200_000 {
            let mut bytes = [0u8; 24];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (state >> 56) as u8;
            }
            if let Ok(value) = Reader::new(&bytes).value() {
                assert!(!value.is_empty() && value.len() <= bytes.len());
            }
        }
    }
}
