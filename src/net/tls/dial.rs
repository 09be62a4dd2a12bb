//! The client's end: the handshake in the thread of whoever connects, then a thread that carries.

use std::io::{self, Read, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConnection, Error};

use super::carrier::Carrier;
use super::tunnel::Tunnel;
use super::{Distrust, Mishap, TlsError, TlsRoots};
use crate::sys::sockets::Stream;
use crate::time::Deadline;

/// How long the last words may take to get away.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection that a thread carries.
#[derive(Debug)]
pub(crate) struct Carried {
    /// Ends with the thread.
    ended: Mutex<Receiver<()>>,
}

impl Carried {
    /// Waits until all that was said at the near end, which has been shut, is on its way: the system would see to that over TCP, also
    /// when the process ends. A second at most.
    pub(crate) fn drain(&mut self) {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(PATIENCE);
    }
}

/// Connects to `host:port`, finds out whether it is who it should be, and gives a stream that is carried there.
pub(crate) fn dial(
    place: &str,
    roots: Option<&TlsRoots>,
    deadline: Deadline,
) -> Result<(Stream, Carried), Mishap> {
    let address = || format!("tls:{place}");
    let roots = roots.ok_or_else(|| TlsError::RootsNeeded { address: address() })?;
    let host = host(place);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| TlsError::BadHost { host: host.into(), address: address() })?;
    let mut tls = ClientConnection::new(roots.0.clone(), name)
        .map_err(|error| TlsError::Failed { address: address(), reason: error.to_string() })?;
    let stream = Stream::connect_tcp(place, deadline).map_err(Mishap::Unreachable)?;
    let mut timely = Timely { stream: &stream, deadline };
    if let Err(error) = tls.complete_io(&mut timely) {
        // So that the server's log says, too, what was wrong.
        while tls.wants_write() && tls.write_tls(&mut timely).is_ok_and(|len| len > 0) {}
        return Err(mishap(error, address()));
    }
    carry(tls, stream).map_err(Mishap::Unreachable)
}

/// The host of `host:port`, as a certificate has it.
fn host(place: &str) -> &str {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn carry(tls: ClientConnection, stream: Stream) -> io::Result<(Stream, Carried)> {
    let who = stream.peer();
    let (near, wire, far) = stream.tunnelled()?;
    let mut carrier = Carrier::new()?;
    carrier.add(Tunnel::new(tls.into(), wire, far, who))?;
    let (ends, ended) = mpsc::channel::<()>();
    thread::Builder::new().name("procshare-tls".into()).spawn(move || {
        let _ends = ends;
        while !carrier.is_empty() {
            if let Err(error) = carrier.turn() {
                // Dropping the carrier cuts the connection, which everybody notices.
                tracing::warn!(%error, "a TLS connection cannot be carried any more");
                return;
            }
        }
    })?;
    Ok((near, Carried { ended: Mutex::new(ended) }))
}

fn mishap(error: io::Error, address: String) -> Mishap {
    let Some(found) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return Mishap::Broken(error);
    };
    let error = match found {
        Error::InvalidCertificate(reason) => TlsError::Untrusted { address, distrust: distrust(reason) },
        Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => TlsError::NotSpoken { address },
        other => TlsError::Failed { address, reason: other.to_string() },
    };
    error.into()
}

fn distrust(reason: &CertificateError) -> Distrust {
    match reason {
        CertificateError::UnknownIssuer => Distrust::UnknownIssuer,
        CertificateError::BadSignature => Distrust::WrongSignature,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Distrust::NotYetValid,
        CertificateError::NotValidForName => Distrust::OtherName { presented: Vec::new() },
        CertificateError::NotValidForNameContext { presented, .. } => {
            Distrust::OtherName { presented: presented.clone() }
        }
        // The library has no name for it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            Distrust::IsAuthority
        }
        other => Distrust::Other(other.to_string()),
    }
}

/// A stream whose calls wait no longer than until the deadline.
struct Timely<'a> {
    stream: &'a Stream,
    deadline: Deadline,
}

impl Read for Timely<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.stream.recv(room, self.deadline)
    }
}

impl Write for Timely<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.send(bytes, self.deadline)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_as_certificates_name_them() {
        for (place, found) in [("a.b:70", "a.b"), ("127.0.0.1:0", "127.0.0.1"), ("[::1]:70", "::1")] {
            assert_eq!(host(place), found);
            assert!(ServerName::try_from(found).is_ok());
        }
        let refused = dial("a_b!:70", None, Deadline::Now).unwrap_err();
        assert!(matches!(refused, Mishap::Tls(TlsError::RootsNeeded { .. })), "{refused:?}");
    }
}
