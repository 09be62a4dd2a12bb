//! The fast paths of arrays beside std's, in one process: `cargo bench -p procshare --bench array`.

use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use procshare::Array;

const LENGTH: usize = 1024;

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One element after the other.
fn elements(c: &mut Criterion) {
    let array = Array::anonymous(LENGTH, 0_u64).expect("an array");
    array.set(7, 3).expect("nobody else has it");
    assert_eq!(array.get(7).expect("it is in range"), 3, "what is set is read back");
    assert!(array.set(LENGTH, 0).is_err(), "what is out of range is refused");
    let mutex = Mutex::new(vec![0_u64; LENGTH]);
    let mut next = 0;
    let mut step = move || {
        next = (next + 1) % LENGTH;
        next
    };
    let mut group = c.benchmark_group("array");
    group.bench_function("set/procshare", |bencher| bencher.iter(|| array.set(step(), 1)));
    group.bench_function("set/std", |bencher| bencher.iter(|| held(&mutex)[step()] = 1));
    group.bench_function("get/procshare", |bencher| bencher.iter(|| array.get(step())));
    group.bench_function("get/std", |bencher| bencher.iter(|| held(&mutex)[step()]));
    group.bench_function("guard/procshare", |bencher| {
        bencher.iter(|| {
            let at = step();
            array.lock(at..=at).expect("nobody else has it")[0] = 1;
        });
    });
    group.finish();
}

/// Many elements at once.
fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("bulk");
    for bytes in [64, 4 << 10, 64 << 10, 1 << 20] {
        let array = Array::anonymous(bytes / 8, 0_u64).expect("an array");
        let mut private: Vec<u64> = (0..bytes as u64 / 8).collect();
        array.write(0, &private).expect("nobody else has it");
        assert_eq!(array.to_vec().expect("nobody writes"), private, "what is written is read back");

        let mut plain = private.clone();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("read/procshare", bytes), |bencher| {
            bencher.iter(|| array.read(0, black_box(&mut private)));
        });
        group.bench_function(BenchmarkId::new("write/procshare", bytes), |bencher| {
            bencher.iter(|| array.write(0, black_box(&private)));
        });
        group.bench_function(BenchmarkId::new("memcpy/std", bytes), |bencher| {
            bencher.iter(|| plain.copy_from_slice(black_box(&private)));
        });
    }
    group.finish();
}

criterion_group!(benches, elements, bulk);
criterion_main!(benches);
