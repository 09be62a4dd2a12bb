//! Who may enter: squatted directories are refused, and a space that states whom it trusts lets exactly those in.

use std::os::unix::fs::{MetadataExt as _, chown};

use procshare::{Error, Lock, Space, Trust};
use procshare_harness::Child;

use crate::support::{
    Dir, Flags, SOON, become_user, guarded, is_held, park, prepared_child, recover, set_mode,
};

/// Two users and a group that nobody else has.
const ALICE: u32 = 65_531;
const BOB: u32 = 65_532;
const FRIENDS: u32 = 65_533;

fn am_root() -> bool {
    // SAFETY: geteuid has no precondition.
    unsafe { libc::geteuid() == 0 }
}

fn as_user(uid: u32, gid: u32, work: impl FnOnce()) -> Option<Child> {
    prepared_child("other user ids", || become_user(uid, gid), work)
}

#[test]
fn directories_that_others_may_write_are_refused() {
    let at = |dir: &Dir, trust| Space::at(dir.path()).trust(trust).open_or_create().map(drop);
    let open = Dir::with_mode(0o777);
    refused!(
        at(&open, Trust::Owner),
        Error::UntrustedDirectory { mode: 0o777, .. },
        "others may write",
        "0777"
    );
    refused!(at(&open, Trust::Group), Error::UntrustedDirectory { .. }, "everybody may write");
    let group = Dir::with_mode(0o770);
    refused!(at(&group, Trust::Owner), Error::UntrustedDirectory { mode: 0o770, .. }, "0770");
    at(&group, Trust::Group).unwrap();
    at(&open, Trust::Anyone).unwrap();
    assert_eq!(open.files(), Vec::<String>::new());
}

#[test]
fn what_is_no_directory_of_ones_own_is_refused() {
    let dir = Dir::with_mode(0o700);
    let (file, real, link) = (dir.path().join("file"), dir.path().join("real"), dir.path().join("link"));
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(&real).unwrap();
    set_mode(&real, 0o700);
    std::os::unix::fs::symlink(&real, &link).unwrap();
    for path in [&file, &link] {
        refused!(Space::at(path).open_or_create(), Error::UntrustedDirectory { .. }, "not a directory");
        refused!(Space::at(path).open(), Error::UntrustedDirectory { .. }, "another directory");
    }
    assert_eq!(std::fs::read_dir(&real).unwrap().count(), 0);
    refused!(Space::at(dir.path().join("no/such")).open_or_create(), Error::Io { .. }, "no/such");
}

#[test]
fn modes_are_what_trust_says_whatever_the_umask() {
    guarded(|| {
        Child::fork(|| {
            // SAFETY: concerns this process only.
            unsafe { libc::umask(0o077) };
            for (trust, dir_mode, file_mode) in
                [(Trust::Owner, 0o700, 0o600), (Trust::Group, 0o2770, 0o660), (Trust::Anyone, 0o777, 0o666)]
            {
                let dir = Dir::unmade();
                let space = Space::at(dir.path()).trust(trust).open_or_create().unwrap();
                drop(Lock::builder().space(&space).create("it").unwrap());
                drop(Lock::builder().space(&space).mode(0o640).create("other").unwrap());
                let mode = |path| std::fs::metadata(path).unwrap().mode() & 0o7777;
                assert_eq!(mode(dir.path().to_owned()), dir_mode);
                assert_eq!(mode(dir.path().join("it")), file_mode);
                assert_eq!(mode(dir.path().join(".registry")), file_mode);
                assert_eq!(mode(dir.path().join("other")), 0o640);
                std::fs::remove_dir_all(dir.path()).unwrap();
            }
        })
        .wait(SOON)
        .unwrap();
    });
}

#[test]
fn a_directory_of_another_user_is_refused_with_its_owner() {
    guarded(|| {
        let dir = Dir::with_mode(0o755);
        if am_root() {
            chown(dir.path(), Some(ALICE), None).unwrap();
            refused!(
                Space::at(dir.path()).open_or_create(),
                Error::UntrustedDirectory { owner: ALICE, .. },
                "another user",
                "65531"
            );
            refused!(
                Space::at(dir.path()).trust(Trust::User(BOB)).open_or_create(),
                Error::UntrustedDirectory { owner: ALICE, .. },
                "neither to the trusted user nor to the caller"
            );
            Space::at(dir.path()).trust(Trust::User(ALICE)).open_or_create().unwrap();
        }
    });
}

/// Alice makes a space and holds its lock; Bob waits for her, and gets it when she dies.
fn shared(dir: &Dir, trust: Trust, gid: u32) {
    let flags = Flags::new();
    let space = || Space::at(dir.path()).trust(trust).open_or_create().unwrap();
    let alice = as_user(ALICE, gid, || {
        let lock = Lock::builder().space(&space()).create("it").unwrap();
        std::mem::forget(lock.lock().unwrap());
        flags.raise(0);
        park();
    });
    let Some(alice) = alice else { return };
    flags.wait(0);
    let bob = as_user(BOB, gid, || {
        let lock = Lock::builder().space(&space()).open("it").unwrap();
        assert!(is_held(&lock), "Alice lives");
        flags.raise(1);
        recover(&lock);
        drop(lock.lock().unwrap());
        // What he makes, she may use, too.
        drop(Lock::builder().space(&space()).create("his").unwrap());
    });
    flags.wait(1);
    let _ = alice.kill();
    bob.unwrap().wait(SOON).unwrap();
    let again = as_user(ALICE, gid, || {
        drop(Lock::builder().space(&space()).open("his").unwrap().lock().unwrap());
        drop(Lock::builder().space(&space()).open("it").unwrap().lock().unwrap());
    });
    again.unwrap().wait(SOON).unwrap();
}

#[test]
fn two_users_of_a_group_share_a_space() {
    guarded(|| {
        let dir = Dir::with_mode(0o2770);
        if am_root() {
            chown(dir.path(), Some(ALICE), Some(FRIENDS)).unwrap();
            set_mode(dir.path(), 0o2770);
        }
        shared(&dir, Trust::Group, FRIENDS);
        let stranger = as_user(BOB, BOB, || {
            refused!(
                Space::at(dir.path()).trust(Trust::Group).open(),
                Error::UntrustedDirectory { .. } | Error::PermissionDenied { .. },
                dir.path().to_str().unwrap()
            );
        });
        if let Some(stranger) = stranger {
            stranger.wait(SOON).unwrap();
        }
    });
}

#[test]
fn strangers_share_a_space_for_anyone() {
    guarded(|| {
        let dir = Dir::with_mode(0o777);
        shared(&dir, Trust::Anyone, 65_530);
    });
}

#[test]
fn a_server_of_root_enters_a_users_space() {
    guarded(|| {
        let dir = Dir::with_mode(0o700);
        if !am_root() {
            return;
        }
        chown(dir.path(), Some(ALICE), Some(ALICE)).unwrap();
        let flags = Flags::new();
        let alice = as_user(ALICE, ALICE, || {
            let space = Space::at(dir.path()).open_or_create().unwrap();
            let lock = Lock::builder().space(&space).create("it").unwrap();
            std::mem::forget(lock.lock().unwrap());
            flags.raise(0);
            park();
        });
        let Some(alice) = alice else { return };
        flags.wait(0);
        let space = Space::at(dir.path()).trust(Trust::User(ALICE)).open().unwrap();
        let lock = Lock::builder().space(&space).open("it").unwrap();
        assert!(is_held(&lock));
        let _ = alice.kill();
        recover(&lock);
    });
}

#[test]
fn a_space_entered_with_two_trusts_keeps_both_and_one_membership() {
    let dir = Dir::with_mode(0o700);
    let narrow = Space::at(dir.path()).open_or_create().unwrap();
    let wide = Space::at(dir.path()).trust(Trust::Anyone).open_or_create().unwrap();
    assert_eq!((narrow.trust(), wide.trust()), (Trust::Owner, Trust::Anyone));
    assert_eq!(narrow.join().unwrap(), wide.join().unwrap());
    let mode = |space: &Space, name: &str| {
        let lock = Lock::builder().space(space).create(name).unwrap();
        assert_eq!(lock.handle().attach().unwrap().holder(), None);
        dir.path().join(name).metadata().unwrap().mode() & 0o777
    };
    assert_eq!((mode(&narrow, "narrow"), mode(&wide, "wide")), (0o600, 0o666));
    // One thread, one lock, two ways to it: the wait would never end.
    let (one, two) = (Lock::builder().space(&narrow), Lock::builder().space(&wide));
    let (one, two) = (one.open("wide").unwrap(), two.open("wide").unwrap());
    let _guard = one.lock().unwrap();
    assert!(matches!(two.lock(), Err(procshare::LockError::Deadlock)));
}

#[test]
fn a_registry_under_two_directories_leads_to_neither_by_the_other() {
    let (one, two) = (Dir::with_mode(0o700), Dir::with_mode(0o700));
    let first = Space::at(one.path()).open_or_create().unwrap();
    std::fs::hard_link(one.path().join(".registry"), two.path().join(".registry")).unwrap();
    let second = Space::at(two.path()).open_or_create().unwrap();
    drop(Lock::builder().space(&second).create("it").unwrap());
    assert_eq!((first.directory(), second.directory()), (one.path(), two.path()));
    assert_eq!((one.files(), two.files()), (vec![], vec!["it".to_owned()]));
}

#[test]
fn a_missing_directory_above_is_told() {
    let dir = Dir::unmade();
    let below = Space::at(dir.path().join("below"));
    refused!(below.open_or_create(), Error::Io { .. }, "below", "No such file");
    refused!(below.open(), Error::NotFound { .. }, "below", "create it first");
}
