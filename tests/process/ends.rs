//! How processes end, and who notices.

use std::time::Duration;

use procshare::process::{Exit, Process, TaskError, active_children};
use procshare::{AtomicValue, Event, Handle, Taken, wait_any, wait_any_timeout};
use procshare_harness::{Reexec, child, entered};

use crate::support::{LIMIT, limited, state_of, until_gone};

#[procshare::task]
fn asleep() {
    loop {
        std::thread::park();
    }
}

#[procshare::task]
fn leave(code: i32) -> u8 {
    std::process::exit(code)
}

#[procshare::task]
fn fail(text: String) -> Result<u32, String> {
    Err(text)
}

#[procshare::task]
fn panic_with(text: String) {
    panic!("{text}");
}

#[procshare::task]
fn large(len: u64) -> Vec<u8> {
    (0..len).map(|index| index as u8).collect()
}

#[test]
fn results_errors_and_panics_come_back() {
    limited(|| {
        let wrong = Process::start::<fail>(("no luck",)).unwrap();
        assert_eq!(wrong.join().unwrap(), Err("no luck".to_owned()));
        assert_eq!(wrong.exit_status(), Some(Exit::Code(0)));
        let panicked = Process::start::<panic_with>(("oh dear",)).unwrap();
        let error = panicked.join().unwrap_err();
        assert!(
            matches!(&error, TaskError::Panicked { message, .. } if message.contains("oh dear") && message.contains("ends.rs")),
            "{error}"
        );
        assert_eq!(panicked.exit_status(), Some(Exit::Code(101)));
    });
}

#[test]
fn a_large_result_keeps_nobody_waiting() {
    limited(|| {
        let len = 5_000_000;
        let child = Process::start::<large>((len,)).unwrap();
        assert!(matches!(wait_any(&[&child]), Ok((0, Taken::Ready))));
        until_gone(child.pid());
        for _ in 0..2 {
            let bytes = child.join().unwrap();
            assert!(
                bytes.len() == len as usize
                    && bytes.iter().enumerate().all(|(index, byte)| *byte == index as u8)
            );
        }
    });
}

#[test]
fn exits_and_signals_are_visible() {
    limited(|| {
        let left = Process::start::<leave>((7,)).unwrap();
        assert!(matches!(left.join(), Err(TaskError::Died { exit: Exit::Code(7), .. })));
        let (killed, terminated) =
            (Process::start::<asleep>(()).unwrap(), Process::start::<asleep>(()).unwrap());
        assert!(killed.is_alive() && killed.exit_status().is_none());
        assert!(matches!(killed.try_join(), Err(TaskError::Running)));
        assert!(matches!(killed.join_timeout(Duration::from_millis(1)), Err(TaskError::TimedOut)));
        killed.kill().unwrap();
        terminated.terminate().unwrap();
        assert!(matches!(killed.join(), Err(TaskError::Died { exit: Exit::Signal(9), .. })));
        assert!(matches!(terminated.join(), Err(TaskError::Died { exit: Exit::Signal(15), .. })));
        // Long gone: nothing happens, and to nobody else.
        killed.kill().unwrap();
        terminated.terminate().unwrap();
        assert!(!killed.is_alive());
    });
}

#[test]
fn nobody_needs_to_wait_for_the_dead_to_go() {
    limited(|| {
        let child = Process::start::<asleep>(()).unwrap();
        let pid = child.pid();
        assert!(active_children().iter().any(|known| known.pid == pid && known.name == child.name()));
        child.kill().unwrap();
        drop(child);
        until_gone(pid);
        assert!(active_children().iter().all(|known| known.pid != pid));
    });
}

#[test]
fn the_end_of_a_process_is_waited_for_among_other_things() {
    limited(|| {
        let (never, child) = (Event::anonymous().unwrap(), Process::start::<asleep>(()).unwrap());
        assert!(wait_any_timeout(&[&never, &child], Duration::from_millis(1)).is_err());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| matches!(wait_any(&[&never, &child]), Ok((1, Taken::Ready))));
            child.kill().unwrap();
            assert!(waiter.join().unwrap());
        });
    });
}

#[test]
fn the_sentinel_can_be_polled() {
    use std::os::fd::{AsFd, AsRawFd};
    limited(|| {
        let child = Process::start::<asleep>(()).unwrap();
        let poll = |ms| {
            let mut fds =
                [libc::pollfd { fd: child.sentinel().as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }];
            // SAFETY: one entry, which lives for the call.
            unsafe { libc::poll(fds.as_mut_ptr(), 1, ms) }
        };
        assert_eq!(poll(0), 0);
        child.kill().unwrap();
        assert_eq!(poll(-1), 1);
    });
}

#[test]
fn it_outlives_the_thread_that_started_it() {
    limited(|| {
        let child = std::thread::spawn(|| Process::start::<asleep>(()).unwrap()).join().unwrap();
        // Several other ends of threads later, which the kernel handles in order.
        for _ in 0..10 {
            std::thread::spawn(|| ()).join().unwrap();
        }
        assert!(child.is_alive());
        assert!(matches!(child.join_timeout(Duration::from_millis(20)), Err(TaskError::TimedOut)));
        child.kill().unwrap();
    });
}

/// Says who it is, and sleeps.
#[procshare::task]
fn report_and_sleep(pid: Handle<AtomicValue<u32>>) {
    pid.attach().unwrap().store(std::process::id()).unwrap();
    asleep();
}

/// Starts one that stays and one that goes with its starter.
#[test]
fn entry_starter() {
    let Some(handles) = entered("ends::entry_starter") else { return };
    let (bound, detached): (Handle<AtomicValue<u32>>, Handle<AtomicValue<u32>>) =
        serde_json::from_str(&handles).unwrap();
    let one = Process::start::<report_and_sleep>((bound,)).unwrap();
    let other = Process::builder().detached(true).start::<report_and_sleep>((detached,)).unwrap();
    let _ = (one.join(), other.join());
}

#[test]
fn children_die_with_a_killed_starter_unless_detached() {
    limited(|| {
        let (bound, detached) =
            (AtomicValue::anonymous(0u32).unwrap(), AtomicValue::anonymous(0u32).unwrap());
        let handles = serde_json::to_string(&(&bound, &detached)).unwrap();
        let starter = Reexec::new("ends::entry_starter").argument(handles).spawn().unwrap();
        while bound.load() == 0 || detached.load() == 0 {
            std::thread::yield_now();
        }
        let _ = starter.kill();
        // It dies by the kernel's hand, whoever takes its status.
        while state_of(bound.load()).is_some_and(|state| state != 'Z') {
            std::thread::yield_now();
        }
        let pid = detached.load();
        assert!(state_of(pid).is_some_and(|state| state != 'Z'));
        // SAFETY: no pointers are passed; the process was just seen alive.
        assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
    });
}

#[test]
fn a_program_that_ignores_the_end_of_children_is_told_all_the_same() {
    // In a forked child: what a signal does belongs to the whole process.
    let outcome = child(LIMIT, || {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let good = Process::start::<fail>(("fine",)).map_err(|error| error.to_string())?;
        if good.join().map_err(|error| error.to_string())? != Err("fine".to_owned()) {
            return Err("the result is lost".to_owned());
        }
        let killed = Process::start::<asleep>(()).map_err(|error| error.to_string())?;
        killed.kill().map_err(|error| error.to_string())?;
        match killed.join() {
            Err(TaskError::Died { exit: Exit::Signal(9) | Exit::Unknown, .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    outcome.unwrap();
}
