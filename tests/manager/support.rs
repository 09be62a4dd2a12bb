//! A server in this process, at an address of its own.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use procshare::manager::{
    Address, Key, Limits, Manager, ManagerResult, Server, ServerBuilder, ServerHandle, Transport,
};

thread_local! {
    /// By what the clients of this thread's test call.
    static TRANSPORT: Cell<Transport> = const { Cell::new(Transport::Auto) };
}

pub(crate) struct Running {
    pub(crate) address: Address,
    /// By what its clients call; `Auto` are rings, where there are any.
    pub(crate) transport: Transport,
    pub(crate) handle: ServerHandle,
    thread: Option<JoinHandle<ManagerResult<()>>>,
}

/// A path that nobody else uses.
pub(crate) fn path(what: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("procshare-test-{}-{number}-{what}", std::process::id()))
}

pub(crate) fn run(builder: ServerBuilder) -> Running {
    let server = builder.bind().unwrap();
    let (address, handle) = (server.addresses()[0].clone(), server.handle());
    let thread = std::thread::spawn(move || server.run());
    Running { address, transport: TRANSPORT.get(), handle, thread: Some(thread) }
}

pub(crate) fn local() -> Running {
    limited(Limits::default())
}

pub(crate) fn limited(limits: Limits) -> Running {
    run(Server::builder().address(Address::Unix(path("sock"))).limits(limits))
}

pub(crate) fn key() -> Key {
    Key::new(*b"a key that both of them know....").unwrap()
}

pub(crate) fn tcp() -> Running {
    tcp_limited(Limits::default())
}

pub(crate) fn tcp_limited(limits: Limits) -> Running {
    run(Server::builder().address("tcp:127.0.0.1:0".parse().unwrap()).key(key()).limits(limits))
}

impl Running {
    pub(crate) fn client(&self) -> Manager {
        match &self.address {
            Address::Tcp(_) => Manager::builder().key(key()).connect(&self.address).unwrap(),
            #[cfg(feature = "tls")]
            Address::Tls(_) => crate::authority::connector().connect(&self.address).unwrap(),
            _ => connect(&self.address).unwrap(),
        }
    }

    /// Ends the server and waits until it has ended.
    pub(crate) fn stop(&mut self) {
        self.handle.shutdown();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Waits until something is so, which must happen soon.
pub(crate) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// Fails the test if it takes longer than a minute.
pub(crate) fn watched(test: impl FnOnce()) {
    procshare_harness::watchdog(Duration::from_secs(60), test);
}

/// Runs a test over rings, and again over the socket; fails if either takes longer than a minute.
pub(crate) fn over_both(test: impl Fn()) {
    for transport in [Transport::Auto, Transport::Socket] {
        TRANSPORT.set(transport);
        watched(&test);
    }
}

/// A client of this thread's test, or of the test that runs this process.
pub(crate) fn connect(address: &Address) -> ManagerResult<Manager> {
    Manager::builder().transport(TRANSPORT.get()).connect(address)
}

/// Lets the clients of a process that a test runs call by what the test says.
pub(crate) fn follow(transport: Transport) {
    TRANSPORT.set(transport);
}
