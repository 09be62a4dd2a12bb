//! Is everything in order? Findings about the machine, about directories, and about spaces, each with what to do.
//!
//! Unlike the rest of [`inspect`](crate::inspect), [`place`] writes: it makes files for the length of a system call, because
//! whether a file system's locks work can only be found out by locking. It joins nothing and touches no object.
//!
//! ```
//! use procshare::inspect::doctor::{self, Level};
//!
//! for finding in doctor::machine() {
//!     if finding.level != Level::Good {
//!         eprintln!("{}: {} ({})", finding.check, finding.found, finding.advice.unwrap_or_default());
//!     }
//! }
//! ```

mod machine;
mod place;
mod space;

use serde::Serialize;

pub use machine::machine;
pub use place::place;
pub use space::space;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// As it should be.
    Good,
    /// It works, but slower, less safely, or not for long.
    Warning,
    /// Something does not work.
    Failure,
}

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What is there.
    pub found: String,
    /// What to do about it; `None` if nothing needs to be done, or `found` is an error whose message says it.
    pub advice: Option<String>,
}

impl Finding {
    fn good(check: impl Into<String>, found: impl Into<String>) -> Self {
        Finding { check: check.into(), level: Level::Good, found: found.into(), advice: None }
    }

    fn warning(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Finding { check: check.into(), level: Level::Warning, found: found.into(), advice }
    }

    fn failure(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Finding { check: check.into(), level: Level::Failure, found: found.into(), advice }
    }

    /// An error, whose message names the way out itself.
    fn error(check: impl Into<String>, error: &crate::Error) -> Self {
        Finding { check: check.into(), level: Level::Failure, found: error.to_string(), advice: None }
    }
}
