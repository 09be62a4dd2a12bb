//! How a client gets in.

use std::io;
use std::time::Duration;

use super::stream::Stream;
use crate::manager::address::Address;
use crate::manager::auth::{self, Key, Role};
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::server::nonce;
use crate::manager::wire::frame::{self, Frames};
use crate::manager::wire::message::{
    BadGreeting, Greeting, LONGEST_GREETING, Method, Reply, VERSION, read_proof, write_proof,
};

/// A server that has let us in, and that we believe.
pub(super) struct Welcome {
    pub(super) stream: Stream,
    /// What came behind the welcome.
    pub(super) frames: Frames,
    pub(super) server: u64,
    pub(super) longest: usize,
}

pub(super) fn enter(address: &Address, key: Option<&Key>, timeout: Duration) -> ManagerResult<Welcome> {
    let failed = |source| ManagerError::Io { action: "connect to", address: address.to_string(), source };
    let stream = Stream::connect(address, timeout).map_err(failed)?;
    stream.set_timeout(Some(timeout)).map_err(failed)?;
    let refused = |reason: String| ManagerError::Refused { address: address.to_string(), reason };
    if key.is_none() && !stream.is_own_user() {
        return Err(refused("without a key only a server of the same user is believed".into()));
    }
    let mut talk = Talk { stream, frames: Frames::default(), address };
    let method = if key.is_some() { Method::Key } else { Method::Peer };
    let nonce = nonce().map_err(|error| refused(format!("no random numbers: {error}")))?;
    let mut client_hello = Vec::new();
    Greeting { method, nonce, server: 0, longest: u32::MAX.into() }.write(&mut client_hello);
    talk.send(|out| out.extend_from_slice(&client_hello))?;
    let server_hello = talk.receive()?;
    let greeting = Greeting::read(&server_hello).map_err(|bad| {
        refused(match bad {
            BadGreeting::Foreign => "no procshare manager answers there".into(),
            BadGreeting::Version(found) => {
                format!("the server speaks version {found}, this build version {VERSION}")
            }
        })
    })?;
    // A server that knows no key must not pass for the one that does.
    if greeting.method != method {
        return Err(refused(format!(
            "the server asks for '{}', not '{}'",
            greeting.method.name(),
            method.name()
        )));
    }
    let ours = key.map(|key| auth::proof(key, Role::Client, &client_hello, &server_hello));
    talk.send(|out| write_proof(out, ours.as_ref().map_or(&[], |proof| proof)))?;
    let welcome = talk.receive()?;
    let theirs = read_proof(&welcome).map_err(|bad| refused(format!("no welcome came: {bad}")))?;
    if key.is_some_and(|key| !auth::is_proof(key, Role::Server, &client_hello, &server_hello, theirs)) {
        return Err(refused("the server does not know the key".into()));
    }
    talk.stream.set_timeout(None).map_err(failed)?;
    let longest = usize::try_from(greeting.longest).unwrap_or(usize::MAX);
    Ok(Welcome { stream: talk.stream, frames: talk.frames, server: greeting.server, longest })
}

struct Talk<'a> {
    stream: Stream,
    frames: Frames,
    address: &'a Address,
}

impl Talk<'_> {
    fn failed(&self, source: io::Error) -> ManagerError {
        let reason = match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the server did not answer in time".into(),
            _ => source.to_string(),
        };
        ManagerError::Refused { address: self.address.to_string(), reason }
    }

    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> ManagerResult<()> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, write);
        match self.stream.write_all(&bytes) {
            // It may have said why before it closed.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done.map_err(|error| self.failed(error)),
        }
    }

    /// The next frame, unless it is a refusal.
    fn receive(&mut self) -> ManagerResult<Vec<u8>> {
        loop {
            let foreign = || ManagerError::Refused {
                address: self.address.to_string(),
                reason: "no procshare manager answers there".into(),
            };
            if let Some(content) = self.frames.next(LONGEST_GREETING).map_err(|_| foreign())? {
                if let Ok(Reply::Failed { message, .. }) = Reply::read(content, |_| ()) {
                    let reason = message.to_owned();
                    return Err(ManagerError::Refused { address: self.address.to_string(), reason });
                }
                return Ok(content.to_vec());
            }
            let mut chunk = [0; LONGEST_GREETING];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(self.failed(io::Error::other("the server closed the connection"))),
                Ok(len) => self.frames.push(&chunk[..len]),
                Err(error) => return Err(self.failed(error)),
            }
        }
    }
}
