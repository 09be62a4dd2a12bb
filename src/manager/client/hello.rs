//! How a client gets in.

use std::io;

use super::manager::Connector;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::transport::Transport;
use crate::manager::wire::PROTOCOL;
use crate::manager::wire::frame::{self, Frames};
use crate::manager::wire::message::{Reply, Request};
use crate::manager::wire::read::Reader;
use crate::net::Address;
use crate::net::greeting::LONGEST_GREETING;
use crate::net::handshake::{self, Failure, Terms};
use crate::net::tls::{self, Carried, Mishap};
use crate::queue::stream::{self, Inlet, Outlet};
use crate::sys::pages;
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// A server that has let us in, and that we believe.
pub(super) struct Welcome {
    pub(super) stream: Stream,
    /// What carries it, over TLS.
    pub(super) carried: Option<Carried>,
    /// What came behind the welcome.
    pub(super) frames: Frames,
    pub(super) rings: Option<(Inlet, Outlet)>,
    pub(super) server: u64,
    pub(super) longest: usize,
}

pub(super) fn enter(address: &Address, connector: &Connector) -> ManagerResult<Welcome> {
    let (key, transport) = (connector.key.as_ref(), connector.transport);
    let deadline = Deadline::after(connector.timeout);
    let (stream, carried) = reach(address, connector, deadline)?;
    let mut frames = Frames::default();
    let terms = Terms { protocol: PROTOCOL, key, number: 0, longest: u32::MAX.into() };
    let refused = |failure| refused(address, failure);
    let other = handshake::enter(&stream, &mut frames, &terms, deadline).map_err(refused)?;
    let rings = match (transport, stream.is_remote()) {
        (Transport::Socket, _) | (Transport::Auto, true) => None,
        (Transport::Ring, true) => {
            return Err(refused(Failure::Doubt("there are no rings over TCP".into())));
        }
        (Transport::Auto, false) => rings(&stream, &mut frames, deadline).map_err(refused)?.ok(),
        (Transport::Ring, false) => {
            let rings = rings(&stream, &mut frames, deadline).map_err(refused)?;
            Some(rings.map_err(|reason| refused(Failure::Doubt(reason)))?)
        }
    };
    let longest = usize::try_from(other.longest).unwrap_or(usize::MAX);
    Ok(Welcome { stream, carried, frames, rings, server: other.number, longest })
}

/// Connects, and has a server at a `tls:` address show who it is.
fn reach(
    address: &Address,
    connector: &Connector,
    deadline: Deadline,
) -> ManagerResult<(Stream, Option<Carried>)> {
    let unreachable =
        |source| ManagerError::Io { action: "connect to", address: address.to_string(), source };
    let Address::Tls(place) = address else {
        return Ok((address.connect(deadline).map_err(unreachable)?, None));
    };
    match tls::dial(place, connector.roots.as_ref(), deadline) {
        Ok((stream, carried)) => Ok((stream, Some(carried))),
        Err(Mishap::Tls(error)) => Err(error.into()),
        Err(Mishap::Unreachable(source)) => Err(unreachable(source)),
        Err(Mishap::Broken(source)) => Err(refused(address, Failure::Io(source))),
    }
}

fn refused(address: &Address, failure: Failure) -> ManagerError {
    let reason = match failure {
        Failure::Doubt(reason) => reason,
        Failure::Io(source) => match source.kind() {
            io::ErrorKind::TimedOut => "the server did not answer in time".into(),
            io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
            _ => source.to_string(),
        },
    };
    ManagerError::Refused { address: address.to_string(), reason }
}

/// Asks for rings; without them the socket goes on as it is, and the reason says why.
fn rings(
    stream: &Stream,
    frames: &mut Frames,
    deadline: Deadline,
) -> Result<Result<(Inlet, Outlet), String>, Failure> {
    // The first call of all, so any number does.
    let request = Request { id: 1, object: 0, method: "ring", arguments: &[], count: 0 };
    let mut bytes = Vec::new();
    frame::write(&mut bytes, |out| request.write(out));
    stream.send_all(&bytes, deadline)?;
    let foreign = || Failure::Doubt("the server gives no answer that can be read".into());
    let mut file = None;
    let content = loop {
        if let Some(content) = frames.next(LONGEST_GREETING).map_err(|_| foreign())? {
            break content.to_vec();
        }
        let len = frames.read(|room| {
            let (len, came) = match pages::receive(stream, room, deadline) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    (stream.recv(room, deadline)?, None)
                }
                other => other?,
            };
            file = came.or(file.take());
            Ok::<_, io::Error>(len)
        })?;
        if len == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    let size = match Reply::read(&content, |_| ()) {
        Ok(Reply::Done { id: 1, result }) => Reader::new(result).uint().ok(),
        Ok(Reply::Failed { id: 1, message, .. }) => return Ok(Err(message.to_owned())),
        Ok(Reply::Failed { message, .. }) => return Err(Failure::Doubt(message.to_owned())),
        _ => None,
    };
    let size = size.and_then(|size| usize::try_from(size).ok()).ok_or_else(foreign)?;
    // From here on the server listens to the rings alone: there is no way back.
    let file = file.ok_or_else(|| Failure::Doubt("the server sent no rings".into()))?;
    Ok(Ok(stream::join(&file, size)?))
}
