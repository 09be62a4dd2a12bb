//! A server that a program starts for itself.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use procshare::manager::*;

use crate::support::{eventually, watched};

fn is_alive(pid: u32) -> bool {
    // A zombie has no command line any more.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn socket(address: &Address) -> &Path {
    match address {
        Address::Unix(path) => path,
        other => panic!("{other}"),
    }
}

#[test]
fn it_serves_all_that_connect_until_it_is_dropped() {
    watched(|| {
        let manager = Manager::start().unwrap();
        let (pid, address) = (manager.pid(), manager.address().clone());
        let other = Manager::connect(&address).unwrap();
        let list = List::<String>::create(&manager, "list").unwrap();
        List::open(&other, "list").unwrap().push(&"from the other".to_owned()).unwrap();
        assert_eq!(list.snapshot().unwrap(), ["from the other"]);
        assert!(pid != std::process::id() && is_alive(pid));
        let event = Event::anonymous(&other).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| event.wait());
            eventually("it waits", || other.stats().unwrap().waiting == 1);
            manager.shutdown();
            assert!(matches!(waiter.join().unwrap(), Err(ManagerError::Disconnected { .. })));
        });
        assert!(!is_alive(pid) && !socket(&address).exists());
    });
}

#[test]
#[ignore = "run by the other one, as another process"]
fn be_a_starter() {
    if std::env::var_os("PROCSHARE_TEST_STARTER").is_none() {
        return;
    }
    let manager = Manager::start().unwrap();
    println!("started {} {}", manager.pid(), manager.address());
    std::thread::park_timeout(Duration::from_secs(60));
}

#[test]
fn it_ends_with_a_killed_starter_and_leaves_no_socket() {
    watched(|| {
        let mut starter = Command::new(std::env::current_exe().unwrap())
            .args(["start::be_a_starter", "--exact", "--ignored", "--nocapture"])
            .env("PROCSHARE_TEST_STARTER", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(starter.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| Some(line.unwrap().split_once("started ")?.1.to_owned())).unwrap();
        let (pid, address) = line.split_once(' ').unwrap();
        let (pid, address): (u32, Address) = (pid.parse().unwrap(), address.parse().unwrap());
        let manager = Manager::connect(&address).unwrap();
        manager.ping().unwrap();
        starter.kill().unwrap();
        starter.wait().unwrap();
        eventually("the server ends", || !is_alive(pid));
        assert!(matches!(manager.ping(), Err(ManagerError::Disconnected { .. })));
        assert!(!socket(&address).exists());
    });
}
