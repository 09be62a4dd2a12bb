//! `AtomicArray<T>`: a fixed number of atomic values in one segment.

use procshare::{Atomic, AtomicArray, AtomicValue, Error, Handle, LockArray};

use crate::support::{Signal, TestSpace, fork, watchdog};

#[test]
fn elements_take_the_width_of_their_type() {
    fn check<T: Atomic + PartialEq>(home: &TestSpace, name: &str, width: u64, value: T) {
        let array = AtomicArray::create(&home.path(name), 1000, value).unwrap();
        assert!(array.iter().all(|element| element == value));
        assert_eq!(array.len(), 1000);
        assert_eq!(home.size(name), 256 + 64 + 1000 * width);
    }
    let home = TestSpace::new();
    check::<bool>(&home, "bool", 1, true);
    check::<u8>(&home, "u8", 1, 0);
    check::<i16>(&home, "i16", 2, -3);
    check::<f32>(&home, "f32", 4, 1.5);
    check::<i64>(&home, "i64", 8, i64::MIN);
    check::<f64>(&home, "f64", 8, -0.0);
}

#[test]
fn elements_are_independent() {
    let home = TestSpace::new();
    let array = AtomicArray::<u8>::create(&home.path("array"), 300, 0).unwrap();
    let same = AtomicArray::<u8>::open(&home.path("array")).unwrap();
    for index in 0..300 {
        same.set(index, index as u8).unwrap();
    }
    assert_eq!(array.add(255, 1).unwrap(), 255);
    assert_eq!(array.get(255).unwrap(), 0, "it wraps");
    assert_eq!((array.get(254).unwrap(), array.get(256).unwrap()), (254, 0), "its neighbours do not notice");
    assert_eq!(array.swap(299, 7).unwrap(), 43);
    assert_eq!(array.compare_exchange(299, 7, 8).unwrap(), Ok(7));
    assert_eq!(array.update(299, |value| value * 2).unwrap(), 8);
    assert_eq!(array.at(299).unwrap().fetch_or(1).unwrap(), 16);
    assert_eq!(same.get(299).unwrap(), 17);
}

#[test]
fn bulk_operations_copy_ranges() {
    let array = AtomicArray::builder().anonymous([1i32, -2, 3, -4, 5]).unwrap();
    assert_eq!(array.to_vec(), [1, -2, 3, -4, 5]);
    let mut two = [0; 2];
    array.read_into(3, &mut two).unwrap();
    assert_eq!(two, [-4, 5]);
    array.write_from(1, &[20, 30]).unwrap();
    assert_eq!(array.iter().rev().collect::<Vec<_>>(), [5, -4, 30, 20, 1]);
    assert_eq!(array.iter().len(), 5);
    array.read_into(5, &mut []).unwrap();
    array.write_from(5, &[]).unwrap();
    for (start, count) in [(4, 2), (6, 0), (0, 6), (usize::MAX, 2)] {
        let mut to = vec![0; count];
        assert!(matches!(array.read_into(start, &mut to), Err(Error::OutOfRange { len: 5, .. })));
        assert!(matches!(array.write_from(start, &to), Err(Error::OutOfRange { len: 5, .. })));
    }
    assert_eq!(array.to_vec(), [1, 20, 30, -4, 5], "what is refused changes nothing");
    array.fill(9).unwrap();
    assert_eq!(array.to_vec(), [9; 5]);
    assert_eq!(AtomicArray::builder().anonymous(vec![true, false]).unwrap().to_vec(), [true, false]);
    assert_eq!(AtomicArray::builder().anonymous(&[0.5f32, 1.5][..]).unwrap().to_vec(), [0.5, 1.5]);
}

#[test]
fn lengths_and_indices_are_checked() {
    let home = TestSpace::new();
    for len in [0, usize::MAX, usize::MAX / 8, isize::MAX as usize / 8] {
        let error = AtomicArray::<u64>::create(&home.path("x"), len, 0).unwrap_err();
        assert!(
            matches!(error, Error::BadSize { what: "elements", found, .. } if found == len as u64),
            "{error}"
        );
    }
    assert!(matches!(AtomicArray::<u64>::create_from(&home.path("x"), &[]), Err(Error::BadSize { .. })));
    let error = AtomicArray::<u64>::create(&home.path("x"), 1 << 44, 1).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert!(matches!(AtomicArray::<u64>::open(&home.path("x")), Err(Error::NotFound { .. })));

    let array = AtomicArray::<u64>::create(&home.path("array"), 3, 0).unwrap();
    assert!(matches!(array.get(3), Err(Error::OutOfRange { start: 3, end: 4, len: 3, .. })));
    assert!(matches!(array.set(usize::MAX, 1), Err(Error::OutOfRange { .. })));
    assert!(matches!(array.add(3, 1), Err(Error::OutOfRange { .. })));
    assert!(array.at(3).is_err() && array.swap(4, 1).is_err());
}

#[test]
fn other_types_kinds_and_hostile_lengths_are_refused() {
    let home = TestSpace::new();
    let array = AtomicArray::<u32>::create(&home.path("array"), 6, 0).unwrap();
    assert!(matches!(AtomicArray::<f32>::open(&home.path("array")), Err(Error::WrongType { .. })));
    assert!(matches!(AtomicValue::<u32>::open(&home.path("array")), Err(Error::WrongKind { .. })));
    assert!(matches!(LockArray::open(&home.path("array")), Err(Error::WrongKind { .. })));
    assert_eq!(AtomicArray::<u32>::open_or_create(&home.path("array"), 9, 1).unwrap().len(), 6);
    for len in [0, 7, 1 << 62, u64::MAX] {
        home.scribble("array", 0, &u64::to_ne_bytes(len));
        let error = AtomicArray::<u32>::open(&home.path("array")).unwrap_err();
        assert!(matches!(error, Error::NotASegment { what: "number of elements", .. }), "{error}");
        // Whoever attached before uses the length that was checked then.
        assert_eq!(array.to_vec().len(), 6);
        assert!(array.get(6).is_err());
    }
}

#[test]
fn a_read_only_handle_reads_and_is_refused_everything_else() {
    let home = TestSpace::new();
    let array = AtomicArray::create_from(&home.path("array"), &[1u16, 2, 3]).unwrap();
    let reader = AtomicArray::<u16>::builder().read_only(true).open(&home.path("array")).unwrap();
    assert_eq!(reader.to_vec(), [1, 2, 3]);
    assert_eq!((reader.get(2).unwrap(), reader.at(1).unwrap().load()), (3, 2));
    let refused = [
        reader.set(0, 1),
        reader.add(0, 1).map(drop),
        reader.swap(0, 1).map(drop),
        reader.compare_exchange(0, 1, 1).map(drop),
        reader.update(0, |value| value).map(drop),
        reader.at(0).unwrap().fetch_max(1).map(drop),
        reader.write_from(0, &[1]),
        reader.fill(1),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::ReadOnly { .. })), "{result:?}");
    }
    array.set(0, 9).unwrap();
    assert_eq!(reader.get(0).unwrap(), 9);
}

#[test]
fn adds_of_processes_all_count_in_every_width() {
    const EACH: usize = 60_000;
    fn check<T: procshare::AtomicNumber>(zero: T, one: T, as_f64: impl Fn(T) -> f64, modulus: f64) {
        let array = AtomicArray::anonymous(17, zero).unwrap();
        let work = || {
            for step in 0..EACH {
                array.add(step % 17, one).unwrap();
            }
        };
        let children = [fork(work), fork(work)];
        work();
        children.into_iter().for_each(crate::support::Child::join);
        for (index, sum) in array.iter().enumerate() {
            let adds = 3 * (EACH / 17 + usize::from(index < EACH % 17));
            assert_eq!(as_f64(sum), adds as f64 % modulus, "element {index}");
        }
    }
    let _watchdog = watchdog();
    check(0u8, 1u8, f64::from, 256.0);
    check(0u16, 1u16, f64::from, 65536.0);
    check(0i32, 1i32, f64::from, f64::INFINITY);
    check(0u64, 1u64, |sum| sum as f64, f64::INFINITY);
    check(0f32, 1f32, f64::from, f64::INFINITY);
}

#[test]
fn locks_of_an_array_guard_elements_of_another() {
    const EACH: usize = 20_000;
    let _watchdog = watchdog();
    let locks = LockArray::anonymous(8).unwrap();
    let array = AtomicArray::<u64>::anonymous(8, 0).unwrap();
    let work = || {
        for step in 0..EACH {
            let _guard = locks.lock(step % 8).unwrap();
            // Two steps, which only the lock makes one.
            array.set(step % 8, array.get(step % 8).unwrap() + 1).unwrap();
        }
    };
    let children = [fork(work), fork(work)];
    work();
    children.into_iter().for_each(crate::support::Child::join);
    assert_eq!(array.to_vec(), [3 * EACH as u64 / 8; 8]);
}

#[test]
fn a_killed_bulk_writer_leaves_whole_elements() {
    const LEN: usize = 4096;
    let _watchdog = watchdog();
    let array = AtomicArray::<u64>::anonymous(LEN, 0).unwrap();
    let pattern = |step: u64| step.wrapping_mul(0x0101_0101_0101_0101);
    for _ in 0..30 {
        let ready = Signal::new();
        let child = fork(|| {
            for step in 0.. {
                array.write_from(0, &[pattern(step % 256); LEN]).unwrap();
                if step == 3 {
                    ready.send();
                }
            }
        });
        ready.wait();
        let mut seen = vec![0; LEN];
        array.read_into(0, &mut seen).unwrap();
        child.kill();
        seen.extend(array.to_vec());
        assert!(seen.iter().all(|&value| value == pattern(value & 0xff)), "half an element");
    }
}

/// Two processes that each raise a flag and look at the other's: with weaker orderings both may find the other's down.
#[test]
fn all_processes_agree_on_one_order() {
    const ROUNDS: u64 = 100_000;
    let _watchdog = watchdog();
    // Far apart, so that the flags are on lines of their own.
    let flags = AtomicArray::<u64>::anonymous(64, 0).unwrap();
    let saw = AtomicArray::<bool>::anonymous(2 * ROUNDS as usize, false).unwrap();
    let work = |me: usize| {
        let (mine, other) = (flags.at(16 * me).unwrap(), flags.at(16 * (1 - me)).unwrap());
        let (here, there) = (flags.at(32 + 16 * me).unwrap(), flags.at(32 + 16 * (1 - me)).unwrap());
        for round in 1..=ROUNDS {
            here.store(round).unwrap();
            while there.load() < round {
                std::hint::spin_loop();
                if there.load() < round {
                    std::thread::yield_now();
                }
            }
            // The later of the two comes out first: all offsets are tried, so that some rounds coincide.
            for _ in 0..if me == 0 { round % 40 } else { round / 40 % 40 } {
                std::hint::black_box(round);
            }
            mine.store(round).unwrap();
            if other.load() >= round {
                saw.set(2 * (round as usize - 1) + me, true).unwrap();
            }
        }
    };
    let child = fork(|| work(1));
    work(0);
    child.join();
    let saw = saw.to_vec();
    assert_eq!(
        saw.chunks(2).filter(|pair| !pair[0] && !pair[1]).count(),
        0,
        "rounds in which both came first"
    );
}

#[test]
fn the_handle_leads_another_process_to_the_same_array() {
    let array = AtomicArray::<f32>::anonymous(4, 0.0).unwrap();
    let text = serde_json::to_string(&array).unwrap();
    fork(|| {
        let handle: Handle<AtomicArray<f32>> = serde_json::from_str(&text).unwrap();
        handle.attach().unwrap().write_from(1, &[0.5, 0.25]).unwrap();
    })
    .join();
    assert_eq!(array.to_vec(), [0.0, 0.5, 0.25, 0.0]);
}
