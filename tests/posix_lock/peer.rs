//! C programs that use the same lock.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use procshare::{Cause, Error, LockError, PosixLock, SharedMemory};

use crate::support::{TestSpace, guarded};

/// The compiled peer; `None`, with a word about it, where there is no C compiler.
fn program() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/posix_lock/peer.c");
    let program =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("posix-lock-peer-{}", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread", "-o"]);
    match compiler.arg(&program).arg(source).status() {
        Ok(status) => assert!(status.success(), "cc: {status}"),
        Err(error) => {
            println!("skipped: the C peer, because cc cannot be run ({error})");
            return None;
        }
    }
    Some(program)
}

/// A lock and the table that is counted in, in a space of their own.
pub(crate) struct Scene {
    pub(crate) lock: PosixLock,
    pub(crate) table: SharedMemory,
    home: TestSpace,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let home = TestSpace::new();
        let lock = PosixLock::builder().space(&home.space).create("lock").unwrap();
        let table = SharedMemory::builder().space(&home.space).create("table", 512).unwrap();
        Scene { lock, table, home }
    }

    /// Starts the peer; `None` without a C compiler.
    pub(crate) fn start(&self, arguments: &[&str]) -> Option<Running> {
        let mut command = Command::new(program()?);
        command.args([self.home.directory.join("lock"), self.home.directory.join("table")]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        Some(Running(command.spawn().unwrap()))
    }
}

/// A running C program, killed at the end.
pub(crate) struct Running(Child);

impl Running {
    /// The next line it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until it has ended well.
    pub(crate) fn finish(mut self) {
        let status = self.0.wait().unwrap();
        assert!(status.success(), "the C peer ended with {status}");
    }

    /// Whether it has ended by itself, and that badly.
    pub(crate) fn complaint(&mut self) -> Option<String> {
        self.0
            .try_wait()
            .unwrap()
            .filter(|status| !status.success())
            .map(|status| format!("the C peer ended with {status}"))
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn each_side_excludes_the_other() {
    guarded(|| {
        let scene = Scene::new();
        let Some(mut peer) = scene.start(&["hold"]) else { return };
        assert_eq!(peer.line(), "clean");
        assert!(matches!(scene.lock.try_lock(), Err(LockError::WouldBlock)));
        peer.kill();
        let guard = scene.lock.lock().unwrap_err().into_guard().unwrap();
        guard.make_consistent();
        let mut waiting = scene.start(&["once"]).unwrap();
        assert!(waiting.0.try_wait().unwrap().is_none());
        drop(guard);
        assert_eq!(waiting.line(), "clean");
        waiting.finish();
    });
}

#[test]
fn a_killed_c_holder_is_told_to_rust() {
    guarded(|| {
        let scene = Scene::new();
        let Some(mut peer) = scene.start(&["hold"]) else { return };
        assert_eq!(peer.line(), "clean");
        peer.kill();
        match scene.lock.lock() {
            Err(LockError::OwnerDied(outcome)) => assert_eq!(outcome.cause(), Cause::Died),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn what_rust_leaves_unrepaired_is_told_to_c_and_c_repairs() {
    guarded(|| {
        let scene = Scene::new();
        let Some(mut peer) = scene.start(&["hold"]) else { return };
        assert_eq!(peer.line(), "clean");
        peer.kill();
        // Rust comes first, and gives it back as it was.
        drop(scene.lock.lock());
        let mut repairer = scene.start(&["once"]).unwrap();
        assert_eq!(repairer.line(), "died");
        repairer.finish();
        drop(scene.lock.lock().unwrap());
    });
}

#[test]
fn a_mutex_that_c_leaves_inconsistent_is_a_typed_error() {
    guarded(|| {
        let scene = Scene::new();
        let Some(mut peer) = scene.start(&["hold"]) else { return };
        assert_eq!(peer.line(), "clean");
        peer.kill();
        let mut spoiler = scene.start(&["spoil"]).unwrap();
        assert_eq!(spoiler.line(), "died");
        spoiler.finish();
        for outcome in [scene.lock.lock(), scene.lock.try_lock()] {
            assert!(matches!(outcome, Err(LockError::Failed(Error::NotRecoverable { .. }))), "{outcome:?}");
        }
    });
}
