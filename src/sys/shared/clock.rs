//! Clocks and randomness out of the standard library.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

/// Nanoseconds since this process first asked, plus one: 0 is never "now".
pub(crate) fn monotonic_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX - 1) + 1
}

/// Nanoseconds since 1970.
pub(crate) fn wall_ns() -> u64 {
    if cfg!(miri) {
        // The interpreter hides the host's clock.
        return monotonic_ns();
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes nobody can guess, for birth ids and private names.
pub(crate) fn random_u128() -> u128 {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let half = || {
        let mut hasher = RandomState::new().build_hasher();
        // A forked child inherits the hasher's keys and the count, not the pid.
        hasher.write_u32(std::process::id());
        // Relaxed: only uniqueness is needed.
        hasher.write_u64(DRAWN.fetch_add(1, Ordering::Relaxed));
        u128::from(hasher.finish())
    };
    half() << 64 | half()
}
