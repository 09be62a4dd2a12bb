//! Processes that this one starts: one contract beside the backends, because whatever memory is shared through, processes are
//! the system's.
//!
//! | item | contract |
//! |---|---|
//! | `own_program` | what to run to get this very program again, also after its file was replaced |
//! | `start` | runs a command with a paper and a line; never a fork of this process's memory |
//! | `Paper` | a nameless file that starter and started both have: what to do, and what came of it |
//! | `Line` | what the started process says first |
//! | `Sentinel` | a process that cannot be mistaken for a later one: its end can be waited for, it can be signalled |
//! | `Bell`, `watch` | sleeping until any of many processes ends, or somebody rings |
//! | `arrive` | what the starter left for this process |
//! | `at_start!` | a function that runs before `main` if the process was started by `start` |
//! | `die_with`, `leave_session`, `call_me` | what the started process does first |
//! | `build_id`, `code_digest` | what the linker calls this program, if it does; what tells its code from another's |
//!
//! Where there is no implementation `start` fails with [`std::io::ErrorKind::Unsupported`], and nothing runs before `main`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(not(target_os = "linux"))]
use other as imp;

pub use imp::Sentinel;
pub(crate) use imp::{
    Bell, Line, Paper, arrive, build_id, call_me, called_as_this, code_digest, die_with, leave_session,
    own_program, start, watch,
};

use std::fs::File;

/// Runs `$function` before `main` if [`start`] started this process: with an [`Arrival`]. The process
/// ends with the code that it returns.
macro_rules! at_start {
    ($function:path) => {
        #[cfg(all(target_os = "linux", not(miri)))]
        const _: () = {
            extern "C" fn enter(
                count: std::ffi::c_int,
                arguments: *const *const std::ffi::c_char,
                environment: *const *const std::ffi::c_char,
            ) {
                $crate::sys::children::enter((count, arguments, environment), enter, $function);
            }

            #[used]
            #[unsafe(link_section = ".init_array")]
            static ENTER: $crate::sys::children::Constructor = enter;
        };
        #[cfg(not(all(target_os = "linux", not(miri))))]
        const _: fn($crate::sys::children::Arrival) -> i32 = $function;
    };
}
pub(crate) use at_start;

#[cfg(target_os = "linux")]
pub(crate) use imp::{Constructor, enter};

/// The environment variable that a started process finds.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing is started there"))]
pub(crate) const VARIABLE: &str = "PROCSHARE_TASK";

/// What a started process finds.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing is started there"))]
pub(crate) struct Arrival {
    pub(crate) paper: Paper,
    pub(crate) line: Line,
    /// The starter.
    pub(crate) parent: u32,
}

/// What runs now.
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) sentinel: Sentinel,
    pub(crate) line: Line,
}

/// What a started process says first, or why it says nothing.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing is started there"))]
pub(crate) enum Greeting {
    Said(Vec<u8>),
    /// It ended without a word.
    Ended,
    /// The time passed.
    Late,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing is started there"))]
pub(crate) enum Ended {
    Code(i32),
    Signal(i32),
    /// Somebody else took its status, or the program ignores the end of its children.
    Unknown,
}

/// What can be asked of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    Terminate,
    Kill,
}

/// What the started process's standard input shall be.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing is started there"))]
pub(crate) enum Input {
    Null,
    Is(File),
}
