//! What is printed, and how the command ends.

use std::fmt::Write as _;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{Table, presets};
use procshare::inspect::{Fact, Life, Who};
use serde::Serialize;

/// The exit code for problems.
pub(crate) const PROBLEM: u8 = 1;
/// The exit code for wrong command lines; the parser's own.
const USAGE: u8 = 2;

/// What is wrong with the command line, where the parser cannot tell.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Ends with [`Usage`], formatted.
macro_rules! usage {
    ($($message:tt)*) => {
        return Err($crate::output::Usage(format!($($message)*)).into())
    };
}
pub(crate) use usage;

/// How a command went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Done, and all is well.
    Fine,
    /// A problem was found, and has been printed.
    Problem,
}

impl Verdict {
    pub(crate) fn problem_if(problem: bool) -> Self {
        if problem { Verdict::Problem } else { Verdict::Fine }
    }
}

/// Ends with an error; silently if nobody reads any more (`procshare ls | head`).
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    complain(with_causes(error));
    let wrong_name =
        matches!(error.downcast_ref::<procshare::Error>(), Some(procshare::Error::BadName { .. }));
    ExitCode::from(if wrong_name || error.is::<Usage>() { USAGE } else { PROBLEM })
}

/// The error and what it is due to, each said once: some errors name their cause themselves.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        said if said.contains(&cause) => text,
        said => format!("{said}: {cause}"),
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.map(io::Error::kind).or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

/// One line on standard error. A closed standard error is nobody's loss.
pub(crate) fn complain(message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "procshare: {message}");
}

/// Standard output.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Prints one JSON object.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let mut out = stdout();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// A table without lines.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A participant in few words: `4711 worker`, and what is special about it.
pub(crate) fn who(who: &Who) -> String {
    let mut text = match (who.pid, who.executable.as_deref()) {
        (Some(pid), Some(executable)) if !executable.is_empty() => format!("{pid} {executable}"),
        (Some(pid), _) => format!("{pid}"),
        (None, _) => format!("participant {}", who.id),
    };
    match who.life {
        Life::Dead => text.push_str(" (dead)"),
        Life::Unknown => text.push_str(" (alive or dead: unknown)"),
        _ => {}
    }
    if let (true, Some(namespace)) = (who.other_namespace, who.pid_namespace) {
        let _ = write!(text, " (pid of namespace {namespace})");
    }
    text
}

/// A fact in few words; `None` for what is not worth any.
pub(crate) fn brief(fact: &Fact<Who>) -> Option<String> {
    match fact {
        Fact::Nothing | Fact::Flag(false) => None,
        Fact::Flag(true) => Some("yes".into()),
        Fact::Number(number) => Some(number.to_string()),
        Fact::Signed(number) => Some(number.to_string()),
        Fact::Real(number) => Some(number.to_string()),
        Fact::Text(text) => Some(text.clone()),
        Fact::Who(participant) => Some(who(participant)),
        _ => None,
    }
}

/// Nanoseconds since 1970 as date and time, UTC.
pub(crate) fn utc(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March end with their leap day; 400 of them have 146,097 days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_centuries() {
        let at = |seconds: u64| utc(seconds * 1_000_000_000);
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_709_164_800), "2024-02-29 00:00:00 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 UTC");
        assert_eq!(utc(u64::MAX), "2554-07-21 23:34:33 UTC");
    }

    #[test]
    fn causes_are_told_once() {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let plain = anyhow::Error::from(missing()).context("cannot tally 'x'");
        assert_eq!(with_causes(&plain), format!("cannot tally 'x': {}", missing()));
        let named =
            procshare::Error::Io { object: "x".into(), action: "open", path: "x".into(), source: missing() };
        let text = named.to_string();
        assert_eq!(with_causes(&named.into()), text);
    }

    #[test]
    fn a_closed_pipe_is_no_failure_whoever_noticed_it() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&pipe().into()));
        assert!(is_broken_pipe(&anyhow::Error::from(serde_json::Error::io(pipe())).context("printing")));
        assert!(!is_broken_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
