//! Clients that take their time: stopped, idle, trickling, or gone but for their process.

use std::time::{Duration, Instant};

use procshare::manager::*;
use procshare::{Cause, LockError};
use procshare_harness::{Reexec, entered};

use crate::raw::{Raw, pack, undisturbed};
use crate::support::{connect, eventually, follow, limited, local, over_both, path, watched};

#[test]
fn entry_holder() {
    let Some(ways) = entered("patience::entry_holder") else { return };
    let (address, transport) = ways.split_once(' ').unwrap();
    follow(transport.parse().unwrap());
    let manager = connect(&address.parse().unwrap()).unwrap();
    let guard = Lock::open(&manager, "lock").unwrap().lock().unwrap();
    let progress = Value::<u64>::open(&manager, "progress").unwrap();
    let go = Event::open(&manager, "go").unwrap();
    while !go.is_set().unwrap() {
        progress.add(&1).unwrap();
    }
    guard.unlock().unwrap();
}

/// It lives, so what it holds stays its own; nobody waits for anything else.
#[test]
fn a_stopped_holder_keeps_its_lock_and_nothing_else() {
    over_both(|| {
        let server = local();
        let manager = server.client();
        let lock = Lock::create(&manager, "lock").unwrap();
        let progress = Value::create(&manager, "progress", &0u64).unwrap();
        let go = Event::create(&manager, "go").unwrap();
        let ways = format!("{} {}", server.address, server.transport);
        let holder = Reexec::new("patience::entry_holder").argument(ways).spawn().unwrap();
        eventually("it works", || progress.get().unwrap() > 10);
        holder.signal(libc::SIGSTOP);
        // What it had sent is done; from then on it does nothing.
        eventually("it stands still", || {
            let before = progress.get().unwrap();
            std::thread::sleep(Duration::from_millis(20));
            progress.get().unwrap() == before
        });
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(lock.lock_timeout(Duration::from_millis(30)), Err(LockError::TimedOut)));
        let still = progress.get().unwrap();
        (0..100).for_each(|_| manager.ping().unwrap());
        assert_eq!(progress.get().unwrap(), still);
        go.set().unwrap();
        holder.signal(libc::SIGCONT);
        // In good order: nobody has died.
        drop(lock.lock().unwrap());
        holder.wait(Duration::from_secs(30)).unwrap();
    });
}

/// Bytes that come one by one are no reason to wait longer.
#[test]
fn who_trickles_is_ended_like_who_is_silent() {
    over_both(|| {
        let brief = Duration::from_millis(150);
        let server = limited(Limits { handshake: brief, slow_frame: brief, ..Limits::default() });
        undisturbed(&server, || {
            let greeting = pack::greeting("peer", 1, 1);
            let mut stranger = Raw::connect(&server);
            trickle(&mut stranger, &greeting[..40]);
            assert!(stranger.last_words().contains("too long to be let in"));
            let mut client = Raw::inside(&server);
            let frame = [&1000u32.to_be_bytes()[..], &[0; 40]].concat();
            trickle(&mut client, &frame);
            assert!(client.last_words().contains("a frame took too long"));
        });
    });
}

/// Slower than the limits allow, and never silent.
fn trickle(raw: &mut Raw, bytes: &[u8]) {
    for byte in bytes {
        raw.send(&[*byte]);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A thread may end and leave a guard behind: its client holds the lock, until that ends.
#[test]
fn what_a_thread_leaves_behind_its_client_holds() {
    over_both(|| {
        let server = local();
        let (manager, other) = (server.client(), server.client());
        let lock = Lock::create(&manager, "lock").unwrap();
        let permits = Semaphore::create(&manager, "permits", 1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::mem::forget(lock.lock().unwrap());
                std::mem::forget(permits.acquire().unwrap());
            });
        });
        // No thread of the same client is the one that has it.
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(permits.try_acquire(), Err(ManagerError::WouldBlock)));
        let (same, free) = (Lock::open(&other, "lock").unwrap(), Semaphore::open(&other, "permits").unwrap());
        assert!(matches!(same.try_lock(), Err(LockError::WouldBlock)));
        // A forgotten guard keeps its connection, as it keeps its lock; a panic releases both.
        let died = std::thread::scope(|scope| {
            let guilty = || {
                let _guard = RLock::create(&manager, "other").unwrap().lock().unwrap();
                panic!("on purpose")
            };
            scope.spawn(guilty).join().is_err()
        });
        assert!(died);
        let Err(LockError::OwnerDied(outcome)) = RLock::open(&other, "other").unwrap().lock() else {
            panic!("nobody was told")
        };
        assert_eq!(outcome.cause(), Cause::Panicked);
        assert_eq!(free.available().unwrap(), 0);
    });
}

/// Timeouts longer than any clock runs are for ever, and do not turn round.
#[test]
fn endless_timeouts_do_not_end() {
    over_both(|| {
        let server = local();
        let (manager, other) = (server.client(), server.client());
        let event = Event::create(&manager, "event").unwrap();
        let queue = Queue::<u8>::create(&manager, "queue", None).unwrap();
        let long =
            [Duration::MAX, Duration::from_millis(u64::MAX / 1_000_000), Duration::from_nanos(u64::MAX)];
        std::thread::scope(|scope| {
            let waiters: Vec<_> = long
                .map(|long| {
                    scope.spawn({
                        let event = &event;
                        move || event.wait_timeout(long).unwrap()
                    })
                })
                .into();
            let getters: Vec<_> = long
                .map(|long| {
                    scope.spawn({
                        let queue = &queue;
                        move || queue.get_timeout(long).unwrap()
                    })
                })
                .into();
            eventually("all wait", || other.stats().unwrap().waiting == 6);
            Event::open(&other, "event").unwrap().set().unwrap();
            (0..3).for_each(|item| Queue::open(&other, "queue").unwrap().put(item).unwrap());
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
            let mut items: Vec<u8> = getters.into_iter().map(|getter| getter.join().unwrap()).collect();
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2]);
        });
    });
}

#[test]
fn entry_crowd() {
    let Some(trace) = entered("patience::entry_crowd") else { return };
    let server = local();
    let plain = || Manager::builder().transport(Transport::Socket).connect(&server.address).unwrap();
    let crowd: Vec<Manager> =
        (0..100).map(|at| if at % 2 == 0 { server.client() } else { plain() }).collect();
    crowd.iter().for_each(|client| client.ping().unwrap());
    // Rings that have been used are looked at for some milliseconds more.
    std::thread::sleep(Duration::from_millis(100));
    let (began, before) = (Instant::now(), cpu_time());
    std::thread::sleep(Duration::from_secs(1));
    let (used, elapsed) = (cpu_time() - before, began.elapsed());
    assert!(used * 20 < elapsed, "{used:?} in {elapsed:?} for 100 idle clients");
    crowd.iter().for_each(|client| client.ping().unwrap());
    std::fs::write(trace, format!("{used:?} in {elapsed:?}")).unwrap();
}

/// What this process has used of the processor: server and clients are its threads.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live destination.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_hundred_idle_clients_cost_nothing() {
    watched(|| {
        let trace = path("trace");
        let entry = Reexec::new("patience::entry_crowd").argument(trace.to_str().unwrap());
        entry.spawn().unwrap().wait(Duration::from_secs(50)).unwrap();
        println!("{}", std::fs::read_to_string(&trace).unwrap());
        std::fs::remove_file(trace).unwrap();
    });
}

#[test]
fn entry_large() {
    let Some(trace) = entered("patience::entry_large") else { return };
    let (server, content) = (local(), vec![7; 900_000]);
    let manager = server.client();
    let list = List::<u8>::create(&manager, "list").unwrap();
    follow(Transport::Socket);
    let plain = local();
    let text = [&[0xdb][..], &u32::try_from(content.len()).unwrap().to_be_bytes(), &content].concat();
    let frame = pack::frame(&[b"\x94\x01\x00\xa4ping\x91", &text[..]].concat());
    let mut many: Vec<Raw> =
        (0..80).map(|at| Raw::inside(if at % 2 == 0 { &server } else { &plain })).collect();
    let before = allocated();
    for raw in &mut many {
        // A call with too much to say, and a failure for an answer.
        raw.send(&frame);
        assert!(raw.frame().is_some());
    }
    let most = before + (20 << 20);
    eventually("large buffers are given back", || allocated() < most);
    assert_eq!(list.len().unwrap(), 0);
    std::fs::write(trace, format!("{} became {}", before, allocated())).unwrap();
}

/// Bytes that this process has from its allocator.
fn allocated() -> usize {
    // SAFETY: takes no pointers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// Many clients that once sent much do not cost much for ever: 80 of them would keep 70 MB.
#[test]
fn idle_clients_keep_no_large_buffers() {
    watched(|| {
        let trace = path("trace");
        let entry = Reexec::new("patience::entry_large").argument(trace.to_str().unwrap());
        entry.spawn().unwrap().wait(Duration::from_secs(50)).unwrap();
        println!("{}", std::fs::read_to_string(&trace).unwrap());
        std::fs::remove_file(trace).unwrap();
    });
}
