//! `Pipe`: messages between two, and `Closed` when the other one is gone.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Error, Event, Pipe, PipeEndHandle, PipeError};
use procshare_harness::{Child, Exit, Page, child, watchdog};

use crate::{PATIENCE, kill_myself, killed};

fn pair() -> (procshare::PipeEnd, procshare::PipeEnd) {
    Pipe::pair(4096).unwrap()
}

#[test]
fn messages_go_both_ways_in_order_and_empty_ones_are_messages() {
    let (left, right) = pair();
    for message in [&b"one"[..], b"", b"three"] {
        left.send_bytes(message).unwrap();
        right.try_send_bytes(message).unwrap();
    }
    for message in [&b"one"[..], b"", b"three"] {
        assert_eq!(right.recv_bytes().unwrap(), message);
        assert_eq!(left.try_recv_bytes().unwrap(), message);
    }
    assert!(matches!(left.try_recv_bytes(), Err(PipeError::WouldBlock)));
    let soon = Duration::from_millis(3);
    assert!(matches!(left.recv_bytes_timeout(soon), Err(PipeError::TimedOut)));
    assert_eq!(left.pipe().capacity(), 4096);
    let full = (0..10_000).find_map(|_| left.try_send_bytes(&[7; 100]).err());
    assert!(matches!(full, Some(PipeError::WouldBlock)));
    assert!(matches!(left.send_bytes_timeout(&[7; 100], soon), Err(PipeError::TimedOut)));
}

#[test]
fn messages_that_are_too_long_harm_nobody() {
    let (left, right) = pair();
    assert!(matches!(
        left.send_bytes(&[0; 4097]),
        Err(PipeError::Failed(Error::TooLong { found: 4097, .. }))
    ));
    left.send_bytes(&[7; 4096]).unwrap();
    let mut place = [0; 4096];
    for _ in 0..3 {
        assert!(matches!(right.recv_into(&mut place[..9]), Err(PipeError::TooLong { len: 4096 })));
    }
    left.send_bytes_timeout(&[8], Duration::from_millis(1)).unwrap_or(());
    assert_eq!(right.recv_into(&mut place).unwrap(), 4096);
    assert_eq!(place, [7; 4096]);
    left.send_bytes(&[9; 10]).unwrap();
    assert!(right.recv_bytes().is_ok());
}

#[test]
fn what_was_sent_is_received_before_closed() {
    watchdog(PATIENCE, || {
        let (left, right) = pair();
        left.send_bytes(b"last words").unwrap();
        left.close();
        assert!(right.is_closed());
        assert!(matches!(right.send_bytes(b"?"), Err(PipeError::Closed)));
        assert_eq!(right.recv_bytes().unwrap(), b"last words");
        assert!(matches!(right.recv_bytes(), Err(PipeError::Closed)));
        assert!(matches!(right.try_recv_bytes(), Err(PipeError::Closed)));
        assert!(matches!(right.recv_into(&mut []), Err(PipeError::Closed)));
    });
}

#[test]
fn dropping_an_end_wakes_who_waits_at_the_other() {
    watchdog(PATIENCE, || {
        for sender_waits in [false, true] {
            let (left, right) = pair();
            left.send_bytes(b"").unwrap();
            right.recv_bytes().unwrap();
            if sender_waits {
                while right.try_send_bytes(&[0; 1000]).is_ok() {}
            }
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| match sender_waits {
                    true => right.send_bytes(&[0; 1000]),
                    false => right.recv_bytes().map(drop),
                });
                drop(left);
                assert!(matches!(waiter.join().unwrap(), Err(PipeError::Closed)));
            });
        }
    });
}

#[test]
fn a_child_and_its_parent_talk_and_the_childs_death_closes() {
    watchdog(PATIENCE, || {
        for round in 0..30u64 {
            let (mine, theirs) = pair();
            let child = Child::fork(|| {
                let question = theirs.recv_bytes().unwrap();
                theirs.send_bytes(&[question[0] + 1]).unwrap();
                if round % 2 == 0 {
                    kill_myself();
                }
                let _ = theirs.recv_bytes();
            });
            mine.send_bytes(&[round as u8]).unwrap();
            if round % 2 == 0 {
                assert!(matches!(child.wait(PATIENCE), Exit::Signalled(libc::SIGKILL)));
                assert_eq!(mine.recv_bytes().unwrap(), [round as u8 + 1], "what the dead sent is received");
            } else {
                assert_eq!(mine.recv_bytes().unwrap(), [round as u8 + 1]);
                let _ = child.kill();
            }
            assert!(matches!(mine.recv_bytes(), Err(PipeError::Closed)));
            assert!(mine.is_closed() && matches!(mine.send_bytes(b""), Err(PipeError::Closed)));
        }
    });
}

#[test]
fn a_grandchild_holds_nothing_open_and_has_no_end() {
    watchdog(PATIENCE, || {
        let (mine, theirs) = pair();
        let (page, over) = (Page::new(4096), Event::anonymous().unwrap());
        let child = Child::fork(|| {
            theirs.send_bytes(b"mine now").unwrap();
            let grandchild = Child::fork(|| {
                let refused = theirs.recv_bytes();
                assert!(matches!(refused, Err(PipeError::Failed(Error::Inherited { .. }))), "{refused:?}");
                page.u64s()[0].store(1, SeqCst);
                over.wait_timeout(PATIENCE).unwrap();
            });
            while page.u64s()[0].load(SeqCst) == 0 {
                std::thread::yield_now();
            }
            page.u64s()[1].store(1, SeqCst);
            std::mem::forget(grandchild);
            if page.u64s()[1].load(SeqCst) != 0 {
                kill_myself();
            }
        });
        assert_eq!(mine.recv_bytes().unwrap(), b"mine now");
        assert!(
            matches!(mine.recv_bytes(), Err(PipeError::Closed)),
            "the grandchild lives and counts for nothing"
        );
        over.set().unwrap();
        assert_eq!(page.u64s()[1].load(SeqCst), 1);
        assert!(matches!(child.wait(PATIENCE), Exit::Signalled(libc::SIGKILL)));
    });
}

#[test]
fn a_childs_copy_of_the_parents_end_is_without_effect() {
    watchdog(PATIENCE, || {
        let (left, right) = pair();
        left.send_bytes(b"1").unwrap();
        right.send_bytes(b"2").unwrap();
        let mut both = Some((left, right));
        child(PATIENCE, || drop(both.take())).unwrap();
        let (left, right) = both.unwrap();
        assert_eq!(right.recv_bytes().unwrap(), b"1");
        assert_eq!(left.recv_bytes().unwrap(), b"2");
        assert!(!left.is_closed() && !right.is_closed());
    });
}

#[test]
fn ends_of_a_named_pipe_are_taken_once() {
    let name = format!("test-pipe-{}", std::process::id());
    let pipe = Pipe::create(&name, 100).unwrap();
    let left = Pipe::open(&name).unwrap().left().unwrap();
    assert!(matches!(pipe.left(), Err(Error::EndTaken { .. })));
    child(PATIENCE, || {
        let pipe = Pipe::open(&name).unwrap();
        assert!(matches!(pipe.left(), Err(Error::EndTaken { .. })));
        pipe.right().unwrap().send_bytes(b"from the child").unwrap();
    })
    .unwrap();
    assert_eq!(left.recv_bytes().unwrap(), b"from the child");
    assert!(matches!(left.recv_bytes(), Err(PipeError::Closed)));
    assert!(matches!(pipe.right(), Err(Error::Closed)), "a pipe is used once");
    Pipe::unlink(&name).unwrap();

    let pipe = Pipe::anonymous(100).unwrap();
    let left = pipe.left().unwrap();
    killed(|| {
        std::mem::forget(pipe.right().unwrap());
        kill_myself()
    });
    assert!(left.is_closed() && matches!(pipe.right(), Err(Error::Closed)));
}

#[test]
fn an_end_travels_as_data() {
    watchdog(PATIENCE, || {
        let (mine, theirs) = pair();
        let text = serde_json::to_string(&theirs).unwrap();
        let child = Child::fork(|| {
            let handle: PipeEndHandle = serde_json::from_str(&text).unwrap();
            let end = handle.attach().unwrap();
            end.send_bytes(b"here").unwrap();
        });
        assert_eq!(mine.recv_bytes().unwrap(), b"here");
        assert!(matches!(mine.recv_bytes(), Err(PipeError::Closed)));
        drop(theirs);
        child.wait(PATIENCE).unwrap();
    });
}

#[test]
fn it_is_among_the_things_to_wait_for_and_has_a_descriptor() {
    use std::os::fd::AsRawFd as _;
    watchdog(PATIENCE, || {
        let (mine, theirs) = pair();
        let ready = mine.as_fd().unwrap();
        let readable = |timeout| {
            let mut poll = libc::pollfd { fd: ready.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, for the length of the call.
            unsafe { libc::poll(&mut poll, 1, timeout) == 1 }
        };
        assert!(!readable(0) && matches!(procshare::try_wait_any(&[&mine]), Err(Error::WouldBlock)));
        let child = Child::fork(|| {
            theirs.send_bytes(b"1").unwrap();
            let _ = theirs.recv_bytes();
        });
        assert!(readable(-1));
        assert_eq!(procshare::wait_any(&[&mine]).unwrap().0, 0);
        assert_eq!(mine.try_recv_bytes().unwrap(), b"1");
        assert!(matches!(mine.try_recv_bytes(), Err(PipeError::WouldBlock)) && !readable(0));
        let _ = child.kill();
        assert!(readable(-1), "the end of a pipe is readable, too");
        assert_eq!(procshare::wait_any(&[&mine]).unwrap().0, 0);
        assert!(matches!(mine.try_recv_bytes(), Err(PipeError::Closed)));
    });
}

#[test]
fn threads_share_an_end() {
    watchdog(PATIENCE, || {
        let (left, right) = pair();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..500u32).for_each(|item| left.send_bytes(&item.to_ne_bytes()).unwrap()));
            }
            let receive = || {
                let number = |bytes: Vec<u8>| u64::from(u32::from_ne_bytes(bytes.try_into().unwrap()));
                (0..500).map(|_| number(right.recv_bytes().unwrap())).sum::<u64>()
            };
            let receivers = [scope.spawn(receive), scope.spawn(receive)];
            let sum: u64 = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
            assert_eq!(sum, 2 * (0..500).sum::<u64>());
        });
    });
}

#[cfg(feature = "postcard")]
#[test]
fn messages_of_serde_types_and_what_is_none() {
    let (left, right) = pair();
    left.send(&("text".to_owned(), vec![1u16, 2])).unwrap();
    assert_eq!(right.recv::<(String, Vec<u16>)>().unwrap(), ("text".to_owned(), vec![1, 2]));
    left.send_bytes(&[0xff; 3]).unwrap();
    left.send(&7u8).unwrap();
    assert!(matches!(right.recv::<String>(), Err(PipeError::Failed(Error::NotDecoded { .. }))));
    assert_eq!(right.try_recv::<u8>().unwrap(), 7);
}
