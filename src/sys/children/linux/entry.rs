//! The first steps of a started process, before `main`.

use std::ffi::{CString, c_char, c_int};
use std::fs::File;
use std::os::fd::AsRawFd;

use super::image;
use super::line::Line;
use crate::sys::children::{Arrival, VARIABLE};

/// A function that the system calls before `main`.
pub(crate) type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// What it is called with.
type Call = (c_int, *const *const c_char, *const *const c_char);

/// If this process was started to run a task: lets the program's other constructors run, then `task`, and ends
/// with the code that it returns.
///
/// `own` is the constructor that calls this.
pub(crate) fn enter(call: Call, own: Constructor, task: fn(Arrival) -> i32) {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let Some(arrival) = arrive() else { return };
    // SAFETY: (S1) nothing of the program has run yet that could have started a thread; constructors of libraries that do so and
    // read the environment there are beyond what Rust programs can cope with at all.
    unsafe { std::env::remove_var(VARIABLE) };
    // What the runtime would do before `main`: a broken pipe is an error, and no end.
    // SAFETY: (S1) ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // `main` does not come any more: what other parts of the program want done before it is done now.
    image::run_constructors_behind(call, own);
    std::process::exit(task(arrival))
}

/// Takes over what the starter left, if there is one.
pub(crate) fn arrive() -> Option<Arrival> {
    occupy_standard_descriptors();
    let (line, paper, input, parent) = Line::inherited()?;
    take_standard_input(input);
    Some(Arrival { paper, line, parent })
}

/// Opens nothing in place of standard descriptors that are closed, as the runtime does before `main`: else the next file gets such a
/// number, and what is printed ends there.
fn occupy_standard_descriptors() {
    // SAFETY: (S1) no pointers are passed; a closed descriptor is answered by an error.
    let is_closed = |fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0;
    while (0..3).any(is_closed) {
        // The lowest number that is free is the one it gets.
        // SAFETY: (S1) the path is a live C string.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } < 0 {
            std::process::abort();
        }
    }
}

/// Puts the real standard input in place of the line.
fn take_standard_input(input: Option<File>) {
    let input = input.or_else(|| File::open("/dev/null").ok());
    match input {
        // SAFETY: (S1) both descriptors are live; the old one is the line, which has a descriptor of its own now.
        Some(file) => unsafe { libc::dup2(file.as_raw_fd(), 0) },
        // SAFETY: (S1) as above.
        None => unsafe { libc::close(0) },
    };
}

/// Lets the kernel end this process with `parent`; `false` if that is gone already.
pub(crate) fn die_with(parent: u32) -> bool {
    // SAFETY: (S1) no pointers are passed.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
        // It may have ended before that.
        libc::getppid() as u32 == parent
    }
}

/// Leaves the starter's session, so that its terminal and its end are nothing to this process.
pub(crate) fn leave_session() {
    // SAFETY: (S1) no precondition; a leader of a group, which this is not, would be refused.
    unsafe { libc::setsid() };
}

/// Names this process for `ps` and `top`.
pub(crate) fn call_me(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: (S1) the kernel reads at most 16 bytes of a C string that lives for the call.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}
