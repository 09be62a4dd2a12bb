//! What only rings can have: hostile words, full rings, and what is left of many of them.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::manager::*;
use procshare_harness::Rng;

use crate::raw::{Raw, Rings, at, pack, undisturbed};
use crate::support::{Running, eventually, limited, local, tcp, watched};

fn rings(server: &Running) -> Rings {
    match Raw::inside(server) {
        Raw::Rings(rings) => rings,
        _ => panic!("no rings came"),
    }
}

#[test]
fn they_are_used_where_both_sides_have_them_and_nowhere_else() {
    watched(|| {
        let server = local();
        let ask = |transport| Manager::builder().transport(transport).connect(&server.address).unwrap();
        assert_eq!(Manager::connect(&server.address).unwrap().transport(), Transport::Ring);
        assert_eq!(ask(Transport::Ring).transport(), Transport::Ring);
        assert_eq!(ask(Transport::Socket).transport(), Transport::Socket);
        let (near, plain) = (ask(Transport::Ring), ask(Transport::Socket));
        eventually("the others are gone", || plain.stats().unwrap().clients == 2);
        assert_eq!(near.stats().unwrap().rings, 1);
        let without = limited(Limits { ring: 0, ..Limits::default() });
        assert_eq!(without.client().transport(), Transport::Socket);
        let refused = Manager::builder().transport(Transport::Ring).connect(&without.address).unwrap_err();
        assert!(refused.to_string().contains("gives out no rings"), "{refused}");
        without.client().ping().unwrap();
        let remote = tcp();
        assert_eq!(remote.client().transport(), Transport::Socket);
        let connector = Manager::builder().key(crate::support::key()).transport(Transport::Ring);
        let refused = connector.connect(&remote.address).unwrap_err();
        assert!(refused.to_string().contains("no rings over TCP"), "{refused}");
    });
}

/// The bytes of a request by hand come as the page says, and so do the answers.
#[test]
fn they_are_as_the_page_describes_them() {
    watched(|| {
        let server = local();
        let mut rings = rings(&server);
        assert_eq!(rings.size, Limits::default().ring);
        let frame = pack::call(9, 0, "ping");
        rings.fill(&frame);
        assert_eq!(rings.position(at::READ).load(SeqCst), 0);
        rings.publish().unwrap();
        let mut raw = Raw::Rings(rings);
        assert_eq!(raw.frame().unwrap(), [0x92, 9, 0xc0]);
        let Raw::Rings(rings) = &raw else { unreachable!() };
        assert_eq!(rings.position(at::WRITTEN).load(SeqCst), frame.len() as u64);
        assert_eq!(rings.position(at::READ).load(SeqCst), frame.len() as u64);
        assert_eq!(rings.position(at::BACK + at::WRITTEN).load(SeqCst), 4 + 3);
        raw.send(&pack::call(2, 0, "ring"));
        let told = String::from_utf8_lossy(&raw.frame().unwrap()).into_owned();
        assert!(told.contains("refused") && told.contains("it has rings"), "{told}");
    });
}

#[test]
fn positions_that_cannot_be_end_their_client_with_a_reason() {
    watched(|| {
        let server = local();
        undisturbed(&server, || {
            let size = Limits::default().ring as u64;
            for wrong in [size + 1, u64::MAX, 1 << 63, 2 * size] {
                // More written than there is room for, and less than before.
                let mut rings = rings(&server);
                rings.position(at::WRITTEN).store(wrong, SeqCst);
                rings.bell().unwrap();
                let told = Raw::Rings(rings).last_words();
                assert!(told.contains("nonsense"), "{wrong}: {told}");
                // More read than was written: looked at when there seems to be no room.
                let mut raw = Raw::inside(&server);
                let Raw::Rings(rings) = &mut raw else { unreachable!() };
                rings.position(at::BACK + at::READ).store(wrong, SeqCst);
                let calls = pack::call(1, 0, "stats").repeat(100);
                while raw.try_send(&calls) {}
                let Raw::Rings(rings) = &raw else { unreachable!() };
                eventually("its connection is closed", || rings.has_ended());
            }
        });
    });
}

/// A client that says it sleeps whenever it is looked at, and one that says the server is awake when it is not.
#[test]
fn false_sleepers_cost_bells_and_nothing_else() {
    watched(|| {
        let server = local();
        undisturbed(&server, || {
            let mut raw = Raw::inside(&server);
            for id in 1..2000u32 {
                let Raw::Rings(rings) = &raw else { unreachable!() };
                rings.asleep(at::BACK + at::READER_ASLEEP).store(u32::MAX, SeqCst);
                rings.asleep(at::WRITER_ASLEEP).store(id, SeqCst);
                raw.send(&pack::call(1, 0, "ping"));
                assert_eq!(raw.frame().unwrap(), [0x92, 1, 0xc0]);
            }
            let Raw::Rings(rings) = &mut raw else { unreachable!() };
            rings.asleep(at::READER_ASLEEP).store(0, SeqCst);
            rings.fill(&pack::call(3, 0, "ping"));
            rings.position(at::WRITTEN).store(rings.written, SeqCst);
            // Found when it rings, if it was not found before.
            rings.bell().unwrap();
            assert_eq!(raw.frame().unwrap(), [0x92, 3, 0xc0]);
        });
    });
}

/// Writes at random into all words and bytes while the server uses them.
#[test]
fn random_words_and_bytes_break_nothing() {
    watched(|| {
        let server = limited(Limits { memory: 1 << 20, ring: 4096, ..Limits::default() });
        undisturbed(&server, || {
            let mut random = Rng::new(7);
            for _ in 0..150 {
                let mut rings = rings(&server);
                for _ in 0..200 {
                    let base = if random.one_in(2) { 0 } else { at::BACK };
                    let value = match random.below(4) {
                        0 => random.next_u64(),
                        1 => random.below(9000),
                        // Near what is true, and so believed more often.
                        _ => rings.written.wrapping_add(random.below(64)),
                    };
                    match random.below(8) {
                        0 => rings.position(base + at::WRITTEN).store(value, SeqCst),
                        1 => rings.position(base + at::READ).store(value, SeqCst),
                        2 => rings.asleep(base + at::READER_ASLEEP).store(value as u32, SeqCst),
                        3 => rings.asleep(base + at::WRITER_ASLEEP).store(value as u32, SeqCst),
                        4 => rings.fill(&value.to_le_bytes()),
                        5 => drop(rings.bell()),
                        _ => {
                            rings.fill(&pack::call(random.below(128) as u8, 0, "stats"));
                            drop(rings.publish());
                        }
                    }
                    if rings.has_ended() {
                        break;
                    }
                }
            }
        });
        assert!(server.handle.bytes() <= 1 << 20);
    });
}

#[test]
fn a_frame_that_is_never_finished_ends_its_client_alone() {
    watched(|| {
        let limits = Limits { slow_frame: Duration::from_millis(200), ..Limits::default() };
        let server = limited(limits);
        undisturbed(&server, || {
            let mut slow = Raw::inside(&server);
            slow.send(&[0, 0, 1]);
            assert!(slow.last_words().contains("a frame took too long"));
            // Dead in the middle of a frame: half of it was published.
            for half in 1..40 {
                let mut raw = Raw::inside(&server);
                let Raw::Rings(rings) = &mut raw else { unreachable!() };
                rings.fill(&pack::call(1, 0, "ping").repeat(3)[..half]);
                rings.publish().unwrap();
            }
        });
        eventually("all are gone", || server.handle.clients() == 0);
    });
}

/// Frames that are longer than the rings, both ways, and many threads that fill them.
#[test]
fn frames_longer_than_the_ring_go_in_pieces() {
    watched(|| {
        let server = limited(Limits { ring: 4096, ..Limits::default() });
        let manager = server.client();
        assert_eq!(manager.transport(), Transport::Ring);
        let dict = Dict::<u32, Vec<u32>>::create(&manager, "big").unwrap();
        let value: Vec<u32> = (0..200_000).collect();
        std::thread::scope(|scope| {
            for key in 0..4 {
                let (dict, value) = (&dict, &value);
                scope.spawn(move || {
                    for _ in 0..3 {
                        dict.set(&key, value).unwrap();
                        assert_eq!(dict.get(&key).unwrap().as_ref(), Some(value));
                    }
                });
            }
        });
    });
}

/// A client that is stopped while its answers fill its ring: nobody else waits for it, and it finds all of them later.
#[test]
fn a_stopped_client_with_a_full_ring_delays_nobody() {
    watched(|| {
        let limits = Limits { ring: 4096, stall: Duration::from_secs(60), ..Limits::default() };
        let server = limited(limits);
        undisturbed(&server, || {
            let mut raw = Raw::inside(&server);
            // It does not read, as if it were stopped.
            let calls: Vec<u8> = (0..100).flat_map(|id| pack::call(1 + id, 0, "stats")).collect();
            raw.send(&calls);
            let Raw::Rings(rings) = &raw else { unreachable!() };
            eventually("its ring is full and the server waits for room", || {
                rings.asleep(at::BACK + at::WRITER_ASLEEP).load(SeqCst) != 0
            });
            let other = server.client();
            (0..100).for_each(|_| other.ping().unwrap());
            for id in 1..=100 {
                assert_eq!(raw.frame().unwrap()[..2], [0x92, id]);
            }
        });
    });
}

#[test]
#[ignore = "run by the other one, as another process"]
fn be_asleep() {
    let Ok(_) = std::env::var("PROCSHARE_TEST_ASLEEP") else { return };
    let server = local();
    let (one, other) = (server.client(), server.client());
    let event = Event::create(&one, "event").unwrap();
    let same = Event::open(&other, "event").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let waiter = scope.spawn(|| {
                event.wait().unwrap();
                event.clear().unwrap();
            });
            eventually("it waits", || other.stats().unwrap().waiting == 1);
            let before = cpu_time();
            std::thread::sleep(Duration::from_millis(300));
            let used = cpu_time() - before;
            assert!(used < Duration::from_millis(30), "{used:?} in 300 ms while all sleep");
            same.set().unwrap();
            waiter.join().unwrap();
        }
    });
    println!("nothing was used");
}

/// Answers to what waits come though all have slept, and nobody who sleeps uses the processor.
#[test]
fn sleepers_are_woken_and_cost_nothing() {
    watched(|| again("be_asleep", "PROCSHARE_TEST_ASLEEP", "nothing was used"));
}

/// Runs a test of this file in a process of its own, where no other test does anything.
fn again(test: &str, variable: &str, words: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("rings::{test}"), "--exact", "--ignored", "--nocapture"])
        .env(variable, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(words), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// What this process has used of the processor: server and clients are its threads.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live destination.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
#[ignore = "run by the other one, as another process"]
fn be_many() {
    let Ok(_) = std::env::var("PROCSHARE_TEST_MANY") else { return };
    let server = local();
    let mut steady = (0, 0);
    for round in 0..1000 {
        let manager = server.client();
        assert_eq!(manager.transport(), Transport::Ring);
        manager.ping().unwrap();
        drop(manager);
        if round % 3 == 0 {
            // One that says no good bye.
            drop(Raw::inside(&server));
        }
        if round == 100 {
            eventually("all are gone", || server.handle.clients() == 0);
            steady = possessions();
        }
    }
    eventually("all are gone", || server.handle.clients() == 0);
    let (descriptors, rings) = possessions();
    assert_eq!((descriptors, rings), steady, "descriptors, and mappings of rings");
    assert_eq!(rings, 0);
    println!("nothing is left");
}

/// Descriptors of this process, and mappings of rings.
fn possessions() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let rings = maps.lines().filter(|line| line.contains("procshare-rings")).count();
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), rings)
}

#[test]
fn a_thousand_connections_leave_nothing() {
    watched(|| again("be_many", "PROCSHARE_TEST_MANY", "nothing is left"));
}

/// A server that is killed in the middle of all: who waits for room in its ring gets an error.
#[test]
fn a_killed_server_is_noticed_by_who_waits_for_room() {
    watched(|| {
        let manager = Manager::start().unwrap();
        assert_eq!(manager.transport(), Transport::Ring);
        let list = List::<Vec<u8>>::anonymous(&manager).unwrap();
        // SAFETY: takes no pointers; the process is this test's server.
        assert_eq!(unsafe { libc::kill(manager.pid() as i32, libc::SIGSTOP) }, 0);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| list.push(&vec![7; 1 << 20]));
            // Whether it waits already does not matter: the outcome is the same.
            std::thread::sleep(Duration::from_millis(50));
            // SAFETY: as above.
            assert_eq!(unsafe { libc::kill(manager.pid() as i32, libc::SIGKILL) }, 0);
            let error = sender.join().unwrap().unwrap_err();
            assert!(matches!(error, ManagerError::Disconnected { .. }), "{error}");
        });
    });
}
