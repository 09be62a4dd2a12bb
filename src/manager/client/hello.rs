//! How a client gets in.

use std::time::Duration;

use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::wire::PROTOCOL;
use crate::manager::wire::frame::Frames;
use crate::net::handshake::{self, Failure, Terms};
use crate::net::{Address, Key};
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// A server that has let us in, and that we believe.
pub(super) struct Welcome {
    pub(super) stream: Stream,
    /// What came behind the welcome.
    pub(super) frames: Frames,
    pub(super) server: u64,
    pub(super) longest: usize,
}

pub(super) fn enter(address: &Address, key: Option<&Key>, timeout: Duration) -> ManagerResult<Welcome> {
    let deadline = Deadline::after(timeout);
    let stream = address.connect(deadline).map_err(|source| ManagerError::Io {
        action: "connect to",
        address: address.to_string(),
        source,
    })?;
    let mut frames = Frames::default();
    let terms = Terms { protocol: PROTOCOL, key, number: 0, longest: u32::MAX.into() };
    let other = handshake::enter(&stream, &mut frames, &terms, deadline).map_err(|failure| {
        let reason = match failure {
            Failure::Doubt(reason) => reason,
            Failure::Io(source) => match source.kind() {
                std::io::ErrorKind::TimedOut => "the server did not answer in time".into(),
                std::io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
                _ => source.to_string(),
            },
        };
        ManagerError::Refused { address: address.to_string(), reason }
    })?;
    let longest = usize::try_from(other.longest).unwrap_or(usize::MAX);
    Ok(Welcome { stream, frames, server: other.number, longest })
}
