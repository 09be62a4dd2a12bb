//! A server in a process of its own, which can be stopped and killed.

use std::time::Duration;

use procshare::manager::*;
use procshare_harness::{Child, Reexec, entered};

use super::storm::Scratch;
use crate::support::{eventually, key, path};

pub(crate) struct Served {
    child: Child,
    /// Over a Unix socket.
    pub(crate) near: Address,
    /// Over TCP.
    pub(crate) far: Address,
}

/// What a process has of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Possessions {
    descriptors: usize,
    rings: usize,
    /// Bytes that are in memory.
    pub(crate) memory: u64,
}

impl Possessions {
    pub(crate) fn same_as(&self, other: &Possessions) -> bool {
        (self.descriptors, self.rings) == (other.descriptors, other.rings)
    }
}

#[test]
fn entry_server() {
    let Some(ways) = entered("linear::server::entry_server") else { return };
    let (near, told) = ways.split_once(' ').unwrap();
    let limits = Limits { lost: Duration::from_millis(100), ..Limits::default() };
    let builder =
        Server::builder().address(near.parse().unwrap()).address("tcp:127.0.0.1:0".parse().unwrap());
    let server = builder.key(key()).limits(limits).bind().unwrap();
    let addresses: Vec<String> = server.addresses().iter().map(Address::to_string).collect();
    std::fs::write(format!("{told}.new"), addresses.join(" ")).unwrap();
    std::fs::rename(format!("{told}.new"), told).unwrap();
    server.run().unwrap();
}

impl Served {
    pub(crate) fn start() -> Self {
        let scratch = Scratch::new();
        let told = scratch.0.join("addresses");
        let ways = format!("{} {}", Address::Unix(path("storm")), told.display());
        let mut child = Reexec::new("linear::server::entry_server").argument(ways).spawn().unwrap();
        eventually("the server listens", || {
            assert!(child.try_wait().is_none(), "the server ended");
            std::thread::sleep(Duration::from_millis(1));
            told.exists()
        });
        let addresses = std::fs::read_to_string(told).unwrap();
        let (near, far) = addresses.split_once(' ').unwrap();
        Served { child, near: near.parse().unwrap(), far: far.parse().unwrap() }
    }

    pub(crate) fn signal(&self, signal: i32) {
        self.child.signal(signal);
    }

    /// Nobody is answered meanwhile, and nobody notices anything else.
    pub(crate) fn stop_for(&self, time: Duration) {
        self.signal(libc::SIGSTOP);
        std::thread::sleep(time);
        self.signal(libc::SIGCONT);
    }

    pub(crate) fn possessions(&self) -> Possessions {
        let of = |what: &str| format!("/proc/{}/{what}", self.child.pid());
        let maps = std::fs::read_to_string(of("maps")).unwrap();
        let pages = std::fs::read_to_string(of("statm")).unwrap();
        let resident: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        Possessions {
            descriptors: std::fs::read_dir(of("fd")).unwrap().count(),
            rings: maps.lines().filter(|line| line.contains("procshare-rings")).count(),
            memory: resident * 4096,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
        let Address::Unix(path) = &self.near else { return };
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_file(path.with_extension("lock"));
    }
}
