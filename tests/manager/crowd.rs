//! Too many of them: strangers, clients, bytes, open files. Who is there already, and who comes by right, notices nothing.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use procshare::manager::*;
use procshare::{Cause, LockError};

use crate::raw::{Raw, pack, undisturbed};
use crate::support::{eventually, limited, local, over_both, tcp_limited, watched};

#[test]
fn strangers_keep_no_client_out() {
    watched(|| {
        let hour = Duration::from_secs(3600);
        let server = tcp_limited(Limits { clients: 2, strangers: 4, handshake: hour, ..Limits::default() });
        undisturbed(&server, || {
            let mut silent: Vec<Raw> = (0..40).map(|_| Raw::connect(&server)).collect();
            // They do not count as clients: there is room for one besides the other test client.
            server.client().ping().unwrap();
            let told = silent.swap_remove(0).last_words();
            assert!(told.contains("more than 4 wait to be let in"), "{told}");
        });
    });
}

#[test]
fn clients_are_counted_when_they_have_shown_who_they_are() {
    watched(|| {
        let server = tcp_limited(Limits { clients: 2, ..Limits::default() });
        let two = [server.client(), server.client()];
        let connect = || Manager::builder().key(crate::support::key()).connect(&server.address);
        let refused = connect().unwrap_err();
        assert!(refused.to_string().contains("2 clients are connected"), "{refused}");
        // Who does not know the key is not told how many there are.
        let mut raw = Raw::connect(&server);
        raw.send(&pack::greeting("key", 1, 1));
        raw.send(&pack::proof(&[7; 32]));
        assert!(raw.last_words().contains("wrong key"));
        drop(two);
        eventually("there is room again", || connect().is_ok());
    });
}

#[test]
fn bytes_under_way_are_bounded_in_all() {
    over_both(|| {
        let limits = Limits { buffers: 1 << 20, slow_frame: Duration::from_secs(3600), ..Limits::default() };
        let server = limited(limits);
        undisturbed(&server, || {
            // Each announces a frame that is allowed, and sends most of it.
            let part = [&(500_000u32).to_be_bytes()[..], &[0; 300_000]].concat();
            let mut many: Vec<Raw> = (0..8).map(|_| Raw::inside(&server)).collect();
            for raw in &mut many {
                // Some are ended while they send.
                let _ = raw.try_send(&part);
            }
            // Three fit into a mebibyte, beside what the other client has under way.
            eventually("the others are ended", || server.handle.clients() <= 5);
            assert!(server.handle.clients() >= 2, "not more than necessary");
        });
    });
}

#[test]
fn who_is_thrown_out_is_lost_and_not_dead() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let lock = Lock::create(&manager, "lock").unwrap();
        let mut raw = Raw::inside(&server);
        // Opens the lock, and takes it: `open(nil, "lock")`, `acquire(1, nil)` of the first object there is.
        raw.send(&pack::frame(b"\x94\x01\x00\xa4open\x92\xc0\xa4lock"));
        assert!(raw.frame().unwrap().starts_with(&[0x92, 1, 0x92, 0xd7, 1]));
        raw.send(&pack::frame(b"\x94\x02\x01\xa7acquire\x92\x01\xc0"));
        assert!(raw.frame().unwrap().starts_with(&[0x92, 2, 0x92]));
        raw.send(&[0; 4]);
        assert!(raw.last_words().contains("a frame of 0 bytes"));
        let Err(LockError::OwnerDied(outcome)) = lock.lock() else { panic!("nobody was told") };
        assert_eq!(outcome.cause(), Cause::Lost);
    });
}

#[test]
fn answers_that_a_client_does_not_take_are_not_sent() {
    watched(|| {
        let server = local();
        let manager = server.client();
        List::<String>::create(&manager, "list").unwrap().push(&"x".repeat(2000)).unwrap();
        let mut raw = Raw::connect(&server);
        let mut greeting = pack::greeting("peer", 1, 1);
        // The longest frame it takes: 1,000 bytes, in the same five.
        let at = greeting.len() - 4;
        greeting[at..].copy_from_slice(&1000u32.to_be_bytes());
        raw.send(&greeting);
        raw.send(&pack::proof(&[]));
        raw.frame().unwrap();
        raw.frame().unwrap();
        raw.send(&pack::frame(b"\x94\x02\x01\xa5slice\x92\x00\xc0"));
        let told = String::from_utf8_lossy(&raw.frame().unwrap()).into_owned();
        assert!(told.contains("limit") && told.contains("more than the client takes"), "{told}");
        raw.send(&pack::call(3, 1, "len"));
        assert_eq!(raw.frame().unwrap(), [0x92, 3, 1]);
    });
}

#[test]
#[ignore = "run by the other one, as another process"]
fn be_short_of_files() {
    if std::env::var_os("PROCSHARE_TEST_FILES").is_none() {
        return;
    }
    let server = local();
    // SAFETY: the limit is a live local.
    unsafe {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    println!("socket {}", server.address);
    // Until the other process has seen enough.
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn socket(address: &Address) -> &std::path::Path {
    let Address::Unix(path) = address else { panic!("{address}") };
    path
}

/// The system lets nobody in any more: whoever waits comes in when others go, without anybody knocking again.
#[test]
fn a_server_without_files_lets_in_who_waits_when_others_go() {
    use std::io::{BufRead, BufReader};
    watched(|| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crowd::be_short_of_files", "--exact", "--ignored", "--nocapture"])
            .env("PROCSHARE_TEST_FILES", "1")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Kept to the end: what else it says shall have somewhere to go.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address: Address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("socket ").map(|(_, address)| address.trim().parse().unwrap()))
            .unwrap();
        let connect =
            |timeout| Manager::builder().transport(Transport::Socket).timeout(timeout).connect(&address);
        let mut inside = Vec::new();
        let refused = loop {
            match connect(Duration::from_millis(500)) {
                Ok(manager) => inside.push(manager),
                Err(error) => break error,
            }
        };
        assert!(inside.len() >= 10, "{} came in: {refused}", inside.len());
        inside.iter().for_each(|manager| manager.ping().unwrap());
        let mut waits = Raw::Unix(UnixStream::connect(socket(&address)).unwrap());
        // When this has come back, the server has tried to let it in.
        inside[0].ping().unwrap();
        drop(inside);
        waits.send(&pack::greeting("peer", 1, 1));
        assert!(waits.frame().unwrap().starts_with(b"\x96\xa9procshare\x01"));
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    });
}

/// Permits, and objects in which somebody holds something: as many as there is memory for.
#[test]
fn holdings_are_counted_like_values() {
    over_both(|| {
        let server = limited(Limits { memory: 1 << 20, ..Limits::default() });
        let manager = server.client();
        let permits = Semaphore::anonymous(&manager, u64::MAX).unwrap();
        let mut held = Vec::new();
        let refused = (0..100_000).find_map(|_| permits.try_acquire().map(|permit| held.push(permit)).err());
        assert!(matches!(refused, Some(ManagerError::Limit { .. })), "{} were given", held.len());
        // A sixteenth more than values may have.
        assert!(server.handle.bytes() <= (1 << 20) + (1 << 16));
        // What somebody gives back is free for all.
        held.truncate(held.len() / 2);
        drop(permits.acquire().unwrap());
        drop(held);
        manager.ping().unwrap();
        drop(Semaphore::anonymous(&manager, 1).unwrap());
        drop(permits);
        eventually("nothing is counted any more", || manager.stats().unwrap().bytes == 0);
    });
}

/// Each client that locks each object is remembered there, until it goes.
#[test]
fn who_holds_what_is_counted_too() {
    over_both(|| {
        let server = limited(Limits { memory: 1 << 20, ..Limits::default() });
        let manager = server.client();
        let locks: Vec<Lock> = (0..1000).map(|_| Lock::anonymous(&manager).unwrap()).collect();
        let before = manager.stats().unwrap().bytes;
        locks.iter().for_each(|lock| lock.lock().unwrap().unlock().unwrap());
        let after = manager.stats().unwrap().bytes;
        assert!(after >= before + 1000 * 64, "{before} {after}");
        drop(locks);
        eventually("nothing is counted any more", || manager.stats().unwrap().bytes == 0);
    });
}

/// Connections come faster than they can be looked at: whoever is inside gets its turns, and in the end nobody is left.
#[test]
fn a_flood_of_connections_starves_nobody() {
    over_both(|| {
        let server = limited(Limits { strangers: 8, ..Limits::default() });
        let manager = server.client();
        let (done, came) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // The queue of those who wait at the door may be full.
                        drop(UnixStream::connect(socket(&server.address)));
                        came.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            eventually("it has begun", || came.load(Ordering::Relaxed) > 1000);
            (0..300).for_each(|_| manager.ping().unwrap());
            done.store(true, Ordering::Relaxed);
        });
        eventually("they are gone", || server.handle.clients() == 1);
        println!("{} connections meanwhile", came.load(Ordering::Relaxed));
    });
}
