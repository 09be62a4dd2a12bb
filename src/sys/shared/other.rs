//! Another process for the suite: the test binary started afresh.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::sys::contract::{Role, play};

const ROLE: &str = "PROCSHARE_CONTRACT_ROLE";
const DIRECTORY: &str = "PROCSHARE_CONTRACT_DIRECTORY";
const READY: &str = "@ready";

/// A process that plays a role.
pub(crate) struct Other {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Kept open, for what the test runner over there says at the end.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Other {
    /// Starts it; it is ready when this returns.
    pub(crate) fn start(role: Role, directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sys::imp::other::entry", "--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{role:?}"))
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().ends_with(READY));
        assert!(ready, "the other process failed before it was ready to {role:?}");
        Other { child, stdin, _stdout: lines }
    }

    /// Kills it without warning; it is dead, and known to be, when this returns.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; tells whether it ended well.
    pub(crate) fn finish(mut self) -> bool {
        drop(self.stdin.take());
        self.child.wait().unwrap().success()
    }

    /// Stops it in its tracks, alive.
    #[cfg(unix)]
    pub(crate) fn stop(&self) {
        // SAFETY: (S1) the child is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGSTOP) }, 0);
        let mut status = 0;
        // SAFETY: (S1) `status` is a valid destination.
        let got = unsafe { libc::waitpid(self.child.id() as i32, &mut status, libc::WUNTRACED) };
        assert!(got == self.child.id() as i32 && libc::WIFSTOPPED(status));
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ROLES: [Role; 7] =
    [Role::Sit, Role::Attach, Role::Make, Role::Sleep, Role::CloseAll, Role::SitAndFork, Role::WriteReadOnly];

/// Not a test: where the other process begins.
#[test]
fn entry() {
    let (Some(role), Some(directory)) = (std::env::var(ROLE).ok(), std::env::var_os(DIRECTORY)) else {
        return;
    };
    let role = ROLES.into_iter().find(|known| format!("{known:?}") == role).expect("the test names a role");
    let mut ready = || {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{READY}").unwrap();
        out.flush().unwrap();
    };
    let held = play(role, directory.as_ref(), &mut ready);
    // Until the test ends or says so.
    let mut line = String::new();
    let _ = std::io::stdin().lock().read_line(&mut line);
    drop(held);
}
