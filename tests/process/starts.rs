//! Where from, and with what, a process can be started.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use procshare::process::{Process, StartError, TaskError, active_children, current_process, parent_process};
use procshare_harness::{Reexec, child, entered};

use crate::support::{LIMIT, limited, write_script};

#[procshare::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[procshare::task(name = "a name of my own")]
pub(crate) fn named() -> (String, String, u32, String) {
    let (me, parent) = (current_process(), parent_process().unwrap());
    (me.name().into(), me.task().unwrap().into(), parent.pid(), parent.name().into())
}

#[procshare::task]
fn nested(depth: u32) -> u32 {
    if depth == 0 { 0 } else { 1 + Process::start::<nested>((depth - 1,)).unwrap().join().unwrap() }
}

#[procshare::task]
fn asleep() {
    loop {
        std::thread::park();
    }
}

#[test]
fn a_task_is_still_a_function() {
    assert_eq!(add(2, 3), 5);
    assert_eq!(limited(|| Process::start::<add>((2, 3)).unwrap().join().unwrap()), 5);
}

#[test]
fn it_knows_its_name_and_its_starter() {
    let (name, task, parent, parent_name) =
        limited(|| Process::builder().name("Ada").start::<named>(()).unwrap().join().unwrap());
    assert_eq!((name.as_str(), task.as_str(), parent_name.as_str()), ("Ada", "a name of my own", "main"));
    assert_eq!(parent, std::process::id());
    assert!(parent_process().is_none());
}

#[test]
fn tasks_start_tasks() {
    assert_eq!(limited(|| Process::start::<nested>((3,)).unwrap().join().unwrap()), 3);
}

#[test]
fn many_threads_start_processes_at_once_while_others_allocate() {
    limited(|| {
        let busy = Arc::new(AtomicBool::new(true));
        let noise: Vec<_> = (0..2)
            .map(|_| {
                let busy = Arc::clone(&busy);
                std::thread::spawn(move || {
                    while busy.load(Ordering::Relaxed) {
                        std::hint::black_box(vec![0u8; 10_000]);
                    }
                })
            })
            .collect();
        let starters: Vec<_> = (0..4u64)
            .map(|a| {
                std::thread::spawn(move || {
                    (0..5).map(|b| Process::start::<add>((a, b)).unwrap().join().unwrap()).sum::<u64>()
                })
            })
            .collect();
        let sum: u64 = starters.into_iter().map(|thread| thread.join().unwrap()).sum();
        busy.store(false, Ordering::Relaxed);
        noise.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(sum, (0..4).map(|a| (0..5).map(|b| a + b).sum::<u64>()).sum::<u64>());
    });
}

#[test]
fn no_descriptor_but_the_standard_ones_is_inherited() {
    #[procshare::task]
    fn descriptors() -> Vec<(i32, String)> {
        // What the task itself has: the directory it reads, the paper, and the sentinel of the starter.
        let own = ["/proc/", "/memfd:procshare-task", "anon_inode:[pidfd]", "pidfd:"];
        let mut found = open_descriptors();
        found.retain(|(_, target)| !own.iter().any(|own| target.starts_with(own)));
        found
    }
    limited(|| {
        // Those that this process was itself started with are meant for all.
        let mut meant = open_descriptors();
        // SAFETY: no pointers are passed; a number that is none is answered by an error.
        meant.retain(|&(fd, _)| fd > 2 && unsafe { libc::fcntl(fd, libc::F_GETFD) } == 0);
        let null = || std::fs::File::create("/dev/null").unwrap();
        let others: Vec<_> = (0..4).map(|_| Process::start::<asleep>(()).unwrap()).collect();
        let started = Process::builder().stdout(null()).stderr(null()).start::<descriptors>(()).unwrap();
        let mut found = started.join().unwrap();
        found.retain(|one| !meant.contains(one));
        let null = "/dev/null".to_owned();
        assert_eq!(found, [(0, null.clone()), (1, null.clone()), (2, null)]);
        others.iter().for_each(|other| other.kill().unwrap());
    });
}

/// Number and target of each.
fn open_descriptors() -> Vec<(i32, String)> {
    let look = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.parse().ok()?;
        Some((number, std::fs::read_link(path).ok()?.display().to_string()))
    };
    let mut found: Vec<_> = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(look).collect();
    found.sort();
    found
}

/// Copies this program. Another process does: the descriptor it writes to is in no fork of this one, which would keep the copy from
/// being run.
fn copy_of_this(path: &std::path::Path) {
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(path).status().unwrap().success());
}

/// Removes and replaces its own program before it starts a task.
#[test]
fn entry_replaced_program() {
    let Some(path) = entered("starts::entry_replaced_program") else { return };
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Process::start::<add>((1, 2)).unwrap().join().unwrap(), 3);
    std::fs::write(&path, "#!/bin/false\n").unwrap();
    assert_eq!(Process::start::<add>((3, 4)).unwrap().join().unwrap(), 7);
    std::fs::remove_file(&path).unwrap();
    println!("both ran");
}

#[test]
fn the_program_may_be_removed_and_replaced_meanwhile() {
    let copy = std::env::temp_dir().join(format!("procshare-copy-{}", std::process::id()));
    copy_of_this(&copy);
    let entry = Reexec::new("starts::entry_replaced_program").argument(copy.display().to_string());
    let original = entry.command().unwrap();
    let mut command = Command::new(&copy);
    command.args(original.get_args());
    for (key, value) in original.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    let output = limited(|| command.output().unwrap());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("both ran"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn another_build_is_refused() {
    let mut other = std::env::current_exe().unwrap();
    other.pop();
    other.pop();
    other.push("examples/parallel_map");
    assert!(other.exists(), "{} is missing: `cargo test` as a whole builds it", other.display());
    let refused = limited(|| Process::builder().program(other).start::<add>((1, 2)).unwrap_err());
    let said = refused.to_string();
    assert!(matches!(refused, StartError::Refused { .. }) && said.contains("parallel_map"), "{said}");
    // The same program under another name is the same build.
    let copy = std::env::temp_dir().join(format!("procshare-same-{}", std::process::id()));
    copy_of_this(&copy);
    let same = limited(|| Process::builder().program(&copy).start::<add>((1, 2)).unwrap().join());
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(same.unwrap(), 3);
}

#[test]
fn a_program_that_knows_no_tasks_is_an_error_in_time() {
    let early = limited(|| Process::builder().program("/bin/true").start::<add>((1, 2)).unwrap_err());
    assert!(matches!(early, StartError::EndedEarly { exit, .. } if exit.success()), "{early}");
    let none = limited(|| Process::builder().program("/no/such/program").start::<add>((1, 2)).unwrap_err());
    assert!(matches!(none, StartError::NotStarted { .. }), "{none}");
    let sleeper = std::env::temp_dir().join(format!("procshare-sleeper-{}", std::process::id()));
    write_script(&sleeper, "#!/bin/sh\nexec sleep 1000\n");
    let before = Instant::now();
    let timeout = Duration::from_millis(50);
    let late = limited(|| {
        Process::builder().program(&sleeper).start_timeout(timeout).start::<add>((1, 2)).unwrap_err()
    });
    std::fs::remove_file(&sleeper).unwrap();
    assert!(matches!(late, StartError::TimedOut { .. }), "{late}");
    assert!(before.elapsed() >= timeout);
}

#[test]
fn a_forked_child_starts_its_own_and_does_not_take_its_parents() {
    limited(|| {
        let parents = Process::start::<asleep>(()).unwrap();
        let outcome = child(LIMIT, || {
            if !matches!(parents.join(), Err(TaskError::NotAChild { .. })) || parents.exit_status().is_some()
            {
                return Err("the parent's child was waited for".to_owned());
            }
            if !active_children().is_empty() {
                return Err("the parent's child is listed".to_owned());
            }
            match Process::start::<add>((1, 2)).map(|started| started.join()) {
                Ok(Ok(3)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        outcome.unwrap();
        assert!(parents.is_alive());
        parents.kill().unwrap();
    });
}
