//! The first things that must work.

use procshare::{Lock, LockError};
use std::time::Duration;

#[test]
fn a_killed_holder_is_recovered_and_told() {
    let lock = Lock::anonymous().unwrap();
    // SAFETY: the child only uses the lock and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        std::mem::forget(lock.lock().unwrap());
        loop {
            std::thread::park();
        }
    }
    while lock.holder().is_none() {
        std::thread::yield_now();
    }
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock)));
    assert!(matches!(lock.lock_timeout(Duration::from_millis(20)), Err(LockError::TimedOut)));
    // SAFETY: the child is ours.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
    let started = std::time::Instant::now();
    match lock.lock() {
        Err(LockError::OwnerDied(outcome)) => {
            println!("recovered after {:?}", started.elapsed());
            outcome.into_guard().make_consistent();
        }
        other => panic!("{other:?}"),
    }
    drop(lock.lock().unwrap());
}

#[test]
fn uncontended_speed() {
    let lock = Lock::anonymous().unwrap();
    let std = std::sync::Mutex::new(());
    for _ in 0..3 {
        let t = std::time::Instant::now();
        for _ in 0..5_000_000 {
            drop(std.lock().unwrap());
        }
        let a = t.elapsed();
        let t = std::time::Instant::now();
        for _ in 0..5_000_000 {
            drop(lock.lock().unwrap());
        }
        let b = t.elapsed();
        println!(
            "std {:?} ours {:?} ratio {:.3}",
            a / 5_000_000,
            b / 5_000_000,
            b.as_secs_f64() / a.as_secs_f64()
        );
    }
    let t = std::time::Instant::now();
    for i in 0..2000 {
        let name = format!("bench-{}-{i}", std::process::id());
        drop(Lock::create(&name).unwrap());
        drop(Lock::open(&name).unwrap());
        Lock::unlink(&name).unwrap();
    }
    println!("create+open+unlink {:?}", t.elapsed() / 2000);
}
