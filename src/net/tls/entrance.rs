//! The server's end: one thread carries all its connections.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::Waker;
use rustls::{ServerConfig, ServerConnection};

use super::carrier::{Carrier, WAKER};
use super::tunnel::{Tunnel, refused};
use super::{Mishap, TlsError, TlsIdentity};
use crate::sys::sockets::Stream;

/// How long last words may take to get away when the server ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// What carries a server's connections; dropping it waits, a second at most, until what was said is on its way.
pub(crate) struct Tunnels {
    config: Arc<ServerConfig>,
    /// Taken when it ends.
    newcomers: Option<Sender<Tunnel>>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnels {
    /// Starts the thread that carries connections to a server of this identity.
    pub(crate) fn new(identity: Option<&TlsIdentity>, address: String) -> Result<Self, Mishap> {
        let identity = identity.ok_or(TlsError::IdentityNeeded { address })?;
        Tunnels::start(identity).map_err(Mishap::Unreachable)
    }

    fn start(identity: &TlsIdentity) -> io::Result<Self> {
        let carrier = Carrier::new()?;
        let waker = Arc::new(Waker::new(carrier.registry(), WAKER)?);
        let (newcomers, come) = mpsc::channel();
        let thread = thread::Builder::new().name("procshare-tls".into()).spawn(move || {
            if let Err(error) = carry_all(carrier, &come) {
                tracing::error!(%error, "TLS connections cannot be carried any more");
            }
        })?;
        Ok(Tunnels { config: identity.0.clone(), newcomers: Some(newcomers), waker, thread: Some(thread) })
    }

    /// The near end of a connection that has just come; its handshake has not begun.
    pub(crate) fn carry(&self, stream: Stream) -> io::Result<Stream> {
        let tls = ServerConnection::new(self.config.clone()).map_err(refused)?;
        let who = stream.peer();
        let (near, wire, far) = stream.tunnelled()?;
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "nobody carries TLS connections any more");
        let newcomers = self.newcomers.as_ref().ok_or_else(gone)?;
        newcomers.send(Tunnel::new(tls.into(), wire, far, who)).map_err(|_| gone())?;
        self.waker.wake()?;
        Ok(near)
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.newcomers = None;
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// Carries until nobody can come any more and all have gone.
fn carry_all(mut carrier: Carrier, come: &Receiver<Tunnel>) -> io::Result<()> {
    let mut is_open = true;
    while is_open || !carrier.is_empty() {
        carrier.turn()?;
        while is_open {
            match come.try_recv() {
                Ok(tunnel) => {
                    if let Err(error) = carrier.add(tunnel) {
                        tracing::warn!(%error, "a TLS connection cannot be carried");
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    is_open = false;
                    carrier.hurry(Instant::now() + FAREWELL);
                }
            }
        }
    }
    Ok(())
}
