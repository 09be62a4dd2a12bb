//! Clients that do not play by the rules: each is told why and ended, and another one notices nothing.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use procshare::manager::*;

use crate::raw::{Raw, pack, undisturbed};
use crate::support::{eventually, key, limited, local, over_both, path, run, tcp, tcp_limited, watched};

#[test]
fn garbage_is_told_what_it_is() {
    watched(|| {
        let server = local();
        undisturbed(&server, || {
            for (bytes, words) in [
                (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "1 to 1024 are taken"),
                (vec![0xff; 4096], "1 to 1024 are taken"),
                (vec![0; 64], "1 to 1024 are taken"),
                (pack::frame(&[0xc1; 20]), "no greeting came"),
                (pack::greeting("peer", 2, 1), "client version 2"),
                (pack::greeting("none", 1, 1), "no greeting came"),
                (pack::greeting("key", 1, 1), "has no key"),
                ([pack::greeting("peer", 1, 1), pack::frame(&[0x90])].concat(), "no proof came"),
            ] {
                let mut raw = Raw::connect(&server);
                raw.send(&bytes);
                let told = raw.last_words();
                assert!(told.contains(words), "{words}: {told}");
            }
        });
    });
}

#[test]
fn bad_frames_end_their_client_with_a_reason() {
    over_both(|| {
        let server = limited(Limits { frame: 1 << 16, ..Limits::default() });
        undisturbed(&server, || {
            let deep = [&[0x94, 1, 0, 0xa4][..], b"ping", &[0x91; 100_000][..60_000]].concat();
            for (bytes, words) in [
                (vec![0, 1, 0, 1], "1 to 65536 are taken"),
                (vec![0xff; 4], "1 to 65536 are taken"),
                (vec![0; 4], "a frame of 0 bytes"),
                (pack::frame(&[0x93, 1, 0, 0]), "no request"),
                (pack::frame(&[0x94, 1, 0, 0xa4, b'p']), "the bytes end inside a value"),
                (
                    pack::frame(&[&[0x94, 1, 0, 0xa4][..], b"ping", &[0x90, 0x90]].concat()),
                    "bytes behind the value",
                ),
                (pack::frame(&[&[0x94, 1, 0, 0xa4][..], b"pi\xffg", &[0x90]].concat()), "not UTF-8"),
                (
                    pack::frame(
                        &[&[0x94, 1, 0, 0xa4][..], b"ping", &[0xdd, 0xff, 0xff, 0xff, 0xff]].concat(),
                    ),
                    "the bytes end",
                ),
                (pack::frame(&deep), "nested deeper than 64 levels"),
            ] {
                let mut raw = Raw::inside(&server);
                raw.send(&bytes);
                let told = raw.last_words();
                assert!(told.contains(words), "{words}: {told}");
            }
        });
    });
}

#[test]
fn a_client_cannot_end_a_server_that_is_not_its_own() {
    over_both(|| {
        let server = local();
        let mut raw = Raw::inside(&server);
        raw.send(&pack::call(1, 0, "shutdown"));
        let told = String::from_utf8_lossy(&raw.frame().unwrap()).into_owned();
        assert!(told.contains("bad-call"), "{told}");
        raw.send(&pack::call(2, 0, "ping"));
        assert_eq!(raw.frame().unwrap(), [0x92, 2, 0xc0]);
    });
}

#[test]
fn random_bytes_break_nothing() {
    over_both(|| {
        let server = local();
        undisturbed(&server, || {
            let mut random = 11u64;
            for _ in 0..200 {
                let mut raw = Raw::inside(&server);
                let mut content = vec![0u8; 40];
                for byte in &mut content {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *byte = (random >> 56) as u8;
                }
                // So that most of them get as far as the store.
                content[..4].copy_from_slice(&[0x94, 1, (random >> 60) as u8, 0xa3]);
                raw.send(&pack::frame(&content));
                raw.send(&pack::call(2, 0, "ping"));
            }
        });
    });
}

#[test]
fn a_million_tiny_frames_are_answered_between_those_of_others() {
    over_both(|| {
        let server = local();
        undisturbed(&server, || {
            let mut raw = Raw::inside(&server);
            // Requests to which no answer is wanted.
            let many = pack::call(0, 0, "ping").repeat(10_000);
            (0..100).for_each(|_| raw.send(&many));
            raw.send(&pack::call(7, 0, "ping"));
            assert_eq!(raw.frame().unwrap(), [0x92, 7, 0xc0]);
        });
    });
}

#[test]
fn a_client_that_never_reads_is_ended_and_costs_bounded_memory() {
    over_both(|| {
        let limits = Limits { unread: 1 << 16, stall: Duration::from_millis(300), ..Limits::default() };
        let server = limited(limits);
        undisturbed(&server, || {
            let mut raw = Raw::inside(&server);
            let calls = pack::call(1, 0, "stats").repeat(1000);
            // Until the server takes no more.
            while raw.try_send(&calls) {}
            eventually("it is ended", || server.handle.clients() == 1);
        });
    });
}

#[test]
fn slow_senders_and_silent_strangers_are_ended() {
    over_both(|| {
        let short = Duration::from_millis(200);
        let limits = Limits { handshake: short, slow_frame: short, idle: Some(short), ..Limits::default() };
        let server = limited(limits);
        undisturbed(&server, || {
            let silent = Raw::connect(&server);
            assert!(silent.last_words().contains("too long to be let in"));
            let mut slow = Raw::inside(&server);
            slow.send(&[0, 0]);
            assert!(slow.last_words().contains("a frame took too long"));
            let idle = Raw::inside(&server);
            assert!(idle.last_words().contains("silent for too long"));
        });
    });
}

#[test]
fn too_many_clients_are_told_so() {
    over_both(|| {
        let server = limited(Limits { clients: 3, ..Limits::default() });
        let manager = server.client();
        let two = [server.client(), server.client()];
        let refused = Manager::connect(&server.address).unwrap_err();
        assert!(refused.to_string().contains("3 clients are connected"), "{refused}");
        two.iter().for_each(|client| client.ping().unwrap());
        drop(two);
        eventually("there is room again", || Manager::connect(&server.address).is_ok());
        manager.ping().unwrap();
    });
}

#[test]
fn who_does_not_know_the_key_stays_outside() {
    watched(|| {
        let server = tcp();
        undisturbed(&server, || {
            let other = Key::new(*b"another key of the right length!").unwrap();
            let wrong = Manager::builder().key(other.clone()).connect(&server.address).unwrap_err();
            assert!(
                matches!(&wrong, ManagerError::Refused { reason, .. } if reason == "wrong key"),
                "{wrong}"
            );
            let none = Manager::connect(&server.address).unwrap_err();
            assert!(matches!(none, ManagerError::Refused { .. }), "{none}");
            // Without asking: no key at all, no proof, and an empty one.
            for (method, words) in [("peer", "needs a key"), ("key", "wrong key")] {
                let mut raw = Raw::connect(&server);
                raw.send(&pack::greeting(method, 1, 1));
                raw.send(&pack::proof(&[]));
                let told = raw.last_words();
                assert!(told.contains(words), "{words}: {told}");
            }
            // Straight to a call.
            let mut raw = Raw::connect(&server);
            raw.send(&pack::call(1, 0, "ping"));
            assert!(raw.last_words().contains("no greeting came"));
        });
        let keyless = run(Server::builder().address(Address::Unix(path("keyless"))));
        let refused = Manager::builder().key(key()).connect(&keyless.address).unwrap_err();
        assert!(refused.to_string().contains("has no key"), "{refused}");
        assert!(matches!(
            Server::bind(&"tcp:127.0.0.1:0".parse().unwrap()),
            Err(ManagerError::KeyNeeded { .. })
        ));
    });
}

/// Records what a true client says, and says it again.
#[test]
fn a_replayed_proof_is_refused() {
    watched(|| {
        let server = tcp();
        let Address::Tcp(place) = server.address.clone() else { unreachable!() };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let between = Address::Tcp(listener.local_addr().unwrap().to_string());
        let recorded = std::thread::scope(|scope| {
            let relay = scope.spawn(move || {
                let (mut client, _) = listener.accept().unwrap();
                let mut to = Raw::Tcp(TcpStream::connect(&place).unwrap());
                let mut from = Raw::Tcp(client.try_clone().unwrap());
                let mut recorded = Vec::new();
                for _ in 0..2 {
                    let said = from.frame().unwrap();
                    to.send(&pack::frame(&said));
                    recorded.push(said);
                    client.write_all(&pack::frame(&to.frame().unwrap())).unwrap();
                }
                recorded
            });
            Manager::builder().key(key()).connect(&between).unwrap();
            relay.join().unwrap()
        });
        let mut raw = Raw::connect(&server);
        recorded.iter().for_each(|said| raw.send(&pack::frame(said)));
        let told = raw.last_words();
        assert!(told.contains("wrong key"), "{told}");
    });
}

/// Servers that want to pass for the true one, without the key.
#[test]
fn an_impostor_is_not_believed() {
    watched(|| {
        for reflect in [true, false] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::Tcp(listener.local_addr().unwrap().to_string());
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let (client, _) = listener.accept().unwrap();
                    let mut raw = Raw::Tcp(client);
                    let hello = raw.frame().unwrap();
                    if reflect {
                        // Sends back whatever comes: greeting and proof.
                        raw.send(&pack::frame(&hello));
                        let proof = raw.frame().unwrap();
                        raw.send(&pack::frame(&proof));
                    } else {
                        // Pretends that no key is needed.
                        raw.send(&pack::greeting("peer", 1, 9));
                    }
                    while raw.frame().is_some() {}
                });
                let error = Manager::builder().key(key()).connect(&address).unwrap_err();
                let words = if reflect { "does not know the key" } else { "asks for 'peer'" };
                assert!(error.to_string().contains(words), "{error}");
            });
        }
    });
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    watched(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap().to_string());
        let connector = Manager::builder().key(key()).timeout(Duration::from_millis(200));
        let error = connector.connect(&address).unwrap_err();
        assert!(error.to_string().contains("did not answer in time"), "{error}");
    });
}

#[test]
fn memory_has_a_limit_that_clients_are_told() {
    watched(|| {
        let server = tcp_limited(Limits { memory: 1 << 20, ..Limits::default() });
        let manager = server.client();
        let list = List::<Vec<u8>>::anonymous(&manager).unwrap();
        let error = (0..1000).find_map(|_| list.push(&vec![0; 10_000]).err()).unwrap();
        assert!(matches!(error, ManagerError::Limit { .. }), "{error}");
        assert!(server.handle.bytes() <= 1 << 20);
        list.clear().unwrap();
        list.push(&vec![0; 10_000]).unwrap();
        let big = tcp_limited(Limits { frame: 1 << 16, ..Limits::default() });
        let list = List::<Vec<u8>>::anonymous(&big.client()).unwrap();
        assert!(matches!(list.push(&vec![0; 1 << 17]), Err(ManagerError::Limit { .. })), "a call");
        list.push(&vec![0; 1000]).unwrap();
    });
}

/// Everybody waits while a call is done, so it is counted before.
#[test]
fn what_would_take_too_long_is_refused_and_not_begun() {
    over_both(|| {
        let server = limited(Limits { work: 1000, ..Limits::default() });
        let manager = server.client();
        let is_refused = |done: ManagerResult<()>| matches!(done, Err(ManagerError::Limit { .. }));
        let dict = Dict::<u32, u32>::anonymous(&manager).unwrap();
        let pairs: Vec<(u32, u32)> = (0..60).map(|key| (key, key)).collect();
        dict.extend(&pairs).unwrap();
        let more: Vec<(u32, u32)> = (0..63).map(|key| (100 + key, key)).collect();
        assert!(is_refused(dict.extend(&more)));
        assert_eq!(dict.len().unwrap(), 60);
        let list = List::<u32>::anonymous(&manager).unwrap();
        assert!(is_refused(list.extend(&[0; 251])));
        list.extend(&[3; 150]).unwrap();
        // Two calls of one transaction are one.
        let both = manager.transaction(|plan| {
            plan.write(list.calls().extend(&[4; 150])?)?;
            plan.write(list.calls().extend(&[5; 150])?)?;
            Ok(())
        });
        assert!(is_refused(both));
        assert!(is_refused(list.sort(false)), "150 elements, seven times and twice");
        assert_eq!(list.snapshot().unwrap(), [3; 150]);
        // A dict that was cleared in a transaction that fails is as it was, in its order.
        let failed = manager.transaction(|plan| {
            plan.write(dict.calls().clear()?)?;
            plan.write(dict.calls().set(&7, &0)?)?;
            plan.write(list.calls().remove(999)?)?;
            Ok(())
        });
        assert!(matches!(failed, Err(ManagerError::OutOfRange { .. })), "{failed:?}");
        assert_eq!(dict.snapshot().unwrap(), pairs);
        dict.clear().unwrap();
        assert!(dict.is_empty().unwrap() && dict.get(&7).unwrap().is_none());
    });
}

/// A client may send many long calls at once: others get their turns between them.
#[test]
fn long_calls_of_one_are_done_between_those_of_others() {
    over_both(|| {
        let server = local();
        let (manager, done) = (server.client(), AtomicBool::new(false));
        let list = List::<u32>::create(&manager, "list").unwrap();
        list.extend(&(0..50_000).collect::<Vec<u32>>()).unwrap();
        let mut raw = Raw::inside(&server);
        raw.send(&pack::frame(b"\x94\x01\x00\xa4open\x92\xc0\xa4list"));
        raw.frame().unwrap();
        let object = u8::try_from(list.object().number()).unwrap();
        let answered = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut answered = 0;
                while !done.load(Ordering::Acquire) {
                    manager.ping().unwrap();
                    answered += 1;
                }
                answered
            });
            raw.send(&pack::call(2, object, "reverse").repeat(200));
            (0..200).for_each(|_| assert_eq!(raw.frame().unwrap(), [0x92, 2, 0xc0]));
            done.store(true, Ordering::Release);
            other.join().unwrap()
        });
        assert!(answered > 20, "{answered} calls of another client while 200 long ones were done");
    });
}

/// Says `words` as user 12345; whether the server refuses because of that.
fn is_refused_as_another_user(path: &std::path::Path, words: &[u8]) -> bool {
    const WORDS: &[u8] = b"of another user than this server";
    // SAFETY: the child makes system calls alone (and connects, which allocates nothing), and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut told = [0; 512];
        // SAFETY: takes no pointers; the whole child becomes the other user.
        let is_other = unsafe { libc::setuid(12345) == 0 };
        let mut len = 0;
        if let Ok(mut stream) = std::os::unix::net::UnixStream::connect(path)
            && stream.write_all(words).is_ok()
        {
            while let Ok(count @ 1..) = std::io::Read::read(&mut stream, &mut told[len..]) {
                len += count;
            }
        }
        let refused = told[..len].windows(WORDS.len()).any(|part| part == WORDS);
        // SAFETY: ends the child.
        unsafe { libc::_exit(if is_other && refused { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the status is written to a live local.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

#[test]
fn another_user_is_refused_also_where_the_file_lets_it_connect() {
    use std::os::unix::fs::PermissionsExt;
    // SAFETY: takes no pointers.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only the superuser can become somebody else");
        return;
    }
    watched(|| {
        let server = local();
        let Address::Unix(path) = server.address.clone() else { unreachable!() };
        undisturbed(&server, || {
            // As a careless administrator might.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
            let words = [pack::greeting("peer", 1, 1), pack::proof(&[])].concat();
            assert!(is_refused_as_another_user(&path, &words));
        });
    });
}
