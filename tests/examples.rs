//! Every example runs, says what it shall, and is short enough to be read.
// Real processes: the heap backend has none.
#![cfg(any(not(feature = "heap"), feature = "portable"))]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use procshare_harness::watchdog;

fn example(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let path = path.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: `cargo build --examples` first, or `cargo test` as a whole",
        path.display()
    );
    Command::new(path)
}

fn says(name: &str, arguments: &[&str], text: &str) {
    let output = watchdog(Duration::from_secs(120), || example(name).args(arguments).output().unwrap());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains(text), "{name}: {out}{err}");
}

#[test]
fn counter() {
    says("counter", &[], "4 processes counted to 1000000");
}

#[test]
fn shared_array() {
    says("shared_array", &[], "100000 elements");
}

#[test]
fn producer_consumer() {
    says("producer_consumer", &[], "10000 jobs done, each once: true");
}

#[test]
fn work_queue() {
    says("work_queue", &[], "1000 tasks done, all right: true");
}

#[test]
fn frames() {
    says("frames", &[], "200 of 200 pictures of 1 MiB");
}

#[test]
fn ticker() {
    says("ticker", &[], "20000 prices, every one heard or counted: true");
}

#[test]
fn survive_a_kill() {
    says("survive_a_kill", &[], "the balance is 150");
}

#[test]
fn meet_by_name() {
    let name = format!("guest-book-{}", std::process::id());
    says("meet_by_name", &[&name], "I am the first");
    says("meet_by_name", &[&name], "visit 2: before me came process");
    says("meet_by_name", &[&name, "leave"], "");
}

#[test]
fn parallel_map() {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    says("parallel_map", &[source.to_str().unwrap()], "lines");
}

#[cfg(feature = "manager")]
#[test]
fn shared_config() {
    says("shared_config", &[], "worker 2 uses red and blue\n3 workers took part");
}

#[cfg(feature = "manager")]
#[test]
fn job_board() {
    says("job_board", &[], "unlucky was killed with job 0 in its hands");
    says("job_board", &[], "300 jobs are done, 0 are left");
}

#[cfg(feature = "manager")]
#[test]
fn remote_manager() {
    says("remote_manager", &[], "visit 2 with fence");
    says("remote_manager", &[], "a stranger was refused: wrong key");
}

#[test]
fn pool_with_array() {
    says("pool_with_array", &[], "9592 primes below 100000");
}

#[test]
fn pipeline() {
    says("pipeline", &[], "the sum of 10000 squares is 333283335000");
}

#[test]
fn by_handle() {
    says("by_handle", &[], "the other program has counted to 42");
}

#[test]
fn none_is_longer_than_sixty_lines() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 60, "{} has {lines} lines", path.display());
        examples += 1;
    }
    assert!(examples >= 5);
}
