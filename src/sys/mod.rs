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
//! | `futex_wait_any` | sleep while each of at most `FUTEX_WAIT_ANY_MOST` words has its value; `false`, at once, where the system cannot |
//! | `ProcessLock` | a lock that a forked child always finds free |
//! | `Identity` | a number that reads 0 in a forked child |
//! | `prepare_directory`, `list`, `free_bytes` | directories: made with the right mode, refused if somebody untrusted could have made them |
//! | `Draft`, `Region`, `open`, `remove`, `remove_if_unattached`, `back`, `file_id` | shared files: published complete or not at all; attached as long as their user lives |
//! | `Seat`, `Prober` | a slot that a participant has as long as it lives, and the question who has it |
//! | `simulation` | processes that are only said to be; empty where they are real |
//! | `Foreign` | memory that other programs made, the same on every system |
//! | `Bell`, `ReadyFd` | a descriptor that this process makes readable and not; not on every system |
//! | `RobustMutex`, `read_state` | mutexes that C programs share, see `robust`; not on every system |
//! | `attached`, `file_facts`, `is_remains` | who is attached to a file, and what it is, asked without a trace |
//! | `collect_remains` | finishes what makers and removers began that died on the way |
//! | `file_system`, `publish_by_link`, `test_locks`, `features`, `limits`, `system_name` | what this machine can do, for `doctor` |
//! | `ProcessInfo`, `started_ns` | pid, start time, executable, pid namespace: for display only |
//!
//! Errors are [`std::io::Error`]; the rooms above add which object and what to do.
//!
//! `contract` is the suite that holds every backend to this table, and to what its own documentation promises beyond it:
//!
//! | | `linux` | `portable` | `heap` |
//! |---|---|---|---|
//! | is for | Linux | macOS, FreeBSD, Windows; Linux with the feature `portable` | tests, Miri and models, with the feature `heap` |
//! | processes | real | real | simulated by threads |
//! | memory | the file itself | the system's named memory | allocations |
//! | attachment | a lock that dies with the mapping | a locked file | an entry in a table |
//! | sleep | futex | naps, and on Windows a doorbell | condition variables |
//! | a death is noticed | at the next look | at the next look, which may be some naps late | at the next look |

// The choice, made when the crate is built. `heap` and `portable` choose a backend when they stand alone; with both of them, as
// in `--all-features`, or with neither, it is the system's best: `linux` on Linux, `portable` elsewhere.

#[cfg(all(feature = "heap", not(feature = "portable")))]
#[path = "heap/mod.rs"]
mod imp;

#[cfg(all(
    target_os = "linux",
    any(all(feature = "heap", feature = "portable"), not(any(feature = "heap", feature = "portable")))
))]
#[path = "linux/mod.rs"]
mod imp;

#[cfg(any(
    all(target_os = "linux", feature = "portable", not(feature = "heap")),
    all(not(target_os = "linux"), any(feature = "portable", not(feature = "heap")))
))]
#[path = "portable/mod.rs"]
mod imp;

mod bell;
#[cfg(all(unix, feature = "process", not(loom)))]
mod calls;
#[cfg(all(feature = "process", not(loom)))]
pub(crate) mod children;
#[cfg(all(test, not(loom)))]
mod contract;
mod foreign;
#[cfg(all(target_os = "linux", feature = "process", not(loom)))]
mod handover;
#[cfg(all(unix, feature = "manager", not(loom)))]
pub(crate) mod pages;
mod process_info;
mod process_lock;
mod robust;
#[cfg(all(feature = "process", not(loom)))]
pub(crate) mod sockets;
mod thread;
mod word;

pub(crate) use bell::Bell;
pub use bell::ReadyFd;
pub(crate) use foreign::{Foreign, ForeignFault};
#[doc(hidden)]
pub use imp::simulation;
#[allow(unused_imports, reason = "not every backend's every function has a caller in every build")]
pub(crate) use imp::*;
pub(crate) use process_info::ProcessInfo;
pub(crate) use process_lock::ProcessLock;
#[cfg(feature = "posix-lock")]
pub(crate) use robust::{ABI, Abi, Got, Hold, Refusal, RobustMutex, is_robust};
pub(crate) use robust::{MUTEX_ROOM, read_state};
pub(crate) use thread::thread_token;
pub(crate) use word::{AnyFutex, Expected, FUTEX_WAIT_ANY_MOST, Futex, LowHalf};

/// Which backend this build shares memory with: `"linux"`, `"portable"` or `"heap"`.
///
/// Programs of different backends cannot share objects: they get
/// [`Error::WrongBackend`](crate::Error::WrongBackend). `heap` is for tests only: it shares nothing with anybody.
pub fn backend() -> &'static str {
    backend_name(BACKEND).unwrap_or("unknown")
}

/// The name of a backend's code.
pub(crate) fn backend_name(code: u32) -> Option<&'static str> {
    match code {
        1 => Some("linux"),
        2 => Some("portable"),
        3 => Some("heap"),
        _ => None,
    }
}

/// How many of a segment's first bytes every backend that has files keeps in the file itself, so that a program of another
/// backend recognises whose it is.
pub(crate) const FRONT: usize = 256;

#[cfg(loom)]
loom::thread_local! {
    static CLOCK: core::cell::Cell<u64> = core::cell::Cell::new(1);
}

/// In a model time stands still, but for a thread that has slept until a deadline: no interleaving may depend on the clock.
#[cfg(loom)]
pub(crate) fn monotonic_ns() -> u64 {
    CLOCK.with(core::cell::Cell::get)
}

/// The thread has slept until then.
#[cfg(all(loom, test))]
pub(crate) fn sleep_until(ns: u64) {
    CLOCK.with(|clock| clock.set(clock.get().max(ns)));
}

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
#[allow(dead_code, reason = "not every system has permissions to give")]
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
#[allow(dead_code, reason = "not every backend has directories that others could have made")]
pub(crate) enum DirFault {
    Untrusted(Untrusted),
    Io(std::io::Error),
}

impl From<std::io::Error> for DirFault {
    fn from(error: std::io::Error) -> Self {
        DirFault::Io(error)
    }
}

/// A file or directory as whoever inspects it sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileFacts {
    /// Bytes; of an object those of its memory, wherever it lies.
    pub(crate) len: u64,
    pub(crate) owner: u32,
    /// Permission bits; `None` where there are none.
    pub(crate) mode: Option<u32>,
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
#[allow(dead_code, reason = "not every backend has locks that could be broken")]
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
