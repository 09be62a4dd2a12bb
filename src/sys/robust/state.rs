//! What the bytes of a robust mutex say, where their meaning is part of the C library's binary interface.

use crate::atomic::{AtomicU32, Ordering::Relaxed};

/// Bytes that are kept for a mutex: 64 bits are enough for a pointer, glibc's largest needs 48, macOS' 64.
pub(crate) const MUTEX_ROOM: usize = 64;

/// What a C library's mutex is, so that nobody uses another one's.
#[cfg(feature = "posix-lock")]
pub(crate) struct Abi {
    pub(crate) name: &'static str,
    pub(crate) size: usize,
    pub(crate) align: usize,
}

/// The mutexes of the C library this program runs on.
#[cfg(feature = "posix-lock")]
pub(crate) const ABI: Abi = Abi { name: NAME, size: super::imp::SIZE, align: super::imp::ALIGN };

#[cfg(feature = "posix-lock")]
const NAME: &str = if cfg!(all(target_os = "linux", target_env = "gnu")) {
    "pthread_mutex_t of glibc"
} else if cfg!(all(target_os = "linux", target_env = "musl")) {
    "pthread_mutex_t of musl"
} else if cfg!(target_os = "freebsd") {
    "pthread_mutex_t of FreeBSD"
} else {
    "pthread_mutex_t"
};

/// Where a C library keeps what, in words of 32 bits.
#[cfg_attr(not(feature = "posix-lock"), allow(dead_code, reason = "who only looks does not check the kind"))]
struct Places {
    /// The futex: thread id, and the two bits that the kernel knows.
    futex: usize,
    /// The kind of the mutex.
    kind: usize,
    /// What the kind's lowest byte says of a mutex that is robust, shared between processes, and knows its owner.
    robust: u32,
}

/// The kernel's bits in the futex of a robust mutex.
const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;

const fn places() -> Option<Places> {
    if cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")) {
        Some(Places { futex: 0, kind: 4, robust: 128 | 16 | 2 })
    } else if cfg!(all(target_os = "linux", target_env = "musl")) {
        Some(Places { futex: 1, kind: 0, robust: 128 | 4 | 2 })
    } else {
        None
    }
}

/// A mutex as its bytes tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct State {
    /// The thread that holds it, as its own pid namespace numbers it; 0: none.
    pub(crate) thread: u32,
    /// Whether the kernel saw the owner end, and nobody has taken the mutex since.
    pub(crate) owner_died: bool,
    /// Whether somebody may sleep on it.
    pub(crate) waiters: bool,
}

/// Reads a mutex without taking part; `None` where nobody says what its bytes mean.
pub(crate) fn read_state(words: &[AtomicU32; MUTEX_ROOM / 4]) -> Option<State> {
    let places = places()?;
    // Relaxed: a hint for display.
    let futex = words[places.futex].load(Relaxed);
    Some(State {
        thread: futex & !(WAITERS | OWNER_DIED),
        owner_died: futex & OWNER_DIED != 0,
        waiters: futex & WAITERS != 0,
    })
}

/// Whether the bytes are a mutex of the kind we make: robust, shared, knowing its owner. `true` where nobody can tell.
#[cfg(feature = "posix-lock")]
pub(crate) fn is_robust(words: &[AtomicU32; MUTEX_ROOM / 4]) -> bool {
    // Relaxed: written once, before the mutex was published.
    places().is_none_or(|places| words[places.kind].load(Relaxed) & 0xff == places.robust)
}
