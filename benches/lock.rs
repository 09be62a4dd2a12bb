//! The fast paths of locks beside std's, in one process: `cargo bench -p procshare --bench lock`.
//!
//! What processes do to each other is measured by `compare/`.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use criterion::{Criterion, criterion_group, criterion_main};
use procshare::{Error, Lock, LockArray};

/// Lock, add one, unlock.
fn uncontended(c: &mut Criterion) {
    let lock = Lock::anonymous().expect("a lock");
    {
        let _guard = lock.lock().expect("a free lock");
        assert!(lock.try_lock().is_err(), "a held lock is refused");
    }
    assert!(lock.try_lock().is_ok(), "a released lock is free");

    let mut group = c.benchmark_group("lock");
    let counter = Cell::new(0_u64);
    group.bench_function("procshare", |bencher| {
        bencher.iter(|| {
            let _guard = black_box(&lock).lock().expect("nobody else has it");
            counter.set(counter.get() + 1);
        });
    });
    let mutex = Mutex::new(0_u64);
    group.bench_function("std", |bencher| {
        bencher.iter(|| *black_box(&mutex).lock().unwrap_or_else(PoisonError::into_inner) += 1);
    });
    group.finish();
    assert!(lock.holder().is_none(), "every guard gave its lock back");
}

/// One lock of many after the other.
fn many(c: &mut Criterion) {
    const LOCKS: usize = 1024;
    let locks = LockArray::anonymous(LOCKS).expect("an array of locks");
    {
        let _guard = locks.lock(0).expect("a free lock");
        assert!(locks.try_lock(0).is_err() && locks.try_lock(1).is_ok(), "neighbours are independent");
    }
    let mut next = 0;
    c.bench_function("lock/array", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % LOCKS;
            drop(locks.lock(next).expect("nobody else has it"));
        });
    });
}

/// What a try costs that finds the lock taken.
fn refused(c: &mut Criterion) {
    let lock = Lock::anonymous().expect("a lock");
    let _guard = lock.lock().expect("a free lock");
    assert!(matches!(lock.try_lock().map_err(Error::from), Err(Error::WouldBlock)));
    c.bench_function("lock/refused", |bencher| bencher.iter(|| black_box(&lock).try_lock().is_err()));
}

criterion_group!(benches, uncontended, many, refused);
criterion_main!(benches);
