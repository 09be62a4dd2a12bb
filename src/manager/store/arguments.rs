//! The arguments of a call, one after the other.

use std::borrow::Cow;

use super::datum::Datum;
use super::fault::Fault;
use super::world::World;
use crate::manager::wire::order::canonical;
use crate::manager::wire::read::{Head, Reader};

/// Storing a value takes as long as touching so many that are there.
const STORED: usize = 4;

/// Storing a pair of a dict, likewise.
const STORED_PAIR: usize = 16;

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    Never,
    /// Nanoseconds.
    After(u64),
}

/// The arguments that have not been taken yet.
pub(crate) struct Arguments<'a> {
    reader: Reader<'a>,
    left: u32,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(bytes: &'a [u8], count: u32) -> Self {
        Arguments { reader: Reader::new(bytes), left: count }
    }

    /// How many are left.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    fn step(&mut self) -> Result<&mut Reader<'a>, Fault> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Fault::bad_call("too few arguments"))?;
        Ok(&mut self.reader)
    }

    /// The next one's bytes.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8], Fault> {
        Ok(self.step()?.value()?)
    }

    /// The next one, to be stored.
    pub(crate) fn datum(&mut self, world: &World) -> Result<Datum, Fault> {
        read_datum(self.step()?, world)
    }

    /// The elements of the next one, an array, to be stored.
    pub(crate) fn data(&mut self, world: &World) -> Result<Vec<Datum>, Fault> {
        let reader = self.step()?;
        let len = reader.array()?;
        world.work((len as usize).saturating_mul(STORED))?;
        // Announced only: room is made as they come.
        (0..len).map(|_| read_datum(reader, world)).collect()
    }

    /// The pairs of the next one, a map or an array of arrays of two, to be stored.
    pub(crate) fn pairs(&mut self, world: &World) -> Result<Vec<(Datum, Datum)>, Fault> {
        let reader = self.step()?;
        let (len, nested) = match reader.head()? {
            Head::Map(len) => (len, false),
            Head::Array(len) => (len, true),
            _ => return Err(Fault::bad_call("a map, or an array of pairs, is needed here")),
        };
        world.work((len as usize).saturating_mul(STORED_PAIR))?;
        let mut pairs = Vec::new();
        for _ in 0..len {
            if nested && reader.array()? != 2 {
                return Err(Fault::bad_call("a pair has two elements"));
            }
            pairs.push((read_datum(reader, world)?, read_datum(reader, world)?));
        }
        Ok(pairs)
    }

    /// None or one value, to be stored.
    pub(crate) fn maybe(&mut self, world: &World) -> Result<Option<Datum>, Fault> {
        let mut data = self.data(world)?;
        if data.len() > 1 {
            return Err(Fault::bad_call("an array of at most one element is needed here"));
        }
        Ok(data.pop())
    }

    /// The canonical form of the next one.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        let reader = self.step()?;
        // Small numbers and short texts have one form only. They were looked at when the request came.
        Ok(match reader.rest() {
            [0x00..=0x7f | 0xe0..=0xff, ..] => Cow::Borrowed(reader.take(1)?),
            [marker @ 0xa0..=0xbf, ..] => Cow::Borrowed(reader.take(1 + usize::from(marker & 0x1f))?),
            _ => Cow::Owned(canonical(reader.value()?)?),
        })
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Fault> {
        self.step()?.uint().map_err(|_| Fault::bad_call("a number that is not negative is needed here"))
    }

    pub(crate) fn int(&mut self) -> Result<i128, Fault> {
        match self.step()?.head()? {
            Head::Int(value) => Ok(value),
            _ => Err(Fault::bad_call("an integer is needed here")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Fault> {
        self.step()?.str().map_err(|_| Fault::bad_call("a text is needed here"))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Fault> {
        match self.step()?.head()? {
            Head::Bool(flag) => Ok(flag),
            _ => Err(Fault::bad_call("a bool is needed here")),
        }
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<&'a str>, Fault> {
        match self.step()?.head()? {
            Head::Nil => Ok(None),
            Head::Text(text) => Ok(Some(text)),
            _ => Err(Fault::bad_call("a text or nil is needed here")),
        }
    }

    pub(crate) fn optional_uint(&mut self) -> Result<Option<u64>, Fault> {
        match self.step()?.head()? {
            Head::Nil => Ok(None),
            Head::Int(value) if u64::try_from(value).is_ok() => Ok(Some(value as u64)),
            _ => Err(Fault::bad_call("a number that is not negative, or nil, is needed here")),
        }
    }

    /// Milliseconds, or nil for ever.
    pub(crate) fn timeout(&mut self) -> Result<Timeout, Fault> {
        let milliseconds = self.optional_uint()?;
        Ok(match milliseconds.map(|ms| ms.checked_mul(1_000_000)) {
            Some(Some(ns)) => Timeout::After(ns),
            // Longer than any clock runs.
            Some(None) | None => Timeout::Never,
        })
    }

    /// A reference to an object.
    pub(crate) fn reference(&mut self) -> Result<u64, Fault> {
        match self.step()?.head()? {
            Head::Extension(crate::manager::wire::pack::REFERENCE, data) => {
                Ok(u64::from_be_bytes(data.try_into().map_err(|_| Fault::bad_call("a bad reference"))?))
            }
            _ => Err(Fault::bad_call("a reference to an object is needed here")),
        }
    }

    pub(crate) fn end(&self) -> Result<(), Fault> {
        if self.left == 0 { Ok(()) } else { Err(Fault::bad_call("too many arguments")) }
    }
}

fn read_datum(reader: &mut Reader<'_>, world: &World) -> Result<Datum, Fault> {
    let mut objects = Vec::new();
    let bytes = reader.value_with(|object| objects.push(object))?;
    world.datum(bytes, &objects)
}
