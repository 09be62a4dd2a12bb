//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use crate::machine::Machine;
use crate::method::{Effort, RowReport, Verdict, measure};
use crate::row::Row;
use crate::{leftovers, plot, rows, table};

/// Measures procshare beside its peers, interleaved, in one run.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Rows to measure, by id or by the words it begins with (`lock`, `value-get`); all when absent.
    #[arg(long, value_delimiter = ',', value_name = "ROW,…")]
    rows: Vec<String>,
    /// Few and short batches: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Batches that count for each contender, instead of the usual number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Draw the medians into an SVG file.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// End with exit code 2 when a goal was missed.
    #[arg(long)]
    strict: bool,
    /// Print the rows with their contenders and goals, and measure nothing.
    #[arg(long)]
    list: bool,
}

/// All there is to say of a run.
#[derive(Serialize)]
struct Report {
    machine: Machine,
    release_build: bool,
    quick: bool,
    rows: Vec<RowReport>,
}

/// Runs the command: exit code 0, or 1 when a contender failed, or 2 when `--strict` and a goal was missed.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let rows = chosen(&args.rows)?;
    if args.list {
        list(&rows);
        return Ok(ExitCode::SUCCESS);
    }
    let machine = Machine::look()?;
    let mut effort = if args.quick { Effort::QUICK } else { Effort::FULL };
    effort.rounds = args.rounds.map_or(effort.rounds, usize::from);
    if cfg!(debug_assertions) {
        eprintln!("note: a debug build; its figures say nothing about speed");
    }
    leftovers::sweep();
    let mut reports = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        eprintln!("[{}/{}] {}", n + 1, rows.len(), row.title);
        reports.push(measure(row, effort, &machine));
    }
    leftovers::sweep();
    if let Some(path) = &args.plot {
        plot::draw(path, &reports)?;
    }
    let code = exit_code(&reports, args.strict);
    if args.json {
        let release_build = !cfg!(debug_assertions);
        let report = Report { machine, release_build, quick: args.quick, rows: reports };
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}, {} cores, Linux {}\n", machine.processor, machine.cores.len(), machine.kernel);
        print!("{}", table::Table(&reports));
    }
    Ok(code)
}

fn chosen(words: &[String]) -> Result<Vec<Row>, String> {
    let all = rows::all();
    if let Some(unknown) = words.iter().find(|word| !all.iter().any(|row| row.is_asked_by(word))) {
        let known: Vec<&str> = all.iter().map(|row| row.id.as_str()).collect();
        return Err(format!("there is no row `{unknown}`; the rows are: {}", known.join(", ")));
    }
    let asked = |row: &Row| words.is_empty() || words.iter().any(|word| row.is_asked_by(word));
    Ok(all.into_iter().filter(asked).collect())
}

fn list(rows: &[Row]) {
    for row in rows {
        println!("{}: {}", row.id, row.title);
        let names: Vec<&str> = row.contenders.iter().map(|one| one.name()).collect();
        println!("    {}", names.join(", "));
        for goal in &row.goals {
            println!("    goal: {} \u{2264} {:.3} \u{d7} {}", goal.ours, goal.at_most, goal.peer);
        }
    }
}

fn exit_code(reports: &[RowReport], strict: bool) -> ExitCode {
    let failures = reports.iter().flat_map(|row| &row.contenders).filter_map(|one| one.failure.as_ref());
    if failures.into_iter().any(|failure| !failure.is_absence()) {
        return ExitCode::FAILURE;
    }
    let missed = |row: &RowReport| row.goals.iter().any(|judged| judged.verdict == Verdict::Fail);
    if strict && reports.iter().any(missed) { ExitCode::from(2) } else { ExitCode::SUCCESS }
}
