//! Files that are no segments, names that are no names, sizes that no object can have: typed errors, and nothing left.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use procshare::bytemuck::{CheckedBitPattern, NoUninit};
use procshare::{
    Array, ArrayInit, AtomicArray, AtomicContents, Error, Kind, Lock, LockArray, LockError, Plain, Space,
    Value,
};
use procshare_harness::Child;

use crate::support::{
    Dir, Flags, Home, SOON, become_user, guarded, park, permitted, prepared_child, unshare,
};

/// Offsets in the header, as `docs/layout.md` gives them.
const VERSION: u64 = 8;
const BACKEND: u64 = 12;
const KIND: u64 = 16;
const TOTAL: u64 = 24;
const BODY: u64 = 32;

fn patch(home: &Home, at: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(home.dir.path().join("it")).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// Opens the value `it` every way there is; all say the same.
fn open(home: &Home) -> Result<(), Error> {
    let read_only = Value::<u64>::builder().space(&home.space).read_only(true).open("it").map(drop);
    let by_path = Value::<u64>::open(&home.dir.name("it")).map(drop);
    let again = Value::<u64>::builder().space(&home.space).open_or_create("it", 1).map(drop);
    let opened = Value::<u64>::builder().space(&home.space).open("it").map(drop);
    for other in [read_only, by_path, again] {
        assert_eq!(format!("{other:?}"), format!("{opened:?}"));
    }
    opened
}

fn value_at_home() -> Home {
    let home = Home::new();
    drop(Value::builder().space(&home.space).create("it", 1u64).unwrap());
    home
}

#[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
#[repr(C)]
struct Pair {
    left: u32,
    right: u32,
}

#[test]
fn another_type_is_refused_by_name() {
    let home = value_at_home();
    refused!(
        Value::<i64>::builder().space(&home.space).open("it"),
        Error::WrongType { .. },
        "it",
        "u64",
        "i64"
    );
    refused!(
        Value::<Pair>::builder().space(&home.space).open("it"),
        Error::WrongType { .. },
        "Pair",
        "8 bytes"
    );
    refused!(Value::<[u64; 1]>::builder().space(&home.space).open("it"), Error::WrongType { .. }, "it");
}

#[test]
fn another_kind_is_refused() {
    let home = value_at_home();
    refused!(
        Lock::builder().space(&home.space).open("it"),
        Error::WrongKind { expected: Kind::Lock, found: Kind::Value, .. },
        "it",
        "of kind Value, not Lock"
    );
    refused!(Array::<u64>::builder().space(&home.space).open("it"), Error::WrongKind { .. }, "not Array");
    refused!(AtomicArray::<u64>::builder().space(&home.space).open("it"), Error::WrongKind { .. }, "it");
    refused!(LockArray::builder().space(&home.space).open("it"), Error::WrongKind { .. }, "it");
}

#[test]
fn headers_are_checked_field_by_field() {
    let home = value_at_home();
    let whole = fs::read(home.dir.path().join("it")).unwrap();
    patch(&home, VERSION, &9u32.to_ne_bytes());
    refused!(open(&home), Error::WrongVersion { expected: 1, found: 9, .. }, "it", "same release");
    patch(&home, 0, &whole);
    patch(&home, BACKEND, &2u32.to_ne_bytes());
    refused!(open(&home), Error::WrongBackend { .. }, "it", "portable", "linux", "same features");
    patch(&home, BACKEND, &77u32.to_ne_bytes());
    refused!(open(&home), Error::WrongBackend { .. }, "number 77");
    patch(&home, 0, &whole);
    patch(&home, KIND, &99_999u32.to_ne_bytes());
    refused!(open(&home), Error::NotASegment { what: "kind", .. }, "99999");
    patch(&home, 0, &whole);
    patch(&home, 0, b"notours!");
    refused!(open(&home), Error::NotASegment { what: "magic", .. }, "procshr", "notours!");
    patch(&home, 0, &whole);
    for length in [0, 1, u64::MAX, whole.len() as u64 + 1] {
        patch(&home, TOTAL, &length.to_ne_bytes());
        refused!(open(&home), Error::NotASegment { what: "length", .. }, "it");
    }
    patch(&home, 0, &whole);
    for length in [u64::MAX, u64::MAX - 255, whole.len() as u64, 8] {
        patch(&home, BODY, &length.to_ne_bytes());
        refused!(open(&home), Error::NotASegment { .. }, "it", "expected", "found");
    }
    patch(&home, 0, &whole);
    open(&home).unwrap();
}

#[test]
fn a_registry_of_another_version_or_backend_is_refused() {
    for (at, wrong) in [(VERSION, 3u32), (BACKEND, 2), (KIND, 1)] {
        let home = Home::new();
        let file = fs::read(home.dir.path().join(".registry")).unwrap();
        let dir = Dir::with_mode(0o700);
        let mut file = file;
        file[at as usize..at as usize + 4].copy_from_slice(&wrong.to_ne_bytes());
        fs::write(dir.path().join(".registry"), file).unwrap();
        let entered = Space::at(dir.path()).open_or_create();
        match at {
            VERSION => refused!(entered, Error::WrongVersion { found: 3, .. }, ".registry"),
            BACKEND => refused!(entered, Error::WrongBackend { .. }, "portable"),
            _ => refused!(entered, Error::WrongKind { .. }, "Lock"),
        }
        assert_eq!(dir.files(), Vec::<String>::new());
    }
}

#[test]
fn files_of_any_length_are_refused() {
    let home = value_at_home();
    let whole = fs::read(home.dir.path().join("it")).unwrap();
    let path = home.dir.path().join("it");
    fs::write(&path, "").unwrap();
    refused!(open(&home), Error::NotASegment { what: "length", .. }, "an empty file", "256");
    for length in [1, 8, 255, 256, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        refused!(open(&home), Error::NotASegment { what: "length", .. }, "it", "remove the file");
    }
    fs::write(&path, "#!/bin/sh\necho a foreign file\n".repeat(40)).unwrap();
    refused!(open(&home), Error::NotASegment { what: "magic", .. }, "it");
    fs::write(&path, vec![0; 5000]).unwrap();
    refused!(open(&home), Error::NotASegment { what: "magic", .. }, "zeros");
    // A hole of 64 TiB costs nobody memory.
    fs::write(&path, &whole).unwrap();
    let huge = fs::OpenOptions::new().write(true).open(&path).unwrap();
    huge.set_len(1 << 46).unwrap();
    refused!(open(&home), Error::NotASegment { .. } | Error::Io { .. }, "it");
    huge.set_len(whole.len() as u64).unwrap();
    open(&home).unwrap();
    // Collecting leaves foreign files alone.
    fs::write(home.dir.path().join("notes.txt"), "mine").unwrap();
    home.space.collect().unwrap();
    assert_eq!(home.dir.files(), ["it", "notes.txt"]);
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    guarded(|| {
        let home = Home::new();
        let path = home.dir.path().join("it");
        let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a C string that lives for the call.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
        refused!(open(&home), Error::NotASegment { what: "file type", .. }, "it", "regular");
        refused!(
            Value::builder().space(&home.space).create("it", 1u64),
            Error::AlreadyExists { .. },
            "it",
            "open_or_create"
        );
        home.space.collect().unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused!(open(&home), Error::NotASegment { what: "file type", .. }, "it", "directory");
        refused!(
            Value::<u64>::builder().space(&home.space).unlink("it"),
            Error::NotASegment { .. },
            "a directory"
        );
        fs::remove_dir(&path).unwrap();
        let target = home.dir.path().join("target");
        drop(Value::builder().space(&home.space).create("target", 1u64).unwrap());
        std::os::unix::fs::symlink(&target, &path).unwrap();
        refused!(open(&home), Error::NotASegment { what: "file type", .. }, "it", "symbolic link");
        home.space.collect().unwrap();
        assert_eq!(home.dir.files(), ["it", "target"]);
    });
}

#[test]
fn names_that_are_no_names() {
    let long = "x".repeat(201);
    for name in
        ["", ".hidden", "..", "a b", "a\0b", "na\u{ef}ve", "a\nb", "%s", "/", "a/", "a/b/c", "../x", &long]
    {
        refused!(Lock::create(name), Error::BadName { .. }, "cannot name an object");
        refused!(Lock::open(name), Error::BadName { .. }, "A-Z");
        refused!(Lock::unlink(name), Error::BadName { .. }, "A-Z");
    }
    let home = Home::new();
    let longest = "y".repeat(200);
    drop(Lock::builder().space(&home.space).create(&longest).unwrap());
    assert_eq!(home.dir.files(), [longest]);
    refused!(Space::named("a/b").map(drop), Error::BadName { .. }, "a/b");
    refused!(
        Lock::open("/no/such/directory/it"),
        Error::NotFound { .. },
        "/no/such/directory/it",
        "create it first"
    );
    refused!(Lock::open("no-such-space-at-all/it"), Error::NotFound { .. }, "no-such-space-at-all/it");
    assert!(!Space::root().join("no-such-space-at-all").exists(), "opening made a space");
}

#[test]
fn missing_and_taken_names() {
    let home = value_at_home();
    refused!(
        Value::<u64>::builder().space(&home.space).open("absent"),
        Error::NotFound { .. },
        "absent",
        "open_or_create"
    );
    refused!(Value::<u64>::builder().space(&home.space).unlink("absent"), Error::NotFound { .. }, "absent");
    refused!(
        Value::builder().space(&home.space).create("it", 2u64),
        Error::AlreadyExists { .. },
        "it",
        "unlink"
    );
    refused!(Lock::builder().space(&home.space).open_or_create("it"), Error::WrongKind { .. }, "it");
    assert_eq!(Value::<u64>::open(&home.dir.name("it")).unwrap().get().unwrap(), 1);
    assert_eq!(home.dir.files(), ["it"]);
}

#[test]
fn sizes_that_no_array_can_have() {
    let home = Home::new();
    let make = |init| Array::<u64>::builder().space(&home.space).create("it", init);
    refused!(make(ArrayInit::filled(0, 1)), Error::BadSize { found: 0, .. }, "it", "at least one element");
    for len in [usize::MAX, usize::MAX / 8, isize::MAX as usize / 8, 1 << 60] {
        refused!(make(ArrayInit::filled(len, 1)), Error::BadSize { .. } | Error::NoSpace { .. }, "it");
        refused!(
            make(ArrayInit::filled(1, 1).max_len(len)),
            Error::BadSize { .. } | Error::NoSpace { .. } | Error::Io { .. },
            "it"
        );
    }
    refused!(
        make(ArrayInit::filled(5, 1).max_len(4)),
        Error::BadSize { found: 4, .. },
        "at least its length"
    );
    refused!(make(ArrayInit::filled(5, 1).guards(0)), Error::BadSize { found: 0, .. }, "1 to 4096");
    refused!(
        AtomicArray::<u64>::builder().space(&home.space).create("it", AtomicContents::Filled(0, 1)),
        Error::BadSize { .. },
        "it"
    );
    refused!(LockArray::builder().space(&home.space).create("it", 0), Error::BadSize { .. }, "it");
    refused!(
        LockArray::builder().space(&home.space).create("it", usize::MAX),
        Error::BadSize { .. } | Error::NoSpace { .. },
        "it"
    );
    assert_eq!(home.dir.files(), Vec::<String>::new());
}

#[test]
fn timeouts_beyond_the_clock_are_for_ever_and_small_ones_pass() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        for timeout in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
            drop(lock.lock_timeout(timeout).unwrap());
            let waiter = {
                let guard = lock.lock().unwrap();
                let flags = Flags::new();
                let waiter = Child::fork(|| {
                    flags.raise(0);
                    drop(lock.lock_timeout(timeout).unwrap());
                });
                flags.wait(0);
                drop(guard);
                waiter
            };
            waiter.wait(SOON).unwrap();
        }
        let _guard = lock.lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(3)] {
                    assert!(matches!(lock.lock_timeout(timeout), Err(LockError::TimedOut)));
                }
            });
        });
    });
}

#[test]
fn more_participants_than_slots() {
    guarded(|| {
        let dir = Dir::unmade();
        let space = Space::at(dir.path()).participants(2).open_or_create().unwrap();
        let lock = Lock::builder().space(&space).create("it").unwrap();
        let flags = Flags::new();
        let guest = Child::fork(|| {
            space.join().unwrap();
            flags.raise(0);
            park();
        });
        flags.wait(0);
        Child::fork(|| {
            refused!(space.join(), Error::SpaceFull { capacity: 2, .. }, "all 2", "more participants");
            refused!(lock.lock(), Error::SpaceFull { .. }, "no free slot");
            refused!(Lock::builder().space(&space).create("other"), Error::SpaceFull { .. }, "no free slot");
            // A reader needs no slot.
            drop(Lock::builder().space(&space).read_only(true).open("it").unwrap());
        })
        .wait(SOON)
        .unwrap();
        let _ = guest.kill();
        Child::fork(|| assert!(space.join().is_ok())).wait(SOON).unwrap();
        assert_eq!(dir.files(), ["it"]);
    });
}

/// A small memory file system of its own, in a mount namespace of its own.
pub(crate) fn on_a_small_file_system(work: impl FnOnce(&Dir)) {
    let dir = Dir::with_mode(0o700);
    let mount = || {
        unshare(libc::CLONE_NEWNS)?;
        let target = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
        // SAFETY: C strings that live for the calls; the mounts exist in this process's namespace only.
        unsafe {
            let private = libc::MS_REC | libc::MS_PRIVATE;
            permitted(
                "mount",
                libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()),
            )?;
            let options = c"size=1m,mode=700".as_ptr().cast();
            permitted("mount", libc::mount(c"none".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, options))
        }
    };
    if let Some(child) = prepared_child("a full memory file system", mount, || work(&dir)) {
        child.wait(SOON).unwrap();
    }
}

#[test]
fn a_full_memory_file_system_is_an_error_before_anything_is_written() {
    guarded(|| {
        on_a_small_file_system(|dir| {
            let space = Space::at(dir.path()).participants(8).open_or_create().unwrap();
            let make = |name: &str, len| {
                Array::<u64>::builder().space(&space).create(name, ArrayInit::filled(len, 1))
            };
            refused!(
                make("large", 1 << 20),
                Error::NoSpace { .. },
                "large",
                "bytes needed",
                "enlarge the file system"
            );
            assert_eq!(dir.files(), Vec::<String>::new());
            let mut made = 0;
            let error = loop {
                match make(&format!("small-{made}"), 4000) {
                    Ok(_) => made += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
            assert!(made > 20, "only {made} arrays of 32 KB in 1 MB");
            assert_eq!(dir.files().len(), made);
            // What is there still works, and so does growing as far as there is room: not at all.
            let growing = Array::<u64>::open(&dir.name("small-0")).unwrap();
            growing.write(0, &[2; 4000]).unwrap();
            assert_eq!(growing.to_vec().unwrap(), [2; 4000]);
            Array::<u64>::builder().space(&space).unlink("small-1").unwrap();
            let init = ArrayInit::filled(10, 1u64).max_len(1 << 20);
            let growing = Array::builder().space(&space).create("growing", init).unwrap();
            refused!(growing.grow(1 << 20, 1), Error::NoSpace { .. }, "growing");
            assert_eq!(growing.to_vec().unwrap(), [1; 10]);
            growing.grow(11, 1).unwrap();
        });
    });
}

#[test]
fn a_space_on_a_full_file_system_is_an_error() {
    guarded(|| {
        on_a_small_file_system(|dir| {
            let filler = fs::File::create(dir.path().join("filler")).unwrap();
            let mut written = 0;
            while filler.write_at(&[1; 4096], written).is_ok() {
                written += 4096;
            }
            refused!(Space::at(dir.path()).open_or_create(), Error::NoSpace { .. }, "free memory");
            assert_eq!(dir.files(), ["filler"]);
            assert!(!dir.path().join(".registry").exists());
        });
    });
}

#[test]
fn an_array_larger_than_all_memory_is_refused_before_it_is_allocated() {
    let home = Home::new();
    let make =
        |len: usize| Array::<u64>::builder().space(&home.space).create("it", ArrayInit::filled(len, 1));
    for bytes in [1usize << 42, 1 << 45, 1 << 50] {
        refused!(make(bytes / 8), Error::NoSpace { .. }, "it", "available");
    }
    assert_eq!(home.dir.files(), Vec::<String>::new());
}

#[test]
fn no_permission_is_told_with_the_file() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        crate::support::set_mode(home.dir.path(), 0o755);
        let foreign = Dir::with_mode(0o755);
        // Made by another process: this one has not entered it, and so has nothing to pass on.
        Child::fork(|| {
            let space = Space::at(foreign.path()).open_or_create().unwrap();
            drop(Lock::builder().space(&space).create("it").unwrap());
        })
        .wait(SOON)
        .unwrap();
        let stranger = prepared_child(
            "another user",
            || become_user(65_534, 65_534),
            || {
                refused!(Lock::open(&foreign.name("it")), Error::UntrustedDirectory { .. }, "another user");
                let trusting = Space::at(foreign.path()).trust(procshare::Trust::Anyone);
                refused!(trusting.open(), Error::PermissionDenied { .. }, "permission", "wider trust");
                // A handle is inherited with its memory; what is refused is to join.
                refused!(lock.lock(), Error::PermissionDenied { .. }, "permission", ".registry");
                refused!(Lock::open(&home.dir.name("it")), Error::PermissionDenied { .. }, "permission");
                let unwritable = Space::at(foreign.path().join("below")).open_or_create();
                refused!(unwritable, Error::PermissionDenied { .. }, "below");
            },
        );
        if let Some(stranger) = stranger {
            stranger.wait(SOON).unwrap();
        }
        drop(lock.lock().unwrap());
        assert_eq!(foreign.files(), ["it"]);
    });
}
