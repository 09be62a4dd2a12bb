//! `Array`: disjoint ranges never wait for each other, and torn ranges are named.

use procshare::{Array, ArrayInit, Cause, Error, LockError};
use procshare_harness::{Exit, child};
use std::time::Duration;

use crate::support::{TestSpace, watchdog};

fn kill_myself() -> ! {
    // SAFETY: kills the calling process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("SIGKILL cannot be survived")
}

/// Runs `work` in a forked child and tells how it ended.
fn in_child(work: impl FnOnce()) -> Exit {
    child(Duration::from_secs(20), work)
}

#[test]
fn elements_ranges_and_bounds() {
    let array = Array::anonymous(100, 0u32).unwrap();
    assert_eq!(array.len(), 100);
    array.set(3, 7).unwrap();
    assert_eq!(array.get(3).unwrap(), 7);
    assert_eq!(array.replace(3, 8).unwrap(), 7);
    assert_eq!(array.compare_exchange(3, &8, 9).unwrap(), Ok(8));
    assert_eq!(array.compare_exchange(3, &8, 1).unwrap(), Err(9));
    assert_eq!(
        array
            .update(3, |element| {
                *element += 1;
                *element
            })
            .unwrap(),
        10
    );
    array.write(90, &[1; 10]).unwrap();
    array.fill(..2, 5).unwrap();
    let mut some = [0; 3];
    array.read(1, &mut some).unwrap();
    assert_eq!(some, [5, 0, 10].map(|x| x), "elements 1, 2, 3");
    assert_eq!(array.to_vec().unwrap().iter().sum::<u32>(), 10 + 10 + 10);
    assert_eq!(array.iter().map(Result::unwrap).sum::<u32>(), 30);
    for result in [
        array.get(100).map(drop),
        array.set(100, 1),
        array.write(91, &[1; 10]),
        array.update(100, |_| ()),
        array.replace(usize::MAX, 1).map(drop),
        array.compare_exchange(usize::MAX, &0, 1).map(drop),
        array.read(usize::MAX, &mut [0; 2]),
        array.fill(5..101, 1),
        array.lock(5..5).map(drop).map_err(Error::from),
        #[allow(clippy::reversed_empty_ranges)]
        array.lock(6..5).map(drop).map_err(Error::from),
    ] {
        assert!(matches!(result, Err(Error::OutOfRange { len: 100, .. })), "{result:?}");
    }
    array.write(100, &[]).unwrap();
}

#[test]
fn room_to_grow_is_out_of_range_too() {
    let array = Array::builder().anonymous(ArrayInit::filled(1, 0u32).max_len(10)).unwrap();
    for index in [1, 9, 10] {
        assert!(matches!(array.update(index, |_| ()), Err(Error::OutOfRange { len: 1, .. })), "{index}");
    }
}

#[test]
fn sizes_no_array_can_have_are_refused_before_anything_is_allocated() {
    assert!(matches!(Array::anonymous(0, 0u8), Err(Error::BadSize { .. })));
    assert!(matches!(Array::anonymous(usize::MAX, 0u64), Err(Error::BadSize { .. })));
    assert!(matches!(Array::anonymous(1 << 50, 0u8), Err(Error::NoSpace { .. })));
    let init = ArrayInit::filled(10, 0u8).guards(5000);
    assert!(matches!(Array::builder().anonymous(init), Err(Error::BadSize { .. })));
}

#[test]
fn held_ranges_block_their_own_elements_only() {
    let array = Array::anonymous(64, 0u64).unwrap();
    let mut guards: Vec<_> = (0..63).map(|index| array.lock(index..=index).unwrap()).collect();
    for (index, guard) in guards.iter_mut().enumerate() {
        guard[0] = index as u64;
    }
    // In another thread: the holder itself would be told of a deadlock.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            array.set(63, 1).unwrap();
            assert_eq!(array.get(63).unwrap(), 1);
            assert!(matches!(array.try_get(62), Err(Error::WouldBlock)));
            assert!(matches!(array.try_set(0, 1), Err(Error::WouldBlock)));
            assert!(matches!(array.try_lock(..), Err(LockError::WouldBlock)));
            assert!(matches!(array.lock_timeout(3..5, Duration::from_millis(5)), Err(LockError::TimedOut)));
            assert!(array.try_lock(63..).is_ok());
        });
    });
    assert!(matches!(array.set(5, 1), Err(Error::Deadlock)));
    assert!(matches!(array.lock(5..8), Err(LockError::Deadlock)));
    drop(guards);
    assert_eq!(array.lock(..).unwrap().iter().sum::<u64>(), (0..63).sum::<u64>() + 1);
}

#[test]
fn more_guards_than_entries_is_an_error_and_no_hang() {
    let array = Array::builder().anonymous(ArrayInit::filled(10, 0u8).guards(2)).unwrap();
    let _guards = [array.lock(0..1).unwrap(), array.lock(1..2).unwrap()];
    assert!(matches!(array.lock(2..3), Err(LockError::Failed(Error::TooManyGuards { limit: 2, .. }))));
    array.set(5, 1).unwrap();
}

#[test]
fn dead_holders_use_up_no_guards() {
    let array = Array::builder().anonymous(ArrayInit::filled(100, 1u8).max_len(120).guards(2)).unwrap();
    for start in [10, 30, 50, 12, 70] {
        let _ = in_child(|| {
            let mut guard = array.lock(start..start + 5).or_else(LockError::into_guard).unwrap();
            guard[0] = 2;
            kill_myself()
        });
    }
    // Two living holders find room, and the neighbours of the dead are untouched.
    let guards = [array.lock(0..5).unwrap(), array.lock(90..).unwrap()];
    assert!(matches!(array.try_lock(5..6), Err(LockError::Failed(Error::TooManyGuards { limit: 2, .. }))));
    for start in [10, 30, 50, 70] {
        assert!(matches!(array.get(start), Err(Error::RangeOwnerDied { cause: Cause::Died, .. })));
    }
    assert_eq!(array.get(9).unwrap() + array.get(80).unwrap(), 2);
    drop(guards);
    // A range that names all of them repairs all of them.
    let Err(LockError::OwnerDied(outcome)) = array.lock(..) else { panic!("not told") };
    let mut guard = outcome.into_guard();
    guard.fill(1);
    guard.make_consistent().unwrap();
    drop(guard);
    assert_eq!(array.to_vec().unwrap(), vec![1; 100]);
    let _ = in_child(|| {
        array.grow(110, 1).unwrap();
        kill_myself()
    });
    array.grow(120, 1).unwrap();
    assert_eq!(array.lock(..).unwrap().to_vec(), vec![1; 120]);
}

#[test]
fn death_in_a_range_is_told_there_and_nowhere_else() {
    let name = format!("array-death-{}", std::process::id());
    let array = Array::create(&name, 100, 1u64).unwrap();
    let reader = Array::<u64>::builder().read_only(true).open(&name).unwrap();
    let _ = in_child(|| {
        array.lock(10..20).unwrap()[0] = 2;
        let mut guard = array.lock(10..20).unwrap();
        guard[5] = 2;
        kill_myself()
    });
    let torn = |result: Result<(), Error>| {
        matches!(result, Err(Error::RangeOwnerDied { start: 10, end: 20, cause: Cause::Died, .. }))
    };
    assert!(torn(reader.get(10).map(drop)));
    assert!(torn(array.get(19).map(drop)));
    assert!(torn(array.set(12, 1)));
    assert!(torn(reader.to_vec().map(drop)));
    assert_eq!(reader.get(9).unwrap() + array.get(20).unwrap(), 2);
    array.write(20, &[3; 80]).unwrap();
    let Err(LockError::OwnerDied(outcome)) = array.lock(15..25) else { panic!("not told") };
    let mut guard = outcome.into_guard();
    assert_eq!(guard.torn(), Some(10..20));
    assert!(torn(guard.make_consistent()));
    drop(guard);
    let Err(LockError::OwnerDied(outcome)) = array.lock(..) else { panic!("not told") };
    drop(outcome);
    let Err(LockError::OwnerDied(outcome)) = array.lock(10..20) else { panic!("not told again") };
    let mut guard = outcome.into_guard();
    guard.fill(1);
    guard.make_consistent().unwrap();
    drop(guard);
    assert_eq!(reader.to_vec().unwrap(), array.lock(..).unwrap().to_vec());
    Array::<u64>::unlink(&name).unwrap();
}

#[test]
fn a_panic_under_a_guard_is_told() {
    let array = Array::anonymous(10, 1u64).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = array.lock(2..4).unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(matches!(
        array.get(3),
        Err(Error::RangeOwnerDied { start: 2, end: 4, cause: Cause::Panicked, .. })
    ));
}

#[test]
fn copies_are_snapshots_while_others_write() {
    const LEN: usize = 300;
    let name = format!("array-snapshot-{}", std::process::id());
    let array = Array::create(&name, LEN, [0u64; 3]).unwrap();
    let reader = Array::<[u64; 3]>::builder().read_only(true).open(&name).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..3000u64 {
                array.write(0, &[[round; 3]; LEN]).unwrap();
                array.lock(..).unwrap().fill([round; 3]);
            }
        });
        while !writer.is_finished() {
            for handle in [&array, &reader] {
                let all = handle.to_vec().unwrap();
                assert!(all.iter().all(|element| *element == all[0]), "torn snapshot");
            }
            let one = reader.get(LEN - 1).unwrap();
            assert!(one.iter().all(|word| *word == one[0]), "torn element");
        }
    });
    Array::<[u64; 3]>::unlink(&name).unwrap();
}

#[test]
fn single_writers_and_claimers_never_meet() {
    let array = Array::anonymous(8, 0u64).unwrap();
    const ROUNDS: u64 = 30_000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..ROUNDS).for_each(|_| array.update(3, |count| *count += 1).unwrap()));
        }
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let mut guard = array.lock(2..5).unwrap();
                let before = guard[2];
                guard[2] = before + 1;
                assert_eq!(guard[2], before + 1);
                guard[1] += 1;
            }
        });
        scope.spawn(|| (0..ROUNDS).for_each(|i| array.set(2, i).unwrap()));
    });
    assert_eq!(array.get(3).unwrap(), 3 * ROUNDS);
    assert_eq!(array.get(4).unwrap(), ROUNDS);
}

#[test]
fn grows_in_place_for_everybody() {
    let array = Array::builder().anonymous(ArrayInit::filled(3, 1u16).max_len(100_000)).unwrap();
    let other = array.handle().attach().unwrap();
    array.grow(70_000, 9).unwrap();
    assert_eq!(other.len(), 70_000);
    assert_eq!(other.get(69_999).unwrap(), 9);
    other.grow(5, 1).unwrap();
    assert_eq!(array.len(), 70_000);
    assert!(matches!(array.grow(100_001, 0), Err(Error::BadSize { .. })));
}

#[test]
fn arrays_on_disk_survive_their_makers() {
    let directory = std::env::temp_dir().join(format!("procshare-array-{}", std::process::id()));
    let space = procshare::Space::at(&directory).open_or_create().unwrap();
    {
        let array = Array::builder().space(&space).create("kept", ArrayInit::elements([1u32, 2, 3])).unwrap();
        array.set(0, 9).unwrap();
        array.flush().unwrap();
    }
    let again = Array::<u32>::builder().space(&space).open("kept").unwrap();
    assert_eq!(again.to_vec().unwrap(), [9, 2, 3]);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_forked_child_uses_inherited_arrays() {
    let array = Array::anonymous(10, 0u64).unwrap();
    let guard = array.lock(0..1).unwrap();
    let exit = in_child(|| {
        assert!(matches!(array.try_set(0, 1), Err(Error::WouldBlock)));
        array.set(1, 5).unwrap();
    });
    assert!(matches!(exit, Exit::Clean), "{exit:?}");
    drop(guard);
    assert_eq!(array.get(1).unwrap(), 5);
    array.set(0, 1).unwrap();
}

#[test]
fn a_reader_who_may_not_write_passes_by_what_a_killed_writer_left() {
    let _watchdog = watchdog();
    let space = TestSpace::new();
    let array = Array::builder().space(&space.space).create("array", ArrayInit::filled(8, 5u64)).unwrap();
    let reader = Array::<u64>::builder().space(&space.space).read_only(true).open("array").unwrap();
    // The first stripe behind the head: taken for element 3 by a participant that is gone, as `set` leaves it when it is killed.
    space.scribble("array", 64, &(3u64 << 32 | 9 << 12 | 17).to_ne_bytes());
    assert_eq!(reader.to_vec().unwrap(), [5; 8]);
    assert_eq!(reader.get(3).unwrap(), 5);
    array.set(3, 6).unwrap();
    assert_eq!(reader.to_vec().unwrap()[3], 6);
}
