//! `Value`: whole at every instant.

use procshare::bytemuck::{CheckedBitPattern, NoUninit};
use procshare::{Cause, Error, LockError, Plain, Value};

#[derive(Clone, Copy, PartialEq, Debug, NoUninit, CheckedBitPattern, Plain)]
#[repr(C)]
struct Pair {
    left: u64,
    right: u64,
}

#[derive(Clone, Copy, PartialEq, Debug, NoUninit, CheckedBitPattern, Plain)]
#[repr(u8)]
enum Colour {
    Red = 1,
    Green = 2,
}

fn in_child(work: impl FnOnce()) -> i32 {
    // SAFETY: the child only runs `work` and ends without unwinding into the test runner.
    match unsafe { libc::fork() } {
        0 => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 101 }) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: the child is ours.
            unsafe { libc::waitpid(pid, &mut status, 0) };
            status
        }
    }
}

fn kill_myself() -> ! {
    // SAFETY: kills the calling process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("SIGKILL cannot be survived")
}

#[test]
fn get_set_update_replace_compare_exchange() {
    let value = Value::anonymous(Pair { left: 1, right: 2 }).unwrap();
    assert_eq!(value.get().unwrap(), Pair { left: 1, right: 2 });
    value.set(Pair { left: 3, right: 4 }).unwrap();
    assert_eq!(
        value
            .update(|pair| {
                pair.left += 1;
                pair.right
            })
            .unwrap(),
        4
    );
    assert_eq!(value.replace(Pair { left: 0, right: 0 }).unwrap(), Pair { left: 4, right: 4 });
    let zero = Pair { left: 0, right: 0 };
    assert_eq!(value.compare_exchange(&zero, Pair { left: 9, right: 9 }).unwrap(), Ok(zero));
    assert_eq!(value.compare_exchange(&zero, zero).unwrap(), Err(Pair { left: 9, right: 9 }));
}

#[test]
fn a_value_is_copied_to_where_it_shall_be() {
    let large = Value::<[u64; 512]>::anonymous([1; 512]).unwrap();
    let mut mine = [0; 512];
    large.get_into(&mut mine).unwrap();
    assert_eq!(mine, [1; 512]);
    let checked = Value::<bool>::anonymous(true).unwrap();
    let mut mine = false;
    checked.get_into(&mut mine).unwrap();
    assert!(mine);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (2..2_000).for_each(|n| large.set([n; 512]).unwrap()));
        let (mut mine, mut last) = ([0; 512], 0);
        while !writer.is_finished() {
            large.get_into(&mut mine).unwrap();
            assert!(
                mine.iter().all(|word| *word == mine[0]) && mine[0] >= last,
                "torn, or older than before"
            );
            last = mine[0];
        }
    });
    let held = large.lock_in_place().unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut mine = [0; 512];
            large.get_into(&mut mine).map(|()| mine[511])
        });
        drop(held);
        assert_eq!(reader.join().unwrap().unwrap(), 1_999);
    });
}

#[test]
fn a_guard_commits_on_drop_and_not_on_panic_or_discard() {
    let value = Value::anonymous(1u64).unwrap();
    *value.lock().unwrap() = 2;
    assert_eq!(value.get().unwrap(), 2);
    let mut guard = value.lock().unwrap();
    *guard = 3;
    guard.discard();
    assert_eq!(value.get().unwrap(), 2);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut guard = value.lock().unwrap();
        *guard = 4;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(value.get().unwrap(), 2);
    assert_eq!(*value.lock().unwrap(), 2, "a panic under a copying guard leaves nothing to repair");
}

#[test]
fn the_calling_thread_cannot_deadlock_itself() {
    let value = Value::anonymous(1u64).unwrap();
    let _guard = value.lock().unwrap();
    assert!(matches!(value.set(2), Err(Error::Deadlock)));
    assert!(matches!(value.lock(), Err(LockError::Deadlock)));
    assert_eq!(value.get().unwrap(), 1, "readers need no lock");
}

#[test]
fn death_under_a_copying_guard_leaves_the_old_value_in_silence() {
    let value = Value::anonymous(Pair { left: 1, right: 1 }).unwrap();
    in_child(|| {
        let mut guard = value.lock().unwrap();
        guard.left = 2;
        kill_myself()
    });
    assert_eq!(value.get().unwrap(), Pair { left: 1, right: 1 });
    value.update(|pair| pair.right = 5).unwrap();
    assert_eq!(value.get().unwrap(), Pair { left: 1, right: 5 });
}

#[test]
fn death_under_an_in_place_guard_is_told_until_made_consistent() {
    let name = format!("value-in-place-{}", std::process::id());
    let value = Value::create(&name, Pair { left: 1, right: 1 }).unwrap();
    let reader = Value::<Pair>::builder().read_only(true).open(&name).unwrap();
    in_child(|| {
        let mut guard = value.lock_in_place().unwrap();
        guard.left = 2;
        kill_myself()
    });
    assert!(matches!(reader.get(), Err(Error::OwnerDied { cause: Cause::Died })));
    assert!(matches!(value.get(), Err(Error::OwnerDied { cause: Cause::Died })));
    assert!(matches!(value.update(|_| ()), Err(Error::OwnerDied { .. })));
    match value.lock() {
        // Dropped without being made consistent: the next one is told again.
        Err(LockError::OwnerDied(outcome)) => drop(outcome),
        other => panic!("{other:?}"),
    }
    assert!(matches!(reader.get(), Err(Error::OwnerDied { .. })));
    match value.lock_in_place() {
        Err(LockError::OwnerDied(outcome)) => {
            let mut guard = outcome.into_guard();
            *guard = Pair { left: 7, right: 7 };
            guard.make_consistent();
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(value.get().unwrap(), Pair { left: 7, right: 7 });
    assert_eq!(reader.get().unwrap(), Pair { left: 7, right: 7 });
    drop(value.lock().unwrap());
    Value::<Pair>::unlink(&name).unwrap();
}

#[test]
fn set_heals() {
    let value = Value::anonymous(1u64).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut guard = value.lock_in_place().unwrap();
        *guard = 4;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(matches!(value.get(), Err(Error::OwnerDied { cause: Cause::Panicked })));
    value.set(6).unwrap();
    assert_eq!(value.get().unwrap(), 6);
    assert!(value.lock().is_ok());
}

#[test]
fn readers_wait_for_a_living_editor_and_see_whole_values() {
    let name = format!("value-reader-{}", std::process::id());
    let value = Value::create(&name, [0u64; 64]).unwrap();
    let reader = Value::<[u64; 64]>::builder().read_only(true).open(&name).unwrap();
    assert!(matches!(reader.set([1; 64]), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.lock(), Err(LockError::Failed(Error::ReadOnly { .. }))));
    {
        let guard = value.lock_in_place().unwrap();
        assert!(matches!(reader.try_get(), Err(Error::WouldBlock)));
        assert!(matches!(reader.get_timeout(std::time::Duration::from_millis(3)), Err(Error::TimedOut)));
        drop(guard);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 1..20_000u64 {
                if i % 3 == 0 {
                    value.lock_in_place().unwrap().fill(i);
                } else {
                    value.set([i; 64]).unwrap();
                }
            }
        });
        for handle in [&reader, &value] {
            let mut last = 0;
            while last < 15_000 {
                let seen = handle.get().unwrap();
                assert!(seen.iter().all(|&word| word == seen[0]), "torn: {seen:?}");
                assert!(seen[0] >= last);
                last = seen[0];
            }
        }
    });
    Value::<[u64; 64]>::unlink(&name).unwrap();
}

#[test]
fn a_wrong_type_is_refused_and_invalid_bytes_are_an_error() {
    let name = format!("value-type-{}", std::process::id());
    let value = Value::create(&name, Colour::Red).unwrap();
    assert!(matches!(Value::<u8>::open(&name), Err(Error::WrongType { .. })));
    value.set(Colour::Green).unwrap();
    assert_eq!(value.get().unwrap(), Colour::Green);
    // A foreign program writes garbage over both slots.
    let path = procshare::Space::default_space().unwrap().directory().join(&name);
    procshare::simulation::overwrite(&path, 256 + 32, &[7; 16]).unwrap();
    assert!(matches!(value.get(), Err(Error::InvalidBits { .. })));
    assert!(matches!(value.lock(), Err(LockError::Failed(Error::InvalidBits { .. }))));
    assert!(matches!(value.lock_in_place(), Err(LockError::Failed(Error::InvalidBits { .. }))));
    value.set(Colour::Red).unwrap();
    assert_eq!(value.get().unwrap(), Colour::Red);
    Value::<Colour>::unlink(&name).unwrap();
}

#[test]
fn a_forked_child_joins_and_counts() {
    let value = Value::anonymous(0u64).unwrap();
    let guard = value.lock().unwrap();
    let child = in_child(|| {
        drop(value.try_lock().expect_err("the parent holds it"));
    });
    assert_eq!(child, 0);
    drop(guard);
    assert_eq!(in_child(|| value.update(|count| *count += 1).unwrap()), 0);
    assert_eq!(value.get().unwrap(), 1);
}

#[test]
fn a_value_larger_than_the_stack_is_locked_in_place() {
    type Large = [u8; 4 << 20];
    let value = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(|| Value::<Large>::anonymous([7; 4 << 20]).unwrap())
        .unwrap()
        .join()
        .unwrap();
    let small = std::thread::Builder::new().stack_size(1 << 20);
    small
        .spawn(move || {
            let mut guard = value.lock_in_place().map_err(drop).unwrap();
            guard[1 << 20] += 1;
            assert_eq!(guard[1 << 20], 8);
        })
        .unwrap()
        .join()
        .unwrap();
}
