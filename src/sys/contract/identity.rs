//! Who this process is, and small things.

use std::collections::BTreeSet;

use super::place::watchdog;
use super::{Promise, promised};
use crate::sys::{self, Identity, ProcessInfo, ProcessLock};

#[test]
fn an_identity_is_nobodys_until_it_is_set() {
    let identity = Identity::new().unwrap();
    let same = identity.clone();
    assert_eq!((identity.get(), Identity::nobody().get()), (0, 0));
    identity.set(0x3fff_ffff);
    assert_eq!((identity.get(), same.get()), (0x3fff_ffff, 0x3fff_ffff));
    assert_eq!(Identity::new().unwrap().get(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(same.get(), 0x3fff_ffff, "threads of a process are the same participant"));
    });
}

#[cfg(unix)]
#[test]
fn a_forked_child_is_nobody_and_finds_the_process_lock_free() {
    if !promised(Promise::ForkSafe) {
        return;
    }
    let _watchdog = watchdog();
    drop(ProcessLock::take());
    let identity = Identity::new().unwrap();
    identity.set(5);
    let busy = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        // Somebody is in and out of the lock all the time.
        scope.spawn(|| {
            while busy.load(std::sync::atomic::Ordering::Relaxed) {
                drop(ProcessLock::take());
            }
        });
        for _ in 0..20 {
            // SAFETY: (S1) the child makes no call that could wait for a lost thread but the one under test, under an alarm.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                // SAFETY: (S1) ends a child that hangs.
                unsafe { libc::alarm(60) };
                let before = identity.get();
                drop(ProcessLock::take());
                identity.set(6);
                let right = before == 0 && identity.get() == 6;
                // SAFETY: (S1) ends the child at once.
                unsafe { libc::_exit(i32::from(!right)) };
            }
            let mut status = 0;
            // SAFETY: (S1) the child is ours, `status` a valid destination.
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            assert_eq!((status, identity.get()), (0, 5));
        }
        busy.store(false, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn the_process_lock_has_one_holder() {
    let _watchdog = watchdog();
    let (rounds, threads) = (if cfg!(miri) { 20 } else { 1000 }, 4);
    let counter = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let _lock = ProcessLock::take();
                    // Load and store, not one step: two holders at once would lose some.
                    let now = counter.load(std::sync::atomic::Ordering::Relaxed);
                    std::thread::yield_now();
                    counter.store(now + 1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(counter.into_inner(), rounds * threads);
}

#[test]
fn tokens_and_random_numbers_are_distinct() {
    let tokens: BTreeSet<u32> =
        (0..8).map(|_| std::thread::spawn(sys::thread_token).join().unwrap()).collect();
    assert_eq!(tokens.len(), 8);
    assert!(!tokens.contains(&0));
    assert_eq!(sys::thread_token(), sys::thread_token());
    let drawn: BTreeSet<u128> = (0..100).map(|_| sys::random_u128()).collect();
    assert_eq!(drawn.len(), 100);
}

#[test]
fn clocks_go_forward() {
    let mut before = sys::monotonic_ns();
    for _ in 0..1000 {
        let now = sys::monotonic_ns();
        assert!(now >= before);
        before = now;
    }
    assert!(sys::wall_ns() > 0);
}

#[test]
fn a_process_can_be_shown() {
    let info = ProcessInfo::of_self();
    assert_eq!(info.pid, std::process::id());
    assert!(info.executable.iter().any(|&byte| byte != 0));
    assert_eq!(info.executable.len(), 32);
}
