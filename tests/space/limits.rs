//! What a process runs into that is full, limited or masked: typed errors, and never a signal.

use std::fs;

use procshare::inspect::Inspector;
use procshare::{Array, ArrayInit, Error, Lock, SharedMemory, Space, Trust};
use procshare_harness::Child;

use crate::bad_input::on_a_small_file_system;
use crate::support::{Dir, Home, SOON, become_user, guarded, prepared_child};

#[test]
fn a_look_at_a_hole_needs_no_memory() {
    guarded(|| {
        on_a_small_file_system(|dir| {
            let space = Space::at(dir.path()).participants(8).open_or_create().unwrap();
            for name in ["sparse", ".tmp-00000000000000000000000000000000"] {
                fs::File::create(dir.path().join(name)).unwrap().set_len(1 << 20).unwrap();
            }
            // The last page: a mapped hole could not be read any more.
            let filler = fs::File::create(dir.path().join("filler")).unwrap();
            let mut written = 0;
            while std::os::unix::fs::FileExt::write_at(&filler, &[1; 4096], written).is_ok() {
                written += 4096;
            }
            for open in [true, false] {
                let result = Lock::builder().space(&space).read_only(open).open("sparse");
                refused!(result, Error::NotASegment { .. }, "sparse", "hole");
            }
            let seen = Inspector::open(dir.path(), Trust::Owner).unwrap().entry("sparse").unwrap();
            assert!(matches!(seen.content, Err(Error::NotASegment { .. })), "{:?}", seen.content);
            space.collect().unwrap();
            space.unlink("sparse").unwrap();
        });
    });
}

#[test]
fn growing_asks_for_no_more_than_is_missing() {
    guarded(|| {
        on_a_small_file_system(|dir| {
            let space = Space::at(dir.path()).participants(8).open_or_create().unwrap();
            let init = ArrayInit::filled(600_000, 1u8).max_len(1 << 20);
            let array = Array::builder().space(&space).create("it", init).unwrap();
            array.grow(900_000, 2).unwrap();
            assert_eq!(array.get(899_999).unwrap(), 2);
            refused!(array.grow(1 << 20, 3), Error::NoSpace { .. }, "it", "bytes needed");
            Array::<u8>::builder().space(&space).unlink("it").unwrap();
            refused!(array.grow(900_001, 3), Error::Gone { .. }, "it");
            assert_eq!(array.len(), 900_000);
        });
    });
}

#[test]
fn the_limit_of_file_sizes_is_an_error() {
    let home = Home::new();
    let init = ArrayInit::filled(10, 1u8).max_len(1 << 16);
    Child::fork(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 17, rlim_max: 1 << 17 };
        // SAFETY: changes a limit of the calling process only.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        let make = |name, size| SharedMemory::builder().space(&home.space).create(name, size);
        refused!(make("large", 1 << 17), Error::NoSpace { .. }, "large", "ulimit -f");
        make("small", 1 << 16).unwrap();
        Array::builder().space(&home.space).create("it", init).unwrap().grow(1 << 16, 2).unwrap();
    })
    .wait(SOON)
    .unwrap();
    assert_eq!(home.dir.files(), ["it", "small"]);
}

#[test]
fn no_umask_takes_the_owners_rights() {
    let dir = Dir::with_mode(0o777);
    let path = dir.path().join("space");
    let work = || {
        // SAFETY: changes the mask of the calling process only.
        unsafe { libc::umask(0o777) };
        let space = Space::at(&path).open_or_create().unwrap();
        let made = Lock::builder().space(&space).create("it").unwrap();
        let opened = Lock::builder().space(&space).open("it").unwrap();
        let _guard = made.lock().unwrap();
        assert!(opened.try_lock().is_err());
    };
    if let Some(child) = prepared_child("a umask", || become_user(12345, 12345), work) {
        child.wait(SOON).unwrap();
    }
}

#[test]
fn spaces_that_are_gone_keep_no_descriptors() {
    let work = || {
        let dir = Dir::with_mode(0o700);
        let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open_files();
        let kept = Space::at(dir.path().join("kept")).open_or_create().unwrap();
        let lock = Lock::builder().space(&kept).create("it").unwrap();
        for job in 0..300 {
            let path = dir.path().join(format!("job-{job}"));
            let space = Space::at(&path).open_or_create().unwrap();
            drop(Lock::builder().space(&space).create("it").unwrap());
            fs::remove_dir_all(&path).unwrap();
        }
        assert!(open_files() < before + 100, "{} open files after, {before} before", open_files());
        let me = kept.join().unwrap();
        let _guard = lock.lock().unwrap();
        assert_eq!(Space::at(dir.path().join("kept")).open().unwrap().join().unwrap(), me);
    };
    Child::fork(work).wait(SOON).unwrap();
}

#[test]
fn a_space_without_ids_says_so_and_gives_none_twice() {
    const LAST: u32 = (1 << 18) - 1;
    let dir = Dir::unmade();
    let space = Space::at(dir.path()).participants(2).open_or_create().unwrap();
    let registry = fs::File::options().write(true).open(dir.path().join(".registry")).unwrap();
    for slot in 0..2 {
        let at = 256 + 64 + slot * 64;
        std::os::unix::fs::FileExt::write_all_at(&registry, &(LAST - 1).to_ne_bytes(), at).unwrap();
    }
    for _ in 0..2 {
        Child::fork(|| assert_eq!(space.join().unwrap().generation(), LAST)).wait(SOON).unwrap();
    }
    refused!(space.join(), Error::SpaceWornOut { capacity: 2, .. }, "no ids left", ".registry");
}
