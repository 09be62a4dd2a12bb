//! Messages between unrelated programs, and what hostile ones send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use procshare::process::{Address, Client, Connection, ConnectionError, Key, Listener, Process};

use crate::support::limited;

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("procshare-{name}-{}", std::process::id()))
}

/// A key that begins with `text`, and is long enough.
fn key(text: &str) -> Key {
    Key::new(format!("{text:.<32}")).unwrap()
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn port_of(listener: &Listener) -> SocketAddr {
    let Address::Tcp(place) = listener.address() else { panic!("it is no port") };
    place.parse().unwrap()
}

/// Both ends of a connection over TCP.
fn pair(longest: usize) -> (Connection, Connection) {
    let listener = Listener::options().key(key("k")).longest(longest).listen(any_port()).unwrap();
    let address = listener.address().clone();
    let options = Client::options().key(key("k")).longest(longest);
    let client = std::thread::spawn(move || options.connect(address).unwrap());
    (listener.accept().unwrap(), client.join().unwrap())
}

#[procshare::task]
fn greet(path: PathBuf) -> String {
    let mut connection = Client::connect(path).unwrap();
    connection.send(&("hello", vec![1u32, 2, 3])).unwrap();
    connection.send_bytes(b"").unwrap();
    connection.send_bytes(&vec![7; 1_000_000]).unwrap();
    connection.recv().unwrap()
}

#[test]
fn values_and_bytes_travel_between_processes() {
    let path = path("greet");
    limited(|| {
        let listener = Listener::bind(path.as_path()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let other = Process::start::<greet>((path.as_path(),)).unwrap();
        let mut connection = listener.accept().unwrap();
        assert_eq!(connection.recv::<(String, Vec<u32>)>().unwrap(), ("hello".to_owned(), vec![1, 2, 3]));
        assert_eq!(connection.recv_bytes().unwrap(), b"");
        assert_eq!(connection.recv_bytes().unwrap(), vec![7; 1_000_000]);
        connection.send("bye").unwrap();
        assert_eq!(other.join().unwrap(), "bye");
        assert!(matches!(connection.recv_bytes(), Err(ConnectionError::Closed)));
    });
    assert!(!path.exists());
}

#[test]
fn keys_decide_over_tcp_and_nobody_comes_in_without() {
    limited(|| {
        assert!(matches!(Listener::bind(any_port()), Err(ConnectionError::KeyNeeded { .. })));
        assert!(matches!(Client::connect(any_port()), Err(ConnectionError::KeyNeeded { .. })));
        let listener = Listener::options().key(key("right")).listen(any_port()).unwrap();
        let address = listener.address().clone();
        std::thread::scope(|scope| {
            let wrong =
                scope.spawn(|| Client::options().key(key("wrong")).connect(address.clone()).unwrap_err());
            let refused = listener.accept().unwrap_err();
            // Both are told why.
            for refused in [refused, wrong.join().unwrap()] {
                let ConnectionError::Refused { reason, .. } = refused else { panic!("{refused}") };
                assert_eq!(reason, "wrong key");
            }
            let right = scope
                .spawn(|| Client::options().key(key("right")).connect(address.clone()).unwrap().recv::<u8>());
            listener.accept().unwrap().send(&5u8).unwrap();
            assert_eq!(right.join().unwrap().unwrap(), 5);
        });
    });
}

#[test]
fn a_listener_survives_whatever_strangers_say() {
    limited(|| {
        let options = Listener::options().key(key("k")).handshake_timeout(Duration::from_millis(100));
        let listener = options.listen(any_port()).unwrap();
        let port = port_of(&listener);
        for words in
            [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 500], &[0; 81], b"\0\0\0\x20\x96\xa9procshare\x01"]
        {
            let mut stranger = TcpStream::connect(port).unwrap();
            stranger.write_all(words).unwrap();
            let outcome = listener.accept();
            assert!(outcome.is_err(), "{words:?}");
            drop(stranger);
        }
        // Silent, and gone at once.
        let silent = TcpStream::connect(port).unwrap();
        assert!(matches!(listener.accept(), Err(ConnectionError::TimedOut)));
        drop(silent);
        drop(TcpStream::connect(port).unwrap());
        assert!(listener.accept().is_err());
        let client = std::thread::spawn(move || Client::options().key(key("k")).connect(port).map(drop));
        listener.accept().unwrap();
        client.join().unwrap().unwrap();
    });
}

#[test]
fn a_client_survives_a_listener_that_is_none() {
    limited(|| {
        let strange = std::net::TcpListener::bind(any_port()).unwrap();
        let port = strange.local_addr().unwrap();
        let options = || Client::options().key(key("k")).handshake_timeout(Duration::from_millis(100));
        let outcomes: Vec<_> = [&b""[..], &[0xff; 200], b"SSH-2.0-OpenSSH_9.2"]
            .into_iter()
            .map(|words| {
                let client = std::thread::spawn(move || options().connect(port).map(drop));
                let (mut visitor, _) = strange.accept().unwrap();
                visitor.write_all(words).unwrap();
                let outcome = client.join().unwrap();
                drop(visitor);
                outcome
            })
            .collect();
        assert!(matches!(&outcomes[0], Err(ConnectionError::TimedOut)), "{outcomes:?}");
        assert!(matches!(&outcomes[1], Err(ConnectionError::Refused { .. })), "{outcomes:?}");
        assert!(outcomes[2].is_err());
    });
}

fn frame(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes()[..], content].concat()
}

fn next_frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut content = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut content).unwrap();
    content
}

/// Makes the first words of a client by hand, without a key, as anybody can.
fn handmade(path: &std::path::Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    let greeting = [
        &b"\x96\xb2procshare messages\x01\xa4peer\xc4\x20"[..],
        &[7; 32], // a nonce, which nobody will use
        b"\x00\xce\x01\x00\x00\x00",
    ];
    stream.write_all(&frame(&greeting.concat())).unwrap();
    assert!(next_frame(&mut stream).starts_with(b"\x96\xb2procshare messages\x01\xa4peer"));
    stream.write_all(&frame(b"\x91\xc4\x00")).unwrap();
    // Read to the end: who leaves without having read resets the connection.
    assert_eq!(next_frame(&mut stream), b"\x91\xc4\x00");
    stream
}

#[test]
fn frames_that_lie_cost_their_sender_only() {
    let path = path("frames");
    limited(|| {
        let listener = Listener::options().longest(1000).listen(path.as_path()).unwrap();
        let visit = |bytes: Vec<u8>| {
            let path = path.clone();
            let visitor = std::thread::spawn(move || handmade(&path).write_all(&bytes).unwrap());
            let mut connection = listener.accept().unwrap();
            visitor.join().unwrap();
            (connection.recv_bytes(), connection.recv_bytes())
        };
        let (huge, then) = visit([&u32::MAX.to_be_bytes()[..], b"little"].concat());
        for huge in [huge, then] {
            assert!(
                matches!(huge, Err(ConnectionError::TooLong { len: 0xffff_ffff, limit: 1000 })),
                "{huge:?}"
            );
        }
        let (cut, _) = visit([&100u32.to_be_bytes()[..], b"half"].concat());
        assert!(matches!(cut, Err(ConnectionError::Closed)), "{cut:?}");
        let (whole, then) = visit([&frame(b"full")[..], &[0, 0]].concat());
        assert_eq!(whole.unwrap(), b"full");
        assert!(matches!(then, Err(ConnectionError::Closed)));
    });
}

#[test]
fn what_is_too_long_is_not_sent_and_nonsense_is_taken_out() {
    limited(|| {
        let (mut one, mut other) = pair(1000);
        assert!(matches!(
            one.send_bytes(&[0; 1001]),
            Err(ConnectionError::TooLong { len: 1001, limit: 1000 })
        ));
        one.send_bytes(&[0xff; 3]).unwrap();
        one.send(&"next").unwrap();
        assert!(matches!(other.recv::<String>(), Err(ConnectionError::Codec { .. })));
        assert_eq!(other.recv::<String>().unwrap(), "next");
    });
}

#[test]
fn a_timeout_in_the_middle_of_a_message_loses_nothing() {
    let path = path("slow");
    limited(|| {
        let listener = Listener::bind(path.as_path()).unwrap();
        let there = path.clone();
        let visitor = std::thread::spawn(move || handmade(&there));
        let mut connection = listener.accept().unwrap();
        let mut visitor = visitor.join().unwrap();
        let soon = Duration::from_millis(5);
        for piece in [&[0, 0][..], &[0, 4], b"fu", b"ll"] {
            assert!(matches!(connection.recv_bytes_timeout(soon), Err(ConnectionError::TimedOut)));
            visitor.write_all(piece).unwrap();
        }
        assert_eq!(connection.recv_bytes().unwrap(), b"full");
    });
}

#[test]
fn waiting_for_nobody_ends_in_time() {
    let path = path("nobody");
    limited(|| {
        let listener = Listener::bind(path.as_path()).unwrap();
        let before = Instant::now();
        assert!(matches!(listener.accept_timeout(Duration::from_millis(30)), Err(ConnectionError::TimedOut)));
        assert!(before.elapsed() >= Duration::from_millis(30));
        assert!(matches!(listener.accept_timeout(Duration::ZERO), Err(ConnectionError::TimedOut)));
        // Somebody who does not read: the sender is not held up for ever.
        let (mut one, mut other) = pair(100_000_000);
        let long: Vec<u8> = (0..50_000_000u32).map(|i| i as u8).collect();
        let soon = Duration::from_millis(50);
        let stuck = one.send_bytes_timeout(&long, soon);
        assert!(matches!(stuck, Err(ConnectionError::UnderWay)), "{stuck:?}");
        assert!(!one.is_flushed());
        // Nothing of the next one goes before the rest of this one.
        assert!(matches!(one.send_bytes_timeout(b"x", soon), Err(ConnectionError::TimedOut)));
        assert!(matches!(one.try_send_bytes(b"x"), Err(ConnectionError::WouldBlock)));
        let receiver = std::thread::spawn(move || (other.recv_bytes().unwrap(), other.recv_bytes().unwrap()));
        one.flush().unwrap();
        assert!(one.is_flushed());
        one.send_bytes(b"y").unwrap();
        let (first, second) = receiver.join().unwrap();
        assert!(first == long && second == b"y");
    });
}

#[test]
fn a_path_is_taken_over_from_the_dead_only() {
    let path = path("taken");
    limited(|| {
        let first = Listener::bind(path.as_path()).unwrap();
        assert!(matches!(Listener::bind(path.as_path()), Err(ConnectionError::AddressInUse { .. })));
        // As a killed listener leaves it.
        std::fs::hard_link(&path, path.with_extension("kept")).unwrap();
        drop(first);
        std::fs::rename(path.with_extension("kept"), &path).unwrap();
        let second = Listener::bind(path.as_path()).unwrap();
        drop(second);
        assert!(!path.exists() && !path.with_extension("lock").exists());
        std::fs::write(&path, "no socket").unwrap();
        assert!(Listener::bind(path.as_path()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no socket");
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn every_call_has_a_form_that_does_not_wait() {
    let path = path("forms");
    limited(|| {
        let listener = Listener::bind(path.as_path()).unwrap();
        assert!(matches!(listener.try_accept(), Err(ConnectionError::WouldBlock)));
        assert!(matches!(listener.try_incoming(), Err(ConnectionError::WouldBlock)));
        let brief = Duration::from_millis(5);
        assert!(matches!(listener.incoming_timeout(brief), Err(ConnectionError::TimedOut)));
        let client = std::thread::spawn(move || Client::connect(path).unwrap());
        let mut one = listener.accept().unwrap();
        let mut other = client.join().unwrap();
        assert!(one.peer().contains("user "), "{}", one.peer());
        assert!(matches!(one.try_recv_bytes(), Err(ConnectionError::WouldBlock)));
        assert!(matches!(one.try_recv::<u8>(), Err(ConnectionError::WouldBlock)));
        assert!(matches!(one.recv_timeout::<u8>(brief), Err(ConnectionError::TimedOut)));
        assert!(!one.poll(brief).unwrap() && !one.poll(Duration::ZERO).unwrap());
        other.try_send(&7u8).unwrap();
        other.send_timeout(&8u8, brief).unwrap();
        other.try_send_bytes(b"nine").unwrap();
        other.send_bytes(b"ten").unwrap();
        assert!(other.is_flushed());
        assert!(one.poll(Duration::from_secs(9)).unwrap());
        assert_eq!(one.try_recv::<u8>().unwrap(), 7);
        assert_eq!(one.recv_timeout::<u8>(brief).unwrap(), 8);
        let short = one.recv_bytes_into(&mut [0; 3]).unwrap_err();
        let ConnectionError::BufferTooShort { message, room: 3 } = short else { panic!("{short}") };
        assert_eq!(message, b"nine");
        let mut room = [0; 5];
        assert_eq!(one.recv_bytes_into(&mut room).unwrap(), 3);
        assert_eq!(&room, b"ten\0\0");
        drop(other);
        // The end counts as something to receive, and goes on to.
        assert!(one.poll(Duration::from_secs(9)).unwrap() && one.poll(Duration::ZERO).unwrap());
        assert!(matches!(one.try_recv_bytes(), Err(ConnectionError::Closed)));
        assert!(matches!(one.recv::<u8>(), Err(ConnectionError::Closed)));
    });
}

/// Whether a descriptor is readable now.
fn is_readable(of: &impl AsRawFd) -> bool {
    let mut poll = libc::pollfd { fd: of.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, for the length of the call.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

#[test]
fn descriptors_tell_of_messages_and_visitors_one_by_one() {
    let path = path("polled");
    limited(|| {
        let listener = Listener::bind(path.as_path()).unwrap();
        assert!(!is_readable(&listener));
        let there = path.clone();
        let client = std::thread::spawn(move || Client::connect(there).unwrap());
        while !is_readable(&listener) {
            std::thread::yield_now();
        }
        let mut one = listener.try_accept().unwrap();
        let mut other = client.join().unwrap();
        assert!(!is_readable(&one));
        (0..3u8).for_each(|i| other.send_bytes(&vec![i; usize::from(i) * 1000]).unwrap());
        for i in 0..3u8 {
            assert!(is_readable(&one), "what lies behind a message is not taken with it");
            assert_eq!(one.try_recv_bytes().unwrap(), vec![i; usize::from(i) * 1000]);
        }
        assert!(!is_readable(&one));
        drop(other);
        assert!(is_readable(&one), "the end");
    });
}

#[test]
fn the_other_ends_limit_is_known_before_anything_is_sent() {
    let path = path("limits");
    limited(|| {
        let listener = Listener::options().longest(10).listen(path.as_path()).unwrap();
        let client = std::thread::spawn(move || Client::options().longest(1000).connect(path).unwrap());
        let mut small = listener.accept().unwrap();
        let mut large = client.join().unwrap();
        let error = large.send_bytes(&[0; 11]).unwrap_err();
        assert!(matches!(error, ConnectionError::TooLong { len: 11, limit: 10 }), "{error}");
        // And it goes on.
        large.send_bytes(&[1; 10]).unwrap();
        assert_eq!(small.recv_bytes().unwrap(), [1; 10]);
        small.send_bytes(&[2; 1000]).unwrap();
        assert_eq!(large.recv_bytes().unwrap(), [2; 1000]);
    });
}

#[test]
fn what_a_forked_child_drops_stays_its_parents() {
    let path = path("forked");
    limited(|| {
        let listener = Listener::bind(path.as_path()).unwrap();
        // SAFETY: the child drops the listener and ends without anything else.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(listener);
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: the status is written to a live local.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        let there = path.clone();
        let client = std::thread::spawn(move || Client::connect(there).unwrap());
        listener.accept().unwrap().send(&1u8).unwrap();
        assert_eq!(client.join().unwrap().recv::<u8>().unwrap(), 1);
    });
    assert!(!path.exists());
}
