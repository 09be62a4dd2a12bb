//! `procshare torture`: real processes fight for every kind of object while some of them are killed, stopped and forked, and
//! those that survive check every promise.
//!
//! The conductor starts the contenders and leads them from phase to phase over the [board](board):
//!
//! | phase | contenders | conductor |
//! |---|---|---|
//! | storm | take turns with the object, fork at times | kills, stops, replaces the dead |
//! | calm | take turns | waits until everybody got on: else it hangs |
//! | pause | have empty hands | checks the object as a survivor |
//! | probe | one takes the object, the others wait for it | kills that one, and times the takeover |
//!
//! A [`Subject`](subject::Subject) is an object and its witnesses: numbers in shared memory that show who was inside, what was
//! done, and what must not be lost. Before every kill the board says who is condemned: whoever finds somebody inside that
//! is not, has found a broken promise.

mod actor;
mod arena;
mod board;
mod conductor;
mod crew;
mod fork;
mod idle;
mod report;
mod subject;
mod subjects;
mod worker;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::prctl;

use self::arena::Arena;
use self::conductor::Options;
use self::subject::{CATALOGUE, Entry};
use crate::args::{Torture, TortureWorker};
use crate::output::{Verdict, usage};
use crate::random;

/// Runs one contender.
pub(crate) fn work(args: &TortureWorker) -> Result<Verdict> {
    worker::run(args)?;
    Ok(Verdict::Fine)
}

/// Tortures what the command line names.
pub(crate) fn run(args: &Torture) -> Result<Verdict> {
    let entries = chosen(&args.object)?;
    let seed = args.seed.unwrap_or_else(random::seed);
    // Forked children of the killed come to this process, which buries them.
    prctl::set_child_subreaper(true).context("cannot adopt the children of killed contenders")?;
    let arena = Arena::new()?;
    let options = Options { contenders: usize::from(args.contenders), kills: args.kills, seed };
    let bar = bar(options.kills);
    let mut outcomes = Vec::new();
    for entry in entries {
        bar.set_message(format!("{} (seed {seed})", entry.name));
        let mut outcome = conductor::torture(entry, &arena, &options, &|kills| bar.set_position(kills))
            .with_context(|| format!("{} (seed {seed})", entry.name))?;
        if args.idle && outcome.is_fine() {
            bar.set_message(format!("{}: waiters asleep", entry.name));
            outcome.idle = idle::measure(entry, &arena)?;
        }
        outcomes.push(outcome);
    }
    bar.finish_and_clear();
    if args.json {
        report::print_json(seed, &outcomes)?;
    } else {
        report::print_text(seed, &outcomes)?;
    }
    Ok(Verdict::problem_if(!outcomes.iter().all(report::Outcome::is_fine)))
}

/// The kinds of object named, each once, in the order of the catalogue.
fn chosen(names: &[String]) -> Result<Vec<&'static Entry>> {
    for name in names {
        if !name.eq_ignore_ascii_case("all") && subject::find(name).is_none() {
            let known: Vec<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
            usage!("there is no object '{name}' to torture: name some of {}, or all", known.join(", "));
        }
    }
    let all = names.iter().any(|name| name.eq_ignore_ascii_case("all"));
    let named = |entry: &&Entry| all || names.iter().any(|name| name.eq_ignore_ascii_case(entry.name));
    Ok(CATALOGUE.iter().filter(named).collect())
}

/// A bar on standard error, if that is a terminal.
fn bar(kills: u64) -> ProgressBar {
    let bar = ProgressBar::new(kills);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} kills, {msg}") {
        bar.set_style(style);
    }
    bar
}
