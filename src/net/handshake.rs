//! Who lets whom in.
//!
//! ```text
//! client                                  server
//! greeting: method, nonce            ->
//!                                    <-   greeting: the same method, its own nonce
//! proof of the key, or nothing       ->
//!                                    <-   proof of the key, or nothing
//! ```
//!
//! Without a key the system vouches for both. Who is refused is told why, and no more than that.

use std::io;

use super::auth::{self, Role};
use super::frame::{self, BadLength, Frames};
use super::greeting::{
    BadGreeting, Greeting, LONGEST_GREETING, Method, Protocol, read_proof, read_refusal, write_proof,
    write_refusal,
};
use super::key::Key;
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// What one end stands on.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) protocol: Protocol,
    /// The other end must know the same, or none.
    pub(crate) key: Option<&'a Key>,
    /// A number of this run of the server; 0 from clients.
    pub(crate) number: u64,
    /// The longest frame that is taken afterwards.
    pub(crate) longest: u64,
}

impl Terms<'_> {
    fn method(&self) -> Method {
        if self.key.is_some() { Method::Key } else { Method::Peer }
    }

    /// A greeting of our own, with a nonce that nobody has seen.
    fn greeting(&self) -> Result<Vec<u8>, Doubt> {
        let nonce = auth::nonce().map_err(|error| Doubt(error.to_string()))?;
        let (method, server, longest) = (self.method(), self.number, self.longest);
        let mut hello = Vec::new();
        Greeting { method, nonce, server, longest }.write(self.protocol, &mut hello);
        Ok(hello)
    }

    /// The proof of `role`: empty where the system vouches.
    fn proof(&self, role: Role, client_hello: &[u8], server_hello: &[u8]) -> Vec<u8> {
        self.key.map_or_else(Vec::new, |key| auth::proof(key, role, client_hello, server_hello).to_vec())
    }

    fn is_proof(&self, role: Role, client_hello: &[u8], server_hello: &[u8], found: &[u8]) -> bool {
        match self.key {
            None => found.is_empty(),
            Some(key) => auth::is_proof(key, role, client_hello, server_hello, found),
        }
    }
}

/// What is known of the other end once it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    /// The number of the server's run.
    pub(crate) number: u64,
    /// The longest frame it takes.
    pub(crate) longest: u64,
}

/// Why the other end is not talked to, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt(pub(crate) String);

/// The server's half: frames go in, frames come out.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// Both greetings, once the client's has come.
    greeted: Option<(Vec<u8>, Vec<u8>, Other)>,
}

/// What is to be sent to the client, and whether it is in.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) say: Vec<u8>,
    pub(crate) inside: Option<Other>,
}

impl Door {
    /// Hears what a client says next; `stream` is asked who it is.
    pub(crate) fn hear(&mut self, terms: &Terms<'_>, stream: &Stream, content: &[u8]) -> Result<Step, Doubt> {
        let Some((client_hello, server_hello, other)) = &self.greeted else {
            let other = self.greet(terms, stream, content)?;
            let server_hello = terms.greeting()?;
            self.greeted = Some((content.to_vec(), server_hello.clone(), other));
            return Ok(Step { say: server_hello, inside: None });
        };
        let found = read_proof(content).map_err(|bad| Doubt(format!("no proof came: {bad}")))?;
        if !terms.is_proof(Role::Client, client_hello, server_hello, found) {
            return Err(Doubt("wrong key".into()));
        }
        let mut say = Vec::new();
        write_proof(&mut say, &terms.proof(Role::Server, client_hello, server_hello));
        Ok(Step { say, inside: Some(*other) })
    }

    fn greet(&self, terms: &Terms<'_>, stream: &Stream, content: &[u8]) -> Result<Other, Doubt> {
        let Protocol { name, version } = terms.protocol;
        let greeting = Greeting::read(terms.protocol, content).map_err(|bad| match bad {
            BadGreeting::Foreign => Doubt(format!("'{name}' is spoken here: no greeting came")),
            BadGreeting::Version(found) => {
                Doubt(format!("this server speaks version {version}, the client version {found}"))
            }
        })?;
        match (terms.method(), greeting.method) {
            (Method::Key, Method::Peer) => Err(Doubt("this server needs a key".into())),
            (Method::Peer, Method::Key) => Err(Doubt("this server has no key: connect without one".into())),
            (Method::Peer, Method::Peer) if !stream.is_own_user() => {
                Err(Doubt(format!("{} is of another user than this server", stream.peer())))
            }
            _ => Ok(Other { number: greeting.server, longest: greeting.longest }),
        }
    }
}

/// Why nobody came in, or was let in.
#[derive(Debug)]
pub(crate) enum Failure {
    Doubt(String),
    Io(io::Error),
}

impl From<Doubt> for Failure {
    fn from(Doubt(reason): Doubt) -> Self {
        Failure::Doubt(reason)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

/// Asks to be let in. Nothing behind the server's proof is read.
pub(crate) fn enter(
    stream: &Stream,
    frames: &mut Frames,
    terms: &Terms<'_>,
    deadline: Deadline,
) -> Result<Other, Failure> {
    if terms.key.is_none() && !stream.is_own_user() {
        return Err(Failure::Doubt("without a key only a server of the same user is believed".into()));
    }
    let client_hello = terms.greeting()?;
    say(stream, &client_hello, deadline)?;
    let server_hello = answer(stream, frames, terms.protocol, deadline)?;
    let version = terms.protocol.version;
    let greeting = Greeting::read(terms.protocol, &server_hello).map_err(|bad| match bad {
        BadGreeting::Foreign => foreign(terms.protocol),
        BadGreeting::Version(found) => {
            Doubt(format!("the server speaks version {found}, this build version {version}"))
        }
    })?;
    // A server that knows no key must not pass for the one that does.
    if greeting.method != terms.method() {
        let (theirs, ours) = (greeting.method.name(), terms.method().name());
        return Err(Failure::Doubt(format!("the server asks for '{theirs}', not '{ours}'")));
    }
    let mut proof = Vec::new();
    write_proof(&mut proof, &terms.proof(Role::Client, &client_hello, &server_hello));
    say(stream, &proof, deadline)?;
    let welcome = answer(stream, frames, terms.protocol, deadline)?;
    let theirs = read_proof(&welcome).map_err(|bad| Doubt(format!("no welcome came: {bad}")))?;
    if !terms.is_proof(Role::Server, &client_hello, &server_hello, theirs) {
        return Err(Failure::Doubt("the server does not know the key".into()));
    }
    Ok(Other { number: greeting.server, longest: greeting.longest })
}

fn foreign(protocol: Protocol) -> Doubt {
    Doubt(format!("nobody speaks '{}' there", protocol.name))
}

/// Lets somebody in, or tells it why not. Nothing behind the client's proof is read.
pub(crate) fn let_in(
    stream: &Stream,
    frames: &mut Frames,
    terms: &Terms<'_>,
    deadline: Deadline,
) -> Result<Other, Failure> {
    let mut door = Door::default();
    loop {
        let content = hear(stream, frames, deadline)?;
        let step = content
            .map_err(|bad| Doubt(bad.told(LONGEST_GREETING)))
            .and_then(|content| door.hear(terms, stream, &content));
        match step {
            Ok(Step { say: words, inside }) => {
                say(stream, &words, deadline)?;
                if let Some(other) = inside {
                    return Ok(other);
                }
            }
            Err(Doubt(reason)) => {
                let mut refusal = Vec::new();
                write_refusal(&mut refusal, "refused", &reason);
                // Who does not listen is refused all the same.
                let _ = say(stream, &refusal, deadline);
                return Err(Failure::Doubt(reason));
            }
        }
    }
}

/// Sends one frame.
fn say(stream: &Stream, content: &[u8], deadline: Deadline) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, |out| out.extend_from_slice(content));
    match stream.send_all(&bytes, deadline) {
        // It may have said why before it closed.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}

/// The server's next frame, unless it is a refusal.
fn answer(
    stream: &Stream,
    frames: &mut Frames,
    protocol: Protocol,
    deadline: Deadline,
) -> Result<Vec<u8>, Failure> {
    let content = hear(stream, frames, deadline)?.map_err(|_| foreign(protocol))?;
    match read_refusal(&content) {
        Some(reason) => Err(Failure::Doubt(reason.to_owned())),
        None => Ok(content),
    }
}

/// Receives one frame, and nothing behind it.
fn hear(stream: &Stream, frames: &mut Frames, deadline: Deadline) -> io::Result<Result<Vec<u8>, BadLength>> {
    loop {
        let missing = match frames.missing(LONGEST_GREETING) {
            Ok(missing) => missing,
            Err(bad) => return Ok(Err(bad)),
        };
        if missing == 0 {
            let content = frames.next(LONGEST_GREETING).ok().flatten().unwrap_or_default();
            return Ok(Ok(content.to_vec()));
        }
        if frames.fill(missing, |room| stream.recv(room, deadline))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
