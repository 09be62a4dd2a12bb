//! Robust, process-shared mutexes of the C library: the one lock that C and C++ programs share with us.
//!
//! | item | contract |
//! |---|---|
//! | `ABI` | the C library's name and the mutex's size and alignment: who has another cannot share it |
//! | `read_state` | what a mutex's bytes say, where their meaning is known; asks nobody and writes nothing |
//! | `RobustMutex` | takes and gives back a mutex in shared memory; on systems without robust ones every call fails |

#[cfg(all(feature = "posix-lock", any(target_os = "linux", target_os = "freebsd")))]
#[path = "pthread.rs"]
mod imp;

#[cfg(all(feature = "posix-lock", not(any(target_os = "linux", target_os = "freebsd"))))]
#[path = "nowhere.rs"]
mod imp;

mod state;

#[cfg(feature = "posix-lock")]
pub(crate) use imp::{Hold, RobustMutex};
#[cfg(feature = "posix-lock")]
pub(crate) use state::{ABI, Abi, is_robust};
pub(crate) use state::{MUTEX_ROOM, read_state};

/// How a mutex was got.
#[cfg(feature = "posix-lock")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "on a system without robust mutexes none is ever got")]
pub(crate) enum Got {
    /// Its last owner gave it back.
    Clean,
    /// Its last owner's thread ended while it held it.
    OwnerDied,
}

/// Why a mutex was not got.
#[cfg(feature = "posix-lock")]
#[derive(Debug)]
#[allow(dead_code, reason = "a system without robust mutexes has one reason only")]
pub(crate) enum Refusal {
    /// The deadline passed while another thread held it.
    TimedOut,
    /// The calling thread holds it.
    Deadlock,
    /// Somebody who was told of a death gave it back without declaring it consistent.
    NotRecoverable,
    /// The C library refuses for another reason.
    Io(std::io::Error),
}
