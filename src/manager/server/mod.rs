//! The server: sockets, limits, and one thread around the store.

mod calls;
mod connection;
mod door;
mod event_loop;
mod handle;
mod limits;
mod outbox;
mod rings;

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

pub use handle::ServerHandle;
pub use limits::Limits;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};

use self::event_loop::{EventLoop, WAKER};
use self::handle::Shared;
use super::error::{ManagerError, ManagerResult};
use super::store::{Bounds, CallArguments, CallError, Managed, Store, Types};
use crate::net::auth::nonce;
use crate::net::tls::{Mishap, TlsIdentity, Tunnels};
use crate::net::{Address, Key};
use crate::sys::sockets::Listener;

/// What a result may be longer than a frame, so that what came in one frame can go in one.
const SLACK: usize = 256;

/// A manager's server, bound to its addresses and not yet running.
///
/// ```
/// use procshare::manager::{Address, Manager, Server};
///
/// # fn main() -> procshare::Result<()> {
/// # let path = std::env::temp_dir().join(format!("procshare-doc-server-{}.sock", std::process::id()));
/// let address = Address::Unix(path);
/// let server = Server::bind(&address)?;
/// let handle = server.handle();
/// let running = std::thread::spawn(move || server.run());
///
/// let manager = Manager::connect(&address)?;
/// manager.ping()?;
///
/// handle.shutdown();
/// running.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    event_loop: EventLoop,
}

/// What a server shall be; begun by [`Server::builder`].
#[derive(Default)]
pub struct ServerBuilder {
    addresses: Vec<Address>,
    key: Option<Key>,
    identity: Option<TlsIdentity>,
    limits: Limits,
    types: Types,
    ends_on_request: bool,
}

impl Server {
    /// A server at one address, with the default limits.
    ///
    /// # Errors
    ///
    /// As [`ServerBuilder::bind`].
    pub fn bind(address: &Address) -> ManagerResult<Self> {
        Server::builder().address(address.clone()).bind()
    }

    /// Begins to say what a server shall be.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where it listens; of TCP with the port that the system chose.
    pub fn addresses(&self) -> Vec<Address> {
        self.event_loop.listeners.iter().map(|(_, address)| address.clone()).collect()
    }

    /// What stops it.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.event_loop.shared.clone())
    }

    /// Serves in the calling thread, until [`ServerHandle::shutdown`].
    ///
    /// All objects end with it, and their clients get [`ManagerError::Disconnected`].
    ///
    /// # Errors
    ///
    /// [`ManagerError::Io`] if the system refuses to wait for clients.
    pub fn run(self) -> ManagerResult<()> {
        let address = self.addresses().iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
        tracing::info!(address, "a manager serves");
        self.event_loop.run().map_err(|source| ManagerError::Io { action: "serve", address, source })
    }
}

impl ServerBuilder {
    /// Also listens here.
    pub fn address(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// Lets in only those who know this key, whoever they are.
    ///
    /// Without one, only processes of the server's own user (and the superuser) come in, over Unix sockets.
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Shows this certificate to those who connect to a `tls:` address.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, identity: TlsIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Allows so much.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets clients create objects of a type of this program's own: `make` gets the arguments of the creation.
    pub fn register<M: Managed + 'static>(
        mut self,
        name: &str,
        make: impl Fn(&mut CallArguments<'_>) -> Result<M, CallError> + Send + 'static,
    ) -> Self {
        let factory = move |arguments: &mut CallArguments<'_>| {
            make(arguments).map(|object| Box::new(object) as Box<dyn Managed>)
        };
        self.types.0.insert(name.into(), Box::new(factory));
        self
    }

    /// Lets any client end the server: for a server that belongs to one.
    pub(crate) fn ends_on_request(mut self) -> Self {
        self.ends_on_request = true;
        self
    }

    /// Makes the sockets. From now on clients can connect; they are served when it runs.
    ///
    /// A socket that a dead server left is replaced.
    ///
    /// # Errors
    ///
    /// [`ManagerError::AddressInUse`], [`ManagerError::KeyNeeded`] for TCP or TLS without a key, [`ManagerError::Tls`] for a `tls:` address
    /// without a certificate, or in a build without the feature `tls`; [`ManagerError::Io`].
    pub fn bind(self) -> ManagerResult<Server> {
        let open = |address: &&Address| address.is_open() && self.key.is_none();
        if let Some(address) = self.addresses.iter().find(open) {
            return Err(ManagerError::KeyNeeded { address: address.to_string() });
        }
        let failed = |source| ManagerError::Io { action: "prepare", address: "the server".into(), source };
        let poll = Poll::new().map_err(failed)?;
        let tunnels = tunnels(&self.addresses, self.identity.as_ref())?;
        let listeners: Vec<_> = self.addresses.iter().map(listen).collect::<ManagerResult<_>>()?;
        for (at, (listener, _)) in listeners.iter().enumerate() {
            let fd = listener.as_fd().as_raw_fd();
            let token = Token(at + 1);
            poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE).map_err(failed)?;
        }
        let shared = Shared {
            stop: AtomicBool::new(false),
            waker: Waker::new(poll.registry(), WAKER).map_err(failed)?,
            clients: AtomicUsize::new(0),
            objects: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        };
        let bounds = Bounds {
            memory: self.limits.memory,
            result: self.limits.frame + SLACK,
            waiters: self.limits.waiting,
            objects: self.limits.objects,
            work: self.limits.work,
        };
        let server = nonce::<8>().map(u64::from_be_bytes).map_err(failed)?;
        let store = Store::new(bounds, self.types);
        let settings = (self.key, self.limits, server);
        let mut event_loop = EventLoop::new(poll, listeners, settings, store, Arc::new(shared));
        event_loop.ends_on_request = self.ends_on_request;
        event_loop.tunnels = tunnels;
        Ok(Server { event_loop })
    }
}

/// What carries those who come to `tls:` addresses, if there are any.
fn tunnels(addresses: &[Address], identity: Option<&TlsIdentity>) -> ManagerResult<Option<Tunnels>> {
    let Some(address) = addresses.iter().find(|address| address.is_tls()) else { return Ok(None) };
    match Tunnels::new(identity, address.to_string()) {
        Ok(tunnels) => Ok(Some(tunnels)),
        Err(Mishap::Tls(error)) => Err(error.into()),
        Err(Mishap::Unreachable(source) | Mishap::Broken(source)) => {
            Err(ManagerError::Io { action: "carry TLS to", address: address.to_string(), source })
        }
    }
}

/// Listens at an address; also gives the real one.
fn listen(address: &Address) -> ManagerResult<(Listener, Address)> {
    address.listen().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ManagerError::AddressInUse { address: address.to_string() },
        _ => ManagerError::Io { action: "listen at", address: address.to_string(), source },
    })
}
