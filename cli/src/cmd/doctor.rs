//! `procshare doctor`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use procshare::inspect::doctor::{self, Finding, Level};
use procshare::{Space, Trust};
use serde_json::json;

use crate::address::{self, Place};
use crate::args::Doctor;
use crate::output::{self, Verdict};

/// Checks the machine and one space, or all.
pub(crate) fn run(args: &Doctor) -> Result<Verdict> {
    let mut findings = doctor::machine();
    match Place::of(&args.place)? {
        Some(place) => findings.extend(check(place.directory(), place.trust())),
        None => {
            findings.extend(doctor::place(home()));
            match address::chosen(None) {
                Ok(spaces) => {
                    for space in spaces {
                        findings.extend(doctor::space(space.place.directory(), Trust::Owner));
                    }
                }
                Err(error) => output::complain(error),
            }
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (warnings, failures) = (count(Level::Warning), count(Level::Failure));
    if args.json {
        output::json(&json!({ "findings": findings, "warnings": warnings, "failures": failures }))?;
    } else {
        print(&findings, warnings, failures)?;
    }
    Ok(Verdict::problem_if(failures > 0 || (args.strict && warnings > 0)))
}

/// A space: its directory as a place, and what is in it.
fn check(directory: PathBuf, trust: Trust) -> Vec<Finding> {
    let mut findings = doctor::place(&directory);
    if directory.is_dir() {
        findings.extend(doctor::space(&directory, trust));
    }
    findings
}

/// Where the directory of the caller's spaces is, or will be.
fn home() -> PathBuf {
    let root = Space::root();
    root.parent().map_or(root.clone(), PathBuf::from)
}

fn print(findings: &[Finding], warnings: usize, failures: usize) -> Result<()> {
    let mut out = output::stdout();
    for finding in findings {
        let mark = match finding.level {
            Level::Good => "ok     ",
            Level::Warning => "WARNING",
            _ => "FAILURE",
        };
        writeln!(out, "{mark}  {}: {}", finding.check, finding.found)?;
        if let Some(advice) = &finding.advice {
            writeln!(out, "         -> {advice}")?;
        }
    }
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (failures, warnings) {
        (0, 0) => writeln!(out, "everything is in order")?,
        _ => writeln!(out, "{}, {}", plural(failures, "failure"), plural(warnings, "warning"))?,
    }
    Ok(out.flush()?)
}
