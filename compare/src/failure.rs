//! Why a batch has no figure.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What went wrong in a batch; it travels from the batch's process to the measuring one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The work was done, but not right: its time must not count.
    #[error("wrong answer: {what} should be {expected}, found {found}")]
    WrongAnswer {
        /// What was checked.
        what: Cow<'static, str>,
        /// The right answer.
        expected: u64,
        /// The answer given.
        found: u64,
    },
    /// A system or C library call failed.
    #[error("{call} failed: {}", std::io::Error::from_raw_os_error(*.errno))]
    Os {
        /// The call.
        call: Cow<'static, str>,
        /// Its error number.
        errno: i32,
    },
    /// The contender's own code returned an error or panicked.
    #[error("{what}: {message}")]
    Contender {
        /// The operation.
        what: Cow<'static, str>,
        /// The error's text.
        message: String,
    },
    /// The process that ran the batch died.
    #[error("the batch's process ended without a result (wait status {status:#x})")]
    Died {
        /// What `waitpid` said.
        status: i32,
    },
    /// The batch was killed by the watchdog.
    #[error("no result within {0:?}: killed")]
    Hung(Duration),
    /// This machine lacks what the contender needs.
    #[error("cannot run here: {0}")]
    Unavailable(Cow<'static, str>),
}

impl Failure {
    /// The failure the C library's `errno` tells of.
    pub fn last_os(call: &'static str) -> Self {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Self::Os { call: call.into(), errno }
    }

    /// A failure of the contender's own code.
    pub fn contender(what: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Contender { what: what.into(), message: error.to_string() }
    }

    /// Whether the contender simply does not exist on this machine.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Checks one figure of a batch's answer.
///
/// # Errors
/// [`Failure::WrongAnswer`] when they differ.
pub fn same(what: &'static str, expected: u64, found: u64) -> Result<(), Failure> {
    if expected == found { Ok(()) } else { Err(Failure::WrongAnswer { what: what.into(), expected, found }) }
}

/// Turns a C return code of the "error number or 0" kind into a result.
///
/// # Errors
/// [`Failure::Os`] when it is not 0.
#[inline]
pub fn zero(call: &'static str, errno: i32) -> Result<(), Failure> {
    if errno == 0 { Ok(()) } else { Err(Failure::Os { call: call.into(), errno }) }
}

/// Turns a C return value of the "-1 and errno" kind into a result.
///
/// # Errors
/// [`Failure::Os`] when it is negative.
#[inline]
pub fn not_negative(call: &'static str, value: i32) -> Result<i32, Failure> {
    if value >= 0 { Ok(value) } else { Err(Failure::last_os(call)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_names_both_figures() {
        let text = same("counter", 7, 6).unwrap_err().to_string();
        assert_eq!(text, "wrong answer: counter should be 7, found 6");
        assert_eq!(same("counter", 7, 7), Ok(()));
    }

    #[test]
    fn failures_survive_the_trip_between_processes() {
        let sent = Failure::Os { call: "mmap".into(), errno: 12 };
        let text = serde_json::to_string(&sent).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), sent);
    }
}
