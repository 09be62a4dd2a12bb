//! Messages between unrelated programs, and what hostile ones send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use procshare::process::{Address, Client, Connection, ConnectionError, Key, Listener, Process};

use crate::support::limited;

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("procshare-{name}-{}", std::process::id()))
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn port_of(listener: &Listener) -> SocketAddr {
    let Address::Tcp(address) = listener.address() else { panic!("it is no port") };
    *address
}

/// Both ends of a connection over TCP.
fn pair(longest: usize) -> (Connection, Connection) {
    let listener = Listener::options().key(key("k")).longest(longest).listen(any_port()).unwrap();
    let address = listener.address().clone();
    let client = std::thread::spawn(move || Client::options().key(key("k")).connect(address).unwrap());
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
            assert!(matches!(refused, ConnectionError::Refused { .. }), "{refused}");
            assert!(matches!(wrong.join().unwrap(), ConnectionError::Refused { .. }));
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
            [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 500], &[0; 81], b"procshare-conn1\0\x01short"]
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

/// Makes the first words of a client by hand, without a key, as anybody can.
fn handmade(path: &std::path::Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    let mut hello = [0; 49];
    stream.read_exact(&mut hello).unwrap();
    stream.write_all(&[&hello[..], &[0; 32]].concat()).unwrap();
    stream
}

#[test]
fn frames_that_lie_cost_their_sender_only() {
    let path = path("frames");
    limited(|| {
        let listener = Listener::options().longest(1000).listen(path.as_path()).unwrap();
        let visit = |bytes: Vec<u8>| {
            let path = path.clone();
            let visitor = std::thread::spawn(move || {
                let mut stream = handmade(&path);
                stream.write_all(&bytes).unwrap();
                // The verdict: who leaves without having read it resets the connection.
                stream.read_exact(&mut [0; 33]).unwrap();
            });
            let mut connection = listener.accept().unwrap();
            visitor.join().unwrap();
            (connection.recv_bytes(), connection.recv_bytes())
        };
        let (huge, then) = visit([&u32::MAX.to_le_bytes()[..], b"little"].concat());
        assert!(matches!(huge, Err(ConnectionError::TooLong { len: 0xffff_ffff, limit: 1000 })), "{huge:?}");
        assert!(matches!(then, Err(ConnectionError::Closed)));
        let (cut, _) = visit([&100u32.to_le_bytes()[..], b"half"].concat());
        assert!(matches!(cut, Err(ConnectionError::Closed)), "{cut:?}");
        let (whole, then) = visit([&4u32.to_le_bytes()[..], b"full", &[3, 0]].concat());
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
        for piece in [&[4, 0][..], &[0, 0], b"fu", b"ll"] {
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
        let (mut one, _other) = pair(100_000_000);
        let stuck = one.send_bytes_timeout(&vec![0; 50_000_000], Duration::from_millis(50));
        assert!(matches!(stuck, Err(ConnectionError::TimedOut)), "{stuck:?}");
        assert!(matches!(one.send_bytes(b"x"), Err(ConnectionError::Closed)));
    });
}

#[test]
fn a_path_is_taken_over_from_the_dead_only() {
    let path = path("taken");
    limited(|| {
        let first = Listener::bind(path.as_path()).unwrap();
        assert!(matches!(Listener::bind(path.as_path()), Err(ConnectionError::Io { .. })));
        // As a killed listener leaves it.
        std::fs::hard_link(&path, path.with_extension("kept")).unwrap();
        drop(first);
        std::fs::rename(path.with_extension("kept"), &path).unwrap();
        let second = Listener::bind(path.as_path()).unwrap();
        drop(second);
        assert!(!path.exists());
        std::fs::write(&path, "no socket").unwrap();
        assert!(Listener::bind(path.as_path()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no socket");
        std::fs::remove_file(&path).unwrap();
    });
}
