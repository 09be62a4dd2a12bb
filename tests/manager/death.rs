//! What becomes of calls and holdings when a client or the server ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use procshare::LockError;
use procshare::manager::*;

use crate::support::{Running, connect, eventually, follow, local, over_both, path};

/// Runs this test binary again as a client that does `what` and then sleeps.
fn victim(server: &Running, what: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["death::be_a_victim", "--exact", "--ignored", "--nocapture"])
        .env("PROCSHARE_TEST_ADDRESS", server.address.to_string())
        .env("PROCSHARE_TEST_TRANSPORT", server.transport.to_string())
        .env("PROCSHARE_TEST_WHAT", what)
        .stdout(Stdio::piped())
        // A forked child lives for a while: it shall keep nobody's pipe open.
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("holding")), "{what}: it ended before it held anything");
    child
}

#[test]
#[ignore = "run by the others, as another process"]
fn be_a_victim() {
    let Ok(address) = std::env::var("PROCSHARE_TEST_ADDRESS") else { return };
    follow(std::env::var("PROCSHARE_TEST_TRANSPORT").unwrap().parse().unwrap());
    let manager = connect(&address.parse().unwrap()).unwrap();
    let mut holds: Vec<Box<dyn std::any::Any>> = Vec::new();
    match std::env::var("PROCSHARE_TEST_WHAT").unwrap().as_str() {
        "lock" => holds.push(Box::new(Lock::open(&manager, "lock").unwrap().lock().unwrap())),
        // A child that keeps the connection open.
        "fork" => {
            holds.push(Box::new(Lock::open(&manager, "lock").unwrap().lock().unwrap()));
            // SAFETY: the child calls nothing but what a signal handler may call.
            if unsafe { libc::fork() } == 0 {
                // SAFETY: takes no pointers; the signal ends the process, and so the loop.
                unsafe { libc::alarm(100) };
                loop {
                    // SAFETY: takes no pointers.
                    unsafe { libc::pause() };
                }
            }
        }
        "forget" => Lock::open(&manager, "lock").unwrap().lock().unwrap().forget().unwrap(),
        "permit" => {
            holds.push(Box::new(Semaphore::open(&manager, "permits").unwrap().acquire_many(2).unwrap()))
        }
        "write" => holds.push(Box::new(RwLock::open(&manager, "rwlock").unwrap().write().unwrap())),
        "read" => holds.push(Box::new(RwLock::open(&manager, "rwlock").unwrap().read().unwrap())),
        // Everybody waits for it to act.
        "act" => {
            let act = || {
                println!("holding");
                std::thread::park_timeout(Duration::from_secs(60));
                Ok::<(), ()>(())
            };
            let _ = Barrier::open(&manager, "acting").unwrap().wait_with(act);
        }
        "seat" => Barrier::open(&manager, "barrier").unwrap().join().unwrap(),
        "task" => holds.push(Box::new(JoinableQueue::<u32>::open(&manager, "tasks").unwrap().get().unwrap())),
        "proxy" => holds.push(Box::new(List::<u32>::anonymous(&manager).unwrap())),
        "serve" => {
            let server =
                Server::bind(&std::env::var("PROCSHARE_TEST_SERVE").unwrap().parse().unwrap()).unwrap();
            println!("holding");
            server.run().unwrap();
        }
        other => panic!("no such victim: {other}"),
    }
    println!("holding");
    std::thread::park_timeout(Duration::from_secs(60));
    drop(holds);
}

#[test]
fn what_a_killed_client_held_comes_back() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let lock = Lock::create(&manager, "lock").unwrap();
        let semaphore = Semaphore::create(&manager, "permits", 2).unwrap();
        let barrier = Barrier::create(&manager, "barrier", 2).unwrap();
        let tasks = JoinableQueue::<u32>::create(&manager, "tasks", None).unwrap();
        tasks.put(9).unwrap();
        let kill = |mut child: Child| {
            child.kill().unwrap();
            child.wait().unwrap();
        };

        let child = victim(&server, "lock");
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lock.lock().map(drop));
            eventually("it waits", || manager.stats().unwrap().waiting == 1);
            kill(child);
            let Err(LockError::OwnerDied(outcome)) = waiter.join().unwrap().map_err(|e| match e {
                LockError::OwnerDied(outcome) => LockError::OwnerDied(outcome),
                other => other,
            }) else {
                panic!("nobody was told")
            };
            assert_eq!(outcome.cause(), procshare::Cause::Died);
            outcome.into_guard().make_consistent().unwrap();
        });

        kill(victim(&server, "forget"));
        eventually("only we are left", || manager.stats().unwrap().clients == 1);
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)), "handed over");
        lock.release().unwrap();
        drop(lock.lock().unwrap());

        kill(victim(&server, "fork"));
        let Err(LockError::OwnerDied(outcome)) = lock.lock() else { panic!("nobody was told") };
        outcome.into_guard().make_consistent().unwrap();

        let child = victim(&server, "permit");
        assert_eq!(semaphore.available().unwrap(), 0);
        kill(child);
        drop(semaphore.acquire_many(2).unwrap());

        kill(victim(&server, "seat"));
        eventually("the barrier breaks", || barrier.is_broken().unwrap());

        let child = victim(&server, "task");
        assert_eq!((tasks.len().unwrap(), tasks.unfinished().unwrap()), (0, 1));
        kill(child);
        assert_eq!(*tasks.get().unwrap(), 9);
        tasks.join().unwrap();

        let child = victim(&server, "proxy");
        assert_eq!(manager.stats().unwrap().objects, 5);
        kill(child);
        eventually("its object is gone", || manager.stats().unwrap().objects == 4);
    });
}

#[test]
fn readers_and_writers_and_leaders_that_are_killed_block_nobody() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let lock = RwLock::create(&manager, "rwlock").unwrap();
        let kill = |mut child: Child| {
            child.kill().unwrap();
            child.wait().unwrap();
        };
        kill(victim(&server, "read"));
        drop(lock.write().unwrap());
        let child = victim(&server, "write");
        assert!(matches!(lock.try_read(), Err(LockError::WouldBlock)));
        kill(child);
        let Err(LockError::OwnerDied(outcome)) = lock.read() else { panic!("nobody was told") };
        assert_eq!(outcome.cause(), procshare::Cause::Died);
        drop(outcome);
        let Err(LockError::OwnerDied(outcome)) = lock.write() else { panic!("nobody was told") };
        outcome.into_guard().make_consistent().unwrap();
        drop(lock.read().unwrap());

        let barrier = Barrier::create(&manager, "acting", 2).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| barrier.wait());
            eventually("it waits", || barrier.n_waiting().unwrap() == 1);
            let child = victim(&server, "act");
            assert_eq!(barrier.n_waiting().unwrap(), 1, "nobody leaves before the leader has acted");
            kill(child);
            assert!(
                matches!(waiter.join().unwrap(), Err(ManagerError::Broken { reason }) if reason == "died")
            );
        });
        barrier.reset().unwrap();
    });
}

#[test]
fn a_killed_server_is_an_error_for_all_that_wait_and_its_socket_can_be_taken() {
    over_both(|| {
        let helper = local();
        let address = Address::Unix(path("killed"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["death::be_a_victim", "--exact", "--ignored", "--nocapture"])
            .env("PROCSHARE_TEST_ADDRESS", helper.address.to_string())
            .env("PROCSHARE_TEST_TRANSPORT", helper.transport.to_string())
            .env("PROCSHARE_TEST_SERVE", address.to_string())
            .env("PROCSHARE_TEST_WHAT", "serve")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("holding")));
        let manager = connect(&address).unwrap();
        assert!(matches!(Server::bind(&address), Err(ManagerError::AddressInUse { .. })), "it lives");
        let (event, lock) = (Event::anonymous(&manager).unwrap(), Lock::anonymous(&manager).unwrap());
        let guard = lock.lock().unwrap();
        assert!(!guard.is_lost());
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| event.wait())).collect();
            eventually("all wait", || manager.stats().unwrap().waiting == 3);
            child.kill().unwrap();
            child.wait().unwrap();
            for waiter in waiters {
                let error = waiter.join().unwrap().unwrap_err();
                assert!(matches!(error, ManagerError::Disconnected { maybe_done: true, .. }), "{error}");
            }
        });
        assert!(guard.is_lost());
        assert!(matches!(event.set(), Err(ManagerError::Disconnected { maybe_done: false, .. })));
        assert!(matches!(connect(&address), Err(ManagerError::Io { .. })));
        // The socket is still there: a new server takes it.
        let mut server = crate::support::run(Server::builder().address(address.clone()));
        connect(&address).unwrap().ping().unwrap();
        server.stop();
        let Address::Unix(path) = address else { unreachable!() };
        assert!(!path.exists() && !path.with_extension("lock").exists());
    });
}

#[test]
fn a_shutdown_says_so_and_leaves_nothing() {
    over_both(|| {
        let mut server = local();
        let manager = server.client();
        let event = Event::anonymous(&manager).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| event.wait());
            eventually("it waits", || manager.stats().unwrap().waiting == 1);
            server.stop();
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.to_string().contains("shut down"), "{error}");
        });
        let Address::Unix(path) = &server.address else { unreachable!() };
        assert!(!path.exists());
    });
}
