//! What both ends say first: greetings, proofs, and why not.

use super::pack;
use super::read::{Malformed, Reader};

/// What two programs speak after the handshake; greetings of another protocol or version are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    /// The first word of every greeting.
    pub(crate) name: &'static str,
    pub(crate) version: u64,
}

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
    pub(crate) fn write(&self, protocol: Protocol, out: &mut Vec<u8>) {
        pack::array(out, 6);
        pack::text(out, protocol.name);
        pack::uint(out, protocol.version);
        pack::text(out, self.method.name());
        pack::binary(out, &self.nonce);
        pack::uint(out, self.server);
        pack::uint(out, self.longest);
    }

    pub(crate) fn read(protocol: Protocol, bytes: &[u8]) -> Result<Self, BadGreeting> {
        let mut reader = Reader::new(bytes);
        let foreign = |_: Malformed| BadGreeting::Foreign;
        let len = reader.array().map_err(foreign)?;
        if reader.str() != Ok(protocol.name) {
            return Err(BadGreeting::Foreign);
        }
        let version = reader.uint().map_err(foreign)?;
        if version != protocol.version {
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

/// Why the connection ends: `[0, kind, message]`, as a manager's every last frame.
pub(crate) fn write_refusal(out: &mut Vec<u8>, kind: &str, message: &str) {
    pack::array(out, 3);
    pack::uint(out, 0);
    pack::text(out, kind);
    pack::text(out, message);
}

/// The message of a refusal, if these bytes are one.
pub(crate) fn read_refusal(bytes: &[u8]) -> Option<&str> {
    let mut reader = Reader::new(bytes);
    let is_one = reader.array() == Ok(3) && reader.uint() == Ok(0) && reader.str().is_ok();
    let message = reader.str().ok()?;
    (is_one && reader.is_at_end()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: Protocol = Protocol { name: "procshare", version: 1 };

    #[test]
    fn greetings_are_read_as_written_and_no_others() {
        let greeting = Greeting { method: Method::Key, nonce: [7; NONCE], server: 9, longest: 1 << 20 };
        let mut bytes = Vec::new();
        greeting.write(PROTOCOL, &mut bytes);
        assert!(bytes.len() < LONGEST_GREETING);
        assert_eq!(Greeting::read(PROTOCOL, &bytes), Ok(greeting));
        for cut in 0..bytes.len() {
            assert_eq!(Greeting::read(PROTOCOL, &bytes[..cut]), Err(BadGreeting::Foreign));
        }
        assert_eq!(bytes[11], 1, "the version");
        bytes[11] = 2;
        assert_eq!(Greeting::read(PROTOCOL, &bytes), Err(BadGreeting::Version(2)));
        assert_eq!(Greeting::read(PROTOCOL, b"GET / HTTP/1.1\r\n\r\n"), Err(BadGreeting::Foreign));
    }

    #[test]
    fn refusals_are_read_as_written_and_nothing_else_is_one() {
        let mut bytes = Vec::new();
        write_refusal(&mut bytes, "refused", "wrong key");
        assert_eq!(read_refusal(&bytes), Some("wrong key"));
        (0..bytes.len()).for_each(|cut| assert_eq!(read_refusal(&bytes[..cut]), None));
        assert_eq!(read_refusal(&[&bytes[..], &[0]].concat()), None);
        bytes[1] = 1;
        assert_eq!(read_refusal(&bytes), None, "to a request");
    }
}
