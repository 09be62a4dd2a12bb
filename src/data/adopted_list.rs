//! CPython's own `ShareableList`, read and written in place.
//!
//! ```text
//! i64          number of items n
//! i64 × (n+1)  where each item begins in the data, and where the last one ends
//! data
//! 8 × n        each item's `struct` format, padded with NULs
//! i8 × n       what becomes of the unpacked value: 0 nothing, 1 text, 2 bytes (both without trailing NULs), 3 None
//! ```
//!
//! Nothing in it is believed: the number of items and the length of the data are checked once and kept, every other offset at
//! every use.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::adopted::adopt;
use super::item::Item;
use crate::error::{Error, Result};
use crate::shm::view::Bytes;

const WORD: usize = 8;
const NONE: &[u8] = b"xxxxxx?x";
const BOOL: &[u8] = b"xxxxxxx?";

/// A `ShareableList` that CPython made; from [`ShareableList::adopt`](crate::ShareableList::adopt).
///
/// The layout is Python's, with its limits: text and bytes lose trailing NULs; there is no lock, so a read that meets
/// somebody's write may see half of each. Bring a [`Lock`](crate::Lock) of your own if several processes write. The list is
/// never removed by us.
///
/// # When somebody dies
///
/// A writer that is killed may leave an item half written: of the old type with new bytes, or the other way round.
/// Whatever is there, reading it is an item or an [`Error::InvalidBits`].
#[derive(Clone)]
pub struct AdoptedList {
    bytes: Bytes,
    os_id: Arc<str>,
    len: usize,
    /// Bytes of the data.
    data: usize,
}

impl AdoptedList {
    pub(super) fn open(os_id: &str) -> Result<Self> {
        let bytes = adopt(os_id)?;
        let wrong = |what, expected: String, found: String| Error::NotASegment {
            object: os_id.to_owned(),
            what,
            expected,
            found,
        };
        if bytes.len() < 2 * WORD {
            return Err(wrong("length", "at least 16 bytes".into(), bytes.len().to_string()));
        }
        let count = word_at(&bytes, 0);
        // Each item has an offset, a format and a code; beside them there are the count and the end of the data.
        let most = (bytes.len() - 2 * WORD) / (2 * WORD + 1);
        let len = usize::try_from(count)
            .ok()
            .filter(|len| *len <= most)
            .ok_or_else(|| wrong("number of items", format!("0 to {most}"), count.to_string()))?;
        let room = bytes.len() - 2 * WORD - len * (2 * WORD + 1);
        let end = word_at(&bytes, (len + 1) * WORD);
        let data = usize::try_from(end)
            .ok()
            .filter(|data| *data <= room)
            .ok_or_else(|| wrong("length of the data", format!("0 to {room}"), end.to_string()))?;
        Ok(AdoptedList { bytes, os_id: os_id.into(), len, data })
    }

    /// The system's name of it, as given.
    pub fn os_id(&self) -> &str {
        &self.os_id
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it was made without items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// An item.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::InvalidBits`] if there is no item that Python could have written.
    pub fn get(&self, index: usize) -> Result<Item> {
        let place = self.place(index)?;
        self.decode(index, place).ok_or_else(|| self.invalid(index))
    }

    /// Replaces an item; its type may change.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::TooLong`] if the item has less room; [`Error::InvalidBits`] if it has no place at all.
    pub fn set(&self, index: usize, item: impl Into<Item>) -> Result<()> {
        let place = self.place(index)?;
        let item = item.into();
        let (code, bytes) = match &item {
            Item::None => (3, vec![0; WORD]),
            Item::Bool(value) => (0, vec![0, 0, 0, 0, 0, 0, 0, u8::from(*value)]),
            Item::Int(value) => (0, value.to_ne_bytes().to_vec()),
            Item::Float(value) => (0, value.to_ne_bytes().to_vec()),
            Item::Str(value) => (1, value.as_bytes().to_vec()),
            Item::Bytes(value) => (2, value.clone()),
        };
        let mut format = item.format(place.len()).into_bytes();
        if bytes.len() > place.len() || format.len() > WORD {
            return Err(Error::TooLong {
                object: self.os_id.to_string(),
                at: format!("item {index}"),
                room: place.len(),
                found: bytes.len(),
            });
        }
        format.resize(WORD, 0);
        let mut padded = bytes;
        if code == 1 || code == 2 {
            padded.resize(place.len(), 0);
        }
        // The order is Python's.
        self.bytes.store(self.format_at(index), &format);
        self.bytes.store(self.code_at(index), &[code]);
        self.bytes.store(place.start, &padded);
        Ok(())
    }

    /// How many bytes an item has room for.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::InvalidBits`] if it has no place at all.
    pub fn room(&self, index: usize) -> Result<usize> {
        Ok(self.place(index)?.len())
    }

    /// The index of the first item that equals this one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn index(&self, item: &Item) -> Result<Option<usize>> {
        for index in 0..self.len {
            if self.get(index)? == *item {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// How many items equal this one.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn count(&self, item: &Item) -> Result<usize> {
        Ok(self.to_vec()?.iter().filter(|other| *other == item).count())
    }

    /// All items.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn to_vec(&self) -> Result<Vec<Item>> {
        (0..self.len).map(|index| self.get(index)).collect()
    }

    /// The formats of the items, as Python's `ShareableList.format`.
    pub fn format(&self) -> String {
        (0..self.len).map(|index| String::from_utf8_lossy(&self.format_of(index)).into_owned()).collect()
    }

    /// Where the item's bytes are.
    fn place(&self, index: usize) -> Result<Range<usize>> {
        if index >= self.len {
            return Err(Error::OutOfRange {
                object: self.os_id.to_string(),
                start: index,
                end: index.saturating_add(1),
                len: self.len,
            });
        }
        let offset = |index: usize| usize::try_from(word_at(&self.bytes, (index + 1) * WORD)).ok();
        match (offset(index), offset(index + 1)) {
            (Some(start), Some(end)) if start <= end && end <= self.data => {
                let data = (self.len + 2) * WORD;
                Ok(data + start..data + end)
            }
            _ => Err(self.invalid(index)),
        }
    }

    fn decode(&self, index: usize, place: Range<usize>) -> Option<Item> {
        let mut code = [0];
        self.bytes.read(self.code_at(index), &mut code);
        let format = self.format_of(index);
        let take = |len: usize| {
            let mut bytes = vec![0; len];
            (len <= place.len()).then(|| self.bytes.read(place.start, &mut bytes))?;
            Some(bytes)
        };
        let eight = || <[u8; WORD]>::try_from(take(WORD)?).ok();
        Some(match (format.as_slice(), code[0]) {
            (b"q", 0) => Item::Int(i64::from_ne_bytes(eight()?)),
            (b"d", 0) => Item::Float(f64::from_ne_bytes(eight()?)),
            (BOOL, 0) => Item::Bool(eight()?[7] != 0),
            (NONE, 3) => Item::None,
            (text, code @ 0..=3) => {
                let digits = std::str::from_utf8(text.strip_suffix(b"s")?).ok()?;
                // `parse` would take a sign, too.
                let digits =
                    Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
                let bytes = take(digits.parse().ok()?)?;
                let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                match code {
                    0 => Item::Bytes(bytes),
                    1 => Item::Str(String::from_utf8(bytes[..end].to_vec()).ok()?),
                    2 => Item::Bytes(bytes[..end].to_vec()),
                    _ => Item::None,
                }
            }
            _ => return None,
        })
    }

    /// The item's format without its padding.
    fn format_of(&self, index: usize) -> Vec<u8> {
        let mut format = vec![0; WORD];
        self.bytes.read(self.format_at(index), &mut format);
        format.truncate(format.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
        format
    }

    fn format_at(&self, index: usize) -> usize {
        (self.len + 2 + index) * WORD + self.data
    }

    fn code_at(&self, index: usize) -> usize {
        self.format_at(self.len) + index
    }

    #[cold]
    fn invalid(&self, index: usize) -> Error {
        Error::InvalidBits { object: self.os_id.to_string(), type_name: "Item", at: format!("item {index}") }
    }
}

impl fmt::Debug for AdoptedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptedList").field("os_id", &self.os_id).field("len", &self.len).finish()
    }
}

/// The number at `at`, which the caller knows to lie inside.
fn word_at(bytes: &Bytes, at: usize) -> i64 {
    let mut word = [0; WORD];
    bytes.read(at, &mut word);
    i64::from_ne_bytes(word)
}
