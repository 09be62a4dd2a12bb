//! Deadlines: absolute, monotonic, and the only clock arithmetic of the crate.

use std::time::Duration;

use crate::sys;

/// The moment at which a blocking call gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// The call polls once and never sleeps.
    Now,
    /// Monotonic nanoseconds.
    At(u64),
    /// The call waits as long as it takes.
    Never,
}

impl Deadline {
    /// The deadline `timeout` from now; a timeout beyond the clock's range means for ever.
    pub(crate) fn after(timeout: Duration) -> Self {
        if timeout.is_zero() {
            return Deadline::Now;
        }
        match u64::try_from(timeout.as_nanos()).ok().and_then(|ns| sys::monotonic_ns().checked_add(ns)) {
            // The kernel takes seconds as a signed number: anything it could not hold is for ever.
            Some(ns) if ns < i64::MAX as u64 => Deadline::At(ns),
            _ => Deadline::Never,
        }
    }

    /// Whether the moment has come.
    pub(crate) fn is_over(self) -> bool {
        match self {
            Deadline::Now => true,
            Deadline::At(ns) => sys::monotonic_ns() >= ns,
            Deadline::Never => false,
        }
    }

    /// The earlier of this deadline and `slice_ns` from now, as monotonic nanoseconds.
    pub(crate) fn slice(self, slice_ns: u64) -> u64 {
        let slice = sys::monotonic_ns().saturating_add(slice_ns);
        match self {
            Deadline::Now => 0,
            Deadline::At(ns) => ns.min(slice),
            Deadline::Never => slice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_beyond_the_clock_are_for_ever() {
        assert_eq!(Deadline::after(Duration::MAX), Deadline::Never);
        assert_eq!(Deadline::after(Duration::from_secs(u64::MAX / 1_000_000_000)), Deadline::Never);
        assert!(!Deadline::Never.is_over());
    }

    #[test]
    fn a_zero_timeout_polls_once() {
        assert_eq!(Deadline::after(Duration::ZERO), Deadline::Now);
        assert!(Deadline::Now.is_over());
    }

    #[test]
    fn a_slice_never_passes_the_deadline() {
        let deadline = Deadline::after(Duration::from_millis(1));
        let Deadline::At(end) = deadline else { panic!("one millisecond is representable") };
        assert_eq!(deadline.slice(u64::MAX), end);
        assert!(Deadline::Never.slice(5) >= 5);
    }
}
