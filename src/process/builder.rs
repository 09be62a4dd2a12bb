//! How a process is started.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::child::{NO, UNFIT, YES};
use super::codec::written;
use super::current::current_process;
use super::error::StartError;
use super::handle::Process;
use super::keeper::{self, Child, OnEnd};
use super::order::Order;
use super::task::{Arguments, Entry, Task};
use crate::participant::pinning;
use crate::sys::children::{self, Greeting, Input, Line, Paper, Request};
use crate::time::Deadline;

/// How long a new process may take until it has its arguments, unless said otherwise: machines may be slow and full.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What a new process reads as its standard input.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// This file, pipe or terminal.
    From(File),
}

impl From<File> for Stdin {
    fn from(file: File) -> Self {
        Stdin::From(file)
    }
}

/// One of the options that the system's own command has.
type Edit = Box<dyn FnOnce(&mut Command) + Send>;

/// Options of a new process, from [`Process::builder`].
///
/// ```
/// use procshare::process::{Process, current_process};
///
/// #[procshare::task]
/// fn introduce(greeting: String) -> String {
///     format!("{greeting} {} {}", std::env::var("TITLE").unwrap(), current_process().name())
/// }
///
/// let child = Process::builder().name("Ada").env("TITLE", "Lady").start::<introduce>(("I am",))?;
/// assert_eq!(child.join()?, "I am Lady Ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "options do nothing until `start` is called"]
pub struct ProcessBuilder {
    /// What else is said of the command, in the order in which it was said.
    edits: Vec<Edit>,
    name: Option<String>,
    stdin: Stdin,
    detached: bool,
    program: Option<PathBuf>,
    start_timeout: Duration,
    on_end: Option<OnEnd>,
}

impl fmt::Debug for ProcessBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessBuilder")
            .field("name", &self.name)
            .field("detached", &self.detached)
            .finish_non_exhaustive()
    }
}

impl ProcessBuilder {
    pub(super) fn new() -> Self {
        ProcessBuilder {
            edits: Vec::new(),
            name: None,
            stdin: Stdin::Null,
            detached: false,
            program: None,
            start_timeout: START_TIMEOUT,
            on_end: None,
        }
    }

    /// Names the process, for [`current_process`] and for `ps`; the task's name and a number unless said.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets an environment variable of the process.
    pub fn env(self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (key, value) = (key.as_ref().to_owned(), value.as_ref().to_owned());
        self.edit(move |command| command.env(key, value))
    }

    /// Keeps an environment variable from the process.
    pub fn env_remove(self, key: impl AsRef<OsStr>) -> Self {
        let key = key.as_ref().to_owned();
        self.edit(move |command| command.env_remove(key))
    }

    /// Keeps all environment variables from the process but those that are set after this.
    pub fn env_clear(self) -> Self {
        self.edit(|command| command.env_clear())
    }

    /// Sets the working directory; that of the starter unless said.
    pub fn current_dir(self, directory: impl AsRef<Path>) -> Self {
        let directory = directory.as_ref().to_owned();
        self.edit(move |command| command.current_dir(directory))
    }

    /// Says what the process reads as its standard input; nothing unless said.
    pub fn stdin(mut self, stdin: impl Into<Stdin>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Says where its standard output goes; where that of the starter goes unless said. Give a file or [`Stdio::null`]: a pipe
    /// of [`Stdio::piped`] has no reader.
    pub fn stdout(self, stdout: impl Into<Stdio>) -> Self {
        let stdout = stdout.into();
        self.edit(move |command| command.stdout(stdout))
    }

    /// Says where its standard error goes; where that of the starter goes unless said. As [`stdout`](Self::stdout).
    pub fn stderr(self, stderr: impl Into<Stdio>) -> Self {
        let stderr = stderr.into();
        self.edit(move |command| command.stderr(stderr))
    }

    /// Lets the process live on when its starter ends, in a session of its own. Others are killed then, however the starter ended:
    /// unless the task changes its user, or becomes a program that does so, which takes that back.
    pub fn detached(mut self, yes: bool) -> Self {
        self.detached = yes;
        self
    }

    /// How long the process may take until it has its arguments; 60 s unless said.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Runs the program at `path`, which must be this same build: a copy, for example. Not needed for a program whose file was
    /// replaced or removed.
    pub fn program(mut self, path: impl AsRef<Path>) -> Self {
        self.program = Some(path.as_ref().to_owned());
        self
    }

    /// Calls `then` when the process has ended; it must not block.
    pub(super) fn on_end(mut self, then: OnEnd) -> Self {
        self.on_end = Some(then);
        self
    }

    /// Starts the task `T` and returns once the process has its arguments and is attached to the objects whose handles are among them.
    ///
    /// # Errors
    ///
    /// [`StartError`]; no process is left behind then.
    pub fn start<T: Task>(self, args: impl Arguments<T::Args>) -> Result<Process<T::Output>, StartError> {
        let entry = T::entry();
        // Scoped objects stay while this lives: until the process is attached to them itself.
        let (args, _pins) = pinning(|| written(|to| args.encode_all(to)));
        let reason =
            |error: postcard::Error| StartError::Arguments { task: entry.name, reason: error.to_string() };
        let (child, paper) = self.run(entry, &args.map_err(reason)?)?;
        Ok(Process::new(entry.name, child, paper))
    }

    fn run(mut self, entry: &'static Entry, args: &[u8]) -> Result<(Arc<Child>, Arc<Paper>), StartError> {
        let fail = StartError::not_started(entry.name);
        let name = self.name.take().unwrap_or_else(|| default_name(entry));
        let paper = Arc::new(Paper::new().map_err(&fail)?);
        let order = Order::new(entry, name.clone(), current_process().name().to_owned(), self.detached);
        order.write(args, &paper).map_err(&fail)?;
        let program = match self.program.take() {
            Some(path) => path,
            None => children::own_program().map_err(&fail)?,
        };
        let (deadline, waited) = (Deadline::after(self.start_timeout), self.start_timeout);
        let input = match std::mem::take(&mut self.stdin) {
            Stdin::Null => Input::Null,
            Stdin::From(file) => Input::Is(file),
        };
        let on_end = self.on_end.take();
        let command = self.command(&program, entry);
        let (child, line) = keeper::start(command, Arc::clone(&paper), input, name, on_end).map_err(&fail)?;
        match greeted(&child, &line, deadline) {
            Ok(Greeting::Said(text)) if text[0] == YES => Ok((child, paper)),
            other => {
                // Whatever it is, it is not what was started; and it may be waiting for something.
                let _ = child.ask(Request::Kill);
                let exit = child.wait(Deadline::Never);
                Err(match other.map_err(&fail)? {
                    Greeting::Said(text) if text[0] == NO => StartError::Refused {
                        task: entry.name,
                        reason: String::from_utf8_lossy(&text[1..]).into_owned(),
                    },
                    Greeting::Said(text) if text[0] == UNFIT => StartError::Arguments {
                        task: entry.name,
                        reason: String::from_utf8_lossy(&text[1..]).into_owned(),
                    },
                    Greeting::Late => StartError::TimedOut { task: entry.name, waited },
                    _ => StartError::EndedEarly {
                        task: entry.name,
                        exit: exit.unwrap_or(super::error::Exit::Unknown),
                    },
                })
            }
        }
    }

    fn edit(mut self, edit: impl FnOnce(&mut Command) -> &mut Command + Send + 'static) -> Self {
        self.edits.push(Box::new(move |command| {
            edit(command);
        }));
        self
    }

    /// The command. Its arguments are for whoever looks at `ps`, and make a program that does not know of tasks fail instead of
    /// doing its own work once more.
    pub(super) fn command(&mut self, program: &Path, entry: &Entry) -> Command {
        let mut command = Command::new(program);
        children::called_as_this(&mut command);
        command.args(["--procshare-task", entry.name]);
        for edit in std::mem::take(&mut self.edits) {
            edit(&mut command);
        }
        command
    }
}

fn greeted(child: &Child, line: &Line, deadline: Deadline) -> std::io::Result<Greeting> {
    line.listen(child.sentinel(), deadline)
}

fn default_name(entry: &Entry) -> String {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    // Relaxed: only a number that nobody else gets.
    let number = STARTED.fetch_add(1, Ordering::Relaxed) + 1;
    let task = entry.name.rsplit("::").next().unwrap_or(entry.name);
    format!("{task}-{number}")
}
