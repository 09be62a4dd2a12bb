//! Kernels and file systems that lack something: another way, or an error that says what is missing.

use procshare::{Array, ArrayInit, Error, Lock, Space, Value};
use procshare_harness::Child;

use crate::seccomp::{NO_UNNAMED_FILES, Refuse, refuse};
use crate::support::{Dir, Flags, Refused, SOON, guarded, holder, is_held, park, prepared_child, recover};

/// Whatever its arguments are.
fn always(call: libc::c_long, errno: libc::c_int) -> Refuse {
    Refuse { call, argument: 0, mask: 0, bits: 0, errno }
}

/// Where the argument is exactly this.
fn with(call: libc::c_long, argument: u32, bits: u32, errno: libc::c_int) -> Refuse {
    Refuse { call, argument, mask: u32::MAX, bits, errno }
}

/// Runs `work` where these calls are refused.
fn without(what: &str, calls: &[Refuse], work: impl FnOnce(&Dir)) {
    guarded(|| {
        let dir = Dir::with_mode(0o700);
        let prepare = || refuse(calls).map_err(|error| Refused::new(format!("seccomp: {error}")));
        if let Some(child) = prepared_child(what, prepare, || work(&dir)) {
            child.wait(SOON).unwrap();
        }
    });
}

/// The whole way of an object: made, met by name, held, recovered from a death, unlinked.
fn works(dir: &Dir) {
    let space = Space::at(dir.path()).open_or_create().unwrap();
    let lock = Lock::builder().space(&space).create("it").unwrap();
    refused!(Lock::builder().space(&space).create("it"), Error::AlreadyExists { .. }, "it");
    let dead = holder(&Lock::open(&dir.name("it")).unwrap());
    assert!(is_held(&lock));
    let _ = dead.kill();
    recover(&lock);
    Child::fork(|| assert_ne!(space.join().unwrap().to_bits(), 0)).wait(SOON).unwrap();
    let array = Array::builder().space(&space).create("array", ArrayInit::filled(5000, 1u64).max_len(9000));
    let array = array.unwrap();
    array.grow(9000, 2).unwrap();
    assert_eq!(array.to_vec().unwrap().iter().sum::<u64>(), 5000 + 8000);
    drop(Value::builder().space(&space).anonymous(1u64).unwrap());
    assert_eq!(dir.files(), ["array", "it"]);
    // A holding is not inherited, whatever tells the child that it is a child.
    let guard = lock.lock().unwrap();
    let flags = Flags::new();
    let child = Child::fork(|| {
        assert!(is_held(&lock));
        flags.raise(0);
        park();
    });
    flags.wait(0);
    drop(guard);
    drop(lock.lock().unwrap());
    let _ = child.kill();
}

#[test]
fn without_unnamed_files() {
    without("a file system without O_TMPFILE", &[NO_UNNAMED_FILES], works);
}

#[test]
fn without_links_from_descriptors() {
    let empty_path = with(libc::SYS_linkat, 4, libc::AT_EMPTY_PATH as u32, libc::ENOENT);
    without("a kernel that links through /proc only", &[empty_path], works);
}

#[test]
fn without_preallocation() {
    without("a file system without fallocate", &[always(libc::SYS_fallocate, libc::EOPNOTSUPP)], works);
}

#[test]
fn without_pages_that_fork_wipes() {
    let wipe = with(libc::SYS_madvise, 2, libc::MADV_WIPEONFORK as u32, libc::EINVAL);
    without("a kernel without MADV_WIPEONFORK", &[wipe], works);
}

#[test]
fn without_randomness_from_the_kernel() {
    without("a kernel without getrandom", &[always(libc::SYS_getrandom, libc::ENOSYS)], works);
}

/// Nobody's death could be noticed: the space is refused before anything can be held in it.
fn is_refused(dir: &Dir) {
    let made =
        Space::at(dir.path()).open_or_create().and_then(|space| Lock::builder().space(&space).create("it"));
    refused!(
        made,
        Error::LocksUnsupported { .. },
        dir.path().to_str().unwrap(),
        "advisory locks",
        "/dev/shm"
    );
    assert_eq!(dir.files(), Vec::<String>::new());
}

#[test]
fn a_file_system_that_refuses_locks() {
    for errno in [libc::ENOLCK, libc::EOPNOTSUPP, libc::EINVAL] {
        without(
            "locks that are refused",
            &[with(libc::SYS_fcntl, 1, libc::F_OFD_SETLK as u32, errno)],
            is_refused,
        );
    }
}

#[test]
fn a_file_system_that_only_says_it_locks() {
    without("locks that do nothing", &[with(libc::SYS_fcntl, 1, libc::F_OFD_SETLK as u32, 0)], is_refused);
}
