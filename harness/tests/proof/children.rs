//! Children report how they ended; nobody waits for ever.

use procshare_harness::{Child, Exit, Page, Reexec, child, entered, watchdog};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn every_end_has_its_name() {
    watchdog(LIMIT, || {
        assert!(child(LIMIT, || ()).is_clean());
        assert!(matches!(child(LIMIT, || Err("why not")), Exit::Failed(why) if why == "why not"));
        assert!(
            matches!(child(LIMIT, || panic_with("oh dear")), Exit::Panicked(why) if why.contains("oh dear"))
        );
        assert!(matches!(child(LIMIT, || exit_with(7)), Exit::Code(7)));
        assert!(matches!(child(LIMIT, abort), Exit::Signalled(libc::SIGABRT)));
    });
}

fn exit_with(code: i32) {
    std::process::exit(code)
}

fn abort() {
    std::process::abort()
}

fn sleep_for_ever() {
    loop {
        std::thread::park();
    }
}

fn panic_with(words: &str) {
    panic!("{words}");
}

#[test]
fn a_hang_says_where() {
    watchdog(LIMIT, || {
        let page = Page::new(4096);
        let spin = || while page.u64s()[0].load(SeqCst) == 0 {};
        let exit = child(Duration::from_millis(200), spin);
        assert!(exit.is_hang());
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            assert!(exit.to_string().contains("\n      at "), "{exit}");
        }
        let exit = child(Duration::from_millis(200), sleep_for_ever);
        assert!(exit.is_hang());
        if cfg!(target_os = "linux") {
            assert!(exit.to_string().contains("in system call"), "{exit}");
        }
    });
}

#[test]
fn dropped_children_are_gone() {
    watchdog(LIMIT, || {
        let running = Child::fork(sleep_for_ever);
        let pid = running.pid();
        drop(running);
        // SAFETY: signal 0 only asks; the process was a child of ours.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1, "the child is alive");
    });
}

#[test]
fn the_parents_panics_stay_its_own() {
    let caught = std::panic::catch_unwind(|| {
        let _ = child(LIMIT, || ());
        panic!("mine");
    });
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"mine"));
    assert!(child(LIMIT, || ()).is_clean());
}

#[test]
#[ignore = "an entry for new programs"]
fn entry_judge() {
    let Some(argument) = entered("children::entry_judge") else { return };
    assert_eq!(argument, "innocent");
}

#[test]
#[ignore = "aborts: an entry for new programs"]
fn entry_oversleeper() {
    if entered("children::entry_oversleeper").is_some() {
        watchdog(Duration::from_millis(100), sleep_for_ever);
    }
}

#[test]
fn new_programs_run_their_entry_only() {
    watchdog(LIMIT, || {
        let tried = |argument: &str| {
            Reexec::new("children::entry_judge").argument(argument).spawn().unwrap().wait(LIMIT)
        };
        assert!(tried("innocent").is_clean());
        assert!(matches!(tried("guilty"), Exit::Panicked(_)));
        let overslept = Reexec::new("children::entry_oversleeper").spawn().unwrap().wait(LIMIT);
        assert!(matches!(overslept, Exit::Signalled(libc::SIGABRT)), "{overslept}");
    });
}
