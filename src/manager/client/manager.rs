//! The connection as its user sees it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::{self, Call, Draft, Target, read};
use super::link::Link;
use super::pipeline::Pipeline;
use super::reference::Reference;
use crate::manager::error::ManagerResult;
use crate::manager::proxy::Object;
use crate::manager::transport::Transport;
use crate::net::tls::TlsRoots;
use crate::net::{Address, Key};

/// A connection to a manager's server; clones share it, threads use it at once.
///
/// Objects are made and found through their own types, such as [`Dict`](crate::manager::Dict). A connection that broke stays
/// broken: connect anew, and open the objects by name.
///
/// What this process holds (locks, permits, seats, items it got and did not acknowledge) comes back when the last clone,
/// proxy and guard are dropped, or when the process ends, however it does.
#[derive(Clone)]
pub struct Manager {
    link: Arc<Link>,
}

/// How to connect; begun by [`Manager::builder`].
#[derive(Clone, Debug)]
pub struct Connector {
    pub(super) key: Option<Key>,
    pub(super) roots: Option<TlsRoots>,
    pub(super) timeout: Duration,
    pub(super) transport: Transport,
    pub(super) patience: Option<Duration>,
}

/// An object of a manager, as [`Manager::objects`] tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its number, which is never used again as long as the server runs.
    pub number: u64,
    /// Its kind, such as `dict`, or the name of a registered type.
    pub kind: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How many references keep it: its name, clients, stored values.
    pub references: u64,
    /// How many elements it has, if it is a collection.
    pub len: Option<u64>,
}

/// What a manager has in all, as [`Manager::stats`] tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Clients that are connected.
    pub clients: u64,
    /// Those of them that call through rings; 0 of a server that knows none.
    #[serde(default)]
    pub rings: u64,
    /// Objects.
    pub objects: u64,
    /// Calls that wait.
    pub waiting: u64,
    /// Bytes of stored values, with 128 for each.
    pub bytes: u64,
    /// The kinds of objects it can make.
    pub kinds: Vec<String>,
}

/// Number, kind, name, references, elements.
type Row = (u64, String, Option<String>, u64, Option<u64>);

impl Manager {
    /// Connects to a server of the same user over its Unix socket.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Io`](crate::manager::ManagerError::Io) if nobody listens there,
    /// [`ManagerError::Refused`](crate::manager::ManagerError::Refused) if the server wants a key, or we do not believe it.
    pub fn connect(address: &Address) -> ManagerResult<Self> {
        Manager::builder().connect(address)
    }

    /// Begins to say how to connect.
    pub fn builder() -> Connector {
        Connector {
            key: None,
            roots: None,
            timeout: Duration::from_secs(5),
            transport: Transport::Auto,
            patience: None,
        }
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        &self.link.address
    }

    /// By what calls travel: [`Ring`](Transport::Ring) or [`Socket`](Transport::Socket).
    pub fn transport(&self) -> Transport {
        self.link.transport
    }

    /// Goes to the server and back: whatever was sent before has been done then.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn ping(&self) -> ManagerResult<()> {
        self.call("ping").done()
    }

    /// Sends many calls together, and gives their results in order; each may fail by itself.
    ///
    /// # Errors
    ///
    /// None of the batch: each call has its own, also if it could not be sent
    /// ([`Disconnected`](crate::manager::ManagerError::Disconnected) says whether it may have been done).
    ///
    /// ```no_run
    /// # fn main() -> procshare::Result<()> {
    /// # let manager = procshare::manager::Manager::connect(&"/tmp/m.sock".parse()?)?;
    /// use procshare::manager::Dict;
    ///
    /// let ages = Dict::<String, u32>::open_or_create(&manager, "ages")?;
    /// let calls = ["Ada", "Bob"].map(|name| ages.calls().get(name));
    /// let found = manager.batch(calls.into_iter().collect::<Result<_, _>>()?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch<R>(&self, calls: Vec<Call<'_, R>>) -> ManagerResult<Vec<ManagerResult<R>>> {
        let mut pipeline = self.pipeline();
        calls.into_iter().for_each(|call| pipeline.add_anyway(call));
        Ok(pipeline.run())
    }

    /// Begins to collect calls that are sent together. Cheaper than [`batch`](Self::batch): each is written down when it is added.
    pub fn pipeline<R>(&self) -> Pipeline<R> {
        Pipeline::new()
    }

    /// All objects of the manager.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn objects(&self) -> ManagerResult<Vec<ObjectInfo>> {
        let mut all: Vec<ObjectInfo> = Vec::new();
        loop {
            let last = all.last().map_or(0, |object| object.number);
            let page: Vec<Row> = self.call("list").arg(&last).arg(&1000).run()?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page.into_iter().map(|(number, kind, name, references, len)| ObjectInfo {
                number,
                kind,
                name,
                references,
                len,
            }));
        }
    }

    /// What the manager has in all.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`](crate::manager::ManagerError::Disconnected).
    pub fn stats(&self) -> ManagerResult<Stats> {
        self.call("stats").run()
    }

    /// Takes an object's name away. Whoever has a proxy keeps the object; it goes with the last one.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotFound`](crate::manager::ManagerError::NotFound).
    pub fn unlink(&self, name: &str) -> ManagerResult<()> {
        self.call("unlink").arg(name).done()
    }

    /// Makes an object of a type that the server's program registered.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotFound`](crate::manager::ManagerError::NotFound) if no such type is registered, and the type's own errors.
    pub fn create<A: Serialize>(
        &self,
        kind: &str,
        name: Option<&str>,
        arguments: &A,
    ) -> ManagerResult<Object> {
        let draft = self.call("create").arg(kind).arg(&name).arg(arguments);
        self.object(draft)
    }

    /// The object of this name, whatever it is.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotFound`](crate::manager::ManagerError::NotFound).
    pub fn open(&self, name: &str) -> ManagerResult<Object> {
        self.object(self.call("open").arg(&()).arg(name))
    }

    /// The manager of a connection.
    pub(crate) fn through(link: &Arc<Link>) -> Self {
        Manager { link: link.clone() }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn call(&self, method: &'static str) -> Draft<'_> {
        Target::Manager(&self.link).call(method)
    }

    /// Runs a call that answers with an object.
    pub(crate) fn object(&self, draft: Draft<'_>) -> ManagerResult<Object> {
        let call = draft.reads(call::nothing)?;
        let received = self.link.run(&call.request())?;
        let known: Vec<Arc<Reference>> = received.references.clone();
        let (_, kind) = read(received, call::plain::<(Object, String)>)?;
        Ok(Object::new(known[0].clone(), kind.into()))
    }
}

impl Connector {
    /// Shows and expects this key.
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Believes servers at `tls:` addresses for which one of these vouches; nobody else is trusted, not even the authorities of the system.
    #[cfg(feature = "tls")]
    pub fn roots(mut self, roots: TlsRoots) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Gives up after so long; 5 s unless said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives the connection up when a call waits and the server has not answered anything for so long: then it hangs, or the network does.
    ///
    /// All calls of the connection fail then with [`ManagerError::Disconnected`](crate::manager::ManagerError::Disconnected), which says
    /// that they may have been done; what was held is lost. Calls that wait by right (for a lock, an item) are not limited by this: the server
    /// says that it is there. Unless said there is no such limit; the end of the server is noticed at once all the same, and that of a
    /// machine far away in some ten seconds. Costs a thread that asks now and then while calls wait.
    ///
    /// Give it more than the longest time for which everybody may have to wait for one call: of a registered type, or over large collections.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use procshare::manager::Manager;
    ///
    /// let server = Manager::start()?;
    /// let manager = Manager::builder().server_timeout(Duration::from_secs(10)).connect(server.address())?;
    /// manager.ping()?;
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn server_timeout(mut self, timeout: Duration) -> Self {
        self.patience = Some(timeout);
        self
    }

    /// Lets calls travel so; [`Auto`](Transport::Auto) unless said.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// As [`Manager::connect`], and `Refused` if the server does not know the key, or has no rings where they were asked for;
    /// [`ManagerError::Tls`](crate::manager::ManagerError::Tls) at a `tls:` address if the server shows no certificate that is believed, or does not speak TLS.
    pub fn connect(&self, address: &Address) -> ManagerResult<Manager> {
        Ok(Manager { link: Link::connect(address, self)? })
    }
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("address", &self.link.address.to_string()).finish_non_exhaustive()
    }
}
