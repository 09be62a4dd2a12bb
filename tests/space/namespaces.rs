//! Containers: processes that do not see each other's pids or users, and share a space.

use std::sync::atomic::Ordering::SeqCst;

use procshare::{Error, Lock, Space, Trust};
use procshare_harness::Child;

use crate::support::{
    Dir, Flags, Home, Refused, SOON, become_user, guarded, is_held, park, permitted, prepared_child, recover,
    skip, unshare,
};

/// The flag that holds the pid of process 1.
pub(crate) const FIRST: usize = 99;

/// Runs `work` as process 1 of a new pid namespace; the child that is returned keeps that namespace and ends with it.
pub(crate) fn in_pid_namespace(flags: &Flags, work: impl FnOnce()) -> Option<Child> {
    prepared_child(
        "pid namespaces",
        || unshare(libc::CLONE_NEWPID),
        || {
            // SAFETY: the child runs `work` and ends without returning into the test runner.
            match unsafe { libc::fork() } {
                0 => {
                    // Nobody is left behind if the test fails.
                    // SAFETY: concerns the calling process only.
                    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                    // SAFETY: ends the process at once.
                    unsafe { libc::_exit(i32::from(done.is_err())) };
                }
                init => {
                    flags.word(FIRST).store(init as u64, SeqCst);
                    let mut status = 0;
                    // SAFETY: the child is ours.
                    assert_eq!(unsafe { libc::waitpid(init, &mut status, 0) }, init);
                    let well = libc::WIFSIGNALED(status) || libc::WEXITSTATUS(status) == 0;
                    assert!(well, "process 1 failed: {status:x}");
                }
            }
        },
    )
}

/// The pid, here, of process 1 of that namespace.
pub(crate) fn first_of(flags: &Flags) -> i32 {
    flags.word(FIRST).load(SeqCst) as i32
}

/// Kills process 1 of that namespace and waits for its keeper.
pub(crate) fn end(namespace: Child, flags: &Flags) {
    let init = first_of(flags);
    // SAFETY: a process that this test started.
    assert_eq!(unsafe { libc::kill(init, libc::SIGKILL) }, 0);
    namespace.wait(SOON).unwrap();
}

#[test]
fn two_pid_namespaces_share_a_space() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let (there, here) = (Flags::new(), Flags::new());
        // Both are process 1 where they live.
        let holder = in_pid_namespace(&there, || {
            assert_eq!(std::process::id(), 1);
            std::mem::forget(lock.lock().unwrap());
            there.raise(0);
            park();
        });
        let Some(holder) = holder else { return };
        there.wait(0);
        let waiter = in_pid_namespace(&here, || {
            assert_eq!(std::process::id(), 1);
            for _ in 0..50 {
                assert!(is_held(&lock), "the holder lives, in another namespace");
            }
            here.raise(0);
            recover(&lock);
        })
        .unwrap();
        here.wait(0);
        assert!(is_held(&lock));
        end(holder, &there);
        waiter.wait(SOON).unwrap();
        drop(lock.lock().unwrap());
    });
}

#[test]
fn a_pid_that_is_used_again_brings_nobody_back() {
    guarded(|| {
        let home = Home::new();
        let (lock, flags) = (home.lock(), Flags::new());
        let world = in_pid_namespace(&flags, || {
            // SAFETY: children that are killed or end at once.
            unsafe {
                let first = libc::fork();
                if first == 0 {
                    std::mem::forget(lock.lock().unwrap());
                    flags.raise(0);
                    park();
                }
                flags.wait(0);
                assert!(is_held(&lock));
                libc::kill(first, libc::SIGKILL);
                libc::waitpid(first, std::ptr::null_mut(), 0);
                if std::fs::write("/proc/sys/kernel/ns_last_pid", (first - 1).to_string()).is_err() {
                    flags.word(1).store(2, SeqCst);
                    return;
                }
                let second = libc::fork();
                if second == 0 {
                    home.space.join().unwrap();
                    flags.raise(2);
                    park();
                }
                assert_eq!(second, first, "the number was to be used again");
                flags.wait(2);
                recover(&lock);
                libc::kill(second, libc::SIGKILL);
                flags.raise(1);
            }
        });
        let Some(world) = world else { return };
        flags.wait(1);
        if flags.word(1).load(SeqCst) == 2 {
            skip("pid reuse: /proc/sys/kernel/ns_last_pid cannot be written");
        }
        world.wait(SOON).unwrap();
    });
}

/// Becomes the user `outside`, and user `inside` of a new user namespace.
fn enter_user_namespace(outside: u32, inside: u32) -> Result<(), Refused> {
    become_user(outside, outside)?;
    // A process that changed its ids may not write its own maps unless it is dumpable again.
    // SAFETY: concerns this process only.
    permitted("prctl", unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) })?;
    unshare(libc::CLONE_NEWUSER)?;
    let write = |file: &str, text: String| {
        std::fs::write(file, text).map_err(|error| Refused::new(format!("{file}: {error}")))
    };
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("{inside} {outside} 1"))?;
    write("/proc/self/gid_map", format!("{inside} {outside} 1"))
}

/// One holds, the other waits and recovers; each in a user namespace of its own, with these ids outside and inside.
fn share(dir: &Dir, trust: [Trust; 2], ids: [(u32, u32); 2]) {
    let flags = Flags::new();
    let space = |trust| Space::at(dir.path()).trust(trust).open_or_create().unwrap();
    let user = |(outside, inside): (u32, u32)| move || enter_user_namespace(outside, inside);
    let holder = prepared_child("user namespaces", user(ids[0]), || {
        let lock = Lock::builder().space(&space(trust[0])).open_or_create("it").unwrap();
        std::mem::forget(lock.lock().unwrap());
        flags.raise(0);
        park();
    });
    let Some(holder) = holder else { return };
    flags.wait(0);
    let waiter = prepared_child("user namespaces", user(ids[1]), || {
        let lock = Lock::builder().space(&space(trust[1])).open("it").unwrap();
        assert!(is_held(&lock));
        flags.raise(1);
        recover(&lock);
    });
    flags.wait(1);
    let _ = holder.kill();
    waiter.unwrap().wait(SOON).unwrap();
}

#[test]
fn strangers_in_two_user_namespaces_share_a_space_for_anyone() {
    guarded(|| {
        let dir = Dir::with_mode(0o777);
        share(&dir, [Trust::Anyone; 2], [(65_531, 0), (65_532, 0)]);
    });
}

#[test]
fn one_user_under_two_names_shares_its_own_space() {
    guarded(|| {
        let dir = Dir::with_mode(0o700);
        if std::os::unix::fs::chown(dir.path(), Some(65_531), Some(65_531)).is_err() {
            return skip("user namespaces: chown is not permitted");
        }
        // The owner is 0 in one namespace and 1000 in the other.
        share(&dir, [Trust::Owner, Trust::User(1000)], [(65_531, 0), (65_531, 1000)]);
    });
}

#[test]
fn a_stranger_from_another_user_namespace_is_refused() {
    guarded(|| {
        // Made by another process: this one has not entered it, and so has nothing to pass on.
        let dir = Dir::with_mode(0o755);
        Child::fork(|| drop(Space::at(dir.path()).open_or_create().unwrap())).wait(SOON).unwrap();
        let stranger = prepared_child(
            "user namespaces",
            || enter_user_namespace(65_531, 0),
            || {
                // Root in its own namespace, and nobody here.
                let open = |trust| Space::at(dir.path()).trust(trust).open();
                refused!(open(Trust::Owner), Error::UntrustedDirectory { .. }, "another user");
                refused!(open(Trust::Anyone), Error::PermissionDenied { .. }, "permission");
            },
        );
        if let Some(stranger) = stranger {
            stranger.wait(SOON).unwrap();
        }
    });
}
