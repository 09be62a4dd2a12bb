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

/// The most calls of one request.
pub(crate) const LONGEST_RUN: usize = 256;

/// A request: one call, or several of one method of one object, whose numbers follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    id: u64,
    pub(crate) object: u64,
    pub(crate) method: &'a str,
    reader: Reader<'a>,
    /// Calls that have not been read.
    left: u32,
}

impl<'a> Run<'a> {
    #[inline]
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let left = match reader.array()?.checked_sub(3) {
            Some(left) if (1..=LONGEST_RUN as u32).contains(&left) => left,
            _ => return Err(Malformed::Unexpected),
        };
        let (id, object) = (reader.uint()?, reader.uint()?);
        let method = read_method(&mut reader)?;
        id.checked_add(left.into()).ok_or(Malformed::Unexpected)?;
        Ok(Run { id, object, method, reader, left })
    }

    /// How many calls have not been read.
    pub(crate) fn left(&self) -> usize {
        self.left as usize
    }

    /// The next call. With the last one the request ends.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Request<'a>>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let (count, arguments) = self.reader.values()?;
        let request = Request { id: self.id, object: self.object, method: self.method, arguments, count };
        // Calls that want no answer have no numbers.
        (self.left, self.id) = (left, self.id + u64::from(self.id != 0));
        if left == 0 {
            self.reader.end()?;
        }
        Ok(Some(request))
    }
}

impl<'a> Request<'a> {
    /// Reads a request of one call.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut run = Run::read(bytes)?;
        match (run.left(), run.next()?) {
            (1, Some(request)) => Ok(request),
            _ => Err(Malformed::Unexpected),
        }
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

    /// Writes the frame of a request to which calls of the same method can be [added](Self::write_behind); it has this one.
    pub(crate) fn write_first(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; PREFIX]);
        out.extend_from_slice(&[0xdc, 0, 3]);
        pack::uint(out, self.id);
        pack::uint(out, self.object);
        pack::text(out, self.method);
    }

    /// Adds a call to the frame that begins at `start` and ends here.
    #[inline]
    pub(crate) fn write_behind(&self, out: &mut Vec<u8>, start: usize) {
        pack::array(out, self.count as usize);
        out.extend_from_slice(self.arguments);
        let frame = &mut out[start..];
        let len = (frame.len() - PREFIX) as u32;
        if let Some(head) = frame.first_chunk_mut::<{ PREFIX + 3 }>() {
            head[..PREFIX].copy_from_slice(&len.to_be_bytes());
            let elements = u16::from_be_bytes([head[PREFIX + 1], head[PREFIX + 2]]) + 1;
            head[PREFIX + 1..].copy_from_slice(&elements.to_be_bytes());
        }
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
    Done {
        id: u64,
        result: &'a [u8],
    },
    /// Results of calls whose numbers follow each other.
    Run {
        first: u64,
        results: Results<'a>,
    },
    Failed {
        id: u64,
        kind: &'a str,
        message: &'a str,
    },
}

/// Results, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Results<'a> {
    bytes: &'a [u8],
    left: u32,
}

impl<'a> Results<'a> {
    /// The next one; objects it refers to are told to `referred`. With the last one the reply ends.
    #[inline]
    pub(crate) fn next(&mut self, referred: impl FnMut(u64)) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let mut reader = Reader::new(self.bytes);
        let result = reader.value_with(referred)?;
        (self.bytes, self.left) = (reader.rest(), left);
        if left == 0 {
            reader.end()?;
        }
        Ok(Some(result))
    }
}

impl<'a> Reply<'a> {
    /// Reads a reply; objects its result refers to are told to `referred`.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8], referred: impl FnMut(u64)) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let elements = reader.array()?;
        if reader.rest().first() == Some(&0xc0) {
            reader.take(1)?;
            let first = reader.uint()?;
            let left = elements.checked_sub(2).filter(|&left| left > 0).ok_or(Malformed::Unexpected)?;
            first.checked_add(left.into()).ok_or(Malformed::Unexpected)?;
            return Ok(Reply::Run { first, results: Results { bytes: reader.rest(), left } });
        }
        let reply = match elements {
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
            Reply::Run { first, results } => {
                pack::array(out, 2 + results.left as usize);
                pack::nil(out);
                pack::uint(out, *first);
                out.extend_from_slice(results.bytes);
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

    fn read(content: &[u8]) -> Result<Vec<Request<'_>>, Malformed> {
        let (mut run, mut found) = (Run::read(content)?, Vec::new());
        while let Some(call) = run.next()? {
            found.push(call);
        }
        Ok(found)
    }

    #[test]
    fn a_run_is_its_calls() {
        let call = |id, argument: &'static [u8]| Request {
            id,
            object: 5,
            method: "get",
            arguments: argument,
            count: 1,
        };
        let calls = [call(126, &[1]), call(127, &[0xa1, b'k']), call(128, &[0x91, 0xc0])];
        let mut frame = vec![9];
        calls[0].write_first(&mut frame);
        calls.iter().for_each(|call| call.write_behind(&mut frame, 1));
        assert_eq!(frame[1..5], (frame.len() as u32 - 5).to_be_bytes());
        let content = &frame[5..];
        assert_eq!(read(content), Ok(calls.to_vec()));
        for cut in 0..content.len() {
            assert!(read(&content[..cut]).is_err());
        }
        assert_eq!(read(&[content, &[0xc0]].concat()), Err(Malformed::Trailing));
        // Without answers, too many, none, and beyond the last number.
        let run = |id: &[u8], calls: u16| {
            [&[0xdc], &(3 + calls).to_be_bytes()[..], id, &[1, 0xa1, b'm'], &vec![0x90; calls.into()]]
                .concat()
        };
        assert!(read(&run(&[0], 256)).is_ok_and(|calls| calls.iter().all(|call| call.id == 0)));
        for (id, calls) in [(&[1][..], 257), (&[1], 0), (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], 2)]
        {
            assert_eq!(read(&run(id, calls)), Err(Malformed::Unexpected));
        }
    }

    #[test]
    fn a_run_of_results_is_read_as_written() {
        let mut bytes = Vec::new();
        let results = Results { bytes: &[0x91, 1, 0xc0, 0x90], left: 3 };
        let reply = Reply::Run { first: 300, results };
        reply.write(&mut bytes);
        assert_eq!(Reply::read(&bytes, |_| ()), Ok(reply));
        let mut results = results;
        for expected in [&[0x91, 1][..], &[0xc0], &[0x90]] {
            assert_eq!(results.next(|_| ()), Ok(Some(expected)));
        }
        assert_eq!(results.next(|_| ()), Ok(None));
        let mut more = Results { bytes: &[1, 2], left: 1 };
        assert_eq!(more.next(|_| ()), Err(Malformed::Trailing));
        assert_eq!(Reply::read(&[0x92, 0xc0, 1], |_| ()), Err(Malformed::Unexpected), "no results");
    }
}
