//! A build without TLS: nobody has a certificate, so nothing here is ever reached but the refusals.

use std::io;

use super::{Mishap, TlsError};
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// What a server shows: there is none.
#[derive(Clone, Debug)]
pub(crate) enum TlsIdentity {}

/// Whom a client trusts: nobody can be said.
#[derive(Clone, Debug)]
pub(crate) enum TlsRoots {}

/// A connection that is carried: there is none.
#[derive(Debug)]
pub(crate) enum Carried {}

impl Carried {
    pub(crate) fn drain(&mut self) {
        match *self {}
    }
}

/// What carries a server's connections: there is none.
#[derive(Debug)]
pub(crate) enum Tunnels {}

impl Tunnels {
    pub(crate) fn new(_identity: Option<&TlsIdentity>, address: String) -> Result<Self, Mishap> {
        Err(TlsError::Absent { address }.into())
    }

    pub(crate) fn carry(&self, _stream: Stream) -> io::Result<Stream> {
        match *self {}
    }
}

pub(crate) fn dial(
    place: &str,
    _roots: Option<&TlsRoots>,
    _deadline: Deadline,
) -> Result<(Stream, Carried), Mishap> {
    Err(TlsError::Absent { address: format!("tls:{place}") }.into())
}
