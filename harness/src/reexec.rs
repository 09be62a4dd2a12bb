//! Unrelated processes: the test binary started afresh, with a named entry.

use crate::Child;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

const ENTRY: &str = "PROCSHARE_ENTRY";
const ARGUMENT: &str = "PROCSHARE_ENTRY_ARGUMENT";

/// Starts the current test binary as a new process that runs one test function only.
///
/// Nothing is inherited but standard error and the environment: no memory, no handles, no participant. The function is
/// an ordinary test that begins with [`entered`]; started by the test runner it returns at once.
///
/// ```no_run
/// use procshare_harness::{entered, Reexec};
///
/// // #[test]
/// fn entry_opener() {
///     let Some(name) = entered("entry_opener") else { return };
///     assert!(name.starts_with("segment-")); // open it, use it ...
/// }
///
/// // #[test]
/// fn two_programs_meet() {
///     let child = Reexec::new("entry_opener").argument("segment-1").spawn().unwrap();
///     child.wait(std::time::Duration::from_secs(10)).unwrap();
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Reexec {
    entry: String,
    argument: String,
    env: Vec<(OsString, OsString)>,
}

impl Reexec {
    /// Names the test function, with its modules: `module::function`.
    pub fn new(entry: impl Into<String>) -> Self {
        Reexec { entry: entry.into(), argument: String::new(), env: Vec::new() }
    }

    /// Hands a text to the entry (default: empty).
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.argument = argument.into();
        self
    }

    /// Sets an environment variable of the new process.
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// The command that starts it, for further changes.
    ///
    /// # Errors
    ///
    /// If the path of the running program is unknown.
    pub fn command(&self) -> std::io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([&self.entry, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
            .env(ENTRY, &self.entry)
            .env(ARGUMENT, &self.argument)
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(command)
    }

    /// Starts the process; it dies with the thread that started it.
    ///
    /// A failed assertion of the entry ends it as [`Exit::Panicked`](crate::Exit::Panicked), with the message on
    /// standard error. An entry that does not exist would end cleanly, having run nothing: have it leave a trace.
    ///
    /// # Errors
    ///
    /// Those of [`Command::spawn`].
    pub fn spawn(&self) -> std::io::Result<Child> {
        let mut command = self.command()?;
        let parent = std::process::id() as libc::pid_t;
        // SAFETY: between fork and exec only system calls are made: prctl, getppid, setrlimit, perhaps _exit.
        unsafe {
            command.pre_exec(move || {
                crate::proc::die_with_parent(parent);
                Ok(())
            })
        };
        let child = command.spawn()?;
        Ok(Child::adopt(child.id() as libc::pid_t))
    }
}

/// The argument, if this process was started by [`Reexec`] to run this entry; None in an ordinary test run.
pub fn entered(entry: &str) -> Option<String> {
    (std::env::var(ENTRY).ok()? == entry).then(|| std::env::var(ARGUMENT).unwrap_or_default())
}
