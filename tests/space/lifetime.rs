//! Who removes what, and when: scoped and named objects, pins, successors, garbage.

use std::fs;

use procshare::{Error, Lifetime, Lock, Space, Value};
use procshare_harness::Child;

use crate::support::{Dir, Flags, Home, SOON, alone, park};

fn value(home: &Home, name: &str, lifetime: Lifetime) -> Value<u64> {
    Value::builder().space(&home.space).lifetime(lifetime).create(name, 1).unwrap()
}

fn open(home: &Home, name: &str) -> Result<Value<u64>, Error> {
    Value::builder().space(&home.space).open(name)
}

#[test]
fn named_objects_stay_until_they_are_unlinked() {
    alone(|| {
        let home = Home::new();
        drop(value(&home, "it", Lifetime::Named));
        home.space.collect().unwrap();
        let user = open(&home, "it").unwrap();
        Value::<u64>::unlink(&home.dir.name("it")).unwrap();
        assert!(matches!(open(&home, "it"), Err(Error::NotFound { .. })));
        // Whoever is attached goes on.
        user.set(5).unwrap();
        assert_eq!(user.get().unwrap(), 5);
        let successor = value(&home, "it", Lifetime::Named);
        assert_eq!((successor.get().unwrap(), user.get().unwrap()), (1, 5));
    });
}

#[test]
fn scoped_objects_go_with_their_last_user_whoever_that_is() {
    alone(|| {
        let (home, flags) = (Home::new(), Flags::new());
        // Forked before there is anything to inherit: an inherited mapping keeps its object attached, too.
        let child = Child::fork(|| {
            flags.wait(0);
            let value = open(&home, "it").unwrap();
            flags.raise(1);
            flags.wait(2);
            assert_eq!(value.get().unwrap(), 1);
            drop(value);
            assert_eq!(home.dir.files(), Vec::<String>::new());
        });
        let first = value(&home, "it", Lifetime::Scoped);
        let second = open(&home, "it").unwrap();
        drop(first);
        assert_eq!(home.dir.files(), ["it"]);
        drop(second.clone());
        assert_eq!(home.dir.files(), ["it"]);
        flags.raise(0);
        flags.wait(1);
        drop(second);
        assert_eq!(home.dir.files(), ["it"]);
        flags.raise(2);
        child.wait(SOON).unwrap();
        assert!(matches!(open(&home, "it"), Err(Error::NotFound { .. })));
    });
}

#[test]
fn a_killed_last_user_leaves_garbage_that_the_next_one_collects() {
    alone(|| {
        let home = Home::new();
        let flags = Flags::new();
        let user = Child::fork(|| {
            let scoped = value(&home, "scoped", Lifetime::Scoped);
            let named = value(&home, "named", Lifetime::Named);
            let anonymous = Value::builder().space(&home.space).anonymous(1u64).unwrap();
            flags.raise(0);
            park();
            drop((scoped, named, anonymous));
        });
        flags.wait(0);
        assert_eq!(home.space.collect().unwrap(), Default::default(), "it is alive");
        assert_eq!(home.dir.files().len(), 3);
        let _ = user.kill();
        let collected = home.space.collect().unwrap();
        assert_eq!(collected.objects.len(), 2, "{collected:?}");
        assert!(collected.objects.contains(&"scoped".into()) && collected.remains.is_empty());
        assert_eq!(home.dir.files(), ["named"]);
    });
}

#[test]
fn entering_a_space_collects() {
    alone(|| {
        let dir = Dir::unmade();
        Child::fork(|| {
            let space = Space::at(dir.path()).open_or_create().unwrap();
            let builder = Lock::builder().space(&space).lifetime(Lifetime::Scoped);
            std::mem::forget(builder.create("garbage").unwrap());
            drop(Lock::builder().space(&space).create("kept").unwrap());
            std::fs::write(dir.path().join(".tmp-0123456789abcdef0123456789abcdef"), "half").unwrap();
            // Ends without a destructor.
        })
        .wait(SOON)
        .unwrap();
        assert_eq!(dir.files(), [".tmp-0123456789abcdef0123456789abcdef", "garbage", "kept"]);
        let _space = Space::at(dir.path()).open_or_create().unwrap();
        assert_eq!(dir.files(), ["kept"]);
    });
}

#[test]
fn collecting_takes_remains_and_leaves_what_it_does_not_know() {
    alone(|| {
        let home = Home::new();
        let dir = home.dir.path();
        let remains = [".tmp-00000000000000000000000000000abc", ".tmp-00000000000000000000000000000def"];
        fs::write(dir.join(remains[0]), "").unwrap();
        fs::write(dir.join(remains[1]), vec![1; 9000]).unwrap();
        // Other programs have hidden files, too, and a space can be in any directory.
        let others = [".anon-", ".tmp-", ".tmp-draft", ".tmp-000000000000000000000000000000xyz"];
        for name in others {
            fs::write(dir.join(name), "precious").unwrap();
        }
        fs::write(dir.join("foreign"), vec![1; 9000]).unwrap();
        fs::write(dir.join("empty"), "").unwrap();
        fs::create_dir(dir.join(".tmp-dir")).unwrap();
        let collected = home.space.collect().unwrap();
        assert_eq!(collected.remains, remains);
        assert_eq!(collected.objects, Vec::<String>::new());
        assert_eq!(
            home.dir.files(),
            [others[0], others[1], others[3], ".tmp-dir", others[2], "empty", "foreign"]
        );
    });
}

#[test]
fn an_old_owner_never_removes_a_successor() {
    alone(|| {
        let home = Home::new();
        for lifetime in [Lifetime::Named, Lifetime::Scoped] {
            let old = value(&home, "it", Lifetime::Scoped);
            Value::<u64>::unlink(&home.dir.name("it")).unwrap();
            let successor = value(&home, "it", lifetime);
            drop(old);
            successor.set(3).unwrap();
            assert_eq!(open(&home, "it").unwrap().get().unwrap(), 3);
            home.space.collect().unwrap();
            assert_eq!(home.dir.files(), ["it"]);
            drop(successor);
            let _ = Value::<u64>::unlink(&home.dir.name("it"));
            assert_eq!(home.dir.files(), Vec::<String>::new());
        }
    });
}

/// What a remover holds between its last look at the name and taking it away.
fn lock_as_remover(path: &std::path::Path) -> fs::File {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    // SAFETY: `flock` is plain C data for which all-zero is a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as libc::c_short, 1 << 40, 1 << 30);
    // SAFETY: the kernel reads `lock` only, which lives for the call.
    let result = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_OFD_SETLK, &lock) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    file
}

#[test]
fn a_remover_that_is_stopped_finds_no_successor_and_hangs_nobody() {
    alone(|| {
        let home = Home::new();
        Child::fork(|| std::mem::forget(value(&home, "it", Lifetime::Scoped))).wait(SOON).unwrap();
        let path = home.dir.path().join("it");
        let remover = lock_as_remover(&path);
        // A successor could only be there if the name was taken away under the remover's eyes.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                refused!(home.space.unlink("it"), Error::Io { .. }, "it", "end that process");
            });
            let made = Value::builder().space(&home.space).open_or_create("it", 1u64);
            refused!(made.map(drop), Error::Io { .. }, "it", "end that process");
        });
        fs::remove_file(&path).unwrap();
        drop(remover);
        let made = Value::builder().space(&home.space).open_or_create("it", 7u64).unwrap();
        home.space.unlink("it").unwrap();
        assert_eq!(made.get().unwrap(), 7);
    });
}

#[test]
fn a_guard_keeps_its_mapping_when_everybody_else_is_gone() {
    alone(|| {
        let home = Home::new();
        let value = value(&home, "it", Lifetime::Scoped);
        let other = value.clone();
        let mut guard = other.lock_in_place().unwrap();
        drop(value);
        Value::<u64>::unlink(&home.dir.name("it")).unwrap();
        *guard = 8;
        drop(guard);
        assert_eq!(other.get().unwrap(), 8);
    });
}

#[test]
fn a_failed_creation_leaves_nothing() {
    alone(|| {
        let home = Home::new();
        drop(value(&home, "it", Lifetime::Named));
        let before = home.dir.files();
        for _ in 0..3 {
            assert!(Value::builder().space(&home.space).create("it", 2u64).is_err());
            let scoped = Value::builder().space(&home.space).lifetime(Lifetime::Scoped);
            assert!(scoped.create("it", 2u64).is_err());
        }
        assert_eq!(home.dir.files(), before);
        assert_eq!(open(&home, "it").unwrap().get().unwrap(), 1);
    });
}

#[test]
fn a_removed_directory_is_found_out_and_can_be_made_again() {
    alone(|| {
        let dir = Dir::unmade();
        for round in 0..3 {
            let space = Space::at(dir.path()).open_or_create().unwrap();
            let value = Value::builder().space(&space).create("it", round).unwrap();
            assert_eq!(Value::<u64>::open(&dir.name("it")).unwrap().get().unwrap(), round);
            fs::remove_dir_all(dir.path()).unwrap();
            assert!(matches!(Value::<u64>::open(&dir.name("it")), Err(Error::NotFound { .. })));
            assert_eq!(value.get().unwrap(), round);
        }
    });
}
