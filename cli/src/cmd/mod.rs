//! One module for each subcommand.

mod doctor;
mod gc;
mod ls;
#[cfg(unix)]
mod manager;
mod rm;
#[cfg(unix)]
mod serve;
mod show;
mod tail;

use anyhow::Result;

use crate::args::{Args, Command};
use crate::output::Verdict;

/// Does what the command line says.
pub(crate) fn run(args: Args) -> Result<Verdict> {
    match args.command {
        Command::Ls(args) => ls::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Gc(args) => gc::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(unix)]
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => crate::demo::run(&args),
        #[cfg(target_os = "linux")]
        Command::Torture(args) => crate::torture::run(&args),
        #[cfg(target_os = "linux")]
        Command::TortureWorker(args) => crate::torture::work(&args),
    }
}
