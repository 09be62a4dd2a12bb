//! What is in a frame: greetings, requests and replies.

use super::pack;
use super::read::{Malformed, Reader};

/// The first word of every greeting.
const MAGIC: &str = "procshare";

/// The version of the protocol that this build speaks.
pub(crate) const VERSION: u64 = 1;

/// The longest frame before a client is let in.
pub(crate) const LONGEST_GREETING: usize = 1024;

/// How many bytes a nonce has.
pub(crate) const NONCE: usize = 32;

/// How a client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// By the user id that the system tells of the other end of a Unix socket.
    Peer,
    /// By a key that both know.
    Key,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Method::Peer => "peer",
            Method::Key => "key",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Method::Peer, Method::Key].into_iter().find(|method| method.name() == name)
    }
}

/// Why a greeting is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadGreeting {
    /// Not of this protocol at all.
    Foreign,
    /// Of another version.
    Version(u64),
}

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) method: Method,
    pub(crate) nonce: [u8; NONCE],
    /// A number of the server that no other server run has; 0 from clients.
    pub(crate) server: u64,
    /// The longest frame the sender takes.
    pub(crate) longest: u64,
}

impl Greeting {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        pack::array(out, 6);
        pack::text(out, MAGIC);
        pack::uint(out, VERSION);
        pack::text(out, self.method.name());
        pack::binary(out, &self.nonce);
        pack::uint(out, self.server);
        pack::uint(out, self.longest);
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadGreeting> {
        let mut reader = Reader::new(bytes);
        let foreign = |_: Malformed| BadGreeting::Foreign;
        let len = reader.array().map_err(foreign)?;
        if reader.str() != Ok(MAGIC) {
            return Err(BadGreeting::Foreign);
        }
        let version = reader.uint().map_err(foreign)?;
        if version != VERSION {
            return Err(BadGreeting::Version(version));
        }
        let method = Method::from_name(reader.str().map_err(foreign)?).ok_or(BadGreeting::Foreign)?;
        let nonce = reader.binary().map_err(foreign)?.try_into().map_err(|_| BadGreeting::Foreign)?;
        let server = reader.uint().map_err(foreign)?;
        let longest = reader.uint().map_err(foreign)?;
        reader.end().map_err(foreign)?;
        if len == 6 { Ok(Greeting { method, nonce, server, longest }) } else { Err(BadGreeting::Foreign) }
    }
}

/// A proof or a welcome: one binary, empty where the system vouches for the peer.
pub(crate) fn write_proof(out: &mut Vec<u8>, proof: &[u8]) {
    pack::array(out, 1);
    pack::binary(out, proof);
}

pub(crate) fn read_proof(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(bytes);
    let len = reader.array()?;
    let proof = reader.binary()?;
    reader.end()?;
    if len == 1 { Ok(proof) } else { Err(Malformed::Unexpected) }
}

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
    fn greetings_are_read_as_written_and_no_others() {
        let greeting = Greeting { method: Method::Key, nonce: [7; NONCE], server: 9, longest: 1 << 20 };
        let mut bytes = Vec::new();
        greeting.write(&mut bytes);
        assert!(bytes.len() < LONGEST_GREETING);
        assert_eq!(Greeting::read(&bytes), Ok(greeting));
        for cut in 0..bytes.len() {
            assert_eq!(Greeting::read(&bytes[..cut]), Err(BadGreeting::Foreign));
        }
        assert_eq!(bytes[11], 1, "the version");
        bytes[11] = 2;
        assert_eq!(Greeting::read(&bytes), Err(BadGreeting::Version(2)));
        assert_eq!(Greeting::read(b"GET / HTTP/1.1\r\n\r\n"), Err(BadGreeting::Foreign));
    }

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
