//! Python's multiprocessing as a contender, where a Python is found.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::contender::{Batch, Contender};
use crate::failure::{Failure, same};
use crate::stopwatch::Lap;

const SCRIPT: &str = include_str!("rivals.py");

/// Interpreters, best first: a distribution's own is built for speed.
const INTERPRETERS: [&str; 2] = ["/usr/bin/python3", "python3"];

/// Python's way to do the work that `rivals.py` knows under this name.
pub fn python(row: &'static str) -> Box<dyn Contender> {
    Box::new(Python { row })
}

struct Python {
    row: &'static str,
}

impl Contender for Python {
    fn name(&self) -> &str {
        "Python"
    }

    fn run(&self, batch: &Batch<'_>) -> Result<Lap, Failure> {
        let mut command = Command::new(interpreter()?);
        command.args(["-I", "-c", SCRIPT, self.row]);
        command.args([batch.warm_up, batch.ops].map(|count| count.to_string()));
        command.args(batch.seats.iter().map(usize::to_string));
        let output =
            command.stdin(Stdio::null()).output().map_err(|error| Failure::contender("python3", error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::contender("python3", said.lines().last().unwrap_or("no message")));
        }
        parse(&String::from_utf8_lossy(&output.stdout))
    }
}

fn interpreter() -> Result<&'static str, Failure> {
    let exists = |name: &&str| match name.strip_prefix('/') {
        Some(_) => Path::new(name).exists(),
        None => Command::new(name).arg("--version").output().is_ok_and(|done| done.status.success()),
    };
    INTERPRETERS.into_iter().find(exists).ok_or(Failure::Unavailable("no python3 was found".into()))
}

fn parse(line: &str) -> Result<Lap, Failure> {
    let fields: Result<Vec<i64>, _> = line.split_whitespace().map(str::parse).collect();
    match fields.as_deref() {
        Ok(&[ops, wall, waited, expected, found]) => {
            same("answer", expected as u64, found as u64)?;
            Ok(Lap { ops: ops as u64, wall_ns: wall as u64, waited_ns: waited as u64 })
        }
        _ => Err(Failure::contender("python3 printed", line.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_line_is_checked() {
        assert_eq!(parse("10 500 3 12 12\n"), Ok(Lap { ops: 10, wall_ns: 500, waited_ns: 3 }));
        assert!(matches!(parse("10 500 3 12 11"), Err(Failure::WrongAnswer { .. })));
        assert!(matches!(parse("10 500"), Err(Failure::Contender { .. })));
    }
}
