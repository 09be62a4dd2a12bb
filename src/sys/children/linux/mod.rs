//! Linux: `posix_spawn`, process descriptors, and a socket that arrives as standard input.
//!
//! Only the three standard descriptors can be handed over without leaving one open across somebody else's `exec`. So the line
//! takes the place of standard input; the real one travels through it, and is put in place before anything of the program runs.

mod entry;
mod image;
mod line;
mod sentinel;

pub(crate) use entry::{Constructor, arrive, call_me, die_with, enter, leave_session};
pub(crate) use image::{build_id, code_digest};
pub(crate) use line::{Line, Paper};
pub use sentinel::Sentinel;
pub(crate) use sentinel::{Bell, watch};

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Input, Started, VARIABLE};

/// What to run to get this very program again: it names the file that runs, whatever has its path now.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    let itself = Path::new("/proc/self/exe");
    if itself.symlink_metadata().is_ok() { Ok(itself.to_owned()) } else { std::env::current_exe() }
}

/// Runs `command` with `paper`.
pub(crate) fn start(command: &mut Command, paper: &Paper, input: Input) -> io::Result<Started> {
    let (line, theirs) = Line::pair()?;
    // Before there is anybody to read it: whoever starts finds it, or was not started by this.
    line.hand_over(paper, input)?;
    command.stdin(theirs.into_input()).env(VARIABLE, "1");
    let child = command.spawn();
    // The command keeps its end of the line: it must not look as if the child still had it.
    command.stdin(std::process::Stdio::null());
    let mut child = child?;
    // It waits for the word: until then its number is its own, even where nobody has to take the status of the dead.
    let watched = Sentinel::of_child(child.id()).and_then(|sentinel| line.let_go().map(|()| sentinel));
    match watched {
        Ok(sentinel) => Ok(Started { pid: child.id(), sentinel, line }),
        Err(error) => {
            // Nobody could notice its end. What fails here failed because it has ended.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// Gives `command` the name that this program was called by.
pub(crate) fn called_as_this(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.arg0(std::env::args_os().next().unwrap_or_default());
}
