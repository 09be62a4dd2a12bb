//! The command as its users meet it: the real binary, against live objects.

mod doctor;
mod ls;
mod rm;
mod serve;
mod tail;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use procshare::{Lock, Space};
use serde_json::Value;

/// A private space on the memory file system, removed at the end.
struct Place {
    path: PathBuf,
    space: Space,
}

impl Place {
    fn new(test: &str) -> Self {
        let path = PathBuf::from(format!("/dev/shm/procshare-cli-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let space = Space::at(&path).open_or_create().unwrap();
        Place { path, space }
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self, name: &str) -> Lock {
        Lock::builder().space(&self.space).create(name).unwrap()
    }

    /// Runs `procshare ARGS --space <this>`.
    fn run(&self, args: &[&str]) -> Ran {
        let path = self.path.to_str().unwrap();
        procshare(&[args, &["--space", path]].concat())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code().expect("no signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_procshare"))
}

fn procshare(args: &[&str]) -> Ran {
    command().args(args).stdin(Stdio::null()).output().unwrap().into()
}

#[test]
fn help_shows_examples_and_exit_codes() {
    for subcommand in ["ls", "show", "rm", "gc", "doctor", "serve"] {
        let help = procshare(&[subcommand, "--help"]).exits(0);
        assert!(help.out.contains("Examples:"), "{subcommand}");
        assert!(help.out.contains(&format!("procshare {subcommand}")), "{subcommand}");
    }
    assert!(procshare(&["--help"]).exits(0).out.contains("Exit codes:"));
    assert!(procshare(&["--version"]).exits(0).out.starts_with("procshare "));
}

#[test]
fn wrong_command_lines_exit_with_2() {
    let wrong: [&[&str]; 9] = [
        &[],
        &["list"],
        &["ls", "a", "--space", "b"],
        &["ls", "--trust", "everybody", "--space", "/tmp"],
        &["ls", "--trust", "group"],
        &["ls", "work", "--trust", "group"],
        &["show"],
        &["show", "work/x", "--space", "work"],
        &["show", "not a name"],
    ];
    for args in wrong {
        let ran = procshare(args).exits(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{ran:?}");
    }
}

#[test]
fn a_reader_who_leaves_is_no_failure() {
    let place = Place::new("pipe");
    // More output than a pipe holds.
    let _locks: Vec<_> = (0..1500).map(|index| place.lock(&format!("lock-{index}"))).collect();
    for args in [&["ls"][..], &["ls", "--json"]] {
        let mut child = command()
            .args(args)
            .arg("--space")
            .arg(place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Nobody ever reads: the first flush finds the pipe closed.
        drop(child.stdout.take());
        let ran = Ran::from(child.wait_with_output().unwrap()).exits(0);
        assert_eq!(ran.err, "");
    }
}
