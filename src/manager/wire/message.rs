//! What is in a frame: requests and replies. Greetings are those of every connection, see `net::greeting`.

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
    pub(crate) fn read_call(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let object = reader.uint()?;
        let method = reader.str()?;
        let mut arguments = Reader::new(reader.value()?);
        let count = arguments.array()?;
        Ok(Request { id: 0, object, method, arguments: arguments.rest(), count })
    }

    /// Writes a request; `arguments` are `count` values, one behind the other.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        pack::array(out, 4);
        pack::uint(out, self.id);
        self.write_call(out);
    }

    pub(crate) fn write_call(&self, out: &mut Vec<u8>) {
        pack::uint(out, self.object);
        pack::text(out, self.method);
        pack::array(out, self.count as usize);
        out.extend_from_slice(self.arguments);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_read_as_written() {
        let request = Request { id: 300, object: 5, method: "get", arguments: &[1, 0xc0], count: 2 };
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        assert_eq!(Request::read(&bytes), Ok(request));
        for cut in 0..bytes.len() {
            assert!(Request::read(&bytes[..cut]).is_err());
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
}
