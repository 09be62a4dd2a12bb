//! The operating system behind one contract; the only place that knows which one it is.
//!
//! Each backend is a folder with the same functions and types:
//!
//! | item | contract |
//! |---|---|
//! | `BACKEND` | the backend's code in the registry and in every header |
//! | `monotonic_ns`, `wall_ns` | clocks; the first never goes back |
//! | `thread_token` | a number of the calling thread, not 0, never given twice within one process |
//! | `futex_wait`, `futex_wake` | sleep while a word has a value; spurious returns allowed; EINTR handled inside |
//! | `ProcessLock` | a lock that a forked child always finds free |
//! | `Identity` | a number that reads 0 in a forked child |
//! | `directory`, `Draft`, `Region`, `Attachments` | shared files: published complete or not at all; who is attached, as the kernel knows it |
//! | `Seat`, `Prober` | one byte locked by a participant as long as its address space lives, and the question who holds it |
//! | `Foreign` | memory that other programs made, the same on every system |
//! | `attached` | who is attached to a file, asked without a trace |
//! | `file_system`, `publish_by_link`, `test_locks`, `features`, `limits`, `system_name` | what this machine can do, for `doctor` |
//! | `ProcessInfo`, `started_ns` | pid, start time, executable, pid namespace: for display only |
//!
//! Errors are [`std::io::Error`]; the rooms above add which object and what to do.

#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod imp;

mod foreign;
mod word;

pub(crate) use foreign::{Foreign, ForeignFault};
pub(crate) use imp::*;
pub(crate) use word::{Futex, LowHalf};

/// Who may enter a space's directory, and with which rights its files are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Trust {
    /// Only the calling user: directory 0700 owned by the caller, files 0600.
    #[default]
    Owner,
    /// The directory belongs to this user id (as this process sees it) and nobody else may write it.
    User(u32),
    /// Whoever is in the directory's group: directory 2770, files 0660.
    Group,
    /// Every process that can reach the directory: directory 0777, files 0666.
    Anyone,
}

/// Whether a mapping may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

/// A file to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFile {
    /// Bytes.
    pub(crate) len: u64,
    /// How many of them are backed by memory from the start.
    pub(crate) backed: u64,
    pub(crate) trust: Trust,
    /// Permission bits, if not those that `trust` implies.
    pub(crate) mode: Option<u32>,
    /// The participant that is attached before anybody else can see the file.
    pub(crate) id: u32,
}

/// What the oracle knows of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    No,
}

/// What names a file for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What a directory is refused for.
#[derive(Debug)]
pub(crate) struct Untrusted {
    pub(crate) owner: u32,
    pub(crate) mode: u32,
    pub(crate) reason: &'static str,
}

/// Why a directory cannot be used.
#[derive(Debug)]
pub(crate) enum DirFault {
    Untrusted(Untrusted),
    Io(std::io::Error),
}

impl From<std::io::Error> for DirFault {
    fn from(error: std::io::Error) -> Self {
        DirFault::Io(error)
    }
}

/// A file system as `doctor` shows it; `None` where it does not say.
#[derive(Debug)]
pub(crate) struct FileSystem {
    pub(crate) name: String,
    /// Whether its pages are memory for good.
    pub(crate) memory: bool,
    pub(crate) total: Option<u64>,
    pub(crate) free: Option<u64>,
    pub(crate) files_free: Option<u64>,
}

/// A call of the operating system that was tried.
#[derive(Debug)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    /// Whether nothing works without it; what is not needed has a slower or poorer substitute.
    pub(crate) needed: bool,
    pub(crate) answer: std::io::Result<()>,
}

/// A limit that objects run into.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// `None`: unlimited, or nobody says.
    pub(crate) value: Option<u64>,
    /// Below this it is worth a word.
    pub(crate) least: u64,
}

/// Why a file system cannot carry liveness.
#[derive(Debug)]
pub(crate) enum LockFault {
    /// The locks answer wrongly.
    Broken(&'static str),
    /// The test could not be done, or the calls fail.
    Io(std::io::Error),
}

impl From<std::io::Error> for LockFault {
    fn from(error: std::io::Error) -> Self {
        LockFault::Io(error)
    }
}
