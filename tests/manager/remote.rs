//! TCP: a connection that is cut is not a death.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use procshare::manager::*;
use procshare::{Cause, LockError};

use crate::support::{eventually, key, tcp_limited, watched};

/// A wire that can be cut.
pub(crate) fn wire(to: &str) -> (Address, std::sync::mpsc::Receiver<(TcpStream, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap().to_string());
    let (ends, given) = std::sync::mpsc::channel();
    let to = to.to_owned();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(to).unwrap();
        for (mut from, mut into) in [
            (client.try_clone().unwrap(), server.try_clone().unwrap()),
            (server.try_clone().unwrap(), client.try_clone().unwrap()),
        ] {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = from.read(&mut buffer) {
                    if into.write_all(&buffer[..len]).is_err() {
                        return;
                    }
                }
            });
        }
        ends.send((client, server)).unwrap();
    });
    (address, given)
}

#[test]
fn a_cut_wire_loses_the_guard_and_the_successor_is_told() {
    watched(|| {
        let server = tcp_limited(Limits { lost: Duration::from_millis(300), ..Limits::default() });
        let Address::Tcp(place) = &server.address else { unreachable!() };
        let (through, ends) = wire(place);
        let near = server.client();
        let far = Manager::builder().key(key()).connect(&through).unwrap();
        let lock = Lock::create(&near, "lock").unwrap();
        let guard = Lock::open(&far, "lock").unwrap().lock().unwrap();
        assert!(!guard.is_lost());
        let (client, upstream) = ends.recv().unwrap();
        for end in [client, upstream] {
            end.shutdown(Shutdown::Both).unwrap();
        }
        // The holder can find out before anybody else has the lock.
        assert!(guard.is_lost());
        assert!(matches!(far.ping(), Err(ManagerError::Disconnected { .. })));
        let fence = guard.fence();
        let Err(LockError::OwnerDied(outcome)) = lock.lock() else { panic!("nobody was told") };
        assert_eq!(outcome.cause(), Cause::Lost);
        assert!(outcome.into_guard().fence() > fence);
    });
}

#[test]
fn who_says_good_bye_leaves_at_once() {
    watched(|| {
        let server = tcp_limited(Limits { lost: Duration::from_secs(3600), ..Limits::default() });
        let near = server.client();
        let list = {
            let far = server.client();
            List::<u32>::anonymous(&far).unwrap().object().number()
        };
        assert!(list > 0);
        eventually("its object is gone", || near.stats().unwrap().objects == 0);
        eventually("so is it", || near.stats().unwrap().clients == 1);
    });
}
