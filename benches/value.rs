//! The fast paths of values beside std's, in one process: `cargo bench -p procshare --bench value`.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use procshare::{AtomicValue, Value};

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One more in the first word, the same in the last: a torn value would show.
fn change<const N: usize>(words: &mut [u64; N]) {
    words[0] += 1;
    words[N - 1] = words[0];
}

fn whole<const N: usize>(c: &mut Criterion) {
    let value = Value::anonymous([0_u64; N]).expect("a value");
    value.update(change).expect("nobody else has it");
    let read = value.get().expect("a whole value");
    assert!(read[0] == 1 && read[N - 1] == 1, "an update is read back");
    value.set([0; N]).expect("nobody else has it");

    let bytes = size_of::<[u64; N]>();
    let mut group = c.benchmark_group("value");
    let mutex = Mutex::new([0_u64; N]);
    group.bench_function(BenchmarkId::new("get/procshare", bytes), |bencher| {
        bencher.iter(|| black_box(&value).get());
    });
    group.bench_function(BenchmarkId::new("get/std", bytes), |bencher| {
        bencher.iter(|| *held(black_box(&mutex)));
    });
    group.bench_function(BenchmarkId::new("update/procshare", bytes), |bencher| {
        bencher.iter(|| black_box(&value).update(|copy| change(black_box(copy))));
    });
    group.bench_function(BenchmarkId::new("update/std", bytes), |bencher| {
        bencher.iter(|| {
            let mut whole = held(black_box(&mutex));
            let mut copy = *whole;
            change(black_box(&mut copy));
            *whole = copy;
        });
    });
    group.finish();
    let read = value.get().expect("a whole value");
    assert_eq!(read[0], read[N - 1], "no update was torn");
}

fn sizes(c: &mut Criterion) {
    whole::<1>(c);
    whole::<8>(c);
    whole::<128>(c);
    whole::<512>(c);
}

fn atomic(c: &mut Criterion) {
    let counter = AtomicValue::anonymous(0_u64).expect("a value");
    assert_eq!(counter.fetch_add(2).expect("it may be written"), 0);
    assert_eq!(counter.load(), 2, "an addition is read back");
    let mut group = c.benchmark_group("atomic");
    group.bench_function("add/procshare", |bencher| bencher.iter(|| black_box(&counter).fetch_add(1)));
    let std = AtomicU64::new(0);
    group.bench_function("add/std", |bencher| {
        bencher.iter(|| black_box(&std).fetch_add(1, Ordering::SeqCst));
    });
    group.finish();
}

criterion_group!(benches, sizes, atomic);
criterion_main!(benches);
