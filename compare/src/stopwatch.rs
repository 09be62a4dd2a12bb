//! Time of a piece of work, and how much of it other programs took.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What a batch took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lap {
    /// Operations done while the clock ran.
    pub ops: u64,
    /// Nanoseconds from the first worker's start to the last one's end.
    pub wall_ns: u64,
    /// Nanoseconds the worst-off worker was ready to run while its core did something else.
    pub waited_ns: u64,
}

impl Lap {
    /// An amount of memory, as what one operation took.
    pub fn of_bytes(bytes: u64) -> Self {
        Self { ops: 1, wall_ns: bytes, waited_ns: 0 }
    }

    /// Nanoseconds an operation took.
    pub fn ns_per_op(&self) -> f64 {
        self.wall_ns as f64 / self.ops.max(1) as f64
    }
}

/// One worker's own view: when it began and ended, by the clock all processes share.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Span {
    /// Start, in nanoseconds of the monotonic clock.
    pub start_ns: u64,
    /// End, by the same clock.
    pub end_ns: u64,
    /// Nanoseconds ready but not running in between.
    pub waited_ns: u64,
}

impl Span {
    /// Joins the spans of workers that ran side by side.
    pub fn join(spans: &[Self], ops: u64) -> Lap {
        let start = spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
        let end = spans.iter().map(|span| span.end_ns).max().unwrap_or(0);
        let waited_ns = spans.iter().map(|span| span.waited_ns).max().unwrap_or(0);
        Lap { ops, wall_ns: end.saturating_sub(start), waited_ns }
    }
}

/// Runs `work` with the clock on.
///
/// # Errors
/// What `work` returns.
pub fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<Span, Failure> {
    let waited_before = run_delay_ns();
    let start_ns = monotonic_ns();
    work()?;
    let end_ns = monotonic_ns();
    Ok(Span { start_ns, end_ns, waited_ns: run_delay_ns().saturating_sub(waited_before) })
}

/// The monotonic clock, equal in all processes.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable, and CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// How long the calling thread was ever kept waiting for a core; 0 where the kernel does not say.
fn run_delay_ns() -> u64 {
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_by_side_spans_count_from_first_start_to_last_end() {
        let spans =
            [Span { start_ns: 10, end_ns: 50, waited_ns: 3 }, Span { start_ns: 5, end_ns: 45, waited_ns: 9 }];
        assert_eq!(Span::join(&spans, 90), Lap { ops: 90, wall_ns: 45, waited_ns: 9 });
    }

    #[test]
    fn an_error_in_the_work_is_the_result() {
        let failed = timed(|| Err(Failure::Unavailable("nothing".into())));
        assert!(matches!(failed, Err(Failure::Unavailable(_))));
    }
}
