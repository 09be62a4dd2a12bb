//! Forked children are participants of their own: they inherit handles and nothing of their parent's holdings.

use std::cell::Cell;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use procshare::{Lifetime, Lock, ReleaseError, Space, Value};
use procshare_harness::Child;

use crate::support::{Dir, Flags, Home, SOON, alone, guarded, holder, is_held, park, recover};

#[test]
fn a_forked_child_joins_by_itself_and_gets_an_id_of_its_own() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let flags = Flags::new();
        let mine = home.space.join().unwrap();
        Child::fork(|| {
            drop(lock.lock().unwrap());
            let theirs = home.space.join().unwrap();
            assert_ne!(theirs, mine);
            assert_eq!(home.space.join().unwrap(), theirs);
            // And so does its child.
            let generations = &flags;
            Child::fork(|| {
                drop(lock.lock().unwrap());
                assert!(![mine, theirs].contains(&home.space.join().unwrap()));
                generations.raise(0);
            })
            .wait(SOON)
            .unwrap();
        })
        .wait(SOON)
        .unwrap();
        flags.wait(0);
        assert_eq!(home.space.join().unwrap(), mine);
    });
}

#[test]
fn copies_of_a_parents_guard_do_nothing() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        for ends in 0..4 {
            let guard = Cell::new(Some(lock.lock().unwrap()));
            Child::fork(|| {
                // The child is a participant by then, with the same thread token as its parent.
                assert!(ends < 3 || is_held(&lock));
                let copy = guard.take().unwrap();
                match ends {
                    1 => copy.forget(),
                    2 => copy.make_consistent(),
                    _ => {}
                }
                assert!(is_held(&lock), "way {ends} released the parent's lock");
                assert!(matches!(lock.release(), Err(ReleaseError::HeldByGuard)));
            })
            .wait(SOON)
            .unwrap();
            assert_eq!(lock.holder(), Some(home.space.join().unwrap()), "way {ends}");
            drop(guard.take());
            drop(lock.try_lock().unwrap());
        }
    });
}

/// For processes that outlive their parent: whatever becomes of the test, they end.
fn end_some_day() {
    // SAFETY: nobody handles the signal, so it ends the calling process.
    unsafe { libc::alarm(100) };
}

#[test]
fn a_child_does_not_keep_its_dead_parent_alive() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let flags = Flags::new();
        let parent = Child::fork(|| {
            std::mem::forget(lock.lock().unwrap());
            // A child that outlives it, with every descriptor and mapping that fork copies.
            // SAFETY: the child only sleeps.
            if unsafe { libc::fork() } == 0 {
                end_some_day();
                flags.word(1).store(u64::from(std::process::id()), std::sync::atomic::Ordering::SeqCst);
                park();
            }
            flags.wait(1);
            flags.raise(0);
            park();
        });
        flags.wait(0);
        assert!(is_held(&lock));
        let _ = parent.kill();
        recover(&lock);
        let grandchild = flags.word(1).load(std::sync::atomic::Ordering::SeqCst) as i32;
        // SAFETY: a process that this test started; signal 0 only asks whether it is there.
        assert_eq!(unsafe { libc::kill(grandchild, 0) }, 0, "the grandchild was to be alive all the time");
        // SAFETY: as above.
        unsafe { libc::kill(grandchild, libc::SIGKILL) };
    });
}

#[test]
fn threads_that_join_while_others_fork_leak_nothing_into_children() {
    guarded(|| {
        let home = Home::new();
        let dirs: Vec<Dir> = (0..60).map(|_| Dir::unmade()).collect();
        let flags = Flags::new();
        let parent = Child::fork(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for dir in &dirs {
                        let space = Space::at(dir.path()).open_or_create().unwrap();
                        let lock = Lock::builder().space(&space).create("it").unwrap();
                        std::mem::forget(lock.lock().unwrap());
                    }
                    flags.raise(0);
                });
                let mut forked = 2;
                while flags.word(0).load(std::sync::atomic::Ordering::SeqCst) == 0 && forked < 400 {
                    // SAFETY: the child only sleeps.
                    let pid = unsafe { libc::fork() };
                    if pid == 0 {
                        end_some_day();
                        park();
                    }
                    flags.word(forked).store(pid as u64, std::sync::atomic::Ordering::SeqCst);
                    forked += 1;
                }
            });
            flags.raise(1);
            park();
        });
        flags.wait(1);
        let _ = parent.kill();
        // All those children live; none of them keeps a lock of the dead alive.
        for dir in &dirs {
            recover(&Lock::open(&dir.name("it")).unwrap());
        }
        for word in 2..400 {
            let pid = flags.word(word).load(std::sync::atomic::Ordering::SeqCst) as i32;
            if pid != 0 {
                // SAFETY: a process that this test's child started.
                assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
            }
        }
        drop(home);
    });
}

#[test]
fn exec_ends_a_holding_and_starting_a_program_does_not() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let flags = Flags::new();
        let starter = Child::fork(|| {
            std::mem::forget(lock.lock().unwrap());
            // The standard library starts programs by vfork or posix_spawn, and, with a hook, by fork and exec.
            let mut plain = Command::new("sleep");
            let mut hooked = Command::new("sleep");
            // SAFETY: the hook does nothing.
            unsafe { hooked.pre_exec(|| Ok(())) };
            for command in [&mut plain, &mut hooked] {
                let mut child = command.arg("1000").stdin(Stdio::null()).spawn().unwrap();
                assert!(is_held_by_a_child(&lock));
                child.kill().unwrap();
                child.wait().unwrap();
            }
            let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
            flags.raise(0);
            flags.wait(1);
            sleeper.kill().unwrap();
            sleeper.wait().unwrap();
            // This process goes on as another program: with its address space its holdings end.
            let failed = Command::new("sleep").arg("1000").exec();
            Err::<(), _>(failed)
        });
        flags.wait(0);
        assert!(is_held(&lock));
        flags.raise(1);
        recover(&lock);
        let mut starter = starter;
        assert!(starter.try_wait().is_none(), "the program that took its place was to be alive");
    });
}

fn is_held_by_a_child(lock: &Lock) -> bool {
    let flags = Flags::new();
    Child::fork(|| {
        if is_held(lock) {
            flags.raise(0);
        }
    })
    .wait(SOON)
    .unwrap();
    flags.word(0).load(std::sync::atomic::Ordering::SeqCst) == 1
}

#[test]
fn a_child_that_drops_inherited_handles_removes_nothing() {
    alone(|| {
        let home = Home::new();
        let scoped = |name: &str| {
            Value::builder().space(&home.space).lifetime(Lifetime::Scoped).create(name, 1u64).unwrap()
        };
        let inherited = Cell::new(Some((scoped("used"), scoped("unused"))));
        let anonymous = Cell::new(Some(Value::builder().space(&home.space).anonymous(1u64).unwrap()));
        assert_eq!(home.dir.files().len(), 3);
        Child::fork(|| {
            let copies = inherited.take().unwrap();
            copies.0.set(2).unwrap();
            drop((copies, anonymous.take()));
        })
        .wait(SOON)
        .unwrap();
        home.space.collect().unwrap();
        assert_eq!(home.dir.files().len(), 3);
        assert_eq!(Value::<u64>::open(&home.dir.name("used")).unwrap().get().unwrap(), 2);
        drop((inherited.take(), anonymous.take()));
        assert_eq!(home.dir.files(), Vec::<String>::new());
    });
}

#[test]
fn a_holder_found_alive_after_a_fork_is_still_told_apart() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let first = holder(&lock);
        assert!(is_held(&lock));
        let _ = first.kill();
        // The next participant takes the same slot with a new generation; the dead one stays dead.
        let second = Child::fork(|| {
            home.space.join().unwrap();
            park();
        });
        recover(&lock);
        let _ = second.kill();
    });
}

#[test]
fn a_child_that_is_forked_while_other_threads_join_can_join() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let parent = Child::fork(|| {
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        // Entered spaces stay entered: not without a limit.
                        for _ in 0..400 {
                            let dir = Dir::unmade();
                            drop(Space::at(dir.path()).open_or_create().unwrap());
                            if over.load(Relaxed) {
                                break;
                            }
                        }
                    });
                }
                // A child that finds a lock of the process taken finds it taken for ever.
                let hung =
                    (0..60).find(|_| !Child::fork(|| drop(lock.lock().unwrap())).wait(SOON).is_clean());
                over.store(true, Relaxed);
                assert_eq!(hung, None, "a child could not join");
            });
        });
        parent.wait(2 * SOON).unwrap();
    });
}
