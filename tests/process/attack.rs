//! Processes in places, and with tasks, that nobody meant for them.

use std::fs::File;
use std::io::Read;

use procshare::process::{Exit, Process, StartError, TaskError};
use procshare::{AtomicValue, Event, Handle};
use procshare_harness::{child, entered};
use serde::{Deserialize, Deserializer, Serialize};

use crate::seccomp::{Refuse, refuse};
use crate::support::{
    LIMIT, in_a_fresh_process, leave_a_trace, limit_descriptors, limited, state_of, until_gone, write_script,
};

/// Two tasks of one name and signature: both are within functions.
fn twins() -> (Process<u32>, Process<u32>) {
    fn first() -> Process<u32> {
        #[procshare::task]
        fn twin(n: u32) -> u32 {
            n + 1
        }
        Process::start::<twin>((10,)).unwrap()
    }
    fn second() -> Process<u32> {
        #[procshare::task]
        fn twin(n: u32) -> u32 {
            n + 2
        }
        Process::start::<twin>((10,)).unwrap()
    }
    (first(), second())
}

#[test]
fn tasks_of_one_name_and_signature_are_told_apart() {
    limited(|| {
        let (first, second) = twins();
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (11, 12));
    });
}

#[procshare::task]
fn say_and_echo(text: String) -> String {
    println!("{text}");
    eprintln!("{text}");
    text
}

#[test]
fn closed_standard_streams_hurt_nothing() {
    limited(|| {
        let outcome = child(LIMIT, || {
            for fd in 0..3 {
                // SAFETY: no pointers are passed; the forked child uses none of them.
                unsafe { libc::close(fd) };
            }
            let started = Process::start::<say_and_echo>(("x".repeat(100),)).map_err(|e| e.to_string())?;
            match started.join() {
                Ok(text) if text.len() == 100 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        outcome.unwrap();
    });
}

#[procshare::task]
fn nothing() {}

/// The numbers of all children of the calling process, the dead included.
fn children_of_this() -> Vec<u32> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let text = std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap();
        found.extend(text.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    found
}

#[test]
fn entry_without_descriptors() {
    let Some(argument) = entered("attack::entry_without_descriptors") else { return };
    // The keeper is there.
    Process::start::<nothing>(()).unwrap().join().unwrap();
    limit_descriptors(64);
    let mut held: Vec<File> = Vec::new();
    // Each start gets one further than the one before, or two: the keeper may let go of the first process late.
    let (mut failures, mut started) = (0, false);
    while !started {
        while let Ok(file) = File::open("/dev/null") {
            held.push(file);
        }
        held.truncate(held.len() - failures);
        match Process::start::<nothing>(()) {
            Err(StartError::NotStarted { .. }) => failures += 1,
            Ok(process) => started = process.join().is_ok(),
            Err(other) => panic!("{other}"),
        }
    }
    drop(held);
    let left: Vec<u32> = children_of_this();
    let zombies: Vec<_> = left.iter().filter(|&&pid| state_of(pid) == Some('Z')).collect();
    assert!(failures >= 2 && zombies.is_empty(), "{failures} failures left {zombies:?} of {left:?}");
    leave_a_trace(&argument);
}

#[test]
fn without_descriptors_a_start_is_an_error_and_leaves_nothing() {
    in_a_fresh_process("attack::entry_without_descriptors");
}

#[test]
fn a_process_that_cannot_be_watched_is_not_left_behind() {
    limited(|| {
        let outcome = child(LIMIT, || {
            let full = Refuse {
                call: libc::SYS_pidfd_open,
                argument: 1,
                mask: u32::MAX,
                bits: 0,
                errno: libc::EMFILE,
            };
            refuse(&[full]).map_err(|error| error.to_string())?;
            // Neither a program that would wait for its order nor one that knows of none.
            let sleeper = Process::builder().program("/bin/sleep").start::<nothing>(());
            for started in [Process::start::<nothing>(()), sleeper] {
                let Err(StartError::NotStarted { .. }) = started else {
                    return Err(format!("{started:?}"));
                };
            }
            let left = children_of_this();
            if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}")) }
        });
        outcome.unwrap();
    });
}

/// Panics where it is read.
#[derive(Serialize)]
struct Trap;

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("it snapped")
    }
}

/// Cannot be read.
#[derive(Serialize)]
struct Riddle;

impl<'de> Deserialize<'de> for Riddle {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("no answer"))
    }
}

#[procshare::task]
fn walk_into(_trap: Trap) {}

#[procshare::task]
fn read_riddle(_riddle: Riddle) {}

#[test]
fn arguments_that_cannot_be_read_are_an_error_of_the_arguments() {
    limited(|| {
        for (error, reason) in [
            (Process::start::<walk_into>((Trap,)).unwrap_err(), "it snapped"),
            (Process::start::<read_riddle>((Riddle,)).unwrap_err(), "Deserialization"),
        ] {
            let said = error.to_string();
            assert!(matches!(error, StartError::Arguments { .. }) && said.contains(reason), "{said}");
        }
    });
}

/// Panics when it is dropped.
#[derive(Serialize, Deserialize)]
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0 || std::thread::panicking(), "dropped");
    }
}

#[procshare::task]
fn panic_in_many_ways(how: u32) -> Bomb {
    match how {
        0 => std::panic::panic_any(7u32),
        // The payload itself panics when it is dropped.
        1 => std::panic::panic_any(Bomb(true)),
        // The output does.
        2 => Bomb(true),
        // No hook hears of it.
        3 => std::panic::resume_unwind(Box::new("resumed")),
        // Only the second is the task's.
        4 => {
            let _ = std::panic::catch_unwind(|| panic!("caught"));
            std::panic::resume_unwind(Box::new("resumed"))
        }
        _ => {
            std::panic::set_hook(Box::new(|_| ()));
            panic!("unheard")
        }
    }
}

#[test]
fn a_panic_is_a_panic_whatever_it_carries() {
    limited(|| {
        let texts = ["no text", "no text", "dropped", "resumed", "resumed", "unheard"];
        for (how, text) in (0..).zip(texts) {
            let error = Process::start::<panic_in_many_ways>((how,)).unwrap().join().err();
            let is_right = matches!(&error, Some(TaskError::Panicked { message, .. })
                if message.contains(text) && !message.contains("caught"));
            assert!(is_right, "{how}: {error:?}");
        }
    });
}

#[procshare::task]
fn end_hard(how: u32) -> u32 {
    match how {
        0 => {
            struct Twice;
            impl Drop for Twice {
                fn drop(&mut self) {
                    panic!("again");
                }
            }
            let _twice = Twice;
            panic!("once")
        }
        1 => std::process::abort(),
        2 => deep(1),
        3 => std::process::exit(3),
        // SAFETY: ends the process.
        _ => unsafe { libc::_exit(4) },
    }
}

#[allow(unconditional_recursion, reason = "it ends with the stack")]
fn deep(n: u32) -> u32 {
    let room = std::hint::black_box([n; 4096]);
    deep(n + 1).wrapping_add(room[n as usize % 4096])
}

#[test]
fn hard_ends_are_seen_as_what_they_are() {
    limited(|| {
        let exits = [Exit::Signal(6), Exit::Signal(6), Exit::Signal(11), Exit::Code(3), Exit::Code(4)];
        for (how, wanted) in (0..).zip(exits) {
            let quiet = || File::create("/dev/null").unwrap();
            let process = Process::builder().stderr(quiet()).start::<end_hard>((how,)).unwrap();
            match process.join() {
                Err(TaskError::Died { exit, .. }) => assert_eq!(exit, wanted, "{how}"),
                other => panic!("{how}: {other:?}"),
            }
        }
    });
}

/// Forks; both return.
#[procshare::task]
fn fork_and_return(calls: Handle<AtomicValue<u32>>) -> u32 {
    // SAFETY: this process has one thread.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        return 77;
    }
    let mut status = 0;
    // SAFETY: a live word.
    unsafe { libc::waitpid(forked, &mut status, 0) };
    calls.attach().unwrap().fetch_add(1).unwrap();
    status as u32
}

#[test]
fn a_fork_that_returns_from_the_task_says_nothing() {
    limited(|| {
        let calls = AtomicValue::anonymous(0u32).unwrap();
        let process = Process::start::<fork_and_return>((&calls,)).unwrap();
        assert_eq!((process.join().unwrap(), calls.load()), (0, 1));
    });
}

/// Forks; the parent goes, and the child returns when it may.
#[procshare::task]
fn become_a_daemon(go: Handle<Event>, over: Handle<AtomicValue<u32>>) -> u32 {
    let (go, over) = (go.attach().unwrap(), over.attach().unwrap());
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } != 0 {
        std::process::exit(0);
    }
    // SAFETY: no pointers are passed.
    unsafe { libc::setsid() };
    go.wait().unwrap();
    over.store(std::process::id()).unwrap();
    78
}

#[test]
fn a_daemons_end_is_not_the_tasks() {
    limited(|| {
        let (go, over) = (Event::anonymous().unwrap(), AtomicValue::anonymous(0u32).unwrap());
        let process = Process::start::<become_a_daemon>((&go, &over)).unwrap();
        let died = |error| matches!(error, TaskError::Died { exit: Exit::Code(0), .. });
        assert!(died(process.join().unwrap_err()));
        go.set().unwrap();
        while over.load() == 0 {
            std::thread::yield_now();
        }
        until_gone(over.load());
        assert!(died(process.join().unwrap_err()));
    });
}

/// Closes all descriptors, and opens a file instead.
#[procshare::task]
fn close_all(path: String) -> Vec<u8> {
    // SAFETY: no pointers are passed; this process uses none of them afterwards.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    for _ in 0..16 {
        std::mem::forget(File::options().write(true).open(&path).unwrap());
    }
    vec![7; 100]
}

#[test]
fn a_task_that_closes_everything_spoils_no_file() {
    limited(|| {
        let path = std::env::temp_dir().join(format!("procshare-closed-{}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        let process = Process::start::<close_all>((path.to_str().unwrap(),)).unwrap();
        let outcome = process.join();
        std::fs::remove_file(&path).unwrap();
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"precious");
        assert!(matches!(outcome, Err(TaskError::Died { exit: Exit::Code(70), .. })), "{outcome:?}");
    });
}

#[procshare::task]
fn become_another() -> u32 {
    use std::os::unix::process::CommandExt as _;
    panic!("{}", std::process::Command::new("/bin/sh").args(["-c", "exit 9"]).exec())
}

#[test]
fn a_task_that_becomes_another_program_has_that_ones_end() {
    limited(|| {
        let outcome = Process::start::<become_another>(()).unwrap().join();
        assert!(matches!(outcome, Err(TaskError::Died { exit: Exit::Code(9), .. })), "{outcome:?}");
    });
}

#[procshare::task]
fn leave_a_thread() -> u32 {
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
    5
}

#[test]
fn threads_of_a_task_do_not_keep_its_process() {
    limited(|| {
        let process = Process::start::<leave_a_thread>(()).unwrap();
        assert_eq!(process.join().unwrap(), 5);
        until_gone(process.pid());
    });
}

#[test]
fn somebody_else_may_take_the_statuses() {
    limited(|| {
        let outcome = child(LIMIT, || {
            std::thread::spawn(|| {
                loop {
                    let mut status = 0;
                    // SAFETY: a live word.
                    if unsafe { libc::waitpid(-1, &mut status, 0) } < 0 {
                        std::thread::yield_now();
                    }
                }
            });
            for n in 0..20 {
                match Process::start::<say_and_echo>((format!("{n}"),)).map(|process| process.join()) {
                    Ok(Ok(text)) if text == format!("{n}") => {}
                    other => return Err(format!("{n}: {other:?}")),
                }
            }
            Ok(())
        });
        outcome.unwrap();
    });
}

#[test]
fn a_removed_directory_and_odd_environment_are_no_hindrance() {
    use std::os::unix::ffi::OsStringExt as _;
    limited(|| {
        let outcome = child(LIMIT, || {
            let gone = std::env::temp_dir().join(format!("procshare-gone-{}", std::process::id()));
            std::fs::create_dir(&gone).map_err(|error| error.to_string())?;
            std::env::set_current_dir(&gone).map_err(|error| error.to_string())?;
            std::fs::remove_dir(&gone).map_err(|error| error.to_string())?;
            let odd = std::ffi::OsString::from_vec(vec![b'a', 0xff, 0xfe]);
            let builder = Process::builder().env(&odd, &odd);
            match builder.start::<say_and_echo>(("here",)).map(|process| process.join()) {
                Ok(Ok(text)) if text == "here" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        outcome.unwrap();
    });
}

#[procshare::task]
fn length(text: String) -> usize {
    text.len()
}

#[test]
#[ignore = "long: run by ci/long.sh"]
fn arguments_may_have_a_hundred_megabytes() {
    limited(|| {
        let process = Process::start::<length>(("x".repeat(100_000_000),)).unwrap();
        assert_eq!(process.join().unwrap(), 100_000_000);
    });
}

/// A script that stops instead of taking over.
#[test]
fn a_process_that_is_stopped_in_the_handshake_is_given_up() {
    let path = std::env::temp_dir().join(format!("procshare-stopped-{}", std::process::id()));
    write_script(&path, "#!/bin/sh\nkill -STOP $$\n");
    limited(|| {
        let builder = Process::builder().program(&path).start_timeout(std::time::Duration::from_millis(100));
        let error = builder.start::<nothing>(()).unwrap_err();
        assert!(matches!(error, StartError::TimedOut { .. }), "{error}");
    });
    std::fs::remove_file(&path).unwrap();
}
