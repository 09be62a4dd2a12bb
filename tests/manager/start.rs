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

fn signal(pid: u32, signal: i32) {
    // SAFETY: takes no pointers; the process is that of a manager that has not been dropped, so its number is its own.
    assert_eq!(unsafe { libc::kill(pid.try_into().unwrap(), signal) }, 0);
}

/// Who is interrupted at the terminal may need the server to the end.
#[test]
fn its_server_is_not_interrupted_with_its_starter() {
    watched(|| {
        let manager = Manager::start().unwrap();
        let lock = Lock::create(&manager, "lock").unwrap();
        let guard = lock.lock().unwrap();
        for interruption in [libc::SIGINT, libc::SIGHUP] {
            signal(manager.pid(), interruption);
            manager.ping().unwrap();
        }
        assert!(!guard.is_lost() && manager.is_alive());
        // SAFETY: takes no pointers.
        let session = |pid: u32| unsafe { libc::getsid(pid.try_into().unwrap()) };
        assert_ne!(session(manager.pid()), session(std::process::id()), "no terminal reaches it");
    });
}

#[test]
fn sigterm_ends_its_server_in_good_order() {
    watched(|| {
        let manager = Manager::start().unwrap();
        let address = manager.address().clone();
        let event = Event::anonymous(&manager).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| event.wait());
            eventually("it waits", || manager.stats().unwrap().waiting == 1);
            signal(manager.pid(), libc::SIGTERM);
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.to_string().contains("shut down"), "{error}");
        });
        eventually("it has ended", || !manager.is_alive());
        assert!(!socket(&address).exists(), "before anybody cleans up");
    });
}

#[test]
fn a_killed_server_is_told_and_leaves_nothing_behind() {
    watched(|| {
        let manager = Manager::start().unwrap();
        let address = manager.address().clone();
        let handle = List::<u32>::create(&manager, "list").unwrap();
        signal(manager.pid(), libc::SIGKILL);
        eventually("it is dead", || !manager.is_alive());
        assert!(matches!(handle.push(&1), Err(ManagerError::Disconnected { .. })));
        assert!(Manager::connect(&address).is_err());
        drop(manager);
        assert!(!socket(&address).exists() && !socket(&address).with_extension("lock").exists());
        // Another one is started without further ado, and knows nothing of the first one's objects.
        let manager = Manager::start().unwrap();
        assert!(matches!(List::<u32>::open(&manager, "list"), Err(ManagerError::NotFound { .. })));
    });
}

/// Python's clients wait for ever.
#[test]
fn a_server_that_hangs_is_given_up_by_who_wants_that() {
    watched(|| {
        for transport in [Transport::Auto, Transport::Socket] {
            let server = Manager::start().unwrap();
            Lock::create(&server, "lock").unwrap();
            let connect = |timeout| {
                let connector = Manager::builder().transport(transport).server_timeout(timeout);
                connector.connect(server.address()).unwrap()
            };
            // Who waits by right is not disturbed, however impatient.
            let patient = connect(Duration::from_secs(1));
            let event = Event::anonymous(&patient).unwrap();
            assert!(!event.wait_timeout(Duration::from_millis(2500)).unwrap());

            let hung = [connect(Duration::from_secs(1)), connect(Duration::from_secs(1))];
            let event = Event::anonymous(&hung[0]).unwrap();
            let list = List::<Vec<u8>>::anonymous(&hung[1]).unwrap();
            let guard = Lock::open(&hung[0], "lock").unwrap().lock().unwrap();
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| event.wait());
                eventually("it waits", || server.stats().unwrap().waiting == 1);
                signal(server.pid(), libc::SIGSTOP);
                let given_up = |error: ManagerError| {
                    assert!(matches!(error, ManagerError::Disconnected { maybe_done: true, .. }), "{error}");
                    error.to_string()
                };
                let told = given_up(waiter.join().unwrap().unwrap_err());
                assert!(told.contains("not answered anything for 1s"), "{told}");
                // More than fits into rings and sockets: who sends is told as well.
                given_up(list.push(&vec![0; 8 << 20]).unwrap_err());
            });
            assert!(guard.is_lost());
            assert!(matches!(event.set(), Err(ManagerError::Disconnected { maybe_done: false, .. })));
            signal(server.pid(), libc::SIGCONT);
            // The server sees that they have gone, and others get what they held.
            let outcome = Lock::open(&server, "lock").unwrap().lock();
            assert!(matches!(outcome, Err(procshare::LockError::OwnerDied(_))));
        }
    });
}

/// The threads that ask servers whether they are there end with their connections, however patient.
#[test]
fn patience_leaves_no_thread_behind() {
    let asking = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.flatten().flat_map(|task| std::fs::read_to_string(task.path().join("comm")));
        names.filter(|name| name.starts_with("procshare-pulse")).count()
    };
    watched(|| {
        let server = crate::support::local();
        for _ in 0..20 {
            let connector = Manager::builder().server_timeout(Duration::from_secs(3600));
            let manager = connector.connect(&server.address).unwrap();
            manager.ping().unwrap();
            eventually("it asks", || asking() > 0);
        }
        // Those of other tests end as well.
        eventually("none is left", || asking() == 0);
    });
}

struct Tally(u64);

impl Managed for Tally {
    fn call(&mut self, method: &str, arguments: &mut CallArguments<'_>) -> Result<Returned, CallError> {
        match method {
            "count" => {
                self.0 += arguments.take::<u64>()?;
                println!("a server may print");
                Returned::new(&self.0)
            }
            other => Err(CallError(format!("a tally has no method '{other}'"))),
        }
    }
}

#[procshare::task]
fn serve_tallies(task: ServerTask) -> Result<(), String> {
    let builder = Server::builder().register("tally", |arguments| Ok(Tally(arguments.take()?)));
    task.serve(builder.limits(Limits { objects: 1, ..Limits::default() }))
}

#[procshare::task]
fn serve_with_a_key(task: ServerTask) -> Result<(), String> {
    task.serve(Server::builder().key(crate::support::key()))
}

#[procshare::task]
fn serve_nowhere(task: ServerTask) -> Result<(), String> {
    task.serve(Server::builder().address("tcp:127.0.0.1:0".parse().unwrap()))
}

#[test]
fn a_server_of_ones_own_making_has_ones_own_types_limits_and_key() {
    watched(|| {
        let manager = Manager::start_with::<serve_tallies>().unwrap();
        let tally = manager.create("tally", Some("words"), &40).unwrap();
        assert_eq!(tally.call::<u64>("count", &[&2]).unwrap(), 42);
        assert!(matches!(List::<u32>::anonymous(&manager), Err(ManagerError::Limit { .. })));

        let manager = Manager::builder().key(crate::support::key()).start_with::<serve_with_a_key>().unwrap();
        manager.ping().unwrap();
        let refused = Manager::connect(manager.address()).unwrap_err();
        assert!(matches!(refused, ManagerError::Refused { .. }), "{refused}");

        let error = Manager::start_with::<serve_nowhere>().unwrap_err();
        assert!(
            matches!(&error, ManagerError::NotStarted { reason } if reason.contains("give it a key")),
            "{error}"
        );
    });
}
