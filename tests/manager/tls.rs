//! `tls:` addresses: everything is as over TCP, and who cannot show what it should is told so.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use procshare::manager::*;
use procshare::{Cause, LockError};
use procshare_harness::{Reexec, entered};

use crate::authority::{Authority, HOSTS, connector, place, shake_hands, tls, tls_limited};
use crate::logged::Log;
use crate::raw::{Raw, pack, undisturbed};
use crate::remote::wire;
use crate::support::{eventually, key, run, tcp, watched};

/// So many bytes that no buffer on their way holds them, and no two of them alike.
fn large(seed: u64) -> Vec<u8> {
    (0..1u64 << 17)
        .flat_map(|at| (at ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

#[test]
fn a_manager_at_a_tls_address_does_all_that_others_do() {
    watched(|| {
        let server = tls();
        assert!(server.address.to_string().starts_with("tls:127.0.0.1:"));
        assert_eq!(server.address.to_string().parse(), Ok(server.address.clone()));
        let (one, two) = (server.client(), server.client());
        assert_eq!(one.transport(), Transport::Socket);
        let ages = Dict::<String, u32>::create(&one, "ages").unwrap();
        ages.set("Ada", &36).unwrap();
        assert_eq!(Dict::<String, u32>::open(&two, "ages").unwrap().add("Ada", &1).unwrap(), 37);
        let list = List::<Vec<u8>>::create(&two, "list").unwrap();
        list.extend(&[vec![1; 100_000], vec![2; 3]]).unwrap();
        assert_eq!(list.snapshot().unwrap(), [vec![1; 100_000], vec![2; 3]]);
        let queue = Queue::<u64>::create(&one, "queue", None).unwrap();
        std::thread::scope(|scope| {
            let getter = scope.spawn(|| Queue::<u64>::open(&two, "queue").unwrap().get().unwrap());
            eventually("it waits", || one.stats().unwrap().waiting == 1);
            queue.put(7).unwrap();
            assert_eq!(getter.join().unwrap(), 7);
        });
        let calls = (0..1000).map(|_| ages.calls().add("Bob", &1).unwrap()).collect();
        let sums: Vec<u32> = one.batch(calls).unwrap().into_iter().map(Result::unwrap).collect();
        assert!(sums.into_iter().eq(1..=1000));
        let rings = connector().transport(Transport::Ring).connect(&server.address).unwrap_err();
        assert!(rings.to_string().contains("no rings over TCP"), "{rings}");
        let named: Address =
            format!("tls:localhost:{}", place(&server).rsplit_once(':').unwrap().1).parse().unwrap();
        connector().connect(&named).unwrap().ping().unwrap();
    });
}

/// Both ends write more than anything between them holds, and read only by and by.
#[test]
fn large_values_go_both_ways_at_once() {
    watched(|| {
        let server = tls();
        std::thread::scope(|scope| {
            for number in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    let manager = server.client();
                    let values = Dict::<u64, Vec<u8>>::anonymous(&manager).unwrap();
                    values.set(&0, &large(number)).unwrap();
                    let sets = (1..4).map(|at| values.calls().set(&at, &large(number + at)).unwrap());
                    let gets = || (0..3).map(|_| values.calls().get(&0).unwrap());
                    // Answers come while calls still go.
                    let mut reading = manager.pipeline();
                    gets().for_each(|get| reading.add(get).unwrap());
                    std::thread::scope(|inner| {
                        let writer = inner.spawn(|| manager.batch(sets.collect()).unwrap());
                        for found in reading.run() {
                            assert!(found.unwrap() == Some(large(number)));
                        }
                        writer.join().unwrap().into_iter().for_each(Result::unwrap);
                    });
                    for at in 1..4 {
                        assert!(values.get(&at).unwrap() == Some(large(number + at)));
                    }
                });
            }
        });
    });
}

#[test]
fn servers_that_show_no_good_certificate_are_not_believed() {
    watched(|| {
        let (authority, other) = (Authority::new("good"), Authority::new("other"));
        let distrust = |pair: crate::authority::Pair, roots: TlsRoots| {
            let server = run(Server::builder()
                .address("tls:127.0.0.1:0".parse().unwrap())
                .key(key())
                .tls(pair.identity()));
            let error = Manager::builder().key(key()).roots(roots).connect(&server.address).unwrap_err();
            let ManagerError::Tls(TlsError::Untrusted { address, distrust }) = error else {
                panic!("{error}")
            };
            assert_eq!(address, server.address.to_string());
            distrust
        };
        let good = || authority.certify("good", &HOSTS, 2020..2120);
        assert_eq!(distrust(good(), other.roots()), Distrust::UnknownIssuer);
        let again = Authority::new("good");
        assert_eq!(distrust(good(), again.roots()), Distrust::WrongSignature);
        let old = authority.certify("old", &HOSTS, 2020..2021);
        assert_eq!(distrust(old, authority.roots()), Distrust::Expired);
        let early = authority.certify("early", &HOSTS, 2119..2120);
        assert_eq!(distrust(early, authority.roots()), Distrust::NotYetValid);
        let elsewhere = authority.certify("elsewhere", &["example.org"], 2020..2120);
        let Distrust::OtherName { presented } = distrust(elsewhere, authority.roots()) else { panic!() };
        assert!(presented.iter().any(|name| name.contains("example.org")), "{presented:?}");
        let own =
            crate::authority::Pair { chain: authority.file("ca.pem"), key: authority.file("ca-key.pem") };
        assert_eq!(distrust(own, authority.roots()), Distrust::IsAuthority);
    });
}

#[test]
fn files_that_cannot_be_used_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let authority = Authority::new("files");
    let (one, two) =
        (authority.certify("one", &HOSTS, 2020..2120), authority.certify("two", &HOSTS, 2020..2120));
    let refused =
        |chain: &std::path::Path, key: &std::path::Path| TlsIdentity::from_files(chain, key).unwrap_err();
    assert!(matches!(refused(&one.chain, &two.key), TlsError::Mismatch { .. }));
    let nowhere = authority.file("nowhere.pem");
    assert!(matches!(refused(&nowhere, &one.key), TlsError::Io { path, .. } if path.contains("nowhere")));
    assert!(
        matches!(refused(&one.chain, &nowhere), TlsError::Key(KeyError::Io { path, .. }) if path.contains("nowhere"))
    );
    let none = refused(&one.key, &one.key);
    assert!(matches!(&none, TlsError::Pem { wanted: "certificate", .. }), "{none}");
    let garbage = authority.file("garbage.pem");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(refused(&garbage, &one.key), TlsError::Pem { wanted: "certificate", .. }));
    assert!(matches!(TlsRoots::from_file(&garbage), Err(TlsError::Pem { .. })));
    assert!(matches!(TlsRoots::from_file(&nowhere), Err(TlsError::Io { .. })));
    std::fs::set_permissions(&two.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(refused(&two.chain, &two.key), TlsError::Key(KeyError::Exposed { mode: 0o644, .. })));
}

#[test]
fn what_is_missing_is_said_before_anything_is_tried() {
    let address: Address = "tls:127.0.0.1:0".parse().unwrap();
    assert!(matches!(Server::bind(&address), Err(ManagerError::KeyNeeded { .. })));
    let bare = Server::builder().address(address.clone()).key(key()).bind().err().unwrap();
    assert!(matches!(bare, ManagerError::Tls(TlsError::IdentityNeeded { .. })), "{bare}");
    let nobody = Manager::builder().key(key()).connect(&address).unwrap_err();
    assert!(matches!(nobody, ManagerError::Tls(TlsError::RootsNeeded { .. })), "{nobody}");
    let bad = connector().connect(&"tls:no host:70".parse().unwrap()).unwrap_err();
    assert!(matches!(bad, ManagerError::Tls(TlsError::BadHost { .. })), "{bad}");
    let refused = procshare::process::Listener::options().key(key()).listen(address).unwrap_err();
    assert!(refused.to_string().contains("TLS is for managers"), "{refused}");
}

#[test]
fn who_does_not_know_the_key_stays_outside_also_over_tls() {
    watched(|| {
        let server = tls();
        undisturbed(&server, || {
            let wrong = Key::new(*b"another key of the right length!").unwrap();
            let refused = connector().key(wrong).connect(&server.address).unwrap_err();
            assert!(
                matches!(&refused, ManagerError::Refused { reason, .. } if reason == "wrong key"),
                "{refused}"
            );
            let (mut tls, mut wire) = shake_hands(&server);
            let mut stream = rustls::Stream::new(&mut tls, &mut wire);
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let mut told = Vec::new();
            let _ = stream.read_to_end(&mut told);
            let told = String::from_utf8_lossy(&told).into_owned();
            assert!(told.contains("1 to 1024 are taken"), "{told}");
        });
    });
}

/// Those who speak in clear to a TLS port, and TLS to another one.
#[test]
fn who_speaks_another_language_is_told_so() {
    watched(|| {
        let server = tls();
        undisturbed(&server, || {
            let clear = Address::Tcp(place(&server));
            let refused = Manager::builder().key(key()).connect(&clear).unwrap_err();
            assert!(matches!(refused, ManagerError::Refused { .. }), "{refused}");
            assert!(refused.to_string().contains("TLS is spoken at this address"), "{refused}");
            for words in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xff; 4096], &[0x16; 4096]] {
                let mut raw = Raw::Tcp(TcpStream::connect(place(&server)).unwrap());
                raw.send(words);
                assert!(raw.frame().is_none(), "it is ended");
            }
        });
        let plain = tcp();
        let Address::Tcp(place) = &plain.address else { unreachable!() };
        undisturbed(&plain, || {
            let refused = connector().connect(&Address::Tls(place.clone())).unwrap_err();
            assert!(matches!(refused, ManagerError::Tls(TlsError::NotSpoken { .. })), "{refused}");
        });
    });
}

/// A listener that does nothing, and one that closes at once.
#[test]
fn a_server_that_does_not_finish_the_handshake_is_given_up() {
    watched(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tls(listener.local_addr().unwrap().to_string());
        let error = connector().timeout(Duration::from_millis(200)).connect(&address).unwrap_err();
        assert!(error.to_string().contains("did not answer in time"), "{error}");
        // The first one still waits to be accepted.
        let closer = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut client, _) = listener.accept().unwrap();
                client.read_exact(&mut [0; 64]).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            }
        });
        let error = connector().connect(&address).unwrap_err();
        assert!(error.to_string().contains("closed the connection"), "{error}");
        closer.join().unwrap();
    });
}

#[test]
fn silent_and_slow_strangers_are_ended() {
    watched(|| {
        let brief = Limits { handshake: Duration::from_millis(200), strangers: 4, ..Limits::default() };
        let server = tls_limited(brief);
        let manager = server.client();
        let end = |mut stranger: TcpStream| {
            // The end, or a reset: it may have said something that nobody read.
            assert!(!matches!(stranger.read(&mut [0; 64]), Ok(1..)));
        };
        end(TcpStream::connect(place(&server)).unwrap());
        let mut slow = TcpStream::connect(place(&server)).unwrap();
        slow.set_nodelay(true).unwrap();
        // A record that says it has 16 KiB, and comes byte by byte.
        let _ = slow.write_all(&[0x16, 3, 1, 0x40, 0]);
        while slow.write_all(&[1]).is_ok() {
            std::thread::yield_now();
        }
        // In the middle of everything but the key.
        let (_, wire) = shake_hands(&server);
        let mut wire = wire;
        let mut rest = Vec::new();
        let _ = wire.read_to_end(&mut rest);
        let crowd: Vec<_> = (0..20).map(|_| TcpStream::connect(place(&server)).unwrap()).collect();
        crowd.into_iter().for_each(end);
        manager.ping().unwrap();
        eventually("nobody else is there", || server.handle.clients() == 1);
    });
}

/// The same proof as without TLS, made by hand as `docs/protocol.md` says.
fn enter(stream: &mut rustls::Stream<'_, rustls::ClientConnection, TcpStream>) {
    use hmac::{KeyInit, Mac};
    let mut frame = |say: &[u8]| {
        stream.write_all(say).unwrap();
        let mut len = [0; 4];
        stream.read_exact(&mut len).unwrap();
        let mut content = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut content).unwrap();
        content
    };
    let ours = pack::greeting("key", 1, 1);
    let theirs = frame(&ours);
    let mut proof = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"a key that both of them know....").unwrap();
    proof.update(b"procshare client proof\0");
    for greeting in [&ours[4..], &theirs] {
        proof.update(&(greeting.len() as u64).to_be_bytes());
        proof.update(greeting);
    }
    assert!(frame(&pack::proof(&proof.finalize().into_bytes())).starts_with(&[0x91, 0xc4, 32]));
}

/// Its answers stay in the server, not in what carries them: so it is found out as over TCP.
#[test]
fn a_client_that_never_reads_is_ended_also_over_tls() {
    watched(|| {
        let limits = Limits { unread: 1 << 16, stall: Duration::from_millis(300), ..Limits::default() };
        let server = tls_limited(limits);
        undisturbed(&server, || {
            let (mut tls, mut wire) = shake_hands(&server);
            enter(&mut rustls::Stream::new(&mut tls, &mut wire));
            assert_eq!(server.handle.clients(), 2);
            wire.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            let calls = pack::call(1, 0, "stats").repeat(1000);
            // Until nobody takes more.
            let mut is_taken = true;
            while is_taken {
                tls.writer().write_all(&calls).unwrap();
                while is_taken && tls.wants_write() {
                    is_taken = tls.write_tls(&mut wire).is_ok();
                }
            }
            eventually("it is ended", || server.handle.clients() == 1);
        });
    });
}

#[test]
fn garbage_and_cut_records_end_their_client_alone() {
    watched(|| {
        let server = tls();
        undisturbed(&server, || {
            for cut in [false, true] {
                let (mut tls, mut wire) = shake_hands(&server);
                tls.writer().write_all(&pack::greeting("key", 1, 1)).unwrap();
                if cut {
                    let mut record = Vec::new();
                    tls.write_tls(&mut record).unwrap();
                    wire.write_all(&record[..record.len() / 2]).unwrap();
                    wire.shutdown(Shutdown::Write).unwrap();
                } else {
                    while tls.wants_write() {
                        tls.write_tls(&mut wire).unwrap();
                    }
                    // A record of the right form that nobody has encrypted.
                    wire.write_all(&[0x17, 3, 3, 0, 32]).unwrap();
                    wire.write_all(&[7; 32]).unwrap();
                }
                let mut rest = Vec::new();
                let _ = wire.read_to_end(&mut rest);
                eventually("it is forgotten", || server.handle.clients() == 1);
            }
        });
    });
}

#[test]
fn a_cut_wire_is_no_death_over_tls_either() {
    watched(|| {
        let server = tls_limited(Limits { lost: Duration::from_millis(300), ..Limits::default() });
        let (through, ends) = wire(&place(&server));
        let Address::Tcp(through) = through else { unreachable!() };
        let near = server.client();
        let far = connector().connect(&Address::Tls(through)).unwrap();
        let lock = Lock::create(&near, "lock").unwrap();
        let guard = Lock::open(&far, "lock").unwrap().lock().unwrap();
        let (client, upstream) = ends.recv().unwrap();
        for end in [client, upstream] {
            end.shutdown(Shutdown::Both).unwrap();
        }
        eventually("the holder finds out", || guard.is_lost());
        assert!(matches!(far.ping(), Err(ManagerError::Disconnected { .. })));
        let fence = guard.fence();
        let Err(LockError::OwnerDied(outcome)) = lock.lock() else { panic!("nobody was told") };
        assert_eq!(outcome.cause(), Cause::Lost);
        assert!(outcome.into_guard().fence() > fence);
    });
}

/// A server in this process, with certificates that other processes can read.
fn with_files(authority: &Authority, limits: Limits) -> crate::support::Running {
    let identity = authority.certify("server", &HOSTS, 2020..2120).identity();
    let builder = Server::builder().address("tls:127.0.0.1:0".parse().unwrap()).key(key());
    run(builder.tls(identity).limits(limits))
}

#[test]
fn entry_leaver() {
    let Some(ways) = entered("tls::entry_leaver") else { return };
    let (address, roots) = ways.split_once(' ').unwrap();
    let connector = Manager::builder().key(key()).roots(TlsRoots::from_file(roots).unwrap());
    let manager = connector.connect(&address.parse().unwrap()).unwrap();
    let seen = Value::<u64>::open(&manager, "seen").unwrap();
    for _ in 0..100 {
        drop(Lock::open(&manager, "lock").unwrap().lock().unwrap());
        seen.add(&1).unwrap();
    }
    drop(Lock::open(&manager, "lock").unwrap().lock().unwrap());
    drop((seen, manager));
    // Nobody waits for the thread that carries.
    std::process::exit(0);
}

/// What a client says last gets away before its process ends, and its good bye is believed.
#[test]
fn who_says_good_bye_over_tls_leaves_at_once() {
    watched(|| {
        let authority = Authority::new("leaver");
        let server = with_files(&authority, Limits { lost: Duration::from_secs(3600), ..Limits::default() });
        let near = Manager::builder().key(key()).roots(authority.roots()).connect(&server.address).unwrap();
        let (lock, seen) =
            (Lock::create(&near, "lock").unwrap(), Value::create(&near, "seen", &0u64).unwrap());
        let ways = format!("{} {}", server.address, authority.file("ca.pem").display());
        for _ in 0..3 {
            let leaver = Reexec::new("tls::entry_leaver").argument(&ways).spawn().unwrap();
            leaver.wait(Duration::from_secs(30)).unwrap();
            drop(lock.lock().unwrap());
            eventually("nobody else is there", || near.stats().unwrap().clients == 1);
        }
        assert_eq!(seen.get().unwrap(), 300);
    });
}

#[test]
fn entry_server() {
    let Some(directory) = entered("tls::entry_server") else { return };
    let file = |name: &str| std::path::Path::new(&directory).join(name);
    let identity = TlsIdentity::from_files(file("server.pem"), file("server-key.pem")).unwrap();
    let builder = Server::builder().address("tls:127.0.0.1:0".parse().unwrap()).key(key());
    let server = builder.tls(identity).bind().unwrap();
    std::fs::write(file("draft"), server.addresses()[0].to_string()).unwrap();
    std::fs::rename(file("draft"), file("address")).unwrap();
    server.run().unwrap();
}

#[test]
fn a_killed_server_is_an_error_for_all_that_wait_over_tls() {
    watched(|| {
        let authority = Authority::new("killed");
        authority.certify("server", &HOSTS, 2020..2120);
        let directory = authority.file("").display().to_string();
        let child = Reexec::new("tls::entry_server").argument(directory).spawn().unwrap();
        eventually("it listens", || authority.file("address").exists());
        let address: Address = std::fs::read_to_string(authority.file("address")).unwrap().parse().unwrap();
        let manager = Manager::builder().key(key()).roots(authority.roots()).connect(&address).unwrap();
        let event = Event::anonymous(&manager).unwrap();
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| event.wait())).collect();
            eventually("all wait", || manager.stats().unwrap().waiting == 3);
            let _ = child.kill();
            for waiter in waiters {
                let error = waiter.join().unwrap().unwrap_err();
                assert!(matches!(error, ManagerError::Disconnected { maybe_done: true, .. }), "{error}");
            }
        });
        assert!(matches!(event.set(), Err(ManagerError::Disconnected { .. })));
    });
}

#[test]
fn a_shutdown_says_so_over_tls() {
    watched(|| {
        let mut server = tls();
        let manager = server.client();
        let event = Event::anonymous(&manager).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| event.wait());
            eventually("it waits", || manager.stats().unwrap().waiting == 1);
            server.stop();
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.to_string().contains("shut down"), "{error}");
        });
    });
}

fn entries_of(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn entry_many() {
    let Some(_) = entered("tls::entry_many") else { return };
    let server = tls();
    server.client().ping().unwrap();
    eventually("it has left", || server.handle.clients() == 0);
    let all = || (entries_of("/proc/self/fd"), entries_of("/proc/self/task"));
    eventually("its thread has ended", || all().1 <= 5);
    let before = all();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..250 {
                    match number % 5 {
                        0 => drop(TcpStream::connect(place(&server)).unwrap()),
                        1 => _ = TcpStream::connect(place(&server)).unwrap().write(b"hello").unwrap(),
                        2 => drop(shake_hands(&server)),
                        _ => server.client().ping().unwrap(),
                    }
                }
            });
        }
    });
    eventually("nobody is there", || server.handle.clients() == 0);
    eventually("nothing is left of them", || all() == before);
    std::fs::write(std::env::var("PROCSHARE_TEST_TRACE").unwrap(), "done").unwrap();
}

/// Runs an entry that says at its end that it has run.
fn run_entry(name: &str) {
    let trace = crate::support::path("trace");
    let entry = Reexec::new(name).env("PROCSHARE_TEST_TRACE", &trace);
    entry.spawn().unwrap().wait(Duration::from_secs(58)).unwrap();
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "done");
    std::fs::remove_file(trace).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_thousand_connections_leave_nothing() {
    watched(|| run_entry("tls::entry_many"));
}

#[test]
fn entry_log() {
    let Some(_) = entered("tls::entry_log") else { return };
    let log = Log::begin();
    let server = tls_limited(Limits { handshake: Duration::from_millis(300), ..Limits::default() });
    let address = Address::Tcp(place(&server));
    Manager::builder().key(key()).connect(&address).unwrap_err();
    log.waits_for("calls in clear");
    TcpStream::connect(place(&server)).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    log.waits_for("it does not speak TLS\"");
    let other = Authority::new("log");
    connector().roots(other.roots()).connect(&server.address).unwrap_err();
    log.waits_for("UnknownCA");
    let _silent = TcpStream::connect(place(&server)).unwrap();
    log.waits_for("too long to be let in");
    let (_tls, mut wire) = shake_hands(&server);
    wire.write_all(&[0x17, 3, 3, 0, 32]).and_then(|()| wire.write_all(&[7; 32])).unwrap();
    log.waits_for("a TLS connection is cut");
    let plain = tcp();
    let Address::Tcp(place) = &plain.address else { unreachable!() };
    connector().connect(&Address::Tls(place.clone())).unwrap_err();
    log.waits_for("it looks like TLS");
    std::fs::write(std::env::var("PROCSHARE_TEST_TRACE").unwrap(), "done").unwrap();
}

#[test]
fn what_was_wrong_with_a_handshake_is_in_the_servers_log() {
    watched(|| run_entry("tls::entry_log"));
}
