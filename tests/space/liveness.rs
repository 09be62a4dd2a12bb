//! Who is dead and who is not: the holder is recovered as soon as it is gone, and never before.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use procshare::{Error, Lock, LockError, Space, Value};
use procshare_harness::{Child, Reexec, entered};

use crate::support::{Dir, Flags, Home, SOON, guarded, holder, is_held, park, recover};

/// Closes every descriptor above standard error, as daemons and careless programs do.
fn close_all() {
    // SAFETY: closes numbers; whoever owned them must cope, which is the point.
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) }, 0);
}

#[test]
fn a_stopped_holder_is_alive_for_as_long_as_it_is_stopped() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let holder = holder(&lock);
        holder.signal(libc::SIGSTOP);
        let waiter = Child::fork(|| {
            assert!(matches!(lock.lock_timeout(Duration::from_secs(4)), Err(LockError::TimedOut)));
        });
        assert!(matches!(lock.lock_timeout(Duration::from_secs(5)), Err(LockError::TimedOut)));
        assert!(is_held(&lock));
        waiter.wait(SOON).unwrap();
        // A stopped process that is killed is dead at once.
        let _ = holder.kill();
        recover(&lock);
    });
}

#[test]
fn a_holder_that_closes_all_descriptors_is_alive() {
    guarded(|| {
        let home = Home::new();
        let (lock, flags) = (home.lock(), Flags::new());
        let holder = Child::fork(|| {
            let guard = lock.lock().unwrap();
            close_all();
            flags.raise(0);
            flags.wait(1);
            drop(guard);
            drop(lock.lock().unwrap());
            std::mem::forget(lock.lock().unwrap());
            flags.raise(2);
            park();
        });
        flags.wait(0);
        for _ in 0..50 {
            assert!(is_held(&lock));
        }
        flags.raise(1);
        flags.wait(2);
        assert!(is_held(&lock));
        let _ = holder.kill();
        recover(&lock);
    });
}

#[test]
fn a_waiter_that_closes_all_descriptors_still_tells_the_living_from_the_dead() {
    guarded(|| {
        let home = Home::new();
        let (lock, flags) = (home.lock(), Flags::new());
        let holder = holder(&lock);
        let waiter = Child::fork(|| {
            home.space.join().unwrap();
            close_all();
            assert!(is_held(&lock), "after closing");
            // The numbers lead elsewhere when it asks again, also the one that it asks through.
            close_all();
            let others: Vec<_> = (0..40).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
            assert!(is_held(&lock), "with other files under the old numbers");
            flags.raise(0);
            recover(&lock);
            drop(others);
            // What it does not own it does not close.
            assert!(std::fs::File::open("/dev/null").is_ok());
        });
        flags.wait(0);
        assert!(is_held(&lock));
        let _ = holder.kill();
        waiter.wait(SOON).unwrap();
    });
}

#[test]
fn a_zombie_is_dead() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let holder = holder(&lock);
        holder.signal(libc::SIGKILL);
        // SAFETY: plain C data; the call leaves the child to be reaped by its owner.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOWAIT;
            assert_eq!(libc::waitid(libc::P_PID, holder.pid() as u32, &mut info, flags), 0);
        }
        // SAFETY: signal 0 only asks whether the process, dead or not, still has its number.
        assert_eq!(unsafe { libc::kill(holder.pid(), 0) }, 0, "it was to be a zombie");
        match lock.try_lock() {
            Err(LockError::OwnerDied(outcome)) => outcome.into_guard().make_consistent(),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_process_lives_as_long_as_its_last_thread() {
    guarded(|| {
        let home = Home::new();
        let (lock, flags) = (home.lock(), Flags::new());
        let holder = Child::fork(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let guard = lock.lock().unwrap();
                    flags.raise(0);
                    flags.wait(1);
                    drop(guard);
                    std::mem::forget(lock.lock().unwrap());
                    flags.raise(2);
                    park();
                });
                flags.wait(0);
                flags.raise(3);
                // The leader ends; its process looks like a zombie and lives on.
                // SAFETY: ends this thread alone, without unwinding; what it borrowed lives until the process ends.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            });
        });
        flags.wait(3);
        let stat = format!("/proc/{}/stat", holder.pid());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z") {
            std::thread::yield_now();
        }
        for _ in 0..50 {
            assert!(is_held(&lock), "its other thread holds it");
        }
        flags.raise(1);
        flags.wait(2);
        assert!(is_held(&lock));
        let _ = holder.kill();
        recover(&lock);
    });
}

#[test]
fn ordinary_ends_are_deaths_too() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let ends: [fn(); 3] = [
            || {},
            // SAFETY: ends the child.
            || unsafe {
                libc::raise(libc::SIGSEGV);
            },
            || std::process::abort(),
        ];
        for end in ends {
            let exit = Child::fork(|| {
                // SAFETY: no core file, please.
                unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
                std::mem::forget(lock.lock().unwrap());
                end();
            })
            .wait(SOON);
            assert!(!exit.is_hang(), "{exit}");
            recover(&lock);
        }
    });
}

#[test]
fn a_waiter_gets_what_a_dying_holder_leaves_and_a_dead_waiter_is_in_nobodys_way() {
    guarded(|| {
        let home = Home::new();
        let (lock, flags) = (home.lock(), Flags::new());
        let holder = holder(&lock);
        let waiters: Vec<Child> = (0..4)
            .map(|_| {
                Child::fork(|| {
                    flags.word(0).fetch_add(1, SeqCst);
                    let guard = lock.lock().or_else(LockError::into_guard).unwrap();
                    guard.make_consistent();
                })
            })
            .collect();
        while flags.word(0).load(SeqCst) < 4 {
            std::thread::yield_now();
        }
        let mut waiters = waiters.into_iter();
        // The one on watch may be among the dead.
        for waiter in waiters.by_ref().take(2) {
            let _ = waiter.kill();
        }
        let _ = holder.kill();
        for waiter in waiters {
            waiter.wait(SOON).unwrap();
        }
        drop(lock.lock().unwrap());
    });
}

#[test]
fn slots_of_the_dead_are_reused_and_their_ids_are_not() {
    guarded(|| {
        let dir = Dir::unmade();
        let space = Space::at(dir.path()).participants(2).open_or_create().unwrap();
        let lock = Lock::builder().space(&space).create("it").unwrap();
        let seen = Value::builder().space(&space).create("seen", [0u32; 64]).unwrap();
        for round in 0..40 {
            let _ = Child::fork(|| {
                let guard = lock.lock().or_else(LockError::into_guard).unwrap();
                guard.make_consistent();
                let id = space.join().unwrap();
                seen.update(|ids| {
                    assert!(!ids.contains(&id.to_bits()), "{id} was somebody before");
                    ids[round] = id.to_bits();
                })
                .unwrap();
                std::mem::forget(guard);
                // SAFETY: ends the calling process.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            })
            .wait(SOON);
            assert_ne!(seen.get().unwrap()[round], 0);
        }
        recover(&lock);
    });
}

#[test]
fn users_of_a_removed_registry_still_tell_the_living_from_the_dead() {
    guarded(|| {
        let home = Home::new();
        let (lock, flags) = (home.lock(), Flags::new());
        let holder = holder(&lock);
        std::fs::remove_file(home.dir.path().join(".registry")).unwrap();
        assert!(is_held(&lock));
        // Without a descriptor there is nothing left to ask: the answer is "alive".
        Child::fork(|| {
            assert!(home.space.join().is_err(), "the registry is gone: nobody can join");
        })
        .wait(SOON)
        .unwrap();
        let _ = holder.kill();
        recover(&lock);
        flags.raise(0);
        drop(lock.lock().unwrap());
    });
}

#[test]
fn who_cannot_tell_waits_instead_of_taking() {
    guarded(|| {
        let home = Home::new();
        let (lock, flags) = (home.lock(), Flags::new());
        let waiter = Child::fork(|| {
            home.space.join().unwrap();
            flags.raise(0);
            flags.wait(1);
            close_all();
            assert!(is_held(&lock));
            assert!(matches!(lock.lock_timeout(Duration::from_millis(60)), Err(LockError::TimedOut)));
            flags.raise(2);
            flags.wait(3);
            // Dead or alive: nobody can tell any more, so it is alive.
            assert!(is_held(&lock));
        });
        flags.wait(0);
        let holder = holder(&lock);
        std::fs::remove_file(home.dir.path().join(".registry")).unwrap();
        flags.raise(1);
        flags.wait(2);
        let _ = holder.kill();
        flags.raise(3);
        waiter.wait(SOON).unwrap();
        recover(&lock);
    });
}

#[test]
fn a_new_registry_does_not_make_the_living_dead() {
    guarded(|| {
        let home = Home::new();
        let lock = home.lock();
        let holder = holder(&lock);
        std::fs::remove_file(home.dir.path().join(".registry")).unwrap();
        newcomer(&home, "refused");
        assert!(is_held(&lock));
        let _ = holder.kill();
        recover(&lock);
        drop(lock);
        // Nobody of the old registry is left: the object is the new one's.
        newcomer(&home, "welcome");
    });
}

/// Lets a process that has never seen the old registry open the lock.
fn newcomer(home: &Home, expected: &str) {
    let newcomer = Reexec::new("liveness::entry_newcomer")
        .argument(format!("{expected} {}", home.dir.path().display()))
        .spawn()
        .unwrap();
    newcomer.wait(SOON).unwrap();
}

#[test]
#[ignore = "an entry for new programs"]
fn entry_newcomer() {
    let Some(argument) = entered("liveness::entry_newcomer") else { return };
    let (expected, directory) = argument.split_once(' ').unwrap();
    let space = Space::at(directory).open_or_create().unwrap();
    let opened = Lock::builder().space(&space).open("it");
    if expected == "welcome" {
        drop(opened.unwrap().lock().unwrap());
        return;
    }
    assert!(matches!(opened, Err(Error::RegistryReplaced { .. })), "{opened:?}");
    let read = Lock::builder().space(&space).read_only(true).open("it").unwrap();
    assert!(read.try_lock().is_err());
}
