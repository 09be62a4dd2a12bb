//! The `procshare` command: look at shared memory, clean it, and see it work.

mod address;
mod args;
mod cmd;
mod demo;
mod output;
mod random;
#[cfg(target_os = "linux")]
mod torture;

use std::process::ExitCode;

use clap::Parser;

use crate::output::Verdict;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match cmd::run(args) {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::Problem) => ExitCode::from(output::PROBLEM),
        Err(error) => output::fail(&error),
    }
}
