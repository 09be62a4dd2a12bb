//! What is in a frame: requests and replies. Greetings are those of every connection, see `net::greeting`.

use crate::net::frame::PREFIX;
use crate::net::pack;
use crate::net::read::{Malformed, Reader};

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    /// Chosen by the client, for the reply; no reply is wanted to 0.
    pub(crate) id: u64,
    /// The object's number; 0 is the manager itself.
    pub(crate) object: u64,
    pub(crate) method: &'a str,
    /// The arguments, one behind the other.
    pub(crate) arguments: &'a [u8],
    pub(crate) count: u32,
}

impl<'a> Request<'a> {
    #[inline]
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != 4 {
            return Err(Malformed::Unexpected);
        }
        let id = reader.uint()?;
        let mut request = Request::read_call(&mut reader)?;
        request.id = id;
        reader.end()?;
        Ok(request)
    }

    /// Reads object, method and arguments, as they stand in a request and in a transaction.
    #[inline]
    pub(crate) fn read_call(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let object = reader.uint()?;
        let method = read_method(reader)?;
        let (count, arguments) = reader.values()?;
        Ok(Request { id: 0, object, method, arguments, count })
    }

    /// Writes a request; `arguments` are `count` values, one behind the other.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        pack::array(out, 4);
        pack::uint(out, self.id);
        self.write_call(out);
    }

    /// Writes the whole frame of a request.
    #[inline]
    pub(crate) fn write_frame(&self, out: &mut Vec<u8>) {
        const ID: usize = PREFIX + 1;
        let ((id, id_width), (object, object_width)) = (pack::uint_in(self.id), pack::uint_in(self.object));
        let mut head = [0; 24];
        head[PREFIX] = 0x94;
        head[ID..ID + id.len()].copy_from_slice(&id);
        head[ID + id_width..ID + id_width + object.len()].copy_from_slice(&object);
        // Copied whole, and then shortened: that is cheaper than copying some of it.
        out.reserve(head.len() + 16 + self.method.len() + self.arguments.len());
        let start = out.len();
        out.extend_from_slice(&head);
        out.truncate(start + ID + id_width + object_width);
        pack::text(out, self.method);
        pack::array(out, self.count as usize);
        out.extend_from_slice(self.arguments);
        let len = (out.len() - start - PREFIX) as u32;
        out[start..start + PREFIX].copy_from_slice(&len.to_be_bytes());
    }

    pub(crate) fn write_call(&self, out: &mut Vec<u8>) {
        pack::uint(out, self.object);
        pack::text(out, self.method);
        pack::array(out, self.count as usize);
        out.extend_from_slice(self.arguments);
    }
}

/// The most frequent methods, as they are written, need not be looked at as texts.
const FREQUENT: [([u8; 4], &str); 3] = [(*b"\xa3get", "get"), (*b"\xa3set", "set"), (*b"\xa3add", "add")];

#[inline]
fn read_method<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    match FREQUENT.iter().find(|(written, _)| reader.rest().first_chunk() == Some(written)) {
        Some((written, method)) => reader.take(written.len()).map(|_| *method),
        None => reader.str(),
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Done { id: u64, result: &'a [u8] },
    Failed { id: u64, kind: &'a str, message: &'a str },
}

impl<'a> Reply<'a> {
    /// Reads a reply; objects its result refers to are told to `referred`.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8], referred: impl FnMut(u64)) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let reply = match reader.array()? {
            2 => Reply::Done { id: reader.uint()?, result: reader.value_with(referred)? },
            3 => Reply::Failed { id: reader.uint()?, kind: reader.str()?, message: reader.str()? },
            _ => return Err(Malformed::Unexpected),
        };
        reader.end()?;
        Ok(reply)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Done { id, result } => {
                pack::array(out, 2);
                pack::uint(out, *id);
                out.extend_from_slice(result);
            }
            Reply::Failed { id, kind, message } => {
                pack::array(out, 3);
                pack::uint(out, *id);
                pack::text(out, kind);
                pack::text(out, message);
            }
        }
    }
}

/// Writes the whole frame of an answer `[id, result]`, the most frequent of all.
#[inline]
pub(crate) fn write_done(out: &mut Vec<u8>, id: u64, result: &[u8]) {
    write_some(out, id, None, result);
}

/// The same of a result that is an array of one value.
#[inline]
pub(crate) fn write_found(out: &mut Vec<u8>, id: u64, value: &[u8]) {
    write_some(out, id, Some(0x91), value);
}

#[inline]
fn write_some(out: &mut Vec<u8>, id: u64, before: Option<u8>, result: &[u8]) {
    const ID: usize = PREFIX + 1;
    let (digits, width) = pack::uint_in(id);
    let mut head = [0; 16];
    let len = 1 + width + before.iter().len() + result.len();
    head[..PREFIX].copy_from_slice(&(len as u32).to_be_bytes());
    head[PREFIX] = 0x92;
    head[ID..ID + digits.len()].copy_from_slice(&digits);
    head[ID + width] = before.unwrap_or(0);
    // Copied whole, and then shortened: that is cheaper than copying some of it.
    out.reserve(head.len() + result.len());
    let start = out.len();
    out.extend_from_slice(&head);
    out.truncate(start + ID + width + before.iter().len());
    out.extend_from_slice(result);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::frame;

    #[test]
    fn requests_and_replies_are_read_as_written() {
        let request = Request { id: 300, object: 5, method: "get", arguments: &[1, 0xc0], count: 2 };
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        assert_eq!(Request::read(&bytes), Ok(request));
        for cut in 0..bytes.len() {
            assert!(Request::read(&bytes[..cut]).is_err());
        }
        for (id, object) in [(0, 0), (127, 128), (300, 70_000), (u64::MAX, u64::MAX)] {
            let request = Request { id, object, ..request };
            let (mut one, mut other) = (vec![9], vec![9]);
            request.write_frame(&mut one);
            frame::write(&mut other, |out| request.write(out));
            assert_eq!(one, other);
        }
        let mut result = Vec::new();
        pack::reference(&mut result, 77);
        for reply in
            [Reply::Done { id: 1, result: &result }, Reply::Failed { id: 0, kind: "limit", message: "why" }]
        {
            let (mut bytes, mut seen) = (Vec::new(), Vec::new());
            reply.write(&mut bytes);
            assert_eq!(Reply::read(&bytes, |object| seen.push(object)), Ok(reply));
            assert_eq!(seen.len(), usize::from(matches!(reply, Reply::Done { .. })));
        }
    }

    #[test]
    fn an_answer_is_the_same_frame_by_both_ways() {
        for id in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, u32::MAX.into(), 1 << 32, u64::MAX] {
            for result in [&[0xc0][..], &[0x91, 7], &[0xc4; 300]] {
                let (mut one, mut other) = (vec![9], vec![9]);
                write_done(&mut one, id, result);
                frame::write(&mut other, |out| Reply::Done { id, result }.write(out));
                assert_eq!(one, other);
                let found = [&[0x91], result].concat();
                let (mut one, mut other) = (vec![9], vec![9]);
                write_found(&mut one, id, result);
                frame::write(&mut other, |out| Reply::Done { id, result: &found }.write(out));
                assert_eq!(one, other);
            }
        }
    }
}
